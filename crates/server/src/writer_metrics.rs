//! What is counted of a model that writes text.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::{Histogram, Text};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Stop,
    Length,
    /// Nobody waited for it any more, or the engine failed.
    Abort,
}

const ENDINGS: [(&str, Ending); 3] = [("stop", Ending::Stop), ("length", Ending::Length), ("abort", Ending::Abort)];

/// Upper bounds of the histograms, in microseconds.
const BOUNDS: [u64; 16] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// Counters of one model, of its adapters too.
#[derive(Debug)]
pub(crate) struct WriterMetrics {
    endings: [AtomicU64; ENDINGS.len()],
    tokens: AtomicU64,
    first: Histogram,
    next: Histogram,
    whole: Histogram,
}

impl Default for WriterMetrics {
    fn default() -> Self {
        let histogram = || Histogram::new(&BOUNDS);
        Self {
            endings: std::array::from_fn(|_| AtomicU64::new(0)),
            tokens: AtomicU64::new(0),
            first: histogram(),
            next: histogram(),
            whole: histogram(),
        }
    }
}

impl WriterMetrics {
    /// Counts an answer that has ended, and how long it took.
    pub(crate) fn count(&self, ending: Ending, took: Duration) {
        self.endings[ending as usize].fetch_add(1, Ordering::Relaxed);
        self.whole.record(took);
    }

    /// Counts the time to an answer's first tokens.
    pub(crate) fn first(&self, took: Duration) {
        self.first.record(took);
    }

    /// Counts the time from some tokens to the next.
    pub(crate) fn next(&self, took: Duration) {
        self.next.record(took);
    }

    /// Counts tokens of answers.
    pub(crate) fn tokens(&self, count: usize) {
        self.tokens.fetch_add(count as u64, Ordering::Relaxed);
    }
}
