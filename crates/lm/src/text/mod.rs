//! Text in and out: tokenizers, chat templates, examples from lines of data, and micro-batches of them.

mod packing;

pub use packing::Tokens;
