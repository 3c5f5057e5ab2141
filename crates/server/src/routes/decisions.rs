//! Cases of a desk, decided by what is served: rules, learned models, cascades, other endpoints.

use std::sync::Arc;

use axum::extract;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use decision::lines::decide_cases;
use decision::{Case, Decider, DecisionLine, Desk};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::State;
use crate::api_error::{ApiError, Refusals};
use crate::body::{self, Asked, Whole};
use crate::deciding::Deciding;
use crate::work::Caller;

/// The desk whose cases `/predict` takes.
const PREDICTED: &str = "transactions";

/// Cases of a request at most, unless rules alone decide them.
const CASES: usize = 1000;

/// Cases that a model decides at once; whether somebody still waits is looked at in between.
const TOGETHER: usize = 64;

/// Some cases, or one: what has no `cases` is a case itself.
#[derive(Deserialize, ToSchema)]
pub(crate) struct DecisionsRequest<'b> {
    /// Cases: each an object with `facts` and perhaps `case_id`, or the facts themselves. A model takes 1000 at most.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"case_id": "c1", "facts": {"person": {"pep": true}}}]))]
    cases: Option<Vec<&'b RawValue>>,
    /// Who decides: `rules`, or the name of a model or of another decider. Need not be said where there is one only.
    #[serde(default)]
    with: Option<String>,
}

/// What stands behind the path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct With {
    /// Who decides, if the body does not say it.
    with: Option<String>,
}

/// A decision, or why there is none.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of what the crate of decisions writes")]
pub(crate) struct Line {
    /// As it was sent; else the case's number.
    case_id: String,
    /// Name, version and content hash of what decided.
    #[schema(value_type = Option<Object>)]
    decided_by: (),
    /// Outcome, score, probabilities, level and reasons.
    #[schema(value_type = Option<Object>)]
    decision: (),
    /// The case's number; only with an error.
    line: Option<u64>,
    /// Why there is no decision.
    error: Option<String>,
}

/// Decides cases: one line for each, in order, also for those that cannot be decided.
#[utoipa::path(
    post, path = "/v1/desks/{desk}/decisions", tag = "decisions", request_body = DecisionsRequest,
    params(("desk" = String, Path, description = "The desk, for example `transactions`"), With),
    responses((status = 200, body = Vec<Line>), Refusals),
)]
pub(crate) async fn decisions(
    extract::State(state): extract::State<Arc<State>>,
    extract::Path(desk): extract::Path<String>,
    Asked(With { with }): Asked<With>,
    Whole(body): Whole,
) -> Result<impl IntoResponse, ApiError> {
    let lines = decide(&state, &desk, with, body).await?;
    json(&lines)
}

/// What a caller that wants little is told.
#[derive(Serialize, ToSchema)]
pub(crate) struct Prediction {
    /// The outcome.
    #[schema(example = "SAR")]
    decision: String,
    /// The level of escalation.
    escalation: Option<i64>,
    /// Codes of the reasons.
    reasons: Vec<String>,
    /// The risk, where the decider has one.
    score: Option<f64>,
    /// How likely each outcome is, where the decider says.
    #[schema(value_type = Option<Object>)]
    probabilities: Option<decision::Probabilities>,
}

/// Decides one case of the transactions desk.
#[utoipa::path(
    post, path = "/predict", tag = "decisions", request_body = DecisionsRequest, params(With),
    responses((status = 200, body = Prediction), Refusals),
)]
pub(crate) async fn predict(
    extract::State(state): extract::State<Arc<State>>,
    Asked(With { with }): Asked<With>,
    Whole(body): Whole,
) -> Result<impl IntoResponse, ApiError> {
    let mut lines = decide(&state, PREDICTED, with, body).await?;
    let many = || ApiError::invalid("cases", "one case at a time");
    let line = lines.pop().filter(|_| lines.is_empty()).ok_or_else(many)?;
    let decision = line.decision.ok_or_else(|| ApiError::Undecidable(line.error.unwrap_or_default()))?;
    json(&Prediction {
        decision: decision.outcome,
        escalation: decision.level,
        reasons: decision.reasons.into_iter().map(|reason| reason.code).collect(),
        score: decision.score,
        probabilities: decision.probabilities,
    })
}

fn json<T: Serialize>(value: &T) -> Result<impl IntoResponse + use<T>, ApiError> {
    let text = serde_json::to_vec(value).map_err(|_| ApiError::Internal)?;
    Ok(([(CONTENT_TYPE, "application/json")], text))
}

async fn decide(
    state: &Arc<State>,
    desk: &str,
    with: Option<String>,
    body: Bytes,
) -> Result<Vec<DecisionLine>, ApiError> {
    let desk = desks::find(desk).ok_or(ApiError::NotFound)?;
    let request: DecisionsRequest<'_> = body::json(&body)?;
    let deciding = state.deciding(desk.name(), request.with.or(with).as_deref())?;
    let size = body.len();
    if let Deciding::Rules(_) = deciding {
        let work = move || Ok(lines(&*desk, deciding.decider(), &cases(&body)?));
        return state.work.run(&state.rules_pace, size, work).await;
    }
    if !deciding.decider().prefers_batches() {
        // Rules of another file, or a cascade of rules: they compute on the thread that asks them.
        return state.work.long(move || Ok(lines(&*desk, deciding.decider(), &cases(&body)?))).await;
    }
    if request.cases.as_ref().is_some_and(|cases| cases.len() > CASES) {
        return Err(ApiError::invalid(
            "cases",
            format!("at most {CASES} cases of a request, unless rules alone decide them"),
        ));
    }
    // A model has threads of its own, and an endpoint its own machine: whoever waits takes none of our threads. Rules that
    // decide what these are unsure of take little beside them.
    state.work.wait(move |caller| answer_together(&*desk, deciding.decider(), &cases(&body)?, caller)).await
}

/// The cases of a body with their numbers, as text.
fn cases(body: &Bytes) -> Result<Vec<(u64, &str)>, ApiError> {
    let request: DecisionsRequest<'_> = body::json(body)?;
    let one = || std::str::from_utf8(body).map(|text| vec![text]).unwrap_or_default();
    let texts = request.cases.map_or_else(one, |cases| cases.into_iter().map(RawValue::get).collect());
    Ok((1..).zip(texts).collect())
}

fn lines(desk: &dyn Desk, decider: &dyn Decider, cases: &[(u64, &str)]) -> Vec<DecisionLine> {
    let cases = cases.iter().copied();
    let cases =
        cases.map(|(number, text)| (number, Case::read(text.as_bytes(), number).map_err(|error| error.to_string())));
    let mut worker = decider.worker();
    decide_cases(desk, decider.identity(), &mut *worker, cases.collect())
}

/// Lets a model decide, until all is decided or nobody waits any more.
fn answer_together(
    desk: &dyn Desk,
    decider: &dyn Decider,
    cases: &[(u64, &str)],
    caller: &Caller,
) -> Result<Vec<DecisionLine>, ApiError> {
    let mut all = Vec::with_capacity(cases.len());
    for some in cases.chunks(TOGETHER) {
        if caller.is_gone() {
            return Err(ApiError::Timeout);
        }
        all.extend(lines(desk, decider, some));
    }
    let busy = lm::Error::Busy.to_string();
    let had_no_room = |line: &DecisionLine| line.error.as_ref() == Some(&busy);
    // The same request may be answered later: a line that says so is for one of many.
    if all.iter().all(|line| line.decision.is_none()) && all.iter().any(had_no_room) {
        return Err(ApiError::Busy);
    }
    Ok(all)
}
