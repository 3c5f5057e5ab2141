//! RMSNorm of each head's query and key (Qwen3), within rows of queries, keys and values.

use super::attention::Attention;
use super::element::Element;
use super::level::dispatched;
use super::math::dot;
use super::product::TASK_ROWS;
use rayon::prelude::*;

/// Rows that one task takes where parts of a gradient are summed: their order must not change.
const ROWS: usize = 64;

/// Normalises queries and keys in place; keeps the factor of each head of each row. `weights` are those of queries
/// and of keys, of the size of a head.
pub(crate) fn head_norm<E: Element>(
    rows: &mut [E],
    factors: &mut [f32],
    shape: &Attention,
    weights: [&[f32]; 2],
    epsilon: f32,
) {
    let heads = shape.heads + shape.key_value_heads;
    // No more tasks than products have: those of a segment of a pass stay on its thread.
    rows.par_chunks_mut(shape.row() * TASK_ROWS)
        .zip(factors.par_chunks_mut(heads * TASK_ROWS))
        .for_each(|(rows, factors)| forward(rows, factors, *shape, weights, epsilon));
}

dispatched! {
    fn forward<E: Element>(rows: &mut [E], factors: &mut [f32], shape: Attention, weights: [&[f32]; 2], epsilon: f32) {
        let size = shape.size;
        let heads = shape.heads + shape.key_value_heads;
        let mut full = vec![0.0; size];
        for (row, factors) in rows.chunks_exact_mut(shape.row()).zip(factors.chunks_exact_mut(heads)) {
            for (number, (head, factor)) in row.chunks_exact_mut(size).zip(factors).enumerate() {
                for (full, value) in full.iter_mut().zip(head.iter()) {
                    *full = value.value();
                }
                *factor = 1.0 / (dot(&full, &full) / size as f32 + epsilon).sqrt();
                let weight = weights[usize::from(number >= shape.heads)];
                for ((out, value), weight) in head.iter_mut().zip(&full).zip(weight) {
                    *out = E::of(value * *factor * weight);
                }
            }
        }
    }
}

/// Replaces the gradient of the normalised rows by that of the rows before (`raw`); returns the gradients of the
/// two weights.
pub(crate) fn head_norm_backward<E: Element>(
    gradient: &mut [E],
    raw: &[E],
    factors: &[f32],
    shape: &Attention,
    weights: [&[f32]; 2],
) -> [Vec<f32>; 2] {
    let heads = shape.heads + shape.key_value_heads;
    let parts: Vec<[Vec<f32>; 2]> = gradient
        .par_chunks_mut(shape.row() * ROWS)
        .zip(raw.par_chunks(shape.row() * ROWS))
        .zip(factors.par_chunks(heads * ROWS))
        .map(|((gradient, raw), factors)| backward(gradient, raw, factors, *shape, weights))
        .collect();
    let mut sums = [vec![0.0; shape.size], vec![0.0; shape.size]];
    for part in parts {
        for (sums, part) in sums.iter_mut().zip(part) {
            for (sum, value) in sums.iter_mut().zip(part) {
                *sum += value;
            }
        }
    }
    sums
}

dispatched! {
    fn backward<E: Element>(gradient: &mut [E], raw: &[E], factors: &[f32], shape: Attention, weights: [&[f32]; 2]) -> [Vec<f32>; 2] {
        let size = shape.size;
        let heads = shape.heads + shape.key_value_heads;
        let mut sums = [vec![0.0; size], vec![0.0; size]];
        let (mut full, mut weighted) = (vec![0.0; size], vec![0.0; size]);
        let rows = gradient.chunks_exact_mut(shape.row()).zip(raw.chunks_exact(shape.row()));
        for ((row, raw), factors) in rows.zip(factors.chunks_exact(heads)) {
            let each = row.chunks_exact_mut(size).zip(raw.chunks_exact(size)).zip(factors).enumerate();
            for (number, ((gradient, raw), factor)) in each {
                let kind = usize::from(number >= shape.heads);
                let sums = &mut sums[kind];
                for ((full, weighted), ((raw, gradient), weight)) in
                    full.iter_mut().zip(&mut weighted).zip(raw.iter().zip(gradient.iter()).zip(weights[kind]))
                {
                    *full = raw.value();
                    *weighted = gradient.value() * weight;
                }
                for ((sum, gradient), full) in sums.iter_mut().zip(gradient.iter()).zip(&full) {
                    *sum += gradient.value() * (full * factor);
                }
                let share = dot(&weighted, &full) * factor * factor * factor / size as f32;
                for ((gradient, weighted), full) in gradient.iter_mut().zip(&weighted).zip(&full) {
                    *gradient = E::of(weighted * factor - full * share);
                }
            }
        }
        sums
    }
}
