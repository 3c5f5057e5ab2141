//! Text in and out: tokenizers, chat templates, examples from lines of data, and micro-batches of them.
//!
//! [`Tokenizer`] opens or trains a vocabulary. [`Dataset::read`] makes [`Example`]s of JSON lines, or a
//! [`Composer`] makes them of [`Record`]s, and the prompts for answers in the same way. [`Packing`] lays them out.

mod chat;
mod companions;
mod dataset;
mod examples;
mod lines;
mod marks;
mod packing;
mod records;
mod stream;
mod tokenizer;

pub use chat::{ASSISTANT, CHATML, ChatTemplate, Message, Rendered, Turns};
pub use companions::copy_companions;
pub use dataset::{Dataset, Selection};
pub use examples::{Composer, Example, ExampleOptions, Refusal, TooLong};
pub use lines::{Line, Record};
pub use packing::{Packing, Tokens};
pub use stream::TextStream;
pub use tokenizer::{Tokenizer, TrainingOptions};
