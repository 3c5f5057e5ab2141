//! The training view of a decision: one level per outcome, each reason once.

use decision::{Decision, Truth};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{NOISE_RULES, OUTCOMES};

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

/// The items in order, each key once.
fn once<T>(items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> &String) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        if kept.iter().all(|known| key(known) != key(&item)) {
            kept.push(item);
        }
    }
    kept
}

/// A labelled line in the training view: canonical level, each reason and each telling rule once. `facts` is
/// JSON, `raw` the raw view of what the rules said.
pub fn training_line(case_id: &str, facts: &str, raw: &Value) -> String {
    let unique = |list: &Value| {
        let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        once(texts.map(str::to_owned), |text| text)
    };
    let outcome = raw["decision"]["aml_decision"].as_str().unwrap_or_default();
    let mut fired: Vec<String> = unique(&raw["fired_rules"]).into_iter().map(|rule| rule.to_uppercase()).collect();
    fired.retain(|rule| !NOISE_RULES.contains(&rule.as_str()));
    let decision = json!({
        "aml_decision": outcome,
        "escalation_level": level(outcome),
        "reasons": unique(&raw["decision"]["reasons"]),
    });
    format!("{{\"case_id\":\"{case_id}\",\"facts\":{facts},\"decision\":{decision},\"fired_rules\":{}}}", json!(fired))
}

/// The truth of a labelled line, in the training view.
pub(super) fn read(line: &[u8]) -> Option<Truth> {
    let label = serde_json::from_slice::<Labelled>(line).ok()?.decision;
    let reasons = once(label.reasons, |reason| reason);
    Some(Truth { level: level(&label.aml_decision), outcome: label.aml_decision, reasons })
}

/// A decision in the training view.
pub(super) fn canonical(mut decision: Decision) -> Decision {
    decision.reasons = once(decision.reasons, |reason| &reason.code);
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
            ..Decision::default()
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
