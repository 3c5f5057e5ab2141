//! Answers of `/v1/completions`, whole and in pieces.

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Envelope, Whole};
use super::choice::Piece;
use super::log_probabilities::{TextLogprobs, of_text};
use super::plan::Plan;
use super::usage::Usage;

/// The answer to prompts, or a piece of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TextCompletion {
    #[serde(flatten)]
    envelope: Envelope,
    /// The answers to the first prompt, then those to the second; in a piece of a stream, one answer's next piece.
    choices: Vec<TextChoice>,
    /// In a stream in the last piece, if the request asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// One of the answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TextChoice {
    text: String,
    index: usize,
    logprobs: Option<TextLogprobs>,
    /// `stop`, or `length` if the answer was cut.
    finish_reason: Option<&'static str>,
}

fn choice(plan: &Plan, piece: Piece) -> TextChoice {
    TextChoice {
        index: piece.choice,
        logprobs: plan.log_probabilities.then(|| of_text(&plan.writer.host, &piece.tokens)),
        finish_reason: piece.finish.map(|ended| ended.name()),
        text: piece.text,
    }
}

/// The whole answer.
pub(crate) fn whole(plan: &Plan, envelope: Envelope, answer: Whole) -> TextCompletion {
    let choices = answer.choices.into_iter().map(|(piece, _)| choice(plan, piece)).collect();
    TextCompletion { envelope, choices, usage: Some(answer.usage) }
}

/// A piece with more of an answer, or with its end.
pub(crate) fn chunk(plan: &Plan, envelope: Envelope, piece: Piece) -> TextCompletion {
    TextCompletion { envelope, choices: vec![choice(plan, piece)], usage: None }
}

/// The piece with the usage.
pub(crate) fn usage(envelope: Envelope, usage: Usage) -> TextCompletion {
    TextCompletion { envelope, choices: Vec::new(), usage: Some(usage) }
}
