//! What a service counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that is now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicUsize);

impl Gauge {
    pub(crate) fn set(&self, value: usize) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that is counted, as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) running: Gauge,
    pub(crate) waiting: Gauge,
    /// Requests that the engine has and has not begun.
    pub(crate) asked: Gauge,
    pub(crate) pages: Gauge,
    pub(crate) used: Gauge,
    pub(crate) prompt: Counter,
    pub(crate) cached: Counter,
    pub(crate) read: Counter,
    pub(crate) generated: Counter,
    pub(crate) forced: Counter,
    pub(crate) ended: Counter,
    pub(crate) cut: Counter,
    pub(crate) failed: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) preempted: Counter,
}

/// What a service has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Sequences that advance together now.
    pub running: usize,
    /// Sequences that wait to be let in.
    pub waiting: usize,
    /// Pages of keys and values that there may be.
    pub pages: usize,
    /// Pages that there are, kept prefixes included.
    pub used_pages: usize,
    /// Tokens of prompts that were answered.
    pub prompt_tokens: u64,
    /// Of these, tokens that had been read before.
    pub cached_tokens: u64,
    /// Tokens that the model has read: of prompts and answers, those of preempted sequences again.
    pub read_tokens: u64,
    /// Tokens of answers.
    pub generated_tokens: u64,
    /// Of these, tokens that a grammar forced.
    pub forced_tokens: u64,
    /// Answers that came to an end of their own.
    pub ended: u64,
    /// Answers that reached their length.
    pub cut: u64,
    /// Requests without an answer.
    pub failed: u64,
    /// Requests whose callers went away.
    pub cancelled: u64,
    /// Times that a sequence gave up its pages to be read again.
    pub preempted: u64,
}

impl Counters {
    /// After a fault there is nothing under way.
    pub(crate) fn forget(&self) {
        for gauge in [&self.running, &self.waiting, &self.asked, &self.used] {
            gauge.set(0);
        }
    }

    pub(crate) fn snapshot(&self) -> Statistics {
        Statistics {
            running: self.running.get(),
            waiting: self.waiting.get() + self.asked.get(),
            pages: self.pages.get(),
            used_pages: self.used.get(),
            prompt_tokens: self.prompt.get(),
            cached_tokens: self.cached.get(),
            read_tokens: self.read.get(),
            generated_tokens: self.generated.get(),
            forced_tokens: self.forced.get(),
            ended: self.ended.get(),
            cut: self.cut.get(),
            failed: self.failed.get(),
            cancelled: self.cancelled.get(),
            preempted: self.preempted.get(),
        }
    }
}
