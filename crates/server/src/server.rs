//! From settings to a server that answers, and back to nothing.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::reload::{self, Reasons};
use crate::{Error, Settings, State, listen, routes, state};

/// A bound socket and a state.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    state: Arc<State>,
    threads: usize,
    connections: u32,
    shutdown: Duration,
    watch: Duration,
    batch_requests: usize,
}

impl Server {
    /// Takes the address. Nothing is loaded or answered yet.
    ///
    /// # Errors
    /// When the address cannot be had, or an origin is none.
    pub fn bind(settings: &Settings, state: State) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(state);
        Ok(Self {
            listener,
            address,
            router: routes::router(&state, &settings.cors_origins)?,
            state,
            threads: state::threads(settings),
            connections: settings.max_connections,
            shutdown: settings.shutdown_timeout,
            watch: settings.watch,
            batch_requests: settings.batch_places(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its requests share.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Loads the models and answers requests, at first with 503, until `stop` is ready; then finishes what
    /// was taken. SIGHUP reloads.
    ///
    /// # Errors
    /// When a model cannot be loaded, or the system refuses threads.
    pub fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        if self.state.key.is_none() && !self.address.ip().is_loopback() {
            let address = self.address.to_string();
            tracing::warn!(address, "other machines reach this server, and no key is asked for: see --api-key");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads.max(2))
            .enable_all()
            .build()
            .map_err(Error::Start)?;
        let pulse = Pulse::start(runtime.handle());
        let result = runtime.block_on(self.serve(stop));
        drop(pulse);
        // Work that nobody waits for any more may go on for long; it is left to the end of the process.
        runtime.shutdown_background();
        result
    }

    async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let (stopping, stopped) = watch::channel(false);
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(Error::Start)?;
        let entrance = listen::Entrance {
            listener,
            router: self.router,
            state: Arc::clone(&self.state),
            connections: self.connections,
            patience: self.shutdown,
        };
        let accepting = tokio::spawn(entrance.open(stopped));
        let address = self.address.to_string();
        tracing::info!(address, "listening");
        let reasons = Reasons::new(&self.state, self.watch)?;
        let loaded = tokio::task::spawn_blocking({
            let state = Arc::clone(&self.state);
            move || reload::load_all(&state)
        });
        let trainings = self.state.run_jobs(self.shutdown)?;
        let mut batches = None;
        let work = async {
            loaded.await.map_err(|error| Error::Start(error.into()))??;
            batches = self.state.answer_batches(self.batch_requests)?;
            match reasons.heed().await {}
        };
        let result = tokio::select! {
            result = work => result,
            () = stop => Ok(()),
        };
        tracing::info!("stopping: finishing what was taken");
        // The receivers are the connections: nobody left is no failure.
        let _ = stopping.send(true);
        let background = tokio::task::spawn_blocking(move || drop((batches, trainings)));
        accepting.await.map_err(|error| Error::Start(error.into()))?;
        background.await.map_err(|error| Error::Start(error.into()))?;
        tracing::info!("stopped");
        result
    }
}

/// Keeps the server listening while one case takes long on the very thread that listened: a thread that has
/// nothing to do takes over the sockets only when it is woken. That thread is why there are at least two.
struct Pulse {
    /// Its end is the thread's.
    _end: mpsc::Sender<()>,
}

impl Pulse {
    const EVERY: Duration = Duration::from_millis(20);

    fn start(runtime: &Handle) -> Self {
        let (end, ended) = mpsc::channel::<()>();
        let runtime = runtime.clone();
        std::thread::spawn(move || {
            while ended.recv_timeout(Self::EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                runtime.spawn(std::future::ready(()));
            }
        });
        Self { _end: end }
    }
}
