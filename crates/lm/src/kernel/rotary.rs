//! Rotary position embedding (Su et al. 2021) in the layout of `transformers`: the first half of the turned
//! dimensions pairs with the second half.

use super::element::Element;
use super::level::dispatched;
use super::product::TASK_ROWS;
use rayon::prelude::*;

/// Cosines and sines of every position, one of each for every pair of dimensions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Turns {
    pairs: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Turns {
    /// Turns for `positions` positions at these frequencies (radians a position), multiplied by `factor`.
    pub(crate) fn new(frequencies: &[f64], positions: usize, factor: f64) -> Self {
        // Angles in fp32, as `transformers` computes them.
        let angles: Vec<f32> =
            (0..positions).flat_map(|position| frequencies.iter().map(move |f| position as f32 * *f as f32)).collect();
        let scaled = |value: f64| (value * factor) as f32;
        Self {
            pairs: frequencies.len(),
            cosines: angles.iter().map(|angle| scaled(f64::from(*angle).cos())).collect(),
            sines: angles.iter().map(|angle| scaled(f64::from(*angle).sin())).collect(),
        }
    }

    /// Number of positions.
    pub(crate) fn positions(&self) -> usize {
        self.cosines.len() / self.pairs.max(1)
    }

    /// Turns the first `heads` heads of `size` numbers of each row of `stride` numbers; `positions` has one for
    /// each row. Backward it turns the other way, which is the gradient.
    pub(crate) fn apply<E: Element>(
        &self,
        rows: &mut [E],
        stride: usize,
        heads: usize,
        size: usize,
        positions: &[u32],
        backward: bool,
    ) {
        // No more tasks than products have: those of a segment of a pass stay on its thread.
        rows.par_chunks_mut(stride * TASK_ROWS)
            .zip(positions.par_chunks(TASK_ROWS))
            .for_each(|(rows, positions)| turn(rows, stride, heads * size, size, positions, self, backward));
    }
}

dispatched! {
    fn turn<E: Element>(rows: &mut [E], stride: usize, width: usize, size: usize, positions: &[u32], turns: &Turns, backward: bool) {
        let pairs = turns.pairs;
        let sign = if backward { -1.0 } else { 1.0 };
        for (row, position) in rows.chunks_exact_mut(stride).zip(positions) {
            let at = *position as usize * pairs;
            let (cosines, sines) = (&turns.cosines[at..at + pairs], &turns.sines[at..at + pairs]);
            for head in row[..width].chunks_exact_mut(size) {
                let (first, second) = head[..2 * pairs].split_at_mut(pairs);
                for (((first, second), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                    let (x, y, sine) = (first.value(), second.value(), sine * sign);
                    *first = E::of(x * cosine - y * sine);
                    *second = E::of(y * cosine + x * sine);
                }
            }
        }
    }
}
