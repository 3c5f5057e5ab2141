//! Alerts and clusters of a batch: scored with an explanation each, or ranked.

use std::sync::Arc;
use std::time::Instant;

use axum::extract;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use deciders::trees::Scored;
use desks::alerts::{AlertModel, Batch, BatchError, Context};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::State;
use crate::alerts_engine::AlertsEngine;
use crate::api_error::{ApiError, Refusals};
use crate::body::{self, Whole};

/// Features that explain a score.
const TOP: usize = 5;

/// A batch. Only what is listed is needed; what else the monitoring system sends is read where a model
/// knows it, and left out where not.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the desk reads batches; this is their description")]
pub(crate) struct BatchRequest {
    /// What is scored.
    alerts: Vec<AlertItem>,
    /// What is known of addresses: `address` and numbers by name, or rows of `address`, `feature_name`,
    /// `feature_value`.
    #[schema(value_type = Option<Vec<Object>>)]
    features: (),
    /// Alerts that belong together.
    clusters: Option<Vec<ClusterItem>>,
    /// Money flows of the windows that the alerts lie in.
    money_flows: Option<Vec<FlowItem>>,
}

/// An alert.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the desk reads batches; this is their description")]
pub(crate) struct AlertItem {
    #[schema(example = "alert-1")]
    alert_id: String,
    #[schema(example = "A000042")]
    address: String,
    #[schema(example = "2025-06-15")]
    processing_date: Option<String>,
    #[schema(example = 7)]
    window_days: Option<i64>,
    #[schema(example = "fan_in")]
    typology_type: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    #[schema(example = "high")]
    severity: Option<String>,
    suspected_address_type: Option<String>,
    #[schema(example = 0.87)]
    alert_confidence_score: Option<f64>,
    /// A number, or a decimal as text.
    #[schema(example = 150_000.0)]
    volume_usd: Option<f64>,
    risk_indicators: Option<Vec<String>>,
}

/// A cluster of alerts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the desk reads batches; this is their description")]
pub(crate) struct ClusterItem {
    cluster_id: String,
    processing_date: Option<String>,
    window_days: Option<i64>,
    primary_address: Option<String>,
    related_alert_ids: Option<Vec<String>>,
    addresses_involved: Option<Vec<String>>,
    total_alerts: Option<f64>,
    total_volume_usd: Option<f64>,
    severity_max: Option<String>,
    confidence_avg: Option<f64>,
    earliest_alert_timestamp: Option<f64>,
    latest_alert_timestamp: Option<f64>,
}

/// Money that went from one address to another.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the desk reads batches; this is their description")]
pub(crate) struct FlowItem {
    /// Also `source_address`.
    from_address: String,
    /// Also `dest_address`.
    to_address: String,
    /// Also `amount_usd_sum`.
    amount_usd: Option<f64>,
    /// Seconds since 1970.
    timestamp: Option<f64>,
    processing_date: Option<String>,
    window_days: Option<i64>,
}

/// The score of an alert.
#[derive(Serialize, ToSchema)]
pub(crate) struct AlertScore<'a> {
    alert_id: &'a str,
    #[serde(flatten)]
    score: Score<'a>,
}

/// The score of a cluster.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClusterScore<'a> {
    cluster_id: &'a str,
    #[serde(flatten)]
    score: Score<'a>,
}

/// A score with its explanation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Score<'a> {
    /// Probability, 0 to 1.
    score: f64,
    /// Version of the program and start of the model's content hash.
    model_version: &'a str,
    /// This item's share of the time that the batch took. The only part of the answer that differs from one
    /// request to the next.
    latency_ms: f64,
    /// JSON text: the five features that contributed most, with values, contributions and sentences.
    explain_json: String,
}

/// The rank of an alert.
#[derive(Serialize, ToSchema)]
pub(crate) struct AlertRank<'a> {
    alert_id: &'a str,
    /// From 1, the most urgent.
    rank: usize,
    /// What ranks are made from; only the order means something.
    score: f64,
    model_version: &'a str,
}

/// What `explain_json` holds.
#[derive(Serialize)]
struct Explanation<'a> {
    top_features: Vec<&'a str>,
    feature_values: Pairs<'a, Option<f64>>,
    feature_contributions: Pairs<'a, f64>,
    sentences: Vec<String>,
}

/// An object whose entries keep their order.
struct Pairs<'a, T>(Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for Pairs<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Scores every alert of a batch.
#[utoipa::path(
    post, path = "/score/alerts", tag = "alerts", request_body = BatchRequest,
    responses((status = 200, body = Vec<AlertScore>), Refusals),
)]
pub(crate) async fn score_alerts(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<impl IntoResponse, ApiError> {
    run(state, AlertModel::Scorer, body, |engine, batch, start| {
        let (rows, scored) = scores(engine, batch, TOP);
        let latency = latency(start, batch.alerts.len());
        let items = batch.alerts.iter().zip(&scored).enumerate().map(|(index, (alert, scored))| AlertScore {
            alert_id: &alert.alert_id,
            score: score(engine, &rows, index, scored, latency),
        });
        json(&items.collect::<Vec<_>>())
    })
    .await
}

/// Scores every cluster of a batch.
#[utoipa::path(
    post, path = "/score/clusters", tag = "alerts", request_body = BatchRequest,
    responses((status = 200, body = Vec<ClusterScore>), Refusals),
)]
pub(crate) async fn score_clusters(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<impl IntoResponse, ApiError> {
    run(state, AlertModel::Cluster, body, |engine, batch, start| {
        let (rows, scored) = scores(engine, batch, TOP);
        let latency = latency(start, batch.clusters.len());
        let items = batch.clusters.iter().zip(&scored).enumerate().map(|(index, (cluster, scored))| ClusterScore {
            cluster_id: &cluster.cluster_id,
            score: score(engine, &rows, index, scored, latency),
        });
        json(&items.collect::<Vec<_>>())
    })
    .await
}

/// Ranks the alerts of a batch, the most urgent first.
#[utoipa::path(
    post, path = "/rank/alerts", tag = "alerts", request_body = BatchRequest,
    responses((status = 200, body = Vec<AlertRank>), Refusals),
)]
pub(crate) async fn rank_alerts(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<impl IntoResponse, ApiError> {
    run(state, AlertModel::Ranker, body, |engine, batch, _| {
        let (_, scored) = scores(engine, batch, 0);
        let mut order: Vec<usize> = (0..scored.len()).collect();
        // Equal scores rank by identifier, so that the order of the batch does not show.
        order.sort_by(|a, b| {
            let by_score = scored[*b].score.total_cmp(&scored[*a].score);
            by_score.then_with(|| batch.alerts[*a].alert_id.cmp(&batch.alerts[*b].alert_id))
        });
        let items = order.iter().enumerate().map(|(place, index)| AlertRank {
            alert_id: &batch.alerts[*index].alert_id,
            rank: place + 1,
            score: scored[*index].score,
            model_version: &engine.version,
        });
        json(&items.collect::<Vec<_>>())
    })
    .await
}

type Answer = fn(&AlertsEngine, &Batch, Instant) -> Vec<u8>;

async fn run(state: Arc<State>, model: AlertModel, body: Bytes, answer: Answer) -> Result<impl IntoResponse, ApiError> {
    let engine = state.alerts(model)?;
    let size = body.len();
    let task = move || {
        let start = Instant::now();
        let batch: Batch = body::json(&body)?;
        batch.check().map_err(|error| invalid(&error))?;
        Ok(answer(&engine, &batch, start))
    };
    let answer = state.work.run(&state.alerts_pace, size, task).await?;
    Ok(([(CONTENT_TYPE, "application/json")], answer))
}

fn invalid(error: &BatchError) -> ApiError {
    let (BatchError::Empty { field, index } | BatchError::Twice { field, second: index, .. }) = error;
    ApiError::invalid(field.replace("[]", &format!("[{index}]")), error.to_string())
}

/// The features of all items, and their scores.
fn scores(engine: &AlertsEngine, batch: &Batch, top: usize) -> (Vec<f64>, Vec<Scored>) {
    let rows = engine.plan.rows(&Context::new(batch));
    let scored = engine.artifact.score_rows(&rows, top);
    (rows, scored)
}

fn score<'a>(engine: &'a AlertsEngine, rows: &[f64], index: usize, scored: &Scored, latency_ms: f64) -> Score<'a> {
    let names = engine.plan.names();
    let row = &rows[index * names.len()..(index + 1) * names.len()];
    let name = |column: usize| names[column].as_str();
    let known = |column: usize| Some(row[column]).filter(|value| value.is_finite());
    let explanation = Explanation {
        top_features: scored.top.iter().map(|(column, _)| name(*column)).collect(),
        feature_values: Pairs(scored.top.iter().map(|(column, _)| (name(*column), known(*column))).collect()),
        feature_contributions: Pairs(scored.top.iter().map(|(column, size)| (name(*column), *size)).collect()),
        sentences: scored.top.iter().map(|(column, size)| engine.plan.sentence(*column, row[*column], *size)).collect(),
    };
    let explain_json = serde_json::to_string(&explanation).unwrap_or_default();
    Score { score: scored.score, model_version: &engine.version, latency_ms, explain_json }
}

/// Milliseconds per item, to three places.
fn latency(start: Instant, items: usize) -> f64 {
    (start.elapsed().as_secs_f64() * 1e6 / items.max(1) as f64).round() / 1e3
}

fn json<T: Serialize>(items: &[T]) -> Vec<u8> {
    serde_json::to_vec(items).unwrap_or_default()
}
