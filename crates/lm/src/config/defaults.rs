//! What `transformers` takes for fields that `config.json` leaves out (classes `LlamaConfig`, `MistralConfig`,
//! `Qwen3Config` and `Phi3Config`, the same in versions 4.57 and 5.23).

use super::Architecture;

/// Values of absent fields. A field that is null instead has no value, where the class allows that.
pub(super) struct Defaults {
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// None: as many as heads. That is also what null means in every architecture.
    pub(super) key_value_heads: Option<usize>,
    /// None: the hidden size divided by the heads.
    pub(super) head_size: Option<usize>,
    pub(super) positions: usize,
    pub(super) norm_epsilon: f64,
    pub(super) beginning: Option<u32>,
    pub(super) end: Option<u32>,
    pub(super) sliding_window: Option<usize>,
}

impl Defaults {
    pub(super) const fn of(architecture: Architecture) -> Self {
        const LLAMA: Defaults = Defaults {
            vocabulary: 32_000,
            hidden: 4_096,
            intermediate: 11_008,
            layers: 32,
            heads: 32,
            key_value_heads: None,
            head_size: None,
            positions: 2_048,
            norm_epsilon: 1e-6,
            beginning: Some(1),
            end: Some(2),
            sliding_window: None,
        };
        match architecture {
            Architecture::Llama => LLAMA,
            Architecture::Mistral => Self {
                intermediate: 14_336,
                key_value_heads: Some(8),
                positions: 131_072,
                sliding_window: Some(4_096),
                ..LLAMA
            },
            Architecture::Qwen3 => Self {
                vocabulary: 151_936,
                intermediate: 22_016,
                key_value_heads: Some(32),
                head_size: Some(128),
                positions: 32_768,
                beginning: None,
                end: None,
                sliding_window: Some(4_096),
                ..LLAMA
            },
            Architecture::Phi3 => Self {
                vocabulary: 32_064,
                hidden: 3_072,
                intermediate: 8_192,
                positions: 4_096,
                norm_epsilon: 1e-5,
                end: Some(32_000),
                ..LLAMA
            },
        }
    }
}
