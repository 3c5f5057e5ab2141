//! Right operands that grow where they lie packed: keys by a column, values by a depth for each token.

use super::Layout;
use super::operand::{Begin, Output, View};
use crate::kernel::element::Element;
use std::marker::PhantomData;

/// How such an operand lies in words that its owner holds. Its sums are not cut, so that they are those of
/// [`super::Packed`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growing<E> {
    layout: Layout,
    element: PhantomData<E>,
}

impl<E: Element> Growing<E> {
    /// For up to so many depths and columns.
    pub(crate) fn new(depth: usize, columns: usize) -> Self {
        Self { layout: Layout::new::<E>(columns, depth), element: PhantomData }
    }

    /// Words that it takes.
    pub(crate) fn words(&self) -> usize {
        let Layout { columns, width, steps, .. } = self.layout;
        columns.div_ceil(width) * width * steps
    }

    /// Writes a column, of all depths.
    pub(crate) fn write_column(&self, words: &mut [u32], column: usize, line: &[E]) {
        let Layout { columns, depth, width, steps, .. } = self.layout;
        assert!(column < columns && line.len() == depth);
        let into = &mut words[column / width * width * steps..][..width * steps][column % width..];
        for (numbers, word) in line.chunks(E::PER_WORD).zip(into.iter_mut().step_by(width)) {
            let high = numbers.get(1).map_or(0, |number| number.bits() << 16);
            *word = numbers[0].bits() | high;
        }
    }

    /// Writes a depth, of all columns. Those that share its words must have been written before; what comes behind
    /// it in its words becomes zero.
    pub(crate) fn write_depth(&self, words: &mut [u32], at: usize, line: &[E]) {
        let Layout { columns, depth, width, steps, .. } = self.layout;
        assert!(at < depth && line.len() == columns);
        let (step, upper) = (at / E::PER_WORD, !at.is_multiple_of(E::PER_WORD));
        for (panel, numbers) in words.chunks_exact_mut(width * steps).zip(line.chunks(width)) {
            for (word, number) in panel[step * width..].iter_mut().zip(numbers) {
                *word = if upper { *word & 0xffff | number.bits() << 16 } else { number.bits() };
            }
        }
    }

    /// `out (+)= left (rows x depth) * operand`, over the first columns and the first part of the depth, on the
    /// calling thread.
    pub(crate) fn multiply(&self, words: &[u32], shape: [usize; 3], left: View<'_, E>, out: Output<'_>) {
        assert!(words.len() >= self.words());
        self.layout.multiply(words, shape, left, out, Begin::New);
    }

    /// The same with `out`, in fp32, being the sums over depths before these: the bytes are those of one sum, if an
    /// even number of depths came before.
    pub(crate) fn extend(&self, words: &[u32], shape: [usize; 3], left: View<'_, E>, out: Output<'_>) {
        assert!(words.len() >= self.words());
        self.layout.multiply(words, shape, left, out, Begin::Continue);
    }
}
