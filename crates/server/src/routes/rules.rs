//! Cases decided by a rule file, in the form of a Drools service.

use std::sync::Arc;

use axum::extract;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use decision::DecideError;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api_error::{ApiError, Refusals};
use crate::body::{self, Whole};
use crate::{RulesEngine, State};

/// A case.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ScoreRequest<'b> {
    /// The facts, as the rule file expects them.
    #[serde(borrow)]
    #[schema(value_type = Object, example = json!({"person": {"pep": true}, "recent_tx": [{"channel": "wire", "amount": 12000}]}))]
    facts: &'b RawValue,
}

/// What the rules left in their globals.
#[derive(ToSchema)]
#[expect(dead_code, reason = "written by hand, straight from the session's memory")]
pub(crate) struct ScoreResponse {
    /// The facts, as they were sent.
    #[schema(value_type = Object)]
    facts: (),
    /// The global `out`.
    decision: RawDecision,
    /// Names of the rules that fired, in order.
    fired_rules: Vec<String>,
}

/// The raw view: flags as often as they were raised.
#[derive(ToSchema)]
#[expect(dead_code, reason = "written by hand, straight from the session's memory")]
pub(crate) struct RawDecision {
    /// As the rule file names it.
    #[schema(example = "SAR")]
    aml_decision: String,
    /// As the rule file sets it.
    escalation_level: i64,
    /// Flags, in the order in which they were raised.
    #[schema(example = json!(["PEP"]))]
    reasons: Vec<String>,
}

/// Decides one case by the rule file.
#[utoipa::path(
    post, path = "/v1/drools/score", tag = "rules", request_body = ScoreRequest,
    responses((status = 200, body = ScoreResponse), Refusals),
)]
pub(crate) async fn score(
    extract::State(state): extract::State<Arc<State>>,
    Whole(body): Whole,
) -> Result<impl IntoResponse, ApiError> {
    let engine = state.rules()?;
    let size = body.len();
    let answer = state.work.run(&state.rules_pace, size, move || decide(&engine, &body)).await?;
    Ok(([(CONTENT_TYPE, "application/json")], answer))
}

fn decide(engine: &RulesEngine, body: &Bytes) -> Result<Vec<u8>, ApiError> {
    let request: ScoreRequest<'_> = body::json(body)?;
    let facts = request.facts.get();
    let mut out = Vec::with_capacity(facts.len() + 512);
    out.extend_from_slice(br#"{"facts":"#);
    out.extend_from_slice(facts.as_bytes());
    let seam = out.len();
    let mut out = engine.raw_view(facts, out).map_err(|error| match error {
        DecideError::NotJson(_) | DecideError::Unfit(_) => ApiError::invalid("facts", error.to_string()),
        DecideError::Failed(message) | DecideError::UnknownOutcome(message) => ApiError::Undecidable(message),
    })?;
    // The raw view is an object of its own: its opening brace becomes the comma between the two.
    out[seam] = b',';
    Ok(out)
}
