//! Answers to bodies that come from elsewhere than a connection, such as a batch's lines.

use std::sync::Arc;

use serde_json::Value;

use super::answer::whole;
use super::error;
use super::fields::invalid;
use super::plan::{Dialect, Plan};
use crate::{ApiError, State};

/// Answers a body as it would be answered at a path of OpenAI's, without a stream: a status and a body, which for a
/// refusal is OpenAI's error object. It waits as long as the answer takes; dropping the future gives the answer up.
pub async fn respond(state: &Arc<State>, url: &str, body: Value) -> (u16, Value) {
    match attempt(state, url, body).await {
        Ok(answer) => (200, answer),
        Err(refusal) => {
            // Strings alone: this cannot fail.
            let body = serde_json::to_value(error::body(&refusal, None)).unwrap_or_default();
            (refusal.status().as_u16(), body)
        }
    }
}

async fn attempt(state: &Arc<State>, url: &str, body: Value) -> Result<Value, ApiError> {
    let dialect = match url {
        "/v1/chat/completions" => Dialect::Chat,
        "/v1/completions" => Dialect::Completion,
        _ => return Err(invalid("url", format!("`{url}` is neither /v1/chat/completions nor /v1/completions"))),
    };
    let shared = Arc::clone(state);
    let plan = tokio::task::spawn_blocking(move || Plan::new(&shared, dialect, &body));
    let plan = plan.await.map_err(|_| ApiError::Internal)??;
    if plan.stream {
        return Err(invalid("stream", "answers of a batch come whole"));
    }
    serde_json::to_value(whole(&plan, None).await?).map_err(|_| ApiError::Internal)
}
