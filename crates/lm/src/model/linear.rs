//! A linear layer: `y = x W^T`, with low-rank adapters beside it (Hu et al. 2021): `y += scale (x A^T) B^T`.

use super::dropout::drop_out;
use super::matrix::{Matrix, Storage};
use crate::kernel::{Element, Right, View, product};
use std::ops::Range;

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
pub(crate) struct Lowered<E>(Vec<E>);

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
        product([count, rows, columns], View::deep(input, columns), self.matrix.applied(values), T::output(out, rows, add));
        let Some(adapters) = &self.adapters else { return };
        adapters.lower(values, input, columns, lowered, draw);
        let (rank, total) = (adapters.rank, adapters.total());
        for (number, (place, up)) in adapters.up.iter().enumerate() {
            let left = View::deep(&lowered.0[number * rank..], total);
            let right = Right::Full(View::deep(&values[up.clone()], rank));
            product([count, place.len(), rank], left, right, T::output(&mut out[place.start..], rows, true));
        }
    }

    /// From the output's gradient: adds the gradients of what is trained, and writes the input's gradient if wanted.
    pub(crate) fn backward<E: Element, T: Element>(&self, numbers: (&[f32], &mut [f32]), out_gradient: &[E], input: &[E], input_gradient: Option<&mut [T]>, lowered: &Lowered<E>, draw: Option<u64>) {
        let (values, gradients) = numbers;
        let Matrix { rows, columns, .. } = self.matrix;
        let count = out_gradient.len() / rows;
        if let Storage::Trained(range) = &self.matrix.storage {
            let right = E::right(View::wide(input, columns));
            let out = f32::output(&mut gradients[range.clone()], columns, true);
            product([rows, columns, count], View::wide(out_gradient, rows), right, out);
        }
        let mut input_gradient = input_gradient;
        if let Some(into) = input_gradient.as_deref_mut() {
            let left = View::deep(out_gradient, rows);
            product([count, columns, rows], left, self.matrix.transposed(values), T::output(into, columns, false));
        }
        if let Some(adapters) = &self.adapters {
            let given = Given { out_gradient, rows, input, columns, lowered, draw };
            adapters.backward(values, gradients, &given, input_gradient);
        }
    }
}

/// What the adapters' backward pass reads.
struct Given<'a, E> {
    out_gradient: &'a [E],
    rows: usize,
    input: &'a [E],
    columns: usize,
    lowered: &'a Lowered<E>,
    draw: Option<u64>,
}

impl Adapters {
    /// The dropout of an adapter, if any.
    fn dropped(&self, draw: Option<u64>, adapter: usize) -> Option<u64> {
        draw.filter(|_| self.dropout > 0.0).map(|draw| draw.wrapping_add(adapter as u64 + 1))
    }

    /// `scale * x A^T` of all adapters side by side.
    fn lower<E: Element>(&self, values: &[f32], input: &[E], columns: usize, lowered: &mut Lowered<E>, draw: Option<u64>) {
        let (rank, total) = (self.rank, self.total());
        let count = input.len() / columns;
        let mut wide = vec![0.0; count * total];
        let down = &values[self.down.clone()];
        if self.dropped(draw, 0).is_none() {
            let right = Right::Full(View::deep(down, columns));
            product([count, total, columns], View::deep(input, columns), right, f32::output(&mut wide, total, false));
        } else {
            for (adapter, down) in down.chunks(rank * columns).enumerate() {
                let dropped = drop_out(input, self.dropout, self.dropped(draw, adapter).unwrap_or(0));
                let right = Right::Full(View::deep(down, columns));
                let out = f32::output(&mut wide[adapter * rank..], total, false);
                product([count, rank, columns], View::deep(&dropped, columns), right, out);
            }
        }
        lowered.0.clear();
        lowered.0.extend(wide.into_iter().map(|value| E::of(value * self.scale)));
    }

    fn backward<E: Element, T: Element>(&self, values: &[f32], gradients: &mut [f32], given: &Given<'_, E>, input_gradient: Option<&mut [T]>) {
        let (rank, total) = (self.rank, self.total());
        let &Given { out_gradient, rows, input, columns, lowered, draw } = given;
        let count = out_gradient.len() / rows;
        let mut wide = vec![0.0; count * total];
        for (number, (place, up)) in self.up.iter().enumerate() {
            let right = E::right(View::wide(&lowered.0[number * rank..], total));
            let out = f32::output(&mut gradients[up.clone()], rank, true);
            product([place.len(), rank, count], View::wide(&out_gradient[place.start..], rows), right, out);
            let right = Right::Full(View::wide(&values[up.clone()], rank));
            let out = f32::output(&mut wide[number * rank..], total, false);
            product([count, rank, place.len()], View::deep(&out_gradient[place.start..], rows), right, out);
        }
        let slope: Vec<E> = wide.into_iter().map(|value| E::of(value * self.scale)).collect();
        if self.dropped(draw, 0).is_none() {
            let right = E::right(View::wide(input, columns));
            let out = f32::output(&mut gradients[self.down.clone()], columns, true);
            product([total, columns, count], View::wide(&slope, total), right, out);
            if let Some(into) = input_gradient {
                let right = Right::Full(View::wide(&values[self.down.clone()], columns));
                product([count, columns, total], View::deep(&slope, total), right, T::output(into, columns, true));
            }
            return;
        }
        let mut input_gradient = input_gradient;
        for number in 0..self.up.len() {
            let down = self.down.start + number * rank * columns..self.down.start + (number + 1) * rank * columns;
            let seed = self.dropped(draw, number).unwrap_or(0);
            let dropped = drop_out(input, self.dropout, seed);
            let right = E::right(View::wide(&dropped, columns));
            let out = f32::output(&mut gradients[down.clone()], columns, true);
            product([rank, columns, count], View::wide(&slope[number * rank..], total), right, out);
            if let Some(into) = input_gradient.as_deref_mut() {
                let mut part = vec![E::default(); count * columns];
                let right = Right::Full(View::wide(&values[down], columns));
                product([count, columns, rank], View::deep(&slope[number * rank..], total), right, E::output(&mut part, columns, false));
                for (into, value) in into.iter_mut().zip(drop_out(&part, self.dropout, seed)) {
                    *into = T::of(into.value() + value.value());
                }
            }
        }
    }
}
