//! Recipes of a desk's models: what every recipe says about training, and what each kind has of its own.

use std::path::PathBuf;

use anyhow::Context;
use deciders::artifact::Kind;
use desks::transactions::MODEL_RECIPES;
use lm::Precision;
use lm::train::{DecoderDetails, Details, MethodSettings, ModelSettings, Recipe};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::calibrating::CalibrationSettings;
use crate::exit::UsageError;

/// A recipe that was found and not yet understood.
pub(crate) struct Script {
    /// Where it is from, for messages.
    pub(crate) path: PathBuf,
    text: String,
    /// What it trains.
    pub(crate) kind: Kind,
}

impl Script {
    /// The shipped recipe of a name, or a file.
    pub(crate) fn find(name: &str) -> anyhow::Result<Self> {
        let shipped = MODEL_RECIPES.iter().find(|(known, _)| *known == name);
        let (path, text) = match shipped {
            Some((known, text)) => (PathBuf::from(format!("{known}.toml")), (*text).to_owned()),
            None => (PathBuf::from(name), std::fs::read_to_string(name).with_context(|| missing(name))?),
        };
        let refused = |problem: String| UsageError(format!("{}: {problem}", path.display()));
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| refused(error.to_string()))?;
        let kind = match table.get("kind").and_then(toml::Value::as_str) {
            Some("multihead") => Kind::Multihead,
            Some("decoder") => Kind::Decoder,
            _ => return Err(refused("`kind` must be \"multihead\" or \"decoder\"".to_owned()).into()),
        };
        Ok(Self { path, text, kind })
    }

    /// What the model's speed is counted in.
    pub(crate) fn items(&self) -> &'static str {
        match self.kind {
            Kind::Multihead => "cases",
            Kind::Decoder => "tokens",
        }
    }

    /// Understands the recipe, with overrides.
    pub(crate) fn read<D: Details>(&self, overrides: &[String]) -> Result<Recipe<D>, UsageError> {
        Recipe::parse(&self.path, &self.text, overrides).map_err(|error| UsageError(error.to_string()))
    }
}

fn missing(name: &str) -> String {
    let known: Vec<&str> = MODEL_RECIPES.iter().map(|(name, _)| *name).collect();
    format!("failed to read the recipe {name} (shipped ones: {})", known.join(", "))
}

/// What both kinds say besides: which kind it is, `[cases]` and `[calibration]`.
pub(crate) trait Common: Details {
    /// The kind that these details are of.
    const KIND: Kind;

    fn dtype(&self) -> Precision;
    fn cases(&self) -> &CaseSettings;
    fn calibration(&self) -> &CalibrationSettings;
    /// Tokens that an answer may have, where it has tokens.
    fn answer_tokens(&self) -> Option<usize>;
}

/// `[cases]`: what is drawn when there are no files to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CaseSettings {
    /// Cases to validate on, of the ordinary and of the training mix each.
    pub(crate) validation: usize,
}

impl Default for CaseSettings {
    fn default() -> Self {
        Self { validation: 2048 }
    }
}

/// A recipe of `kind = "multihead"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MultiheadDetails {
    kind: Kind,
    dtype: Precision,
    pub(crate) model: MultiheadShape,
    pub(crate) weights: Weights,
    cases: CaseSettings,
    calibration: CalibrationSettings,
}

/// `[model]` of a multihead model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MultiheadShape {
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Number of blocks.
    pub(crate) layers: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Inner width of the feed-forward network.
    pub(crate) intermediate: usize,
    /// Intervals that each number is cut into.
    pub(crate) bins: usize,
}

/// `[weights]`: what each question weighs in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Weights {
    pub(crate) decision: f64,
    pub(crate) escalation: f64,
    pub(crate) reasons: f64,
}

impl Default for MultiheadDetails {
    fn default() -> Self {
        Self {
            kind: Kind::Multihead,
            dtype: Precision::default(),
            model: MultiheadShape::default(),
            weights: Weights::default(),
            cases: CaseSettings::default(),
            calibration: CalibrationSettings::default(),
        }
    }
}

impl Default for MultiheadShape {
    fn default() -> Self {
        Self { hidden: 128, layers: 4, heads: 4, intermediate: 352, bins: 32 }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { decision: 1.0, escalation: 0.2, reasons: 1.0 }
    }
}

impl Details for MultiheadDetails {
    const KEYS: &'static [&'static str] = &["kind", "dtype", "model", "weights", "cases", "calibration"];
    const MEASURES_ACCURACY: bool = true;

    fn resolve(&mut self) -> Result<(), String> {
        same_kind::<Self>(self.kind)?;
        self.calibration.check()?;
        // In fp32, as they are used.
        let weights =
            [self.weights.decision, self.weights.escalation, self.weights.reasons].map(|weight| weight as f32);
        if !weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0) || weights[0] == 0.0 {
            return Err("weights must be 0 or greater, and that of the decision greater".into());
        }
        // The shape is checked where the model is made, by who knows what it allows.
        Ok(())
    }
}

impl Common for MultiheadDetails {
    const KIND: Kind = Kind::Multihead;

    fn dtype(&self) -> Precision {
        self.dtype
    }

    fn cases(&self) -> &CaseSettings {
        &self.cases
    }

    fn calibration(&self) -> &CalibrationSettings {
        &self.calibration
    }

    fn answer_tokens(&self) -> Option<usize> {
        None
    }
}

/// A recipe of `kind = "decoder"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeskDecoderDetails {
    kind: Kind,
    dtype: Precision,
    model: ModelSettings,
    answer: AnswerSettings,
    cases: CaseSettings,
    calibration: CalibrationSettings,
}

/// `[answer]` of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AnswerSettings {
    /// Tokens that an answer may have; prompts may have what is left of the positions.
    tokens: usize,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self { tokens: 128 }
    }
}

impl Default for DeskDecoderDetails {
    fn default() -> Self {
        Self {
            kind: Kind::Decoder,
            dtype: Precision::default(),
            model: ModelSettings::default(),
            answer: AnswerSettings::default(),
            cases: CaseSettings::default(),
            calibration: CalibrationSettings::default(),
        }
    }
}

impl DeskDecoderDetails {
    /// The shape of the new model.
    pub(crate) fn shape(&self) -> lm::train::Shape {
        match &self.model {
            ModelSettings::Scratch(shape) => shape.clone(),
            // `resolve` refuses checkpoints.
            ModelSettings::Checkpoint { .. } => lm::train::Shape::default(),
        }
    }
}

impl Details for DeskDecoderDetails {
    const KEYS: &'static [&'static str] = &["kind", "dtype", "model", "answer", "cases", "calibration"];
    const MEASURES_ACCURACY: bool = true;

    fn resolve(&mut self) -> Result<(), String> {
        same_kind::<Self>(self.kind)?;
        self.calibration.check()?;
        if matches!(self.model, ModelSettings::Checkpoint { .. }) {
            return Err("model.checkpoint: a desk's decoder is made from scratch; `lm train` adapts checkpoints".into());
        }
        let mut details = DecoderDetails {
            dtype: self.dtype,
            model: self.model.clone(),
            method: MethodSettings::Full,
            ..DecoderDetails::default()
        };
        details.resolve()?;
        if !(1..self.shape().positions).contains(&self.answer.tokens) {
            return Err("answer.tokens must be at least 1, and leave positions for the prompt".into());
        }
        Ok(())
    }
}

impl Common for DeskDecoderDetails {
    const KIND: Kind = Kind::Decoder;

    fn dtype(&self) -> Precision {
        self.dtype
    }

    fn cases(&self) -> &CaseSettings {
        &self.cases
    }

    fn calibration(&self) -> &CalibrationSettings {
        &self.calibration
    }

    fn answer_tokens(&self) -> Option<usize> {
        Some(self.answer.tokens)
    }
}

/// An override may not make another kind of a recipe.
fn same_kind<D: Common + DeserializeOwned>(kind: Kind) -> Result<(), String> {
    if kind == D::KIND { Ok(()) } else { Err(format!("kind: the recipe is one of `{}`", D::KIND.name())) }
}
