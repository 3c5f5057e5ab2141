//! What the recipe of a decoder says: which model, what of it is trained, on what data.

use super::recipe::{Details, Recipe};
use crate::text::Turns;
use crate::{Activation, AdapterConfig, Architecture, Config, Method, Precision, Rotary, Scaling};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A recipe of a decoder.
pub type DecoderRecipe = Recipe<DecoderDetails>;

/// `dtype`, `[model]`, `[method]` and `[data]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderDetails {
    /// In what matrix products run, and in what frozen weights are held.
    pub dtype: Precision,
    /// `[model]`: a checkpoint to begin from, or the shape of a new model.
    pub model: ModelSettings,
    /// `[method]`: what is trained.
    pub method: MethodSettings,
    /// `[data]`.
    pub data: DataSettings,
}

/// What training begins from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ModelTable", untagged)]
pub enum ModelSettings {
    /// A folder in Hugging Face layout.
    Checkpoint {
        /// The folder.
        checkpoint: PathBuf,
    },
    /// New weights, drawn by the seed.
    Scratch(Shape),
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self::Scratch(Shape::default())
    }
}

/// The shape of a new Llama-like model, and whose tokens it reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub key_value_heads: usize,
    /// Inner width of the feed-forward network.
    pub intermediate: usize,
    /// Longest sequence.
    pub positions: usize,
    /// Whether the output head is the embedding.
    pub tied: bool,
    /// Base of the rotary embedding.
    pub rope_base: f64,
    /// Tokens, at most, of the tokenizer that is learned from the training data. One that is given has its own number.
    pub vocabulary: usize,
    /// The folder of a tokenizer; without it one is learned from the training data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            hidden: 256,
            layers: 6,
            heads: 4,
            key_value_heads: 4,
            intermediate: 688,
            positions: 1024,
            tied: true,
            rope_base: 10_000.0,
            vocabulary: 4096,
            tokenizer: None,
        }
    }
}

impl Shape {
    /// The configuration of a model of this shape. Its special tokens are for the tokenizer to say.
    pub fn config(&self) -> Config {
        let head_size = self.hidden / self.heads;
        Config {
            architecture: Architecture::Llama,
            vocabulary: self.vocabulary,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            key_value_heads: self.key_value_heads,
            head_size,
            intermediate: self.intermediate,
            activation: Activation::default(),
            norm_epsilon: 1e-5,
            tied: self.tied,
            sliding_window: None,
            query_key_norm: false,
            positions: self.positions,
            rotary: Rotary { base: self.rope_base, dimensions: head_size, scaling: Scaling::None },
            beginning: None,
            end: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let sizes = [self.hidden, self.layers, self.heads, self.key_value_heads, self.intermediate, self.positions];
        let problem = if sizes.contains(&0) || self.vocabulary == 0 {
            "every number of its shape must be at least 1".into()
        } else if !self.hidden.is_multiple_of(2 * self.heads) {
            format!("hidden ({}) must be heads ({}) times an even number", self.hidden, self.heads)
        } else if !self.heads.is_multiple_of(self.key_value_heads) {
            format!("key_value_heads ({}) must divide heads ({})", self.key_value_heads, self.heads)
        } else if !(self.rope_base.is_finite() && self.rope_base > 1.0) {
            "rope_base must be greater than 1".into()
        } else {
            return Ok(());
        };
        Err(format!("model: {problem}"))
    }
}

/// `[model]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelTable {
    checkpoint: Option<PathBuf>,
    hidden: Option<usize>,
    layers: Option<usize>,
    heads: Option<usize>,
    key_value_heads: Option<usize>,
    intermediate: Option<usize>,
    positions: Option<usize>,
    tied: Option<bool>,
    rope_base: Option<f64>,
    vocabulary: Option<usize>,
    tokenizer: Option<PathBuf>,
}

impl TryFrom<ModelTable> for ModelSettings {
    type Error = String;

    fn try_from(table: ModelTable) -> Result<Self, String> {
        if let Some(checkpoint) = table.checkpoint {
            let sizes = [table.hidden, table.layers, table.heads, table.key_value_heads, table.intermediate];
            let more = [table.positions, table.vocabulary].iter().chain(&sizes).any(Option::is_some);
            if more || table.tied.is_some() || table.rope_base.is_some() {
                return Err("a checkpoint has its own shape: leave either it or the shape out".into());
            }
            if table.tokenizer.is_some() {
                return Err("a checkpoint has its own tokenizer: leave either out".into());
            }
            return Ok(Self::Checkpoint { checkpoint });
        }
        if table.tokenizer.is_some() && table.vocabulary.is_some() {
            return Err("a tokenizer has its own vocabulary: leave either out".into());
        }
        let usual = Shape::default();
        let hidden = table.hidden.unwrap_or(usual.hidden);
        let heads = table.heads.unwrap_or(usual.heads);
        // SwiGLU has three matrices where others have two: 8/3 of the width, in whole vectors.
        let intermediate = hidden.div_ceil(6).saturating_mul(16);
        Ok(Self::Scratch(Shape {
            hidden,
            layers: table.layers.unwrap_or(usual.layers),
            heads,
            key_value_heads: table.key_value_heads.unwrap_or(heads),
            intermediate: table.intermediate.unwrap_or(intermediate),
            positions: table.positions.unwrap_or(usual.positions),
            tied: table.tied.unwrap_or(usual.tied),
            rope_base: table.rope_base.unwrap_or(usual.rope_base),
            vocabulary: table.vocabulary.unwrap_or(usual.vocabulary),
            tokenizer: table.tokenizer,
        }))
    }
}

/// What is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum MethodSettings {
    /// All weights.
    #[default]
    Full,
    /// Low-rank adapters beside frozen matrices (Hu et al. 2021).
    Lora(AdapterSettings),
    /// The same beside matrices held in NF4 with double quantisation (Dettmers et al. 2023).
    Qlora(AdapterSettings),
}

impl MethodSettings {
    /// The adapter, if one is trained.
    pub fn adapter(&self) -> Option<&AdapterSettings> {
        match self {
            Self::Full => None,
            Self::Lora(adapter) | Self::Qlora(adapter) => Some(adapter),
        }
    }

    /// What the model is made for; `base` is the name of the checkpoint that an adapter belongs to.
    pub fn method(&self, base: Option<&str>) -> Method {
        let adapter = |settings: &AdapterSettings| AdapterConfig {
            base: base.map(String::from),
            rank: settings.rank,
            alpha: settings.alpha,
            dropout: settings.dropout,
            rank_stabilised: false,
            targets: settings.targets.clone(),
        };
        match self {
            Self::Full => Method::Full,
            Self::Lora(settings) => Method::Lora(adapter(settings)),
            Self::Qlora(settings) => Method::Qlora(adapter(settings)),
        }
    }
}

/// The adapter of [`MethodSettings::Lora`] and [`MethodSettings::Qlora`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterSettings {
    /// Inner width.
    pub rank: usize,
    /// The product is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Share of an adapter's inputs that is dropped in training.
    pub dropout: f64,
    /// Matrices that get one, by the last part of their names.
    pub targets: Vec<String>,
}

impl Default for AdapterSettings {
    fn default() -> Self {
        let targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
        Self { rank: 16, alpha: 32.0, dropout: 0.05, targets: targets.map(String::from).to_vec() }
    }
}

/// `[data]`: what is learned from. Paths are relative to the working directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// Training examples, JSON lines; none when the command brings them.
    pub train: Option<PathBuf>,
    /// Validation examples: a file of them, or the share of the training examples that the seed sets apart.
    pub validation: Option<ValidationSettings>,
    /// Tokens that an example has at most. Longer ones lose the beginning of their prompt, never of the answer. When not
    /// given, examples longer than the model's positions or a micro-batch are refused.
    pub tokens: Option<usize>,
    /// Whether the reasoning of an example stands before its answer in what is learned.
    pub cot: bool,
    /// Whether prompt and completion become turns of the chat template; when not given, they do if there is a
    /// checkpoint and its tokenizer has a template. Otherwise they stand one behind the other.
    pub as_turns: Option<bool>,
    /// Which turns of a conversation's assistant are learned.
    pub turns: Turns,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self { train: None, validation: None, tokens: None, cot: true, as_turns: None, turns: Turns::All }
    }
}

/// Where validation examples come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a file of examples or a share of the training examples (0.1)")]
pub enum ValidationSettings {
    /// The share, between 0 and 1.
    Share(f64),
    /// The file.
    File(PathBuf),
}

impl Details for DecoderDetails {
    const KEYS: &'static [&'static str] = &["dtype", "model", "method", "data"];
    const MEASURES_ACCURACY: bool = false;

    fn resolve(&mut self) -> Result<(), String> {
        if let ModelSettings::Scratch(shape) = &self.model {
            shape.check()?;
            if self.method.adapter().is_some() {
                return Err("method: adapters need model.checkpoint, weights that are worth keeping".into());
            }
        }
        if let Some(adapter) = self.method.adapter() {
            // Both in fp32, as they are used: a scale that overflows or vanishes, and a dropout that rounds to 1, leave
            // nothing to learn from.
            let scale = (adapter.alpha / adapter.rank as f64) as f32;
            for (holds, problem) in [
                (adapter.rank > 0, "method.rank must be at least 1"),
                (scale.is_finite() && scale > 0.0, "method.alpha / method.rank must be a positive number in fp32"),
                (
                    (0.0..1.0).contains(&(adapter.dropout as f32)),
                    "method.dropout must be from 0 up to, but not including, 1",
                ),
                (!adapter.targets.is_empty(), "method.targets must name at least one matrix"),
            ] {
                if !holds {
                    return Err(problem.into());
                }
            }
        }
        match self.data.validation {
            Some(ValidationSettings::Share(share)) if !(share > 0.0 && share < 1.0) => {
                Err("data.validation as a share must lie between 0 and 1".into())
            }
            _ if self.data.tokens == Some(0) => Err("data.tokens must be at least 1".into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
