//! What a model learns from: cases drawn without end and labelled by rules, or files of labelled lines.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context;
use deciders::rules::Rules;
use decision::{Case, Decider, Decision, Desk, Reason, mixing};
use desks::transactions::{Generator, RECIPE, Recipe, Transactions};
use rayon::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::labels::{Labelled, Labeller};
use crate::exit::InputError;
use crate::streams;

/// Candidates that a model is fitted to before it learns: quantiles, words, and whether there is anything to learn.
const SAMPLE: u64 = 4096;

/// Where labelled cases come from.
pub(crate) enum Origin {
    /// Drawn by the desk's recipes, labelled by rules.
    Drawn(Rules),
    /// `train.jsonl` and `validation.jsonl` of a folder, as `probity split` makes them.
    Folder(PathBuf),
}

/// What there is to learn from.
pub(crate) struct Material {
    pub(crate) training: Training,
    pub(crate) validation: Vec<Set>,
    /// Cases to fit tokenizers and quantiles to.
    pub(crate) sample: Vec<Labelled>,
    /// What names it, so that a run is not resumed with other data.
    pub(crate) card: Value,
}

/// Cases to train on.
pub(crate) enum Training {
    /// Candidates by number, without end.
    Endless(Box<Labeller>),
    /// Those of a file.
    Kept(PathBuf),
}

/// Cases to validate on.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) cases: Vec<Labelled>,
}

impl Set {
    /// SHA-256 of what it teaches: facts and outcome of each case, a line each.
    pub(super) fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        self.cases.iter().for_each(|case| hash.update(format!("{} {}\n", case.facts, case.decision.outcome)));
        format!("{:x}", hash.finalize())
    }
}

impl Origin {
    /// Finds the material; `seed` is the run's, `validation` the number of cases of each validation set that is drawn.
    pub(crate) fn open(&self, seed: u64, validation: usize) -> anyhow::Result<Material> {
        let material = match self {
            Self::Drawn(rules) => drawn(rules, seed, validation)?,
            Self::Folder(folder) => kept(folder)?,
        };
        let outcomes = material.sample.iter().map(|case| &case.decision.outcome);
        let first = outcomes.clone().next().map(String::as_str).unwrap_or_default();
        if outcomes.clone().all(|outcome| outcome == first) {
            let count = material.sample.len();
            let problem = format!("all {count} cases looked at have the outcome `{first}`: there is nothing to learn");
            return Err(InputError(problem).into());
        }
        Ok(material)
    }
}

/// A generator's seed for a part of a run: far from the small numbers that people choose for sets of their own, so
/// that nobody tests on cases that were trained on.
fn part_seed(seed: u64, part: u64) -> u64 {
    mixing::drawn(0, seed.wrapping_mul(4).wrapping_add(part).wrapping_add(1))
}

fn drawn(rules: &Rules, seed: u64, validation: usize) -> anyhow::Result<Material> {
    let labeller = |generator: Generator| Labeller { generator, rules: rules.clone() };
    let training = labeller(Generator::training(part_seed(seed, 0))?);
    let sets = [
        ("ordinary", Generator::new(Recipe::read(RECIPE)?, part_seed(seed, 1))),
        ("training mix", Generator::training(part_seed(seed, 2))?),
    ];
    let validation: anyhow::Result<Vec<Set>> = sets
        .into_iter()
        .map(|(name, generator)| {
            // Few candidates have no label.
            let mut cases = labeller(generator).draw(0..validation as u64 + validation as u64 / 8 + 8)?;
            cases.truncate(validation);
            Ok(Set { name: name.to_owned(), cases })
        })
        .collect();
    Ok(Material {
        sample: training.draw(0..SAMPLE)?,
        training: Training::Endless(Box::new(training)),
        validation: validation?,
        card: json!({"source": "drawn", "labelled_by": rules.identity()}),
    })
}

fn kept(folder: &Path) -> anyhow::Result<Material> {
    let [train, validation] = ["train.jsonl", "validation.jsonl"].map(|name| folder.join(name));
    for path in [&train, &validation] {
        if !path.exists() {
            let problem = format!("{} is not there; `probity split` makes it of labelled cases", path.display());
            return Err(InputError(problem).into());
        }
    }
    let (mut sample, mut validated) = (Vec::new(), Vec::new());
    let train_digest = read(&train, |cases| {
        if sample.is_empty() {
            sample = cases;
        }
    })?;
    let validation_digest = read(&validation, |cases| validated.extend(cases))?;
    Ok(Material {
        sample,
        training: Training::Kept(train),
        validation: vec![Set { name: "validation.jsonl".to_owned(), cases: validated }],
        card: json!({"source": "files", "train": train_digest, "validation": validation_digest}),
    })
}

/// Reads the labelled lines of a file, some thousand at a time, because facts take much more room than what models
/// keep of them. Returns the file's SHA-256.
pub(super) fn read(path: &Path, mut take: impl FnMut(Vec<Labelled>)) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut any = false;
    let mut lines = streams::input(Some(path))?.split(b'\n').enumerate().peekable();
    while lines.peek().is_some() {
        let mut chunk = Vec::with_capacity(SAMPLE as usize);
        for (index, line) in lines.by_ref().take(SAMPLE as usize) {
            let line = line.with_context(|| format!("failed to read {}", path.display()))?;
            hash.update(&line);
            hash.update(b"\n");
            if !line.iter().all(u8::is_ascii_whitespace) {
                chunk.push((index as u64 + 1, line));
            }
        }
        let labelled = chunk.par_iter().map(|(number, line)| {
            labelled(line, *number).map_err(|problem| InputError(format!("{}:{number}: {problem}", path.display())))
        });
        let labelled: Vec<Labelled> = labelled.collect::<Result<_, _>>()?;
        any |= !labelled.is_empty();
        take(labelled);
    }
    if !any {
        return Err(InputError(format!("{} has no cases", path.display())).into());
    }
    Ok(format!("{:x}", hash.finalize()))
}

fn labelled(line: &[u8], number: u64) -> Result<Labelled, String> {
    let case = Case::read(line, number).map_err(|error| error.to_string())?;
    let truth = Transactions.truth(line).ok_or("the line has no label")?;
    let reasons = truth.reasons.into_iter().map(|code| Reason { code, ..Reason::default() }).collect();
    let decision = Decision { outcome: truth.outcome, level: truth.level, reasons, ..Decision::default() };
    let facts = serde_json::from_str(case.facts).map_err(|error| error.to_string())?;
    let labelled = Labelled { facts, decision };
    labelled.target()?;
    Ok(labelled)
}
