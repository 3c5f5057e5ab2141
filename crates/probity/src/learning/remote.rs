//! Endpoints that decide transactions.

use deciders::reading::{AnswerForm, Reading};
use deciders::remote::{Endpoint, Options, Remote};
use decision::Decision;
use desks::transactions::{
    MOST_REASONS, OUTCOME_KEY, OUTCOMES, POSITIVE, PromptStyle, answer_schema, longest_answer, parse_answer, prompt,
};
use serde_json::Value;

use crate::exit::UsageError;

/// The variable whose value is sent as a bearer token.
const KEY: &str = "PROBITY_REMOTE_API_KEY";

/// The decider that `remote=…` names.
pub(crate) fn open(text: &str) -> Result<Remote, UsageError> {
    let key = std::env::var(KEY).ok();
    let options = Options::read(text, key).map_err(|problem| UsageError(format!("--with remote={text}: {problem}")))?;
    let reading = reading(options.endpoint);
    Ok(Remote::new(options, reading))
}

fn reading(endpoint: Endpoint) -> Reading {
    let style = match endpoint {
        Endpoint::Chat => PromptStyle::Json,
        Endpoint::Completions => PromptStyle::Compact,
    };
    Reading {
        input: style.version(),
        prompt: match endpoint {
            Endpoint::Chat => |facts| write(facts, PromptStyle::Json),
            Endpoint::Completions => |facts| write(facts, PromptStyle::Compact),
        },
        answer: read,
        form: || AnswerForm { schema: answer_schema(MOST_REASONS), longest: longest_answer(MOST_REASONS) },
        narrower: Vec::new,
        key: OUTCOME_KEY,
        outcomes: &OUTCOMES,
        positive: &POSITIVE,
    }
}

fn write(facts: &Value, style: PromptStyle) -> Result<String, String> {
    prompt(facts, style).map_err(|error| error.to_string())
}

fn read(answer: &str) -> Result<Decision, String> {
    parse_answer(answer).map_err(|error| error.to_string())
}
