//! How a case is put to an endpoint, and what of its answer is a decision.

use clap::ValueEnum;
use decision::{Decision, Desk, Reason};
use desks::transactions::{OUTCOMES, PromptStyle, REASONS, Transactions, parse_answer, prompt};
use serde_json::{Value, json};

/// Which interface is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::commands) enum Style {
    /// `/v1/chat/completions`, with an instruction and the facts as JSON.
    Chat,
    /// `/v1/completions`, with the compact prompt that small decoders learn.
    Completions,
    /// `/v1/drools/score`, with the facts.
    Rules,
}

impl Style {
    /// Where it is asked, unless told otherwise.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Rules => "/v1/drools/score",
        }
    }

    /// How cases are written.
    pub(super) const fn prompt(self) -> &'static str {
        match self {
            Self::Chat => PromptStyle::Json.version(),
            Self::Completions => PromptStyle::Compact.version(),
            Self::Rules => "facts",
        }
    }
}

/// How the form of the answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::commands) enum Schema {
    /// As OpenAI does: `response_format` with a strict `json_schema`.
    #[value(name = "response_format")]
    ResponseFormat,
    /// As vLLM does: `structured_outputs` with `json`.
    #[value(name = "structured_outputs")]
    StructuredOutputs,
    /// Not at all: the model is trusted.
    #[value(name = "none")]
    None,
}

impl Schema {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ResponseFormat => "response_format",
            Self::StructuredOutputs => "structured_outputs",
            Self::None => "none",
        }
    }
}

/// What every request of a run has in common.
pub(super) struct Question {
    pub(super) style: Style,
    pub(super) schema: Schema,
    pub(super) model: String,
    /// Tokens that an answer may have.
    pub(super) most: usize,
    pub(super) stream: bool,
}

impl Question {
    /// The body for a case; none if the case cannot be put as a prompt.
    pub(super) fn body(&self, facts: &str) -> Option<Vec<u8>> {
        let value: Value = serde_json::from_str(facts).ok()?;
        let Self { model, most, .. } = self;
        let mut body = match self.style {
            Style::Rules => return Some(format!("{{\"facts\":{facts}}}").into_bytes()),
            Style::Chat => {
                let content = prompt(&value, PromptStyle::Json).ok()?;
                json!({"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": most})
            }
            Style::Completions => {
                let text = prompt(&value, PromptStyle::Compact).ok()?;
                json!({"model": model, "prompt": text, "max_tokens": most})
            }
        };
        body["temperature"] = json!(0);
        match self.schema {
            Schema::ResponseFormat => {
                let schema = json!({"name": "decision", "strict": true, "schema": answer_schema()});
                body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
            }
            Schema::StructuredOutputs => body["structured_outputs"] = json!({"json": answer_schema()}),
            Schema::None => {}
        }
        if self.stream {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        Some(body.to_string().into_bytes())
    }
}

/// The decision that a model's text states, in the form in which decisions are compared.
pub(in crate::commands) fn stated(text: &str) -> Option<Decision> {
    parse_answer(text).ok().map(|decision| Transactions.canonical(decision))
}

/// The decision of a rule service's answer: its raw view is written as labelled lines are.
pub(super) fn ruled(body: &[u8]) -> Option<Decision> {
    let truth = Transactions.truth(body).filter(|truth| OUTCOMES.contains(&truth.outcome.as_str()))?;
    let reasons = truth.reasons.into_iter().map(|code| Reason { code, ..Reason::default() }).collect();
    Some(Decision { outcome: truth.outcome, level: truth.level, reasons, ..Decision::default() })
}

/// Reasons that an answer may give: a reason may apply once for each transaction.
const MOST_REASONS: usize = 96;

/// The schema of an answer: reasons, and then one of the outcomes with its level.
pub(in crate::commands) fn answer_schema() -> Value {
    let reasons = json!({"type": "array", "items": {"enum": REASONS}, "maxItems": MOST_REASONS});
    let outcome = |(level, outcome): (usize, &&str)| {
        json!({
            "type": "object",
            "properties": {
                "reasons": reasons,
                "aml_decision": {"const": outcome},
                "escalation_level": {"const": level},
            },
            "required": ["reasons", "aml_decision", "escalation_level"],
            "additionalProperties": false,
        })
    };
    json!({"anyOf": OUTCOMES.iter().enumerate().map(outcome).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: &str = r#"{"person":{"pep":true},"recent_tx":[{"channel":"wire","amount":12000}]}"#;

    fn body(style: Style, schema: Schema, stream: bool) -> Value {
        let question = Question { style, schema, model: "m".to_owned(), most: 64, stream };
        serde_json::from_slice(&question.body(FACTS).expect("a prompt")).expect("JSON")
    }

    #[test]
    fn a_case_is_put_as_each_interface_has_it() {
        let chat = body(Style::Chat, Schema::ResponseFormat, false);
        let content = chat["messages"][0]["content"].as_str().expect("text");
        assert!(content.contains(FACTS), "{content}");
        assert_eq!(chat["response_format"]["json_schema"]["strict"], true);
        assert_eq!((&chat["temperature"], &chat["max_tokens"], &chat["stream"]), (&json!(0), &json!(64), &Value::Null));
        let completion = body(Style::Completions, Schema::StructuredOutputs, true);
        assert!(completion["prompt"].as_str().is_some_and(|text| text.starts_with("sanctions:")));
        assert_eq!(completion["structured_outputs"]["json"], answer_schema());
        assert_eq!(completion["stream_options"]["include_usage"], true);
        let rules = body(Style::Rules, Schema::None, false);
        assert_eq!(rules["facts"].to_string(), FACTS);
    }

    #[test]
    fn decisions_are_compared_in_the_training_view() {
        let decision = stated(r#"{"reasons":["PEP","PEP"],"aml_decision":"SAR","escalation_level":2}"#);
        assert_eq!(decision.map(|decision| decision.reasons.len()), Some(1));
        let answer = br#"{"facts":{},"decision":{"aml_decision":"SAR","escalation_level":9,"reasons":["PEP","PEP"]},"fired_rules":[]}"#;
        let decision = ruled(answer).expect("a decision");
        assert_eq!((decision.outcome.as_str(), decision.level, decision.reasons.len()), ("SAR", Some(2), 1));
        assert_eq!(stated("I think SAR"), None);
        assert_eq!(ruled(br#"{"decision":{"aml_decision":"MAYBE","reasons":[]}}"#), None);
    }
}
