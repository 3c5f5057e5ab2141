//! Attention of new tokens to themselves and to what came before them, whose keys and values are kept packed. Every
//! element is added up in the order of [`super::attention`], so that the bytes are the same.

use super::attention::{Attention, Frame, soften, store};
use super::blocks::{Columns, columns};
use super::element::Element;
use super::product::{Growing, View};
use rayon::prelude::*;

/// Queries that are handled together.
const BLOCK: usize = 64;

/// How keys and values of one layer of one sequence lie in words: for each group the keys, then the values.
#[derive(Clone, Copy)]
pub(crate) struct Kept<E> {
    keys: Growing<E>,
    values: Growing<E>,
    groups: usize,
    capacity: usize,
}

impl<E: Element> Kept<E> {
    /// For up to so many tokens.
    pub(crate) fn new(shape: &Attention, capacity: usize) -> Self {
        Self {
            keys: Growing::new(shape.size, capacity),
            values: Growing::new(capacity, shape.size),
            groups: shape.key_value_heads,
            capacity,
        }
    }

    /// Words of a layer.
    pub(crate) fn words(&self) -> usize {
        self.groups * self.group_words()
    }

    /// Tokens that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    fn group_words(&self) -> usize {
        self.keys.words() + self.values.words()
    }
}

/// A sequence's part of a pass: tokens whose rows are new, and what is kept of those before.
pub(crate) struct Part<'a, E> {
    /// How the layer's keys and values lie.
    pub(crate) kept: Kept<E>,
    /// The layer's keys and values; those of the new tokens are written.
    pub(crate) words: &'a mut [u32],
    /// Tokens before.
    pub(crate) length: usize,
    /// New tokens.
    pub(crate) count: usize,
}

/// What one task needs of working memory.
#[derive(Default)]
struct Room<E> {
    scores: Vec<f32>,
    weights: Vec<E>,
    sums: Vec<f32>,
    logs: Vec<f32>,
}

/// One group of heads of one sequence.
struct Group<'a, E> {
    kept: Kept<E>,
    number: usize,
    words: &'a mut [u32],
    rows: &'a [E],
    length: usize,
}

impl Attention {
    /// Weighted values into `out` (rows of all heads) from the rows of all parts' new tokens, one part behind
    /// another.
    pub(crate) fn cached<E: Element>(&self, mut out: &mut [E], mut rows: &[E], parts: Vec<Part<'_, E>>) {
        let width = self.heads * self.size;
        let mut tasks = Vec::with_capacity(parts.len() * self.key_value_heads);
        for Part { kept, words, length, count } in parts {
            let (part_out, out_rest) = out.split_at_mut(count * width);
            let (part_rows, rows_rest) = rows.split_at(count * self.row());
            (out, rows) = (out_rest, rows_rest);
            let outs = columns(part_out, width, &self.query_columns());
            let groups = words.chunks_exact_mut(kept.group_words()).zip(outs).enumerate();
            tasks.extend(
                groups.map(|(number, (words, out))| (Group { kept, number, words, rows: part_rows, length }, out)),
            );
        }
        tasks.into_par_iter().for_each_init(Room::default, |room, (mut group, mut out)| {
            self.remember(&mut group);
            self.answer(room, &group, &mut out);
        });
    }

    /// Writes keys and values of the new tokens.
    fn remember<E: Element>(&self, group: &mut Group<'_, E>) {
        let key = (self.heads + group.number) * self.size;
        let value = key + self.key_value_heads * self.size;
        let (keys, values) = group.words.split_at_mut(group.kept.keys.words());
        for (place, row) in group.rows.chunks_exact(self.row()).enumerate() {
            let at = group.length + place;
            group.kept.keys.write_column(keys, at, &row[key..key + self.size]);
            group.kept.values.write_depth(values, at, &row[value..value + self.size]);
        }
    }

    fn answer<E: Element>(&self, room: &mut Room<E>, group: &Group<'_, E>, out: &mut Columns<'_, E>) {
        let (stride, size) = (self.row(), self.size);
        let (keys, values) = group.words.split_at(group.kept.keys.words());
        let total = group.length + group.rows.len() / stride;
        for head in 0..self.group() {
            let query = (group.number * self.group() + head) * size;
            for first in (group.length..total).step_by(BLOCK) {
                let count = BLOCK.min(total - first);
                let seen = first + count;
                // Depths come in whole words; weights beyond the last key are zero.
                let padded = seen.next_multiple_of(E::PER_WORD);
                room.fit(count, padded, size);
                let left = View::deep(&group.rows[(first - group.length) * stride + query..], stride);
                let scores = f32::output(&mut room.scores, padded, false);
                group.kept.keys.multiply(keys, [count, seen, size], left, scores);
                let (weights, logs) = (&mut room.weights, &mut room.logs);
                let frame = Frame { width: padded, from: first, length: total, view: self.view, scale: self.scale() };
                soften(weights, &mut room.scores, frame, logs);
                let left = View::deep(&room.weights[..], padded);
                let sums = f32::output(&mut room.sums, size, false);
                group.kept.values.multiply(values, [count, size, padded], left, sums);
                for (row, sums) in (first - group.length..).zip(room.sums.chunks(size)) {
                    store(&mut out.row(row)[head * size..(head + 1) * size], sums);
                }
            }
        }
    }
}

impl<E: Element> Room<E> {
    fn fit(&mut self, count: usize, padded: usize, size: usize) {
        self.scores.resize(count * padded, 0.0);
        self.weights.resize(count * padded, E::default());
        self.sums.resize(count * size, 0.0);
        self.logs.resize(count, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Bf16, Level, Sight};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Attention over one sequence read in pieces of some sizes, what is left at the end in one.
    fn cached<E: Element>(shape: &Attention, rows: &[E], pieces: &[usize]) -> Vec<E> {
        let (stride, width) = (shape.row(), shape.heads * shape.size);
        let total = rows.len() / stride;
        let kept = Kept::<E>::new(shape, total);
        // What was there before must not matter.
        let mut words = vec![u32::MAX; kept.words()];
        let mut out = vec![E::default(); total * width];
        let (mut length, mut pieces) = (0, pieces.iter());
        while length < total {
            let count = pieces.next().map_or(total - length, |count| *count.min(&(total - length)));
            let range = length..length + count;
            let part = Part { kept, words: &mut words, length, count };
            let rows = &rows[range.start * stride..range.end * stride];
            shape.cached(&mut out[range.start * width..range.end * width], rows, vec![part]);
            length += count;
        }
        out
    }

    fn compare<E: Element>() {
        for (heads, key_value_heads, size, window) in
            [(4, 4, 64, None), (4, 2, 8, Some(8)), (3, 1, 12, None), (2, 1, 80, Some(70)), (6, 2, 6, None)]
        {
            let shape = Attention { heads, key_value_heads, size, view: Sight::Past(window) };
            let total = 150;
            let mut draw = ChaCha8Rng::seed_from_u64(size as u64);
            let rows: Vec<E> = (0..total * shape.row()).map(|_| E::of(draw.random_range(-2.0..2.0))).collect();
            let mut expected = vec![E::default(); total * heads * size];
            shape.forward(&mut expected, &mut vec![0.0; total * heads], &rows, &[0, total]);
            for level in Level::ALL {
                level.choose();
                for pieces in [&[][..], &[1; 150], &[5, 64, 1, 1, 1, 33]] {
                    assert!(cached(&shape, &rows, pieces) == expected, "{level:?} {shape:?} {pieces:?}");
                }
            }
            Level::best().choose();
        }
    }

    #[test]
    fn tokens_one_by_one_or_together_give_the_bytes_of_training() {
        compare::<f32>();
        compare::<Bf16>();
    }
}
