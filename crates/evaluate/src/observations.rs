//! Truths joined with decisions.

use std::collections::HashMap;

use decision::{Decision, DecisionLine, Identity, Truth};

/// A truth with the decision on the same case.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What is right.
    pub truth: Truth,
    /// What was decided; nothing where the line was an error or is missing.
    pub decision: Option<Decision>,
}

/// All that is measured at once.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// In the order of the truths.
    pub list: Vec<Observation>,
    /// Who decided, as the first decision says: a cascade, not its stage.
    pub decided_by: Option<Identity>,
    /// Decisions on cases that have no truth.
    pub without_truth: usize,
    /// Truths without any decision line.
    pub without_decision: usize,
}

/// Decisions that cannot be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Two decisions on one case.
    #[error("case {0} has two decisions")]
    Twice(String),
    /// Two truths for one case.
    #[error("case {0} has two truths")]
    TruthTwice(String),
    /// Decisions of different deciders in one file.
    #[error("the decisions are by different deciders ({0} and {1})")]
    Mixed(String, String),
    /// Nothing to measure.
    #[error("no case has both a truth and a decision")]
    Empty,
}

impl Observations {
    /// Joins by case identifier.
    ///
    /// # Errors
    /// When a case occurs twice, deciders are mixed, or nothing joins.
    pub fn join(
        truths: impl IntoIterator<Item = (String, Truth)>,
        decisions: impl IntoIterator<Item = DecisionLine>,
    ) -> Result<Self, JoinError> {
        let mut by_case = HashMap::new();
        let mut observations = Self::default();
        for line in decisions {
            if let Some(identity) = line.cascade.as_ref().or(line.decided_by.as_ref()) {
                match &observations.decided_by {
                    None => observations.decided_by = Some(identity.clone()),
                    Some(known) if known != identity => {
                        return Err(JoinError::Mixed(known.hash.clone(), identity.hash.clone()));
                    }
                    Some(_) => {}
                }
            }
            if by_case.insert(line.case_id.clone(), Some(line.decision)).is_some() {
                return Err(JoinError::Twice(line.case_id));
            }
        }
        for (case_id, truth) in truths {
            let decision = match by_case.get_mut(&case_id) {
                Some(held) => match held.take() {
                    Some(decision) => decision,
                    None => return Err(JoinError::TruthTwice(case_id)),
                },
                None => {
                    observations.without_decision += 1;
                    None
                }
            };
            observations.list.push(Observation { truth, decision });
        }
        observations.without_truth = by_case.values().filter(|held| held.is_some()).count();
        if observations.without_decision == observations.list.len() {
            return Err(JoinError::Empty);
        }
        Ok(observations)
    }
}
