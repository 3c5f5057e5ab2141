//! Training jobs: started, watched, cancelled.

use std::sync::Arc;

use axum::Json;
use axum::extract::{self, Path};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api_error::Refusals;
use crate::body::{self, Asked, Whole};
use crate::data::{Page, Window, on_disk};
use crate::jobs::{JobView, TrainRequest};
use crate::{ApiError, State};

/// What was begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrainResponse {
    job: JobView,
}

/// How much of a log is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Tail {
    /// Only so many lines, from the end.
    tail: Option<usize>,
}

/// Begins a training.
#[utoipa::path(
    post, path = "/train", tag = "jobs", request_body = TrainRequest,
    description = "Only answered when the server was started with `--allow-training`.",
    responses(
        (status = 202, body = TrainResponse),
        (status = 409, description = "There is a model or a job of this name already"),
        Refusals
    ),
)]
pub(crate) async fn train(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<(StatusCode, Json<TrainResponse>), ApiError> {
    let jobs = Arc::clone(state.jobs()?);
    let request: TrainRequest = body::json(&body)?;
    let job = on_disk(move || jobs.create(&request)).await?;
    Ok((StatusCode::ACCEPTED, Json(TrainResponse { job })))
}

/// The training jobs, newest first.
#[utoipa::path(
    get, path = "/jobs", tag = "jobs", operation_id = "list_jobs", params(Window),
    responses((status = 200, body = Page<JobView>), Refusals),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<Arc<State>>,
    Asked(window): Asked<Window>,
) -> Result<Json<Page<JobView>>, ApiError> {
    let jobs = Arc::clone(state.jobs()?);
    on_disk(move || jobs.list(&window).map_err(|error| ApiError::fault(&error))).await.map(Json)
}

/// How a training stands.
#[utoipa::path(
    get, path = "/jobs/{job_id}", tag = "jobs", operation_id = "get_job", params(("job_id" = String, Path)),
    responses((status = 200, body = JobView), Refusals),
)]
pub(crate) async fn get(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<JobView>, ApiError> {
    let jobs = Arc::clone(state.jobs()?);
    on_disk(move || jobs.get(&id).map_err(|error| ApiError::of_item(&error, "job", &id))).await.map(Json)
}

/// What a training has said: at most 4 MiB, from the end.
#[utoipa::path(
    get, path = "/jobs/{job_id}/log", tag = "jobs", operation_id = "get_job_log",
    params(("job_id" = String, Path), Tail),
    responses((status = 200, content_type = "text/plain", body = String), Refusals),
)]
pub(crate) async fn log(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    Asked(Tail { tail }): Asked<Tail>,
) -> Result<String, ApiError> {
    let jobs = Arc::clone(state.jobs()?);
    on_disk(move || jobs.log(&id, tail).map_err(|error| ApiError::of_item(&error, "job", &id))).await
}

/// Ends a training. What it has saved stays in the job's folder, and no artifact comes of it.
#[utoipa::path(
    post, path = "/jobs/{job_id}/cancel", tag = "jobs", operation_id = "cancel_job", params(("job_id" = String, Path)),
    responses((status = 200, body = JobView), (status = 409, description = "It has ended"), Refusals),
)]
pub(crate) async fn cancel(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<JobView>, ApiError> {
    let jobs = Arc::clone(state.jobs()?);
    on_disk(move || jobs.cancel(&id)).await.map(Json)
}
