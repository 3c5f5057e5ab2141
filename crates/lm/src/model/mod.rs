//! Models over the kernels: blocks, linear layers with adapters, the decoder.

mod adapters;
mod advance;
mod build;
mod cache;
mod decoder;
mod dropout;
mod frequencies;
mod generate;
mod linear;
mod matrix;
mod network;
mod segment;
mod stack;
mod tables;

pub(crate) use adapters::AdapterSet;
pub(crate) use advance::{HELD, Piece, Reader};
pub(crate) use build::{Builder, Source};
pub(crate) use cache::{Cache, Page, Pool};
pub(crate) use decoder::Kind;
pub use decoder::{Decoder, Method, WeightStorage};
pub use generate::{Answer, Generation};
pub(crate) use matrix::Matrix;
pub(crate) use network::{Network, block};
pub(crate) use stack::{Norm, Places, Stack};
