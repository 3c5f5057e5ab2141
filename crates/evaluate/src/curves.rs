//! What a score is worth: ROC and precision-recall curves, recall at thresholds, calibration.

use serde::{Deserialize, Serialize};

/// Points of a curve, thinned for drawing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Pairs of x and y in `0.0..=1.0`.
    pub points: Vec<(f64, f64)>,
}

/// How well the score separates the positive outcomes from the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The outcomes counted as positive.
    pub positive: Vec<String>,
    /// Area under the ROC curve; ties count half (Mann and Whitney, 1947).
    pub auc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// The threshold that was asked for, with recall and false-positive rate there.
    pub at_threshold: Option<(f64, f64, f64)>,
    /// For each recall: the highest threshold that reaches it and the false-positive rate there.
    pub at_recall: Vec<(f64, f64, f64)>,
    /// Mean squared difference between score and truth (Brier, 1950).
    pub brier: f64,
    /// Expected calibration error over fifteen bins of equal width (Guo et al., 2017).
    pub calibration_error: f64,
    /// The bins that have cases: mean score, share of positives, cases.
    #[serde(default)]
    pub reliability: Vec<(f64, f64, usize)>,
    /// False-positive rate against recall.
    pub roc: Curve,
    /// Recall against precision.
    pub precision_recall: Curve,
}

const RECALLS: [f64; 3] = [0.95, 0.99, 0.995];
const DRAWN: usize = 200;
const BINS: usize = 15;

/// A score from which cases count as positive, and what that comes to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// The score.
    pub threshold: f64,
    /// Share of positive cases that reach it.
    pub recall: f64,
    /// Share of the others that do.
    pub false_positive_rate: f64,
}

impl OperatingPoint {
    /// A threshold that reaches a recall on these cases at the fewest false positives; see [`OperatingPoint::missing`].
    pub fn at_recall(scored: &[(f64, bool)], recall: f64) -> Option<Self> {
        let positives = scored.iter().filter(|(_, is)| *is).count();
        // A share such as 0.95 of 20 is 19, whatever its last bit says.
        let needed = (positives as f64 * recall - 1e-9).ceil() as usize;
        Self::missing(scored, positives.saturating_sub(needed.max(1)))
    }

    /// A threshold that misses so many positive cases at most, at the fewest false positives: in the middle of the gap
    /// between positive cases above and other cases below, so that new cases that score a little less are found, too.
    /// Nothing if there are not more positive cases, or no others.
    pub fn missing(scored: &[(f64, bool)], misses: usize) -> Option<Self> {
        let of = |kind: bool| scored.iter().filter(move |(_, is)| *is == kind).map(|(score, _)| *score);
        let mut positives: Vec<f64> = of(true).collect();
        positives.sort_by(f64::total_cmp);
        let highest = *positives.get(misses)?;
        let below = of(false).filter(|score| *score < highest).reduce(f64::max);
        let lowest = below.and_then(|below| positives.iter().copied().find(|score| *score > below));
        let threshold = below.zip(lowest).map_or(highest, |(below, lowest)| (below + lowest) / 2.0);
        Self::at(scored, threshold)
    }

    /// What a threshold comes to. Nothing if there are no positive cases, or no others.
    pub fn at(scored: &[(f64, bool)], threshold: f64) -> Option<Self> {
        let share = |kind: bool| {
            let all = scored.iter().filter(|(_, is)| *is == kind);
            let reached = all.clone().filter(|(score, _)| *score >= threshold).count() as f64;
            Some(reached / all.count() as f64).filter(|share| share.is_finite())
        };
        Some(Self { threshold, recall: share(true)?, false_positive_rate: share(false)? })
    }
}

/// Measures scores of cases that are positive or not. Nothing if either kind is missing.
pub(crate) fn ranking(scored: &[(f64, bool)], positive: &[String], threshold: Option<f64>) -> Option<Ranking> {
    let positives = scored.iter().filter(|(_, is)| *is).count() as f64;
    let negatives = scored.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut roc, mut curve) = (vec![(0.0, 0.0)], Vec::new());
    let (mut hits, mut alarms, mut area, mut average) = (0.0, 0.0, 0.0, 0.0);
    let mut steps = Vec::new();
    let mut at = 0;
    while at < sorted.len() {
        // Equal scores move together: no threshold lies between them.
        let score = sorted[at].0;
        let (before_hits, before_alarms) = (hits, alarms);
        while at < sorted.len() && sorted[at].0 == score {
            if sorted[at].1 {
                hits += 1.0
            } else {
                alarms += 1.0
            }
            at += 1;
        }
        area += (alarms - before_alarms) * (hits + before_hits) / 2.0;
        let (recall, rate) = (hits / positives, alarms / negatives);
        let precision = hits / (hits + alarms);
        average += precision * (hits - before_hits) / positives;
        roc.push((rate, recall));
        curve.push((recall, precision));
        steps.push((score, recall, rate));
    }
    let reached = |wanted: f64| {
        let step = steps.iter().find(|(_, recall, _)| *recall >= wanted);
        step.map(|(score, _, rate)| (wanted, *score, *rate))
    };
    let at_threshold = threshold.and_then(|threshold| OperatingPoint::at(scored, threshold));
    let at_threshold = at_threshold.map(|at| (at.threshold, at.recall, at.false_positive_rate));
    Some(Ranking {
        positive: positive.to_vec(),
        auc: area / (positives * negatives),
        average_precision: average,
        at_threshold,
        at_recall: RECALLS.into_iter().filter_map(reached).collect(),
        brier: scored.iter().map(|(s, p)| (s - f64::from(u8::from(*p))).powi(2)).sum::<f64>() / scored.len() as f64,
        calibration_error: calibration_error(scored),
        reliability: reliability(scored),
        roc: thinned(roc),
        precision_recall: thinned(curve),
    })
}

/// Expected calibration error: how far mean score and share of positives are apart, over fifteen bins of equal width,
/// each weighed by its cases.
pub fn calibration_error(scored: &[(f64, bool)]) -> f64 {
    let apart = reliability(scored).into_iter().map(|(score, share, cases)| (score - share).abs() * cases as f64);
    apart.sum::<f64>() / scored.len().max(1) as f64
}

/// Mean score, share of positives and number of cases of each bin that has any.
fn reliability(scored: &[(f64, bool)]) -> Vec<(f64, f64, usize)> {
    let mut bins = [(0.0, 0.0, 0usize); BINS];
    for (score, positive) in scored {
        let bin = &mut bins[((score * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + score, bin.1 + f64::from(u8::from(*positive)), bin.2 + 1);
    }
    let filled = bins.into_iter().filter(|(_, _, cases)| *cases > 0);
    filled.map(|(scores, hits, cases)| (scores / cases as f64, hits / cases as f64, cases)).collect()
}

fn thinned(points: Vec<(f64, f64)>) -> Curve {
    let step = (points.len() / DRAWN).max(1);
    let last = points.len() - 1;
    let kept = points.iter().enumerate().filter(|(index, _)| index % step == 0 || *index == last);
    Curve { points: kept.map(|(_, point)| *point).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_ranking() {
        let scored = [(0.9, true), (0.8, false), (0.7, true), (0.2, false)];
        let ranking = ranking(&scored, &["SAR".to_owned()], Some(0.75)).expect("both kinds occur");
        // Of the four pairs three are in order.
        assert!((ranking.auc - 0.75).abs() < 1e-12);
        assert!((ranking.average_precision - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(ranking.at_threshold, Some((0.75, 0.5, 0.5)));
        assert_eq!(ranking.at_recall[0], (0.95, 0.7, 0.5));
        assert!((ranking.brier - (0.01 + 0.64 + 0.09 + 0.04) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_threshold_reaches_the_recall_that_was_asked_for_in_the_middle_of_a_gap() {
        let scored: Vec<(f64, bool)> = (0..40).map(|at| (f64::from(at) / 40.0, at % 2 == 1)).collect();
        let point = OperatingPoint::at_recall(&scored, 0.95).expect("both kinds occur");
        // 19 of the 20 odd ones: all but 1/40. Of the even ones, 0 and 2 lie below 3/40.
        assert_eq!((point.threshold, point.recall, point.false_positive_rate), (2.5 / 40.0, 0.95, 0.9));
        assert_eq!(OperatingPoint::at_recall(&scored, 1.0).map(|point| point.threshold), Some(0.5 / 40.0));
        // Nothing lies between the two kinds: all positive cases are found at no cost, though half would do.
        let apart = [(0.2, false), (0.6, true), (0.9, true)];
        let point = OperatingPoint::at_recall(&apart, 0.5).expect("both kinds occur");
        assert_eq!((point.threshold, point.recall, point.false_positive_rate), (0.4, 1.0, 0.0));
        assert_eq!(OperatingPoint::at_recall(&[(0.5, true)], 1.0), None);
        assert_eq!(OperatingPoint::at_recall(&[(0.5, false)], 1.0), None);
    }

    #[test]
    fn the_calibration_error_is_the_mean_distance_of_the_bins() {
        // A bin of four at 0.5 of which one is positive, and one of one at 1.0 that is.
        let scored = [(0.5, true), (0.5, false), (0.5, false), (0.5, false), (1.0, true)];
        assert!((calibration_error(&scored) - 0.25 * 0.8).abs() < 1e-12);
        assert_eq!(reliability(&scored), [(0.5, 0.25, 4), (1.0, 1.0, 1)]);
        assert_eq!(calibration_error(&[]), 0.0);
    }

    #[test]
    fn equal_scores_count_half() {
        let ranking = ranking(&[(0.5, true), (0.5, false)], &[], None).expect("both kinds occur");
        assert!((ranking.auc - 0.5).abs() < 1e-12);
    }

    #[test]
    fn without_positives_there_is_no_ranking() {
        assert_eq!(ranking(&[(0.5, false)], &[], None), None);
    }
}
