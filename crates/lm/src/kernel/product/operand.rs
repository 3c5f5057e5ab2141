//! Operands and results as views of slices, and the packing of operands into words.

use crate::kernel::element::{Bf16, Element};
use crate::kernel::level::dispatched;
use std::ops::Range;

/// A matrix of which one index is summed over (the depth) and the other is free: the row of the result for the
/// left operand, its column for the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a, E> {
    data: &'a [E],
    stride: usize,
    deep: bool,
}

impl<'a, E: Element> View<'a, E> {
    /// Element (free, depth) at `free * stride + depth`: the depth is contiguous.
    pub(crate) fn deep(data: &'a [E], stride: usize) -> Self {
        Self { data, stride, deep: true }
    }

    /// Element (free, depth) at `depth * stride + free`: the free index is contiguous.
    pub(crate) fn wide(data: &'a [E], stride: usize) -> Self {
        Self { data, stride, deep: false }
    }

    pub(super) fn check(&self, free: usize, depth: usize) {
        let (lines, length) = if self.deep { (free, depth) } else { (depth, free) };
        let needed = if lines == 0 { 0 } else { (lines - 1) * self.stride + length };
        assert!(length <= self.stride.max(length * usize::from(lines <= 1)), "an operand's lines overlap");
        assert!(needed <= self.data.len(), "an operand is shorter than its shape");
    }

    /// Whether a kernel can read the operand where it lies.
    pub(super) fn direct(&self, length: usize) -> bool {
        self.deep && length.is_multiple_of(E::PER_WORD)
    }

    /// The part from a row and a depth on that covers some rows and depths.
    pub(super) fn part(&self, row: usize, height: usize, start: usize, length: usize) -> (&'a [E], usize) {
        let first = row * self.stride + start;
        (&self.data[first..first + (height - 1) * self.stride + length], self.stride)
    }

    /// Packs words of `T` in panels of `width` free indices, one behind another: word `step * width + free` of a panel
    /// holds the numbers of a step, the first in the lower half; what lies outside is zero.
    pub(super) fn pack<T: Element>(&self, depth: Range<usize>, free: Range<usize>, width: usize, into: &mut [u32]) {
        if self.deep {
            pack_deep::<E, T>(self.data, self.stride, depth, free, width, into);
        } else {
            pack_wide::<E, T>(self.data, self.stride, depth, free, width, into);
        }
    }
}

/// Rows that are made when they are read: quantised weights.
pub(crate) trait Lines: Sync {
    /// Numbers from column `from` of a row on.
    fn read(&self, row: usize, from: usize, into: &mut [f32]);
}

/// The right operand: its free index is the column of the result.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// fp32.
    Full(View<'a, f32>),
    /// bf16.
    Half(View<'a, Bf16>),
    /// Rows are free indices: a weight matrix applied.
    MadeDeep(&'a dyn Lines),
    /// Rows are depths: a weight matrix applied transposed.
    MadeWide(&'a dyn Lines),
}

impl<'a> Right<'a> {
    pub(super) fn check(&self, depth: usize, columns: usize) {
        match self {
            Self::Full(view) => view.check(columns, depth),
            Self::Half(view) => view.check(columns, depth),
            Self::MadeDeep(_) | Self::MadeWide(_) => {}
        }
    }

    pub(super) fn pack<T: Element>(&self, depth: Range<usize>, free: Range<usize>, width: usize, into: &mut [u32]) {
        match self {
            Self::Full(view) => view.pack::<T>(depth, free, width, into),
            Self::Half(view) => view.pack::<T>(depth, free, width, into),
            Self::MadeDeep(lines) => {
                let mut made = vec![0.0; free.len() * depth.len()];
                for (row, line) in free.clone().zip(made.chunks_mut(depth.len().max(1))) {
                    lines.read(row, depth.start, line);
                }
                View::deep(&made, depth.len()).pack::<T>(0..depth.len(), 0..free.len(), width, into);
            }
            Self::MadeWide(lines) => {
                let mut made = vec![0.0; free.len() * depth.len()];
                for (row, line) in depth.clone().zip(made.chunks_mut(free.len().max(1))) {
                    lines.read(row, free.start, line);
                }
                View::wide(&made, free.len()).pack::<T>(0..depth.len(), 0..free.len(), width, into);
            }
        }
    }
}

#[inline(always)]
fn word<S: Element, T: Element>(value: S) -> u32 {
    if S::PER_WORD == T::PER_WORD { value.bits() } else { T::of(value.value()).bits() }
}

/// Words that are packed together.
const GROUP: usize = 8;

dispatched! {
    fn pack_wide<S: Element, T: Element>(
        data: &[S],
        stride: usize,
        depth: Range<usize>,
        free: Range<usize>,
        width: usize,
        into: &mut [u32],
    ) {
        let count = free.len();
        let steps = depth.len().div_ceil(T::PER_WORD);
        // Line by line, because lines are far apart and each is contiguous.
        for step in 0..steps {
            let at = depth.start + step * T::PER_WORD;
            let line = &data[at * stride + free.start..][..count];
            let paired = T::PER_WORD == 2 && at + 1 < depth.end;
            let next = if paired { &data[(at + 1) * stride + free.start..][..count] } else { line };
            for (panel, from) in (0..count).step_by(width).enumerate() {
                let filled = width.min(count - from);
                let words = &mut into[(panel * steps + step) * width..][..width];
                pack_line::<S, T>(&mut words[..filled], &line[from..from + filled], &next[from..from + filled], paired);
                words[filled..].fill(0);
            }
        }
    }
}

#[inline(always)]
fn pack_line<S: Element, T: Element>(words: &mut [u32], line: &[S], next: &[S], paired: bool) {
    let (groups, rest) = words.as_chunks_mut::<GROUP>();
    let (lows, low_rest) = line.as_chunks::<GROUP>();
    let (highs, high_rest) = next.as_chunks::<GROUP>();
    if paired {
        for ((group, low), high) in groups.iter_mut().zip(lows).zip(highs) {
            for lane in 0..GROUP {
                group[lane] = word::<S, T>(low[lane]) | (word::<S, T>(high[lane]) << 16);
            }
        }
        for ((into, low), high) in rest.iter_mut().zip(low_rest).zip(high_rest) {
            *into = word::<S, T>(*low) | (word::<S, T>(*high) << 16);
        }
    } else {
        for (group, low) in groups.iter_mut().zip(lows) {
            for lane in 0..GROUP {
                group[lane] = word::<S, T>(low[lane]);
            }
        }
        for (into, value) in rest.iter_mut().zip(low_rest) {
            *into = word::<S, T>(*value);
        }
    }
}

dispatched! {
    fn pack_deep<S: Element, T: Element>(data: &[S], stride: usize, depth: Range<usize>, free: Range<usize>, width: usize, into: &mut [u32]) {
        let steps = depth.len().div_ceil(T::PER_WORD);
        for column in 0..free.len().next_multiple_of(width) {
            let into = &mut into[column / width * steps * width..][..steps * width];
            let line = free.start + column;
            let column = column % width;
            if line >= free.end {
                for step in 0..steps {
                    into[step * width + column] = 0;
                }
                continue;
            }
            let line = &data[line * stride + depth.start..][..depth.len()];
            if T::PER_WORD == 1 {
                for (value, into) in line.iter().zip(into[column..].iter_mut().step_by(width)) {
                    *into = word::<S, T>(*value);
                }
            } else {
                let (pairs, rest) = line.as_chunks::<2>();
                for ([low, high], into) in pairs.iter().zip(into[column..].iter_mut().step_by(width)) {
                    *into = word::<S, T>(*low) | (word::<S, T>(*high) << 16);
                }
                if let [last] = rest {
                    into[pairs.len() * width + column] = word::<S, T>(*last);
                }
            }
        }
    }
}

/// Where a product goes: row-major, overwritten or added to.
pub(crate) enum Output<'a> {
    /// fp32.
    Full {
        /// From the first element on.
        data: &'a mut [f32],
        /// Elements from one row to the next.
        stride: usize,
        /// Added to what is there.
        add: bool,
    },
    /// bf16, rounded once.
    Half {
        /// From the first element on.
        data: &'a mut [Bf16],
        /// Elements from one row to the next.
        stride: usize,
        /// Added to what is there, before rounding.
        add: bool,
    },
}

impl<'a> Output<'a> {
    pub(super) fn is_narrow(&self) -> bool {
        matches!(self, Self::Half { .. })
    }

    pub(super) fn check(&self, rows: usize, columns: usize) {
        let (length, stride) = match self {
            Self::Full { data, stride, .. } => (data.len(), *stride),
            Self::Half { data, stride, .. } => (data.len(), *stride),
        };
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(columns <= stride && needed <= length, "a result is smaller than its shape");
    }

    /// Pieces of so many rows.
    pub(super) fn split(&mut self, rows: usize) -> Vec<Output<'_>> {
        let stride = match self {
            Self::Full { stride, .. } | Self::Half { stride, .. } => *stride,
        };
        self.pieces(usize::MAX, rows * stride)
    }

    /// Pieces of so many columns of a single row.
    pub(super) fn split_row(&mut self, columns: usize, count: usize) -> Vec<Output<'_>> {
        self.pieces(columns, count)
    }

    /// The first so many elements in pieces of a size.
    fn pieces(&mut self, length: usize, size: usize) -> Vec<Output<'_>> {
        match self {
            Self::Full { data, stride, add } => {
                let (length, stride, add) = (length.min(data.len()), *stride, *add);
                data[..length].chunks_mut(size).map(|data| Output::Full { data, stride, add }).collect()
            }
            Self::Half { data, stride, add } => {
                let (length, stride, add) = (length.min(data.len()), *stride, *add);
                data[..length].chunks_mut(size).map(|data| Output::Half { data, stride, add }).collect()
            }
        }
    }

    /// The part from an element on that covers a tile.
    pub(super) fn at(&mut self, row: usize, column: usize, height: usize, width: usize) -> Tile<'_> {
        match self {
            Self::Full { data, stride, add } => {
                let first = row * *stride + column;
                let part = &mut data[first..first + (height - 1) * *stride + width];
                Tile { data: Cells::Full(part), stride: *stride, height, width, begin: Begin::of(*add) }
            }
            Self::Half { data, stride, add } => {
                let first = row * *stride + column;
                let part = &mut data[first..first + (height - 1) * *stride + width];
                Tile { data: Cells::Half(part), stride: *stride, height, width, begin: Begin::of(*add) }
            }
        }
    }
}

/// A piece of the result as large as what registers hold, or smaller at the edges.
pub(super) struct Tile<'a> {
    pub(super) data: Cells<'a>,
    pub(super) stride: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) begin: Begin,
}

/// What becomes of what is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// It is overwritten.
    New,
    /// The sum is added to it.
    Add,
    /// It is the sum so far, to be continued: the bytes are those of one sum.
    Continue,
}

/// The numbers of a tile.
pub(super) enum Cells<'a> {
    Full(&'a mut [f32]),
    Half(&'a mut [Bf16]),
}

impl Begin {
    fn of(add: bool) -> Self {
        if add { Self::Add } else { Self::New }
    }
}
