//! Small language models: trained from scratch, adapted with LoRA and QLoRA, exchanged with `transformers` and
//! `peft` in Hugging Face layout.
//!
//! Forward and backward passes are written by hand, layer by layer, over one blocked matrix product that runs
//! in fp32 or bf16. There is no tape and no framework; buffers are allocated once and reused.
//!
//! Invariant: the same weights, data and seed give the same bytes, whatever the number of threads and whatever
//! else is in the batch.

mod adapter;
mod checkpoint;
mod config;
pub mod constraint;
mod error;
pub mod inference;
mod json;
mod kernel;
mod model;
pub mod multihead;
mod parameters;
mod quantized;
mod replacement;
pub mod text;
pub mod train;
mod trainee;

pub use adapter::{Adapter, AdapterConfig, Factors, merge};
pub use checkpoint::{Checkpoint, Dtype, Sink, TensorInfo, Writer};
pub use config::{Architecture, Config, Projection, Rotary, Scaling};
pub use error::{Error, Result};
pub use kernel::{Activation, Level, Precision, product_speed};
pub use model::{Answer, Decoder, Generation, Method, WeightStorage};
pub use parameters::{Parameters, Span};
pub use quantized::{Int8, Nf4};
pub use replacement::replace;
pub use text::Tokens;
pub use trainee::{Loss, Trainee};
