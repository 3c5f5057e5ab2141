//! `probity split`: train, validation and test sets that share no person.

use std::io::{BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use desks::transactions::facts::person_of;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::exit::{Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder with cases.jsonl, or a file of case lines.
    input: PathBuf,
    /// Where to write train.jsonl, validation.jsonl and test.jsonl; the input's folder if left out.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Shares of the three sets, in per cent.
    #[arg(long, value_delimiter = ',', default_values_t = [80, 10, 10])]
    shares: Vec<u32>,
    /// Another seed puts other persons into each set.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

const SETS: [&str; 3] = ["train.jsonl", "validation.jsonl", "test.jsonl"];

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let shares: [u32; 3] = arguments
        .shares
        .as_slice()
        .try_into()
        .ok()
        .filter(|shares: &[u32; 3]| shares.iter().sum::<u32>() == 100)
        .ok_or_else(|| UsageError("--shares takes three numbers that add up to 100".to_owned()))?;
    let input = file_of(&arguments.input);
    let out = arguments.out.clone().or_else(|| input.parent().map(Path::to_owned)).unwrap_or_default();
    let counts = split(&input, &out, shares, arguments.seed)?;
    streams::note(&format!("train {}, validation {}, test {} cases", counts[0], counts[1], counts[2]));
    Ok(Status::Done)
}

/// The case file that a folder or a file name stands for.
pub(crate) fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("cases.jsonl") } else { path.to_owned() }
}

/// Splits by person; lines without one go by their own text.
pub(crate) fn split(input: &Path, out: &Path, shares: [u32; 3], seed: u64) -> anyhow::Result<[u64; 3]> {
    std::fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
    let mut files = Vec::new();
    for name in SETS {
        let path = out.join(format!("{name}.part"));
        let file = std::fs::File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        files.push(BufWriter::new(file));
    }
    let mut counts = [0; 3];
    for line in streams::input(Some(input))?.lines() {
        let line = line.with_context(|| format!("failed to read {}", input.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        let set = set_of(person_of(&value).as_deref().unwrap_or(&line), shares, seed);
        writeln!(files[set], "{line}")?;
        counts[set] += 1;
    }
    for (name, mut file) in SETS.into_iter().zip(files) {
        file.flush()?;
        std::fs::rename(out.join(format!("{name}.part")), out.join(name))?;
    }
    Ok(counts)
}

fn set_of(person: &str, shares: [u32; 3], seed: u64) -> usize {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(person.as_bytes());
    let digest = hash.finalize();
    let place = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]) % 100;
    if place < shares[0] {
        0
    } else if place < shares[0] + shares[1] {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_in_one_set_and_the_shares_hold() {
        let mut counts = [0; 3];
        for person in 0..10_000 {
            let name = format!("P{person}");
            let set = set_of(&name, [80, 10, 10], 42);
            assert_eq!(set, set_of(&name, [80, 10, 10], 42));
            counts[set] += 1;
        }
        assert!((7800..8200).contains(&counts[0]) && (850..1150).contains(&counts[1]), "{counts:?}");
    }
}
