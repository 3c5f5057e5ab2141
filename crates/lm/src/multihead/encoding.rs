//! Piecewise-linear encoding of numbers (Gorishniy et al. 2022): the range of a number is cut at quantiles, and each
//! piece says how far the number reaches into it, from 0 to 1.

use crate::kernel::Element;

/// Where the range of each number is cut: `bins + 1` edges a number, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Edges {
    pub(super) numbers: usize,
    pub(super) bins: usize,
    pub(super) values: Vec<f32>,
}

impl Edges {
    /// Cuts at quantiles of the distinct values of each number in rows of `numbers`. Values that many rows share
    /// (zero for what is absent) would otherwise take most of the edges.
    pub(super) fn fit<'a>(rows: impl Iterator<Item = &'a [f32]>, numbers: usize, bins: usize) -> Self {
        let mut columns = vec![Vec::new(); numbers];
        for row in rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(*value);
            }
        }
        let values = columns.into_iter().flat_map(|mut column| {
            column.retain(|value| value.is_finite());
            column.sort_by(f32::total_cmp);
            column.dedup();
            if column.is_empty() {
                column.push(0.0);
            }
            let last = column.len() - 1;
            (0..=bins).map(move |edge| column[edge * last / bins])
        });
        Self { numbers, bins, values: values.collect() }
    }

    /// Numbers of an encoded row.
    pub(super) fn width(&self) -> usize {
        self.numbers * self.bins
    }

    /// Adds the encoded row of some numbers.
    pub(super) fn encode<E: Element>(&self, numbers: &[f32], into: &mut Vec<E>) {
        for (number, edges) in numbers.iter().zip(self.values.chunks_exact(self.bins + 1)) {
            into.extend(edges.windows(2).map(|edge| E::of(reach(*number, edge[0], edge[1]))));
        }
    }
}

/// How far a number reaches from one edge to the next. Of two equal edges it reaches all or nothing.
fn reach(number: f32, from: f32, to: f32) -> f32 {
    if number >= to {
        1.0
    } else if number > from {
        (number - from) / (to - from)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_fill_one_after_another() {
        let rows = [[0.0f32], [10.0], [20.0], [40.0], [0.0], [f32::NAN]];
        let edges = Edges::fit(rows.iter().map(|row| &row[..]), 1, 3);
        assert_eq!(edges.values, [0.0, 10.0, 20.0, 40.0]);
        let encoded = |number: f32| {
            let mut into: Vec<f32> = Vec::new();
            edges.encode(&[number], &mut into);
            into
        };
        assert_eq!(encoded(15.0), [1.0, 0.5, 0.0]);
        assert_eq!(encoded(100.0), [1.0, 1.0, 1.0]);
        assert_eq!(encoded(-1.0), [0.0, 0.0, 0.0]);
        assert_eq!(encoded(f32::NAN), [0.0, 0.0, 0.0]);
    }

    #[test]
    fn few_values_leave_empty_pieces() {
        let edges = Edges::fit([[5.0f32], [5.0]].iter().map(|row| &row[..]), 1, 2);
        let mut into: Vec<f32> = Vec::new();
        edges.encode(&[4.0], &mut into);
        edges.encode(&[5.0], &mut into);
        assert_eq!(into, [0.0, 0.0, 1.0, 1.0]);
    }
}
