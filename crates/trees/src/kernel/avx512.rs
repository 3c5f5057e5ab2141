//! AVX-512: a register holds the codes of 64 rows, and a mask register their yes and no.
#![expect(unsafe_code, reason = "vector instructions; `Portable` is the safe twin that tests compare with")]

use std::arch::x86_64::*;

use super::{Arithmetic, Lane, Simd};
use crate::coding::{Plane, RankTable};

/// Proof that the processor has AVX-512 F, BW, DQ and VBMI, and what [`super::Avx2`] is proof of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, where it holds.
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vbmi")
            && super::Avx2::detect().is_some();
        has.then_some(Self(()))
    }

    /// How many of 16 numbers are less. (A function, since closures are not inlined into the kernels.)
    #[inline(always)]
    fn below(self, list: &[f64; 16], value: __m512d) -> usize {
        // SAFETY: `self` says that AVX-512 is there; a list of 16 numbers is two registers.
        unsafe {
            let low = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_loadu_pd(list.as_ptr()), value);
            let high = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_loadu_pd(list.as_ptr().add(8)), value);
            (u32::from(low) | u32::from(high) << 8).count_ones() as usize
        }
    }
}

// SAFETY, for every block below: `self` exists only where `detect` found the instructions, and all pointers
// come from references to arrays at least as long as what is read or written.
impl Arithmetic for Avx512 {
    type Lanes = __m512d;
    type Store = Lane;

    #[inline(always)]
    fn splat(self, value: f64) -> __m512d {
        // SAFETY: see above.
        unsafe { _mm512_set1_pd(value) }
    }

    #[inline(always)]
    fn load(self, lane: &Lane) -> __m512d {
        // SAFETY: see above; `Lane` is aligned to 64 bytes.
        unsafe { _mm512_load_pd(lane.0.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, lanes: __m512d, lane: &mut Lane) {
        // SAFETY: see above; `Lane` is aligned to 64 bytes.
        unsafe { _mm512_store_pd(lane.0.as_mut_ptr(), lanes) }
    }

    #[inline(always)]
    fn add(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: see above.
        unsafe { _mm512_add_pd(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: see above.
        unsafe { _mm512_sub_pd(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: see above.
        unsafe { _mm512_mul_pd(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_pd(a, b, c) }
    }

    #[inline(always)]
    fn select(self, bits: u8, yes: __m512d, no: __m512d) -> __m512d {
        // SAFETY: see above.
        unsafe { _mm512_mask_blend_pd(bits, no, yes) }
    }
}

impl Simd for Avx512 {
    type Rows = u64;
    type Bytes = __m512i;

    #[inline(always)]
    fn rank(self, table: &RankTable, value: f64) -> u8 {
        let value = self.splat(value);
        let row = self.below(&table.ends, value).min(15);
        (row * 16 + self.below(&table.rows[row], value)) as u8
    }

    #[inline(always)]
    fn at_most(self, plane: &Plane, code: u8) -> u64 {
        // SAFETY: see above; `Plane` is aligned to 64 bytes.
        unsafe {
            let codes = _mm512_load_si512(plane.0.as_ptr().cast());
            _mm512_cmple_epu8_mask(codes, _mm512_set1_epi8(code as i8))
        }
    }

    #[inline(always)]
    fn in_set(self, plane: &Plane, set: &[u8; 32]) -> u64 {
        // SAFETY: see above; `Plane` is aligned to 64 bytes, the set is 32 bytes.
        unsafe {
            let codes = _mm512_load_si512(plane.0.as_ptr().cast());
            let set = _mm512_castsi256_si512(_mm256_loadu_si256(set.as_ptr().cast()));
            let place = _mm512_and_si512(_mm512_srli_epi16::<3>(codes), _mm512_set1_epi8(31));
            let byte = _mm512_permutexvar_epi8(place, set);
            let powers = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
            let bit = _mm512_permutexvar_epi8(_mm512_and_si512(codes, _mm512_set1_epi8(7)), powers);
            _mm512_test_epi8_mask(byte, bit)
        }
    }

    #[inline(always)]
    fn rows(self, bits: u64) -> u64 {
        bits
    }

    #[inline(always)]
    fn bits(self, rows: u64) -> u64 {
        rows
    }

    #[inline(always)]
    fn and(self, a: u64, b: u64) -> u64 {
        a & b
    }

    #[inline(always)]
    fn and_not(self, a: u64, b: u64) -> u64 {
        a & !b
    }

    #[inline(always)]
    fn no_bytes(self) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn put(self, bytes: __m512i, rows: u64, byte: u8) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_mask_mov_epi8(bytes, rows, _mm512_set1_epi8(byte as i8)) }
    }

    #[inline(always)]
    fn add_chosen(self, bytes: __m512i, values: &[f64], used: usize, sums: &mut [Lane; 8]) {
        let mut numbers = Plane([0; 64]);
        // SAFETY: see above; `Plane` is 64 bytes, aligned.
        unsafe { _mm512_store_si512(numbers.0.as_mut_ptr().cast(), bytes) };
        let (octets, _) = numbers.0.as_chunks::<8>();
        let (registers, _) = values.as_chunks::<8>();
        // SAFETY: see above; an octet is 8 bytes, a register 8 numbers.
        let number = |octet: &[u8; 8]| unsafe { _mm512_cvtepu8_epi64(_mm_loadl_epi64(octet.as_ptr().cast())) };
        // SAFETY: as before.
        let register = |place: usize| unsafe { _mm512_loadu_pd(registers[place].as_ptr()) };
        if used <= 32 {
            let held = [register(0), register(1), register(2), register(3)];
            for (octet, sum) in octets.iter().zip(sums) {
                let number = number(octet);
                // SAFETY: see above.
                let chosen = unsafe {
                    let low = _mm512_permutex2var_pd(held[0], number, held[1]);
                    let high = _mm512_permutex2var_pd(held[2], number, held[3]);
                    _mm512_mask_blend_pd(_mm512_test_epi64_mask(number, _mm512_set1_epi64(16)), low, high)
                };
                self.store(self.add(self.load(sum), chosen), sum);
            }
        } else if used <= 64 {
            let held: [__m512d; 8] = std::array::from_fn(register);
            for (octet, sum) in octets.iter().zip(sums) {
                let number = number(octet);
                // SAFETY: see above.
                let chosen = unsafe {
                    let second = _mm512_test_epi64_mask(number, _mm512_set1_epi64(16));
                    let upper = _mm512_test_epi64_mask(number, _mm512_set1_epi64(32));
                    let low = _mm512_mask_blend_pd(
                        second,
                        _mm512_permutex2var_pd(held[0], number, held[1]),
                        _mm512_permutex2var_pd(held[2], number, held[3]),
                    );
                    let high = _mm512_mask_blend_pd(
                        second,
                        _mm512_permutex2var_pd(held[4], number, held[5]),
                        _mm512_permutex2var_pd(held[6], number, held[7]),
                    );
                    _mm512_mask_blend_pd(upper, low, high)
                };
                self.store(self.add(self.load(sum), chosen), sum);
            }
        } else {
            for (octet, sum) in octets.iter().zip(sums) {
                let chosen = Lane(octet.map(|byte| values[usize::from(byte)]));
                self.store(self.add(self.load(sum), self.load(&chosen)), sum);
            }
        }
    }
}
