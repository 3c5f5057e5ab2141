//! A structured transformer as a decider: heads for the outcome, the level and the reasons.

use std::path::Path;

use ::lm::WeightStorage;
use ::lm::multihead::{Multihead as Model, Record};
use decision::{Case, DecideError, Decider, Decision, Identity, Reason, Worker};
use rayon::ThreadPool;
use serde_json::Value;

use crate::artifact::{Error, Manifest};
use crate::calibration::{Curve, rounded, weigh};
use crate::{batch, facts};

/// The head that says the outcome; its classes are the desk's outcomes.
pub const DECISION: &str = "decision";
/// The head that says the level of escalation; its classes are the levels from 0.
pub const ESCALATION: &str = "escalation";
/// The head that says each reason's probability; its classes are the codes.
pub const REASONS: &str = "reasons";

/// From this probability on, a reason is given.
const GIVEN: f32 = 0.5;

/// How a desk's cases come to the model.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What the model reads, as the manifest names it.
    pub input: &'static str,
    /// Numbers and categories of a case's facts, or why there are none.
    pub record: fn(&Value) -> Result<Record, String>,
    /// The outcomes whose probability is the risk.
    pub positive: &'static [&'static str],
}

/// The decider.
pub struct Multihead {
    model: Model,
    heads: Heads,
    reading: Reading,
    curve: Option<Curve>,
    identity: Identity,
    pool: ThreadPool,
}

/// Where the model's heads are.
#[derive(Clone, Copy, Debug)]
struct Heads {
    decision: usize,
    escalation: Option<usize>,
    reasons: Option<usize>,
}

impl Multihead {
    /// Loads the model of a folder whose manifest was read, to be run on some threads.
    ///
    /// # Errors
    /// When the model cannot be loaded or reads cases differently.
    pub fn open(folder: &Path, manifest: &Manifest, reading: Reading, threads: usize) -> Result<Self, Error> {
        manifest.check_input(folder, reading.input)?;
        let place = folder.join(crate::MODEL);
        let model = Model::open(&place, manifest.precision)?;
        let head = |name: &str| model.config().outputs.iter().position(|head| head.name == name);
        let Some(decision) = head(DECISION) else {
            return Err(Error::Unfit { path: place, problem: format!("the model has no head `{DECISION}`") });
        };
        let heads = Heads { decision, escalation: head(ESCALATION), reasons: head(REASONS) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build()?;
        let curve = manifest.calibration.as_ref().map(|calibration| calibration.curve.clone());
        Ok(Self { model, heads, reading, curve, identity: manifest.identity(WeightStorage::Plain), pool })
    }

    fn record(&self, case: &Case<'_>) -> Result<Record, DecideError> {
        (self.reading.record)(&facts(case)?).map_err(DecideError::Unfit)
    }

    /// The decision that probabilities of each head and class come to.
    fn decision(&self, heads: &[Vec<f32>]) -> Decision {
        let outputs = &self.model.config().outputs;
        let chosen = |head: usize| most_likely(&heads[head]);
        let outcomes = &outputs[self.heads.decision].classes;
        let likely = outcomes.iter().zip(&heads[self.heads.decision]);
        let likely = likely.map(|(outcome, probability)| (outcome.clone(), f64::from(*probability))).collect();
        let reasons = self.heads.reasons.map(|head| outputs[head].classes.iter().zip(&heads[head]));
        let mut decision = Decision {
            outcome: outcomes[chosen(self.heads.decision)].clone(),
            level: self.heads.escalation.map(|head| chosen(head) as i64),
            reasons: reasons
                .into_iter()
                .flatten()
                .filter(|(_, probability)| **probability >= GIVEN)
                .map(|(code, probability)| Reason {
                    code: code.clone(),
                    weight: Some(rounded(f64::from(*probability))),
                    evidence: None,
                })
                .collect(),
            ..Decision::default()
        };
        weigh(&mut decision, likely, self.reading.positive, self.curve.as_ref());
        decision
    }
}

/// The place of the largest probability, the first of equal ones.
fn most_likely(probabilities: &[f32]) -> usize {
    let larger = |best: usize, at: usize| if probabilities[at] > probabilities[best] { at } else { best };
    (0..probabilities.len()).fold(0, larger)
}

impl Decider for Multihead {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(MultiheadWorker { of: self, model: self.model.clone() })
    }

    fn prefers_batches(&self) -> bool {
        true
    }
}

/// Decides with a model of its own, on the threads of all workers.
struct MultiheadWorker<'m> {
    of: &'m Multihead,
    model: Model,
}

impl Worker for MultiheadWorker<'_> {
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
        let Self { of, model } = self;
        batch::decide(
            cases,
            |case| of.record(case),
            |records| {
                let answers = of.pool.install(|| model.answer(records))?;
                Ok(answers.iter().map(|heads| Ok(of.decision(heads))).collect())
            },
        )
    }
}
