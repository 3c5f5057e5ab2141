//! OpenAI's interface: what its clients send and what they expect.
//!
//! ```text
//! body ─ fields ─▶ Plan: writer, prompts, how to answer ─ Run ─▶ pieces ─┬▶ answer, whole
//!                                                                        └▶ stream, piece by piece
//! ```
//!
//! A whole answer is put together from the pieces that a stream sends, so both say the same. The same request gives
//! the same answer but for `id` and `created`: without a `seed`, it is 0.

mod answer;
mod chat;
mod choice;
mod completion;
mod error;
mod fields;
mod form;
mod log_probabilities;
mod messages;
mod plan;
mod respond;
mod run;
mod stop;
mod stream;
mod unsupported;
mod usage;

pub(crate) use answer::answer;
pub(crate) use chat::ChatCompletion;
pub(crate) use completion::TextCompletion;
pub(crate) use error::{body as error_body, is_spoken_at};
pub(crate) use fields::{ChatRequest, CompletionRequest, read};
pub(crate) use messages::{Message, render};
pub(crate) use plan::Dialect;
pub use respond::respond;
pub(crate) use unsupported::refuse as refuse_unsupported;
