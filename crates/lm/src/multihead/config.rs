//! What a structured transformer looks like, and its `config.json`.

use crate::{Activation, Architecture, Config, Error, Result, Rotary, Scaling};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The only layout of `config.json` so far.
const FORMAT: u32 = 1;

/// The shape of a structured transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiheadConfig {
    /// Numbers of the global token.
    pub global_numbers: usize,
    /// Sizes of the categories of the global token.
    pub global_categories: Vec<usize>,
    /// Numbers of an item.
    pub item_numbers: usize,
    /// Sizes of the categories of an item.
    pub item_categories: Vec<usize>,
    /// Pieces that the range of a number is cut into.
    pub bins: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads; divides `hidden`.
    pub heads: usize,
    /// Inner width of the feed-forward network.
    pub intermediate: usize,
    /// What is answered.
    pub outputs: Vec<Head>,
}

/// One question that the model answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// Names of its classes.
    pub classes: Vec<String>,
    /// How many of them hold at a time.
    pub kind: HeadKind,
    /// What its loss is multiplied by.
    pub weight: f32,
}

/// How many classes of a head hold at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// Exactly one: softmax and cross-entropy.
    OneOf,
    /// Any number of them: a sigmoid and binary cross-entropy for each.
    AnyOf,
}

/// The configuration as it stands in the file.
#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    #[serde(flatten)]
    config: serde_json::Value,
}

impl MultiheadConfig {
    /// Rows of the matrix that answers.
    pub(crate) fn classes(&self) -> usize {
        self.outputs.iter().map(|head| head.classes.len()).sum()
    }

    /// The same shape in the words of the blocks.
    pub(crate) fn blocks(&self) -> Config {
        let size = self.hidden / self.heads;
        Config {
            architecture: Architecture::Llama,
            vocabulary: 1,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            key_value_heads: self.heads,
            head_size: size,
            intermediate: self.intermediate,
            activation: Activation::default(),
            norm_epsilon: 1e-6,
            tied: true,
            sliding_window: None,
            query_key_norm: false,
            positions: 1,
            rotary: Rotary { base: 10_000.0, dimensions: size, scaling: Scaling::None },
            beginning: None,
            end: Vec::new(),
        }
    }

    /// Whether a model can have this shape.
    ///
    /// # Errors
    /// Words that say what is wrong.
    pub fn check(&self) -> std::result::Result<(), String> {
        const MOST: usize = 1 << 16;
        let sizes = [self.bins, self.hidden, self.layers, self.heads, self.intermediate];
        if sizes.iter().any(|size| !(1..=MOST).contains(size)) || self.global_numbers.max(self.item_numbers) > MOST {
            return Err(format!("bins, hidden, layers, heads and intermediate must be from 1 to {MOST}"));
        }
        if !self.hidden.is_multiple_of(self.heads) {
            return Err(format!("{} heads do not divide a width of {}", self.heads, self.hidden));
        }
        if self.global_categories.iter().chain(&self.item_categories).any(|size| !(1..=MOST).contains(size)) {
            return Err(format!("a category must have from 1 to {MOST} values"));
        }
        if self.outputs.is_empty() || self.outputs.iter().any(|head| head.classes.is_empty()) {
            return Err("every head needs a class, and there must be a head".into());
        }
        match self.outputs.iter().find(|head| !(head.weight.is_finite() && head.weight >= 0.0)) {
            Some(Head { name, weight, .. }) => {
                Err(format!("the weight of the head \"{}\" is {weight}, not 0 or greater", name.escape_debug()))
            }
            None => Ok(()),
        }
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let problem = |problem: String| Error::Configuration { path: path.clone(), problem };
        let file: File = serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
        if file.format != FORMAT {
            return Err(problem(format!("has format {}; this version reads {FORMAT}", file.format)));
        }
        let config: Self = serde_json::from_value(file.config).map_err(|error| problem(error.to_string()))?;
        config.check().map_err(problem)?;
        Ok(config)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("config.json");
        let config = serde_json::to_value(self).unwrap_or_default();
        let text = serde_json::to_string_pretty(&File { format: FORMAT, config }).unwrap_or_default();
        crate::replacement::replace(&path, format!("{text}\n").as_bytes())
    }
}
