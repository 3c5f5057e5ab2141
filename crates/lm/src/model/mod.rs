//! Models over the kernels: blocks, linear layers with adapters, the decoder.

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
mod stack;

pub(crate) use build::{Builder, Source};
pub use decoder::{Decoder, Method};
pub use generate::{Answer, Generation};
pub(crate) use matrix::Matrix;
pub(crate) use network::block;
pub(crate) use stack::{Norm, Places, Stack};
