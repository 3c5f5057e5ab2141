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

use super::labels::Labelled;
use super::material::{Set, read};
use super::measure::{Measured, is_positive};
use super::parts::{PARTS, part};
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

/// What fitting comes to.
pub(crate) struct Outcome {
    /// What each band comes to on the cases that it was fitted to, in the order of the stages.
    pub(crate) fitted: Vec<Fitted>,
    /// What the cascade comes to on new cases: on each part of the cases with bands that were fitted to the others.
    /// None where positive cases are too few.
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
    let stages = file.stage.iter().map(|written| judged(&*single(&written.with, desk, threads)?, &set, threads));
    let stages: Vec<Vec<Judged>> = stages.collect::<anyhow::Result<_>>()?;
    let witness = |(place, case): (usize, &Labelled)| Witness {
        truth: is_positive(&case.decision.outcome),
        stages: stages.iter().map(|stage| stage[place]).collect(),
        part: part(case),
    };
    let all: Vec<Witness> = set.cases.iter().enumerate().map(witness).collect();
    let fitted = fit_bands(&all.iter().collect::<Vec<_>>(), aim);
    let fitted = fitted.ok_or_else(|| InputError(format!("{} has no positive cases", cases.display())))?;
    streams::write_file(path, with_bands(&text, &fitted)?.as_bytes())?;
    Ok(Outcome { fitted, expected: expected(&all, aim) })
}

/// A case as all stages see it.
struct Witness {
    truth: bool,
    stages: Vec<Judged>,
    part: u64,
}

impl Witness {
    /// Whether the cascade finds the case positive from a stage on, whose band is the first of these.
    fn is_found(&self, stage: usize, bands: &[Band]) -> bool {
        let judged = self.stages[stage];
        match bands.split_first() {
            Some((band, later)) if band.passes_on(judged.score) => self.is_found(stage + 1, later),
            _ => judged.positive,
        }
    }
}

/// Bands from the last stage but one to the first, each fitted to what comes after it; in the order of the stages.
/// Nothing if there are no positive cases.
fn fit_bands(cases: &[&Witness], aim: &Aim) -> Option<Vec<Fitted>> {
    let stages = cases.first()?.stages.len();
    let (mut fitted, mut bands): (Vec<Fitted>, Vec<Band>) = (Vec::new(), Vec::new());
    for stage in (0..stages - 1).rev() {
        let seen = |case: &&Witness| Seen {
            truth: case.truth,
            score: case.stages[stage].score,
            first: case.stages[stage].positive,
            next: case.is_found(stage + 1, &bands),
        };
        let found = fit(&cases.iter().map(seen).collect::<Vec<_>>(), aim.recall, aim.false_positive_rate)?;
        fitted.insert(0, found);
        bands.insert(0, found.band);
    }
    Some(fitted)
}

/// What a cascade comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// Share of cases that the first stage passes on.
    pub(crate) share: f64,
    /// Share of the positive cases that are found.
    pub(crate) recall: f64,
    /// Share of the others that are taken for positive.
    pub(crate) false_positive_rate: f64,
}

fn expected(cases: &[Witness], aim: &Aim) -> Option<Figures> {
    let mut passed = 0;
    // Cases that are taken for positive, and all: negative ones, then positive ones.
    let mut counts = [[0usize; 2]; 2];
    for part in 0..PARTS {
        let (held, others): (Vec<&Witness>, Vec<&Witness>) = cases.iter().partition(|case| case.part == part);
        let bands: Vec<Band> = fit_bands(&others, aim)?.iter().map(|fitted| fitted.band).collect();
        for case in held {
            passed += usize::from(bands[0].passes_on(case.stages[0].score));
            let [found, all] = &mut counts[usize::from(case.truth)];
            *found += usize::from(case.is_found(0, &bands));
            *all += 1;
        }
    }
    let share = |[found, all]: [usize; 2]| if all == 0 { 0.0 } else { found as f64 / all as f64 };
    let [false_positive_rate, recall] = counts.map(share);
    Some(Figures { share: share([passed, cases.len()]), recall, false_positive_rate })
}

/// What a stage says of a case.
#[derive(Clone, Copy)]
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

    /// A hundred cases with scores of their own, of which the dear stage alone knows which are positive: those from 50
    /// on and, among the others, one in ten.
    fn witnesses() -> Vec<Witness> {
        let witness = |at: u64| {
            let truth = at >= 50 || at % 10 == 9;
            let cheap = Judged { score: Some(at as f64 / 100.0), positive: at >= 50 };
            Witness { truth, stages: vec![cheap, Judged { score: None, positive: truth }], part: at % PARTS }
        };
        (0..100).map(witness).collect()
    }

    #[test]
    fn what_new_cases_can_expect_is_not_what_the_bands_were_fitted_to() {
        let all = witnesses();
        let aim = Aim { recall: 1.0, false_positive_rate: None };
        let fitted = fit_bands(&all.iter().collect::<Vec<_>>(), &aim).expect("positive cases");
        assert_eq!((fitted[0].recall, fitted[0].share), (1.0, 0.41));
        // All of the hidden cases are in one part: bands that were fitted without them pass none of them on.
        let expected = expected(&all, &aim).expect("positive cases");
        assert_eq!(expected.recall, 50.0 / 55.0);
        assert_eq!(super::expected(&all[..9], &aim), None);
    }

    #[test]
    fn three_stages_are_fitted_from_the_last_to_the_first() {
        let mut all = witnesses();
        for (at, case) in all.iter_mut().enumerate() {
            // A middle stage that is right from 20 on.
            let middle = Judged { score: Some(at as f64 / 100.0), positive: at >= 20 && case.truth };
            case.stages.insert(1, middle);
        }
        let aim = Aim { recall: 1.0, false_positive_rate: None };
        let fitted = fit_bands(&all.iter().collect::<Vec<_>>(), &aim).expect("positive cases");
        let bands: Vec<Band> = fitted.iter().map(|fitted| fitted.band).collect();
        assert!((fitted[0].recall, fitted[0].share) == (1.0, 0.41) && fitted[1].share == 0.11, "{fitted:?}");
        assert!(all.iter().all(|case| case.is_found(0, &bands) == case.truth));
    }
}
