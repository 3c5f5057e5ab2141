//! A right operand packed once for many products on all threads: weights while a model answers.

use super::operand::{Output, Right, View};
use super::{Layout, TASK_ROWS, Work, begin, block, is_worth_threads};
use crate::kernel::element::Element;
use std::marker::PhantomData;

/// A right operand of which every product gives the bytes of [`super::product`].
pub(crate) struct Held<E> {
    layout: Layout,
    words: Vec<u32>,
    element: PhantomData<E>,
}

impl<E: Element> Held<E> {
    /// Packs an operand, on all threads of the current pool.
    pub(crate) fn new(right: Right<'_>, depth: usize, columns: usize) -> Self {
        right.check(depth, columns);
        let layout = Layout::new::<E>(columns, depth);
        let mut words = Vec::new();
        layout.pack::<E>(&right, 0, &mut words, true);
        Self { layout, words, element: PhantomData }
    }

    /// Bytes that an operand of a shape takes.
    pub(crate) fn bytes(depth: usize, columns: usize) -> usize {
        let Layout { width, steps, .. } = Layout::new::<E>(columns, depth);
        columns.div_ceil(width) * width * steps * size_of::<u32>()
    }

    /// `out (+)= left * operand` for some rows, on all threads of the current pool.
    pub(crate) fn product(&self, rows: usize, left: View<'_, E>, out: Output<'_>) {
        self.run(rows, left, out, true);
    }

    /// The same for rows that may be a task's share of more: no more than [`TASK_ROWS`] are handled on the calling thread,
    /// but for a single one, which is nobody's share.
    pub(crate) fn product_of_share(&self, rows: usize, left: View<'_, E>, out: Output<'_>) {
        self.run(rows, left, out, rows == 1 || rows > TASK_ROWS);
    }

    fn run(&self, rows: usize, left: View<'_, E>, mut out: Output<'_>, divide: bool) {
        let Layout { columns, depth, .. } = self.layout;
        left.check(rows, depth);
        out.check(rows, columns);
        if rows == 0 || columns == 0 {
            return;
        }
        let parallel = divide && is_worth_threads([rows, columns, depth]);
        let block = block::<E>(depth, &out);
        for start in (0..depth.max(1)).step_by(block) {
            let layout = Layout { depth: block.min(depth - start), ..self.layout };
            let skip = start / E::PER_WORD;
            Work { layout, words: &self.words, left, start, skip, begin: begin(start) }.run(rows, &mut out, parallel);
        }
    }
}
