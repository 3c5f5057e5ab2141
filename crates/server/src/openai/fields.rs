//! The fields of requests. What is not listed is not looked at, unless [`super::unsupported`] refuses it.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use super::form::{ResponseFormat, StructuredOutputs};
use super::messages::Message;
use crate::{ApiError, body};

/// What chats and completions have in common.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Common {
    /// A model or an adapter of `GET /v1/models`; the first model if it is left out.
    pub(crate) model: Option<String>,
    /// Logits are divided by this, 0 to 2; 1 if it is left out. At 0 the likeliest token is taken.
    pub(crate) temperature: Option<f32>,
    /// Only the likeliest tokens whose probabilities first add up to this are drawn from.
    pub(crate) top_p: Option<f32>,
    /// What is drawn depends on this; 0 if it is left out, so that the same request has the same answer.
    pub(crate) seed: Option<i64>,
    /// Up to four texts that end an answer; they are no part of it.
    pub(crate) stop: Option<Stop>,
    /// How many answers to each prompt, 1 to 16.
    pub(crate) n: Option<usize>,
    /// Tokens of an answer at most.
    pub(crate) max_tokens: Option<usize>,
    /// Whether the answer is sent piece by piece, as server-sent events.
    pub(crate) stream: Option<bool>,
    /// What a stream tells beside the answer.
    pub(crate) stream_options: Option<StreamOptions>,
    /// What an answer must be.
    pub(crate) response_format: Option<ResponseFormat>,
    /// What an answer must be, as vLLM has it.
    pub(crate) structured_outputs: Option<StructuredOutputs>,
    /// The older form of `structured_outputs.json`.
    pub(crate) guided_json: Option<Value>,
    /// The older form of `structured_outputs.choice`.
    pub(crate) guided_choice: Option<Vec<String>>,
    /// The older form of `structured_outputs.regex`.
    pub(crate) guided_regex: Option<String>,
}

/// Texts that end an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Stop {
    /// One.
    One(String),
    /// Any of them.
    Any(Vec<String>),
}

/// What a stream tells beside the answer.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct StreamOptions {
    /// Whether a last piece has the usage.
    pub(crate) include_usage: Option<bool>,
}

/// What chats have alone.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Chat {
    /// The conversation, at least one message.
    pub(crate) messages: Vec<Message>,
    /// The newer name of `max_tokens`. If neither is given: what the schema's longest answer takes, or what is left of
    /// the model's positions.
    pub(crate) max_completion_tokens: Option<usize>,
    /// Whether log-probabilities of the answer's tokens are told.
    pub(crate) logprobs: Option<bool>,
    /// So many of the likeliest tokens are told with each, 0 to 20.
    pub(crate) top_logprobs: Option<usize>,
}

/// What completions have alone.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Completion {
    /// One prompt or several.
    pub(crate) prompt: Prompts,
    /// Log-probabilities of the answer's tokens are told, and with each so many of the likeliest, 0 to 20.
    pub(crate) logprobs: Option<usize>,
}

/// Prompts as text or as tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Prompts {
    /// A text.
    Text(String),
    /// The tokens of one prompt.
    Tokens(Vec<u32>),
    /// Several texts.
    Texts(Vec<String>),
    /// The tokens of several prompts.
    TokenLists(Vec<Vec<u32>>),
}

/// The body of a chat.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the parts are read one by one; this is their description")]
pub(crate) struct ChatRequest {
    #[serde(flatten)]
    chat: Chat,
    #[serde(flatten)]
    common: Common,
}

/// The body of a completion.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the parts are read one by one; this is their description")]
pub(crate) struct CompletionRequest {
    #[serde(flatten)]
    completion: Completion,
    #[serde(flatten)]
    common: Common,
}

/// Takes fields out of a body.
///
/// # Errors
/// The field that is wrong, and why.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    if !value.is_object() {
        return Err(ApiError::NotJson("it is not an object".to_owned()));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.into_inner().to_string());
        ApiError::invalid(body::field(&path, &message), message)
    })
}

/// A field with a value that it may not have. The message names it: OpenAI's clients show nothing else.
pub(crate) fn invalid(field: impl Into<String>, message: impl Display) -> ApiError {
    let field = field.into();
    let message = format!("`{field}`: {message}");
    ApiError::invalid(field, message)
}
