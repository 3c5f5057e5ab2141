//! Calibrates the scores of an artifact on labelled cases that its model has not learned from.

use std::path::Path;

use deciders::artifact::Manifest;
use deciders::calibration::{Calibration, Curve, Method};
use evaluate::{OperatingPoint, calibration_error};
use serde::{Deserialize, Serialize};

use super::material::{Set, read};
use super::measure::Measured;
use crate::exit::InputError;

/// `[calibration]` of a recipe, and the options of `probity calibrate`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CalibrationSettings {
    /// How the curve is fitted.
    pub(crate) method: Method,
    /// Share of the positive cases that the threshold is to find.
    pub(crate) recall: f64,
}

impl Default for CalibrationSettings {
    fn default() -> Self {
        Self { method: Method::default(), recall: 0.995 }
    }
}

/// Parts that a curve is tried on, each by one that was fitted to the others.
const PARTS: usize = 5;

impl CalibrationSettings {
    /// Says what cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_share = self.recall > 0.0 && self.recall <= 1.0;
        if is_share { Ok(()) } else { Err(format!("calibration.recall: {} is no share above 0", self.recall)) }
    }

    /// Fits to scores with their truths.
    ///
    /// # Errors
    /// Why these cases do not allow it.
    pub(super) fn fit(&self, scored: &[(f64, bool)], cases_sha256: String) -> Result<Calibration, String> {
        let positives = scored.iter().filter(|(_, truth)| *truth).count();
        let curve = Curve::fit(self.method, scored).ok_or_else(|| {
            format!("of {} scored cases {positives} are positive: both kinds are needed", scored.len())
        })?;
        let calibrated: Vec<(f64, bool)> = scored.iter().map(|(score, truth)| (curve.apply(*score), *truth)).collect();
        let point = OperatingPoint::at_recall(&calibrated, self.recall).ok_or("both kinds are needed")?;
        Ok(Calibration {
            recall: self.recall,
            threshold: point.threshold,
            false_positive_rate: point.false_positive_rate,
            cases: scored.len(),
            positives,
            error_before: calibration_error(scored),
            error_after: calibration_error(&self.held_out(scored, &curve)),
            curve,
            cases_sha256,
        })
    }

    /// Scores, each calibrated by a curve that its case had no part in.
    fn held_out(&self, scored: &[(f64, bool)], whole: &Curve) -> Vec<(f64, bool)> {
        let mut calibrated = Vec::with_capacity(scored.len());
        for part in 0..PARTS {
            let within = |place: &usize| part_of(*place) == part;
            let others: Vec<(f64, bool)> =
                (0..scored.len()).filter(|place| !within(place)).map(|place| scored[place]).collect();
            let curve = Curve::fit(self.method, &others);
            let curve = curve.as_ref().unwrap_or(whole);
            let held = (0..scored.len()).filter(within).map(|place| scored[place]);
            calibrated.extend(held.map(|(score, truth)| (curve.apply(score), truth)));
        }
        calibrated
    }
}

/// The part of a case: spread by a multiplication (Knuth, 1973), since cases may come in a rhythm.
fn part_of(place: usize) -> usize {
    ((place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % PARTS
}

/// Calibrates the artifact of a folder on the labelled lines of a file, and writes that into its manifest.
///
/// # Errors
/// When artifact or cases cannot be used, or the model gives no scores.
pub(crate) fn calibrate(
    folder: &Path,
    desk: &str,
    cases: &Path,
    settings: &CalibrationSettings,
    threads: usize,
) -> anyhow::Result<Calibration> {
    let mut manifest = Manifest::open(folder, desk)?;
    manifest.calibration = None;
    let decider = super::decider(folder, &manifest, threads)?;
    let mut set = Set { name: cases.display().to_string(), cases: Vec::new() };
    let digest = read(cases, |some| set.cases.extend(some))?;
    let measured = Measured::of(&*decider, &set, threads)?;
    let scored = measured.scored();
    let calibration = settings.fit(&scored, digest);
    let calibration = calibration.map_err(|problem| InputError(format!("{}: {problem}", cases.display())))?;
    manifest.calibration = Some(calibration.clone());
    manifest.write(folder)?;
    Ok(calibration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_says_what_it_was_fitted_to_and_what_it_reaches() {
        // Of scores that are all too high by half: at 0.8 four of ten are positive, at 0.2 one of ten.
        let scored: Vec<(f64, bool)> =
            (0..1000).map(|at| if at % 2 == 0 { (0.8, at / 2 % 10 < 4) } else { (0.2, at / 2 % 10 < 1) }).collect();
        let settings = CalibrationSettings { recall: 0.8, ..CalibrationSettings::default() };
        let fitted = settings.fit(&scored, "digest".to_owned()).expect("both kinds");
        assert_eq!((fitted.cases, fitted.positives, fitted.recall), (1000, 250, 0.8));
        assert!(
            (fitted.threshold - 0.25).abs() < 0.002 && (fitted.false_positive_rate - 0.4).abs() < 1e-9,
            "{fitted:?}"
        );
        assert!((fitted.error_before - 0.25).abs() < 1e-9 && fitted.error_after < 0.01, "{fitted:?}");
        let problem = settings.fit(&scored[..0], String::new()).expect_err("nothing to fit to");
        assert!(problem.contains("both kinds"));
    }
}
