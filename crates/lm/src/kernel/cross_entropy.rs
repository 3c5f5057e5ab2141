//! Softmax and cross-entropy of rows of logits, and their gradient.

use super::element::Element;
use super::level::dispatched;
use super::math::{exponentials, largest};
use rayon::prelude::*;

/// Losses of rows of `width` logits against the target of each row, summed in row order. Writes the gradient of
/// `loss * scale` to `gradients`. The logits are used up.
pub(crate) fn cross_entropy<E: Element>(
    gradients: &mut [E],
    logits: &mut [f32],
    width: usize,
    targets: &[u32],
    scale: f32,
) -> f64 {
    let losses: Vec<f32> = gradients
        .par_chunks_mut(width)
        .zip(logits.par_chunks_mut(width))
        .zip(targets)
        .map(|((gradients, logits), target)| row(gradients, logits, *target as usize, scale))
        .collect();
    losses.into_iter().map(f64::from).sum()
}

/// Losses alone.
pub(crate) fn losses(logits: &mut [f32], width: usize, targets: &[u32]) -> f64 {
    let losses: Vec<f32> =
        logits.par_chunks_mut(width).zip(targets).map(|(logits, target)| loss(logits, *target as usize).0).collect();
    losses.into_iter().map(f64::from).sum()
}

/// Replaces logits by probabilities that add up to one.
pub(crate) fn softmax(logits: &mut [f32]) {
    let most = largest(logits);
    let share = 1.0 / exponentials(logits, 1.0, most);
    for value in logits {
        *value *= share;
    }
}

/// The loss of a row and the sum of the exponentials that its logits become.
#[inline(always)]
fn loss_of(logits: &mut [f32], target: usize) -> (f32, f32) {
    let chosen = logits[target];
    let most = largest(logits);
    let sum = exponentials(logits, 1.0, most);
    (most + sum.ln() - chosen, sum)
}

dispatched! {
    fn loss(logits: &mut [f32], target: usize) -> (f32, f32) {
        loss_of(logits, target)
    }
}

dispatched! {
    fn row<E: Element>(gradients: &mut [E], logits: &mut [f32], target: usize, scale: f32) -> f32 {
        let (loss, sum) = loss_of(logits, target);
        let share = scale / sum;
        for (gradient, exponential) in gradients.iter_mut().zip(logits.iter()) {
            *gradient = E::of(exponential * share);
        }
        gradients[target] = E::of(logits[target] * share - scale);
        loss
    }
}

dispatched! {
    /// The logarithm of the sum of the exponentials of a row of logits, which are used up.
    pub(crate) fn log_sum(logits: &mut [f32]) -> f32 {
        let most = largest(logits);
        most + exponentials(logits, 1.0, most).ln()
    }
}
