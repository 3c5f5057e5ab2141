//! Where the work of a request is done.
//!
//! Short work runs where the request was read: handing it to another thread would take longer than the work.
//! Long work would keep that thread from its other connections, so it goes to threads of its own, as many at
//! a time as there are cores. Which it is, each engine's pace so far tells.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::ApiError;

/// Work expected to take longer is not done inline.
const INLINE: Duration = Duration::from_millis(1);

/// How long an engine takes for a byte of body, learned from what it has done.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Femtoseconds: billionths of a microsecond. Zero until something was done.
    per_byte: AtomicU64,
}

impl Pace {
    fn expects(&self, size: usize) -> Option<Duration> {
        let per_byte = self.per_byte.load(Ordering::Relaxed);
        (per_byte > 0).then(|| Duration::from_nanos(per_byte.saturating_mul(size as u64) / 1_000_000))
    }

    fn learn(&self, size: usize, spent: Duration) {
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).saturating_mul(1_000_000);
        let new = (spent / size.max(1) as u64).max(1);
        let old = self.per_byte.load(Ordering::Relaxed);
        // Two threads may forget each other's step: it is an estimate.
        let step = if old == 0 { new } else { old - old / 8 + new / 8 };
        self.per_byte.store(step.max(1), Ordering::Relaxed);
    }
}

/// Work at once that waits for a model.
const WAITING: usize = 64;

/// Whoever asked for work, as the work sees it.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Weak<()>);

impl Caller {
    /// Whether nobody waits for the work any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// The threads for long work.
#[derive(Debug)]
pub(crate) struct Work {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    timeout: Duration,
}

impl Work {
    pub(crate) fn new(threads: usize, timeout: Duration) -> Self {
        let [places, waiting] = [threads, WAITING].map(|count| Arc::new(Semaphore::new(count)));
        Self { places, waiting, timeout }
    }

    /// Does work that waits for a model more than it computes: it takes none of the places of work that computes. It
    /// has to look from time to time whether its caller is gone.
    pub(crate) async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Caller) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let here = Arc::new(());
        let caller = Caller(Arc::downgrade(&here));
        let result = self.on_thread(&self.waiting, move || work(&caller)).await;
        drop(here);
        result
    }

    /// Does work that takes long whatever its size, such as compiling a schema.
    pub(crate) async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.on_thread(&self.places, work).await
    }

    /// Does the work of one request whose body has this size.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        pace: &Arc<Pace>,
        size: usize,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pace = Arc::clone(pace);
        let short = pace.expects(size).is_some_and(|expected| expected <= INLINE);
        let timed = move || {
            let start = Instant::now();
            let result = work();
            pace.learn(size, start.elapsed());
            result
        };
        if short { timed() } else { self.long(timed).await }
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let places = Arc::clone(places);
        let long = async move {
            let place = places.acquire_owned().await.map_err(|_| ApiError::Internal)?;
            // The place is given back when the work ends, also if nobody waits for it any more.
            let task = tokio::task::spawn_blocking(move || {
                let _place = place;
                work()
            });
            task.await.map_err(|_| ApiError::Internal)?
        };
        tokio::time::timeout(self.timeout, long).await.unwrap_or(Err(ApiError::Timeout))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_that_waits_learns_that_its_caller_is_gone_and_keeps_its_place_until_then() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let work = Work::new(1, Duration::from_millis(20));
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let result = runtime.block_on(work.wait(move |caller| {
            let before = caller.is_gone();
            let _ = wait.recv();
            let _ = tell.send((before, caller.is_gone()));
            Ok(())
        }));
        assert_eq!(result, Err(ApiError::Timeout));
        assert_eq!(work.waiting.available_permits(), WAITING - 1);
        go.send(()).expect("it waits");
        assert_eq!(told.recv(), Ok((false, true)));
        assert_eq!(runtime.block_on(work.long(|| Ok(7))), Ok(7));
    }
}
