//! Functions of single numbers and short sums, made of operations that vectorise and give the same bytes on every
//! processor.

/// Numbers that a sum is spread over; fixed, so that the order of additions never depends on the processor.
const LANES: usize = 16;

/// e to the power of `x`, within 2e-7 relative; 0 below -87, and the value at 88 above it.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // A comparison instead of `max`, so that not-a-number stays one.
    let x = if x > 88.0 { 88.0 } else { x };
    let clamped = if x < -87.0 { -87.0 } else { x };
    // Adding and subtracting 1.5 * 2^23 rounds to an integer.
    let shifted = clamped * std::f32::consts::LOG2_E + 12_582_912.0;
    let whole = shifted - 12_582_912.0;
    // ln 2 in two parts, the first with few enough digits that its multiples are exact.
    let rest = clamped - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    // Minimax polynomial of Cephes' expf.
    let mut p = 1.987_569_1e-4;
    p = p * rest + 1.398_2e-3;
    p = p * rest + 8.333_452e-3;
    p = p * rest + 4.166_579_6e-2;
    p = p * rest + 1.666_666_5e-1;
    p = p * rest + 0.5;
    let fraction = p * rest * rest + rest + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let result = fraction * power;
    if x < -87.0 { 0.0 } else { result }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The share of a normal distribution below `x`, within 2e-7, and its density at `x`.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    let size = x.abs();
    let falling = exp(-0.5 * (x * x));
    // erfc(z) e^(z^2) / t as a polynomial in t = 1 / (1 + z / 2) with z = |x| / sqrt(2), fitted by Chebyshev
    // interpolation over t from 0.13 to 1, which leaves 5e-8.
    let t = 1.0 / (1.0 + 0.353_553_4 * size);
    let mut p = -0.060_755_953;
    p = p * t + 0.292_480_74;
    p = p * t - 0.502_797;
    p = p * t + 0.294_902_5;
    p = p * t - 0.037_439_093;
    p = p * t + 0.206_893_68;
    p = p * t + 0.242_141_47;
    p = p * t + 0.282_493_05;
    p = p * t + 0.282_080_53;
    let tail = 0.5 * (t * p * falling);
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    (below, falling * 0.398_942_3)
}

/// Sum of products.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] += a * b;
    }
    total(&sums)
}

/// The largest number; negative infinity of none.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (values, rest) = values.as_chunks::<LANES>();
    for chunk in values {
        for lane in 0..LANES {
            most[lane] = if chunk[lane] > most[lane] { chunk[lane] } else { most[lane] };
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        most[lane] = if *value > most[lane] { *value } else { most[lane] };
    }
    let mut result = most[0];
    for value in most {
        result = if value > result { value } else { result };
    }
    result
}

/// Replaces each number by `e^(number * scale - shift)` and returns their sum.
#[inline(always)]
pub(crate) fn exponentials(values: &mut [f32], scale: f32, shift: f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (values, rest) = values.as_chunks_mut::<LANES>();
    for chunk in values {
        for lane in 0..LANES {
            chunk[lane] = exp(chunk[lane] * scale - shift);
            sums[lane] += chunk[lane];
        }
    }
    for (lane, value) in rest.iter_mut().enumerate() {
        *value = exp(*value * scale - shift);
        sums[lane] += *value;
    }
    total(&sums)
}

/// The lanes added pairwise.
#[inline(always)]
fn total(sums: &[f32; LANES]) -> f32 {
    let mut sums = *sums;
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_two_units_in_ten_million() {
        for i in -870..=880 {
            let x = i as f32 / 10.0 + 0.013;
            let exact = (x.clamp(-87.0, 88.0) as f64).exp();
            assert!(((exp(x) as f64 - exact) / exact).abs() < 2e-7 || x < -87.0, "{x}");
        }
        assert_eq!((exp(f32::NEG_INFINITY), exp(0.0)), (0.0, 1.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_count_every_number() {
        for length in [0, 1, 15, 16, 17, 40] {
            let values: Vec<f32> = (0..length).map(|i| i as f32).collect();
            assert_eq!(dot(&values, &vec![1.0; length]), (length * length.saturating_sub(1) / 2) as f32);
            assert_eq!(largest(&values), values.last().copied().unwrap_or(f32::NEG_INFINITY));
            assert_eq!(exponentials(&mut values.clone(), 0.0, 0.0), length as f32);
        }
    }
}
