//! Root mean square normalisation (Zhang and Sennrich 2019): `y = x / sqrt(mean(x^2) + epsilon) * weight`.

use super::element::Element;
use super::level::dispatched;
use super::math::dot;
use super::product::TASK_ROWS;
use rayon::prelude::*;

/// Rows that one task takes where parts of a gradient are summed: their order must not change.
const ROWS: usize = 64;

/// Normalises rows of `weight.len()` numbers; keeps each row's factor for the backward pass.
pub(crate) fn rms_norm<E: Element>(out: &mut [E], factors: &mut [f32], input: &[f32], weight: &[f32], epsilon: f32) {
    let width = weight.len();
    assert!(out.len() == input.len() && factors.len() * width == input.len());
    // No more tasks than products have: those of a segment of a pass stay on its thread.
    out.par_chunks_mut(width * TASK_ROWS)
        .zip(factors.par_chunks_mut(TASK_ROWS))
        .zip(input.par_chunks(width * TASK_ROWS))
        .for_each(|((out, factors), input)| forward(out, factors, input, weight, epsilon));
}

dispatched! {
    fn forward<E: Element>(out: &mut [E], factors: &mut [f32], input: &[f32], weight: &[f32], epsilon: f32) {
        let width = weight.len();
        for ((out, factor), input) in out.chunks_exact_mut(width).zip(factors).zip(input.chunks_exact(width)) {
            *factor = 1.0 / (dot(input, input) / width as f32 + epsilon).sqrt();
            for ((out, input), weight) in out.iter_mut().zip(input).zip(weight) {
                *out = E::of(input * *factor * weight);
            }
        }
    }
}

/// What a normalisation was made from.
#[derive(Clone, Copy)]
pub(crate) struct Normed<'a> {
    /// Its input.
    pub(crate) input: &'a [f32],
    /// Each row's factor.
    pub(crate) factors: &'a [f32],
    /// Its weight.
    pub(crate) weight: &'a [f32],
}

/// The output again, from the factors that [`rms_norm`] kept: the same bytes.
pub(crate) fn normalise<E: Element>(out: &mut [E], factors: &[f32], input: &[f32], weight: &[f32]) {
    let width = weight.len();
    out.par_chunks_mut(width * ROWS)
        .zip(factors.par_chunks(ROWS))
        .zip(input.par_chunks(width * ROWS))
        .for_each(|((out, factors), input)| again(out, factors, input, weight));
}

dispatched! {
    fn again<E: Element>(out: &mut [E], factors: &[f32], input: &[f32], weight: &[f32]) {
        let width = weight.len();
        for ((out, factor), input) in out.chunks_exact_mut(width).zip(factors).zip(input.chunks_exact(width)) {
            for ((out, input), weight) in out.iter_mut().zip(input).zip(weight) {
                *out = E::of(input * *factor * weight);
            }
        }
    }
}

/// Adds the gradient to `input_gradient` and writes it, as it then is, to `stored`; adds the weight's gradient to
/// `weight_gradient` unless the weight is frozen.
pub(crate) fn rms_norm_backward<E: Element>(
    input_gradient: &mut [f32],
    stored: &mut [E],
    weight_gradient: Option<&mut [f32]>,
    out_gradient: &[f32],
    given: Normed<'_>,
) {
    let Normed { input, factors, weight } = given;
    let width = weight.len();
    let wanted = weight_gradient.is_some();
    let parts: Vec<Vec<f32>> = input_gradient
        .par_chunks_mut(width * ROWS)
        .zip(stored.par_chunks_mut(width * ROWS))
        .zip(out_gradient.par_chunks(width * ROWS))
        .zip(input.par_chunks(width * ROWS))
        .zip(factors.par_chunks(ROWS))
        .map(|((((input_gradient, stored), out_gradient), input), factors)| {
            let mut part = vec![0.0; if wanted { width } else { 0 }];
            backward(input_gradient, stored, &mut part, out_gradient, input, factors, weight);
            part
        })
        .collect();
    if let Some(gradient) = weight_gradient {
        for part in parts {
            for (sum, value) in gradient.iter_mut().zip(part) {
                *sum += value;
            }
        }
    }
}

dispatched! {
    fn backward<E: Element>(
        input_gradient: &mut [f32],
        stored: &mut [E],
        weight_gradient: &mut [f32],
        out_gradient: &[f32],
        input: &[f32],
        factors: &[f32],
        weight: &[f32],
    ) {
        let width = weight.len();
        let mut weighted = vec![0.0; width];
        for (row, factor) in factors.iter().enumerate() {
            let range = row * width..(row + 1) * width;
            let (input, out_gradient) = (&input[range.clone()], &out_gradient[range.clone()]);
            for ((weighted, gradient), weight) in weighted.iter_mut().zip(out_gradient).zip(weight) {
                *weighted = gradient * weight;
            }
            for ((sum, gradient), input) in weight_gradient.iter_mut().zip(out_gradient).zip(input) {
                *sum += gradient * (input * factor);
            }
            let share = dot(&weighted, input) * factor * factor * factor / width as f32;
            let rows = input_gradient[range.clone()].iter_mut().zip(&mut stored[range]);
            for (((sum, stored), weighted), input) in rows.zip(&weighted).zip(input) {
                *sum += weighted * factor - input * share;
                *stored = E::of(*sum);
            }
        }
    }
}
