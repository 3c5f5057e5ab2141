//! Vectors of fp32 as the innermost loop of the product needs them, for each instruction set.

#![expect(unsafe_code, reason = "vector instructions, and loads and stores at the edges of tiles")]

use crate::kernel::element::{Bf16, Element};

/// A vector of fp32. Every implementation gives the same bytes.
///
/// # Safety
/// The functions must run on a processor that has the instructions, and pointers must be valid for what a
/// function says that it reads or writes.
pub(super) trait Lanes {
    /// A vector of fp32, of as many words, or of twice as many bf16.
    type Vector: Copy;
    /// Numbers in a vector.
    const WIDTH: usize;

    unsafe fn zero() -> Self::Vector;
    /// Reads [`Lanes::WIDTH`] words.
    unsafe fn load(from: *const u32) -> Self::Vector;
    unsafe fn splat(word: u32) -> Self::Vector;
    /// `a * b + sum` rounded once.
    unsafe fn multiply(sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Products of bf16 pairs: first the upper ones are added to the sum, then the lower ones.
    unsafe fn multiply_pairs(sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Writes the first `count` numbers, or adds them to what is there.
    unsafe fn store(vector: Self::Vector, to: *mut f32, count: usize, add: bool);
    /// The same, rounded to bf16.
    unsafe fn store_half(vector: Self::Vector, to: *mut Bf16, count: usize, add: bool);
    /// Reads the first `count` numbers; those beyond are zero.
    unsafe fn read(from: *const f32, count: usize) -> Self::Vector;
}

/// Plain Rust, eight at a time.
pub(super) struct Portable;

impl Lanes for Portable {
    type Vector = [f32; 8];
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self::Vector {
        // SAFETY: the caller vouches for eight words.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self::Vector {
        [f32::from_bits(word); 8]
    }

    #[inline(always)]
    unsafe fn multiply(mut sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        for lane in 0..8 {
            sum[lane] = a[lane].mul_add(b[lane], sum[lane]);
        }
        sum
    }

    #[inline(always)]
    unsafe fn multiply_pairs(mut sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // The product of two bf16 is exact in fp32: multiplying and adding apart rounds as the instruction does.
        for lane in 0..8 {
            let (a, b) = (a[lane].to_bits(), b[lane].to_bits());
            sum[lane] += f32::from_bits(a & 0xffff_0000) * f32::from_bits(b & 0xffff_0000);
            sum[lane] += f32::from_bits(a << 16) * f32::from_bits(b << 16);
        }
        sum
    }

    #[inline(always)]
    unsafe fn store(vector: Self::Vector, to: *mut f32, count: usize, add: bool) {
        // SAFETY: the caller vouches for `count` numbers.
        let to = unsafe { std::slice::from_raw_parts_mut(to, count) };
        for (to, value) in to.iter_mut().zip(vector) {
            *to = if add { *to + value } else { value };
        }
    }

    #[inline(always)]
    unsafe fn store_half(vector: Self::Vector, to: *mut Bf16, count: usize, add: bool) {
        // SAFETY: the caller vouches for `count` numbers.
        let to = unsafe { std::slice::from_raw_parts_mut(to, count) };
        for (to, value) in to.iter_mut().zip(vector) {
            *to = Bf16::of(if add { to.value() + value } else { value });
        }
    }

    #[inline(always)]
    unsafe fn read(from: *const f32, count: usize) -> Self::Vector {
        let mut lanes = [0.0; 8];
        // SAFETY: the caller vouches for `count` numbers.
        lanes[..count].copy_from_slice(unsafe { std::slice::from_raw_parts(from, count) });
        lanes
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Avx512Bf16};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Bf16, Element, Lanes};
    use std::arch::x86_64::*;

    /// AVX2 with FMA.
    pub(in super::super) struct Avx2;

    impl Lanes for Avx2 {
        type Vector = __m256;
        const WIDTH: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> __m256 {
            // SAFETY: the caller vouches for the instructions.
            unsafe { _mm256_setzero_ps() }
        }

        #[inline(always)]
        unsafe fn load(from: *const u32) -> __m256 {
            // SAFETY: the caller vouches for the instructions and eight words.
            unsafe { _mm256_loadu_ps(from.cast()) }
        }

        #[inline(always)]
        unsafe fn splat(word: u32) -> __m256 {
            // SAFETY: the caller vouches for the instructions.
            unsafe { _mm256_castsi256_ps(_mm256_set1_epi32(word as i32)) }
        }

        #[inline(always)]
        unsafe fn multiply(sum: __m256, a: __m256, b: __m256) -> __m256 {
            // SAFETY: the caller vouches for the instructions.
            unsafe { _mm256_fmadd_ps(a, b, sum) }
        }

        #[inline(always)]
        unsafe fn multiply_pairs(sum: __m256, a: __m256, b: __m256) -> __m256 {
            // SAFETY: the caller vouches for the instructions.
            unsafe {
                let upper = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32));
                let (a_low, b_low) = (
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(a))),
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(b))),
                );
                // Only one factor needs its lower half cleared for an exact product; both for the defined one.
                let sum = _mm256_fmadd_ps(_mm256_and_ps(a, upper), _mm256_and_ps(b, upper), sum);
                _mm256_fmadd_ps(a_low, b_low, sum)
            }
        }

        #[inline(always)]
        unsafe fn store(vector: __m256, to: *mut f32, count: usize, add: bool) {
            // SAFETY: the caller vouches for `count` numbers; masked lanes are not touched.
            unsafe {
                let order = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), order);
                let vector = if add { _mm256_add_ps(_mm256_maskload_ps(to, mask), vector) } else { vector };
                _mm256_maskstore_ps(to, mask, vector);
            }
        }

        #[inline(always)]
        unsafe fn store_half(vector: __m256, to: *mut Bf16, count: usize, add: bool) {
            let mut lanes = [0.0; 8];
            // SAFETY: the caller vouches for the instructions and for `count` numbers.
            let to = unsafe {
                _mm256_storeu_ps(lanes.as_mut_ptr(), vector);
                std::slice::from_raw_parts_mut(to, count)
            };
            for (to, value) in to.iter_mut().zip(lanes) {
                *to = Bf16::of(if add { to.value() + value } else { value });
            }
        }

        #[inline(always)]
        unsafe fn read(from: *const f32, count: usize) -> __m256 {
            // SAFETY: the caller vouches for `count` numbers; masked lanes are not touched.
            unsafe {
                let order = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                _mm256_maskload_ps(from, _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), order))
            }
        }
    }

    /// AVX-512 F, BW, DQ, VL.
    pub(in super::super) struct Avx512;

    /// The same with the dot product of bf16 pairs.
    pub(in super::super) struct Avx512Bf16;

    #[inline(always)]
    fn mask(count: usize) -> u16 {
        if count >= 16 { u16::MAX } else { (1 << count) - 1 }
    }

    macro_rules! avx512_lanes {
        () => {
            type Vector = __m512;
            const WIDTH: usize = 16;

            #[inline(always)]
            unsafe fn zero() -> __m512 {
                // SAFETY: the caller vouches for the instructions.
                unsafe { _mm512_setzero_ps() }
            }

            #[inline(always)]
            unsafe fn load(from: *const u32) -> __m512 {
                // SAFETY: the caller vouches for the instructions and sixteen words.
                unsafe { _mm512_loadu_ps(from.cast()) }
            }

            #[inline(always)]
            unsafe fn splat(word: u32) -> __m512 {
                // SAFETY: the caller vouches for the instructions.
                unsafe { _mm512_castsi512_ps(_mm512_set1_epi32(word as i32)) }
            }

            #[inline(always)]
            unsafe fn multiply(sum: __m512, a: __m512, b: __m512) -> __m512 {
                // SAFETY: the caller vouches for the instructions.
                unsafe { _mm512_fmadd_ps(a, b, sum) }
            }

            #[inline(always)]
            unsafe fn store(vector: __m512, to: *mut f32, count: usize, add: bool) {
                // SAFETY: the caller vouches for `count` numbers; masked lanes are not touched.
                unsafe {
                    let mask = mask(count);
                    let vector = if add { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), vector) } else { vector };
                    _mm512_mask_storeu_ps(to, mask, vector);
                }
            }

            #[inline(always)]
            unsafe fn store_half(vector: __m512, to: *mut Bf16, count: usize, add: bool) {
                // SAFETY: the caller vouches for `count` numbers; masked lanes are not touched.
                unsafe {
                    let mask = mask(count);
                    let mut vector = vector;
                    if add {
                        let there = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, to.cast()));
                        vector = _mm512_add_ps(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(there)), vector);
                    }
                    _mm256_mask_storeu_epi16(to.cast(), mask, narrow(vector));
                }
            }

            #[inline(always)]
            unsafe fn read(from: *const f32, count: usize) -> __m512 {
                // SAFETY: the caller vouches for `count` numbers; masked lanes are not touched.
                unsafe { _mm512_maskz_loadu_ps(mask(count), from) }
            }
        };
    }

    /// Rounds to bf16 as [`Bf16::of`] does, subnormal numbers included.
    #[inline(always)]
    unsafe fn narrow(vector: __m512) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let bits = _mm512_castps_si512(vector);
            let upper = _mm512_srli_epi32::<16>(bits);
            let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(vector, vector);
            _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(_mm512_srli_epi32::<16>(rounded), is_nan, quiet))
        }
    }

    impl Lanes for Avx512 {
        avx512_lanes!();

        #[inline(always)]
        unsafe fn multiply_pairs(sum: __m512, a: __m512, b: __m512) -> __m512 {
            // SAFETY: the caller vouches for the instructions.
            unsafe {
                let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
                let (a, b) = (_mm512_castps_si512(a), _mm512_castps_si512(b));
                let (a_high, b_high) = (_mm512_and_si512(a, upper), _mm512_and_si512(b, upper));
                let (a_low, b_low) = (_mm512_slli_epi32::<16>(a), _mm512_slli_epi32::<16>(b));
                let sum = _mm512_fmadd_ps(_mm512_castsi512_ps(a_high), _mm512_castsi512_ps(b_high), sum);
                _mm512_fmadd_ps(_mm512_castsi512_ps(a_low), _mm512_castsi512_ps(b_low), sum)
            }
        }
    }

    impl Lanes for Avx512Bf16 {
        avx512_lanes!();

        #[inline(always)]
        unsafe fn multiply_pairs(sum: __m512, a: __m512, b: __m512) -> __m512 {
            // SAFETY: the caller vouches for the instructions; all vectors are 512 bits without invalid values.
            unsafe {
                _mm512_dpbf16_ps(
                    sum,
                    std::mem::transmute::<__m512, __m512bh>(a),
                    std::mem::transmute::<__m512, __m512bh>(b),
                )
            }
        }
    }
}
