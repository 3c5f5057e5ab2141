//! How cases are put into words for models that write, ours or others', and their answers back.

use decision::Decision;
use serde_json::Value;

/// What a desk's model reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What the model reads, and in which version.
    pub input: &'static str,
    /// The prompt for a case's facts, or why there is none.
    pub prompt: fn(&Value) -> Result<String, String>,
    /// The decision that an answer states, or why it states none.
    pub answer: fn(&str) -> Result<Decision, String>,
    /// What answers may be.
    pub form: fn() -> AnswerForm,
    /// Ever narrower forms, for prompts that leave little room; none where that does not arise.
    pub narrower: fn() -> Vec<AnswerForm>,
    /// The key of an answer whose value is the outcome.
    pub key: &'static str,
    /// The desk's outcomes.
    pub outcomes: &'static [&'static str],
    /// The outcomes whose probability is the risk.
    pub positive: &'static [&'static str],
}

/// What an answer may be.
#[derive(Clone, Debug)]
pub struct AnswerForm {
    /// As JSON Schema whose root is an object.
    pub schema: Value,
    /// Bytes of the longest answer, which no answer needs more tokens than.
    pub longest: usize,
}
