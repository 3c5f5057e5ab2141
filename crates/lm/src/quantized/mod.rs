//! NF4 with double quantisation (Dettmers et al. 2023, QLoRA), with the parts and the constants of bitsandbytes.
//!
//! The numbers of a matrix, row after row, are cut into blocks of 64. A block is divided by its largest absolute
//! value, and each number becomes the nearest of 16 codes, quantiles of a normal distribution. The largest values
//! would cost half a bit per number, so they are quantised too: less their mean, in blocks of 256, to 8 bits.
//! Together that is 4.127 bits a number.

mod int8;
mod quantize;
mod tables;

pub use int8::Int8;
use tables::{DYNAMIC, PAIRS};

/// Numbers of a block.
const BLOCK: usize = 64;
/// Block maxima of a nested block.
const NESTED_BLOCK: usize = 256;

/// A frozen matrix in NF4.
#[derive(Clone, Debug, PartialEq)]
pub struct Nf4 {
    rows: usize,
    columns: usize,
    /// Two to a byte, the first in the upper half; rows follow each other without gaps.
    codes: Vec<u8>,
    /// Code of each block's largest absolute value.
    maxima: Vec<u8>,
    /// Largest absolute value of each nested block.
    nested_maxima: Vec<f32>,
    /// Mean of the block maxima.
    offset: f32,
}

impl Nf4 {
    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.codes.len() + self.maxima.len() + self.nested_maxima.len() * size_of::<f32>() + size_of::<Self>()
    }

    /// Writes the numbers of a row from a column on, as many as the buffer takes. Whole blocks take a fast way; a
    /// row begins with one where the columns are a multiple of 64.
    ///
    /// # Panics
    /// If the row has fewer numbers from that column on.
    pub fn dequantize_row(&self, row: usize, from_column: usize, into: &mut [f32]) {
        assert!(row < self.rows && from_column + into.len() <= self.columns, "row {row} from column {from_column}");
        let first = row * self.columns + from_column;
        let head = into.len().min(first.next_multiple_of(BLOCK) - first);
        let (head, rest) = into.split_at_mut(head);
        self.decode_part(first, head);
        let mut block = (first + head.len()) / BLOCK;
        let (blocks, tail) = rest.as_chunks_mut::<BLOCK>();
        for into in blocks {
            self.decode_block(block, into);
            block += 1;
        }
        self.decode_part(block * BLOCK, tail);
    }

    fn decode_block(&self, block: usize, into: &mut [f32; BLOCK]) {
        let codes = &self.codes[block * BLOCK / 2..][..BLOCK / 2];
        for (into, byte) in into.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
            *into = PAIRS[usize::from(*byte)];
        }
        let maximum = self.maximum(block);
        for value in into {
            *value *= maximum;
        }
    }

    /// Numbers of one block, from any on.
    fn decode_part(&self, first: usize, into: &mut [f32]) {
        if into.is_empty() {
            return;
        }
        let maximum = self.maximum(first / BLOCK);
        for (at, value) in (first..).zip(into) {
            *value = PAIRS[usize::from(self.codes[at / 2])][at % 2] * maximum;
        }
    }

    /// The largest absolute value of a block, as it was kept.
    fn maximum(&self, block: usize) -> f32 {
        DYNAMIC[usize::from(self.maxima[block])] * self.nested_maxima[block / NESTED_BLOCK] + self.offset
    }
}
