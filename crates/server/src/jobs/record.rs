//! What is kept of a training job, and what callers see of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::progress::Progress;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A model of the transactions desk, as `probity train transactions` makes it.
    Transactions,
    /// A language model, as `probity lm train` makes it.
    Lm,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Waiting for its turn.
    Queued,
    Running,
    /// Its artifact is complete.
    Succeeded,
    Failed,
    Cancelled,
    /// The server was told to stop; it goes on when the server starts again.
    Interrupted,
}

impl Status {
    /// Whether nothing more will happen.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// `job.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) job: Job,
    /// What the program is called with, but for `--resume`.
    pub(super) arguments: Vec<String>,
    /// The process that trains, if one was started.
    pub(super) process: Option<u32>,
    pub(super) cancel: bool,
}

/// What both see.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Job {
    #[schema(example = "job-01931f0a2b3c0000a1b2c3d4e5f60718")]
    pub(crate) id: String,
    /// What its artifact will be called.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) status: Status,
    /// This and the following in seconds since 1970.
    pub(crate) created_at: i64,
    /// When it was last started.
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    /// What the program ended with; none while it runs, and where a signal ended it.
    pub(crate) exit_code: Option<i32>,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// Folder of the artifact, within the data folder; none until it is complete.
    #[schema(example = "models/nightly")]
    pub(crate) artifact: Option<String>,
}

/// A job with its progress.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    #[serde(flatten)]
    pub(crate) job: Job,
    pub(crate) progress: Progress,
}
