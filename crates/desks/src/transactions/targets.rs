//! What a model of classes learns of a labelled case: places in the desk's closed lists.

use super::{OUTCOMES, REASONS};

/// The right answer as classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Place in [`OUTCOMES`].
    pub decision: usize,
    /// Canonical level of escalation, below `OUTCOMES.len()`: in the training view it follows from the decision.
    pub escalation: usize,
    /// For each of [`REASONS`], whether it is given.
    pub reasons: [bool; REASONS.len()],
}

/// A label that is in none of the desk's lists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Not one of [`OUTCOMES`].
    #[error("unknown outcome `{0}`; known: {known}", known = OUTCOMES.join(", "))]
    Outcome(String),
    /// Not one of [`REASONS`].
    #[error("unknown reason `{0}`; known: {known}", known = REASONS.join(", "))]
    Reason(String),
}

impl Target {
    /// The classes of an outcome and its reasons, repeated or not.
    ///
    /// # Errors
    /// When the outcome or a reason is none of the desk's.
    pub fn of<'a>(outcome: &str, reasons: impl IntoIterator<Item = &'a str>) -> Result<Self, LabelError> {
        let decision = OUTCOMES.iter().position(|known| *known == outcome);
        let decision = decision.ok_or_else(|| LabelError::Outcome(outcome.to_owned()))?;
        let mut given = [false; REASONS.len()];
        for reason in reasons {
            let place = REASONS.iter().position(|known| *known == reason);
            given[place.ok_or_else(|| LabelError::Reason(reason.to_owned()))?] = true;
        }
        Ok(Self { decision, escalation: decision, reasons: given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_places_in_the_lists() {
        let target = Target::of("SAR", ["LARGE_WIRE", "LARGE_WIRE", "BEHAVIOR_SHIFT"]).expect("known labels");
        assert_eq!((target.decision, target.escalation), (2, 2));
        assert_eq!(target.reasons, [false, false, true, false, false, false, false, true]);
    }

    #[test]
    fn labels_of_other_rules_are_refused_by_name() {
        assert_eq!(Target::of("FINE", []), Err(LabelError::Outcome("FINE".to_owned())));
        assert_eq!(Target::of("CLEAR", ["X"]), Err(LabelError::Reason("X".to_owned())));
    }
}
