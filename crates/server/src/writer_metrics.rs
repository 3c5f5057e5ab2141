//! What is counted of models that write text, under our names and, if that is asked for, under vLLM's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lm::inference::Statistics;

use crate::State;
use crate::metrics::{Histogram, Text};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Stop,
    Length,
    /// Nobody waited for it any more, or there was none.
    Abort,
}

/// As both name them; in the order of [`Ending`].
const ENDINGS: [&str; 3] = ["stop", "length", "abort"];

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

/// Counters of one model, its adapters included.
#[derive(Debug)]
pub(crate) struct WriterMetrics {
    endings: [AtomicU64; ENDINGS.len()],
    first: Histogram,
    next: Histogram,
    whole: Histogram,
}

impl Default for WriterMetrics {
    fn default() -> Self {
        let [first, next, whole] = std::array::from_fn(|_| Histogram::new(&BOUNDS));
        Self { endings: std::array::from_fn(|_| AtomicU64::new(0)), first, next, whole }
    }
}

impl WriterMetrics {
    /// Counts an answer that has ended, and how long it took.
    pub(crate) fn ended(&self, ending: Ending, took: Duration) {
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
}

/// What is read of an engine, under both names; vLLM's is empty where it has none.
struct Reading {
    names: [&'static str; 2],
    kind: &'static str,
    help: &'static str,
    value: fn(&Statistics) -> f64,
}

const READINGS: [Reading; 11] = [
    Reading {
        names: ["probity_lm_running", "vllm:num_requests_running"],
        kind: "gauge",
        help: "Answers that are being written.",
        value: |statistics| statistics.running as f64,
    },
    Reading {
        names: ["probity_lm_waiting", "vllm:num_requests_waiting"],
        kind: "gauge",
        help: "Requests that wait to be let in.",
        value: |statistics| statistics.waiting as f64,
    },
    Reading {
        names: ["probity_lm_cache_usage_ratio", "vllm:kv_cache_usage_perc"],
        kind: "gauge",
        help: "Part of the pages of keys and values that is in use, kept prefixes included; 1 is all.",
        value: |statistics| statistics.used_pages as f64 / statistics.pages.max(1) as f64,
    },
    Reading {
        names: ["probity_lm_prefix_queries_total", "vllm:prefix_cache_queries_total"],
        kind: "counter",
        help: "Tokens of prompts that were looked for among what had been read.",
        value: |statistics| statistics.prompt_tokens as f64,
    },
    Reading {
        names: ["probity_lm_prefix_hits_total", "vllm:prefix_cache_hits_total"],
        kind: "counter",
        help: "Tokens of prompts that had been read before.",
        value: |statistics| statistics.cached_tokens as f64,
    },
    Reading {
        names: ["probity_lm_prompt_tokens_total", "vllm:prompt_tokens_total"],
        kind: "counter",
        help: "Tokens of prompts that were answered.",
        value: |statistics| statistics.prompt_tokens as f64,
    },
    Reading {
        names: ["probity_lm_generated_tokens_total", "vllm:generation_tokens_total"],
        kind: "counter",
        help: "Tokens of answers.",
        value: |statistics| statistics.generated_tokens as f64,
    },
    Reading {
        names: ["probity_lm_forced_tokens_total", ""],
        kind: "counter",
        help: "Tokens of answers that the form left no choice about.",
        value: |statistics| statistics.forced_tokens as f64,
    },
    Reading {
        names: ["probity_lm_read_tokens_total", ""],
        kind: "counter",
        help: "Tokens that the model has read, of prompts and answers.",
        value: |statistics| statistics.read_tokens as f64,
    },
    Reading {
        names: ["probity_lm_preemptions_total", "vllm:num_preemptions_total"],
        kind: "counter",
        help: "Times that an answer gave up its memory to be read again.",
        value: |statistics| statistics.preempted as f64,
    },
    Reading {
        names: ["probity_lm_failed_total", ""],
        kind: "counter",
        help: "Requests without an answer.",
        value: |statistics| statistics.failed as f64,
    },
];

/// Times, under both names.
struct Timing {
    names: [&'static str; 2],
    help: &'static str,
    histogram: fn(&WriterMetrics) -> &Histogram,
}

const TIMINGS: [Timing; 3] = [
    Timing {
        names: ["probity_lm_first_token_seconds", "vllm:time_to_first_token_seconds"],
        help: "From a request to the first tokens of an answer.",
        histogram: |metrics| &metrics.first,
    },
    Timing {
        names: ["probity_lm_next_token_seconds", "vllm:inter_token_latency_seconds"],
        help: "From some tokens of an answer to the next.",
        histogram: |metrics| &metrics.next,
    },
    Timing {
        names: ["probity_lm_answer_seconds", "vllm:e2e_request_latency_seconds"],
        help: "From a request to the end of an answer.",
        histogram: |metrics| &metrics.whole,
    },
];

/// Names of the families of answers by their endings.
const ANSWERS: [&str; 2] = ["probity_lm_answers_total", "vllm:request_success_total"];
/// Labels of models, and of endings.
const LABELS: [[&str; 2]; 2] = [["model", "reason"], ["model_name", "finished_reason"]];

/// Appends the families of all models that write text.
pub(crate) fn write(state: &State, text: &mut Text) {
    let models: Vec<(String, Statistics, &WriterMetrics)> = state
        .learned
        .iter()
        .filter_map(|learned| {
            let opened = learned.slot.get().ok()?;
            let statistics = opened.host.as_ref()?.service().statistics();
            Some((opened.name.clone(), statistics, &*learned.metrics))
        })
        .collect();
    if models.is_empty() {
        return;
    }
    for (of, [model, ending]) in LABELS.iter().enumerate().take(1 + usize::from(state.vllm_metrics)) {
        for reading in READINGS.iter().filter(|reading| !reading.names[of].is_empty()) {
            text.family(reading.names[of], reading.kind, reading.help);
            for (name, statistics, _) in &models {
                text.sample("", &[(model, name)], (reading.value)(statistics));
            }
        }
        text.family(ANSWERS[of], "counter", "Answers by why they ended.");
        for (name, _, metrics) in &models {
            for (reason, count) in ENDINGS.iter().zip(&metrics.endings) {
                text.sample("", &[(model, name), (ending, reason)], count.load(Ordering::Relaxed));
            }
        }
        for timing in &TIMINGS {
            text.family(timing.names[of], "histogram", timing.help);
            for (name, _, metrics) in &models {
                (timing.histogram)(metrics).write(text, (model, name));
            }
        }
    }
}
