//! Attention of new tokens to themselves and to what came before them, whose keys and values are kept packed. Every
//! element is added up in the order of [`super::attention`], so that the bytes are the same.

use super::attention::{Attention, Frame, soften, store};
use super::blocks::{Columns, columns};
use super::element::Element;
use super::product::{Growing, View};
use rayon::prelude::*;

/// Queries that are handled together: few, since each is multiplied by all that the last of them sees.
const BLOCK: usize = 16;

/// Tokens of a page: whole panels of a packed operand on every processor.
pub(crate) const PAGE: usize = 48;

/// How keys and values of one layer of a page lie in words: for each group the keys, then the values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<E> {
    keys: Growing<E>,
    values: Growing<E>,
    groups: usize,
}

impl<E: Element> Kept<E> {
    /// For attention of a shape.
    pub(crate) fn new(shape: &Attention) -> Self {
        let (keys, values) = (Growing::new(shape.size, PAGE), Growing::new(PAGE, shape.size));
        Self { keys, values, groups: shape.key_value_heads }
    }

    /// Words of a layer.
    pub(crate) fn words(&self) -> usize {
        self.groups * self.group_words()
    }

    fn group_words(&self) -> usize {
        self.keys.words() + self.values.words()
    }
}

/// A sequence's part of a pass: tokens whose rows are new, and what is kept of those before. Of every page the words
/// of one layer.
pub(crate) struct Part<'a, E> {
    /// How the layer's keys and values lie.
    pub(crate) kept: Kept<E>,
    /// Pages that are full of tokens before.
    pub(crate) full: Vec<&'a [u32]>,
    /// The pages behind them; what the new tokens add is written.
    pub(crate) open: Vec<&'a mut [u32]>,
    /// Tokens before.
    pub(crate) length: usize,
    /// New tokens.
    pub(crate) count: usize,
    /// Of these, tokens that see the others, the last ones.
    pub(crate) answers: usize,
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
    full: &'a [&'a [u32]],
    open: Vec<&'a mut [u32]>,
    rows: &'a [E],
    length: usize,
    answers: usize,
}

impl<E: Element> Group<'_, E> {
    /// Keys and values of a page.
    fn page(&self, page: usize) -> (&[u32], &[u32]) {
        let size = self.kept.group_words();
        let words = match self.full.get(page) {
            Some(words) => &words[self.number * size..(self.number + 1) * size],
            None => &*self.open[page - self.full.len()],
        };
        words.split_at(self.kept.keys.words())
    }
}

impl Attention {
    /// Weighted values into `out` (rows of all heads, for those that see the others) from the rows of all parts' new
    /// tokens, one part behind another.
    pub(crate) fn cached<E: Element>(&self, mut out: &mut [E], mut rows: &[E], parts: &mut [Part<'_, E>]) {
        let width = self.heads * self.size;
        let mut tasks = Vec::with_capacity(parts.len() * self.key_value_heads);
        for Part { kept, full, open, length, count, answers } in parts {
            let (part_out, out_rest) = out.split_at_mut(*answers * width);
            let (part_rows, rows_rest) = rows.split_at(*count * self.row());
            (out, rows) = (out_rest, rows_rest);
            let mut pages: Vec<_> = open.iter_mut().map(|words| words.chunks_exact_mut(kept.group_words())).collect();
            let outs = columns(part_out, width, &self.query_columns());
            tasks.extend(outs.into_iter().enumerate().map(|(number, out)| {
                let open = pages.iter_mut().filter_map(Iterator::next).collect();
                let (length, answers) = (*length, *answers);
                (Group { kept: *kept, number, full, open, rows: part_rows, length, answers }, out)
            }));
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
        for (place, row) in group.rows.chunks_exact(self.row()).enumerate() {
            let (page, at) = ((group.length + place) / PAGE, (group.length + place) % PAGE);
            let words = &mut group.open[page - group.full.len()];
            let (keys, values) = words.split_at_mut(group.kept.keys.words());
            group.kept.keys.write_column(keys, at, &row[key..key + self.size]);
            group.kept.values.write_depth(values, at, &row[value..value + self.size]);
        }
    }

    fn answer<E: Element>(&self, room: &mut Room<E>, group: &Group<'_, E>, out: &mut Columns<'_, E>) {
        let (stride, size) = (self.row(), self.size);
        let total = group.length + group.rows.len() / stride;
        for head in 0..self.group() {
            let query = (group.number * self.group() + head) * size;
            for first in (total - group.answers..total).step_by(BLOCK) {
                let count = BLOCK.min(total - first);
                let seen = first + count;
                // Depths come in whole words; weights beyond the last key are zero.
                let padded = seen.next_multiple_of(E::PER_WORD);
                room.fit(count, padded, size);
                let left = View::deep(&group.rows[(first - group.length) * stride + query..], stride);
                for from in (0..seen).step_by(PAGE) {
                    let scores = f32::output(&mut room.scores[from..], padded, false);
                    let shape = [count, PAGE.min(seen - from), size];
                    group.kept.keys.multiply(group.page(from / PAGE).0, shape, left, scores);
                }
                let (weights, logs) = (&mut room.weights, &mut room.logs);
                let frame = Frame { width: padded, from: first, length: total, view: self.view, scale: self.scale() };
                soften(weights, &mut room.scores, frame, logs);
                // Page by page, and yet one sum: the bytes are those of values that lie in one piece.
                for from in (0..padded).step_by(PAGE) {
                    let left = View::deep(&room.weights[from..], padded);
                    let sums = f32::output(&mut room.sums, size, false);
                    let (shape, values) = ([count, size, PAGE.min(padded - from)], group.page(from / PAGE).1);
                    match from {
                        0 => group.kept.values.multiply(values, shape, left, sums),
                        _ => group.kept.values.extend(values, shape, left, sums),
                    }
                }
                for (row, sums) in (first + group.answers - total..).zip(room.sums.chunks(size)) {
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
        let kept = Kept::<E>::new(shape);
        // What was there before must not matter.
        let mut pages = vec![vec![u32::MAX; kept.words()]; total.div_ceil(PAGE)];
        let mut out = vec![E::default(); total * width];
        let (mut length, mut pieces) = (0, pieces.iter());
        while length < total {
            let count = pieces.next().map_or(total - length, |count| *count.min(&(total - length)));
            let range = length..length + count;
            let (full, open) = pages.split_at_mut(length / PAGE);
            let full = full.iter().map(Vec::as_slice).collect();
            let open = open[..(length + count).div_ceil(PAGE) - length / PAGE].iter_mut().map(Vec::as_mut_slice);
            let part = Part { kept, full, open: open.collect(), length, count, answers: count };
            let rows = &rows[range.start * stride..range.end * stride];
            shape.cached(&mut out[range.start * width..range.end * width], rows, &mut [part]);
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
