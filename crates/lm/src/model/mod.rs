//! Models over the kernels: blocks, linear layers with adapters, the decoder.

mod build;
mod decoder;
mod dropout;
mod frequencies;
mod linear;
mod matrix;
mod network;
mod stack;

pub use decoder::{Decoder, Method};
