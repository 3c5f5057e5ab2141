//! LoRA adapters in files, in the layout of `peft`: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! A linear layer with weight W of `outputs x inputs` becomes `W x + scale B A x`, with A of `rank x inputs` and B of
//! `outputs x rank` (Hu et al. 2021).

mod files;
mod merge;
mod read;

pub use files::Adapter;
pub use merge::merge;

use crate::config::{Config, Projection};
use crate::{Error, Result, TensorInfo};
use std::path::Path;

/// What an adapter is, without its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// Name or folder of the model that it belongs to (`base_model_name_or_path`).
    pub base: Option<String>,
    /// `r`.
    pub rank: usize,
    /// `lora_alpha`.
    pub alpha: f64,
    /// Share of the inputs of A that training drops (`lora_dropout`).
    pub dropout: f64,
    /// Whether the scale falls with the root of the rank (`use_rslora`; Kalajdzievski 2023).
    pub rank_stabilised: bool,
    /// Last parts of the names of the linear layers that are adapted, in every block (`target_modules`).
    pub targets: Vec<String>,
}

/// One adapted linear layer of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factors {
    /// The block, from 0.
    pub layer: usize,
    /// The linear layer.
    pub projection: Projection,
    /// A, `rank x inputs`.
    pub a: TensorInfo,
    /// B, `outputs x rank`.
    pub b: TensorInfo,
}

impl AdapterConfig {
    /// What `B A x` is multiplied by.
    pub fn scale(&self) -> f64 {
        match self.rank_stabilised {
            true => self.alpha / (self.rank as f64).sqrt(),
            false => self.alpha / self.rank as f64,
        }
    }

    /// Whether the numbers make sense and every target is a linear layer of the model.
    ///
    /// # Errors
    /// Words that say what is wrong.
    pub fn check(&self, model: &Config) -> std::result::Result<(), String> {
        const LARGEST_RANK: usize = 1 << 14;
        if !(1..=LARGEST_RANK).contains(&self.rank) {
            return Err(format!("the rank is {}, not between 1 and {LARGEST_RANK}", self.rank));
        }
        // Both in fp32, as they are used: a scale that overflows or vanishes leaves no numbers or nothing to learn.
        let scale = self.scale() as f32;
        if !scale.is_finite() || scale <= 0.0 {
            return Err(format!(
                "alpha is {:?}: the scale that it gives with the rank is no positive number",
                self.alpha
            ));
        }
        // What rounds to 1 would leave nothing to learn from.
        if !(0.0..1.0).contains(&(self.dropout as f32)) {
            return Err(format!("the dropout is {}, not at least 0 and less than 1", self.dropout));
        }
        let names = model.projections().iter().map(Projection::name).collect::<Vec<_>>();
        if let Some(target) = self.targets.iter().find(|target| !names.contains(&target.as_str())) {
            return Err(format!(
                "the target \"{}\" is no linear layer of a block; there are {}",
                target.escape_debug(),
                names.join(", ")
            ));
        }
        if self.targets.is_empty() {
            return Err(format!("no linear layer is a target; choose from {}", names.join(", ")));
        }
        Ok(())
    }

    /// Names and shapes of all factors, block after block and in the order of the computation.
    pub fn factors(&self, model: &Config) -> Vec<Factors> {
        let targets = model.projections().into_iter().filter(|projection| self.adapts(projection));
        let targets = targets.collect::<Vec<_>>();
        let all = (0..model.layers).flat_map(|layer| targets.iter().map(move |projection| (layer, *projection)));
        all.map(|(layer, projection)| {
            let name =
                |factor| format!("base_model.model.model.layers.{layer}.{}.lora_{factor}.weight", projection.path);
            Factors {
                layer,
                projection,
                a: TensorInfo::new(name("A"), [self.rank, projection.inputs]),
                b: TensorInfo::new(name("B"), [projection.outputs, self.rank]),
            }
        })
        .collect()
    }

    /// Whether a linear layer is a target.
    pub fn adapts(&self, projection: &Projection) -> bool {
        self.targets.iter().any(|target| target == projection.name())
    }

    fn checked(self, model: &Config, path: &Path) -> Result<Self> {
        match self.check(model) {
            Ok(()) => Ok(self),
            Err(problem) => Err(Error::Configuration { path: path.to_owned(), problem }),
        }
    }
}
