//! What an answer may be, as JSON Schema.
//!
//! Keys stand in the order in which answers are written, and every part has a bound, so that an answer's length has one.

use serde_json::{Value, json};

use super::{OUTCOMES, REASONS};

/// Reasons that an answer may name, each as often as it applies. One case in twenty thousand of the training mix has
/// more.
pub const MOST_REASONS: usize = 32;

/// An answer with so many reasons at most, for models and endpoints that hold their answers to a schema. It does not
/// say that a level belongs to an outcome: [`paired_schema`] does.
pub fn answer_schema(most_reasons: usize) -> Value {
    let levels: Vec<usize> = (0..OUTCOMES.len()).collect();
    object(most_reasons, json!({"type": "string", "enum": OUTCOMES}), json!({"type": "integer", "enum": levels}))
}

/// The same, with the level of its outcome and no other.
pub fn paired_schema(most_reasons: usize) -> Value {
    let pair =
        |(level, outcome): (usize, &&str)| object(most_reasons, json!({"const": outcome}), json!({"const": level}));
    json!({"anyOf": OUTCOMES.iter().enumerate().map(pair).collect::<Vec<_>>()})
}

fn object(most_reasons: usize, outcome: Value, level: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "reasons": {
                "type": "array",
                "items": {"type": "string", "enum": REASONS},
                "maxItems": most_reasons,
            },
            "aml_decision": outcome,
            "escalation_level": level,
        },
        "required": ["reasons", "aml_decision", "escalation_level"],
        "additionalProperties": false,
    })
}

/// The key whose value is the outcome.
pub const OUTCOME_KEY: &str = "aml_decision";

/// Bytes of the longest answer with so many reasons.
pub fn longest_answer(most_reasons: usize) -> usize {
    let longest = |names: &[&str]| names.iter().map(|name| name.len()).max().unwrap_or(0);
    let reasons = most_reasons * (longest(&REASONS) + 3);
    let frame = r#"{"reasons":[],"aml_decision":"","escalation_level":0}"#.len();
    frame + reasons.saturating_sub(1) + longest(&OUTCOMES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::completion;

    #[test]
    fn every_key_is_required_in_the_order_of_answers() {
        let answer = completion("SAR", ["PEP"]).expect("known labels");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let keys: Vec<&String> = answer.as_object().expect("an object").keys().collect();
        for schema in std::iter::once(&answer_schema(4)).chain(paired_schema(4)["anyOf"].as_array().expect("a list")) {
            let properties: Vec<&String> = schema["properties"].as_object().expect("an object").keys().collect();
            assert_eq!(properties, keys);
            assert_eq!(schema["required"], json!(keys));
            assert_eq!(schema["properties"]["reasons"]["maxItems"], 4);
        }
        assert!(keys.iter().any(|key| *key == OUTCOME_KEY));
    }

    #[test]
    fn the_longest_answer_is_as_long_as_is_said() {
        let longest = REASONS.iter().max_by_key(|reason| reason.len()).expect("some");
        for count in [0, 1, 5] {
            let all = OUTCOMES.iter().map(|outcome| completion(outcome, vec![*longest; count]).expect("known").len());
            assert_eq!(all.max(), Some(longest_answer(count)), "{count}");
        }
    }
}
