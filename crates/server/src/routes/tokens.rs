//! Text to tokens and back, as vLLM has it.

use std::sync::Arc;

use axum::{Json, extract};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::State;
use crate::api_error::{ApiError, Refusals};
use crate::body::{self, Whole};
use crate::openai::{self, Message};

/// A text or a conversation.
#[derive(Deserialize, ToSchema)]
pub(crate) struct TokenizeRequest {
    /// Whose tokens; the first model's if it is left out.
    model: Option<String>,
    /// A text.
    prompt: Option<String>,
    /// A conversation, instead of a text.
    messages: Option<Vec<Message>>,
    /// Whether what the tokenizer puts around a text is added; true if it is left out.
    add_special_tokens: Option<bool>,
    /// Whether tokens are told as text too.
    return_token_strs: Option<bool>,
}

/// Its tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenizeResponse {
    tokens: Vec<u32>,
    count: usize,
    /// Tokens of a prompt and its answer at most.
    max_model_len: usize,
    token_strs: Option<Vec<String>>,
}

/// The tokens of a text or a conversation.
#[utoipa::path(
    post, path = "/tokenize", tag = "language models", request_body = TokenizeRequest,
    responses((status = 200, body = TokenizeResponse), Refusals),
)]
pub(crate) async fn tokenize(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<Json<TokenizeResponse>, ApiError> {
    let (shared, size) = (Arc::clone(&state), body.len());
    let work = move || tokens(&shared, &body::json(&body)?);
    Ok(Json(state.work.run(&state.plans_pace, size, work).await?))
}

fn tokens(state: &State, body: &Value) -> Result<TokenizeResponse, ApiError> {
    openai::refuse_unsupported(body)?;
    let request: TokenizeRequest = openai::read(body)?;
    let host = state.writer(request.model.as_deref())?.host;
    let failed = |error: lm::Error| ApiError::invalid("prompt", error.to_string());
    let tokens = match (&request.prompt, &request.messages) {
        (Some(text), None) => {
            host.tokenizer().encode(text, request.add_special_tokens.unwrap_or(true)).map_err(failed)?
        }
        (None, Some(messages)) => openai::render(&host, messages)?,
        _ => return Err(ApiError::invalid("prompt", "send either `prompt` or `messages`")),
    };
    let token_strs = match request.return_token_strs.unwrap_or(false) {
        true => {
            let texts = tokens.iter().map(|token| host.tokenizer().decode(&[*token], false));
            Some(texts.collect::<lm::Result<_>>().map_err(failed)?)
        }
        false => None,
    };
    let (count, max_model_len) = (tokens.len(), host.service().config().positions);
    Ok(TokenizeResponse { tokens, count, max_model_len, token_strs })
}

/// Tokens.
#[derive(Deserialize, ToSchema)]
pub(crate) struct DetokenizeRequest {
    /// Whose tokens; the first model's if it is left out.
    model: Option<String>,
    tokens: Vec<u32>,
}

/// Their text.
#[derive(Serialize, ToSchema)]
pub(crate) struct DetokenizeResponse {
    /// Special tokens are spelled out.
    prompt: String,
}

/// The text of tokens.
#[utoipa::path(
    post, path = "/detokenize", tag = "language models", request_body = DetokenizeRequest,
    responses((status = 200, body = DetokenizeResponse), Refusals),
)]
pub(crate) async fn detokenize(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<Json<DetokenizeResponse>, ApiError> {
    let (shared, size) = (Arc::clone(&state), body.len());
    let work = move || {
        let request: DetokenizeRequest = body::json(&body)?;
        let host = shared.writer(request.model.as_deref())?.host;
        let prompt = host.tokenizer().decode(&request.tokens, false);
        let prompt = prompt.map_err(|error| ApiError::invalid("tokens", error.to_string()))?;
        Ok(DetokenizeResponse { prompt })
    };
    Ok(Json(state.work.run(&state.plans_pace, size, work).await?))
}
