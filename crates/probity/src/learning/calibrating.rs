//! Calibrates the scores of an artifact on labelled cases that its model has not learned from.

use std::path::Path;

use deciders::artifact::Manifest;
use deciders::calibration::{Calibration, Curve, Method};
use evaluate::{OperatingPoint, Tolerance, calibration_error};
use serde::{Deserialize, Serialize};

use super::material::{Set, read};
use super::measure::{Measured, Scored, keep, scorecards};
use super::parts::PARTS;
use crate::exit::InputError;

/// `[calibration]` of a recipe, and the options of `probity calibrate`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CalibrationSettings {
    /// How the curve is fitted.
    pub(crate) method: Method,
    /// Share of the positive cases that the threshold is to find.
    pub(crate) recall: f64,
    /// How sure it is to be that it finds that share of new ones.
    pub(crate) confidence: f64,
}

impl Default for CalibrationSettings {
    fn default() -> Self {
        Self { method: Method::default(), recall: 0.995, confidence: 0.95 }
    }
}

impl CalibrationSettings {
    /// Says what cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.tolerance().check().map_err(|problem| format!("calibration.{problem}"))
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance { recall: self.recall, confidence: self.confidence }
    }

    /// Fits to scores with their truths.
    ///
    /// # Errors
    /// Why these cases do not allow it.
    pub(super) fn fit(&self, scored: &[Scored], cases_sha256: String) -> Result<Calibration, String> {
        let all: Vec<&Scored> = scored.iter().collect();
        let fitted = self.curve_and_threshold(&all).zip(self.on_new_cases(scored));
        let ((curve, threshold), expected) = fitted.ok_or_else(|| {
            let with_score = scored.iter().filter(|case| case.score.is_some());
            let positives = with_score.clone().filter(|case| case.truth).count();
            format!("of {} scored cases {positives} are positive: some of both kinds are needed", with_score.count())
        })?;
        let Allowed { positives, unscored, misses } = self.allowed(&all);
        Ok(Calibration {
            curve,
            recall: self.recall,
            confidence: self.confidence,
            misses,
            threshold,
            reached: expected.recall,
            false_positive_rate: expected.false_positive_rate,
            cases: scored.len(),
            positives,
            unscored,
            error_before: calibration_error(&with_scores(&all)),
            error_after: expected.calibration_error,
            cases_sha256,
        })
    }

    /// What may be missed of these cases.
    fn allowed(&self, cases: &[&Scored]) -> Allowed {
        let positives = cases.iter().filter(|case| case.truth).count();
        let unscored = cases.iter().filter(|case| case.truth && case.score.is_none()).count();
        let misses = self.tolerance().misses(positives).filter(|misses| *misses >= unscored);
        Allowed { positives, unscored, misses }
    }

    /// A curve, and a threshold with which the recall holds on new cases, too. Where positive cases are too few to be
    /// sure of that, or too many of them have no score, it misses none that has one. Nothing if one of the kinds is
    /// missing.
    fn curve_and_threshold(&self, cases: &[&Scored]) -> Option<(Curve, f64)> {
        let scored = with_scores(cases);
        let curve = Curve::fit(self.method, &scored)?;
        let calibrated: Vec<(f64, bool)> = scored.iter().map(|(score, truth)| (curve.apply(*score), *truth)).collect();
        let Allowed { unscored, misses, .. } = self.allowed(cases);
        // No threshold finds what has no score: what is left may be missed by the threshold.
        let below = misses.map_or(0, |misses| misses - unscored);
        let threshold = OperatingPoint::missing(&calibrated, below)?.threshold;
        Some((curve, threshold))
    }

    /// What curve and threshold come to on each part when they were fitted to the others. Nothing if a kind is missing
    /// there.
    fn on_new_cases(&self, scored: &[Scored]) -> Option<Expected> {
        let mut calibrated = Vec::with_capacity(scored.len());
        // Cases that reach the threshold, and all: negative ones, then positive ones.
        let mut counts = [[0usize; 2]; 2];
        for part in 0..PARTS {
            let (held, others): (Vec<&Scored>, Vec<&Scored>) = scored.iter().partition(|case| case.part == part);
            let (curve, threshold) = self.curve_and_threshold(&others)?;
            for case in held {
                let score = case.score.map(|score| curve.apply(score));
                let [reached, all] = &mut counts[usize::from(case.truth)];
                *reached += usize::from(score.is_some_and(|score| score >= threshold));
                *all += 1;
                calibrated.extend(score.map(|score| (score, case.truth)));
            }
        }
        let [false_positive_rate, recall] = counts.map(|[reached, all]| reached as f64 / all as f64);
        Some(Expected { recall, false_positive_rate, calibration_error: calibration_error(&calibrated) })
    }
}

/// The scores that there are, with their truths.
fn with_scores(cases: &[&Scored]) -> Vec<(f64, bool)> {
    cases.iter().filter_map(|case| Some((case.score?, case.truth))).collect()
}

/// Positive cases, and how many of them may be missed.
struct Allowed {
    positives: usize,
    /// Those without a score: they are missed by any threshold.
    unscored: usize,
    /// None where the recall cannot be assured.
    misses: Option<usize>,
}

/// What new cases can expect.
struct Expected {
    recall: f64,
    false_positive_rate: f64,
    calibration_error: f64,
}

/// The same of cases that had a say in the weights, which assure nothing of new ones.
pub(super) fn not_assured(calibration: Calibration) -> Calibration {
    Calibration { confidence: 0.0, misses: None, ..calibration }
}

/// Whether new cases will be found with the recall that the threshold was chosen for, and why.
pub(crate) fn standing(calibration: &Calibration) -> String {
    let Calibration { recall, confidence, positives, unscored, misses, .. } = calibration;
    let fewest = Tolerance { recall: *recall, confidence: *confidence }.fewest_positives();
    match (misses, fewest) {
        _ if *confidence == 0.0 => format!(
            "recall {recall} is NOT assured: the validation cases may have chosen the weights, too; `probity calibrate` on \
             cases that training has not seen assures it"
        ),
        (Some(misses), _) => {
            let among = if *unscored > 0 { format!(", {unscored} without a score among them") } else { String::new() };
            format!(
                "recall {recall} is assured with confidence {confidence}: the threshold misses {misses} at most of \
                 {positives} positive cases{among}"
            )
        }
        (None, Some(fewest)) if *positives >= fewest => format!(
            "recall {recall} is NOT assured with confidence {confidence}: {unscored} of {positives} positive cases have no \
             score and are missed by any threshold; this one misses none of the others"
        ),
        (None, Some(fewest)) => format!(
            "recall {recall} is NOT assured: {positives} positive cases are too few for confidence {confidence}, {fewest} \
             are needed; the threshold misses none that has a score"
        ),
        (None, None) => format!(
            "recall {recall} is NOT assured, which no number of cases can; the threshold misses none that has a score"
        ),
    }
}

/// Calibrates the artifact of a folder on the labelled lines of a file, and writes that into its manifest; its scorecard
/// becomes what it now measures on them.
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
    read(cases, |some| set.cases.extend(some))?;
    let measured = Measured::of(&*decider, &set, threads)?;
    let scored = measured.scored(&set);
    let calibration = settings.fit(&scored, set.sha256());
    let calibration = calibration.map_err(|problem| InputError(format!("{}: {problem}", cases.display())))?;
    manifest.calibration = Some(calibration.clone());
    forget_scores(&mut manifest);
    for card in &scorecards(folder, &manifest, &[&set], threads)? {
        keep(card, folder)?;
    }
    manifest.write(folder)?;
    Ok(calibration)
}

/// Figures of scores that the artifact no longer gives.
const OF_SCORES: [&str; 2] = ["at_threshold", "calibration_error"];

/// Drops what scorecards say of scores under another curve; outcomes and reasons do not depend on it.
fn forget_scores(manifest: &mut Manifest) {
    for card in manifest.scorecards.iter_mut().filter_map(serde_json::Value::as_object_mut) {
        card.retain(|name, _| !OF_SCORES.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(case: &Scored, calibration: &Calibration) -> bool {
        case.truth && case.score.is_some_and(|score| calibration.curve.apply(score) >= calibration.threshold)
    }

    #[test]
    fn a_calibration_says_what_it_was_fitted_to_and_what_it_reaches() {
        // Of scores that are all too high by half: at 0.8 four of ten are positive, at 0.2 one of ten.
        let at = |at: u64| {
            let (score, tenths) = if at.is_multiple_of(2) { (0.8, 4) } else { (0.2, 1) };
            Scored { score: Some(score), truth: at / 2 % 10 < tenths, part: at / 20 % PARTS }
        };
        let scored: Vec<Scored> = (0..1000).map(at).collect();
        let settings = CalibrationSettings { recall: 0.7, ..CalibrationSettings::default() };
        let fitted = settings.fit(&scored, "digest".to_owned()).expect("both kinds");
        assert_eq!((fitted.cases, fitted.positives, fitted.recall), (1000, 250, 0.7));
        // 50 of the 250 lie below; 75 could be missed on the average.
        assert!(fitted.misses.is_some_and(|misses| (50..70).contains(&misses)), "{fitted:?}");
        assert!(standing(&fitted).contains("is assured"));
        assert!(
            (fitted.threshold - 0.25).abs() < 0.002 && (fitted.false_positive_rate - 0.4).abs() < 1e-9,
            "{fitted:?}"
        );
        // The threshold lies below all of 0.8, where 200 of the 250 positive cases are.
        assert!((fitted.reached - 0.8).abs() < 1e-9, "{fitted:?}");
        assert!((fitted.error_before - 0.25).abs() < 1e-9 && fitted.error_after < 0.01, "{fitted:?}");
        let problem = settings.fit(&scored[..0], String::new()).expect_err("nothing to fit to");
        assert!(problem.contains("both kinds"));
    }

    #[test]
    fn what_holds_only_for_the_cases_that_were_fitted_to_is_not_promised() {
        // Every case has a score of its own, positive ones somewhat higher: with all of them at hand, the lowest
        // positive one can always be found.
        let noise = |at: u64| (at * 7919 % 997) as f64 / 997.0;
        let at = |at: u64| {
            let truth = at.is_multiple_of(4);
            Scored { score: Some(0.1 + 0.5 * noise(at) + if truth { 0.3 } else { 0.0 }), truth, part: at / 4 % PARTS }
        };
        let scored: Vec<Scored> = (0..200).map(at).collect();
        let settings = CalibrationSettings { recall: 1.0, ..CalibrationSettings::default() };
        let fitted = settings.fit(&scored, String::new()).expect("both kinds");
        let found = scored.iter().filter(|case| is_found(case, &fitted));
        assert_eq!((found.count(), fitted.misses), (fitted.positives, None));
        assert!(standing(&fitted).contains("NOT assured"));
        assert!(fitted.reached < 1.0 && fitted.reached > 0.9, "{fitted:?}");
    }

    #[test]
    fn with_too_few_positive_cases_none_is_missed_and_it_is_said() {
        let at = |at: u64| Scored { score: Some(at as f64 / 200.0), truth: at % 2 == 1, part: at / 2 % PARTS };
        let scored: Vec<Scored> = (0..200).map(at).collect();
        let fitted = CalibrationSettings::default().fit(&scored, String::new()).expect("both kinds");
        let found = scored.iter().filter(|case| is_found(case, &fitted));
        assert_eq!((found.count(), fitted.misses), (100, None));
        assert!(standing(&fitted).contains("100 positive cases are too few for confidence 0.95, 598 are needed"));
    }

    #[test]
    fn positive_cases_without_a_score_are_missed_ones() {
        // A thousand positive cases with scores of their own; the lowest ones have none.
        let settings =
            CalibrationSettings { method: Method::Temperature, recall: 0.9, ..CalibrationSettings::default() };
        let fitted = |unscored: u64| {
            let at = |at: u64| {
                let truth = at.is_multiple_of(2);
                let score = (at / 2) as f64 / if truth { 1000.0 } else { 2000.0 };
                Scored { score: (!truth || at / 2 >= unscored).then_some(score), truth, part: at / 2 % PARTS }
            };
            let scored: Vec<Scored> = (0..2000).map(at).collect();
            let fitted = settings.fit(&scored, String::new()).expect("both kinds");
            let found = scored.iter().filter(|case| is_found(case, &fitted)).count();
            (found, fitted)
        };
        let (all, plain) = fitted(0);
        let allowed = settings.tolerance().misses(1000).expect("enough cases");
        assert_eq!((plain.unscored, plain.misses, all), (0, Some(allowed), 1000 - allowed));
        // What any threshold would miss leaves the others less: the same cases are found.
        let (found, some) = fitted(50);
        assert_eq!((some.cases, some.positives, some.unscored), (2000, 1000, 50));
        assert_eq!((found, some.misses), (1000 - allowed, Some(allowed)));
        assert!((some.reached - plain.reached).abs() < 0.01 && some.reached < 0.95, "{some:?}");
        assert!(standing(&some).contains("is assured") && standing(&some).contains("50 without a score"));
        // More of them than may be missed.
        let (found, none) = fitted(allowed as u64 + 1);
        assert_eq!((found, none.misses), (1000 - allowed - 1, None));
        assert!(standing(&none).contains(&format!("NOT assured with confidence 0.95: {} of 1000", allowed + 1)));
        assert!(none.reached < 1.0 - allowed as f64 / 1000.0, "{none:?}");
    }

    #[test]
    fn one_case_of_a_kind_cannot_be_tried() {
        let at = |at: u64| Scored { score: Some(0.5), truth: at == 0, part: at % PARTS };
        let scored: Vec<Scored> = (0..100).map(at).collect();
        let problem = CalibrationSettings::default().fit(&scored, String::new()).expect_err("one positive case");
        assert!(problem.contains("1 are positive"), "{problem}");
    }
}
