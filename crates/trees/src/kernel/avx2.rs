//! AVX2 with fused multiply-add: two registers where AVX-512 has one.
#![expect(unsafe_code, reason = "vector instructions; `Portable` is the safe twin that tests compare with")]

use std::arch::x86_64::*;

use super::{Arithmetic, Lane, Simd};
use crate::coding::{Plane, RankTable};

/// Proof that the processor has AVX2, FMA and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, where it holds.
    pub(crate) fn detect() -> Option<Self> {
        let has =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("popcnt");
        has.then_some(Self(()))
    }

    /// How many of 16 numbers are less. (A function, since closures are not inlined into the kernels.)
    #[inline(always)]
    fn below(self, list: &[f64; 16], value: __m256d) -> usize {
        let (parts, _) = list.as_chunks::<4>();
        let mut bits = 0;
        for (index, part) in parts.iter().enumerate() {
            // SAFETY: `self` says that AVX2 is there; a part is one register.
            let less = unsafe {
                _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(_mm256_loadu_pd(part.as_ptr()), value)) as u32
            };
            bits |= less << (4 * index);
        }
        bits.count_ones() as usize
    }

    /// A byte of ones for each set bit.
    #[inline(always)]
    fn spread(self, bits: u32) -> __m256i {
        // SAFETY: `self` says that AVX2 is there.
        unsafe {
            let powers = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let place = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
            let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), place);
            _mm256_cmpeq_epi8(_mm256_and_si256(bytes, powers), powers)
        }
    }

    /// Which of 32 codes are in a set.
    #[inline(always)]
    fn in_set_half(self, codes: __m256i, set: &[u8; 32]) -> __m256i {
        // SAFETY: `self` says that AVX2 is there; the set is two times 16 bytes.
        unsafe {
            let low = _mm256_broadcastsi128_si256(_mm_loadu_si128(set.as_ptr().cast()));
            let high = _mm256_broadcastsi128_si256(_mm_loadu_si128(set.as_ptr().add(16).cast()));
            let powers = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let place = _mm256_and_si256(_mm256_srli_epi16::<3>(codes), _mm256_set1_epi8(31));
            // Bytes are looked up by the low four bits; the fifth says which half.
            let inside = _mm256_and_si256(place, _mm256_set1_epi8(15));
            let upper = _mm256_cmpgt_epi8(place, _mm256_set1_epi8(15));
            let byte = _mm256_blendv_epi8(_mm256_shuffle_epi8(low, inside), _mm256_shuffle_epi8(high, inside), upper);
            let bit = _mm256_shuffle_epi8(powers, _mm256_and_si256(codes, _mm256_set1_epi8(7)));
            _mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit)
        }
    }

    #[inline(always)]
    fn halves(self, plane: &Plane) -> [__m256i; 2] {
        let at = plane.0.as_ptr();
        // SAFETY: `self` says that AVX2 is there; `Plane` is 64 bytes, aligned.
        unsafe { [_mm256_load_si256(at.cast()), _mm256_load_si256(at.add(32).cast())] }
    }
}

// SAFETY, for every block below: `self` exists only where `detect` found the instructions, and all pointers
// come from references to arrays at least as long as what is read or written.
impl Arithmetic for Avx2 {
    type Lanes = [__m256d; 2];
    type Store = Lane;

    #[inline(always)]
    fn splat(self, value: f64) -> [__m256d; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_set1_pd(value); 2] }
    }

    #[inline(always)]
    fn load(self, lane: &Lane) -> [__m256d; 2] {
        // SAFETY: see above; `Lane` is aligned to 64 bytes.
        unsafe { [_mm256_load_pd(lane.0.as_ptr()), _mm256_load_pd(lane.0.as_ptr().add(4))] }
    }

    #[inline(always)]
    fn store(self, lanes: [__m256d; 2], lane: &mut Lane) {
        // SAFETY: see above; `Lane` is aligned to 64 bytes.
        unsafe {
            _mm256_store_pd(lane.0.as_mut_ptr(), lanes[0]);
            _mm256_store_pd(lane.0.as_mut_ptr().add(4), lanes[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: [__m256d; 2], b: [__m256d; 2]) -> [__m256d; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_add_pd(a[0], b[0]), _mm256_add_pd(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(self, a: [__m256d; 2], b: [__m256d; 2]) -> [__m256d; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_sub_pd(a[0], b[0]), _mm256_sub_pd(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(self, a: [__m256d; 2], b: [__m256d; 2]) -> [__m256d; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_mul_pd(a[0], b[0]), _mm256_mul_pd(a[1], b[1])] }
    }

    #[inline(always)]
    fn fma(self, a: [__m256d; 2], b: [__m256d; 2], c: [__m256d; 2]) -> [__m256d; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_fmadd_pd(a[0], b[0], c[0]), _mm256_fmadd_pd(a[1], b[1], c[1])] }
    }

    #[inline(always)]
    fn select(self, bits: u8, yes: [__m256d; 2], no: [__m256d; 2]) -> [__m256d; 2] {
        // SAFETY: see above.
        unsafe {
            let bits = _mm256_set1_epi64x(i64::from(bits));
            let low = _mm256_setr_epi64x(1, 2, 4, 8);
            let high = _mm256_setr_epi64x(16, 32, 64, 128);
            let first = _mm256_cmpeq_epi64(_mm256_and_si256(bits, low), low);
            let second = _mm256_cmpeq_epi64(_mm256_and_si256(bits, high), high);
            [
                _mm256_blendv_pd(no[0], yes[0], _mm256_castsi256_pd(first)),
                _mm256_blendv_pd(no[1], yes[1], _mm256_castsi256_pd(second)),
            ]
        }
    }
}

impl Simd for Avx2 {
    type Rows = [__m256i; 2];
    type Bytes = [__m256i; 2];

    #[inline(always)]
    fn rank(self, table: &RankTable, value: f64) -> u8 {
        let value = self.splat(value)[0];
        let row = self.below(&table.ends, value).min(15);
        (row * 16 + self.below(&table.rows[row], value)) as u8
    }

    #[inline(always)]
    fn at_most(self, plane: &Plane, code: u8) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let code = _mm256_set1_epi8(code as i8);
            let [low, high] = self.halves(plane);
            [_mm256_cmpeq_epi8(_mm256_min_epu8(low, code), low), _mm256_cmpeq_epi8(_mm256_min_epu8(high, code), high)]
        }
    }

    #[inline(always)]
    fn in_set(self, plane: &Plane, set: &[u8; 32]) -> [__m256i; 2] {
        let [first, second] = self.halves(plane);
        [self.in_set_half(first, set), self.in_set_half(second, set)]
    }

    #[inline(always)]
    fn rows(self, bits: u64) -> [__m256i; 2] {
        [self.spread(bits as u32), self.spread((bits >> 32) as u32)]
    }

    #[inline(always)]
    fn bits(self, rows: [__m256i; 2]) -> u64 {
        // SAFETY: see above.
        let (low, high) = unsafe { (_mm256_movemask_epi8(rows[0]) as u32, _mm256_movemask_epi8(rows[1]) as u32) };
        u64::from(low) | u64::from(high) << 32
    }

    #[inline(always)]
    fn and(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])] }
    }

    #[inline(always)]
    fn and_not(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_andnot_si256(b[0], a[0]), _mm256_andnot_si256(b[1], a[1])] }
    }

    #[inline(always)]
    fn no_bytes(self) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    fn put(self, bytes: [__m256i; 2], rows: [__m256i; 2], byte: u8) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe {
            let byte = _mm256_set1_epi8(byte as i8);
            [
                _mm256_or_si256(bytes[0], _mm256_and_si256(rows[0], byte)),
                _mm256_or_si256(bytes[1], _mm256_and_si256(rows[1], byte)),
            ]
        }
    }

    #[inline(always)]
    fn add_chosen(self, bytes: [__m256i; 2], values: &[f64], _: usize, sums: &mut [Lane; 8]) {
        let mut numbers = Plane([0; 64]);
        let at = numbers.0.as_mut_ptr();
        // SAFETY: see above; `Plane` is 64 bytes, aligned.
        unsafe {
            _mm256_store_si256(at.cast(), bytes[0]);
            _mm256_store_si256(at.add(32).cast(), bytes[1]);
        }
        let (octets, _) = numbers.0.as_chunks::<8>();
        for (octet, sum) in octets.iter().zip(sums) {
            let chosen = Lane(octet.map(|byte| values[usize::from(byte)]));
            self.store(self.add(self.load(sum), self.load(&chosen)), sum);
        }
    }
}
