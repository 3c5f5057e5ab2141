//! Everything that a request can be refused with: one status, one code, one message each.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::{Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::openai;

/// A refusal. Messages go to the caller, never to the log: they may quote the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON, or ends too early.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// A field is missing or has an unusable value.
    #[error("{message}")]
    Invalid {
        /// Where: `alerts[3].volume_usd`.
        field: String,
        /// What is wrong there.
        message: String,
    },
    /// The connection failed while the body was read.
    #[error("the body could not be read to its end")]
    BrokenBody,
    /// No key, or a wrong one.
    #[error("the key is missing or wrong: send `Authorization: Bearer KEY` or `X-API-Key: KEY`")]
    Unauthorized,
    /// No such path.
    #[error("there is nothing at this path; see /docs")]
    NotFound,
    /// The path is there, but the server was started without what it takes.
    #[error("this server was started without {0}")]
    NotServed(&'static str),
    /// The path is there, but nothing has this id.
    #[error("there is no {what} with the id {id:?}")]
    Missing {
        /// What it would be: `file`, `batch`.
        what: &'static str,
        /// As the caller wrote it.
        id: String,
    },
    /// What is asked for does not go with how things stand.
    #[error("{0}")]
    Conflict(String),
    /// The path takes other methods.
    #[error("this path does not take this method")]
    MethodNotAllowed,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// The body is too large.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes a body may have.
        limit: usize,
    },
    /// A field asks for what is not built.
    #[error("`{0}` is not supported with this value: leave it out")]
    Unsupported(String),
    /// No model or adapter has this name.
    #[error("there is no model `{0}`; GET /v1/models lists those that are served")]
    UnknownModel(String),
    /// Prompt and answer are longer than the model can read.
    #[error(
        "the prompt has {prompt} tokens and the answer may have {answer}, together more than the model's {positions}: \
         shorten the prompt, or give a smaller max_tokens"
    )]
    ContextLength {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that the answer may have.
        answer: usize,
        /// Tokens that the model can read.
        positions: usize,
        /// Where the prompt is.
        field: &'static str,
    },
    /// What is asked for is not allowed to anybody.
    #[error("{0}")]
    Forbidden(String),
    /// The decider failed on this case; the same case will fail again.
    #[error("{0}")]
    Undecidable(String),
    /// A fault in Probity itself.
    #[error("a fault in the server; the log has its place under this request id")]
    Internal,
    /// A reload failed; what was loaded before goes on answering.
    #[error("the reload failed, and what was loaded before goes on answering: {0}")]
    ReloadFailed(String),
    /// The model is not loaded yet.
    #[error("{0} is still being loaded")]
    Loading(String),
    /// As many requests are being answered as are allowed at once.
    #[error("too many requests at once")]
    Busy,
    /// The answer was not ready in time.
    #[error("the answer was not ready in time")]
    Timeout,
}

/// The JSON form of a refusal.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody<'e> {
    error: ErrorDetail<'e>,
}

/// What is wrong, for programs (`code`, `field`) and for people (`message`).
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorDetail<'e> {
    /// One of a closed list.
    #[schema(example = "invalid_field")]
    code: &'e str,
    /// A sentence; it may quote the request.
    message: String,
    /// The place in the body, where there is one.
    #[schema(example = "alerts[3].volume_usd")]
    field: Option<&'e str>,
    /// As in the `x-request-id` header.
    request_id: &'e str,
}

impl ApiError {
    /// A field with a value that it may not have.
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_)
            | Self::Invalid { .. }
            | Self::BrokenBody
            | Self::Unsupported(_)
            | Self::ContextLength { .. } => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::NotServed(_) | Self::UnknownModel(_) | Self::Missing { .. } => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Undecidable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal | Self::ReloadFailed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Loading(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The code that programs look at.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::Invalid { .. } => "invalid_field",
            Self::BrokenBody => "broken_body",
            Self::Unsupported(_) => "unsupported_parameter",
            Self::UnknownModel(_) => "model_not_found",
            Self::ContextLength { .. } => "context_length_exceeded",
            Self::Forbidden(_) => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::NotFound | Self::Missing { .. } => "not_found",
            Self::Conflict(_) => "conflict",
            Self::NotServed(_) => "not_served",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTimeout => "body_timeout",
            Self::TooLarge { .. } => "body_too_large",
            Self::Undecidable(_) => "undecidable",
            Self::Internal => "internal",
            Self::ReloadFailed(_) => "reload_failed",
            Self::Loading(_) => "loading",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
        }
    }

    /// The field that is wrong.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } | Self::Unsupported(field) => Some(field),
            Self::ContextLength { field, .. } => Some(field),
            Self::UnknownModel(_) => Some("model"),
            _ => None,
        }
    }

    /// A fault of the disk: its words are for the log.
    pub(crate) fn fault(error: &std::io::Error) -> Self {
        tracing::error!(%error, "failed to use the data folder");
        Self::Internal
    }

    /// What kept a file, a batch or a job from being read.
    pub(crate) fn of_item(error: &std::io::Error, what: &'static str, id: &str) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { what, id: id.to_owned() },
            _ => Self::fault(error),
        }
    }

    /// The refusal as JSON, in our form or in OpenAI's.
    pub(crate) fn body(&self, request_id: &str, openai: bool) -> Vec<u8> {
        if openai {
            return serde_json::to_vec(&openai::error_body(self, Some(request_id))).unwrap_or_default();
        }
        let error = ErrorDetail { code: self.code(), message: self.to_string(), field: self.field(), request_id };
        // Strings alone: this cannot fail.
        serde_json::to_vec(&ErrorBody { error }).unwrap_or_default()
    }
}

/// The gate writes the body, since it alone knows the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        match self {
            Self::Unauthorized => {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Loading(_) | Self::Busy => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The refusals of every route that decides, for the OpenAPI document.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Documented>> {
        let list = [
            ("400", "The body is not JSON, or a field is wrong: `field` names it"),
            ("401", "The key is missing or wrong"),
            ("404", "The server was started without what this path takes"),
            ("408", "The body did not arrive in time"),
            ("413", "The body is too large"),
            ("422", "The decider failed on this case"),
            ("500", "A fault in the server"),
            ("503", "Still loading, or too many requests at once; see `Retry-After`"),
            ("504", "The answer was not ready in time"),
        ];
        list.into_iter()
            .map(|(status, description)| {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
                let response =
                    ResponseBuilder::new().description(description).content("application/json", content).build();
                (status.to_owned(), RefOr::T(response))
            })
            .collect()
    }
}
