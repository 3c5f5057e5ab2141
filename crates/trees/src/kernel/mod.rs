//! The two inner loops, scoring and explaining, written once and compiled for each kind of processor.
//!
//! [`Simd`] is what the loops need of a processor. Every implementation does the same operations in the same
//! order on the same numbers (fused multiply-add included), so all give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod explain;
mod one;
mod portable;
mod score;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use explain::{Room, explain, explain_one};
pub(crate) use one::One;
pub(crate) use portable::Portable;
pub(crate) use score::{score, walk};

use crate::coding::{Plane, RankTable};

/// Eight numbers that lie where vector loads want them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Lane(pub(crate) [f64; 8]);

/// Arithmetic on a number of each of some rows, and where such numbers lie between operations.
pub(crate) trait Arithmetic: Copy {
    /// In registers.
    type Lanes: Copy;
    /// In memory.
    type Store: Copy + Default;

    fn splat(self, value: f64) -> Self::Lanes;
    fn load(self, stored: &Self::Store) -> Self::Lanes;
    fn store(self, lanes: Self::Lanes, stored: &mut Self::Store);
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn sub(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;
    /// Lane `i` of `yes` where bit `i` is set, else of `no`.
    fn select(self, bits: u8, yes: Self::Lanes, no: Self::Lanes) -> Self::Lanes;
}

/// What the loops need of a processor, for eight rows of numbers and 64 of codes. A value of the type is proof
/// that the processor can do it.
pub(crate) trait Simd: Arithmetic<Store = Lane> {
    /// A yes or no for each of 64 rows.
    type Rows: Copy;
    /// A byte for each of 64 rows.
    type Bytes: Copy;

    /// How many thresholds of the table lie below a value that is a number.
    fn rank(self, table: &RankTable, value: f64) -> u8;
    /// Rows whose code is at most this.
    fn at_most(self, plane: &Plane, code: u8) -> Self::Rows;
    /// Rows whose code is in the set.
    fn in_set(self, plane: &Plane, set: &[u8; 32]) -> Self::Rows;
    fn rows(self, bits: u64) -> Self::Rows;
    fn bits(self, rows: Self::Rows) -> u64;
    fn and(self, a: Self::Rows, b: Self::Rows) -> Self::Rows;
    /// `a` and not `b`.
    fn and_not(self, a: Self::Rows, b: Self::Rows) -> Self::Rows;
    fn no_bytes(self) -> Self::Bytes;
    /// Sets the byte of those rows, which was 0 before.
    fn put(self, bytes: Self::Bytes, rows: Self::Rows, byte: u8) -> Self::Bytes;
    /// Adds to each sum the value whose number the row's byte holds. `used` says how many values there are;
    /// at least 64 can be read.
    fn add_chosen(self, bytes: Self::Bytes, values: &[f64], used: usize, sums: &mut [Lane; 8]);
}

/// Which implementation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, on any processor.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VBMI.
    Avx512,
}

impl Level {
    /// The best that this processor can do.
    pub fn detect() -> Self {
        [Self::Avx512, Self::Avx2].into_iter().find(|level| level.available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor can do it.
    pub fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// As the command line and the benchmark name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}
