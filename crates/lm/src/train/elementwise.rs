//! The loops of optimisers, compiled for each kind of processor.
//!
//! All kinds do the same operations in the same order and never fuse a product with a sum, so all give the same
//! bytes.

use crate::kernel::dispatched;

/// What AdamW needs besides the numbers themselves; constant over a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdamW {
    /// What gradients are multiplied by first (clipping).
    pub(super) scale: f32,
    /// What values are multiplied by (decoupled weight decay).
    pub(super) decay: f32,
    /// `1 - beta1`.
    pub(super) first: f32,
    /// `beta2`.
    pub(super) keep: f32,
    /// `1 - beta2`.
    pub(super) second: f32,
    /// Rate over the bias correction of the first moment.
    pub(super) rate: f32,
    /// Square root of the bias correction of the second moment.
    pub(super) correction: f32,
    /// Added to the denominator.
    pub(super) epsilon: f32,
}

/// What Lion needs besides the numbers themselves; constant over a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lion {
    /// What gradients are multiplied by first (clipping).
    pub(super) scale: f32,
    /// What values are multiplied by (decoupled weight decay).
    pub(super) decay: f32,
    /// `beta1` and `1 - beta1`: the mixture whose sign is the direction.
    pub(super) look: [f32; 2],
    /// `beta2` and `1 - beta2`: the mixture that is kept.
    pub(super) keep: [f32; 2],
    /// The rate.
    pub(super) rate: f32,
}

dispatched! {
    /// One AdamW step over slices of equal length; gradients are zero afterwards.
    pub(super) fn adamw(
        step: &AdamW,
        values: &mut [f32],
        gradients: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        adamw_body(step, values, gradients, first, second);
    }
}

dispatched! {
    /// One Lion step over slices of equal length; gradients are zero afterwards.
    pub(super) fn lion(step: &Lion, values: &mut [f32], gradients: &mut [f32], moments: &mut [f32]) {
        lion_body(step, values, gradients, moments);
    }
}

dispatched! {
    /// Sum of squares, in 16 lanes that are added in order at the end.
    pub(super) fn squares(values: &[f32]) -> f64 {
        squares_body(values)
    }
}

#[inline(always)]
fn adamw_body(step: &AdamW, values: &mut [f32], gradients: &mut [f32], first: &mut [f32], second: &mut [f32]) {
    let step = *step;
    for (((value, gradient), first), second) in values.iter_mut().zip(gradients).zip(first).zip(second) {
        let g = *gradient * step.scale;
        let m = *first + step.first * (g - *first);
        let v = *second * step.keep + step.second * g * g;
        let denominator = v.sqrt() / step.correction + step.epsilon;
        *value = *value * step.decay - step.rate * m / denominator;
        *first = m;
        *second = v;
        *gradient = 0.0;
    }
}

#[inline(always)]
fn lion_body(step: &Lion, values: &mut [f32], gradients: &mut [f32], moments: &mut [f32]) {
    let step = *step;
    for ((value, gradient), moment) in values.iter_mut().zip(gradients).zip(moments) {
        let g = *gradient * step.scale;
        let look = step.look[0] * *moment + step.look[1] * g;
        // The sign of zero is zero, unlike `signum`.
        let direction = f32::from(look > 0.0) - f32::from(look < 0.0);
        *value = *value * step.decay - step.rate * direction;
        *moment = step.keep[0] * *moment + step.keep[1] * g;
        *gradient = 0.0;
    }
}

#[inline(always)]
fn squares_body(values: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            let value = f64::from(*value);
            *lane += value * value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*value) * f64::from(*value);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values over many magnitudes, signs and zeros, from a multiplicative sequence.
    fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let mut number = || match next() % 17 {
            0 => 0.0,
            power => (f64::from(next()) / f64::from(u32::MAX) - 0.25) as f32 * 10f32.powi(power as i32 - 10),
        };
        (0..count).map(|_| number()).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn adamw_gives_the_same_bytes_however_it_is_compiled() {
        let step = AdamW {
            scale: 0.3,
            decay: 0.999,
            first: 0.1,
            keep: 0.95,
            second: 0.05,
            rate: 1e-3,
            correction: 0.2,
            epsilon: 1e-8,
        };
        let squared: Vec<f32> = numbers(3, 1003).iter().map(|value| value.abs()).collect();
        let (values, gradients, first) = (numbers(1, 1003), numbers(2, 1003), numbers(4, 1003));
        let mut plain = (values.clone(), gradients.clone(), first.clone(), squared.clone());
        let mut fast = plain.clone();
        adamw_body(&step, &mut plain.0, &mut plain.1, &mut plain.2, &mut plain.3);
        adamw(&step, &mut fast.0, &mut fast.1, &mut fast.2, &mut fast.3);
        assert_eq!(bits(&plain.0), bits(&fast.0));
        assert_eq!(bits(&plain.2), bits(&fast.2));
        assert_eq!(bits(&plain.3), bits(&fast.3));
        assert_ne!(bits(&plain.0), bits(&values));
        assert!(fast.1.iter().all(|gradient| gradient.to_bits() == 0));
    }

    #[test]
    fn lion_gives_the_same_bytes_however_it_is_compiled() {
        let step = Lion { scale: 1.0, decay: 0.99, look: [0.9, 0.1], keep: [0.99, 0.01], rate: 1e-3 };
        let (values, gradients, moments) = (numbers(5, 517), numbers(6, 517), numbers(7, 517));
        let mut plain = (values.clone(), gradients.clone(), moments.clone());
        let mut fast = plain.clone();
        lion_body(&step, &mut plain.0, &mut plain.1, &mut plain.2);
        lion(&step, &mut fast.0, &mut fast.1, &mut fast.2);
        assert_eq!(bits(&plain.0), bits(&fast.0));
        assert_eq!(bits(&plain.2), bits(&fast.2));
        assert!(fast.1.iter().all(|gradient| gradient.to_bits() == 0));
    }

    #[test]
    fn squares_are_summed_alike_and_right() {
        let values = numbers(8, 4001);
        let exact: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        assert_eq!(squares(&values).to_bits(), squares_body(&values).to_bits());
        assert!((squares(&values) / exact - 1.0).abs() < 1e-13);
    }
}
