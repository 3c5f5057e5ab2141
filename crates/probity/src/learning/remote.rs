//! Endpoints that decide transactions.

use deciders::remote::{Options, PromptStyle as Style, Reading, Remote};
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
    let reading = reading(options.prompt);
    Ok(Remote::new(options, reading))
}

fn reading(style: Style) -> Reading {
    let ours = match style {
        Style::Json => PromptStyle::Json,
        Style::Compact => PromptStyle::Compact,
    };
    Reading {
        input: ours.version(),
        prompt: match style {
            Style::Json => |facts| write(facts, PromptStyle::Json),
            Style::Compact => |facts| write(facts, PromptStyle::Compact),
        },
        answer: read,
        schema: || answer_schema(MOST_REASONS),
        longest: longest_answer(MOST_REASONS),
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
