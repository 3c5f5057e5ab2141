//! A linear layer: `y = x W^T`, with low-rank adapters beside it (Hu et al. 2021): `y += scale (x A^T) B^T`.

use super::dropout::drop_out;
use super::matrix::{Matrix, Storage};
use crate::kernel::{Element, Held, Right, View, product, product_serial};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// Columns that a task sums the gradient of an adapter's matrix for.
const SHARE: usize = 128;

/// A weight matrix, which may be several of the checkpoint's laid one below another, and its adapters.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) matrix: Matrix,
    pub(crate) adapters: Option<Adapters>,
}

/// Adapters of one linear layer. All read the same input, so that their first matrices lie one below another.
#[derive(Clone, Debug)]
pub(crate) struct Adapters {
    /// The first matrices among the parameters: `rank` rows for each adapter.
    pub(crate) down: Range<usize>,
    /// For each adapter the rows of the output that it adds to, and its second matrix: that many rows of `rank`.
    pub(crate) up: Vec<(Range<usize>, Range<usize>)>,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
    /// Share of inputs that each adapter does not see in training.
    pub(crate) dropout: f32,
}

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lowered<E>(pub(crate) Vec<E>);

/// Weights packed before.
#[derive(Clone, Copy)]
pub(crate) struct Ready<'a, E> {
    pub(crate) held: &'a Held<E>,
    /// Whether the rows that they are applied to are a task's share of more.
    pub(crate) shared: bool,
}

impl Adapters {
    /// Columns of what all adapters lower the input to.
    fn total(&self) -> usize {
        self.rank * self.up.len()
    }
}

impl Linear {
    /// `out (+)= x W^T` and the adapters' part, for `count` rows. `draw` seeds dropout; none when not training.
    pub(crate) fn forward<E: Element, T: Element>(
        &self,
        values: &[f32],
        input: &[E],
        out: &mut [T],
        add: bool,
        lowered: &mut Lowered<E>,
        draw: Option<u64>,
    ) {
        let Matrix { rows, columns, .. } = self.matrix;
        let count = input.len() / columns;
        product(
            [count, rows, columns],
            View::deep(input, columns),
            self.matrix.applied(values),
            T::output(out, rows, add),
        );
        if let Some(adapters) = &self.adapters {
            adapters.forward(values, input, [count, rows, columns], out, lowered, draw);
        }
    }

    /// What [`Linear::forward`] leaves for the backward pass, alone.
    pub(crate) fn lower<E: Element>(&self, values: &[f32], input: &[E], lowered: &mut Lowered<E>, draw: Option<u64>) {
        if let Some(adapters) = &self.adapters {
            adapters.lower(values, input, self.matrix.columns, lowered, draw);
        }
    }

    /// [`Linear::forward`] without dropout, the weights packed before if they are held.
    pub(crate) fn answer<E: Element, T: Element>(
        &self,
        values: &[f32],
        ready: Option<Ready<'_, E>>,
        input: &[E],
        out: &mut [T],
        add: bool,
        lowered: &mut Lowered<E>,
    ) {
        let Some(Ready { held, shared }) = ready else {
            return self.forward(values, input, out, add, lowered, None);
        };
        let Matrix { rows, columns, .. } = self.matrix;
        let count = input.len() / columns;
        let (left, output) = (View::deep(input, columns), T::output(out, rows, add));
        match shared {
            true => held.product_of_share(count, left, output),
            false => held.product(count, left, output),
        }
        if let Some(adapters) = &self.adapters {
            adapters.forward(values, input, [count, rows, columns], out, lowered, None);
        }
    }

    /// Whether anything of the layer learns.
    pub(crate) fn learns(&self) -> bool {
        self.adapters.is_some() || matches!(self.matrix.storage, Storage::Trained(_))
    }

    /// The gradient of what the adapters lowered the input to; nothing without adapters.
    pub(crate) fn slope<E: Element>(&self, values: &[f32], out_gradient: &[E]) -> Vec<E> {
        match &self.adapters {
            Some(adapters) => adapters.slope(values, out_gradient, self.matrix.rows),
            None => Vec::new(),
        }
    }

    /// Writes the input's gradient.
    pub(crate) fn input_gradient<E: Element, T: Element>(
        &self,
        values: &[f32],
        out_gradient: &[E],
        slope: &[E],
        into: &mut [T],
        draw: Option<u64>,
    ) {
        let Matrix { rows, columns, .. } = self.matrix;
        let count = out_gradient.len() / rows;
        let left = View::deep(out_gradient, rows);
        product([count, columns, rows], left, self.matrix.transposed(values), T::output(into, columns, false));
        if let Some(adapters) = &self.adapters {
            adapters.input_gradient(values, slope, columns, into, draw);
        }
    }

    /// Adds the gradients of what is trained.
    pub(crate) fn weight_gradient<E: Element>(
        &self,
        gradients: &mut [f32],
        out_gradient: &[E],
        slope: &[E],
        input: &[E],
        lowered: &Lowered<E>,
        draw: Option<u64>,
    ) {
        self.matrix.add_gradient(gradients, out_gradient, input);
        if let Some(adapters) = &self.adapters {
            adapters.up_gradient(gradients, out_gradient, self.matrix.rows, lowered);
            adapters.down_gradient(gradients, slope, input, self.matrix.columns, draw);
        }
    }
}

impl Adapters {
    /// The dropout of an adapter, if any.
    fn dropped(&self, draw: Option<u64>, adapter: usize) -> Option<u64> {
        draw.filter(|_| self.dropout > 0.0).map(|draw| draw.wrapping_add(adapter as u64 + 1))
    }

    /// Adds to `out` what the adapters make of `count` rows, for a layer of so many rows and columns.
    pub(super) fn forward<E: Element, T: Element>(
        &self,
        values: &[f32],
        input: &[E],
        [count, rows, columns]: [usize; 3],
        out: &mut [T],
        lowered: &mut Lowered<E>,
        draw: Option<u64>,
    ) {
        if count == 0 {
            return lowered.0.clear();
        }
        self.lower(values, input, columns, lowered, draw);
        let (rank, total) = (self.rank, self.total());
        for (number, (place, up)) in self.up.iter().enumerate() {
            let up = self.scaled(values, up);
            let (left, right) = (View::deep(&lowered.0[number * rank..], total), Right::Full(View::deep(&up, rank)));
            product([count, place.len(), rank], left, right, T::output(&mut out[place.start..], rows, true));
        }
    }

    /// `x A^T` of all adapters side by side.
    fn lower<E: Element>(
        &self,
        values: &[f32],
        input: &[E],
        columns: usize,
        lowered: &mut Lowered<E>,
        draw: Option<u64>,
    ) {
        let (rank, total) = (self.rank, self.total());
        let count = input.len() / columns;
        // All of it is overwritten.
        lowered.0.resize(count * total, E::default());
        let down = &values[self.down.clone()];
        if self.dropped(draw, 0).is_none() {
            let right = Right::Full(View::deep(down, columns));
            let out = E::output(&mut lowered.0, total, false);
            return product([count, total, columns], View::deep(input, columns), right, out);
        }
        for (adapter, down) in down.chunks(rank * columns).enumerate() {
            let dropped = drop_out(input, self.dropout, self.dropped(draw, adapter).unwrap_or(0));
            let right = Right::Full(View::deep(down, columns));
            let out = E::output(&mut lowered.0[adapter * rank..], total, false);
            product([count, rank, columns], View::deep(&dropped, columns), right, out);
        }
    }

    /// The second matrix of an adapter times the scale, so that nothing of the batch's length has to be multiplied by it.
    fn scaled<'a>(&self, values: &'a [f32], up: &Range<usize>) -> Cow<'a, [f32]> {
        match self.scale {
            1.0 => Cow::Borrowed(&values[up.clone()]),
            scale => values[up.clone()].iter().map(|value| value * scale).collect(),
        }
    }

    /// Multiplies second matrices by the scale once and for all, where they do not learn.
    pub(super) fn settle(&mut self, values: &mut [f32]) {
        for (_, up) in &self.up {
            values[up.clone()].iter_mut().for_each(|value| *value *= self.scale);
        }
        self.scale = 1.0;
    }

    fn slope<E: Element>(&self, values: &[f32], out_gradient: &[E], rows: usize) -> Vec<E> {
        let (rank, total) = (self.rank, self.total());
        let count = out_gradient.len() / rows;
        let mut slope = vec![E::default(); count * total];
        for (number, (place, up)) in self.up.iter().enumerate() {
            let up = self.scaled(values, up);
            let (left, right) = (View::deep(&out_gradient[place.start..], rows), Right::Full(View::wide(&up, rank)));
            let out = E::output(&mut slope[number * rank..], total, false);
            product([count, rank, place.len()], left, right, out);
        }
        slope
    }

    /// Sums the gradients of second matrices transposed: their many rows fill the product's tiles, their rank would not.
    fn up_gradient<E: Element>(&self, gradients: &mut [f32], out_gradient: &[E], rows: usize, lowered: &Lowered<E>) {
        let (rank, total) = (self.rank, self.total());
        let count = out_gradient.len() / rows;
        let shares = |(number, (place, _)): (usize, &(Range<usize>, _))| {
            let end = place.end;
            place.clone().step_by(SHARE).map(move |from| (number, from..end.min(from + SHARE)))
        };
        let shares: Vec<(usize, Range<usize>)> = self.up.iter().enumerate().flat_map(shares).collect();
        let sum = |(number, share): &(usize, Range<usize>)| {
            let mut sums = vec![0.0; rank * share.len()];
            let left = View::wide(&lowered.0[number * rank..], total);
            let right = E::right(View::wide(&out_gradient[share.start..], rows));
            product_serial([rank, share.len(), count], left, right, f32::output(&mut sums, share.len(), false));
            sums
        };
        let sums: Vec<Vec<f32>> = shares.par_iter().map(sum).collect();
        for ((number, share), sums) in shares.iter().zip(sums) {
            let (place, up) = &self.up[*number];
            let gradient = &mut gradients[up.clone()][(share.start - place.start) * rank..][..share.len() * rank];
            for (row, gradient) in gradient.chunks_exact_mut(rank).enumerate() {
                for (gradient, sums) in gradient.iter_mut().zip(sums.chunks_exact(share.len())) {
                    *gradient += self.scale * sums[row];
                }
            }
        }
    }

    /// The first matrix of an adapter among the parameters.
    fn first(&self, number: usize) -> Range<usize> {
        let length = self.down.len() / self.up.len();
        self.down.start + number * length..self.down.start + (number + 1) * length
    }

    fn down_gradient<E: Element>(
        &self,
        gradients: &mut [f32],
        slope: &[E],
        input: &[E],
        columns: usize,
        draw: Option<u64>,
    ) {
        let total = self.total();
        if self.dropped(draw, 0).is_none() {
            return add_sums(&mut gradients[self.down.clone()], View::wide(slope, total), input, columns);
        }
        for number in 0..self.up.len() {
            let dropped = drop_out(input, self.dropout, self.dropped(draw, number).unwrap_or(0));
            let left = View::wide(&slope[number * self.rank..], total);
            add_sums(&mut gradients[self.first(number)], left, &dropped, columns);
        }
    }

    fn input_gradient<E: Element, T: Element>(
        &self,
        values: &[f32],
        slope: &[E],
        columns: usize,
        into: &mut [T],
        draw: Option<u64>,
    ) {
        let (rank, total) = (self.rank, self.total());
        let count = slope.len() / total;
        if self.dropped(draw, 0).is_none() {
            let right = Right::Full(View::wide(&values[self.down.clone()], columns));
            return product([count, columns, total], View::deep(slope, total), right, T::output(into, columns, true));
        }
        let mut part = vec![E::default(); count * columns];
        for number in 0..self.up.len() {
            let right = Right::Full(View::wide(&values[self.first(number)], columns));
            let left = View::deep(&slope[number * rank..], total);
            product([count, columns, rank], left, right, E::output(&mut part, columns, false));
            let dropped = drop_out(&part, self.dropout, self.dropped(draw, number).unwrap_or(0));
            for (into, value) in into.iter_mut().zip(dropped) {
                *into = T::of(into.value() + value.value());
            }
        }
    }
}

/// Adds to some rows of a gradient the products of each with the columns of all inputs. The rows are so few that it is
/// the columns which tasks share.
fn add_sums<E: Element>(gradient: &mut [f32], left: View<'_, E>, input: &[E], columns: usize) {
    let (rows, count) = (gradient.len() / columns, input.len() / columns);
    let sum = |share: usize| {
        let from = share * SHARE;
        let width = SHARE.min(columns - from);
        let mut sums = vec![0.0; rows * width];
        let right = E::right(View::wide(&input[from..], columns));
        product_serial([rows, width, count], left, right, f32::output(&mut sums, width, false));
        sums
    };
    let shares: Vec<Vec<f32>> = (0..columns.div_ceil(SHARE)).into_par_iter().map(sum).collect();
    for (row, gradient) in gradient.chunks_exact_mut(columns).enumerate() {
        for (gradient, sums) in gradient.chunks_mut(SHARE).zip(&shares) {
            for (gradient, sum) in gradient.iter_mut().zip(&sums[row * (sums.len() / rows)..]) {
                *gradient += sum;
            }
        }
    }
}
