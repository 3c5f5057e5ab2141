//! Adapters added to the weights that they belong to.

use super::{Adapter, Factors};
use crate::checkpoint::{Checkpoint, Dtype, Sink, Writer};
use crate::config::Config;
use crate::json;
use crate::replacement::replace;
use crate::text::copy_companions;
use crate::{Error, Result, TensorInfo};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Numbers of a weight that are in memory at a time.
const PIECE: usize = 1 << 22;

/// Writes a checkpoint folder whose weights are W + scale B A where an adapter of `peft` has factors, and those of the
/// base elsewhere; with the base's `config.json`, tokenizer and `generation_config.json`. Sums are computed in double
/// precision and rounded to fp32, and from there to the format of 16 bits if it is one. Weights are read, added to and
/// written piece by piece. They are stored as `dtype`, or as in the base; if that has several formats, in fp32.
///
/// # Errors
/// As [`Config::read`], [`Checkpoint::open`], [`Adapter::open`] and [`Writer::write`]; [`Error::Configuration`] if
/// there are files in the folder already.
pub fn merge(base: &Path, adapter: &Path, out: &Path, dtype: Option<Dtype>) -> Result<Dtype> {
    let config = Config::read(base)?;
    let weights = Checkpoint::open(base)?;
    let adapter = Adapter::open(adapter, &config)?;
    let tensors = tensors(&config, &adapter.config().factors(&config));
    let dtype = dtype.unwrap_or_else(|| stored(&weights, &tensors));
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        let problem = "there are files in it already; choose another folder".to_owned();
        return Err(Error::Configuration { path: out.to_owned(), problem });
    }
    let infos: Vec<TensorInfo> = tensors.iter().map(|(info, _)| info.clone()).collect();
    Writer::new(out, dtype).write(&infos, |at, sink| {
        let (info, factors) = &tensors[at];
        let factors = factors.as_ref().map(|factors| Product::read(&adapter, factors)).transpose()?;
        copy(&weights, info, factors.as_ref(), sink)
    })?;
    copy_companions(base, out)?;
    // Last, because a folder without it is no checkpoint.
    write_config(base, out, dtype)?;
    Ok(dtype)
}

/// All weights of a model, with the factors of those that are adapted.
fn tensors(config: &Config, factors: &[Factors]) -> Vec<(TensorInfo, Option<Factors>)> {
    let (vocabulary, hidden) = (config.vocabulary, config.hidden);
    let mut list = vec![(TensorInfo::new("model.embed_tokens.weight", [vocabulary, hidden]), None)];
    let projections = config.projections();
    for layer in 0..config.layers {
        let norm =
            |name: &str, size: usize| (TensorInfo::new(format!("model.layers.{layer}.{name}.weight"), [size]), None);
        list.push(norm("input_layernorm", hidden));
        for projection in &projections {
            let of = |factors: &&Factors| factors.layer == layer && factors.projection == *projection;
            let info = TensorInfo::new(projection.weight_name(layer), [projection.outputs, projection.inputs]);
            list.push((info, factors.iter().find(of).cloned()));
        }
        if config.query_key_norm {
            list.extend(["self_attn.q_norm", "self_attn.k_norm"].map(|name| norm(name, config.head_size)));
        }
        list.push(norm("post_attention_layernorm", hidden));
    }
    list.push((TensorInfo::new("model.norm.weight", [hidden]), None));
    if !config.tied {
        list.push((TensorInfo::new("lm_head.weight", [vocabulary, hidden]), None));
    }
    list
}

/// The format that all weights share; fp32, which holds every other, if they do not.
fn stored(weights: &Checkpoint, tensors: &[(TensorInfo, Option<Factors>)]) -> Dtype {
    let mut formats = tensors.iter().filter_map(|(info, _)| weights.dtype(&info.name));
    let first = formats.next().unwrap_or(Dtype::F32);
    if formats.all(|format| format == first) { first } else { Dtype::F32 }
}

/// What is added to a weight.
struct Product {
    /// `rank x inputs`.
    a: Vec<f32>,
    /// `outputs x rank`.
    b: Vec<f32>,
    rank: usize,
    scale: f64,
}

impl Product {
    fn read(adapter: &Adapter, factors: &Factors) -> Result<Self> {
        let (mut a, mut b) = (vec![0.0; factors.a.len()], vec![0.0; factors.b.len()]);
        adapter.read(&factors.a, &mut a)?;
        adapter.read(&factors.b, &mut b)?;
        Ok(Self { a, b, rank: adapter.config().rank, scale: adapter.config().scale() })
    }

    /// Adds to rows of the weight, the first of which is given.
    fn add(&self, first: usize, weight: &mut [f32]) {
        let inputs = self.a.len() / self.rank;
        let rows = weight.par_chunks_mut(inputs).zip(self.b[first * self.rank..].par_chunks(self.rank));
        rows.for_each_init(
            || vec![0.0; inputs],
            |sum: &mut Vec<f64>, (weight, b)| {
                sum.fill(0.0);
                for (factor, a) in b.iter().zip(self.a.chunks(inputs)) {
                    let factor = self.scale * f64::from(*factor);
                    for (sum, a) in sum.iter_mut().zip(a) {
                        *sum += factor * f64::from(*a);
                    }
                }
                for (weight, sum) in weight.iter_mut().zip(sum) {
                    *weight = (f64::from(*weight) + *sum) as f32;
                }
            },
        );
    }
}

/// Writes a tensor of the base, with what is added to it, some rows at a time.
fn copy(weights: &Checkpoint, info: &TensorInfo, product: Option<&Product>, sink: &mut Sink) -> Result<()> {
    let rows = info.shape[0];
    let width = info.len() / rows;
    let step = (PIECE / width).max(1);
    let mut piece = Vec::new();
    for first in (0..rows).step_by(step) {
        let end = rows.min(first + step);
        piece.resize((end - first) * width, 0.0);
        weights.read_rows_f32(&info.name, &info.shape, first..end, &mut piece)?;
        if let Some(product) = product {
            product.add(first, &mut piece);
        }
        sink.push(&piece)?;
    }
    Ok(())
}

/// The base's `config.json` with the new format; `transformers` calls it `torch_dtype` before version 5.
fn write_config(base: &Path, out: &Path, dtype: Dtype) -> Result<()> {
    let mut object = json::read_object(&base.join("config.json"))?;
    let key = if object.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    object.insert(key.to_owned(), json!(dtype.torch_name()));
    replace(&out.join("config.json"), format!("{:#}\n", Value::Object(object)).as_bytes())
}
