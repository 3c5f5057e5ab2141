//! The decoder's pass over new tokens of sequences whose keys and values are kept. The arithmetic is that of the
//! pass that trains, in the same order, so that the logits are the same bytes.

use super::adapters::{AdapterSet, Spans};
use super::cache::Cache;
use super::linear::Linear;
use super::matrix::Matrix;
use super::network::{LOGITS, Network};
use super::segment::{Room, Segments, Standing, share};
use super::tables::Tables;
use crate::kernel::{Element, Held, View, product, rms_norm};
use rayon::prelude::*;

/// Bytes of packed weights that are held at most; those beyond are packed again in every step.
pub(crate) const HELD: usize = 1 << 30;

/// Bytes that queries, keys and values of all tokens may take, and rows of it that are made together.
const TABLE: usize = 1 << 24;
const TABLE_ROWS: usize = 64;

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
    tokens: Vec<u32>,
    positions: Vec<u32>,
    long: Vec<bool>,
    stream: Vec<f32>,
    rows: Vec<E>,
    attended: Vec<E>,
    rooms: Vec<Room<E>>,
    factors: Vec<f32>,
    normed: Vec<E>,
    logits: Vec<f32>,
}

/// Reads tokens and says what comes next.
pub(crate) struct Reader<'a, E> {
    network: &'a Network<E>,
    /// Packed weights of each block, in the order of their use, as far as they are held.
    blocks: Vec<[Option<Held<E>>; 4]>,
    head: Option<Held<E>>,
    /// Queries, keys and values of each token in the first block before they are turned, which depend on nothing else.
    /// Empty if they are too many.
    table: Vec<E>,
    turns: Tables,
    work: Work<E>,
}

impl<'a, E: Element> Reader<'a, E> {
    /// A reader that has read nothing. Packs weights of up to `room` bytes, on all threads of the current pool.
    pub(crate) fn new(network: &'a Network<E>, mut room: usize) -> Self {
        let mut hold = |matrix: &Matrix| {
            if matrix.is_quantized() {
                return None;
            }
            room = room.checked_sub(Held::<E>::bytes(matrix.columns, matrix.rows))?;
            Some(Held::new(matrix.applied(&network.parameters.values), matrix.columns, matrix.rows))
        };
        let head = hold(network.head.as_ref().unwrap_or(&network.embedding));
        let blocks: Vec<_> = network
            .stack
            .blocks
            .iter()
            .map(|block| block.linears().map(|Linear { matrix, .. }| hold(matrix)))
            .collect();
        let table = blocks.first().map_or_else(Vec::new, |held| table(network, held));
        Self { network, blocks, head, table, turns: Tables::new(&network.config.rotary), work: Work::default() }
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
        self.between(0, pieces);
        for layer in 0..self.blocks.len() {
            self.attend(layer, pieces);
            self.between(layer + 1, pieces);
        }
        for piece in pieces.iter_mut() {
            piece.cache.grow(piece.tokens.len());
        }
        self.head(choose)
    }

    /// Fills the stream, and says where its tokens stand.
    fn embed(&mut self, pieces: &[Piece<'_, E>]) {
        let Self { network, work, turns, .. } = self;
        work.tokens.clear();
        work.tokens.extend(pieces.iter().flat_map(|piece| piece.tokens));
        work.positions.clear();
        work.long.clear();
        for piece in pieces {
            let from = piece.cache.length() as u32;
            work.positions.extend(from..from + piece.tokens.len() as u32);
            work.long.resize(work.positions.len(), piece.cache.is_long());
            turns.reach(from as usize + piece.tokens.len());
        }
        let width = network.config.hidden;
        work.stream.resize(work.tokens.len() * width, 0.0);
        for (token, row) in work.tokens.iter().zip(work.stream.chunks_mut(width)) {
            network.embedding.row(&network.parameters.values, *token as usize, row);
        }
    }

    /// What every row goes through on its own: behind attention in the block before `layer`, if there is one, and before it
    /// in that block, if there is one.
    fn between(&mut self, layer: usize, pieces: &[Piece<'_, E>]) {
        let Self { network, blocks, table, work, turns, .. } = self;
        let (network, width) = (*network, network.config.hidden);
        let count = blocks.len();
        // What is not held packed is packed for every product: it pays for all rows at once alone.
        let shared = blocks[layer.saturating_sub(1)..count.min(layer + 1)].iter().flatten().all(Option::is_some);
        let segments = |layer: usize, rows: &dyn Fn(&Piece<'_, E>) -> usize| {
            let adapters = Spans::new(layer, pieces, rows);
            Segments { network, layer, held: &blocks[layer], shared, adapters }
        };
        let before = layer.checked_sub(1).map(|before| segments(before, &|piece| going_on(piece, layer == count)));
        let here = (layer < count).then(|| segments(layer, &|piece| piece.tokens.len()));
        let tokens = work.stream.len() / width;
        let share = if shared { share(tokens) } else { tokens.max(1) };
        work.rooms.resize_with(work.rooms.len().max(tokens.div_ceil(share)), Room::default);
        let (row, heads) = (network.stack.attention.row(), network.stack.attention.width());
        work.rows.resize(work.positions.len() * row, E::default());
        let (tokens, attended) = (&work.tokens, &work.attended);
        let standing = Standing { turns, positions: &work.positions, long: &work.long };
        let rows = work.rows.par_chunks_mut(share * row).zip(&mut work.rooms);
        let parts = work.stream.par_chunks_mut(share * width).zip(rows).enumerate();
        parts.for_each(|(number, (stream, (rows, room)))| {
            let at = number * share..number * share + stream.len() / width;
            if let Some(before) = &before {
                before.merge(&at, &attended[at.start * heads..at.end * heads], stream, room);
            }
            if let Some(here) = &here {
                match layer == 0 && !table.is_empty() && here.is_plain(&at) {
                    true => look_up(table, &tokens[at.clone()], rows),
                    false => here.project(&at, stream, rows, room),
                }
                here.turn(&at, rows, &standing, room);
            }
        });
    }

    /// Lets tokens see what they see. Behind the last layer only those tokens are wanted of which is asked what comes next:
    /// the others leave their keys and values, and the stream goes on without them.
    fn attend(&mut self, layer: usize, pieces: &mut [Piece<'_, E>]) {
        let Self { network, blocks, work, .. } = self;
        let (last, shape) = (layer + 1 == blocks.len(), &network.stack.attention);
        if last {
            retain(&mut work.stream, network.config.hidden, pieces);
        }
        let parts = pieces.iter_mut().map(|piece| {
            let (count, answers) = (piece.tokens.len(), going_on(piece, last));
            piece.cache.part(layer, count, answers)
        });
        let mut parts: Vec<_> = parts.collect();
        let answers: usize = parts.iter().map(|part| part.answers).sum();
        work.attended.resize(answers * shape.width(), E::default());
        shape.cached(&mut work.attended, &work.rows, &mut parts);
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

/// See [`Reader::table`]. The arithmetic is that of the pass, so that the numbers are the same.
fn table<E: Element>(network: &Network<E>, held: &[Option<Held<E>>; 4]) -> Vec<E> {
    let (vocabulary, width, row) = (network.config.vocabulary, network.config.hidden, network.stack.attention.row());
    if held[0].is_none() || vocabulary * row * size_of::<E>() > TABLE {
        return Vec::new();
    }
    let segments = Segments { network, layer: 0, held, shared: true, adapters: Spans::default() };
    let mut table = vec![E::default(); vocabulary * row];
    table.par_chunks_mut(TABLE_ROWS * row).enumerate().for_each(|(number, rows)| {
        let at = number * TABLE_ROWS..number * TABLE_ROWS + rows.len() / row;
        let mut stream = vec![0.0; at.len() * width];
        for (token, into) in at.clone().zip(stream.chunks_mut(width)) {
            network.embedding.row(&network.parameters.values, token, into);
        }
        segments.project(&at, &stream, rows, &mut Room::default());
    });
    table
}

/// The rows of some tokens.
fn look_up<E: Element>(table: &[E], tokens: &[u32], rows: &mut [E]) {
    let row = rows.len() / tokens.len();
    for (token, into) in tokens.iter().zip(rows.chunks_exact_mut(row)) {
        into.copy_from_slice(&table[*token as usize * row..][..row]);
    }
}

/// Rows of a piece that go on behind attention, in the last block or another.
fn going_on<E>(piece: &Piece<'_, E>, last: bool) -> usize {
    if last { usize::from(piece.asks) } else { piece.tokens.len() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rotary;
    use crate::kernel::Precision;
    use crate::model::{Kind, Pool};
    use crate::{Config, Decoder, Method};
    use std::path::Path;

    /// A model of which a pass over some tokens has products that are worth several threads.
    fn wide(precision: Precision) -> Kind {
        let llama = Config::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")).unwrap();
        let rotary = Rotary { dimensions: 80, ..llama.rotary.clone() };
        let (heads, key_value_heads, head_size) = (2, 1, 80);
        let config =
            Config { hidden: 160, heads, key_value_heads, head_size, intermediate: 272, layers: 3, rotary, ..llama };
        Decoder::random(config, precision, &Method::None, 3).unwrap().into_kind()
    }

    /// Logits behind two prompts and behind the next token of each, and how many matrices were held packed.
    fn answers<E: Element>(network: &Network<E>, room: usize) -> (Vec<Vec<f32>>, usize) {
        let mut reader = Reader::new(network, room);
        let pool = Pool::new(&network.stack.attention, network.config.layers);
        let mut caches = [Cache::new(&pool), Cache::new(&pool)];
        let prompts: [Vec<u32>; 2] = [(0..57).map(|place| place * 7 % 96).collect(), (0..40).rev().collect()];
        let mut all = Vec::new();
        for tokens in [prompts, [vec![5], vec![9]]] {
            let pieces = caches.iter_mut().zip(&tokens).map(|(cache, tokens)| {
                cache.reserve(tokens.len());
                Piece { cache, tokens, adapters: None, asks: true }
            });
            all.extend(reader.advance(&mut pieces.collect::<Vec<_>>(), |_, logits| logits.to_vec()));
        }
        (all, reader.blocks.iter().flatten().chain([&reader.head]).flatten().count())
    }

    fn compare<E: Element>(network: &Network<E>) {
        let head = network.head.as_ref().unwrap_or(&network.embedding);
        let matrices = network.stack.blocks.iter().flat_map(|block| block.linears().map(|linear| &linear.matrix));
        let all: usize = matrices.chain([head]).map(|matrix| Held::<E>::bytes(matrix.columns, matrix.rows)).sum();
        // How much a matrix takes depends on the instructions in use, which tests beside this one change.
        let unlimited = usize::MAX;
        let (expected, held) = answers(network, unlimited);
        assert_eq!(held, 13);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for (room, most) in [(0, 0), (all / 2, 12), (unlimited, 13)] {
                let (found, held) = pool.install(|| answers(network, room));
                assert!(held <= most && (held > 0) == (room > 0), "{held} of {room} bytes");
                assert!(found == expected, "{threads} threads, {held} held");
            }
        }
    }

    #[test]
    fn what_is_held_packed_changes_no_bit() {
        for precision in [Precision::F32, Precision::Bf16] {
            match wide(precision) {
                Kind::Full(network) => compare(&network),
                Kind::Half(network) => compare(&network),
            }
        }
    }
}
