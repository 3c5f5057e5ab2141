//! A decoder: embedding, blocks, head and the loss of the next token.

use super::build::{Builder, Frozen, Source};
use super::matrix::{Matrix, Storage};
use super::stack::{Block, Norm, Places, Stack};
use super::tables::Tables;
use crate::config::{Architecture, Config};
use crate::kernel::{
    Attention, Element, Normed, Sight, View, cross_entropy, losses, product, rms_norm, rms_norm_backward,
};
use crate::{AdapterConfig, Loss, Parameters, Result, Tokens};

/// Logits that are held at a time.
pub(super) const LOGITS: usize = 1 << 22;

/// A decoder whose activations are stored as `E`.
#[derive(Clone, Debug)]
pub(crate) struct Network<E> {
    pub(crate) config: Config,
    pub(crate) parameters: Parameters,
    pub(super) embedding: Matrix,
    pub(crate) stack: Stack<E>,
    pub(super) norm: Norm,
    /// None when the embedding is the head.
    pub(super) head: Option<Matrix>,
    turns: Tables,
    work: Work<E>,
}

/// Buffers of the pass over the head.
#[derive(Clone, Debug, Default)]
struct Work<E> {
    positions: Vec<u32>,
    stream: Vec<f32>,
    picked: Vec<f32>,
    factors: Vec<f32>,
    normed: Vec<E>,
    logits: Vec<f32>,
    slopes: Vec<E>,
    gradient: Vec<f32>,
}

impl<E: Element> Network<E> {
    /// Makes the weights of a configuration. With adapters, or when nothing learns, `frozen` says how weights are
    /// held.
    pub(crate) fn build(
        config: Config,
        source: Source<'_>,
        frozen: Option<Frozen>,
        lora: Option<&AdapterConfig>,
        seed: u64,
    ) -> Result<Self> {
        let mut builder = Builder { parameters: Parameters::default(), source, frozen, lora, seed };
        let (vocabulary, width) = (config.vocabulary, config.hidden);
        let embedding = builder.matrix(&[("model.embed_tokens.weight".into(), vocabulary)], width, 1.0, false)?;
        let blocks = (0..config.layers).map(|layer| block(&mut builder, &config, layer)).collect::<Result<_>>()?;
        let norm = builder.norm("model.norm.weight", width)?;
        let head = match config.tied {
            true => None,
            false => Some(builder.matrix(&[("lm_head.weight".into(), vocabulary)], width, 1.0, false)?),
        };
        let attention = Attention {
            heads: config.heads,
            key_value_heads: config.key_value_heads,
            size: config.head_size,
            view: Sight::Past(config.sliding_window),
        };
        let mut stack = Stack::new(blocks, attention, width, config.intermediate, config.norm_epsilon);
        stack.activation = config.activation;
        stack.input_learns = matches!(embedding.storage, Storage::Trained(_));
        let turns = Tables::new(&config.rotary);
        Ok(Self { config, parameters: builder.parameters, embedding, stack, norm, head, turns, work: Work::default() })
    }

    /// Whether each block's activations are computed again in the backward pass instead of kept.
    pub(crate) fn recompute(&mut self, recompute: bool) {
        self.stack.recompute = recompute;
    }

    /// Bytes of weights that do not learn.
    pub(crate) fn frozen_bytes(&self) -> usize {
        let blocks = self.stack.blocks.iter().flat_map(Block::linears);
        let linears: usize = blocks.map(|linear| linear.matrix.bytes()).sum();
        linears + self.embedding.bytes() + self.head.as_ref().map_or(0, Matrix::bytes)
    }

    /// Logits of every token, `vocabulary` numbers each.
    pub(crate) fn logits(&mut self, batch: &Tokens) -> Vec<f32> {
        self.stream(batch, None);
        let (count, width, vocabulary) = (batch.tokens.len(), self.config.hidden, self.config.vocabulary);
        let mut normed = vec![E::default(); count * width];
        let values = &self.parameters.values;
        rms_norm(
            &mut normed,
            &mut vec![0.0; count],
            self.stack.output(),
            self.norm.weight(values),
            self.config.norm_epsilon,
        );
        let mut logits = vec![0.0; count * vocabulary];
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        let out = f32::output(&mut logits, vocabulary, false);
        product([count, vocabulary, width], View::deep(&normed, width), head.applied(values), out);
        logits
    }

    /// Loss alone.
    pub(crate) fn evaluate(&mut self, batch: &Tokens) -> Loss {
        self.stream(batch, None);
        self.head_pass(batch, None)
    }

    /// Loss, and the gradient of the sum of losses times `scale`.
    pub(crate) fn accumulate(&mut self, batch: &Tokens, scale: f32, draw: u64) -> Loss {
        self.stream(batch, Some(draw));
        let loss = self.head_pass(batch, Some(scale));
        let mut stream = std::mem::take(&mut self.work.stream);
        let Parameters { values, gradients, .. } = &mut self.parameters;
        let places = places(&self.turns, batch, &self.work.positions, Some(draw));
        self.stack.backward(values, gradients, &mut stream, &places);
        if let Storage::Trained(range) = &self.embedding.storage {
            let gradients = &mut gradients[range.clone()];
            let width = self.config.hidden;
            for (token, row) in batch.tokens.iter().zip(stream.chunks(width)) {
                let at = *token as usize * width;
                for (sum, value) in gradients[at..at + width].iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
        self.work.stream = stream;
        loss
    }

    /// The blocks' pass over a batch.
    fn stream(&mut self, batch: &Tokens, draw: Option<u64>) {
        let width = self.config.hidden;
        let longest = batch.starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        self.turns.reach(longest);
        self.work.positions.clear();
        for bounds in batch.starts.windows(2) {
            self.work.positions.extend(0..(bounds[1] - bounds[0]) as u32);
        }
        let values = &self.parameters.values;
        let input = self.stack.input(batch.tokens.len());
        for (token, row) in batch.tokens.iter().zip(input.chunks_mut(width)) {
            self.embedding.row(values, *token as usize, row);
        }
        let places = places(&self.turns, batch, &self.work.positions, draw);
        self.stack.forward(values, &places);
    }

    /// Final norm, head and loss of the tokens that count, some rows at a time so that not all logits are held.
    /// With a scale, leaves the gradient of the stream and adds those of norm and head.
    fn head_pass(&mut self, batch: &Tokens, scale: Option<f32>) -> Loss {
        let (width, vocabulary) = (self.config.hidden, self.config.vocabulary);
        let counted: Vec<usize> =
            (0..batch.targets.len()).filter(|place| batch.targets[*place] != Tokens::IGNORED).collect();
        let targets: Vec<u32> = counted.iter().map(|place| batch.targets[*place]).collect();
        let work = &mut self.work;
        work.picked.clear();
        for place in &counted {
            work.picked.extend_from_slice(&self.stack.output()[place * width..(place + 1) * width]);
        }
        work.factors.resize(counted.len(), 0.0);
        work.normed.resize(counted.len() * width, E::default());
        let Parameters { values, gradients, .. } = &mut self.parameters;
        rms_norm(&mut work.normed, &mut work.factors, &work.picked, self.norm.weight(values), self.config.norm_epsilon);
        work.gradient.resize(counted.len() * width, 0.0);
        let rows = (LOGITS / vocabulary).clamp(16, 1024);
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        let mut sum = 0.0;
        let parts =
            work.normed.chunks(rows * width).zip(work.gradient.chunks_mut(rows * width)).zip(targets.chunks(rows));
        for ((normed, gradient), targets) in parts {
            let count = targets.len();
            work.logits.resize(count * vocabulary, 0.0);
            let out = f32::output(&mut work.logits, vocabulary, false);
            product([count, vocabulary, width], View::deep(normed, width), head.applied(values), out);
            let Some(scale) = scale else {
                sum += losses(&mut work.logits, vocabulary, targets);
                continue;
            };
            work.slopes.resize(count * vocabulary, E::default());
            sum += cross_entropy(&mut work.slopes, &mut work.logits, vocabulary, targets, scale);
            let left = View::deep(&work.slopes[..], vocabulary);
            product([count, width, vocabulary], left, head.transposed(values), f32::output(gradient, width, false));
            head.add_gradient(gradients, &work.slopes, normed);
        }
        if scale.is_some() {
            let mut picked_gradient = vec![0.0; counted.len() * width];
            let given = Normed { input: &work.picked, factors: &work.factors, weight: self.norm.weight(values) };
            let gradient = self.norm.gradient(gradients);
            rms_norm_backward(&mut picked_gradient, &mut work.normed, gradient, &work.gradient, given);
            work.stream.clear();
            work.stream.resize(batch.tokens.len() * width, 0.0);
            for (place, row) in counted.iter().zip(picked_gradient.chunks(width)) {
                work.stream[place * width..(place + 1) * width].copy_from_slice(row);
            }
        }
        Loss { sum, count: counted.len() as u64 }
    }
}

fn places<'a>(turns: &'a Tables, batch: &'a Tokens, positions: &'a [u32], draw: Option<u64>) -> Places<'a> {
    Places { starts: &batch.starts, positions, turns: Some(turns), draw }
}

/// The weights of a block, in the order and under the names of `transformers`. Drawn weights that lead back to the
/// stream are smaller the more blocks there are (Radford et al. 2019), so that the stream's variance stays.
pub(crate) fn block(builder: &mut Builder<'_>, config: &Config, layer: usize) -> Result<Block> {
    let name = |rest: &str| format!("model.layers.{layer}.{rest}.weight");
    let (width, inner) = (config.hidden, config.intermediate);
    let (queries, keys) = (config.heads * config.head_size, config.key_value_heads * config.head_size);
    let fused = config.architecture == Architecture::Phi3;
    let attend = match fused {
        true => vec![(name("self_attn.qkv_proj"), queries + 2 * keys)],
        false => {
            let part = |kind: &str, rows| (name(&format!("self_attn.{kind}_proj")), rows);
            vec![part("q", queries), part("k", keys), part("v", keys)]
        }
    };
    let widen = match fused {
        true => vec![(name("mlp.gate_up_proj"), 2 * inner)],
        false => vec![(name("mlp.gate_proj"), inner), (name("mlp.up_proj"), inner)],
    };
    let back = 1.0 / (2.0 * config.layers as f32).sqrt();
    Ok(Block {
        first_norm: builder.norm(&name("input_layernorm"), width)?,
        attend: builder.linear(&attend, width, 1.0)?,
        head_norms: match config.query_key_norm {
            true => Some([
                builder.norm(&name("self_attn.q_norm"), config.head_size)?,
                builder.norm(&name("self_attn.k_norm"), config.head_size)?,
            ]),
            false => None,
        },
        merge: builder.linear(&[(name("self_attn.o_proj"), width)], queries, back)?,
        second_norm: builder.norm(&name("post_attention_layernorm"), width)?,
        widen: builder.linear(&widen, width, 1.0)?,
        narrow: builder.linear(&[(name("mlp.down_proj"), width)], inner, back)?,
    })
}
