//! Connections: taken, served, and closed when the server stops.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::State;

/// How long to wait before another try when the system has no sockets left.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(50);

/// Where connections come in.
pub(crate) struct Entrance {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    pub(crate) state: Arc<State>,
    pub(crate) connections: u32,
    /// How long requests under way may take when the server stops.
    pub(crate) patience: Duration,
}

impl Entrance {
    /// Takes connections until told to stop; returns when all of them have ended, or patience has.
    pub(crate) async fn open(self, mut stopped: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.connections as usize));
        loop {
            let taken = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                taken = taken => taken,
                _ = stopped.changed() => break,
            };
            match (place, accepted) {
                (Ok(place), Ok((stream, _))) => {
                    let connection = Connection::new(&self.state, place);
                    tokio::spawn(connection.serve(stream, self.router.clone(), stopped.clone()));
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "failed to take a connection");
                    tokio::time::sleep(OUT_OF_SOCKETS).await;
                }
                (Err(_), _) => break,
            }
        }
        drop(self.listener);
        // All places are free when all connections have ended.
        if tokio::time::timeout(self.patience, places.acquire_many(self.connections)).await.is_err() {
            tracing::warn!("stopped with requests unanswered: patience ended");
        }
    }
}

struct Connection {
    state: Arc<State>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(state: &Arc<State>, place: OwnedSemaphorePermit) -> Self {
        state.metrics.connections.fetch_add(1, Ordering::Relaxed);
        Self { state: Arc::clone(state), _place: place }
    }

    async fn serve(self, stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
        // Answers are small and whole: waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.state.limits.request_timeout)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut connection = pin!(connection);
        tokio::select! {
            // A caller that went away is no event of ours.
            _ = connection.as_mut() => {}
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
