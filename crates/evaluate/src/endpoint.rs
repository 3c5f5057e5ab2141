//! What callers see of an endpoint that decides: quality, time and tokens at each number of requests in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use decision::{Decision, Truth};
use serde::{Deserialize, Serialize};

use crate::compare::Row;
use crate::observations::{Observation, Observations};
use crate::scorecard::{Scorecard, Settings};

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What is right.
    pub truth: Truth,
    /// What was said.
    pub answer: Answer,
    /// From the request's first byte to the answer's last.
    pub time: Duration,
    /// Until the first text of the answer, where answers come in pieces.
    pub first_token: Option<Duration>,
    /// Tokens, where the endpoint counts them.
    pub tokens: Tokens,
}

/// What an endpoint said of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A decision of the desk.
    Decision(Decision),
    /// A text that is no decision: it counts as wrong.
    Invalid,
    /// No text at all, by the kind of failure: it counts as wrong.
    Failed(String),
}

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt.
    pub prompt: Option<u64>,
    /// Of these, those that had been read before.
    pub cached: Option<u64>,
    /// Of the answer.
    pub output: Option<u64>,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Times {
    /// Of some durations, by nearest rank; nothing of none.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<f64> = durations.into_iter().map(|time| time.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        let max = *sorted.last()?;
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Some(Self { mean, p50: at(0.50), p95: at(0.95), p99: at(0.99), max })
    }
}

/// Figures at one number of requests in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Requests in flight.
    pub concurrency: usize,
    /// Requests sent.
    pub requests: usize,
    /// Requests that were answered, be it with nonsense.
    pub answered: usize,
    /// Requests that were never sent, because the endpoint had gone away.
    pub unsent: usize,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Share of right outcomes of all requests sent.
    pub accuracy: f64,
    /// Its 95 % bootstrap interval.
    pub accuracy_interval: (f64, f64),
    /// Share of right outcomes of the valid answers. It flatters where answers are invalid.
    pub accuracy_of_valid: Option<f64>,
    /// Mean of the outcomes' F1.
    pub macro_f1: f64,
    /// F1 of the reasons.
    pub reasons_f1: f64,
    /// Share of requests answered with the right outcome, level and set of reasons.
    pub exact_match: f64,
    /// Share of answers that are decisions of the desk's form.
    pub json_validity: Option<f64>,
    /// Time of the requests that were answered.
    pub latency_ms: Option<Times>,
    /// Time until the first text.
    pub first_token_ms: Option<Times>,
    /// Answers a second.
    pub requests_per_second: f64,
    /// Tokens of answers a second.
    pub output_tokens_per_second: Option<f64>,
    /// Tokens of all prompts.
    pub prompt_tokens: Option<u64>,
    /// Of these, those that had been read before.
    pub cached_tokens: Option<u64>,
    /// Tokens of all answers.
    pub output_tokens: Option<u64>,
    /// Requests without an answer, by kind.
    pub errors: BTreeMap<String, usize>,
}

impl Level {
    /// Measures. `outcomes` are the desk's, least severe first.
    pub fn new(concurrency: usize, samples: &[Sample], seconds: f64, outcomes: &[&str]) -> Self {
        let card = scorecard(samples.iter(), outcomes);
        let valid = |sample: &&Sample| matches!(sample.answer, Answer::Decision(_));
        let valid_only = scorecard(samples.iter().filter(valid), outcomes);
        let mut errors = BTreeMap::new();
        for sample in samples {
            if let Answer::Failed(kind) = &sample.answer {
                *errors.entry(kind.clone()).or_default() += 1;
            }
        }
        let answered: Vec<&Sample> =
            samples.iter().filter(|sample| !matches!(sample.answer, Answer::Failed(_))).collect();
        let count = answered.len();
        // A sum in which some are missing would be of no use.
        let sum = |read: fn(&Tokens) -> Option<u64>| -> Option<u64> {
            answered.iter().map(|sample| read(&sample.tokens)).sum::<Option<u64>>().filter(|_| count > 0)
        };
        let output_tokens = sum(|tokens| tokens.output);
        let rate = |number: f64| if seconds > 0.0 { number / seconds } else { 0.0 };
        Self {
            concurrency,
            requests: samples.len(),
            answered: count,
            unsent: 0,
            seconds,
            accuracy: card.accuracy.value,
            accuracy_interval: (card.accuracy.low, card.accuracy.high),
            accuracy_of_valid: (valid_only.cases > 0).then_some(valid_only.accuracy.value),
            macro_f1: card.macro_f1.value,
            reasons_f1: card.reasons_f1.value,
            exact_match: card.exact_match,
            json_validity: (count > 0).then(|| (samples.len() - card.invalid) as f64 / count as f64),
            latency_ms: Times::of(answered.iter().map(|sample| sample.time)),
            first_token_ms: Times::of(answered.iter().filter_map(|sample| sample.first_token)),
            requests_per_second: rate(count as f64),
            output_tokens_per_second: output_tokens.map(|tokens| rate(tokens as f64)),
            prompt_tokens: sum(|tokens| tokens.prompt),
            cached_tokens: sum(|tokens| tokens.cached),
            output_tokens,
            errors,
        }
    }
}

fn scorecard<'s>(samples: impl Iterator<Item = &'s Sample>, outcomes: &[&str]) -> Scorecard {
    let observation = |sample: &Sample| Observation {
        truth: sample.truth.clone(),
        decision: match &sample.answer {
            Answer::Decision(decision) => Some(decision.clone()),
            Answer::Invalid | Answer::Failed(_) => None,
        },
    };
    let observations = Observations { list: samples.map(observation).collect(), ..Observations::default() };
    let outcomes = outcomes.iter().map(|outcome| (*outcome).to_owned()).collect();
    Scorecard::new(&observations, &Settings { outcomes, ..Settings::default() })
}

/// Everything measured of one endpoint on one set of cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Always `endpoint`.
    pub kind: Kind,
    /// Version of this form.
    pub format: u32,
    /// What was asked.
    pub url: String,
    /// The model's name, or `rules`.
    pub model: String,
    /// The desk.
    pub desk: String,
    /// Name of the set of cases.
    pub set: String,
    /// Different cases in it.
    pub cases: usize,
    /// How cases were written: the prompt's version, or `facts`.
    pub prompt: String,
    /// How the form of the answer was asked for.
    pub schema: String,
    /// Whether answers came in pieces.
    pub stream: bool,
    /// Whether it was told to stop before its end.
    pub interrupted: bool,
    /// Figures at each number of requests in flight.
    pub levels: Vec<Level>,
}

/// Tells these figures from scorecards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Figures of an endpoint.
    Endpoint,
}

type Figure = (&'static str, bool, fn(&Level) -> Option<f64>);

const FIGURES: [Figure; 11] = [
    ("accuracy", true, |l| Some(l.accuracy)),
    ("exact match", true, |l| Some(l.exact_match)),
    ("reasons F1", true, |l| Some(l.reasons_f1)),
    ("JSON validity", true, |l| l.json_validity),
    ("mean ms", false, |l| l.latency_ms.map(|times| times.mean)),
    ("p50 ms", false, |l| l.latency_ms.map(|times| times.p50)),
    ("p95 ms", false, |l| l.latency_ms.map(|times| times.p95)),
    ("p99 ms", false, |l| l.latency_ms.map(|times| times.p99)),
    ("first ms", false, |l| l.first_token_ms.map(|times| times.p50)),
    ("answers/s", true, |l| Some(l.requests_per_second)),
    ("tokens/s", true, |l| l.output_tokens_per_second),
];

/// The levels of all endpoints, each named by its endpoint and its number of requests in flight.
pub fn names(names: &[String], endpoints: &[Endpoint]) -> Vec<String> {
    let levels = |(name, endpoint): (&String, &Endpoint)| -> Vec<String> {
        endpoint.levels.iter().map(|level| format!("{name}@{}", level.concurrency)).collect()
    };
    names.iter().zip(endpoints).flat_map(levels).collect()
}

/// The figures that at least one level has: a value for each level of each endpoint.
pub fn rows(endpoints: &[Endpoint]) -> Vec<Row> {
    let levels: Vec<&Level> = endpoints.iter().flat_map(|endpoint| &endpoint.levels).collect();
    FIGURES
        .iter()
        .map(|(figure, higher_is_better, read)| Row {
            figure,
            higher_is_better: *higher_is_better,
            values: levels.iter().map(|level| read(level)).collect(),
        })
        .filter(|row| row.values.iter().any(Option::is_some))
        .collect()
}

/// The figures as a table in which every level is a line, headed by the figures.
pub fn render(names: &[String], rows: &[Row]) -> String {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5) + 1;
    let mut out = format!("{:<width$}", "model");
    for row in rows {
        out += &format!("{:>w$}", row.figure, w = column(row));
    }
    out.push('\n');
    for (place, name) in names.iter().enumerate() {
        out += &format!("{name:<width$}");
        for row in rows {
            let text = row.values.get(place).copied().flatten().map_or("-".to_owned(), figure);
            out += &format!("{text:>w$}", w = column(row));
        }
        out.push('\n');
    }
    out
}

fn column(row: &Row) -> usize {
    row.figure.len().max(8) + 2
}

/// Four digits behind the point for what is small, none for what is large.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 10.0 => 1,
        size if size > 1.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(truth: &str, answer: Answer, milliseconds: u64) -> Sample {
        Sample {
            truth: Truth { outcome: truth.to_owned(), level: None, reasons: Vec::new() },
            answer,
            time: Duration::from_millis(milliseconds),
            first_token: None,
            tokens: Tokens { prompt: Some(10), cached: None, output: Some(5) },
        }
    }

    fn decided(outcome: &str) -> Answer {
        Answer::Decision(Decision { outcome: outcome.to_owned(), ..Decision::default() })
    }

    #[test]
    fn invalid_answers_and_failures_are_wrong_and_told_apart() {
        let samples = [
            sample("SAR", decided("SAR"), 10),
            sample("SAR", decided("CLEAR"), 20),
            sample("CLEAR", Answer::Invalid, 30),
            sample("CLEAR", Answer::Failed("status 503".to_owned()), 4000),
        ];
        let level = Level::new(2, &samples, 0.5, &["CLEAR", "SAR"]);
        assert_eq!((level.requests, level.answered, level.accuracy), (4, 3, 0.25));
        assert_eq!(level.accuracy_of_valid, Some(0.5));
        assert!((level.json_validity.expect("there are answers") - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(level.errors, BTreeMap::from([("status 503".to_owned(), 1)]));
        let times = level.latency_ms.expect("there are answers");
        assert_eq!((times.mean, times.p50, times.max), (20.0, 20.0, 30.0));
        assert_eq!((level.requests_per_second, level.output_tokens_per_second), (6.0, Some(30.0)));
        assert_eq!((level.prompt_tokens, level.cached_tokens, level.first_token_ms), (Some(30), None, None));
    }

    #[test]
    fn nothing_measured_gives_no_figures() {
        let level = Level::new(1, &[], 0.0, &["CLEAR"]);
        assert_eq!((level.latency_ms, level.json_validity, level.output_tokens), (None, None, None));
        assert_eq!((level.accuracy, level.requests_per_second), (0.0, 0.0));
    }

    #[test]
    fn every_level_is_a_line() {
        let levels = [1, 16].map(|concurrency| {
            Level::new(concurrency, &[sample("SAR", decided("SAR"), 10 * concurrency as u64)], 1.0, &["SAR"])
        });
        let endpoint = Endpoint {
            kind: Kind::Endpoint,
            format: 1,
            url: String::new(),
            model: "m".to_owned(),
            desk: "transactions".to_owned(),
            set: String::new(),
            cases: 1,
            prompt: String::new(),
            schema: String::new(),
            stream: false,
            interrupted: false,
            levels: levels.to_vec(),
        };
        let endpoints = [endpoint];
        let names = names(&["m".to_owned()], &endpoints);
        let table = render(&names, &rows(&endpoints));
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((lines[1][0], lines[1][5]), ("m@1", "10.0"));
        assert_eq!((lines[2][0], lines[2][5]), ("m@16", "160.0"));
        assert!(!table.contains("first ms"), "nobody has that figure");
    }
}
