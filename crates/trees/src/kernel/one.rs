//! One row: plain numbers. What is done for each quadrature point then lies side by side, and the compiler
//! makes vectors of it.

use super::Arithmetic;

/// Arithmetic on the numbers of a single row. The same operations as for eight, so the same bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct One;

impl Arithmetic for One {
    type Lanes = f64;
    type Store = f64;

    #[inline(always)]
    fn splat(self, value: f64) -> f64 {
        value
    }

    #[inline(always)]
    fn load(self, stored: &f64) -> f64 {
        *stored
    }

    #[inline(always)]
    fn store(self, lanes: f64, stored: &mut f64) {
        *stored = lanes;
    }

    #[inline(always)]
    fn add(self, a: f64, b: f64) -> f64 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f64, b: f64) -> f64 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f64, b: f64) -> f64 {
        a * b
    }

    #[inline(always)]
    fn fma(self, a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn select(self, bits: u8, yes: f64, no: f64) -> f64 {
        if bits & 1 == 1 { yes } else { no }
    }
}
