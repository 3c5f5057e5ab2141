//! What an operator may ask for over HTTP, if the server was started to allow it.

use std::sync::Arc;

use axum::{Json, extract};

use super::health::{self, Version};
use crate::api_error::{ApiError, Refusals};
use crate::{State, reload};

/// Loads every model again, as SIGHUP does.
#[utoipa::path(
    post, path = "/admin/reload", tag = "server",
    description = "Only answered when the server was started with `--admin-reload`.",
    responses((status = 200, body = Version), Refusals),
)]
pub(crate) async fn reload(state: extract::State<Arc<State>>) -> Result<Json<Version>, ApiError> {
    let shared = Arc::clone(&state);
    match tokio::task::spawn_blocking(move || reload::reload_all(&shared)).await {
        Ok(Ok(())) => Ok(health::version(state).await),
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Err(ApiError::ReloadFailed(format!("{error}{cause}")))
        }
        Err(_) => Err(ApiError::Internal),
    }
}
