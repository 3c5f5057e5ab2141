//! The decoder's pass over new tokens of sequences whose keys and values are kept. The arithmetic is that of the
//! pass that trains, in the same order, so that the logits are the same bytes.

use super::adapters::{AdapterSet, Spans};
use super::cache::Cache;
use super::linear::{Linear, Lowered};
use super::matrix::Matrix;
use super::network::{LOGITS, Network};
use super::stack::Block;
use super::tables::Tables;
use crate::kernel::{Element, Held, View, head_norm, product, rms_norm};
use rayon::prelude::*;

/// Bytes of packed weights that are held at most; those beyond are packed again in every step.
const HELD: usize = 1 << 30;

/// New tokens of a sequence and its cache.
pub(crate) struct Piece<'a, E> {
    /// Keys and values of the tokens before; those of the new ones are added. There must be room for them.
    pub(crate) cache: &'a mut Cache<E>,
    /// At least one.
    pub(crate) tokens: &'a [u32],
    /// Beside those that the model has itself. Pieces with equal ones stand together.
    pub(crate) adapters: Option<&'a AdapterSet>,
    /// Whether what comes next is asked for.
    pub(crate) asks: bool,
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
    turns: Tables,
    work: Work<E>,
}

impl<'a, E: Element> Reader<'a, E> {
    /// A reader that has read nothing. Packs weights, on all threads of the current pool.
    pub(crate) fn new(network: &'a Network<E>) -> Self {
        let mut room = HELD;
        let mut hold = |matrix: &Matrix| {
            if matrix.is_quantized() {
                return None;
            }
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
        Self { network, blocks, head, turns: Tables::new(&network.config.rotary), work: Work::default() }
    }

    /// Whether a sequence of a length has other keys than a short one.
    pub(crate) fn is_long(&self, length: usize) -> bool {
        self.turns.is_long(length)
    }

    /// Advances every piece by its tokens, and returns what `choose` makes of the logits behind the last token of
    /// each that asks, which it is given with the place among these and may change.
    pub(crate) fn advance<R: Send>(
        &mut self,
        pieces: &mut [Piece<'_, E>],
        choose: impl Fn(usize, &mut [f32]) -> R + Sync,
    ) -> Vec<R> {
        self.embed(pieces);
        for (layer, block) in self.network.stack.blocks.iter().enumerate() {
            self.attend(layer, block, pieces);
        }
        for piece in pieces.iter_mut() {
            piece.cache.grow(piece.tokens.len());
        }
        self.head(choose)
    }

    /// Fills the stream and the positions.
    fn embed(&mut self, pieces: &[Piece<'_, E>]) {
        let Self { network, work, turns, .. } = self;
        let tokens = || pieces.iter().flat_map(|piece| piece.tokens);
        work.positions.clear();
        for piece in pieces {
            let from = piece.cache.length() as u32;
            work.positions.extend(from..from + piece.tokens.len() as u32);
            turns.reach(from as usize + piece.tokens.len());
        }
        let width = network.config.hidden;
        work.stream.resize(tokens().count() * width, 0.0);
        for (token, row) in tokens().zip(work.stream.chunks_mut(width)) {
            network.embedding.row(&network.parameters.values, *token as usize, row);
        }
    }

    /// A block's first half. Behind the last layer only those tokens are wanted of which is asked what comes next: the
    /// others leave their keys and values, and the stream goes on without them.
    fn attend(&mut self, layer: usize, block: &Block, pieces: &mut [Piece<'_, E>]) {
        let Self { network, blocks, work, turns, .. } = self;
        let [attend, merge, ..] = blocks[layer].each_ref().map(Option::as_ref);
        let (values, stack) = (&network.parameters.values, &network.stack);
        let (shape, tokens) = (&stack.attention, work.positions.len());
        work.factors.resize(tokens, 0.0);
        work.normed.resize(work.stream.len(), E::default());
        work.rows.resize(tokens * shape.row(), E::default());
        let weight = block.first_norm.weight(values);
        rms_norm(&mut work.normed, &mut work.factors, &work.stream, weight, stack.epsilon);
        block.attend.answer(values, attend, &work.normed, &mut work.rows, false, &mut work.lowered);
        let adapters = Spans::new(layer, pieces, |piece| piece.tokens.len());
        adapters.add(0, &block.attend, &work.normed, &mut work.rows, &mut work.lowered);
        if let Some([queries, keys]) = &block.head_norms {
            work.head_factors.resize(tokens * (shape.heads + shape.key_value_heads), 0.0);
            let weights = [queries.weight(values), keys.weight(values)];
            head_norm(&mut work.rows, &mut work.head_factors, shape, weights, stack.epsilon);
        }
        let sequences = pieces.iter().map(|piece| (piece.tokens.len(), piece.cache.is_long()));
        turns.apply(&mut work.rows, shape, &work.positions, sequences, false);

        let last = layer + 1 == stack.blocks.len();
        if last {
            retain(&mut work.stream, network.config.hidden, pieces);
        }
        let left = |piece: &Piece<'_, E>| if last { usize::from(piece.asks) } else { piece.tokens.len() };
        let adapters = Spans::new(layer, pieces, left);
        let parts = pieces.iter_mut().map(|piece| {
            let (count, answers) = (piece.tokens.len(), left(piece));
            piece.cache.part(layer, count, answers)
        });
        let mut parts: Vec<_> = parts.collect();
        let answers: usize = parts.iter().map(|part| part.answers).sum();
        work.attended.resize(answers * shape.heads * shape.size, E::default());
        shape.cached(&mut work.attended, &work.rows, &mut parts);
        block.merge.answer(values, merge, &work.attended, &mut work.stream, true, &mut work.lowered);
        adapters.add(1, &block.merge, &work.attended, &mut work.stream, &mut work.lowered);
        self.feed(layer, block, &adapters);
    }

    /// Its second half, for the tokens that are left.
    fn feed(&mut self, layer: usize, block: &Block, adapters: &Spans<'_>) {
        let Self { network, blocks, work, .. } = self;
        let [_, _, widen, narrow] = blocks[layer].each_ref().map(Option::as_ref);
        let (values, stack) = (&network.parameters.values, &network.stack);
        let tokens = work.stream.len() / network.config.hidden;
        work.factors.resize(tokens, 0.0);
        work.normed.resize(work.stream.len(), E::default());
        work.gate_up.resize(tokens * 2 * stack.intermediate, E::default());
        work.inner.resize(tokens * stack.intermediate, E::default());
        let weight = block.second_norm.weight(values);
        rms_norm(&mut work.normed, &mut work.factors, &work.stream, weight, stack.epsilon);
        block.widen.answer(values, widen, &work.normed, &mut work.gate_up, false, &mut work.lowered);
        adapters.add(2, &block.widen, &work.normed, &mut work.gate_up, &mut work.lowered);
        stack.activation.gated(&mut work.inner, &work.gate_up, stack.intermediate);
        block.narrow.answer(values, narrow, &work.inner, &mut work.stream, true, &mut work.lowered);
        adapters.add(3, &block.narrow, &work.inner, &mut work.stream, &mut work.lowered);
    }

    /// Logits of what is left of the stream, some rows at a time so that not all are held.
    fn head<R: Send>(&mut self, choose: impl Fn(usize, &mut [f32]) -> R + Sync) -> Vec<R> {
        let Self { network, head: held, work, .. } = self;
        let (width, vocabulary) = (network.config.hidden, network.config.vocabulary);
        let values = &network.parameters.values;
        let count = work.stream.len() / width;
        work.factors.resize(count, 0.0);
        work.normed.resize(work.stream.len(), E::default());
        let weight = network.norm.weight(values);
        rms_norm(&mut work.normed, &mut work.factors, &work.stream, weight, network.stack.epsilon);
        let head = network.head.as_ref().unwrap_or(&network.embedding);
        let rows = (LOGITS / vocabulary).clamp(16, 1024);
        let mut chosen = Vec::with_capacity(count);
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

/// Keeps the row of the last token of each piece that asks.
fn retain<E>(stream: &mut Vec<f32>, width: usize, pieces: &[Piece<'_, E>]) {
    let (mut end, mut kept) = (0, 0);
    for piece in pieces {
        end += piece.tokens.len();
        if piece.asks {
            stream.copy_within((end - 1) * width..end * width, kept * width);
            kept += 1;
        }
    }
    stream.truncate(kept * width);
}
