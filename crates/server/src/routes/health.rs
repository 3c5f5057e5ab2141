//! How the server is: `/health`, `/version`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::metrics::Text;
use crate::{State, writer_metrics};

/// Whether requests are answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `loading` until every model is loaded; `degraded` when a reload failed and the model from before goes on
    /// answering.
    status: Condition,
    /// Each model that the server was started with.
    models_loaded: BTreeMap<String, bool>,
    /// Now, in UTC.
    #[schema(value_type = String, format = DateTime)]
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Condition {
    Loading,
    Healthy,
    Degraded,
}

/// Whether the server is ready.
#[utoipa::path(
    get, path = "/health", tag = "server",
    responses((status = 200, body = Health), (status = 503, description = "Still loading", body = Health)),
)]
pub(crate) async fn health(extract::State(state): extract::State<Arc<State>>) -> (StatusCode, Json<Health>) {
    let models = state.models();
    let models_loaded: BTreeMap<_, _> = models.iter().map(|m| (m.name().to_owned(), m.identity().is_some())).collect();
    let (code, status) = if models_loaded.values().any(|loaded| !loaded) {
        (StatusCode::SERVICE_UNAVAILABLE, Condition::Loading)
    } else if models.iter().any(|model| model.failed()) {
        (StatusCode::OK, Condition::Degraded)
    } else {
        (StatusCode::OK, Condition::Healthy)
    };
    let timestamp = jiff::Timestamp::now().to_string();
    (code, Json(Health { status, models_loaded, timestamp }))
}

/// What answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    /// Version of Probity.
    api_version: &'static str,
    /// Each loaded model's version.
    model_versions: BTreeMap<String, String>,
    /// SHA-256 of each loaded model.
    model_hashes: BTreeMap<String, String>,
}

/// What decides here, by version and content hash.
#[utoipa::path(get, path = "/version", tag = "server", responses((status = 200, body = Version)))]
pub(crate) async fn version(extract::State(state): extract::State<Arc<State>>) -> Json<Version> {
    let (mut model_versions, mut model_hashes) = (BTreeMap::new(), BTreeMap::new());
    for model in state.models() {
        if let Some(identity) = model.identity() {
            model_versions.insert(model.name().to_owned(), identity.version);
            model_hashes.insert(model.name().to_owned(), identity.hash);
        }
    }
    Json(Version { api_version: env!("CARGO_PKG_VERSION"), model_versions, model_hashes })
}

/// Counters for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((status = 200, content_type = "text/plain", body = String)),
)]
pub(crate) async fn metrics(extract::State(state): extract::State<Arc<State>>) -> impl IntoResponse {
    let mut text = Text::default();
    state.metrics.write(&mut text);
    writer_metrics::write(&state, &mut text);
    text.family("probity_model_info", "gauge", "The loaded models.");
    for model in state.models() {
        if let Some(identity) = model.identity() {
            let labels = [("model", model.name()), ("version", &identity.version), ("hash", &identity.hash)];
            text.sample("", &labels, 1);
        }
    }
    text.family("probity_build_info", "gauge", "This program.");
    text.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.text)
}
