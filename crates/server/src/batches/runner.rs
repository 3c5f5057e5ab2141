//! The thread that answers one batch after the other.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::line::{Item, Outcome, Refused};
use super::object::{Errors, Status};
use super::{Answerer, Batches, Record};

/// Before a batch is tried again that the disk kept from going on.
const AGAIN: Duration = Duration::from_secs(5);

/// Between two tries of a request that the server has no room for, at first and at most.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Runs until it is told to stop, or dropped.
pub(crate) struct Runner {
    batches: Arc<Batches>,
    stopping: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Runner {
    /// Begins to answer, with what was not done before, and with so many requests at once.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        batches: Arc<Batches>,
        answerer: Answerer,
        requests: usize,
        runtime: Handle,
    ) -> io::Result<Self> {
        let requests = requests.max(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            changes: batches.changes.subscribe(),
            batches: Arc::clone(&batches),
            answerer,
            places: Arc::new(Semaphore::new(requests)),
            window: requests * 4,
            runtime,
            stopping: Arc::clone(&stopping),
            aside: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("batches".to_owned()).spawn(move || worker.work())?;
        Ok(Self { batches, stopping, thread: Some(thread) })
    }
}

impl Drop for Runner {
    /// Requests under way are given up; they have no line yet, and the next start puts them again.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.batches.changed();
        if let Some(thread) = self.thread.take() {
            // A panic there was logged when it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
pub(super) struct Worker {
    pub(super) batches: Arc<Batches>,
    answerer: Answerer,
    places: Arc<Semaphore>,
    /// Requests that are read ahead: more than are put at once, so that one that takes long keeps none waiting.
    pub(super) window: usize,
    runtime: Handle,
    changes: watch::Receiver<u64>,
    stopping: Arc<AtomicBool>,
    /// Batches that the disk kept from going on, and when they are tried again.
    aside: BTreeMap<String, Instant>,
}

/// What a wait ended with.
pub(super) enum Woken {
    Answered(Outcome),
    /// Something happened that may concern the batch, or its time is over.
    Look,
}

impl Worker {
    fn work(mut self) {
        while !self.is_stopping() {
            match self.next(|_| true) {
                Some(record) => self.attempt(record),
                None => self.sleep(),
            }
        }
    }

    /// The oldest batch that is such, and not aside.
    fn next(&mut self, such: impl Fn(&super::Batch) -> bool) -> Option<Record> {
        let now = Instant::now();
        self.aside.retain(|_, again| *again > now);
        let live = self.batches.live();
        live.values().find(|record| !self.aside.contains_key(&record.batch.id) && such(&record.batch)).cloned()
    }

    /// Until something changes, or one that is aside is to be tried again.
    fn sleep(&mut self) {
        let again = self.aside.values().min().map(|again| again.saturating_duration_since(Instant::now()));
        let changes = &mut self.changes;
        // The sender lives as long as the batches that this thread holds.
        self.runtime.block_on(async {
            match again {
                Some(again) => drop(tokio::time::timeout(again, changes.changed()).await),
                None => drop(changes.changed().await),
            }
        });
    }

    /// Goes on with a batch. One that cannot go on keeps no other waiting.
    fn attempt(&mut self, record: Record) {
        let id = record.batch.id.clone();
        let result = match super::run::carry_out(self, record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.fail(&id, "the requests are gone"),
            result => result,
        };
        if let Err(error) = result {
            tracing::error!(batch = id, %error, "failed to go on with a batch; trying again");
            self.aside.insert(id, Instant::now() + AGAIN);
        }
    }

    /// Ends batches whose time is over before their turn has come.
    pub(super) fn expire_waiting(&mut self) {
        let now = crate::data::now();
        while let Some(record) = self.next(|batch| batch.status == Status::Validating && batch.expires_at <= now) {
            self.attempt(record);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ends a batch that cannot be answered.
    pub(super) fn fail(&self, id: &str, message: &str) -> io::Result<()> {
        let fail = |batch: &mut super::Batch| {
            batch.errors = Some(Errors::one("invalid_file", message));
            batch.enter(Status::Failed);
        };
        self.batches.update(id, fail).map(|_| ())
    }

    /// Puts a request. While the server has no room for it, it is put again: a batch can wait.
    pub(super) fn put(&self, url: String, body: serde_json::Value) -> JoinHandle<(u16, serde_json::Value)> {
        let answerer = Arc::clone(&self.answerer);
        // Looked at here once, so that requests stand in line in their order, whichever thread takes them up.
        let mut place = Box::pin(Arc::clone(&self.places).acquire_owned());
        let free = place.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.runtime.spawn(async move {
            let _place = match free {
                Poll::Ready(place) => place,
                Poll::Pending => place.await,
            };
            let mut wait = WAITS[0];
            loop {
                let (status, answer) = answerer(url.clone(), body.clone()).await;
                if !matches!(status, 429 | 503) {
                    return (status, answer);
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAITS[1]);
            }
        })
    }

    /// Waits for an answer, but not longer than until the batch has to be looked at.
    pub(super) fn wait(
        &mut self,
        task: &mut JoinHandle<(u16, serde_json::Value)>,
        item: &Item,
        expires_at: i64,
    ) -> Woken {
        let now = crate::data::now();
        let waiting = self.batches.live().values().map(|record| record.batch.expires_at).filter(|end| *end > now).min();
        let end = waiting.map_or(expires_at, |waiting| waiting.min(expires_at));
        let rest = Duration::from_secs(u64::try_from(end - now).unwrap_or(0));
        let changes = &mut self.changes;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                result = task => Woken::Answered(match result {
                    Ok((status, answer)) => Outcome::Answered(status, answer),
                    Err(_) => Outcome::Refused(Refused {
                        code: "internal",
                        message: "a fault in the server".to_owned(),
                        line: item.line,
                    }),
                }),
                _ = changes.changed() => Woken::Look,
                () = tokio::time::sleep(rest) => Woken::Look,
            }
        })
    }
}
