//! From what a model says to how often it comes true.
//!
//! A curve is fitted to scores of labelled cases that the model has not learned from. All curves rise strictly, so that
//! calibrated scores keep the order of the model's own.

mod isotonic;
mod logistic;
mod temperature;

use decision::{Decision, Probabilities};
use serde::{Deserialize, Serialize};

pub use logistic::Logistic;

/// Scores are taken as log-odds; what is closer to 0 or 1 than this counts as this close.
const CLOSEST: f64 = 1e-12;

/// How a curve is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Whatever rises: needs some hundred cases of each kind.
    #[default]
    Isotonic,
    /// One number: for few cases.
    Temperature,
}

/// A fitted curve over scores in `0.0..=1.0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "parameters", rename_all = "lowercase")]
pub enum Curve {
    /// Log-odds of a score and the probability there, both rising; straight lines in between.
    Isotonic(Vec<(f64, f64)>),
    /// What log-odds are divided by, above 0 (Guo et al., "On calibration of modern neural networks", 2017).
    Temperature(f64),
}

/// What an artifact keeps of its calibration. Rates and errors are those of new cases: each part of the cases was tried
/// with a curve and a threshold that were fitted to the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// From the model's score to a probability.
    #[serde(flatten)]
    pub curve: Curve,
    /// The recall that the threshold was chosen for.
    pub recall: f64,
    /// How sure it is to be that new cases are found with that recall. 0 where the cases had a say in the weights, or an
    /// older program chose what reached the recall on them.
    #[serde(default)]
    pub confidence: f64,
    /// Positive cases that may be missed for that, those without a score included. None where the recall is not assured:
    /// the confidence is 0; or they are too few, or too many of them have no score, and the threshold misses none that has
    /// one.
    #[serde(default)]
    pub misses: Option<usize>,
    /// The calibrated score from which a case counts as positive.
    pub threshold: f64,
    /// Share of the positive cases that reach it; what has no score does not.
    pub reached: f64,
    /// Share of the negative cases that reach it.
    pub false_positive_rate: f64,
    /// How many cases there were.
    pub cases: usize,
    /// How many of them were positive.
    pub positives: usize,
    /// How many of the positive ones have no score, such as those that are refused: they count as missed.
    #[serde(default)]
    pub unscored: usize,
    /// Expected calibration error of the model's own scores.
    pub error_before: f64,
    /// Expected calibration error of calibrated scores, each by the curve that its case had no part in.
    pub error_after: f64,
    /// SHA-256 of the cases: facts and outcome of each.
    pub cases_sha256: String,
}

impl Curve {
    /// Fits a curve to scores with their truths. Nothing if all are positive or none is.
    pub fn fit(method: Method, scored: &[(f64, bool)]) -> Option<Self> {
        if !scored.iter().any(|(_, truth)| *truth) || scored.iter().all(|(_, truth)| *truth) {
            return None;
        }
        let odds: Vec<(f64, bool)> = scored.iter().map(|(score, truth)| (log_odds(*score), *truth)).collect();
        Some(match method {
            Method::Isotonic => Self::Isotonic(isotonic::fit(odds)),
            Method::Temperature => Self::Temperature(temperature::fit(&odds)),
        })
    }

    /// The probability of a score, to as many digits as scores are given.
    pub fn apply(&self, score: f64) -> f64 {
        let odds = log_odds(score);
        rounded(match self {
            Self::Isotonic(points) => isotonic::value(points, odds),
            Self::Temperature(temperature) => chance(odds / temperature),
        })
    }

    /// Whether it is one that [`Curve::fit`] could have made.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Isotonic(points) => {
                let within = |(odds, value): &(f64, f64)| odds.is_finite() && (0.0..=1.0).contains(value);
                let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
                !points.is_empty() && points.iter().all(within) && points.windows(2).all(rises)
            }
            Self::Temperature(temperature) => *temperature > 0.0 && temperature.is_finite(),
        }
    }
}

/// Gives a decision its probabilities, and as its score the risk: what the positive outcomes have together. A curve
/// calibrates the risk; within the positive outcomes, and within the others, probabilities keep their proportions.
pub fn weigh(decision: &mut Decision, list: Vec<(String, f64)>, positive: &[&str], curve: Option<&Curve>) {
    let is_positive = |outcome: &str| positive.contains(&outcome);
    let raw: f64 = list.iter().filter(|(outcome, _)| is_positive(outcome)).map(|(_, probability)| probability).sum();
    let raw = rounded(raw.clamp(0.0, 1.0));
    let risk = curve.map_or(raw, |curve| curve.apply(raw));
    let given = |kind: bool| {
        let kept = list.iter().filter(move |(outcome, _)| is_positive(outcome) == kind);
        (kept.clone().map(|(_, probability)| probability).sum::<f64>(), kept.count())
    };
    let shares = [(given(false), 1.0 - risk), (given(true), risk)];
    let share = |outcome: &str, probability: f64| {
        let ((sum, count), all) = shares[usize::from(is_positive(outcome))];
        // What the model takes for impossible is, if it is possible, all equally likely.
        rounded(if sum > 0.0 { probability / sum * all } else { all / count as f64 })
    };
    let probabilities = list.iter().map(|(outcome, probability)| (outcome.clone(), share(outcome, *probability)));
    decision.probabilities = Some(Probabilities(probabilities.collect()));
    decision.score = Some(risk);
}

/// Probabilities are given to six significant digits; further ones say nothing.
pub(crate) fn rounded(probability: f64) -> f64 {
    // The shortest decimal number is what is wanted, and no arithmetic gives it.
    format!("{probability:.5e}").parse().unwrap_or(probability)
}

fn log_odds(score: f64) -> f64 {
    let score = score.clamp(CLOSEST, 1.0 - CLOSEST);
    (score / (1.0 - score)).ln()
}

fn chance(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores whose log-odds are twice what they should be.
    pub(super) fn overconfident(count: u32) -> Vec<(f64, bool)> {
        let place = |index: u32| f64::from(index % 100) / 10.0 - 5.0;
        let drawn = |index: u32| (f64::from(index / 100) + 0.5) / f64::from(count / 100);
        (0..count).map(|index| (chance(2.0 * place(index)), drawn(index) < chance(place(index)))).collect()
    }

    #[test]
    fn every_method_corrects_overconfidence_and_keeps_the_order() {
        let scored = overconfident(20_000);
        for method in [Method::Isotonic, Method::Temperature] {
            let curve = Curve::fit(method, &scored).expect("both kinds");
            assert!(curve.is_sound(), "{curve:?}");
            for place in [-4.0, -1.0, 0.0, 2.0, 4.5] {
                let (is, should) = (curve.apply(chance(2.0 * place)), chance(place));
                assert!((is - should).abs() < 0.012, "{method:?} at {place}: {is}, not {should}");
            }
            let values: Vec<f64> = (0..=2000).map(|at| curve.apply(f64::from(at) / 2000.0)).collect();
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{method:?}");
            assert!(curve.apply(0.0) < 0.01 && curve.apply(1.0) > 0.99);
        }
    }

    #[test]
    fn one_kind_alone_gives_no_curve_and_perfect_scores_no_certainty() {
        assert_eq!(Curve::fit(Method::Isotonic, &[(0.1, true), (0.2, true)]), None);
        assert_eq!(Curve::fit(Method::Temperature, &[(0.1, false)]), None);
        let scored: Vec<(f64, bool)> = (0..200).map(|at| (f64::from(at % 2), at % 2 == 1)).collect();
        let curve = Curve::fit(Method::Isotonic, &scored).expect("both kinds");
        assert!(curve.is_sound());
        let ends = [curve.apply(0.0), curve.apply(1.0)];
        assert!(ends[0] > 0.0 && ends[0] < 0.01 && ends[1] > 0.99 && ends[1] < 1.0, "{ends:?}");
    }

    #[test]
    fn a_curve_travels_as_method_and_parameters() {
        let curve = Curve::Isotonic(vec![(-1.0, 0.25), (1.0, 0.5)]);
        let text = serde_json::to_string(&curve).expect("JSON");
        assert_eq!(text, r#"{"method":"isotonic","parameters":[[-1.0,0.25],[1.0,0.5]]}"#);
        assert_eq!(serde_json::from_str::<Curve>(&text).expect("a curve"), curve);
        for unsound in [
            Curve::Temperature(0.0),
            Curve::Temperature(f64::INFINITY),
            Curve::Isotonic(vec![]),
            Curve::Isotonic(vec![(0.0, 0.5), (0.0, 0.6)]),
            Curve::Isotonic(vec![(0.0, 0.5), (1.0, 0.4)]),
            Curve::Isotonic(vec![(0.0, 1.5)]),
        ] {
            assert!(!unsound.is_sound(), "{unsound:?}");
        }
    }

    #[test]
    fn the_score_is_what_positive_outcomes_have_together() {
        let list = || [("CLEAR", 0.6), ("REVIEW", 0.2), ("SAR", 0.15), ("BLOCK", 0.05)].map(|(o, p)| (o.to_owned(), p));
        let mut decision = Decision::default();
        weigh(&mut decision, list().to_vec(), &["SAR", "BLOCK"], None);
        assert_eq!((decision.score, decision.probabilities.take()), (Some(0.2), Some(Probabilities(list().to_vec()))));
        let curve = Curve::Isotonic(vec![(-20.0, 0.4), (20.0, 0.4)]);
        weigh(&mut decision, list().to_vec(), &["SAR", "BLOCK"], Some(&curve));
        let expected = [("CLEAR", 0.45), ("REVIEW", 0.15), ("SAR", 0.3), ("BLOCK", 0.1)];
        assert_eq!(decision.score, Some(0.4));
        assert_eq!(decision.probabilities, Some(Probabilities(expected.map(|(o, p)| (o.to_owned(), p)).to_vec())));
    }

    #[test]
    fn what_the_model_takes_for_impossible_is_shared_evenly() {
        let list = [("CLEAR", 1.0), ("SAR", 0.0), ("BLOCK", 0.0)].map(|(o, p)| (o.to_owned(), p));
        let mut decision = Decision::default();
        let curve = Curve::Isotonic(vec![(0.0, 0.5)]);
        weigh(&mut decision, list.to_vec(), &["SAR", "BLOCK"], Some(&curve));
        let probabilities = decision.probabilities.expect("probabilities");
        assert_eq!((probabilities.of("SAR"), probabilities.of("BLOCK")), (Some(0.25), Some(0.25)));
    }

    #[test]
    fn probabilities_have_six_digits() {
        assert_eq!(
            [1.0 / 3.0, 1.234_567_8e-9, 1.0, 0.0, 0.999_999_9].map(rounded),
            [0.333_333, 1.234_57e-9, 1.0, 0.0, 1.0]
        );
    }
}
