//! Adapter folders.

use super::AdapterConfig;
use crate::checkpoint::{Checkpoint, Dtype, Sink, write_file};
use crate::config::Config;
use crate::replacement::Replacement;
use crate::{Error, Result, TensorInfo};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// An adapter in a folder.
pub struct Adapter {
    config: AdapterConfig,
    weights: Checkpoint,
}

impl Adapter {
    /// Opens a folder that `peft` or [`Adapter::write`] saved. The factors of every target are there, with the shapes
    /// that the model asks for, and nothing else is.
    ///
    /// # Errors
    /// As [`AdapterConfig::read`] and [`Checkpoint::open_file`]; [`Error::Weights`] if a factor is missing or of another
    /// shape, or there are other tensors, such as embeddings that were trained too.
    pub fn open(folder: &Path, model: &Config) -> Result<Self> {
        let config = AdapterConfig::read(folder, model)?;
        let path = folder.join("adapter_model.safetensors");
        if !path.exists() && folder.join("adapter_model.bin").exists() {
            let problem = "has adapter_model.bin; save the adapter with `save_pretrained(…, safe_serialization=True)`";
            return Err(Error::Weights { path: folder.to_owned(), problem: problem.into() });
        }
        let weights = Checkpoint::open_file(&path)?;
        let problem = |problem| Error::Weights { path: path.clone(), problem };
        let tensors = tensors(&config, model);
        for tensor in &tensors {
            let shape = weights.shape(&tensor.name);
            if shape != Some(&tensor.shape) {
                let found = shape.map_or("is missing".to_owned(), |shape| format!("has the shape {shape:?}"));
                return Err(problem(format!(
                    "`{}` {found}, but should have {:?}; the adapter belongs to another model",
                    tensor.name, tensor.shape
                )));
            }
        }
        let names = tensors.iter().map(|tensor| tensor.name.as_str()).collect::<HashSet<_>>();
        if let Some(other) = weights.names().find(|name| !names.contains(name)) {
            return Err(problem(format!(
                "`{other}` is no factor of a target; train an adapter of linear layers only, without other modules"
            )));
        }
        Ok(Self { config, weights })
    }

    /// What the adapter is.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Reads a factor, named as in [`AdapterConfig::factors`].
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    ///
    /// # Panics
    /// If the buffer is of another length than the tensor.
    pub fn read(&self, tensor: &TensorInfo, into: &mut [f32]) -> Result<()> {
        self.weights.read_f32(&tensor.name, &tensor.shape, into)
    }

    /// Writes an adapter folder. `fill` is called with A and B of each of [`AdapterConfig::factors`] in turn and pushes
    /// their numbers. Both files are complete on the disk before either takes the place of an old one.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the adapter does not fit the model; otherwise as [`crate::Writer::write`].
    pub fn write(
        folder: &Path,
        config: &AdapterConfig,
        model: &Config,
        dtype: Dtype,
        mut fill: impl FnMut(&TensorInfo, &mut Sink) -> Result<()>,
    ) -> Result<()> {
        let path = folder.join("adapter_config.json");
        let config = config.clone().checked(model, &path)?;
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let tensors = tensors(&config, model);
        let weights = write_file(&folder.join("adapter_model.safetensors"), dtype, &tensors, |at, sink| {
            fill(&tensors[at], sink)
        })?;
        let mut description = Replacement::create(&path)?;
        description.write(format!("{:#}\n", config.to_json()).as_bytes())?;
        description.sync()?;
        weights.commit()?;
        description.commit()
    }
}

fn tensors(config: &AdapterConfig, model: &Config) -> Vec<TensorInfo> {
    config.factors(model).into_iter().flat_map(|factors| [factors.a, factors.b]).collect()
}
