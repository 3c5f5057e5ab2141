//! What a request took.

use serde::Serialize;
use utoipa::ToSchema;

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Of the prompts, each counted once.
    pub(crate) prompt_tokens: usize,
    /// Of the answers.
    pub(crate) completion_tokens: usize,
    /// All of them.
    pub(crate) total_tokens: usize,
    /// Where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt_tokens_details: Option<PromptDetails>,
}

/// What became of the prompts' tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PromptDetails {
    /// Had been read before, in this or another request.
    pub(crate) cached_tokens: usize,
}
