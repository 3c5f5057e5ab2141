//! Number formats of stored weights.

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::Dtype as Stored;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision, 4 bytes.
    F32,
    /// The upper half of single precision, 2 bytes.
    Bf16,
    /// IEEE half precision, 2 bytes; nothing beyond ±65504.
    F16,
}

impl Dtype {
    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// `float32`, `bfloat16` or `float16`, as `config.json` says it.
    pub const fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    pub(super) const fn stored(self) -> Stored {
        match self {
            Self::F32 => Stored::F32,
            Self::Bf16 => Stored::BF16,
            Self::F16 => Stored::F16,
        }
    }

    pub(super) const fn of(stored: Stored) -> Option<Self> {
        match stored {
            Stored::F32 => Some(Self::F32),
            Stored::BF16 => Some(Self::Bf16),
            Stored::F16 => Some(Self::F16),
            _ => None,
        }
    }

    /// Decodes little-endian numbers; `bytes` holds as many as `into`.
    pub(super) fn decode_f32(self, bytes: &[u8], into: &mut [f32]) {
        match self {
            Self::F32 => decode(bytes, into, f32::from_le_bytes),
            Self::Bf16 => decode(bytes, into, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::F16 => decode(bytes, into, |bytes| f16::from_le_bytes(bytes).to_f32()),
        }
    }

    /// Decodes to the bits of bf16, rounded to the nearest, to even between two.
    pub(super) fn decode_bf16(self, bytes: &[u8], into: &mut [u16]) {
        match self {
            Self::F32 => decode(bytes, into, |bytes| bf16::from_f32(f32::from_le_bytes(bytes)).to_bits()),
            Self::Bf16 => decode(bytes, into, u16::from_le_bytes),
            Self::F16 => decode(bytes, into, |bytes| bf16::from_f32(f16::from_le_bytes(bytes).to_f32()).to_bits()),
        }
    }

    /// Encodes to little-endian numbers, rounded to the nearest, to even between two; `into` is what it is to hold.
    pub(super) fn encode(self, values: &[f32], into: &mut [u8]) {
        match self {
            Self::F32 => encode(values, into, f32::to_le_bytes),
            Self::Bf16 => encode(values, into, |value| bf16::from_f32(value).to_le_bytes()),
            Self::F16 => encode(values, into, |value| f16::from_f32(value).to_le_bytes()),
        }
    }
}

/// Numbers that one task converts.
const CHUNK: usize = 1 << 15;

fn decode<const BYTES: usize, T: Send>(bytes: &[u8], into: &mut [T], convert: impl Fn([u8; BYTES]) -> T + Sync) {
    let (numbers, _) = bytes.as_chunks::<BYTES>();
    into.par_chunks_mut(CHUNK).zip(numbers.par_chunks(CHUNK)).for_each(|(into, numbers)| {
        for (into, number) in into.iter_mut().zip(numbers) {
            *into = convert(*number);
        }
    });
}

fn encode<const BYTES: usize>(values: &[f32], into: &mut [u8], convert: impl Fn(f32) -> [u8; BYTES] + Sync) {
    let (numbers, _) = into.as_chunks_mut::<BYTES>();
    numbers.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(numbers, values)| {
        for (number, value) in numbers.iter_mut().zip(values) {
            *number = convert(*value);
        }
    });
}
