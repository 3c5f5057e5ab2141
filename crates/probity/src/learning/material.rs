//! What a model learns from: cases drawn without end and labelled by rules, or files of labelled lines.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Outcomes of all cases that were looked at: those of the file, or of the sample where cases are drawn without end.
    outcomes: BTreeSet<String>,
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
        if let (Some(only), 1) = (material.outcomes.first(), material.outcomes.len()) {
            let problem = format!("all cases looked at have the outcome `{only}`: there is nothing to learn");
            return Err(InputError(problem).into());
        }
        Ok(material)
    }
}

/// Cases of a file that stand for all of it, however it is sorted: those whose places, mixed, are the smallest numbers.
#[derive(Default)]
struct Sample {
    seen: u64,
    /// Of all cases, also those that are not kept.
    outcomes: BTreeSet<String>,
    /// By the mixed place, which no two cases share; with the place itself.
    kept: BTreeMap<u64, (u64, Labelled)>,
}

impl Sample {
    fn take(&mut self, cases: Vec<Labelled>) {
        for case in cases {
            self.seen += 1;
            if !self.outcomes.contains(&case.decision.outcome) {
                self.outcomes.insert(case.decision.outcome.clone());
            }
            self.kept.insert(mixing::drawn(0, self.seen), (self.seen, case));
            if self.kept.len() as u64 > SAMPLE {
                self.kept.pop_last();
            }
        }
    }

    /// In the file's order.
    fn into_cases(self) -> Vec<Labelled> {
        let mut kept: Vec<(u64, Labelled)> = self.kept.into_values().collect();
        kept.sort_unstable_by_key(|(place, _)| *place);
        kept.into_iter().map(|(_, case)| case).collect()
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
    let sample = training.draw(0..SAMPLE)?;
    Ok(Material {
        outcomes: sample.iter().map(|case| case.decision.outcome.clone()).collect(),
        sample,
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
    let (mut sample, mut validated) = (Sample::default(), Vec::new());
    let train_digest = read(&train, |cases| sample.take(cases))?;
    let validation_digest = read(&validation, |cases| validated.extend(cases))?;
    Ok(Material {
        outcomes: std::mem::take(&mut sample.outcomes),
        sample: sample.into_cases(),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn case(number: u64) -> Labelled {
        Labelled { facts: json!(number), decision: Decision::default() }
    }

    fn sample(count: u64, together: u64) -> Vec<u64> {
        let mut sample = Sample::default();
        for first in (0..count).step_by(together as usize) {
            sample.take((first..count.min(first + together)).map(case).collect());
        }
        sample.into_cases().iter().filter_map(|case| case.facts.as_u64()).collect()
    }

    #[test]
    fn a_sample_is_spread_over_the_whole_file_and_always_the_same() {
        let chosen = sample(40_000, 4096);
        assert_eq!(chosen.len(), SAMPLE as usize);
        assert!(chosen.is_sorted());
        for (part, number) in chosen.chunks(SAMPLE as usize / 8).zip(0..8) {
            assert!(part[0].abs_diff(number * 5_000) < 1_500, "{number}: {}", part[0]);
        }
        assert_eq!(chosen, sample(40_000, 1000));
        assert_eq!(sample(300, 4096), (0..300).collect::<Vec<_>>());
    }

    #[test]
    fn one_case_of_another_outcome_is_found_in_any_file() {
        let kept = sample(40_000, 4096);
        let left_out = (0..40_000).find(|number| !kept.contains(number)).expect("more cases than are kept");
        let outcome = |number: u64| if number == left_out { "SAR" } else { "CLEAR" };
        let of = |number: u64| {
            let decision = Decision { outcome: outcome(number).to_owned(), ..Decision::default() };
            Labelled { decision, ..case(number) }
        };
        let mut sample = Sample::default();
        sample.take((0..40_000).map(of).collect());
        assert_eq!(sample.outcomes.iter().collect::<Vec<_>>(), ["CLEAR", "SAR"]);
        assert!(sample.into_cases().iter().all(|case| case.decision.outcome == "CLEAR"));
    }
}
