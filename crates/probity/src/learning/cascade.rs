//! Cascades as files: their stages, what a decision of each costs, and which scores go on.
//!
//! ```toml
//! [[stage]]
//! with = "models/multihead"
//! cost = 1
//! low = 0.013               # written by `probity cascade fit`: scores from low to high go on
//! high = 0.42
//!
//! [[stage]]
//! with = "rules"
//! cost = 20
//! ```

use std::path::Path;

use anyhow::Context;
use deciders::cascade::{Band, Cascade, Fitted, Seen, Stage, fit};
use decision::{Decider, Desk};
use serde::Deserialize;
use toml_edit::DocumentMut;

use super::material::{Set, read};
use super::measure::{Measured, is_positive};
use crate::commands::decide::single;
use crate::exit::{InputError, UsageError};
use crate::streams;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    stage: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    with: String,
    cost: f64,
    low: Option<f64>,
    high: Option<f64>,
}

impl File {
    fn read(path: &Path) -> anyhow::Result<(Self, String)> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        let refused = |problem: String| UsageError(format!("{}: {problem}", path.display()));
        let file: Self = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if file.stage.len() < 2 {
            return Err(refused("a cascade has two stages or more".to_owned()).into());
        }
        if let Some(stage) = file.stage.iter().find(|stage| !(stage.cost >= 0.0 && stage.cost.is_finite())) {
            return Err(refused(format!("cost = {} is no number from 0 on", stage.cost)).into());
        }
        Ok((file, text))
    }
}

/// The cascade of a file whose bands were fitted.
pub(crate) fn open(path: &Path, desk: &dyn Desk, threads: usize) -> anyhow::Result<Cascade> {
    let (file, _) = File::read(path)?;
    let last = file.stage.len() - 1;
    let stage = |(number, written): (usize, Written)| {
        let band = match (written.low, written.high) {
            _ if number == last => Band::ALL,
            (Some(low), Some(high)) => Band { low, high },
            _ => {
                let place = path.display();
                let problem =
                    format!("{place}: stage {} has no low and high: fit them by `probity cascade fit`", number + 1);
                return Err(UsageError(problem).into());
            }
        };
        Ok(Stage { decider: single(&written.with, desk, threads)?, cost: written.cost, band })
    };
    let stages: anyhow::Result<Vec<Stage>> = file.stage.into_iter().enumerate().map(stage).collect();
    Ok(Cascade::new(desk.name(), stages?))
}

/// What a cascade must reach.
pub(crate) struct Aim {
    pub(crate) recall: f64,
    pub(crate) false_positive_rate: Option<f64>,
}

/// Fits the bands to labelled cases and writes them into the file; from the last stage but one to the first, each to
/// what comes after it. Returns what each band comes to, in the order of the stages.
///
/// # Errors
/// When file, stages or cases cannot be used.
pub(crate) fn fit_file(
    path: &Path,
    desk: &dyn Desk,
    cases: &Path,
    aim: &Aim,
    threads: usize,
) -> anyhow::Result<Vec<Fitted>> {
    let (file, text) = File::read(path)?;
    let mut set = Set { name: cases.display().to_string(), cases: Vec::new() };
    read(cases, |some| set.cases.extend(some))?;
    let seen = |written: &Written| judged(&*single(&written.with, desk, threads)?, &set, threads);
    let stages: Vec<Vec<Judged>> = file.stage.iter().map(seen).collect::<anyhow::Result<_>>()?;
    let truths: Vec<bool> = set.cases.iter().map(|case| is_positive(&case.decision.outcome)).collect();
    let mut fitted = Vec::new();
    let mut later: Vec<bool> = stages[stages.len() - 1].iter().map(|judged| judged.positive).collect();
    for stage in stages.iter().rev().skip(1) {
        let together = truths.iter().zip(stage).zip(&later);
        let cases_seen: Vec<Seen> = together
            .map(|((truth, own), next)| Seen { truth: *truth, score: own.score, first: own.positive, next: *next })
            .collect();
        let found = fit(&cases_seen, aim.recall, aim.false_positive_rate);
        let found = found.ok_or_else(|| InputError(format!("{} has no positive cases", cases.display())))?;
        for (next, seen) in later.iter_mut().zip(&cases_seen) {
            *next = if found.band.passes_on(seen.score) { seen.next } else { seen.first };
        }
        fitted.push(found);
    }
    fitted.reverse();
    streams::write_file(path, with_bands(&text, &fitted)?.as_bytes())?;
    Ok(fitted)
}

/// What a stage says of a case.
struct Judged {
    score: Option<f64>,
    positive: bool,
}

fn judged(decider: &dyn Decider, set: &Set, threads: usize) -> anyhow::Result<Vec<Judged>> {
    let measured = Measured::of(decider, set, threads)?;
    let decisions = measured.observations.list.into_iter().map(|seen| seen.decision);
    Ok(decisions
        .map(|decision| Judged {
            score: decision.as_ref().and_then(|decision| decision.score),
            positive: decision.is_some_and(|decision| is_positive(&decision.outcome)),
        })
        .collect())
}

/// The file's text with other bands; everything else stays as it is.
fn with_bands(text: &str, fitted: &[Fitted]) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let stages = document["stage"].as_array_of_tables_mut().context("the stages are not written as [[stage]]")?;
    for (stage, fitted) in stages.iter_mut().zip(fitted) {
        stage["low"] = toml_edit::value(fitted.band.low);
        stage["high"] = toml_edit::value(fitted.band.high);
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_written_and_everything_else_is_kept() {
        let text =
            "# ours\n[[stage]]\nwith = \"a\" # cheap\nlow = 0.5\ncost = 1\n\n[[stage]]\nwith = \"b\"\ncost = 2\n";
        let band = Band { low: 0.25, high: 0.75 };
        let fitted = Fitted { band, share: 0.0, recall: 1.0, false_positive_rate: 0.0 };
        let written = with_bands(text, &[fitted]).expect("TOML");
        let expected = text.replace("low = 0.5\ncost = 1\n", "low = 0.25\ncost = 1\nhigh = 0.75\n");
        assert_eq!(written, expected);
    }
}
