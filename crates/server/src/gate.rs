//! What every request passes through: id, key, concurrency, counters, log line, panics, the form of errors.
//!
//! One step instead of a tower of layers: each layer would box a future and look the path up again.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{self, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::metrics::{GONE, Route};
use crate::{ApiError, State, openai, request_id};

/// Who may use a route, and what it counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Open,
    /// Those who have the key.
    Key,
    /// Those who have the key, while there is room for another request.
    Work,
}

/// The gate of one route.
pub(crate) struct Gate {
    pub(crate) state: Arc<State>,
    pub(crate) route: Arc<Route>,
    pub(crate) access: Access,
}

pub(crate) async fn pass(extract::State(gate): extract::State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = request_id::of(request.headers());
    let visit = Visit::enter(&gate, request.method().clone(), start);
    let response = match gate.admit(request.headers()) {
        Ok(_place) => guarded(next.run(request)).await,
        Err(refusal) => refusal.into_response(),
    };
    let response = finish(response, &id, gate.route.path());
    visit.leave(response.status(), &id);
    response
}

impl Gate {
    fn admit(&self, headers: &HeaderMap) -> Result<Option<Place>, ApiError> {
        if self.access != Access::Open && !self.state.key.admits(presented(headers)) {
            return Err(ApiError::Unauthorized);
        }
        if self.access != Access::Work {
            return Ok(None);
        }
        let before = self.state.metrics.working.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.state));
        if before >= self.state.limits.requests { Err(ApiError::Busy) } else { Ok(Some(place)) }
    }
}

/// One of the requests that may be answered at once.
pub(crate) struct Place(Arc<State>);

impl Place {
    /// Another one, for what goes on behind the head of an answer.
    pub(crate) fn further(state: &Arc<State>) -> Self {
        state.metrics.working.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.metrics.working.fetch_sub(1, Ordering::Relaxed);
    }
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get("x-api-key") {
        return Some(value.as_bytes());
    }
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

/// A request on its way; if it is dropped before it leaves, the caller went away.
struct Visit<'g> {
    gate: &'g Gate,
    method: Method,
    start: Instant,
    left: bool,
}

impl<'g> Visit<'g> {
    fn enter(gate: &'g Gate, method: Method, start: Instant) -> Self {
        gate.route.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { gate, method, start, left: false }
    }

    fn leave(mut self, status: StatusCode, id: &HeaderValue) {
        self.left = true;
        let latency = self.start.elapsed();
        self.gate.route.record(&self.method, status.as_u16(), latency);
        let (path, status) = (self.gate.route.path(), status.as_u16());
        let (method, id) = (self.method.as_str(), id.to_str().unwrap_or_default());
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if status >= 500 {
            tracing::warn!(target: "probity::request", method, path, status, microseconds, request_id = id);
        } else {
            tracing::info!(target: "probity::request", method, path, status, microseconds, request_id = id);
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.gate.route.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.left {
            self.gate.route.record(&self.method, GONE, self.start.elapsed());
        }
    }
}

/// A panic becomes an answer that says nothing of the data.
async fn guarded(answer: impl Future<Output = Response>) -> Response {
    let mut answer = pin!(answer);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(ApiError::Internal.into_response()))
    })
    .await
}

/// Gives the answer its id, and a refusal its body.
fn finish(mut response: Response, id: &HeaderValue, path: &str) -> Response {
    let refusal = match response.extensions_mut().remove::<ApiError>() {
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => Some(ApiError::MethodNotAllowed),
        refusal => refusal,
    };
    if let Some(refusal) = refusal {
        *response.body_mut() = Body::from(refusal.body(id.to_str().unwrap_or_default(), openai::is_spoken_at(path)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response.headers_mut().insert(request_id::HEADER, id.clone());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_without_its_words() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let response = runtime.block_on(guarded(async { panic!("account 4711") }));
        let response = finish(response, &HeaderValue::from_static("r1"), "/score/alerts");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = runtime.block_on(axum::body::to_bytes(response.into_body(), 1000)).expect("a body");
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        assert!(body.contains("\"internal\"") && body.contains("\"r1\"") && !body.contains("4711"), "{body}");
    }
}
