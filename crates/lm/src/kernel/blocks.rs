//! Columns of a row-major matrix handed out apart, so that threads can fill them side by side.

#![expect(unsafe_code, reason = "slices of disjoint columns of one matrix")]

use std::marker::PhantomData;
use std::ops::Range;

/// Some neighbouring columns of some rows. Nothing else reaches them while it lives.
pub(crate) struct Columns<'a, T> {
    start: *mut T,
    stride: usize,
    rows: usize,
    width: usize,
    matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable reference to elements that nothing else reaches.
unsafe impl<T: Send> Send for Columns<'_, T> {}

impl<T> Columns<'_, T> {
    /// The columns of a row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows);
        // SAFETY: ranges lie within a row of the matrix, rows are counted, and the columns of no other value overlap
        // with these.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width) }
    }
}

/// Cuts a matrix with rows `stride` apart into ranges of columns, which must ascend and not overlap.
pub(crate) fn columns<'a, T>(data: &'a mut [T], stride: usize, ranges: &[Range<usize>]) -> Vec<Columns<'a, T>> {
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
    assert!(ranges.iter().all(|range| range.start <= range.end && range.end <= stride));
    assert!(data.len().is_multiple_of(stride.max(1)));
    let rows = data.len() / stride.max(1);
    let first = data.as_mut_ptr();
    ranges
        .iter()
        .map(|range| Columns {
            start: first.wrapping_add(range.start),
            stride,
            rows,
            width: range.len(),
            matrix: PhantomData,
        })
        .collect()
}
