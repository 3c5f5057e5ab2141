//! Weights are made: read from a checkpoint or drawn, trained or frozen, with or without adapters beside them.

use super::decoder::WeightStorage;
use super::linear::{Adapters, Linear};
use super::matrix::{Matrix, Quantized, Stacked, Storage};
use super::stack::Norm;
use crate::kernel::{Bf16, Precision};
use crate::quantized::{Int8, Nf4};
use crate::{AdapterConfig, Checkpoint, Parameters, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Standard deviation of drawn weights, as GPT-2 and Llama have it.
const SPREAD: f32 = 0.02;

/// Where weights come from.
pub(crate) enum Source<'a> {
    /// A checkpoint's files.
    Checkpoint(&'a Checkpoint),
    /// A generator.
    Random(Box<ChaCha8Rng>),
    /// Nowhere: the weights are held elsewhere, and only what lies beside them is made.
    Elsewhere,
}

impl Source<'_> {
    pub(crate) fn random(seed: u64) -> Self {
        Self::Random(Box::new(ChaCha8Rng::seed_from_u64(seed)))
    }
}

/// How weights that do not learn are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frozen {
    /// The format of matrices.
    pub(crate) precision: Precision,
    /// How matrices of the blocks are held.
    pub(crate) storage: WeightStorage,
}

/// Makes weights one after another, in the order of the parameters.
pub(crate) struct Builder<'a> {
    pub(crate) parameters: Parameters,
    pub(crate) source: Source<'a>,
    /// None when the weights learn.
    pub(crate) frozen: Option<Frozen>,
    pub(crate) lora: Option<&'a AdapterConfig>,
    pub(crate) seed: u64,
}

impl Builder<'_> {
    /// Whether the checkpoint has a tensor of this shape: asked before room is made for it, because a damaged
    /// configuration can claim any size.
    fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        match &self.source {
            Source::Checkpoint(checkpoint) => checkpoint.expect(name, shape),
            Source::Random(_) | Source::Elsewhere => Ok(()),
        }
    }

    /// A normalisation's weight; ones when drawn.
    pub(crate) fn norm(&mut self, name: &str, size: usize) -> Result<Norm> {
        self.expect(name, &[size])?;
        if matches!(self.source, Source::Elsewhere) {
            return Ok(Norm::Frozen(Vec::new()));
        }
        let mut weight = vec![1.0; size];
        if let Source::Checkpoint(checkpoint) = &self.source {
            checkpoint.read_f32(name, &[size], &mut weight)?;
        }
        if self.frozen.is_some() {
            return Ok(Norm::Frozen(weight));
        }
        let range = self.parameters.add(name, &[size], false);
        self.parameters.values[range.clone()].copy_from_slice(&weight);
        Ok(Norm::Trained(range))
    }

    /// A trained vector; zeros when drawn.
    pub(crate) fn bias(&mut self, name: &str, size: usize) -> Result<Range<usize>> {
        self.expect(name, &[size])?;
        let range = self.parameters.add(name, &[size], false);
        if let Source::Checkpoint(checkpoint) = &self.source {
            checkpoint.read_f32(name, &[size], &mut self.parameters.values[range.clone()])?;
        }
        Ok(range)
    }

    /// A matrix of one or more tensors (name and rows) of equal width, one below another. Drawn with a standard
    /// deviation of 0.02 times `spread`.
    pub(crate) fn matrix(
        &mut self,
        parts: &[(String, usize)],
        columns: usize,
        spread: f32,
        block: bool,
    ) -> Result<Matrix> {
        let rows = parts.iter().map(|(_, rows)| rows).sum();
        parts.iter().try_for_each(|(name, rows)| self.expect(name, &[*rows, columns]))?;
        let storage = match self.frozen {
            _ if matches!(self.source, Source::Elsewhere) => Storage::Full(Vec::new()),
            None => {
                let start = self.parameters.values.len();
                for (name, rows) in parts {
                    let range = self.parameters.add(name, &[*rows, columns], true);
                    let into = &mut self.parameters.values[range];
                    fill(&mut self.source, name, &[*rows, columns], into, spread)?;
                }
                Storage::Trained(start..self.parameters.values.len())
            }
            Some(Frozen { storage: WeightStorage::Int8, .. }) if block => {
                let quantize = |whole: &[f32], rows| Quantized::Int8(Int8::quantize(whole, rows, columns));
                Storage::Quantized(self.quantized(parts, columns, spread, quantize)?)
            }
            Some(Frozen { storage: WeightStorage::Nf4, .. }) if block => {
                let quantize = |whole: &[f32], rows| Quantized::Nf4(Nf4::quantize(whole, rows, columns));
                Storage::Quantized(self.quantized(parts, columns, spread, quantize)?)
            }
            Some(Frozen { precision: Precision::F32, .. }) => {
                let mut data = vec![0.0; rows * columns];
                let mut rest = &mut data[..];
                for (name, rows) in parts {
                    let (into, behind) = rest.split_at_mut(rows * columns);
                    rest = behind;
                    fill(&mut self.source, name, &[*rows, columns], into, spread)?;
                }
                Storage::Full(data)
            }
            Some(_) => Storage::Half(self.half(parts, rows, columns, spread)?),
        };
        Ok(Matrix { rows, columns, storage })
    }

    /// Tensors in few bits, of which one at a time is there in fp32.
    fn quantized(
        &mut self,
        parts: &[(String, usize)],
        columns: usize,
        spread: f32,
        quantize: impl Fn(&[f32], usize) -> Quantized,
    ) -> Result<Stacked> {
        let tensors = parts.iter().map(|(name, rows)| {
            let mut whole = vec![0.0; rows * columns];
            fill(&mut self.source, name, &[*rows, columns], &mut whole, spread)?;
            Ok(quantize(&whole, *rows))
        });
        Ok(Stacked(tensors.collect::<Result<_>>()?))
    }

    /// A matrix in bf16, read without an fp32 copy of the whole.
    fn half(&mut self, parts: &[(String, usize)], rows: usize, columns: usize, spread: f32) -> Result<Vec<Bf16>> {
        let mut data = Vec::with_capacity(rows * columns);
        for (name, rows) in parts {
            match &mut self.source {
                Source::Checkpoint(checkpoint) => {
                    let mut part = vec![0; rows * columns];
                    checkpoint.read_bf16(name, &[*rows, columns], &mut part)?;
                    data.extend(part.into_iter().map(Bf16));
                }
                Source::Random(_) | Source::Elsewhere => {
                    let mut part = vec![0.0; rows * columns];
                    fill(&mut self.source, name, &[*rows, columns], &mut part, spread)?;
                    data.extend(part.into_iter().map(<Bf16 as crate::kernel::Element>::of));
                }
            }
        }
        Ok(data)
    }

    /// A linear layer of one or more tensors, with adapters beside those that are targets.
    pub(crate) fn linear(&mut self, parts: &[(String, usize)], columns: usize, spread: f32) -> Result<Linear> {
        let matrix = self.matrix(parts, columns, spread, true)?;
        let adapters = self.lora.and_then(|lora| adapters(&mut self.parameters, lora, parts, columns, self.seed));
        Ok(Linear { matrix, adapters })
    }
}

fn fill(source: &mut Source<'_>, name: &str, shape: &[usize], into: &mut [f32], spread: f32) -> Result<()> {
    match source {
        Source::Checkpoint(checkpoint) => checkpoint.read_f32(name, shape, into),
        Source::Random(draw) => {
            normal(draw, into, SPREAD * spread);
            Ok(())
        }
        Source::Elsewhere => Ok(()),
    }
}

/// Normally distributed numbers (Box and Muller 1958).
pub(crate) fn normal(draw: &mut ChaCha8Rng, into: &mut [f32], deviation: f32) {
    for pair in into.chunks_mut(2) {
        let radius = (-2.0 * (1.0 - draw.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * draw.random::<f64>();
        for (value, part) in pair.iter_mut().zip([angle.cos(), angle.sin()]) {
            *value = (radius * part) as f32 * deviation;
        }
    }
}

/// Adapters for those tensors of a layer that are targets: first matrices drawn uniformly within one over the root
/// of their width, as `peft` draws them, second ones zero.
fn adapters(
    parameters: &mut Parameters,
    lora: &AdapterConfig,
    parts: &[(String, usize)],
    columns: usize,
    seed: u64,
) -> Option<Adapters> {
    let mut places = Vec::new();
    let mut row = 0;
    for (name, rows) in parts {
        let layer = name.strip_suffix(".weight").unwrap_or(name);
        if layer.rsplit('.').next().is_some_and(|last| lora.targets.iter().any(|target| target == last)) {
            places.push((layer, row..row + rows));
        }
        row += rows;
    }
    if places.is_empty() {
        return None;
    }
    let start = parameters.values.len();
    let bound = 1.0 / (columns as f32).sqrt();
    for (layer, _) in &places {
        let range = parameters.add(format!("base_model.model.{layer}.lora_A.weight"), &[lora.rank, columns], true);
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        draw.set_stream(range.start as u64);
        parameters.values[range].fill_with(|| draw.random_range(-bound..bound));
    }
    let down = start..parameters.values.len();
    let up = places.into_iter().map(|(layer, place)| {
        let name = format!("base_model.model.{layer}.lora_B.weight");
        let range = parameters.add(name, &[place.len(), lora.rank], true);
        (place, range)
    });
    Some(Adapters { down, up: up.collect(), rank: lora.rank, scale: lora.scale() as f32, dropout: lora.dropout as f32 })
}
