//! The transformer's blocks: normalise, attend, add; normalise, feed forward, add. Forward and backward by hand
//! over buffers that are allocated once.

use super::linear::{Linear, Lowered};
use super::tables::Tables;
use crate::kernel::{
    Activation, Attention, Element, Normed, head_norm, head_norm_backward, normalise, rms_norm, rms_norm_backward,
};
use std::ops::Range;

/// One block's weights.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Before attention.
    pub(crate) first_norm: Norm,
    /// Queries, keys and values, one below another.
    pub(crate) attend: Linear,
    /// On each head's query and key, if the architecture has it.
    pub(crate) head_norms: Option<[Norm; 2]>,
    /// From all heads back to the stream.
    pub(crate) merge: Linear,
    /// Before the feed-forward network.
    pub(crate) second_norm: Norm,
    /// Gate and up, one below the other.
    pub(crate) widen: Linear,
    /// Down to the stream.
    pub(crate) narrow: Linear,
}

impl Block {
    /// The linear layers, in the order of their use.
    pub(crate) fn linears(&self) -> [&Linear; 4] {
        [&self.attend, &self.merge, &self.widen, &self.narrow]
    }
}

/// The weight of a normalisation.
#[derive(Clone, Debug)]
pub(crate) enum Norm {
    /// Among the parameters in training.
    Trained(Range<usize>),
    /// Frozen.
    Frozen(Vec<f32>),
}

impl Norm {
    pub(crate) fn weight<'a>(&'a self, values: &'a [f32]) -> &'a [f32] {
        match self {
            Self::Trained(range) => &values[range.clone()],
            Self::Frozen(weight) => weight,
        }
    }

    pub(crate) fn gradient<'a>(&self, gradients: &'a mut [f32]) -> Option<&'a mut [f32]> {
        match self {
            Self::Trained(range) => Some(&mut gradients[range.clone()]),
            Self::Frozen(_) => None,
        }
    }
}

/// What a block's forward pass leaves for its backward pass.
#[derive(Clone, Debug, Default)]
struct Trace<E> {
    input: Vec<f32>,
    first_factors: Vec<f32>,
    /// Before the head norms; empty without them.
    raw: Vec<E>,
    head_factors: Vec<f32>,
    rows: Vec<E>,
    logs: Vec<f32>,
    attended: Vec<E>,
    middle: Vec<f32>,
    second_factors: Vec<f32>,
    gate_up: Vec<E>,
    lowered: [Lowered<E>; 4],
}

/// Sequences of a batch and where their tokens stand.
#[derive(Clone, Debug)]
pub(crate) struct Places<'a> {
    /// Where sequences start, with the end behind them.
    pub(crate) starts: &'a [usize],
    /// The place of each token in its sequence.
    pub(crate) positions: &'a [u32],
    /// Turns of positions; none for a model without positions.
    pub(crate) turns: Option<&'a Tables>,
    /// Seeds dropout; none when not training.
    pub(crate) draw: Option<u64>,
}

/// Blocks, one behind another.
#[derive(Clone, Debug)]
pub(crate) struct Stack<E> {
    pub(crate) blocks: Vec<Block>,
    pub(crate) attention: Attention,
    pub(crate) width: usize,
    pub(crate) intermediate: usize,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f32,
    /// Keep each block's input alone and compute the rest again in the backward pass.
    pub(crate) recompute: bool,
    /// Whether what lies before the first block learns.
    pub(crate) input_learns: bool,
    traces: Vec<Trace<E>>,
    work: Work<E>,
}

/// Buffers that every block uses in turn.
#[derive(Clone, Debug, Default)]
struct Work<E> {
    normed: Vec<E>,
    inner: Vec<E>,
    stored: Vec<E>,
    attended: Vec<E>,
    rows: Vec<E>,
    normed_gradient: Vec<f32>,
}

fn fit<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) {
    buffer.resize(length, T::default());
}

impl<E: Element> Stack<E> {
    pub(crate) fn new(
        blocks: Vec<Block>,
        attention: Attention,
        width: usize,
        intermediate: usize,
        epsilon: f32,
    ) -> Self {
        let traces = vec![Trace::default(); blocks.len() + 1];
        Self {
            blocks,
            attention,
            width,
            intermediate,
            activation: Activation::default(),
            epsilon,
            recompute: false,
            input_learns: true,
            traces,
            work: Work::default(),
        }
    }

    /// Where the stream goes in: one row of `width` for each token.
    pub(crate) fn input(&mut self, tokens: usize) -> &mut [f32] {
        fit(&mut self.traces[0].input, tokens * self.width);
        &mut self.traces[0].input
    }

    /// The stream behind the last block.
    pub(crate) fn output(&self) -> &[f32] {
        &self.traces[self.blocks.len()].input
    }

    /// From the input to the output. `values` are the trained parameters.
    pub(crate) fn forward(&mut self, values: &[f32], places: &Places<'_>) {
        let dimensions = self.dimensions();
        for layer in 0..self.blocks.len() {
            let (here, behind) = self.traces.split_at_mut(layer + 1);
            let next = &mut behind[0].input;
            forward(
                &dimensions,
                &self.blocks[layer],
                values,
                &mut here[layer],
                Some(next),
                &mut self.work,
                places,
                layer,
            );
            if self.recompute {
                here[layer].forget();
            }
        }
    }

    /// From the gradient of the output, which becomes that of the input; adds the gradients of what is trained.
    pub(crate) fn backward(&mut self, values: &[f32], gradients: &mut [f32], stream: &mut [f32], places: &Places<'_>) {
        fit(&mut self.work.stored, stream.len());
        for (stored, value) in self.work.stored.iter_mut().zip(stream.iter()) {
            *stored = E::of(*value);
        }
        let dimensions = self.dimensions();
        for layer in (0..self.blocks.len()).rev() {
            let (block, trace) = (&self.blocks[layer], &mut self.traces[layer]);
            if self.recompute {
                forward(&dimensions, block, values, trace, None, &mut self.work, places, layer);
            }
            let wanted = layer > 0 || self.input_learns;
            backward(
                &dimensions,
                block,
                (values, &mut *gradients),
                trace,
                &mut self.work,
                stream,
                places,
                layer,
                wanted,
            );
            if self.recompute {
                trace.forget();
            }
        }
    }

    fn dimensions(&self) -> Dimensions {
        let Self { width, intermediate, activation, epsilon, attention, .. } = *self;
        Dimensions { width, intermediate, activation, epsilon, attention }
    }
}

impl<E> Trace<E> {
    /// Frees everything but the input.
    fn forget(&mut self) {
        let input = std::mem::take(&mut self.input);
        *self = Self {
            input,
            first_factors: Vec::new(),
            raw: Vec::new(),
            head_factors: Vec::new(),
            rows: Vec::new(),
            logs: Vec::new(),
            attended: Vec::new(),
            middle: Vec::new(),
            second_factors: Vec::new(),
            gate_up: Vec::new(),
            lowered: std::array::from_fn(|_| Lowered(Vec::new())),
        };
    }
}

/// What all blocks share.
struct Dimensions {
    width: usize,
    intermediate: usize,
    activation: Activation,
    epsilon: f32,
    attention: Attention,
}

/// The seed of one linear layer's dropout.
fn seed(places: &Places<'_>, layer: usize, linear: usize) -> Option<u64> {
    places.draw.map(|draw| draw.wrapping_add(((layer * 4 + linear) as u64) << 8))
}

/// Turns queries and keys.
fn turn<E: Element>(rows: &mut [E], attention: &Attention, places: &Places<'_>, backward: bool) {
    let Some(turns) = places.turns else { return };
    let lengths = places.starts.windows(2).map(|bounds| bounds[1] - bounds[0]);
    let sequences = lengths.map(|length| (length, turns.is_long(length)));
    turns.apply(rows, attention, places.positions, sequences, backward);
}

#[expect(clippy::too_many_arguments, reason = "one pass over one block, called from two places")]
fn forward<E: Element>(
    dimensions: &Dimensions,
    block: &Block,
    values: &[f32],
    trace: &mut Trace<E>,
    next: Option<&mut Vec<f32>>,
    work: &mut Work<E>,
    places: &Places<'_>,
    layer: usize,
) {
    let &Dimensions { width, intermediate, activation, epsilon, attention } = dimensions;
    let tokens = trace.input.len() / width;
    fit(&mut work.normed, tokens * width);
    fit(&mut trace.first_factors, tokens);
    rms_norm(&mut work.normed, &mut trace.first_factors, &trace.input, block.first_norm.weight(values), epsilon);
    fit(&mut trace.rows, tokens * attention.row());
    block.attend.forward(values, &work.normed, &mut trace.rows, false, &mut trace.lowered[0], seed(places, layer, 0));
    if let Some([queries, keys]) = &block.head_norms {
        trace.raw.clone_from(&trace.rows);
        fit(&mut trace.head_factors, tokens * (attention.heads + attention.key_value_heads));
        let weights = [queries.weight(values), keys.weight(values)];
        head_norm(&mut trace.rows, &mut trace.head_factors, &attention, weights, epsilon);
    }
    turn(&mut trace.rows, &attention, places, false);
    fit(&mut trace.attended, tokens * attention.heads * attention.size);
    fit(&mut trace.logs, tokens * attention.heads);
    attention.forward(&mut trace.attended, &mut trace.logs, &trace.rows, places.starts);
    trace.middle.clone_from(&trace.input);
    block.merge.forward(
        values,
        &trace.attended,
        &mut trace.middle,
        true,
        &mut trace.lowered[1],
        seed(places, layer, 1),
    );
    fit(&mut trace.second_factors, tokens);
    rms_norm(&mut work.normed, &mut trace.second_factors, &trace.middle, block.second_norm.weight(values), epsilon);
    fit(&mut trace.gate_up, tokens * 2 * intermediate);
    block.widen.forward(values, &work.normed, &mut trace.gate_up, false, &mut trace.lowered[2], seed(places, layer, 2));
    fit(&mut work.inner, tokens * intermediate);
    activation.gated(&mut work.inner, &trace.gate_up, intermediate);
    let draw = seed(places, layer, 3);
    match next {
        Some(out) => {
            out.clone_from(&trace.middle);
            block.narrow.forward(values, &work.inner, out, true, &mut trace.lowered[3], draw);
        }
        // Computed again for its backward pass: of the last layer, only what the adapters lowered is needed.
        None => block.narrow.lower(values, &work.inner, &mut trace.lowered[3], draw),
    }
}

#[expect(clippy::too_many_arguments, reason = "one pass over one block, called from one place")]
fn backward<E: Element>(
    dimensions: &Dimensions,
    block: &Block,
    numbers: (&[f32], &mut [f32]),
    trace: &mut Trace<E>,
    work: &mut Work<E>,
    stream: &mut [f32],
    places: &Places<'_>,
    layer: usize,
    input_wanted: bool,
) {
    let &Dimensions { width, intermediate, activation, attention, .. } = dimensions;
    let (values, gradients) = numbers;
    let tokens = trace.input.len() / width;
    let draw = |linear| seed(places, layer, linear);
    fit(&mut work.inner, tokens * intermediate);
    fit(&mut work.normed, tokens * width);
    fit(&mut work.normed_gradient, tokens * width);
    let slope = block.narrow.slope(values, &work.stored);
    block.narrow.input_gradient(values, &work.stored, &slope, &mut work.inner, draw(3));
    // Leaves the activation where its gradient was; the weights' gradient needs it.
    activation.gated_backward(&mut work.inner, &mut trace.gate_up, intermediate);
    block.narrow.weight_gradient(gradients, &work.stored, &slope, &work.inner, &trace.lowered[3], draw(3));
    let slope = block.widen.slope(values, &trace.gate_up);
    if block.widen.learns() {
        normalise(&mut work.normed, &trace.second_factors, &trace.middle, block.second_norm.weight(values));
    }
    block.widen.weight_gradient(gradients, &trace.gate_up, &slope, &work.normed, &trace.lowered[2], draw(2));
    block.widen.input_gradient(values, &trace.gate_up, &slope, &mut work.normed_gradient, draw(2));
    let norm = &block.second_norm;
    let given = Normed { input: &trace.middle, factors: &trace.second_factors, weight: norm.weight(values) };
    rms_norm_backward(stream, &mut work.stored, norm.gradient(gradients), &work.normed_gradient, given);

    let slope = block.merge.slope(values, &work.stored);
    block.merge.weight_gradient(gradients, &work.stored, &slope, &trace.attended, &trace.lowered[1], draw(1));
    fit(&mut work.attended, tokens * attention.heads * attention.size);
    block.merge.input_gradient(values, &work.stored, &slope, &mut work.attended, draw(1));
    fit(&mut work.rows, tokens * attention.row());
    attention.backward(&mut work.rows, &work.attended, &trace.attended, &trace.logs, &trace.rows, places.starts);
    turn(&mut work.rows, &attention, places, true);
    if let Some([queries, keys]) = &block.head_norms {
        let weights = [queries.weight(values), keys.weight(values)];
        let sums = head_norm_backward(&mut work.rows, &trace.raw, &trace.head_factors, &attention, weights);
        for (norm, sums) in [queries, keys].into_iter().zip(sums) {
            for (gradient, sum) in norm.gradient(gradients).into_iter().flatten().zip(sums) {
                *gradient += sum;
            }
        }
    }
    let slope = block.attend.slope(values, &work.rows);
    if block.attend.learns() {
        normalise(&mut work.normed, &trace.first_factors, &trace.input, block.first_norm.weight(values));
    }
    block.attend.weight_gradient(gradients, &work.rows, &slope, &work.normed, &trace.lowered[0], draw(0));
    if input_wanted {
        block.attend.input_gradient(values, &work.rows, &slope, &mut work.normed_gradient, draw(0));
        let norm = &block.first_norm;
        let given = Normed { input: &trace.input, factors: &trace.first_factors, weight: norm.weight(values) };
        rms_norm_backward(stream, &mut work.stored, norm.gradient(gradients), &work.normed_gradient, given);
    }
}
