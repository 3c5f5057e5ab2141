//! How activations are stored: as fp32 or as bf16, the upper half of an fp32.

use super::product::{Output, Right, View};
use serde::{Deserialize, Serialize};

/// In what matrix products run, and how their operands are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// fp32.
    #[default]
    F32,
    /// bf16 operands, fp32 sums.
    Bf16,
}

/// A stored number. Arithmetic happens in fp32 whatever the storage.
pub(crate) trait Element: Copy + Default + PartialEq + Send + Sync + std::fmt::Debug + 'static {
    /// Numbers in one 32-bit word of a packed operand.
    const PER_WORD: usize;

    /// Rounds to the nearest, ties to even.
    fn of(value: f32) -> Self;
    /// The exact value.
    fn value(self) -> f32;
    /// The bits, in the lower half of the word where the storage is narrower.
    fn bits(self) -> u32;
    /// A matrix of such numbers as the right operand of a product.
    fn right(view: View<'_, Self>) -> Right<'_>;
    /// A matrix of such numbers, rows `stride` apart, as the result of a product: overwritten or added to.
    fn output(data: &mut [Self], stride: usize, add: bool) -> Output<'_>;
}

impl Element for f32 {
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.to_bits()
    }

    fn right(view: View<'_, Self>) -> Right<'_> {
        Right::Full(view)
    }

    fn output(data: &mut [Self], stride: usize, add: bool) -> Output<'_> {
        Output::Full { data, stride, add }
    }
}

/// A bfloat16: sign, eight bits of exponent, seven of fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Element for Bf16 {
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn of(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
        // Rounding could carry a NaN's fraction into the exponent and make it a number.
        Self(if value.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded })
    }

    #[inline(always)]
    fn value(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 as u32
    }

    fn right(view: View<'_, Self>) -> Right<'_> {
        Right::Half(view)
    }

    fn output(data: &mut [Self], stride: usize, add: bool) -> Output<'_> {
        Output::Half { data, stride, add }
    }
}
