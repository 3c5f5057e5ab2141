//! The innermost loop: a tile of the result as large as the registers hold.

#![expect(unsafe_code, reason = "vector instructions on pointers whose bounds are checked once for a tile")]

use super::lanes::{Lanes, Portable};
use super::operand::{Begin, Cells, Tile};
use crate::kernel::element::Element;
use crate::kernel::level::Level;
use std::marker::PhantomData;

/// The innermost loop for an instruction set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel(Level);

/// Rows of the left operand as a kernel reads them: word (row, step) lies `row * row_stride + step * step_stride`
/// bytes from the start, for `height` rows and `steps` steps, all of it within the slice they were made from.
pub(super) struct Rows<'a> {
    start: *const u8,
    row_stride: usize,
    step_stride: usize,
    height: usize,
    steps: usize,
    slice: PhantomData<&'a [u8]>,
}

impl<'a> Rows<'a> {
    /// Rows where they lie, `stride` elements apart, the depth contiguous.
    pub(super) fn direct<E: Element>(part: &'a [E], stride: usize, height: usize, steps: usize) -> Self {
        assert!(part.len() >= (height - 1) * stride + steps * E::PER_WORD);
        Self {
            start: part.as_ptr().cast(),
            row_stride: stride * size_of::<E>(),
            step_stride: 4,
            height,
            steps,
            slice: PhantomData,
        }
    }

    /// Packed rows: `tall` words for each step.
    pub(super) fn packed(words: &'a [u32], tall: usize, height: usize, steps: usize) -> Self {
        assert!(height <= tall && words.len() >= tall * steps);
        Self { start: words.as_ptr().cast(), row_stride: 4, step_stride: tall * 4, height, steps, slice: PhantomData }
    }
}

/// Rows of a tile in AVX-512 registers (24 sums, three of the right operand, one of the left), and elsewhere.
const TALL_512: usize = 8;
const TALL: usize = 4;
/// Vectors side by side in a tile.
const VECTORS: usize = 3;

impl Kernel {
    pub(super) fn current() -> Self {
        Self(Level::current())
    }

    /// Rows of a whole tile.
    pub(super) fn rows(self) -> usize {
        if self.0 >= Level::Avx512 { TALL_512 } else { TALL }
    }

    fn lanes(self) -> usize {
        if self.0 >= Level::Avx512 { 16 } else { 8 }
    }

    /// Columns that are packed together: what fills three vectors, or two where that wastes less.
    pub(super) fn panel_width(self, columns: usize) -> usize {
        let lanes = self.lanes();
        let vectors = columns.div_ceil(lanes);
        match vectors % VECTORS {
            1 if vectors.is_multiple_of(2) && vectors <= 4 => 2 * lanes,
            _ => VECTORS * lanes,
        }
    }

    /// Adds up the products of all steps for a tile and stores them.
    pub(super) fn tile<E: Element>(
        self,
        steps: usize,
        left: &Rows<'_>,
        right: &[u32],
        width: usize,
        tile: Tile<'_>,
        begin: Begin,
    ) {
        assert!(left.steps == steps && left.height == tile.height && right.len() >= steps * width);
        assert!(tile.height <= self.rows() && tile.width <= width && width <= VECTORS * self.lanes());
        let tile = Tile { begin: if tile.begin == Begin::New { begin } else { tile.begin }, ..tile };
        // SAFETY: the level says that the processor has the instructions; the assertions above, those of `Rows`
        // and the slices of `tile` bound every pointer.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512Bf16 => avx512_bf16::<E>(steps, left, right, width, tile),
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => avx512::<E>(steps, left, right, width, tile),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => avx2::<E>(steps, left, right, width, tile),
                _ => rows::<E, Portable, TALL>(steps, left, right, width, tile),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn avx512_bf16<E: Element>(steps: usize, left: &Rows<'_>, right: &[u32], width: usize, tile: Tile<'_>) {
    // SAFETY: as for the caller.
    unsafe { rows::<E, super::lanes::Avx512Bf16, TALL_512>(steps, left, right, width, tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512<E: Element>(steps: usize, left: &Rows<'_>, right: &[u32], width: usize, tile: Tile<'_>) {
    // SAFETY: as for the caller.
    unsafe { rows::<E, super::lanes::Avx512, TALL_512>(steps, left, right, width, tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<E: Element>(steps: usize, left: &Rows<'_>, right: &[u32], width: usize, tile: Tile<'_>) {
    // SAFETY: as for the caller.
    unsafe { rows::<E, super::lanes::Avx2, TALL>(steps, left, right, width, tile) }
}

/// Chooses by how many rows there are: few are common where single tokens are read, and must not cost as many.
#[inline(always)]
unsafe fn rows<E: Element, L: Lanes, const ROWS: usize>(
    steps: usize,
    left: &Rows<'_>,
    right: &[u32],
    width: usize,
    tile: Tile<'_>,
) {
    // SAFETY: as for the caller.
    unsafe {
        match tile.height {
            1 => columns::<E, L, 1>(steps, left, right, width, tile),
            2 => columns::<E, L, 2>(steps, left, right, width, tile),
            _ => columns::<E, L, ROWS>(steps, left, right, width, tile),
        }
    }
}

/// Chooses by how many vectors hold the tile's columns.
#[inline(always)]
unsafe fn columns<E: Element, L: Lanes, const ROWS: usize>(
    steps: usize,
    left: &Rows<'_>,
    right: &[u32],
    width: usize,
    tile: Tile<'_>,
) {
    // SAFETY: as for the caller.
    unsafe {
        match tile.width.div_ceil(L::WIDTH) {
            1 => sums::<E, L, ROWS, 1>(steps, left, right, width, tile),
            2 => sums::<E, L, ROWS, 2>(steps, left, right, width, tile),
            _ => sums::<E, L, ROWS, 3>(steps, left, right, width, tile),
        }
    }
}

#[inline(always)]
unsafe fn sums<E: Element, L: Lanes, const ROWS: usize, const WIDE: usize>(
    steps: usize,
    left: &Rows<'_>,
    right: &[u32],
    width: usize,
    tile: Tile<'_>,
) {
    // SAFETY: as for the caller. Rows beyond the tile's height read its last row; their sums are not stored.
    unsafe {
        tile.prefetch();
        let mut sums = [[L::zero(); WIDE]; ROWS];
        if tile.begin == Begin::Continue {
            resume::<L, ROWS, WIDE>(&mut sums, &tile);
        }
        let starts: [*const u8; ROWS] =
            std::array::from_fn(|row| left.start.add(row.min(left.height - 1) * left.row_stride));
        let mut right = right.as_ptr();
        let mut offset = 0;
        for _ in 0..steps {
            let mut columns = [L::zero(); WIDE];
            for (vector, column) in columns.iter_mut().enumerate() {
                *column = L::load(right.add(vector * L::WIDTH));
            }
            for row in 0..ROWS {
                let value = L::splat(starts[row].add(offset).cast::<u32>().read_unaligned());
                for vector in 0..WIDE {
                    sums[row][vector] = match E::PER_WORD {
                        1 => L::multiply(sums[row][vector], value, columns[vector]),
                        _ => L::multiply_pairs(sums[row][vector], value, columns[vector]),
                    };
                }
            }
            right = right.add(width);
            offset += left.step_stride;
        }
        store::<L, ROWS, WIDE>(&sums, tile);
    }
}

impl Tile<'_> {
    /// Fetches the lines that the sums will go to: they are cold, and would be waited for one by one at the end.
    #[inline(always)]
    fn prefetch(&self) {
        let (start, size) = match &self.data {
            Cells::Full(data) => (data.as_ptr().cast::<u8>(), 4),
            Cells::Half(data) => (data.as_ptr().cast::<u8>(), 2),
        };
        for row in 0..self.height {
            let line = start.wrapping_add(row * self.stride * size);
            for offset in (0..self.width * size).step_by(64) {
                fetch(line.wrapping_add(offset));
            }
        }
    }
}

/// A hint to the processor; any address will do.
#[inline(always)]
fn fetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction reads nothing that the program sees and faults on no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Does the same for each row of a tile of `ROWS` and `height` rows, whose number is a constant. A loop over the sums would
/// not be unrolled where there are many, and sums that are reached by a variable index are written to memory in every
/// step, which takes longer than multiplying.
macro_rules! each_row {
    ($height:expr, $row:ident => $body:expr) => {
        each_row!($height, $row => $body; 0 1 2 3 4 5 6 7)
    };
    ($height:expr, $row:ident => $body:expr; $($number:literal)*) => {
        $(if $number < ROWS && $number < $height {
            const $row: usize = $number;
            $body
        })*
    };
}

/// Takes up the sums of a tile where they were left.
#[inline(always)]
unsafe fn resume<L: Lanes, const ROWS: usize, const WIDE: usize>(
    sums: &mut [[L::Vector; WIDE]; ROWS],
    tile: &Tile<'_>,
) {
    const { assert!(ROWS <= 8, "each_row! counts no further") };
    let Cells::Full(data) = &tile.data else { panic!("sums in bf16 cannot be continued") };
    assert!(data.len() >= (tile.height - 1) * tile.stride + tile.width);
    each_row!(tile.height, ROW => {
        for (vector, sum) in sums[ROW].iter_mut().enumerate() {
            let from = vector * L::WIDTH;
            // SAFETY: as for the caller; the tile's slice covers its rows.
            *sum = unsafe { L::read(data.as_ptr().add(ROW * tile.stride + from), (tile.width - from).min(L::WIDTH)) };
        }
    });
}

#[inline(always)]
unsafe fn store<L: Lanes, const ROWS: usize, const WIDE: usize>(sums: &[[L::Vector; WIDE]; ROWS], tile: Tile<'_>) {
    const { assert!(ROWS <= 8, "each_row! counts no further") };
    let Tile { data, stride, height, width, begin } = tile;
    let add = begin == Begin::Add;
    // SAFETY: as for the caller: the tile's slice covers `height` rows of `width` numbers.
    unsafe {
        match data {
            Cells::Full(data) => {
                let data = data.as_mut_ptr();
                each_row!(height, ROW => for (vector, sum) in sums[ROW].iter().enumerate() {
                    let from = vector * L::WIDTH;
                    L::store(*sum, data.add(ROW * stride + from), (width - from).min(L::WIDTH), add);
                });
            }
            Cells::Half(data) => {
                let data = data.as_mut_ptr();
                each_row!(height, ROW => for (vector, sum) in sums[ROW].iter().enumerate() {
                    let from = vector * L::WIDTH;
                    L::store_half(*sum, data.add(ROW * stride + from), (width - from).min(L::WIDTH), add);
                });
            }
        }
    }
}
