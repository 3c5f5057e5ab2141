//! The training view of a decision: one level per outcome, each reason once.

use decision::{Decision, Truth};
use serde::Deserialize;

use super::OUTCOMES;

#[derive(Deserialize)]
struct Labelled {
    decision: Label,
}

#[derive(Deserialize)]
struct Label {
    aml_decision: String,
    #[serde(default)]
    reasons: Vec<String>,
}

/// The level that stands for an outcome.
fn level(outcome: &str) -> Option<i64> {
    OUTCOMES.iter().position(|known| *known == outcome).map(|at| at as i64)
}

/// The truth of a labelled line, in the training view.
pub(super) fn read(line: &[u8]) -> Option<Truth> {
    let label = serde_json::from_slice::<Labelled>(line).ok()?.decision;
    let mut reasons: Vec<String> = Vec::new();
    for reason in label.reasons {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Some(Truth { level: level(&label.aml_decision), outcome: label.aml_decision, reasons })
}

/// A decision in the training view.
pub(super) fn canonical(mut decision: Decision) -> Decision {
    let mut reasons = Vec::new();
    for reason in decision.reasons {
        if reasons.iter().all(|known: &decision::Reason| known.code != reason.code) {
            reasons.push(reason);
        }
    }
    decision.reasons = reasons;
    decision.level = level(&decision.outcome).or(decision.level);
    decision
}

#[cfg(test)]
mod tests {
    use super::*;
    use decision::Reason;

    #[test]
    fn the_training_view_has_one_level_per_outcome_and_each_reason_once() {
        let reason = |code: &str| Reason { code: code.to_owned(), ..Reason::default() };
        let raw = Decision {
            outcome: "SAR".to_owned(),
            level: Some(3),
            reasons: vec![reason("LARGE_WIRE"), reason("LARGE_WIRE"), reason("PEP")],
            score: None,
        };
        let canonical = canonical(raw);
        assert_eq!(canonical.level, Some(2));
        let codes: Vec<&str> = canonical.reasons.iter().map(|r| r.code.as_str()).collect();
        assert_eq!(codes, ["LARGE_WIRE", "PEP"]);
    }

    #[test]
    fn a_line_without_a_label_has_no_truth() {
        assert_eq!(read(br#"{"facts":{}}"#), None);
        let line = br#"{"decision":{"aml_decision":"BLOCK","escalation_level":3,"reasons":["PEP","PEP"]}}"#;
        let truth = read(line).expect("a label");
        assert_eq!((truth.outcome.as_str(), truth.level, truth.reasons.len()), ("BLOCK", Some(3), 1));
    }
}
