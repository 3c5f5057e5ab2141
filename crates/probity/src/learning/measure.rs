//! Figures of a decider on labelled cases: it decides lines as `probity decide` does, and `evaluate` measures.

use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use decision::lines::decide_lines;
use decision::{Decider, DecisionLine, Desk, Truth};
use desks::transactions::{POSITIVE, Transactions};
use evaluate::{Observation, Observations, Scorecard, Settings};
use serde_json::json;

use super::labels::Labelled;
use super::material::Set;
use super::parts::part;
use crate::commands::decide::Timed;

/// What a decider said of a set, and what it took.
pub(super) struct Measured {
    pub(super) observations: Observations,
    nanoseconds: Vec<u64>,
    seconds: f64,
}

impl Measured {
    /// Lets a decider decide a set.
    pub(super) fn of(decider: &dyn Decider, set: &Set, threads: usize) -> anyhow::Result<Self> {
        let mut input = String::new();
        let mut truths = Vec::with_capacity(set.cases.len());
        for (number, case) in set.cases.iter().enumerate() {
            input += &format!("{}\n", json!({"case_id": number.to_string(), "facts": case.facts}));
            truths.push((number.to_string(), truth(case)));
        }
        let timed = Timed { inner: decider, nanoseconds: Mutex::default() };
        let mut output = Vec::new();
        let start = Instant::now();
        decide_lines(&Transactions, &timed, input.as_bytes(), &mut output, threads)?;
        let seconds = start.elapsed().as_secs_f64();
        let lines: Result<Vec<DecisionLine>, _> =
            serde_json::Deserializer::from_slice(&output).into_iter::<DecisionLine>().collect();
        let observations = Observations::join(truths, lines?)
            .with_context(|| format!("failed to measure the model on the set `{}`", set.name))?;
        let nanoseconds = timed.nanoseconds.into_inner().unwrap_or_default();
        Ok(Self { observations, nanoseconds, seconds })
    }

    /// Scores of the set's cases that have one.
    pub(super) fn scored(&self, set: &Set) -> Vec<Scored> {
        let one = |(seen, case): (&Observation, &Labelled)| {
            let score = seen.decision.as_ref()?.score.filter(|score| score.is_finite())?;
            Some(Scored { score, truth: is_positive(&seen.truth.outcome), part: part(case) })
        };
        self.observations.list.iter().zip(&set.cases).filter_map(one).collect()
    }

    /// The figures; with what a threshold comes to, if there is one.
    pub(super) fn scorecard(&self, set: &str, threshold: Option<f64>) -> Scorecard {
        let settings = Settings {
            set: set.to_owned(),
            outcomes: Transactions.outcomes().iter().map(|outcome| (*outcome).to_owned()).collect(),
            positive: POSITIVE.map(str::to_owned).to_vec(),
            threshold,
            timings: Some((self.nanoseconds.clone(), self.seconds)),
            ..Settings::default()
        };
        Scorecard::new(&self.observations, &settings)
    }
}

/// A case's score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) score: f64,
    /// Whether the case is positive.
    pub(super) truth: bool,
    /// The part of the cases that it is in.
    pub(super) part: u64,
}

/// Whether an outcome counts as positive.
pub(super) fn is_positive(outcome: &str) -> bool {
    POSITIVE.contains(&outcome)
}

/// What is right, in the training view.
fn truth(case: &Labelled) -> Truth {
    let decision = Transactions.canonical(case.decision.clone());
    let reasons = decision.reasons.into_iter().map(|reason| reason.code).collect();
    Truth { outcome: decision.outcome, level: decision.level, reasons }
}
