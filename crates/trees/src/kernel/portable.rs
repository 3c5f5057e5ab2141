//! Plain Rust, which compilers turn into whatever vectors the target has.

use super::{Arithmetic, Lane, Simd};
use crate::coding::{Plane, ROWS, RankTable};

/// Any processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Arithmetic for Portable {
    type Lanes = [f64; 8];
    type Store = Lane;

    #[inline(always)]
    fn splat(self, value: f64) -> [f64; 8] {
        [value; 8]
    }

    #[inline(always)]
    fn load(self, lane: &Lane) -> [f64; 8] {
        lane.0
    }

    #[inline(always)]
    fn store(self, lanes: [f64; 8], lane: &mut Lane) {
        lane.0 = lanes;
    }

    #[inline(always)]
    fn add(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn fma(self, a: [f64; 8], b: [f64; 8], c: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn select(self, bits: u8, yes: [f64; 8], no: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| if bits >> i & 1 == 1 { yes[i] } else { no[i] })
    }
}

impl Simd for Portable {
    type Rows = [u8; ROWS];
    type Bytes = [u8; ROWS];

    #[inline(always)]
    fn rank(self, table: &RankTable, value: f64) -> u8 {
        let below = |list: &[f64; 16]| list.iter().map(|threshold| usize::from(*threshold < value)).sum::<usize>();
        let row = below(&table.ends).min(15);
        (row * 16 + below(&table.rows[row])) as u8
    }

    #[inline(always)]
    fn at_most(self, plane: &Plane, code: u8) -> [u8; ROWS] {
        std::array::from_fn(|i| if plane.0[i] <= code { 0xff } else { 0 })
    }

    #[inline(always)]
    fn in_set(self, plane: &Plane, set: &[u8; 32]) -> [u8; ROWS] {
        std::array::from_fn(|i| {
            let code = plane.0[i];
            if set[usize::from(code >> 3)] >> (code & 7) & 1 == 1 { 0xff } else { 0 }
        })
    }

    #[inline(always)]
    fn rows(self, bits: u64) -> [u8; ROWS] {
        std::array::from_fn(|i| if bits >> i & 1 == 1 { 0xff } else { 0 })
    }

    #[inline(always)]
    fn bits(self, rows: [u8; ROWS]) -> u64 {
        rows.iter().rev().fold(0, |bits, row| bits << 1 | u64::from(row & 1))
    }

    #[inline(always)]
    fn and(self, a: [u8; ROWS], b: [u8; ROWS]) -> [u8; ROWS] {
        std::array::from_fn(|i| a[i] & b[i])
    }

    #[inline(always)]
    fn and_not(self, a: [u8; ROWS], b: [u8; ROWS]) -> [u8; ROWS] {
        std::array::from_fn(|i| a[i] & !b[i])
    }

    #[inline(always)]
    fn no_bytes(self) -> [u8; ROWS] {
        [0; ROWS]
    }

    #[inline(always)]
    fn put(self, bytes: [u8; ROWS], rows: [u8; ROWS], byte: u8) -> [u8; ROWS] {
        std::array::from_fn(|i| bytes[i] | rows[i] & byte)
    }

    #[inline(always)]
    fn add_chosen(self, bytes: [u8; ROWS], values: &[f64], _: usize, sums: &mut [Lane; 8]) {
        for (place, byte) in bytes.iter().enumerate() {
            sums[place / 8].0[place % 8] += values[usize::from(*byte)];
        }
    }
}
