//! Answers that always have the form that is asked for.
//!
//! A [`Vocabulary`] knows which bytes each token of a model stands for. A [`Grammar`] is a [`Form`] compiled for it,
//! once. A [`Matcher`] follows one answer: which tokens may come next, and which one must.
//!
//! Objects are written compactly and their keys in the order of the schema, so that most of an answer is forced and a
//! model cannot lose itself in blanks. Strings escape what JSON asks to be escaped and have no other control characters.

mod compile;
mod dates;
mod grammar;
mod limits;
mod longest;
mod matcher;
mod vocabulary;

pub use grammar::Grammar;
pub use matcher::{Allowed, Matcher};
pub use vocabulary::Vocabulary;

/// What an answer is to look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// JSON that is valid under a JSON Schema (draft 2020-12 or older), in compact spelling.
    Schema(serde_json::Value),
    /// Any JSON object.
    Object,
    /// Text that a regular expression matches from beginning to end.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
}
