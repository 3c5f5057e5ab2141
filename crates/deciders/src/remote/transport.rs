//! Requests that are sent as often, as fast and as many at a time as was asked for.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::options::Options;

/// The first wait before a request is repeated, which doubles each time, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What an endpoint may answer with: far more than a decision takes.
const LONGEST_ANSWER: u64 = 16 << 20;

/// Characters of an endpoint's own words that are repeated.
const LONGEST_MESSAGE: usize = 200;

/// See the module.
pub(super) struct Transport {
    agent: ureq::Agent,
    address: String,
    authorization: Option<String>,
    retries: u32,
    places: Places,
    /// When the next request may begin, and the time between two.
    next: Mutex<Instant>,
    interval: Duration,
    requests: AtomicU64,
}

/// Why a request was not answered, and whether it may be if it is repeated, and then when at the earliest.
struct Failure {
    problem: String,
    again: Option<Duration>,
}

impl Transport {
    pub(super) fn new(options: &Options) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_global(Some(options.timeout))
            .max_idle_connections_per_host(options.concurrency)
            .http_status_as_error(false);
        Self {
            agent: config.build().new_agent(),
            address: options.address(),
            authorization: options.key.as_ref().map(|key| format!("Bearer {key}")),
            retries: options.retries,
            places: Places { free: Mutex::new(options.concurrency), given_back: Condvar::new() },
            next: Mutex::new(Instant::now()),
            interval: Duration::from_secs_f64(options.rate.map_or(0.0, |rate| 1.0 / rate)),
            requests: AtomicU64::new(0),
        }
    }

    /// Requests that were sent, repeated ones included.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The endpoint's answer to a body, after as many attempts as it takes and is allowed.
    ///
    /// # Errors
    /// What the last attempt came to.
    pub(super) fn post(&self, body: &Value) -> Result<Value, String> {
        let body = body.to_string();
        let mut attempt = 0;
        loop {
            self.wait_for_turn();
            let sent = {
                let _place = self.places.take();
                self.send(&body)
            };
            let failure = match sent {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(asked) = failure.again.filter(|_| attempt < self.retries) else { return Err(failure.problem) };
            let doubled = FIRST_WAIT.saturating_mul(1 << attempt.min(16)).min(LONGEST_WAIT);
            // Between half and all of it, so that many who failed at once do not all come back at once.
            let wait = doubled.mul_f64(0.5 + 0.5 * random());
            std::thread::sleep(wait.max(asked.min(LONGEST_WAIT)));
            attempt += 1;
        }
    }

    fn send(&self, body: &str) -> Result<Value, Failure> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.agent.post(&self.address).header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let broken = |error: ureq::Error| Failure {
            problem: format!("the endpoint cannot be asked: {error}"),
            again: may_pass(&error).then_some(Duration::ZERO),
        };
        let mut response = request.send(body).map_err(broken)?;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let text = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec().map_err(broken)?;
        let answer: Option<Value> = serde_json::from_slice(&text).ok();
        match (status, answer) {
            (200, Some(answer)) => Ok(answer),
            (200, None) => Err(Failure { problem: "the endpoint's answer is not JSON".to_owned(), again: None }),
            (_, answer) => Err(Failure {
                problem: format!("the endpoint refuses with status {status}{}", message(answer.as_ref())),
                again: matches!(status, 408 | 429 | 500..=599).then(|| Duration::from_secs(after.unwrap_or(0))),
            }),
        }
    }

    /// Waits until another request may begin.
    fn wait_for_turn(&self) {
        if self.interval.is_zero() {
            return;
        }
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        std::thread::sleep(turn.saturating_duration_since(Instant::now()));
    }
}

/// Whether an error may be gone the next time: a connection that broke, and neither an address that cannot be nor a
/// certificate that is not trusted, which comes as invalid data.
fn may_pass(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => true,
        ureq::Error::Io(error) => !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput),
        // The answer ended early.
        ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// What an endpoint says of its refusal.
fn message(answer: Option<&Value>) -> String {
    let text = answer.and_then(|answer| answer["error"]["message"].as_str().or(answer["error"].as_str()));
    text.map_or_else(String::new, |text| format!(": {}", text.chars().take(LONGEST_MESSAGE).collect::<String>()))
}

/// A number from 0 to 1 that nobody has to repeat.
fn random() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// Places for requests under way, for all workers together.
struct Places {
    free: Mutex<usize>,
    given_back: Condvar,
}

impl Places {
    /// Takes a place, which is given back when it is dropped.
    fn take(&self) -> Taken<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.given_back.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Taken(self)
    }
}

struct Taken<'p>(&'p Places);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_may_come_back_and_certificates_do_not_get_better() {
        let io = |kind: ErrorKind| ureq::Error::Io(kind.into());
        assert!(may_pass(&io(ErrorKind::ConnectionRefused)) && may_pass(&io(ErrorKind::ConnectionReset)));
        assert!(may_pass(&ureq::Error::ConnectionFailed));
        // As rustls says that it does not trust a certificate.
        assert!(!may_pass(&io(ErrorKind::InvalidData)));
        assert!(!may_pass(&ureq::Error::HostNotFound) && !may_pass(&ureq::Error::BadUri("x".to_owned())));
    }
}
