//! What becomes of rows of a pass between two attentions. No row needs another there, so that one task takes its rows
//! through all of it while they are in its cache, and threads wait for each other only where rows see each other.

use super::adapters::Spans;
use super::linear::{Lowered, Ready};
use super::network::Network;
use super::tables::Tables;
use crate::kernel::{Element, Held, TASK_ROWS, head_norm, rms_norm};
use std::ops::Range;

/// What the number of a segment's rows is a multiple of, but for the last one: whole tiles of products.
const LEAST: usize = 8;

/// Segments for each thread, so that one that is held up leaves some to the others.
const PER_THREAD: usize = 4;

/// Rows of a segment where a pass has so many: one thread alone shares with nobody.
pub(super) fn share(rows: usize) -> usize {
    match rayon::current_num_threads() {
        1 => TASK_ROWS,
        threads => rows.div_ceil(threads * PER_THREAD).next_multiple_of(LEAST).clamp(LEAST, TASK_ROWS),
    }
}

/// Buffers of one segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Room<E> {
    factors: Vec<f32>,
    head_factors: Vec<f32>,
    normed: Vec<E>,
    gate_up: Vec<E>,
    inner: Vec<E>,
    lowered: Lowered<E>,
}

/// A block, and which of a pass's rows have which adapters in it.
pub(super) struct Segments<'a, E> {
    pub(super) network: &'a Network<E>,
    pub(super) layer: usize,
    /// The block's packed weights, in the order of their use, as far as they are held.
    pub(super) held: &'a [Option<Held<E>>; 4],
    /// Whether there are other segments, so that none needs more threads than its own.
    pub(super) shared: bool,
    pub(super) adapters: Spans<'a>,
}

/// Where the tokens of a pass stand.
pub(super) struct Standing<'a> {
    pub(super) turns: &'a Tables,
    /// The place of each in its sequence.
    pub(super) positions: &'a [u32],
    /// Whether its sequence is a long one.
    pub(super) long: &'a [bool],
}

impl<E: Element> Segments<'_, E> {
    /// The weights of one of the block's linear layers, if they are held packed.
    fn ready(&self, number: usize) -> Option<Ready<'_, E>> {
        self.held[number].as_ref().map(|held| Ready { held, shared: self.shared })
    }

    /// Whether some rows have no adapters but the model's own.
    pub(super) fn is_plain(&self, at: &Range<usize>) -> bool {
        self.adapters.within(at).is_empty()
    }

    /// Queries, keys and values of a segment's part of the stream, not turned yet.
    pub(super) fn project(&self, at: &Range<usize>, stream: &[f32], rows: &mut [E], room: &mut Room<E>) {
        let adapters = self.adapters.within(at);
        let (stack, values) = (&self.network.stack, &self.network.parameters.values);
        let block = &stack.blocks[self.layer];
        room.factors.resize(at.len(), 0.0);
        room.normed.resize(stream.len(), E::default());
        rms_norm(&mut room.normed, &mut room.factors, stream, block.first_norm.weight(values), stack.epsilon);
        block.attend.answer(values, self.ready(0), &room.normed, rows, false, &mut room.lowered);
        adapters.add(0, &block.attend, &room.normed, rows, &mut room.lowered);
    }

    /// Normalises and turns queries and keys where they stand.
    pub(super) fn turn(&self, at: &Range<usize>, rows: &mut [E], standing: &Standing<'_>, room: &mut Room<E>) {
        let (stack, values) = (&self.network.stack, &self.network.parameters.values);
        let shape = &stack.attention;
        if let Some([queries, keys]) = &stack.blocks[self.layer].head_norms {
            room.head_factors.resize(at.len() * (shape.heads + shape.key_value_heads), 0.0);
            let weights = [queries.weight(values), keys.weight(values)];
            head_norm(rows, &mut room.head_factors, shape, weights, stack.epsilon);
        }
        let runs = standing.long[at.clone()].chunk_by(|one, next| one == next).map(|run| (run.len(), run[0]));
        standing.turns.apply(rows, shape, &standing.positions[at.clone()], runs, false);
    }

    /// Adds to a segment's part of the stream what its heads saw, and what the feed-forward network makes of it then.
    pub(super) fn merge(&self, at: &Range<usize>, attended: &[E], stream: &mut [f32], room: &mut Room<E>) {
        let (stack, values) = (&self.network.stack, &self.network.parameters.values);
        let block = &stack.blocks[self.layer];
        let adapters = self.adapters.within(at);
        block.merge.answer(values, self.ready(1), attended, stream, true, &mut room.lowered);
        adapters.add(1, &block.merge, attended, stream, &mut room.lowered);
        room.factors.resize(at.len(), 0.0);
        room.normed.resize(stream.len(), E::default());
        room.gate_up.resize(at.len() * 2 * stack.intermediate, E::default());
        room.inner.resize(at.len() * stack.intermediate, E::default());
        rms_norm(&mut room.normed, &mut room.factors, stream, block.second_norm.weight(values), stack.epsilon);
        block.widen.answer(values, self.ready(2), &room.normed, &mut room.gate_up, false, &mut room.lowered);
        adapters.add(2, &block.widen, &room.normed, &mut room.gate_up, &mut room.lowered);
        stack.activation.gated(&mut room.inner, &room.gate_up, stack.intermediate);
        block.narrow.answer(values, self.ready(3), &room.inner, stream, true, &mut room.lowered);
        adapters.add(3, &block.narrow, &room.inner, stream, &mut room.lowered);
    }
}
