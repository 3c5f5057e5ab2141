//! Text, as OpenAI's clients ask for it: conversations and prompts.

use std::sync::Arc;

use axum::extract;
use axum::response::Response;

use crate::State;
use crate::api_error::{ApiError, Refusals};
use crate::body::Whole;
use crate::openai::{self, ChatCompletion, ChatRequest, CompletionRequest, Dialect, TextCompletion};

/// Answers a conversation.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "language models", request_body = ChatRequest,
    description = "As OpenAI's: with `stream`, pieces of an answer as server-sent events. The same request has the same \
                   answer but for `id` and `created`; without `seed`, it is 0. Fields that would change the answer and \
                   are not listed are refused by name, others are not looked at.",
    responses((status = 200, body = ChatCompletion), Refusals),
)]
pub(crate) async fn chat(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    openai::answer(&state, Dialect::Chat, body).await
}

/// Goes on with a prompt.
#[utoipa::path(
    post, path = "/v1/completions", tag = "language models", request_body = CompletionRequest,
    description = "As OpenAI's: `max_tokens` is 16 unless the request or its schema says otherwise.",
    responses((status = 200, body = TextCompletion), Refusals),
)]
pub(crate) async fn completion(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    openai::answer(&state, Dialect::Completion, body).await
}
