//! Loading models: at the start, on SIGHUP, when a file has changed, when asked to.

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use crate::language::Learned;
use crate::{Error, Model, State};

/// Loads every model for the first time.
pub(crate) fn load_all(state: &State) -> Result<(), Error> {
    for model in state.models() {
        model.load().map_err(|source| Error::Load { model: model.name().to_owned(), source })?;
        note(model, "loaded");
    }
    let mut names = HashSet::new();
    let adapters = state.learned.iter().flat_map(Learned::cards).filter(|card| card.parent.is_some());
    let mut all = state.learned().map(|opened| opened.name.clone()).chain(adapters.map(|card| card.id));
    match all.find(|name| !names.insert(name.clone())) {
        Some(name) => Err(Error::TwoModels(name)),
        None => Ok(()),
    }
}

fn note(model: &dyn Model, what: &'static str) {
    if let Some(identity) = model.identity() {
        tracing::info!(model = model.name(), version = identity.version, hash = identity.hash, "{what}");
    }
}

/// Loads every model again. Those that fail stay as they are; the first failure is returned.
pub(crate) fn reload_all(state: &State) -> Result<(), Error> {
    let _alone = state.changes.lock().unwrap_or_else(PoisonError::into_inner);
    let mut result = Ok(());
    for model in state.models() {
        match model.load() {
            Ok(()) => {
                state.metrics.reloads[0].fetch_add(1, Ordering::Relaxed);
                note(model, "reloaded");
            }
            Err(source) => {
                state.metrics.reloads[1].fetch_add(1, Ordering::Relaxed);
                tracing::error!(model = model.name(), error = %source, "failed to reload; the old one stays");
                result = result.and(Err(Error::Load { model: model.name().to_owned(), source }));
            }
        }
    }
    result
}

/// The reasons to reload. Made before the first load, so that none is missed meanwhile.
pub(crate) struct Reasons {
    state: Arc<State>,
    hangup: Hangup,
    seen: Stamps,
    watch: Duration,
}

impl Reasons {
    pub(crate) fn new(state: &Arc<State>, watch: Duration) -> Result<Self, Error> {
        Ok(Self { state: Arc::clone(state), hangup: Hangup::new()?, seen: stamps(state), watch })
    }

    /// Reloads whenever there is a reason.
    pub(crate) async fn heed(mut self) -> Infallible {
        loop {
            tokio::select! {
                () = self.hangup.heard() => {}
                () = changed(&self.state, self.watch, &mut self.seen) => {}
            }
            let state = Arc::clone(&self.state);
            // A failure is in the log, the counters and /health; the next change may mend it.
            let _ = tokio::task::spawn_blocking(move || reload_all(&state)).await;
        }
    }
}

type Stamps = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

fn stamps(state: &State) -> Stamps {
    let stamp = |path: &PathBuf| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    let models = state.models();
    models.iter().flat_map(|model| model.files()).map(|path| (path.clone(), stamp(path))).collect()
}

/// Waits until a file differs from what was seen, and has stayed the same for one turn: writing takes time.
async fn changed(state: &State, watch: Duration, seen: &mut Stamps) {
    if watch.is_zero() {
        let _: Infallible = std::future::pending().await;
    }
    let mut last = seen.clone();
    loop {
        tokio::time::sleep(watch).await;
        let now = stamps(state);
        if now == last && now != *seen {
            *seen = now;
            return;
        }
        last = now;
    }
}

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangup {
    fn new() -> Result<Self, Error> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { signal: signal(SignalKind::hangup()).map_err(Error::Start)? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn heard(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
