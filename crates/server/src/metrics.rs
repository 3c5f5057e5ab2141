//! Counters of requests, as Prometheus text.
//!
//! Plain atomics in fixed tables: counting a request is five additions and no look-up, and what there is to
//! count is known when the server starts.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};

/// Statuses with a counter of their own; the last stands for all others. 499: the caller went away.
const STATUSES: [&str; 18] = [
    "200", "202", "400", "401", "403", "404", "405", "408", "409", "413", "415", "422", "429", "499", "500", "503",
    "504", "other",
];

/// The callers that went away before they were answered.
pub(crate) const GONE: u16 = 499;

/// Methods with counters of their own; the last stands for all others.
const METHODS: [&str; 5] = ["GET", "POST", "HEAD", "DELETE", "other"];

/// Upper bounds of the latency histogram, in microseconds.
const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Durations by upper bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// In microseconds, ascending.
    bounds: &'static [u64],
    /// One more than there are bounds.
    buckets: Vec<AtomicU64>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, nanoseconds: AtomicU64::new(0) }
    }

    pub(crate) fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| bound * 1_000 < nanoseconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Appends the samples of the family that was begun last, with one label of its own.
    pub(crate) fn write(&self, text: &mut Text, label: (&str, &str)) {
        let mut total = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            let bound = self.bounds.get(index).map_or("+Inf".to_owned(), |bound| (*bound as f64 / 1e6).to_string());
            text.sample("_bucket", &[label, ("le", &bound)], total);
        }
        text.sample("_sum", &[label], self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9);
        text.sample("_count", &[label], total);
    }
}

/// What is counted of one path.
#[derive(Debug)]
pub(crate) struct Route {
    path: String,
    requests: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    latencies: Histogram,
    pub(crate) in_flight: AtomicI64,
}

impl Route {
    fn new(path: &str) -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            path: path.to_owned(),
            requests: std::array::from_fn(|_| std::array::from_fn(zero)),
            latencies: Histogram::new(&BOUNDS),
            in_flight: AtomicI64::new(0),
        }
    }

    /// The path's pattern: the only form of a path that is logged or counted.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Counts one answer.
    pub(crate) fn record(&self, method: &Method, status: u16, latency: Duration) {
        let method = match *method {
            Method::GET => 0,
            Method::POST => 1,
            Method::HEAD => 2,
            Method::DELETE => 3,
            _ => 4,
        };
        self.requests[method][column(status)].fetch_add(1, Ordering::Relaxed);
        self.latencies.record(latency);
    }
}

fn column(status: u16) -> usize {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::OK) => 0,
        Ok(status) => STATUSES.iter().position(|name| *name == status.as_str()).unwrap_or(STATUSES.len() - 1),
        Err(_) => STATUSES.len() - 1,
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    routes: std::sync::OnceLock<Vec<std::sync::Arc<Route>>>,
    /// Connections that are open.
    pub(crate) connections: AtomicI64,
    /// Requests of work routes that are being answered.
    pub(crate) working: AtomicI64,
    /// Reloads that succeeded, and that failed.
    pub(crate) reloads: [AtomicU64; 2],
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            routes: std::sync::OnceLock::new(),
            connections: AtomicI64::new(0),
            working: AtomicI64::new(0),
            reloads: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }
}

impl Metrics {
    /// Makes the tables, once, for all paths.
    pub(crate) fn routes(&self, paths: &[&str]) -> &[std::sync::Arc<Route>] {
        self.routes.get_or_init(|| paths.iter().map(|path| std::sync::Arc::new(Route::new(path))).collect())
    }

    /// Appends the requests' families.
    pub(crate) fn write(&self, text: &mut Text) {
        let routes = self.routes.get().map(Vec::as_slice).unwrap_or_default();
        text.family("probity_http_requests_total", "counter", "Answered requests.");
        for route in routes {
            for (method, statuses) in METHODS.iter().zip(&route.requests) {
                for (status, count) in STATUSES.iter().zip(statuses) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        text.sample("", &[("method", method), ("path", &route.path), ("status", status)], count);
                    }
                }
            }
        }
        text.family("probity_http_request_duration_seconds", "histogram", "From the head of a request to its answer.");
        for route in routes {
            route.latencies.write(text, ("path", &route.path));
        }
        text.family("probity_http_requests_in_flight", "gauge", "Requests that are being answered.");
        for route in routes {
            text.sample("", &[("path", &route.path)], route.in_flight.load(Ordering::Relaxed));
        }
        text.family("probity_http_connections", "gauge", "Open connections.");
        text.sample("", &[], self.connections.load(Ordering::Relaxed));
        text.family("probity_model_reloads_total", "counter", "Reloads by their result.");
        for (result, count) in ["done", "failed"].iter().zip(&self.reloads) {
            text.sample("", &[("result", result)], count.load(Ordering::Relaxed));
        }
    }
}

/// Prometheus' text format, version 0.0.4.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    name: &'static str,
}

impl Text {
    /// Begins a family; samples follow.
    pub(crate) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample of the family that was begun last.
    pub(crate) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (index, (label, content)) in labels.iter().enumerate() {
            let content = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{content}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}
