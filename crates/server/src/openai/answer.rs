//! Whole answers, and what they have in common with streams.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::choice::{Ended, Piece};
use super::plan::{Dialect, Plan};
use super::run::Run;
use super::usage::Usage;
use super::{chat, completion, form, stream};
use crate::{ApiError, State, body, data, request_id};

/// What stands around every answer and every piece of one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Envelope {
    /// Different for each request.
    #[schema(example = "chatcmpl-4f2a")]
    id: String,
    /// What this is.
    object: &'static str,
    /// When, in seconds since 1970.
    created: i64,
    /// The model or adapter that was asked for.
    model: String,
    /// The beginning of the model's content hash.
    #[schema(example = "fp_1f2e3d4c5b6a")]
    system_fingerprint: String,
}

impl Envelope {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (start, object) = match (plan.dialect, plan.stream) {
            (Dialect::Chat, false) => ("chatcmpl", "chat.completion"),
            (Dialect::Chat, true) => ("chatcmpl", "chat.completion.chunk"),
            (Dialect::Completion, _) => ("cmpl", "text_completion"),
        };
        Self {
            id: format!("{start}-{}", request_id::unique()),
            object,
            created: data::now(),
            model: plan.writer.name.clone(),
            system_fingerprint: plan.writer.fingerprint.clone(),
        }
    }
}

/// The answers to a plan.
pub(crate) struct Whole {
    /// Each as one piece, and why it ended.
    pub(crate) choices: Vec<(Piece, &'static str)>,
    pub(crate) usage: Usage,
}

/// An answer in its form.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Chat(chat::ChatCompletion),
    Text(completion::TextCompletion),
}

/// A request's body that was read.
enum Read {
    Plan(Box<Plan>),
    /// It says what the answer must be, which is yet to be compiled: the size of a body does not say how long that
    /// takes.
    Form(Value),
}

/// Answers a request's body: whole, or as a stream if that is asked for.
///
/// # Errors
/// Why there is no answer; of a stream, as far as it shows before the first piece.
pub(crate) async fn answer(state: &Arc<State>, dialect: Dialect, bytes: Bytes) -> Result<Response, ApiError> {
    let (shared, size) = (Arc::clone(state), bytes.len());
    let read = move || {
        let body: Value = body::json(&bytes)?;
        if form::is_asked(&body) {
            Ok(Read::Form(body))
        } else {
            Plan::new(&shared, dialect, &body).map(|plan| Read::Plan(Box::new(plan)))
        }
    };
    let plan = match state.work.run(&state.plans_pace, size, read).await? {
        Read::Plan(plan) => *plan,
        Read::Form(body) => {
            let shared = Arc::clone(state);
            state.work.long(move || Plan::new(&shared, dialect, &body)).await?
        }
    };
    let patience = state.limits.request_timeout;
    if plan.stream {
        stream::stream(state, plan, patience).await
    } else {
        Ok(Json(whole(&plan, Some(patience)).await?).into_response())
    }
}

/// The whole answer to a plan.
///
/// # Errors
/// When the engine fails, or says nothing for longer than `patience`.
pub(crate) async fn whole(plan: &Plan, patience: Option<Duration>) -> Result<Answer, ApiError> {
    let mut run = Run::start(plan, patience)?;
    let empty = |choice| Piece { choice, ..Piece::default() };
    let mut choices: Vec<Piece> = (0..plan.choices()).map(empty).collect();
    while let Some(piece) = run.next().await? {
        let whole = &mut choices[piece.choice];
        whole.text += &piece.text;
        whole.tokens.extend(piece.tokens);
        whole.finish = piece.finish;
    }
    let ended = |piece: Piece| {
        let name = piece.finish.map_or(Ended::Stop.name(), Ended::name);
        (piece, name)
    };
    let whole = Whole { choices: choices.into_iter().map(ended).collect(), usage: run.usage() };
    let envelope = Envelope::new(plan);
    Ok(match plan.dialect {
        Dialect::Chat => Answer::Chat(chat::whole(plan, envelope, whole)),
        Dialect::Completion => Answer::Text(completion::whole(plan, envelope, whole)),
    })
}
