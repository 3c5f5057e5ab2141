//! How much memory training takes, before it begins.

use super::decoder_recipe::MethodSettings;
use super::training::{OptimizerKind, Training};
use crate::{Config, Precision};
use serde::Serialize;

/// Rows of the output head's product that exist at a time: logits of more tokens are never held.
const LOGIT_ROWS: u64 = 512;

/// Bytes, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Frozen weights in the format they are held in, and trained ones in fp32 (with a bf16 copy if products run in
    /// it).
    pub weights: u64,
    /// Gradients of trained weights, fp32.
    pub gradients: u64,
    /// Moments of the optimiser, fp32.
    pub optimizer: u64,
    /// What the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Logits of one chunk of tokens.
    pub logits: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        [self.weights, self.gradients, self.optimizer, self.activations, self.logits]
            .iter()
            .fold(0, |sum, part| sum.saturating_add(*part))
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

    /// Inputs and outputs of the block's matrices, by the last part of their names.
    fn matrices(&self) -> [(&'static str, u64, u64); 7] {
        [
            ("q_proj", self.hidden, self.queries),
            ("k_proj", self.hidden, self.keys),
            ("v_proj", self.hidden, self.keys),
            ("o_proj", self.queries, self.hidden),
            ("gate_proj", self.hidden, self.intermediate),
            ("up_proj", self.hidden, self.intermediate),
            ("down_proj", self.intermediate, self.hidden),
        ]
    }
}

/// A product that stops at the largest number: shapes come from files, and a lie should look large, not small.
fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}

impl Counts {
    /// Counts the numbers of a decoder, and of the adapter if the method trains one. Fused matrices (`qkv_proj`,
    /// `gate_up_proj`) have the adapters of their parts' names here, which differs by less than the rank's width.
    pub fn of(config: &Config, method: &MethodSettings) -> Self {
        let widths = Widths::of(config);
        let heads = if config.tied { 1 } else { 2 };
        let matrices = widths.matrices();
        let sum = |each: &dyn Fn(u64, u64) -> u64, chosen: &dyn Fn(&str) -> bool| {
            let chosen = matrices.iter().filter(|(name, ..)| chosen(name));
            let block = chosen.fold(0u64, |sum, (_, inputs, outputs)| sum.saturating_add(each(*inputs, *outputs)));
            product(&[widths.layers, block])
        };
        let head_norms = if config.query_key_norm { 2 * config.head_size as u64 } else { 0 };
        let mut counts = Self {
            embeddings: product(&[heads, config.vocabulary as u64, widths.hidden]),
            matrices: sum(&|inputs, outputs| product(&[inputs, outputs]), &|_| true),
            norms: product(&[widths.layers, 2 * widths.hidden + head_norms]).saturating_add(widths.hidden),
            trained: 0,
        };
        counts.trained = match method.adapter() {
            None => counts.embeddings.saturating_add(counts.matrices).saturating_add(counts.norms),
            Some(adapter) => {
                let rank = adapter.rank as u64;
                let named = |name: &str| adapter.targets.iter().any(|target| target == name);
                sum(&|inputs, outputs| product(&[rank, inputs.saturating_add(outputs)]), &named)
            }
        };
        counts
    }
}

/// Memory that training a decoder takes, without the process itself and the data (some tens of MiB).
///
/// Activations of a token are, in each block and in 4 bytes: the residual stream before both norms and what comes out
/// of them (4 `hidden`), queries, keys, values and the heads' output (2 `queries` + 2 `keys`), gate, up and their
/// product (3 `intermediate`), a number for each norm and for each head's softmax. Attention probabilities are computed
/// again, not kept. With activation checkpointing a block keeps its input alone (`hidden`), and one block at a time all
/// of it. Beside the blocks there are one stream forward and two backward.
pub fn estimate(config: &Config, method: &MethodSettings, precision: Precision, training: &Training) -> Memory {
    let counts = Counts::of(config, method);
    let trained = product(&[4, counts.trained]);
    let moments = match training.optimizer.kind {
        OptimizerKind::AdamW => 2,
        OptimizerKind::Lion => 1,
    };
    Memory {
        weights: weights(&counts, method, precision),
        gradients: trained,
        optimizer: product(&[moments, trained]),
        activations: activations(config, method, training),
        logits: product(&[4, LOGIT_ROWS.min(training.batch.tokens as u64), config.vocabulary as u64]),
    }
}

fn weights(counts: &Counts, method: &MethodSettings, precision: Precision) -> u64 {
    let width = match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    };
    let copy = if precision == Precision::Bf16 { 2 } else { 0 };
    // NF4: half a byte each, an 8-bit scale for 64 and a 32-bit scale for 256 of those.
    let quantised = (counts.matrices / 2).saturating_add(counts.matrices / 64).saturating_add(counts.matrices / 4096);
    let kept = product(&[4, counts.norms]).saturating_add(product(&[4, counts.trained]));
    match method {
        MethodSettings::Full => product(&[4 + copy, counts.trained]),
        MethodSettings::Lora(_) => {
            product(&[width, counts.matrices.saturating_add(counts.embeddings)]).saturating_add(kept)
        }
        MethodSettings::Qlora(_) => product(&[width, counts.embeddings]).saturating_add(quantised).saturating_add(kept),
    }
}

fn activations(config: &Config, method: &MethodSettings, training: &Training) -> u64 {
    let widths = Widths::of(config);
    let adapters = method.adapter().map_or(0, |adapter| product(&[adapter.targets.len() as u64, adapter.rank as u64]));
    let block = [
        product(&[4, widths.hidden]),
        product(&[2, widths.queries.saturating_add(widths.keys)]),
        product(&[3, widths.intermediate]),
        config.heads as u64 + 2,
        adapters,
    ]
    .iter()
    .fold(0u64, |sum, part| sum.saturating_add(*part));
    let blocks = if training.checkpointing {
        product(&[widths.layers, widths.hidden]).saturating_add(block)
    } else {
        product(&[widths.layers, block])
    };
    product(&[4, training.batch.tokens as u64, blocks.saturating_add(3 * widths.hidden)])
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
        assert_eq!(full.weights, 6 * counts.trained);
        assert_eq!(full.gradients + full.optimizer, 12 * counts.trained);
        let quantised = of(&MethodSettings::Qlora(AdapterSettings::default()), &training);
        assert!(quantised.total() < 6_000_000_000 / 2, "{quantised:?}");
        let adapted = of(&MethodSettings::Lora(AdapterSettings::default()), &training);
        assert!(quantised.weights < adapted.weights && adapted.weights < full.weights);
        let kept = Training { checkpointing: false, ..training.clone() };
        let all = of(&MethodSettings::Full, &kept);
        assert!(all.activations > 7 * full.activations, "{} {}", all.activations, full.activations);
        let mut lion = training;
        lion.optimizer.kind = OptimizerKind::Lion;
        assert_eq!(of(&MethodSettings::Full, &lion).optimizer, full.optimizer / 2);
    }

    #[test]
    fn shapes_that_lie_look_large() {
        let config = Config { vocabulary: usize::MAX, ..shape(1 << 40, 1 << 30, 1 << 20, 1 << 50, 4) };
        let memory = estimate(&config, &MethodSettings::Full, Precision::F32, &Training::default());
        assert_eq!(memory.total(), u64::MAX);
    }
}
