//! The decoder's pass over new tokens of sequences whose keys and values are kept. The arithmetic is that of the
//! pass that trains, in the same order, so that the logits are the same bytes.

use super::cache::Cache;
use super::linear::{Linear, Lowered};
use super::matrix::Matrix;
use super::network::{LOGITS, Network};
use super::stack::Block;
use crate::config::Scaling;
use crate::kernel::{Element, Held, View, head_norm, product, rms_norm, swiglu};
use rayon::prelude::*;

/// Bytes of packed weights that are held at most; those beyond are packed again in every step.
const HELD: usize = 1 << 30;

/// New tokens of a sequence and its cache.
pub(crate) struct Piece<'a, E> {
    /// Keys and values of the tokens before; those of the new ones are added.
    pub(crate) cache: &'a mut Cache<E>,
    /// At least one.
    pub(crate) tokens: &'a [u32],
}

/// Buffers of a pass.
#[derive(Clone, Debug, Default)]
struct Work<E> {
    positions: Vec<u32>,
    stream: Vec<f32>,
    factors: Vec<f32>,
    head_factors: Vec<f32>,
    normed: Vec<E>,
    rows: Vec<E>,
    attended: Vec<E>,
    gate_up: Vec<E>,
    inner: Vec<E>,
    lowered: Lowered<E>,
    logits: Vec<f32>,
}

/// Reads tokens and says what comes next.
pub(crate) struct Reader<'a, E> {
    network: &'a Network<E>,
    /// Packed weights of each block, in the order of their use, as far as they are held.
    blocks: Vec<[Option<Held<E>>; 4]>,
    head: Option<Held<E>>,
    work: Work<E>,
}

impl<'a, E: Element> Reader<'a, E> {
    /// A reader of sequences up to the length that the network's tables of turns reach.
    pub(crate) fn new(network: &'a Network<E>) -> Self {
        let mut room = HELD;
        let mut hold = |matrix: &Matrix| {
            room = room.checked_sub(Held::<E>::bytes(matrix.columns, matrix.rows))?;
            Some(Held::new(matrix.applied(&network.parameters.values), matrix.columns, matrix.rows))
        };
        let head = hold(network.head.as_ref().unwrap_or(&network.embedding));
        let blocks = network
            .stack
            .blocks
            .iter()
            .map(|block| block.linears().map(|Linear { matrix, .. }| hold(matrix)))
            .collect();
        Self { network, blocks, head, work: Work::default() }
    }

    /// Advances every piece by its tokens, and returns what `choose` makes of the logits behind the last token of
    /// each, which it is given with the number of the piece and may change.
    pub(crate) fn advance<R: Send>(
        &mut self,
        pieces: &mut [Piece<'_, E>],
        choose: impl Fn(usize, &mut [f32]) -> R + Sync,
    ) -> Vec<R> {
        self.embed(pieces);
        for (layer, block) in self.network.stack.blocks.iter().enumerate() {
            self.block(layer, block, pieces);
        }
        for piece in pieces.iter_mut() {
            piece.cache.grow(piece.tokens.len());
        }
        self.head(pieces, choose)
    }

    /// Fills the stream and the positions.
    fn embed(&mut self, pieces: &[Piece<'_, E>]) {
        let Self { network, work, .. } = self;
        let tokens = || pieces.iter().flat_map(|piece| piece.tokens);
        work.positions.clear();
        for piece in pieces {
            let from = piece.cache.length() as u32;
            work.positions.extend(from..from + piece.tokens.len() as u32);
        }
        let width = network.config.hidden;
        work.stream.resize(tokens().count() * width, 0.0);
        for (token, row) in tokens().zip(work.stream.chunks_mut(width)) {
            network.embedding.row(&network.parameters.values, *token as usize, row);
        }
    }

    fn block(&mut self, layer: usize, block: &Block, pieces: &mut [Piece<'_, E>]) {
        let Self { network, blocks, work, .. } = self;
        let [attend, merge, widen, narrow] = blocks[layer].each_ref().map(Option::as_ref);
        let (values, stack) = (&network.parameters.values, &network.stack);
        let (shape, tokens) = (&stack.attention, work.positions.len());
        work.factors.resize(tokens, 0.0);
        work.normed.resize(work.stream.len(), E::default());
        work.rows.resize(tokens * shape.row(), E::default());
        work.attended.resize(tokens * shape.heads * shape.size, E::default());
        work.gate_up.resize(tokens * 2 * stack.intermediate, E::default());
        work.inner.resize(tokens * stack.intermediate, E::default());

        let weight = block.first_norm.weight(values);
        rms_norm(&mut work.normed, &mut work.factors, &work.stream, weight, stack.epsilon);
        block.attend.answer(values, attend, &work.normed, &mut work.rows, false, &mut work.lowered);
        if let Some([queries, keys]) = &block.head_norms {
            work.head_factors.resize(tokens * (shape.heads + shape.key_value_heads), 0.0);
            let weights = [queries.weight(values), keys.weight(values)];
            head_norm(&mut work.rows, &mut work.head_factors, shape, weights, stack.epsilon);
        }
        turn(network, &mut work.rows, &work.positions, pieces);
        let parts = pieces.iter_mut().map(|piece| piece.cache.part(layer, piece.tokens.len())).collect();
        shape.cached(&mut work.attended, &work.rows, parts);
        block.merge.answer(values, merge, &work.attended, &mut work.stream, true, &mut work.lowered);

        let weight = block.second_norm.weight(values);
        rms_norm(&mut work.normed, &mut work.factors, &work.stream, weight, stack.epsilon);
        block.widen.answer(values, widen, &work.normed, &mut work.gate_up, false, &mut work.lowered);
        swiglu(&mut work.inner, &work.gate_up, stack.intermediate);
        block.narrow.answer(values, narrow, &work.inner, &mut work.stream, true, &mut work.lowered);
    }

    /// Logits of the last token of each piece, some rows at a time so that not all are held.
    fn head<R: Send>(&mut self, pieces: &[Piece<'_, E>], choose: impl Fn(usize, &mut [f32]) -> R + Sync) -> Vec<R> {
        let Self { network, head: held, work, .. } = self;
        let (width, vocabulary) = (network.config.hidden, network.config.vocabulary);
        let values = &network.parameters.values;
        let mut ends = 0;
        let picked: Vec<f32> = pieces
            .iter()
            .flat_map(|piece| {
                ends += piece.tokens.len();
                &work.stream[(ends - 1) * width..ends * width]
            })
            .copied()
            .collect();
        work.factors.resize(pieces.len(), 0.0);
        work.normed.resize(picked.len(), E::default());
        rms_norm(&mut work.normed, &mut work.factors, &picked, network.norm.weight(values), network.stack.epsilon);
        let head = network.head.as_ref().unwrap_or(&network.embedding);
        let rows = (LOGITS / vocabulary).clamp(16, 1024);
        let mut chosen = Vec::with_capacity(pieces.len());
        for normed in work.normed.chunks(rows * width) {
            let (first, count) = (chosen.len(), normed.len() / width);
            work.logits.resize(count * vocabulary, 0.0);
            let out = f32::output(&mut work.logits, vocabulary, false);
            let left = View::deep(normed, width);
            match held {
                Some(held) => held.product(count, left, out),
                None => product([count, vocabulary, width], left, head.applied(values), out),
            }
            let each = work.logits.par_chunks_mut(vocabulary).enumerate();
            chosen.par_extend(each.map(|(row, logits)| choose(first + row, logits)));
        }
        chosen
    }
}

/// Turns queries and keys, each sequence by its own table.
fn turn<E: Element>(network: &Network<E>, rows: &mut [E], positions: &[u32], pieces: &[Piece<'_, E>]) {
    let shape = &network.stack.attention;
    let (stride, heads) = (shape.row(), shape.heads + shape.key_value_heads);
    let [short, long] = &network.turns;
    if !matches!(network.config.rotary.scaling, Scaling::LongRope { .. }) {
        return short.apply(rows, stride, heads, shape.size, positions, false);
    }
    let mut from = 0;
    for piece in pieces {
        let range = from..from + piece.tokens.len();
        let turns = if piece.cache.is_long() { long } else { short };
        let rows = &mut rows[range.start * stride..range.end * stride];
        turns.apply(rows, stride, heads, shape.size, &positions[range.clone()], false);
        from = range.end;
    }
}
