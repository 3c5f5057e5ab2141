//! A weight matrix as it is held: among the trained parameters, or frozen in one of several storages.

use crate::kernel::{Bf16, Element, Lines, Right, View, product};
use crate::quantized::{Int8, Nf4};
use std::ops::Range;

/// A matrix of so many rows (outputs) and columns (inputs), row-major.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) storage: Storage,
}

/// Where the numbers of a matrix are.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Among the parameters in training.
    Trained(Range<usize>),
    /// Frozen in fp32.
    Full(Vec<f32>),
    /// Frozen in bf16.
    Half(Vec<Bf16>),
    /// Frozen in few bits, tensor by tensor as they are quantised, rows on rows.
    Quantized(Stacked),
}

/// Quantised tensors of equal width laid one below another.
#[derive(Clone, Debug)]
pub(crate) struct Stacked(pub(crate) Vec<Quantized>);

/// A quantised tensor.
#[derive(Clone, Debug)]
pub(crate) enum Quantized {
    Int8(Int8),
    Nf4(Nf4),
}

impl Quantized {
    fn rows(&self) -> usize {
        match self {
            Self::Int8(tensor) => tensor.rows(),
            Self::Nf4(tensor) => tensor.rows(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Int8(tensor) => tensor.bytes(),
            Self::Nf4(tensor) => tensor.bytes(),
        }
    }

    fn dequantize_row(&self, row: usize, from: usize, into: &mut [f32]) {
        match self {
            Self::Int8(tensor) => tensor.dequantize_row(row, from, into),
            Self::Nf4(tensor) => tensor.dequantize_row(row, from, into),
        }
    }
}

impl Lines for Stacked {
    fn read(&self, row: usize, from: usize, into: &mut [f32]) {
        let mut row = row;
        for tensor in &self.0 {
            if row < tensor.rows() {
                return tensor.dequantize_row(row, from, into);
            }
            row -= tensor.rows();
        }
        panic!("a row beyond the last of a quantised matrix");
    }
}

impl Matrix {
    /// The matrix as what a product applies to rows of inputs. `values` are the trained parameters.
    pub(crate) fn applied<'a>(&'a self, values: &'a [f32]) -> Right<'a> {
        match &self.storage {
            Storage::Trained(range) => Right::Full(View::deep(&values[range.clone()], self.columns)),
            Storage::Full(data) => Right::Full(View::deep(data, self.columns)),
            Storage::Half(data) => Right::Half(View::deep(data, self.columns)),
            Storage::Quantized(stacked) => Right::MadeDeep(stacked),
        }
    }

    /// The matrix as what a product applies to gradients of outputs.
    pub(crate) fn transposed<'a>(&'a self, values: &'a [f32]) -> Right<'a> {
        match &self.storage {
            Storage::Trained(range) => Right::Full(View::wide(&values[range.clone()], self.columns)),
            Storage::Full(data) => Right::Full(View::wide(data, self.columns)),
            Storage::Half(data) => Right::Half(View::wide(data, self.columns)),
            Storage::Quantized(stacked) => Right::MadeWide(stacked),
        }
    }

    /// Whether reading the matrix costs arithmetic: packing it would undo what its storage saves.
    pub(crate) fn is_quantized(&self) -> bool {
        matches!(self.storage, Storage::Quantized(_))
    }

    /// A row in fp32.
    pub(crate) fn row(&self, values: &[f32], row: usize, into: &mut [f32]) {
        let range = row * self.columns..(row + 1) * self.columns;
        match &self.storage {
            Storage::Trained(place) => into.copy_from_slice(&values[place.clone()][range]),
            Storage::Full(data) => into.copy_from_slice(&data[range]),
            Storage::Half(data) => {
                for (into, value) in into.iter_mut().zip(&data[range]) {
                    *into = value.value();
                }
            }
            Storage::Quantized(stacked) => stacked.read(row, 0, into),
        }
    }

    /// The place of the gradient, if the matrix learns.
    pub(crate) fn gradient<'a>(&self, gradients: &'a mut [f32]) -> Option<&'a mut [f32]> {
        match &self.storage {
            Storage::Trained(range) => Some(&mut gradients[range.clone()]),
            _ => None,
        }
    }

    /// Adds the gradient, from rows of the output's gradient and rows of the input, if the matrix learns.
    pub(crate) fn add_gradient<E: Element>(&self, gradients: &mut [f32], out_gradient: &[E], input: &[E]) {
        let Some(gradient) = self.gradient(gradients) else { return };
        let count = out_gradient.len() / self.rows;
        let right = E::right(View::wide(input, self.columns));
        let out = f32::output(gradient, self.columns, true);
        product([self.rows, self.columns, count], View::wide(out_gradient, self.rows), right, out);
    }

    /// Bytes that a frozen matrix holds.
    pub(crate) fn bytes(&self) -> usize {
        match &self.storage {
            Storage::Trained(_) => 0,
            Storage::Full(data) => data.len() * 4,
            Storage::Half(data) => data.len() * 2,
            Storage::Quantized(stacked) => stacked.0.iter().map(Quantized::bytes).sum(),
        }
    }
}
