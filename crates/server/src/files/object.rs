//! Files as callers see them, in OpenAI's form.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file that was uploaded, or that a batch has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FileObject {
    #[schema(example = "file-01931f0a2b3c0000a1b2c3d4e5f60718")]
    pub(crate) id: String,
    #[schema(example = "file")]
    pub(crate) object: String,
    /// Size of the content.
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) created_at: i64,
    /// As the caller named it; never a path here.
    #[schema(example = "cases.jsonl")]
    pub(crate) filename: String,
    #[schema(example = "batch")]
    pub(crate) purpose: String,
    /// `processed`: a file that is listed is there as a whole.
    #[schema(example = "processed")]
    pub(crate) status: String,
}

/// What is known of a file before it has its place.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) filename: String,
    pub(crate) purpose: String,
}

impl FileObject {
    pub(super) fn new(id: &str, bytes: u64, about: About) -> Self {
        Self {
            id: id.to_owned(),
            object: "file".to_owned(),
            bytes,
            created_at: crate::data::now(),
            filename: about.filename,
            purpose: about.purpose,
            status: "processed".to_owned(),
        }
    }
}
