//! Figures of a decider on labelled cases: it decides lines as `probity decide` does, and `evaluate` measures.

use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use decision::lines::decide_lines;
use decision::{Decider, DecisionLine, Desk, Truth};
use desks::transactions::{POSITIVE, Transactions};
use evaluate::{Observations, Scorecard, Settings};
use serde_json::json;

use super::labels::Labelled;
use super::material::Set;
use crate::commands::decide::Timed;

/// Measures a decider on a set.
pub(super) fn scorecard(decider: &dyn Decider, set: &Set, threads: usize) -> anyhow::Result<Scorecard> {
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
    let settings = Settings {
        set: set.name.clone(),
        outcomes: Transactions.outcomes().iter().map(|outcome| (*outcome).to_owned()).collect(),
        positive: POSITIVE.map(str::to_owned).to_vec(),
        timings: timed.nanoseconds.lock().ok().map(|nanoseconds| (nanoseconds.clone(), seconds)),
        ..Settings::default()
    };
    Ok(Scorecard::new(&observations, &settings))
}

/// What is right, in the training view.
fn truth(case: &Labelled) -> Truth {
    let decision = Transactions.canonical(case.decision.clone());
    let reasons = decision.reasons.into_iter().map(|reason| reason.code).collect();
    Truth { outcome: decision.outcome, level: decision.level, reasons }
}
