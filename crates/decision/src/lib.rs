//! The vocabulary every other crate speaks: a [`Case`] goes in, a [`Decision`] comes out, one line each.
//!
//! No banking and no engine here. [`Desk`] is a subject (what a case means), [`Decider`] is a method (how
//! it is decided); neither knows the other. [`lines`] is the one loop from input lines to output lines.
//!
//! Invariant: a line in gives exactly one line out, a failure included.

#![forbid(unsafe_code)]

pub mod case;
pub mod lines;
pub mod mixing;
mod probabilities;

use serde::{Deserialize, Serialize};

pub use case::{Case, CaseError};
pub use probabilities::Probabilities;

/// What a kind of case means.
pub trait Desk: Send + Sync {
    /// Folder name and command-line argument, for example `transactions`.
    fn name(&self) -> &'static str;
    /// The closed list of outcome codes, least severe first.
    fn outcomes(&self) -> &'static [&'static str];
    /// The decision that a labelled line states, if it states one.
    fn truth(&self, line: &[u8]) -> Option<Truth>;
    /// A decision in the form in which the desk trains and compares.
    fn canonical(&self, decision: Decision) -> Decision {
        decision
    }
}

/// The right answer for a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// One of the desk's outcomes.
    pub outcome: String,
    /// The level of escalation, where the desk has levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i64>,
    /// Codes of the reasons, in order.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// The answer to a case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// One of the desk's outcomes.
    pub outcome: String,
    /// Risk in `0.0..=1.0`, for ranking and thresholds; methods without one leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// How likely each outcome is, as the method sees it; methods that do not weigh outcomes leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<Probabilities>,
    /// The level of escalation, where the desk has levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i64>,
    /// Why, in the order in which it was found.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// Which stage of a cascade decided. A line names it in `decided_by`, and the cascade beside it.
    #[serde(skip)]
    pub stage: Option<Identity>,
}

/// One piece of evidence: a fired rule, a model's contribution, a compared field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable upper-case code, for example `STRUCTURING`.
    pub code: String,
    /// Signed contribution to the score; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// What was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// Who decided, precisely enough to decide again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The kind of decider, for example `rules`.
    pub name: String,
    /// Version of this program.
    pub version: String,
    /// SHA-256 of what it decides with: the rule file, the weights.
    pub hash: String,
}

/// A method of deciding.
pub trait Decider: Send + Sync {
    /// Stamped on every decision line.
    fn identity(&self) -> &Identity;
    /// A worker for one thread; what it keeps between cases never shows in a decision.
    fn worker(&self) -> Box<dyn Worker + '_>;
    /// Whether many cases at once cost less than one after another. What does has threads or a machine of its own, for which
    /// a worker waits; other deciders compute on the worker's thread.
    fn prefers_batches(&self) -> bool {
        false
    }
    /// What deciding has taken so far, where that is worth telling.
    fn account(&self) -> Option<Account> {
        None
    }
}

/// What deciding has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// For people, in a line or some.
    pub text: String,
    /// For programs.
    pub figures: serde_json::Value,
}

/// Decides on one thread.
pub trait Worker {
    /// One result per case, in order. A batch never fails as a whole.
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>>;
}

/// One case could not be decided; its line says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The facts are not JSON.
    #[error("facts are not JSON: {0}")]
    NotJson(String),
    /// The facts lack what the decider needs.
    #[error("facts do not fit: {0}")]
    Unfit(String),
    /// The rules or the model failed on this case.
    #[error("{0}")]
    Failed(String),
    /// The answer is none of the desk's outcomes.
    #[error("unknown outcome `{0}`")]
    UnknownOutcome(String),
}

/// A line of output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionLine {
    /// Echo of the case's identifier.
    pub case_id: String,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Identity>,
    /// The cascade that left the decision to `decided_by`, which is one of its stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cascade: Option<Identity>,
    /// The decision; absent where there is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// One-based number of the input line; only with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Why there is no decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
