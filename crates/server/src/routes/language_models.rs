//! Which models write text, and adapters that come and go.

use std::sync::Arc;

use axum::extract::Path;
use axum::{Json, extract};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::State;
use crate::api_error::{ApiError, Refusals};
use crate::body::{self, Whole};
use crate::language::Card;

/// The models and adapters that write text.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// Always `list`.
    object: &'static str,
    data: Vec<ModelCard>,
}

/// A model or an adapter.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelCard {
    /// What requests name it by.
    #[schema(example = "smollm2")]
    id: String,
    /// Always `model`.
    object: &'static str,
    /// When the server was started, in seconds since 1970.
    created: i64,
    /// Always `probity`.
    owned_by: &'static str,
    /// Of an adapter its folder, of a model its name.
    root: String,
    /// Of an adapter, the model that it stands beside.
    parent: Option<String>,
    /// Tokens of a prompt and its answer at most.
    max_model_len: usize,
}

impl ModelCard {
    fn new(card: Card, created: i64) -> Self {
        let Card { id, root, parent, positions } = card;
        Self { id, object: "model", created, owned_by: "probity", root, parent, max_model_len: positions }
    }
}

/// The models and adapters that requests may name.
#[utoipa::path(
    get, path = "/v1/models", tag = "language models", responses((status = 200, body = ModelList), Refusals),
)]
pub(crate) async fn list(extract::State(state): extract::State<Arc<State>>) -> Result<Json<ModelList>, ApiError> {
    let data = state.cards()?.into_iter().map(|card| ModelCard::new(card, state.started));
    Ok(Json(ModelList { object: "list", data: data.collect() }))
}

/// One of them.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "language models", params(("id" = String, Path, description = "Its name")),
    responses((status = 200, body = ModelCard), Refusals),
)]
pub(crate) async fn one(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<ModelCard>, ApiError> {
    Ok(Json(ModelCard::new(state.card(&id)?, state.started)))
}

/// An adapter to load.
#[derive(Deserialize, ToSchema)]
pub(crate) struct LoadAdapter {
    /// What requests will name it by. An adapter that has the name is replaced.
    lora_name: String,
    /// A folder in the layout of peft under the server's folder for adapters.
    lora_path: String,
}

/// Loads an adapter beside the first model.
#[utoipa::path(
    post, path = "/v1/load_lora_adapter", tag = "language models", request_body = LoadAdapter,
    description = "Only answered when the server was started with `--allow-adapter-loading`.",
    responses((status = 200, content_type = "text/plain", body = String), Refusals),
)]
pub(crate) async fn load_adapter(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<String, ApiError> {
    let LoadAdapter { lora_name, lora_path } = body::json(&body)?;
    let answer = format!("Success: LoRA adapter '{lora_name}' added successfully.");
    let load = move || state.load_adapter(&lora_name, lora_path.as_ref());
    tokio::task::spawn_blocking(load).await.map_err(|_| ApiError::Internal)??;
    Ok(answer)
}

/// An adapter to forget.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UnloadAdapter {
    /// Its name.
    lora_name: String,
}

/// Forgets an adapter; what is being answered with it goes on.
#[utoipa::path(
    post, path = "/v1/unload_lora_adapter", tag = "language models", request_body = UnloadAdapter,
    description = "Only answered when the server was started with `--allow-adapter-loading`.",
    responses((status = 200, content_type = "text/plain", body = String), Refusals),
)]
pub(crate) async fn unload_adapter(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<String, ApiError> {
    let UnloadAdapter { lora_name } = body::json(&body)?;
    let answer = format!("Success: LoRA adapter '{lora_name}' removed successfully.");
    // It may have to wait for a reload.
    let unload = move || state.unload_adapter(&lora_name);
    tokio::task::spawn_blocking(unload).await.map_err(|_| ApiError::Internal)??;
    Ok(answer)
}
