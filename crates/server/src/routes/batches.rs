//! Batches, in OpenAI's form.

use std::sync::Arc;

use axum::Json;
use axum::extract::{self, Path};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api_error::Refusals;
use crate::batches::{Batch, Order};
use crate::body::{self, Asked, Whole};
use crate::data::{Page, Window, on_disk};
use crate::{ApiError, State};

/// A batch to be answered.
#[derive(Deserialize, ToSchema)]
pub(crate) struct BatchRequest {
    /// A file for batches: lines of `custom_id`, `method` (`POST`), `url` (that of the batch) and `body`.
    input_file_id: String,
    /// `/v1/chat/completions` or `/v1/completions`.
    #[schema(example = "/v1/chat/completions")]
    endpoint: String,
    /// How long there is time: hours (`24h`) or days (`7d`).
    #[schema(example = "24h")]
    completion_window: String,
    /// Comes back as it is.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// Begins a batch.
#[utoipa::path(
    post, path = "/v1/batches", tag = "batches", operation_id = "create_batch", request_body = BatchRequest,
    responses((status = 200, body = Batch), Refusals),
)]
pub(crate) async fn create(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<Json<Batch>, ApiError> {
    let batches = Arc::clone(state.batches()?);
    let BatchRequest { input_file_id, endpoint, completion_window, metadata } = body::json(&body)?;
    let order = Order { input_file_id, endpoint, completion_window, metadata };
    on_disk(move || batches.create(order)).await.map(Json)
}

/// The batches, newest first.
#[utoipa::path(
    get, path = "/v1/batches", tag = "batches", operation_id = "list_batches", params(Window),
    responses((status = 200, body = Page<Batch>), Refusals),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<Arc<State>>,
    Asked(window): Asked<Window>,
) -> Result<Json<Page<Batch>>, ApiError> {
    let batches = Arc::clone(state.batches()?);
    on_disk(move || batches.list(&window).map_err(|error| ApiError::fault(&error))).await.map(Json)
}

/// How a batch stands.
#[utoipa::path(
    get, path = "/v1/batches/{batch_id}", tag = "batches", operation_id = "get_batch",
    params(("batch_id" = String, Path)),
    responses((status = 200, body = Batch), Refusals),
)]
pub(crate) async fn get(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Batch>, ApiError> {
    let batches = Arc::clone(state.batches()?);
    on_disk(move || batches.get(&id).map_err(|error| ApiError::of_item(&error, "batch", &id))).await.map(Json)
}

/// Stops a batch. What was answered until then is in its files.
#[utoipa::path(
    post, path = "/v1/batches/{batch_id}/cancel", tag = "batches", operation_id = "cancel_batch",
    params(("batch_id" = String, Path)),
    responses((status = 200, body = Batch), (status = 409, description = "It is done"), Refusals),
)]
pub(crate) async fn cancel(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Batch>, ApiError> {
    let batches = Arc::clone(state.batches()?);
    on_disk(move || batches.cancel(&id)).await.map(Json)
}
