//! Answers of `/v1/chat/completions`, whole and in pieces.

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Envelope, Whole};
use super::choice::Piece;
use super::log_probabilities::{ChatLogprobs, of_chat};
use super::plan::Plan;
use super::usage::Usage;

const ASSISTANT: &str = "assistant";

/// The answer to a chat.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    #[serde(flatten)]
    envelope: Envelope,
    choices: Vec<ChatChoice>,
    usage: Usage,
}

/// One of the answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ChatChoice {
    index: usize,
    message: Said,
    logprobs: Option<ChatLogprobs>,
    /// `stop`, or `length` if the answer was cut.
    finish_reason: &'static str,
}

/// What the assistant says.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Said {
    role: &'static str,
    content: String,
    /// Always `null`.
    #[schema(value_type = Option<String>)]
    refusal: (),
}

/// A piece of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunk {
    #[serde(flatten)]
    envelope: Envelope,
    /// One answer's next piece; none beside the usage.
    choices: Vec<ChatDelta>,
    /// In the last piece, if the request asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// How an answer goes on.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ChatDelta {
    index: usize,
    delta: Delta,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
}

/// More of what the assistant says.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct Delta {
    /// In the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

fn logprobs(plan: &Plan, piece: &Piece) -> Option<ChatLogprobs> {
    plan.log_probabilities.then(|| of_chat(&plan.writer.host, &piece.tokens))
}

/// The whole answer.
pub(crate) fn whole(plan: &Plan, envelope: Envelope, answer: Whole) -> ChatCompletion {
    let choice = |(piece, finish_reason): (Piece, &'static str)| ChatChoice {
        index: piece.choice,
        logprobs: logprobs(plan, &piece),
        message: Said { role: ASSISTANT, content: piece.text, refusal: () },
        finish_reason,
    };
    ChatCompletion { envelope, choices: answer.choices.into_iter().map(choice).collect(), usage: answer.usage }
}

/// The piece that begins an answer.
pub(crate) fn beginning(envelope: Envelope, index: usize) -> ChatChunk {
    let delta = Delta { role: Some(ASSISTANT), content: Some(String::new()) };
    let choices = vec![ChatDelta { index, delta, logprobs: None, finish_reason: None }];
    ChatChunk { envelope, choices, usage: None }
}

/// A piece with more of an answer, or with its end.
pub(crate) fn chunk(plan: &Plan, envelope: Envelope, piece: Piece) -> ChatChunk {
    let says = !piece.text.is_empty() || !piece.tokens.is_empty();
    let choice = ChatDelta {
        index: piece.choice,
        logprobs: if says { logprobs(plan, &piece) } else { None },
        finish_reason: piece.finish.map(|ended| ended.name()),
        delta: Delta { role: None, content: says.then_some(piece.text) },
    };
    ChatChunk { envelope, choices: vec![choice], usage: None }
}

/// The piece with the usage.
pub(crate) fn usage(envelope: Envelope, usage: Usage) -> ChatChunk {
    ChatChunk { envelope, choices: Vec::new(), usage: Some(usage) }
}
