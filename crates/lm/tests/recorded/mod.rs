//! Recorded answers of PyTorch, transformers and peft: see `oracles/transformers/README.md`.

#![allow(dead_code, reason = "each test file uses a part")]

use lm::Tokens;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// A fixture folder.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A recorded file of tensors.
pub(crate) struct Recorded(Vec<u8>);

impl Recorded {
    pub(crate) fn read(name: &str) -> Self {
        Self(std::fs::read(fixture(name)).unwrap())
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.tensors().names().into_iter().map(String::from).collect()
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        let tensors = self.tensors();
        let data = tensors.tensor(name).unwrap();
        data.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        let tensors = self.tensors();
        let data = tensors.tensor(name).unwrap();
        data.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    }

    /// The recorded sequences as one batch.
    pub(crate) fn batch(&self) -> Tokens {
        let tokens: Vec<u32> = self.integers("tokens").into_iter().map(|token| token as u32).collect();
        let has = |name: &str| self.names().iter().any(|known| known == name);
        let targets = if has("targets") { self.integers("targets") } else { Vec::new() };
        let targets = targets.into_iter().map(|target| u32::try_from(target).unwrap_or(Tokens::IGNORED)).collect();
        let mut starts = vec![0];
        match has("lengths") {
            true => starts.extend(self.integers("lengths").iter().scan(0, |end, length| {
                *end += *length as usize;
                Some(*end)
            })),
            false => starts.push(tokens.len()),
        }
        Tokens { tokens, starts, targets }
    }
}

/// The largest difference of two equally long lists.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The norm of the difference as a part of the norm of what was expected.
pub(crate) fn relative(ours: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(ours.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let gap = norm(&mut ours.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    gap / norm(&mut expected.iter().map(|value| f64::from(*value))).max(1e-12)
}
