//! How much memory training takes, before it begins.

use super::decoder_recipe::MethodSettings;
use super::training::{OptimizerKind, Training};
use crate::{Config, Precision};
use serde::Serialize;

/// Logits that exist at a time, and the fewest and most tokens that they belong to: logits of more tokens are never
/// held.
const LOGITS: u64 = 1 << 22;
const LOGIT_ROWS: [u64; 2] = [16, 1024];

/// Bytes, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Frozen weights in the format they are held in, and trained ones in fp32.
    pub weights: u64,
    /// Gradients of trained weights, fp32.
    pub gradients: u64,
    /// Moments of the optimiser, fp32.
    pub optimizer: u64,
    /// What the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Buffers that all blocks share, and those of the head.
    pub working: u64,
    /// Logits of one chunk of tokens, and their gradient.
    pub logits: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        sum(&[self.weights, self.gradients, self.optimizer, self.activations, self.working, self.logits])
    }
}

/// Numbers of a decoder, counted by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Embedding, and output head if it is another matrix.
    pub embeddings: u64,
    /// Matrices of the blocks.
    pub matrices: u64,
    /// Norms.
    pub norms: u64,
    /// What the method trains.
    pub trained: u64,
}

/// Widths of a block, as `u64`.
struct Widths {
    layers: u64,
    hidden: u64,
    queries: u64,
    keys: u64,
    intermediate: u64,
}

impl Widths {
    fn of(config: &Config) -> Self {
        Self {
            layers: config.layers as u64,
            hidden: config.hidden as u64,
            queries: product(&[config.heads as u64, config.head_size as u64]),
            keys: product(&[config.key_value_heads as u64, config.head_size as u64]),
            intermediate: config.intermediate as u64,
        }
    }

    /// A token's queries, keys and values.
    fn rows(&self) -> u64 {
        sum(&[self.queries, self.keys, self.keys])
    }
}

/// A product that stops at the largest number: shapes come from files, and a lie should look large, not small.
fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}

/// A sum that stops there too.
fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

impl Counts {
    /// Counts the numbers of a decoder, and of the adapter if the method trains one.
    pub fn of(config: &Config, method: &MethodSettings) -> Self {
        let widths = Widths::of(config);
        let heads = if config.tied { 1 } else { 2 };
        let projections = config.projections();
        let all = |each: &dyn Fn(u64, u64) -> u64, chosen: &dyn Fn(&str) -> bool| {
            let chosen = projections.iter().filter(|projection| chosen(projection.name()));
            let block: Vec<u64> = chosen.map(|layer| each(layer.inputs as u64, layer.outputs as u64)).collect();
            product(&[widths.layers, sum(&block)])
        };
        let head_norms = if config.query_key_norm { 2 * config.head_size as u64 } else { 0 };
        let mut counts = Self {
            embeddings: product(&[heads, config.vocabulary as u64, widths.hidden]),
            matrices: all(&|inputs, outputs| product(&[inputs, outputs]), &|_| true),
            norms: product(&[widths.layers, 2 * widths.hidden + head_norms]).saturating_add(widths.hidden),
            trained: 0,
        };
        counts.trained = match method.adapter() {
            None => sum(&[counts.embeddings, counts.matrices, counts.norms]),
            Some(adapter) => {
                let rank = adapter.rank as u64;
                let named = |name: &str| adapter.targets.iter().any(|target| target == name);
                all(&|inputs, outputs| product(&[rank, inputs.saturating_add(outputs)]), &named)
            }
        };
        counts
    }
}

/// Memory that training a decoder takes with micro-batches of `training.batch.tokens` tokens all of which count, without
/// the process itself and the data (some tens of MiB). What `bench train` measures is within a twentieth of it.
///
/// For the backward pass a block keeps of each token, in fp32, the residual stream before both norms, a number for each
/// norm and for each head's softmax; and in the precision of the products queries, keys and values (twice where they are
/// normalised), the heads' output, gate and up, and what adapters lower the input to. Attention probabilities and
/// everything else are computed again. With activation checkpointing a block keeps its input alone, and one block at a
/// time all of it.
pub fn estimate(config: &Config, method: &MethodSettings, precision: Precision, training: &Training) -> Memory {
    let counts = Counts::of(config, method);
    let trained = product(&[4, counts.trained]);
    let moments = match training.optimizer.kind {
        OptimizerKind::AdamW => 2,
        OptimizerKind::Lion => 1,
    };
    let tokens = training.batch.tokens as u64;
    let rows = (LOGITS / (config.vocabulary as u64).max(1)).clamp(LOGIT_ROWS[0], LOGIT_ROWS[1]).min(tokens);
    let width = bytes(precision);
    Memory {
        weights: weights(&counts, method, precision),
        gradients: trained,
        optimizer: product(&[moments, trained]),
        activations: product(&[tokens, activations(config, method, width, training.checkpointing)]),
        working: product(&[tokens, working(config, width)]),
        logits: product(&[4 + width, rows, config.vocabulary as u64]),
    }
}

/// Bytes of a stored number.
fn bytes(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    }
}

fn weights(counts: &Counts, method: &MethodSettings, precision: Precision) -> u64 {
    // NF4: half a byte each, an 8-bit scale for 64 and a 32-bit scale for 256 of those.
    let quantised = sum(&[counts.matrices / 2, counts.matrices / 64, counts.matrices / 4096]);
    let kept = product(&[4, counts.norms.saturating_add(counts.trained)]);
    let width = bytes(precision);
    match method {
        MethodSettings::Full => product(&[4, counts.trained]),
        MethodSettings::Lora(_) => sum(&[product(&[width, counts.matrices.saturating_add(counts.embeddings)]), kept]),
        MethodSettings::Qlora(_) => sum(&[product(&[width, counts.embeddings]), quantised, kept]),
    }
}

/// Bytes that a token keeps in all blocks.
fn activations(config: &Config, method: &MethodSettings, width: u64, checkpointing: bool) -> u64 {
    let widths = Widths::of(config);
    let heads = config.heads as u64;
    let adapters = method.adapter().map_or(0, |adapter| product(&[adapter.targets.len() as u64, adapter.rank as u64]));
    let rows = widths.rows();
    let (copies, head_factors) =
        if config.query_key_norm { (2, heads + config.key_value_heads as u64) } else { (1, 0) };
    let stored = sum(&[product(&[copies, rows]), widths.queries, product(&[2, widths.intermediate]), adapters]);
    let input = product(&[4, widths.hidden]);
    let rest = sum(&[input, product(&[4, heads + head_factors + 2]), product(&[width, stored])]);
    match checkpointing {
        true => product(&[widths.layers, input]).saturating_add(rest),
        false => product(&[widths.layers, input.saturating_add(rest)]),
    }
}

/// Bytes that a token takes in the buffers that blocks share (what norms, activation and attention give, and its
/// gradient) and in those of the head (stream behind the last block, its gradient, and the same of what counts).
fn working(config: &Config, width: u64) -> u64 {
    let widths = Widths::of(config);
    let block = sum(&[product(&[2, widths.hidden]), widths.intermediate, widths.queries, widths.rows()]);
    sum(&[product(&[width, block.saturating_add(widths.hidden)]), product(&[4, 6, widths.hidden])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{AdapterSettings, Shape};

    fn shape(hidden: usize, layers: usize, heads: usize, intermediate: usize, vocabulary: usize) -> Config {
        let shape =
            Shape { hidden, layers, heads, key_value_heads: heads, intermediate, vocabulary, ..Shape::default() };
        shape.config()
    }

    #[test]
    fn counts_are_those_of_the_models() {
        // dim 256, 6 layers, SwiGLU 688 with 4,096 tied tokens, and one block by hand.
        let config = shape(256, 6, 4, 688, 4096);
        let block = 4 * 256 * 256 + 3 * 256 * 688;
        let counts = Counts::of(&config, &MethodSettings::Full);
        assert_eq!(counts.matrices, 6 * block);
        assert_eq!(counts.norms, 13 * 256);
        assert_eq!(counts.trained, 6 * block + 13 * 256 + 4096 * 256);
        let adapter = AdapterSettings {
            rank: 8,
            targets: vec!["q_proj".into(), "down_proj".into()],
            ..AdapterSettings::default()
        };
        assert_eq!(Counts::of(&config, &MethodSettings::Lora(adapter)).trained, 6 * 8 * (256 + 256 + 688 + 256));
    }

    #[test]
    fn a_model_of_a_billion_fits_where_it_should() {
        // Llama 3.2 1B: 1.236 G numbers.
        let config = Config { key_value_heads: 8, ..shape(2048, 16, 32, 8192, 128_256) };
        let counts = Counts::of(&config, &MethodSettings::Full);
        assert_eq!(counts.trained, 1_235_814_400);
        let mut training = Training { checkpointing: true, ..Training::default() };
        training.batch.tokens = 1024;
        let of = |method: &MethodSettings, training: &Training| estimate(&config, method, Precision::Bf16, training);
        let full = of(&MethodSettings::Full, &training);
        assert_eq!(full.weights, 4 * counts.trained);
        assert_eq!(full.gradients + full.optimizer, 12 * counts.trained);
        let quantised = of(&MethodSettings::Qlora(AdapterSettings::default()), &training);
        assert!(quantised.total() < 6_000_000_000 / 2, "{quantised:?}");
        let adapted = of(&MethodSettings::Lora(AdapterSettings::default()), &training);
        assert!(quantised.weights < adapted.weights && adapted.weights < full.weights);
        let kept = Training { checkpointing: false, ..training.clone() };
        let all = of(&MethodSettings::Full, &kept);
        assert!(all.activations > 5 * full.activations, "{} {}", all.activations, full.activations);
        let mut lion = training;
        lion.optimizer.kind = OptimizerKind::Lion;
        assert_eq!(of(&MethodSettings::Full, &lion).optimizer, full.optimizer / 2);
    }

    #[test]
    fn what_bench_train_measured_is_within_a_twentieth() {
        // MiB of the whole process, of which about 17 are no model: `probity bench train --model … --dtype … --method …`.
        let small = Config { tied: false, ..shape(256, 6, 4, 688, 4096) };
        let large = Config { tied: false, ..shape(512, 8, 8, 1376, 4096) };
        let lora = || MethodSettings::Lora(AdapterSettings::default());
        let qlora = || MethodSettings::Qlora(AdapterSettings::default());
        let measured = [
            (&small, MethodSettings::Full, Precision::F32, 490.0),
            (&small, MethodSettings::Full, Precision::Bf16, 348.0),
            (&small, lora(), Precision::Bf16, 272.0),
            (&large, MethodSettings::Full, Precision::F32, 1354.0),
            (&large, MethodSettings::Full, Precision::Bf16, 1007.0),
            (&large, lora(), Precision::Bf16, 643.0),
            (&large, qlora(), Precision::Bf16, 611.0),
        ];
        for (config, method, precision, mebibytes) in measured {
            let estimated =
                estimate(config, &method, precision, &Training::default()).total() as f64 / 1048576.0 + 17.0;
            assert!((estimated / mebibytes - 1.0).abs() < 0.05, "{estimated} for {mebibytes}");
        }
    }

    #[test]
    fn shapes_that_lie_look_large() {
        let config = Config { vocabulary: usize::MAX, ..shape(1 << 40, 1 << 30, 1 << 20, 1 << 50, 4) };
        let memory = estimate(&config, &MethodSettings::Full, Precision::F32, &Training::default());
        assert_eq!(memory.total(), u64::MAX);
    }
}
