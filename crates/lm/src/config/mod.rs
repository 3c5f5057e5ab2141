//! What a model looks like: one block with options covers every architecture that we load. `config.json` of
//! `transformers` is read by [`Config::read`] and written by [`Config::write`].

mod activation;
mod check;
mod defaults;
mod projections;
mod read;
mod rotary;
mod write;

use crate::kernel::Activation;
pub use projections::Projection;

/// Whose names and rules a checkpoint follows (`model_type` of `config.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `llama`: Llama 2 and 3, SmolLM2, and what we train from scratch.
    Llama,
    /// `mistral`: Llama with an optional sliding window.
    Mistral,
    /// `qwen3`: RMSNorm on each head's query and key.
    Qwen3,
    /// `phi3`: fused query-key-value and gate-up weights, partial rotary embedding (Phi-3 and Phi-4-mini).
    Phi3,
}

/// The shape of a decoder and the constants of its arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whose names and rules the checkpoint follows.
    pub architecture: Architecture,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub key_value_heads: usize,
    /// Width of one head; `heads * head_size` may differ from `hidden`.
    pub head_size: usize,
    /// Inner width of the feed-forward network.
    pub intermediate: usize,
    /// What the gate of the feed-forward network goes through (`hidden_act`).
    pub activation: Activation,
    /// Added to the mean square in RMSNorm.
    pub norm_epsilon: f32,
    /// Whether the output head is the embedding.
    pub tied: bool,
    /// How many positions back a query sees, itself included; none for all.
    pub sliding_window: Option<usize>,
    /// Whether queries and keys are normalised per head before the rotation.
    pub query_key_norm: bool,
    /// Longest sequence that the model is made for (`max_position_embeddings`).
    pub positions: usize,
    /// How positions turn queries and keys.
    pub rotary: Rotary,
    /// Token that begins a text, if the model has one.
    pub beginning: Option<u32>,
    /// Tokens that end a generation.
    pub end: Vec<u32>,
}

/// Rotary position embedding (Su et al. 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// `rope_theta`.
    pub base: f64,
    /// How many of a head's dimensions are turned, from the first; even.
    pub dimensions: usize,
    /// How frequencies are stretched for long contexts.
    pub scaling: Scaling,
}

/// Rules of `rope_scaling`, under `transformers`' names.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Frequencies as they are.
    None,
    /// `linear`: positions divided by the factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// `llama3`: low frequencies divided by the factor, high ones kept, those between blended.
    Llama3 {
        /// The factor.
        factor: f64,
        /// `low_freq_factor`.
        low: f64,
        /// `high_freq_factor`.
        high: f64,
        /// `original_max_position_embeddings`.
        original: usize,
    },
    /// `longrope`: a divisor for each frequency, one set for sequences up to `original` positions and one beyond.
    LongRope {
        /// `short_factor`, one for each pair of dimensions.
        short: Vec<f64>,
        /// `long_factor`, one for each pair of dimensions.
        long: Vec<f64>,
        /// `original_max_position_embeddings`.
        original: usize,
        /// What sines and cosines are multiplied by.
        attention_factor: f64,
    },
}
