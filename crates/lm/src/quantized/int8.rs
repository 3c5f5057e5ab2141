//! Weights in 8 bits: whole numbers from -127 to 127 times a scale that a block of 64 numbers of a row shares
//! (symmetric, round to nearest; the scheme of llama.cpp's Q8, with larger blocks and scales in fp32).

use super::BLOCK;
use rayon::prelude::*;

/// A frozen matrix in 8 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8 {
    rows: usize,
    columns: usize,
    codes: Vec<i8>,
    /// For each row one of every [`BLOCK`] numbers.
    scales: Vec<f32>,
}

impl Int8 {
    /// Quantises a matrix, whose finite numbers come row after row.
    ///
    /// # Panics
    /// If there are not `rows * columns` numbers.
    pub fn quantize(values: &[f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "numbers of a matrix of {rows} x {columns}");
        let mut codes = vec![0; values.len()];
        let mut scales = vec![0.0; rows * columns.div_ceil(BLOCK)];
        codes
            .par_chunks_mut(columns.max(1))
            .zip(scales.par_chunks_mut(columns.div_ceil(BLOCK).max(1)))
            .zip(values.par_chunks(columns.max(1)))
            .for_each(|((codes, scales), values)| {
                let blocks = codes.chunks_mut(BLOCK).zip(values.chunks(BLOCK)).zip(scales);
                blocks.for_each(|((codes, values), scale)| *scale = quantize_block(values, codes));
            });
        Self { rows, columns, codes, scales }
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.codes.len() + self.scales.len() * size_of::<f32>() + size_of::<Self>()
    }

    /// Writes the numbers of a row from a column on, as many as the buffer takes.
    ///
    /// # Panics
    /// If the row has fewer numbers from that column on.
    pub fn dequantize_row(&self, row: usize, from_column: usize, into: &mut [f32]) {
        let end = from_column + into.len();
        assert!(row < self.rows && end <= self.columns, "row {row} from column {from_column}");
        let codes = &self.codes[row * self.columns..][..end];
        let scales = &self.scales[row * self.columns.div_ceil(BLOCK)..];
        for (block, scale) in (from_column / BLOCK..end.div_ceil(BLOCK)).zip(&scales[from_column / BLOCK..]) {
            let range = (block * BLOCK).max(from_column)..((block + 1) * BLOCK).min(end);
            let into = &mut into[range.start - from_column..range.end - from_column];
            for (value, code) in into.iter_mut().zip(&codes[range]) {
                *value = f32::from(*code) * scale;
            }
        }
    }
}

/// Writes the codes of one block and returns its scale.
fn quantize_block(values: &[f32], codes: &mut [i8]) -> f32 {
    let largest = values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    let scale = largest / 127.0;
    // Of a block of zeros, or of numbers so small that they have no reciprocal.
    if scale < f32::MIN_POSITIVE {
        return 0.0;
    }
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (value / scale).round().clamp(-127.0, 127.0) as i8;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn numbers_come_back_within_half_a_step() {
        let mut draw = ChaCha8Rng::seed_from_u64(1);
        for (rows, columns) in [(3, 64), (5, 100), (1, 1), (2, 0), (4, 129)] {
            let values: Vec<f32> = (0..rows * columns).map(|_| draw.random_range(-3.0..3.0)).collect();
            let matrix = Int8::quantize(&values, rows, columns);
            for row in 0..rows {
                let line = &values[row * columns..(row + 1) * columns];
                for from in [0, columns / 3, columns / 2, columns.saturating_sub(1)] {
                    let mut back = vec![f32::NAN; columns - from];
                    matrix.dequantize_row(row, from, &mut back);
                    for (place, (value, back)) in line[from..].iter().zip(&back).enumerate() {
                        let block = (from + place) / BLOCK * BLOCK;
                        let block = &line[block..columns.min(block + BLOCK)];
                        let step = block.iter().fold(0.0, |most: f32, value| most.max(value.abs())) / 127.0;
                        assert!((value - back).abs() <= 0.5001 * step, "{value} {back}");
                    }
                }
            }
        }
        let zeros = Int8::quantize(&[0.0, 1e-45, 0.0], 1, 3);
        let mut back = [1.0; 3];
        zeros.dequantize_row(0, 0, &mut back);
        assert_eq!(back, [0.0; 3]);
    }
}
