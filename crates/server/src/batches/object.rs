//! Batches as callers see them, in OpenAI's form.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Waiting for its turn, or its requests are being counted.
    Validating,
    /// There is nothing in it to answer.
    Failed,
    /// Its requests are being answered.
    InProgress,
    /// Its files are being put in their places.
    Finalizing,
    /// Every request has its line.
    Completed,
    /// The window ended before the last request was answered.
    Expired,
    /// Told to stop.
    Cancelling,
    /// Stopped; what was answered until then is in its files.
    Cancelled,
}

impl Status {
    /// As callers read it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

/// How many requests a batch has, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

/// A file of requests that is answered when there is room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Batch {
    pub(crate) id: String,
    #[schema(example = "batch")]
    pub(crate) object: String,
    #[schema(example = "/v1/chat/completions")]
    pub(crate) endpoint: String,
    /// Why it failed as a whole.
    pub(crate) errors: Option<Errors>,
    pub(crate) input_file_id: String,
    #[schema(example = "24h")]
    pub(crate) completion_window: String,
    pub(crate) status: Status,
    /// Answers, in the order of the requests; none if there are none.
    pub(crate) output_file_id: Option<String>,
    /// Requests that were not answered with success, in order; none if there are none.
    pub(crate) error_file_id: Option<String>,
    /// This and the following in seconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) in_progress_at: Option<i64>,
    pub(crate) expires_at: i64,
    pub(crate) finalizing_at: Option<i64>,
    pub(crate) completed_at: Option<i64>,
    pub(crate) failed_at: Option<i64>,
    pub(crate) expired_at: Option<i64>,
    pub(crate) cancelling_at: Option<i64>,
    pub(crate) cancelled_at: Option<i64>,
    pub(crate) request_counts: Counts,
    /// As the caller gave it.
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Map<String, Value>>,
}

/// What is wrong with a batch as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Errors {
    object: String,
    data: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Problem {
    code: String,
    message: String,
    param: Option<String>,
    line: Option<u64>,
}

impl Errors {
    pub(super) fn one(code: &str, message: &str) -> Self {
        let problem = Problem { code: code.to_owned(), message: message.to_owned(), param: None, line: None };
        Self { object: "list".to_owned(), data: vec![problem] }
    }
}

impl Batch {
    /// Changes where it stands, and notes when.
    pub(super) fn enter(&mut self, status: Status) {
        self.status = status;
        let place = match status {
            Status::Validating => return,
            Status::Failed => &mut self.failed_at,
            Status::InProgress => &mut self.in_progress_at,
            Status::Finalizing => &mut self.finalizing_at,
            Status::Completed => &mut self.completed_at,
            Status::Expired => &mut self.expired_at,
            Status::Cancelling => &mut self.cancelling_at,
            Status::Cancelled => &mut self.cancelled_at,
        };
        *place = Some(crate::data::now());
    }
}
