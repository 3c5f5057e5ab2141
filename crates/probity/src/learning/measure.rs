//! Figures of a decider on labelled cases: it decides lines as `probity decide` does, and `evaluate` measures.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use deciders::artifact::Manifest;
use decision::lines::decide_lines;
use decision::{Decider, DecisionLine, Desk, Truth};
use desks::transactions::{POSITIVE, Transactions};
use evaluate::{Observation, Observations, Scorecard, Settings};
use serde_json::json;

use super::decider;
use super::labels::Labelled;
use super::material::Set;
use super::parts::part;
use crate::commands::decide::Timed;
use crate::streams;

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

    /// Scores of the set's cases, in order.
    pub(super) fn scored(&self, set: &Set) -> Vec<Scored> {
        let one = |(seen, case): (&Observation, &Labelled)| {
            let score = seen.decision.as_ref().and_then(|decision| decision.score).filter(|score| score.is_finite());
            Scored { score, truth: is_positive(&seen.truth.outcome), part: part(case) }
        };
        self.observations.list.iter().zip(&set.cases).map(one).collect()
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

/// Figures of an artifact with this manifest on each set. Curve and threshold were fitted to the first: its figures of
/// scores are those of cases that were left out, since they are better on the set itself than on new cases.
pub(super) fn scorecards(
    folder: &Path,
    manifest: &Manifest,
    sets: &[&Set],
    threads: usize,
) -> anyhow::Result<Vec<Scorecard>> {
    let decider = decider(folder, manifest, threads)?;
    let threshold = manifest.calibration.as_ref().map(|calibration| calibration.threshold);
    let measured = |set: &&Set| Ok(Measured::of(&*decider, set, threads)?.scorecard(&set.name, threshold));
    let mut scorecards: Vec<Scorecard> = sets.iter().map(measured).collect::<anyhow::Result<_>>()?;
    let ranking = scorecards.first_mut().and_then(|card| card.ranking.as_mut());
    if let Some((calibration, ranking)) = manifest.calibration.as_ref().zip(ranking) {
        ranking.calibration_error = calibration.error_after;
        ranking.at_threshold = Some((calibration.threshold, calibration.reached, calibration.false_positive_rate));
    }
    Ok(scorecards)
}

/// Writes the scorecard of an artifact into its folder.
pub(super) fn keep(card: &Scorecard, folder: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(card)? + "\n";
    streams::write_file(&folder.join("scorecard.json"), text.as_bytes())
}

/// A case's score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    /// None where the case was not decided, or without a score: no threshold finds it.
    pub(super) score: Option<f64>,
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
