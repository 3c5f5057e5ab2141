//! Weights in files: `model.safetensors`, or shards and their index, as `transformers` writes and reads them.

mod dtype;
mod mapped;
mod read;
mod write;

pub use dtype::Dtype;
pub use read::Checkpoint;
pub(crate) use write::write_file;
pub use write::{Sink, TensorInfo, Writer};

/// The file of a checkpoint that fits into one.
const SINGLE: &str = "model.safetensors";
/// Which shard has which tensor.
const INDEX: &str = "model.safetensors.index.json";
