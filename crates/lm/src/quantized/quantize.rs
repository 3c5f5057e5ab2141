//! From numbers to codes.

use super::tables::{CODES, DYNAMIC};
use super::{BLOCK, NESTED_BLOCK, Nf4};
use rayon::prelude::*;

/// Below it, a maximum counts as this, so that a block of zeros is not divided by zero and stays zero.
const SMALLEST: f32 = 1e-38;
/// Blocks that one task quantises.
const TASK: usize = 1 << 10;

impl Nf4 {
    /// Quantises a matrix, whose finite numbers come row after row.
    ///
    /// # Panics
    /// If there are not `rows * columns` numbers.
    pub fn quantize(values: &[f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "numbers of a matrix of {rows} x {columns}");
        let mut codes = vec![0; values.len().div_ceil(2)];
        let mut maxima = vec![0.0; values.len().div_ceil(BLOCK)];
        codes
            .par_chunks_mut(TASK * BLOCK / 2)
            .zip(maxima.par_chunks_mut(TASK))
            .zip(values.par_chunks(TASK * BLOCK))
            .for_each(|((codes, maxima), values)| {
                let blocks = values.chunks(BLOCK).zip(codes.chunks_mut(BLOCK / 2)).zip(maxima);
                blocks.for_each(|((values, codes), maximum)| *maximum = quantize_block(values, codes));
            });
        let sum = maxima.iter().map(|maximum| f64::from(*maximum)).sum::<f64>();
        let offset = (sum / maxima.len().max(1) as f64) as f32;
        let (maxima, nested_maxima) = quantize_maxima(&maxima, offset);
        Self { rows, columns, codes, maxima, nested_maxima, offset }
    }
}

/// Writes the codes of one block and returns its largest absolute value.
fn quantize_block(values: &[f32], codes: &mut [u8]) -> f32 {
    let maximum = largest(values.iter().copied());
    let scale = 1.0 / maximum.max(SMALLEST);
    for (byte, pair) in codes.iter_mut().zip(values.chunks(2)) {
        let second = pair.get(1).copied().unwrap_or(0.0);
        *byte = nearest_code(pair[0] * scale) << 4 | nearest_code(second * scale);
    }
    maximum
}

/// How many middles between neighbouring codes lie below: the nearest code, the lower one of two that are as near.
fn nearest_code(value: f32) -> u8 {
    const MIDDLES: [f32; 15] = {
        let mut middles = [0.0; 15];
        let mut at = 0;
        while at < 15 {
            middles[at] = (CODES[at] + CODES[at + 1]) / 2.0;
            at += 1;
        }
        middles
    };
    MIDDLES.iter().map(|middle| u8::from(value > *middle)).sum()
}

/// Codes of the block maxima less the offset, and the largest absolute value of each nested block.
fn quantize_maxima(maxima: &[f32], offset: f32) -> (Vec<u8>, Vec<f32>) {
    let mut codes = Vec::with_capacity(maxima.len());
    let mut nested_maxima = Vec::with_capacity(maxima.len().div_ceil(NESTED_BLOCK));
    for block in maxima.chunks(NESTED_BLOCK) {
        let maximum = largest(block.iter().map(|value| value - offset));
        let scale = 1.0 / maximum.max(SMALLEST);
        codes.extend(block.iter().map(|value| nearest_dynamic((value - offset) * scale)));
        nested_maxima.push(maximum);
    }
    (codes, nested_maxima)
}

fn nearest_dynamic(value: f32) -> u8 {
    let above = DYNAMIC.partition_point(|code| *code < value).clamp(1, 255);
    let middle = (DYNAMIC[above - 1] + DYNAMIC[above]) / 2.0;
    if value > middle { above as u8 } else { (above - 1) as u8 }
}

fn largest(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |largest, value| value.abs().max(largest))
}
