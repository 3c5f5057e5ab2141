//! What the engine does with prompts of random tokens: how fast it reads them, goes on, and reads what it knows.

use std::time::Duration;

use decision::mixing;
use lm::inference::{Host, Request};
use serde::Serialize;

use super::drive::{Timed, drive};
use crate::commands::bench::median;

/// How long prompts and answers are.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Rounds of which the median counts.
    pub(super) rounds: usize,
    pub(super) prompt: usize,
    pub(super) answer: usize,
    pub(super) prefix: usize,
}

/// Tokens of the short prompts that answers are timed behind, and of what is new behind a known prefix.
const SHORT: usize = 32;

impl Shape {
    /// As much of this as a model with so many positions takes.
    pub(super) fn within(self, positions: usize) -> Self {
        Self {
            prompt: self.prompt.clamp(1, positions.saturating_sub(1).max(1)),
            answer: self.answer.clamp(2, positions.saturating_sub(SHORT).max(2)),
            prefix: self.prefix.min(positions.saturating_sub(SHORT + 1)),
            ..self
        }
    }
}

/// Speed at one number of requests in flight.
#[derive(Serialize)]
pub(super) struct Speed {
    concurrency: usize,
    /// Tokens of prompts that were never seen, read a second.
    prefill_tokens_per_second: f64,
    prompt_tokens: usize,
    /// Tokens of answers a second, from the first one on.
    decode_tokens_per_second: f64,
    answer_tokens: usize,
}

/// What a prefix costs when it is new and when it is known.
#[derive(Serialize)]
pub(super) struct Prefix {
    prefix_tokens: usize,
    suffix_tokens: usize,
    /// Until the first token of the answer.
    first_ms: f64,
    second_ms: f64,
    /// Tokens of the second prompt that were not read again.
    cached_tokens: usize,
    /// Tokens that were.
    read_tokens: usize,
    /// Time of the second as a part of that of the first.
    ratio: f64,
}

/// Tokens that nobody has seen, the same in every run.
pub(super) struct Noise {
    place: u64,
    vocabulary: usize,
}

impl Noise {
    pub(super) fn new(host: &Host) -> Self {
        Self { place: 0, vocabulary: host.service().config().vocabulary }
    }

    pub(super) fn tokens(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.next() as u32).collect()
    }

    fn next(&mut self) -> u64 {
        self.place += 1;
        mixing::drawn(7, self.place) % self.vocabulary.max(1) as u64
    }
}

impl Speed {
    pub(super) fn measure(host: &Host, concurrency: usize, shape: &Shape, noise: &mut Noise) -> anyhow::Result<Self> {
        let (mut prefill, mut decode) = (Vec::new(), Vec::new());
        for _ in 0..shape.rounds.max(1) {
            let seconds = wave(host, concurrency, shape.prompt, 1, noise, |all| {
                let begin = all.iter().map(|timed| timed.begin).min()?;
                Some(all.iter().map(|timed| timed.first).max()? - begin)
            })?;
            prefill.push((concurrency * shape.prompt) as f64 / seconds);
            let seconds = wave(host, concurrency, SHORT, shape.answer, noise, |all| {
                let begin = all.iter().map(|timed| timed.first).min()?;
                Some(all.iter().map(|timed| timed.end).max()? - begin)
            })?;
            decode.push((concurrency * (shape.answer - 1)) as f64 / seconds);
        }
        Ok(Self {
            concurrency,
            prefill_tokens_per_second: median(&mut prefill),
            prompt_tokens: shape.prompt,
            decode_tokens_per_second: median(&mut decode),
            answer_tokens: shape.answer,
        })
    }
}

/// So many requests at once, none of which ends early: the seconds between two of their moments.
fn wave(
    host: &Host,
    concurrency: usize,
    prompt: usize,
    answer: usize,
    noise: &mut Noise,
    between: impl Fn(&[Timed]) -> Option<Duration>,
) -> anyhow::Result<f64> {
    let requests: Vec<Request> = (0..concurrency).map(|_| Request::new(noise.tokens(prompt), answer, &[])).collect();
    let all = drive(host.service(), requests, concurrency)?;
    Ok(between(&all).unwrap_or_default().as_secs_f64().max(1e-9))
}

impl Prefix {
    /// Nothing if there is no prefix to measure with.
    pub(super) fn measure(host: &Host, shape: &Shape, noise: &mut Noise) -> anyhow::Result<Option<Self>> {
        if shape.prefix == 0 {
            return Ok(None);
        }
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut cached = 0;
        for _ in 0..shape.rounds.max(1) {
            let prefix = noise.tokens(shape.prefix);
            for times in [&mut first, &mut second] {
                let prompt = [prefix.clone(), noise.tokens(SHORT)].concat();
                let all = drive(host.service(), [Request::new(prompt, 1, &[])], 1)?;
                times.extend(all.iter().map(|timed| timed.until_first().as_secs_f64() * 1e3));
                cached = all.iter().map(|timed| timed.done.usage.cached).sum();
            }
        }
        let (first_ms, second_ms) = (median(&mut first), median(&mut second));
        Ok(Some(Self {
            prefix_tokens: shape.prefix,
            suffix_tokens: SHORT,
            first_ms,
            second_ms,
            cached_tokens: cached,
            read_tokens: shape.prefix + SHORT - cached,
            ratio: second_ms / first_ms,
        }))
    }
}
