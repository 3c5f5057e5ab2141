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
//!
//! [fitted]                  # written by it, too: with what confidence the recall holds, and why
//! recall = 0.995
//! confidence = 0.95
//! positives = 1120          # of the cases that accepted the bands
//! misses = 1                # how many of these they were allowed to miss
//! assured = true
//! ```

mod choosing;

use std::path::Path;

use anyhow::Context;
use deciders::cascade::{Band, Cascade, Stage};
use decision::{Decider, Desk};
use serde::Deserialize;
use toml_edit::DocumentMut;

use super::labels::Labelled;
use super::material::{Set, read};
use super::measure::{Measured, is_positive};
use super::parts::part;
use crate::commands::decide::{Means, single};
use crate::exit::{InputError, UsageError};
use crate::streams;
pub(crate) use choosing::{Aim, Chosen, Figures};
use choosing::{Judged, Witness, choose};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    stage: Vec<Written>,
    #[serde(default)]
    #[expect(dead_code, reason = "for people, and for whoever audits: what decides are the bands")]
    fitted: Option<toml::Table>,
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

/// What each stage of a file decides with.
///
/// # Errors
/// When the file is no cascade.
pub(crate) fn stages(path: &Path) -> anyhow::Result<Vec<String>> {
    // A cascade in a cascade is refused when it is opened: it could be its own.
    let plain = |with: &String| !with.starts_with("cascade=");
    Ok(File::read(path)?.0.stage.into_iter().map(|stage| stage.with).filter(plain).collect())
}

/// The cascade of a file whose bands were fitted.
pub(crate) fn open(path: &Path, desk: &dyn Desk, means: Means) -> anyhow::Result<Cascade> {
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
        Ok(Stage { decider: single(&written.with, desk, means)?, cost: written.cost, band })
    };
    let stages: anyhow::Result<Vec<Stage>> = file.stage.into_iter().enumerate().map(stage).collect();
    Ok(Cascade::new(desk.name(), stages?))
}

/// What fitting comes to.
pub(crate) struct Outcome {
    pub(crate) chosen: Chosen,
    /// What the bands come to on the cases that chose them.
    pub(crate) fitted: Figures,
    /// What the cascade comes to on new cases; none where parts of the cases do not choose as all do.
    pub(crate) expected: Option<Figures>,
}

/// Fits the bands to labelled cases and writes them into the file.
///
/// # Errors
/// When file, stages or cases cannot be used.
pub(crate) fn fit_file(
    path: &Path,
    desk: &dyn Desk,
    cases: &Path,
    aim: &Aim,
    threads: usize,
) -> anyhow::Result<Outcome> {
    let (file, text) = File::read(path)?;
    let mut set = Set { name: cases.display().to_string(), cases: Vec::new() };
    read(cases, |some| set.cases.extend(some))?;
    let stages =
        file.stage.iter().map(|written| judged(&*single(&written.with, desk, Means::of(threads))?, &set, threads));
    let stages: Vec<Vec<Judged>> = stages.collect::<anyhow::Result<_>>()?;
    let witness = |(place, case): (usize, &Labelled)| Witness {
        truth: is_positive(&case.decision.outcome),
        stages: stages.iter().map(|stage| stage[place]).collect(),
        part: part(case),
    };
    let all: Vec<Witness> = set.cases.iter().enumerate().map(witness).collect();
    let chosen = choose(&all.iter().collect::<Vec<_>>(), aim, 0);
    let chosen = chosen.ok_or_else(|| InputError(format!("{} has no positive cases", cases.display())))?;
    streams::write_file(path, with_bands(&text, &chosen, aim)?.as_bytes())?;
    let expected = choosing::expected(&all, aim, chosen.assured);
    Ok(Outcome { fitted: choosing::figures(&all, &chosen.bands), expected, chosen })
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

/// The file's text with other bands and what stands for them; everything else stays as it is.
fn with_bands(text: &str, chosen: &Chosen, aim: &Aim) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let stages = document["stage"].as_array_of_tables_mut().context("the stages are not written as [[stage]]")?;
    for (stage, band) in stages.iter_mut().zip(&chosen.bands) {
        stage["low"] = toml_edit::value(band.low);
        stage["high"] = toml_edit::value(band.high);
    }
    let mut fitted = toml_edit::Table::new();
    fitted["recall"] = toml_edit::value(aim.tolerance.recall);
    fitted["confidence"] = toml_edit::value(aim.tolerance.confidence);
    fitted["positives"] = toml_edit::value(i64::try_from(chosen.positives)?);
    if let Some(misses) = chosen.misses {
        fitted["misses"] = toml_edit::value(i64::try_from(misses)?);
    }
    fitted["assured"] = toml_edit::value(chosen.assured);
    document["fitted"] = toml_edit::Item::Table(fitted);
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use evaluate::Tolerance;

    use super::*;

    #[test]
    fn bands_are_written_and_everything_else_is_kept() {
        let text =
            "# ours\n[[stage]]\nwith = \"a\" # cheap\nlow = 0.5\ncost = 1\n\n[[stage]]\nwith = \"b\"\ncost = 2\n";
        let chosen =
            Chosen { bands: vec![Band { low: 0.25, high: 0.75 }], positives: 700, misses: Some(0), assured: true };
        let tolerance = Tolerance { recall: 0.995, confidence: 0.95 };
        let aim = Aim { tolerance, false_positive_rate: None };
        let written = with_bands(text, &chosen, &aim).expect("TOML");
        let stages = text.replace("low = 0.5\ncost = 1\n", "low = 0.25\ncost = 1\nhigh = 0.75\n");
        let fitted = "recall = 0.995\nconfidence = 0.95\npositives = 700\nmisses = 0\nassured = true\n";
        assert_eq!(written, format!("{stages}\n[fitted]\n{fitted}"));
        // What was fitted before is replaced.
        assert_eq!(with_bands(&written, &chosen, &aim).expect("TOML"), written);
        let unsure = Chosen { misses: None, assured: false, ..chosen };
        let written = with_bands(&written, &unsure, &aim).expect("TOML");
        assert!(written.ends_with("positives = 700\nassured = false\n"), "{written}");
        toml::from_str::<File>(&written).expect("a file that can be read again");
    }
}
