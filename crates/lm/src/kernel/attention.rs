//! Grouped-query attention over sequences laid one behind another, in blocks of queries. The backward pass
//! recomputes probabilities from each query's log-sum-exp (Dao et al. 2022), so that nothing of the size of
//! queries times keys is kept.

use super::blocks::{Columns, columns};
use super::element::Element;
use super::level::dispatched;
use super::math::{dot, exponentials, largest};
use super::product::{Packed, View, product_serial};
use rayon::prelude::*;
use std::ops::Range;

/// Queries that are handled together.
const BLOCK: usize = 64;

/// The shape of attention. A row holds the queries of all heads, then the keys, then the values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads.
    pub(crate) key_value_heads: usize,
    /// Width of a head.
    pub(crate) size: usize,
    /// What a query sees.
    pub(crate) view: Sight,
}

/// What a query sees of its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Everything.
    Whole,
    /// Itself and what came before, of that the last so many with itself if a window is given.
    Past(Option<usize>),
}

impl Sight {
    /// Keys that a query sees, of a sequence of some length.
    #[inline(always)]
    fn keys(self, query: usize, length: usize) -> Range<usize> {
        match self {
            Self::Whole => 0..length,
            Self::Past(None) => 0..query + 1,
            Self::Past(Some(window)) => (query + 1).saturating_sub(window)..query + 1,
        }
    }

    /// Keys that a block of queries needs, from the first on.
    fn needed(self, queries: &Range<usize>, length: usize) -> usize {
        if self == Self::Whole { length } else { queries.end }
    }
}

/// How rows of scores lie: `width` apart, the first that of query `from` of a sequence of `length`.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) from: usize,
    pub(super) length: usize,
    pub(super) view: Sight,
    pub(super) scale: f32,
}

/// What one task needs of working memory.
struct Room<E> {
    keys: Packed<E>,
    values: Packed<E>,
    keys_wide: Packed<E>,
    scores: Vec<f32>,
    slopes: Vec<f32>,
    weights: Vec<E>,
    gradients: Vec<E>,
    sums: Vec<f32>,
}

impl<E: Element> Room<E> {
    fn new() -> Self {
        Self {
            keys: Packed::new(),
            values: Packed::new(),
            keys_wide: Packed::new(),
            scores: Vec::new(),
            slopes: Vec::new(),
            weights: Vec::new(),
            gradients: Vec::new(),
            sums: Vec::new(),
        }
    }
}

impl Attention {
    /// Numbers in a row of queries, keys and values.
    pub(crate) fn row(&self) -> usize {
        (self.heads + 2 * self.key_value_heads) * self.size
    }

    /// Numbers in a row of what all heads saw.
    pub(crate) fn width(&self) -> usize {
        self.heads * self.size
    }

    /// Query heads that share a key.
    pub(super) fn group(&self) -> usize {
        self.heads / self.key_value_heads
    }

    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    /// Columns of the queries of each group in rows of queries alone.
    pub(super) fn query_columns(&self) -> Vec<Range<usize>> {
        let width = self.group() * self.size;
        (0..self.key_value_heads).map(|group| group * width..(group + 1) * width).collect()
    }

    /// Weighted values into `out` (rows of all heads) and each query's log-sum-exp into `logs`, for which the order
    /// is this module's own. `starts` says where sequences start, with the end behind them.
    pub(crate) fn forward<E: Element>(&self, out: &mut [E], logs: &mut [f32], rows: &[E], starts: &[usize]) {
        let width = self.heads * self.size;
        let mut tasks = Vec::new();
        for (bounds, (out, logs)) in starts.windows(2).zip(sequences(out, width, logs, self.heads, starts)) {
            let rows = &rows[bounds[0] * self.row()..bounds[1] * self.row()];
            let length = bounds[1] - bounds[0];
            let logs = logs.chunks_mut((length * self.group()).max(1));
            let groups = columns(out, width, &self.query_columns()).into_iter().zip(logs).enumerate();
            tasks.extend(groups.map(|(group, (out, logs))| (group, rows, out, logs)));
        }
        tasks.into_par_iter().for_each_init(Room::new, |room, (group, rows, out, logs)| {
            self.forward_group(room, group, rows, out, logs);
        });
    }

    fn forward_group<E: Element>(
        &self,
        room: &mut Room<E>,
        group: usize,
        rows: &[E],
        mut out: Columns<'_, E>,
        logs: &mut [f32],
    ) {
        let (stride, size) = (self.row(), self.size);
        let length = rows.len() / stride;
        let key = (self.heads + group) * size;
        let value = key + self.key_value_heads * size;
        room.keys.fill(E::right(View::deep(&rows[key..], stride)), size, length);
        room.values.fill(E::right(View::wide(&rows[value..], stride)), length, size);
        for (head, logs) in logs.chunks_mut(length).enumerate() {
            let query = (group * self.group() + head) * size;
            for from in (0..length).step_by(BLOCK) {
                let queries = from..length.min(from + BLOCK);
                let keys = self.view.needed(&queries, length);
                let padded = keys.next_multiple_of(2);
                let count = queries.len();
                resize(&mut room.scores, count * padded);
                resize(&mut room.weights, count * padded);
                resize(&mut room.sums, count * size);
                let left = View::deep(&rows[from * stride + query..], stride);
                room.keys.multiply([count, keys, size], left, f32::output(&mut room.scores, padded, false));
                let frame = Frame { width: padded, from, length, view: self.view, scale: self.scale() };
                soften(&mut room.weights, &mut room.scores, frame, &mut logs[queries.clone()]);
                let left = View::deep(&room.weights[..], padded);
                // Weights beyond the last key are zero.
                let depth = if keys == length { keys } else { padded };
                room.values.multiply([count, size, depth], left, f32::output(&mut room.sums, size, false));
                for (row, sums) in queries.zip(room.sums.chunks(size)) {
                    store(&mut out.row(row)[head * size..(head + 1) * size], sums);
                }
            }
        }
    }

    /// Gradients of rows from the gradient of `out`; everything else as the forward pass had and left it.
    pub(crate) fn backward<E: Element>(
        &self,
        gradient: &mut [E],
        out_gradient: &[E],
        out: &[E],
        logs: &[f32],
        rows: &[E],
        starts: &[usize],
    ) {
        let (stride, width) = (self.row(), self.heads * self.size);
        let mut ranges = self.query_columns();
        let others = 2 * self.key_value_heads;
        ranges.extend((0..others).map(|i| width + i * self.size..width + (i + 1) * self.size));
        let mut tasks = Vec::new();
        let mut rest = gradient;
        for bounds in starts.windows(2) {
            let length = bounds[1] - bounds[0];
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(length * stride);
            rest = behind;
            let mut queries = columns(part, stride, &ranges);
            let mut keys = queries.split_off(self.key_value_heads);
            let values = keys.split_off(self.key_value_heads);
            for (group, ((query, key), value)) in queries.into_iter().zip(keys).zip(values).enumerate() {
                tasks.push((bounds[0]..bounds[1], group, query, key, value));
            }
        }
        tasks.into_par_iter().for_each_init(Room::new, |room, (range, group, query, key, value)| {
            let length = range.len();
            let logs_from = range.start * self.heads + group * self.group() * length;
            let given = Given {
                rows: &rows[range.start * stride..range.end * stride],
                out: &out[range.start * width..range.end * width],
                out_gradient: &out_gradient[range.start * width..range.end * width],
                logs: &logs[logs_from..logs_from + self.group() * length],
            };
            self.backward_group(room, group, &given, [query, key, value]);
        });
    }

    fn backward_group<E: Element>(
        &self,
        room: &mut Room<E>,
        group: usize,
        given: &Given<'_, E>,
        gradients: [Columns<'_, E>; 3],
    ) {
        let (stride, size) = (self.row(), self.size);
        let length = given.rows.len() / stride;
        let [mut query_gradient, mut key_gradient, mut value_gradient] = gradients;
        let key = (self.heads + group) * size;
        let value = key + self.key_value_heads * size;
        room.keys.fill(E::right(View::deep(&given.rows[key..], stride)), size, length);
        room.values.fill(E::right(View::deep(&given.rows[value..], stride)), size, length);
        room.keys_wide.fill(E::right(View::wide(&given.rows[key..], stride)), length, size);
        let (mut key_sums, mut value_sums) = (vec![0.0; length * size], vec![0.0; length * size]);
        for head in 0..self.group() {
            let query = (group * self.group() + head) * size;
            for from in (0..length).step_by(BLOCK) {
                let queries = from..length.min(from + BLOCK);
                let block = Block {
                    head: query,
                    queries: queries.clone(),
                    logs: &given.logs[head * length..][queries.clone()],
                };
                self.backward_block(room, given, &block, &mut key_sums, &mut value_sums);
                for (row, sums) in queries.zip(room.sums.chunks(size)) {
                    store(&mut query_gradient.row(row)[head * size..(head + 1) * size], sums);
                }
            }
        }
        for row in 0..length {
            store(key_gradient.row(row), &key_sums[row * size..(row + 1) * size]);
            store(value_gradient.row(row), &value_sums[row * size..(row + 1) * size]);
        }
    }

    /// Leaves the gradient of a block's queries in `room.sums`, adds those of keys and values.
    fn backward_block<E: Element>(
        &self,
        room: &mut Room<E>,
        given: &Given<'_, E>,
        block: &Block<'_>,
        key_sums: &mut [f32],
        value_sums: &mut [f32],
    ) {
        let (stride, size, width) = (self.row(), self.size, self.heads * self.size);
        let length = given.rows.len() / stride;
        let (from, count) = (block.queries.start, block.queries.len());
        let keys = self.view.needed(&block.queries, length);
        let padded = keys.next_multiple_of(2);
        resize(&mut room.scores, count * padded);
        resize(&mut room.slopes, count * padded);
        resize(&mut room.weights, count * padded);
        resize(&mut room.gradients, count * padded);
        resize(&mut room.sums, count * size);
        let queries = &given.rows[from * stride + block.head..];
        let at = from * width + block.head;
        let (out, out_gradient) = (&given.out[at..], &given.out_gradient[at..]);
        room.keys.multiply(
            [count, keys, size],
            View::deep(queries, stride),
            f32::output(&mut room.scores, padded, false),
        );
        room.values.multiply(
            [count, keys, size],
            View::deep(out_gradient, width),
            f32::output(&mut room.slopes, padded, false),
        );
        let shares = shares(out, out_gradient, width, size, count);
        let frame = Frame { width: padded, from, length, view: self.view, scale: self.scale() };
        let (weights, gradients) = (&mut room.weights, &mut room.gradients);
        slopes(weights, gradients, &mut room.scores, &room.slopes, frame, block.logs, &shares);
        let depth = if keys == length { keys } else { padded };
        let left = View::deep(&room.gradients[..], padded);
        room.keys_wide.multiply([count, size, depth], left, f32::output(&mut room.sums, size, false));
        let shape = [keys, size, count];
        let right = E::right(View::wide(out_gradient, width));
        product_serial(shape, View::wide(&room.weights[..], padded), right, f32::output(value_sums, size, true));
        let right = E::right(View::wide(queries, stride));
        product_serial(shape, View::wide(&room.gradients[..], padded), right, f32::output(key_sums, size, true));
    }
}

/// What the backward pass of a group reads: rows of one sequence.
struct Given<'a, E> {
    rows: &'a [E],
    out: &'a [E],
    out_gradient: &'a [E],
    logs: &'a [f32],
}

/// Some queries of one head, which starts at column `head`.
struct Block<'a> {
    head: usize,
    queries: Range<usize>,
    logs: &'a [f32],
}

/// The parts of two matrices that belong to each sequence.
fn sequences<'a, A, B>(
    mut first: &'a mut [A],
    first_width: usize,
    mut second: &'a mut [B],
    second_width: usize,
    starts: &[usize],
) -> Vec<(&'a mut [A], &'a mut [B])> {
    let mut parts = Vec::with_capacity(starts.len());
    for bounds in starts.windows(2) {
        let length = bounds[1] - bounds[0];
        let (a, first_rest) = first.split_at_mut(length * first_width);
        let (b, second_rest) = second.split_at_mut(length * second_width);
        (first, second) = (first_rest, second_rest);
        parts.push((a, b));
    }
    parts
}

fn resize<T: Copy + Default>(room: &mut Vec<T>, length: usize) {
    room.resize(length, T::default());
}

dispatched! {
    pub(super) fn store<E: Element>(to: &mut [E], from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = E::of(*from);
        }
    }
}

dispatched! {
    /// Scores of queries from `from` on become weights that add up to one; what a query does not see weighs zero.
    pub(super) fn soften<E: Element>(weights: &mut [E], scores: &mut [f32], frame: Frame, logs: &mut [f32]) {
        let Frame { width, from, length, view, scale } = frame;
        for (row, log) in logs.iter_mut().enumerate() {
            let seen = view.keys(from + row, length);
            let range = row * width..(row + 1) * width;
            let (scores, weights) = (&mut scores[range.clone()], &mut weights[range]);
            let most = largest(&scores[seen.clone()]) * scale;
            let sum = exponentials(&mut scores[seen.clone()], scale, most);
            *log = most + sum.ln();
            let share = 1.0 / sum;
            weights[..seen.start].fill(E::default());
            weights[seen.end..].fill(E::default());
            for (weight, score) in weights[seen.clone()].iter_mut().zip(&scores[seen]) {
                *weight = E::of(score * share);
            }
        }
    }
}

dispatched! {
    /// For each query the sum of its output's gradient times its output.
    fn shares<E: Element>(out: &[E], out_gradient: &[E], stride: usize, size: usize, count: usize) -> Vec<f32> {
        let (mut a, mut b) = (vec![0.0; size], vec![0.0; size]);
        let mut shares = Vec::with_capacity(count);
        for row in 0..count {
            for ((to, from), (other_to, other)) in a.iter_mut().zip(&out[row * stride..]).zip(b.iter_mut().zip(&out_gradient[row * stride..])) {
                *to = from.value();
                *other_to = other.value();
            }
            shares.push(dot(&a, &b));
        }
        shares
    }
}

dispatched! {
    /// Weights again from scores, and the gradient of the scores from that of the weights (`given`).
    fn slopes<E: Element>(
        weights: &mut [E],
        gradients: &mut [E],
        scores: &mut [f32],
        given: &[f32],
        frame: Frame,
        logs: &[f32],
        shares: &[f32],
    ) {
        let Frame { width, from, length, view, scale } = frame;
        for (row, (log, share)) in logs.iter().zip(shares).enumerate() {
            let seen = view.keys(from + row, length);
            let range = row * width..(row + 1) * width;
            let (weights, gradients) = (&mut weights[range.clone()], &mut gradients[range.clone()]);
            let (scores, given) = (&mut scores[range.clone()][seen.clone()], &given[range][seen.clone()]);
            exponentials(scores, scale, *log);
            for outside in [0..seen.start, seen.end..width] {
                weights[outside.clone()].fill(E::default());
                gradients[outside].fill(E::default());
            }
            let both = weights[seen.clone()].iter_mut().zip(&mut gradients[seen]);
            for (((weight, gradient), score), given) in both.zip(scores.iter()).zip(given) {
                *weight = E::of(*score);
                *gradient = E::of(score * (given - share) * scale);
            }
        }
    }
}
