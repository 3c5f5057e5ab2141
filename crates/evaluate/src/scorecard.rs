//! The figures of a decider on a test set.

use decision::Identity;
use serde::{Deserialize, Serialize};

use crate::bootstrap::interval;
use crate::curves::{Ranking, ranking};
use crate::observations::{Observation, Observations};

/// What is measured beyond the decisions themselves.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Name of the test set.
    pub set: String,
    /// The desk's outcomes, least severe first.
    pub outcomes: Vec<String>,
    /// Outcomes that count as positive for ranking.
    pub positive: Vec<String>,
    /// Score from which a case counts as positive.
    pub threshold: Option<f64>,
    /// Price of an hour of the machine, in dollars.
    pub price_per_hour: Option<f64>,
    /// Nanoseconds that each decision took, and seconds for all of them.
    pub timings: Option<(Vec<u64>, f64)>,
}

/// A value with its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// On all cases.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// Of what was said, the share that is right; one if nothing was said.
    pub precision: f64,
    /// Of what is right, the share that was said; one if there was nothing to say.
    pub recall: f64,
    /// F1.
    pub f1: f64,
}

/// One outcome's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The outcome.
    pub outcome: String,
    /// Cases that have it.
    pub support: usize,
    /// Precision, recall, F1.
    #[serde(flatten)]
    pub score: PrecisionRecall,
}

/// Time per decision, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Everything measured of one decider on one test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Version of this form.
    pub format: u32,
    /// The test set.
    pub set: String,
    /// Who decided.
    pub decided_by: Option<Identity>,
    /// Cases with a truth.
    pub cases: usize,
    /// Cases without a valid decision; all of them count as wrong.
    pub invalid: usize,
    /// Share of right outcomes.
    pub accuracy: Interval,
    /// Mean of the outcomes' F1.
    pub macro_f1: Interval,
    /// Reasons over all cases.
    pub reasons: PrecisionRecall,
    /// Their F1 with its interval.
    pub reasons_f1: Interval,
    /// Share of cases with the right outcome, level and set of reasons.
    pub exact_match: f64,
    /// Share of right levels of escalation, where the truth has one.
    pub escalation_accuracy: Option<f64>,
    /// Figures of each outcome.
    pub classes: Vec<ClassScore>,
    /// Rows are truths, columns decisions in the order of `classes`; the last column is invalid.
    pub confusion: Vec<Vec<usize>>,
    /// What the score is worth, where there is one.
    pub ranking: Option<Ranking>,
    /// Time per decision.
    pub latency_us: Option<Latency>,
    /// Logarithmic histogram of the times: upper bound in microseconds and count.
    pub latency_histogram: Vec<(f64, usize)>,
    /// Decisions a second.
    pub throughput: Option<f64>,
    /// Dollars for 1,000 decisions at the stated price.
    pub cost_per_1000: Option<f64>,
}

impl Scorecard {
    /// Measures.
    pub fn new(observations: &Observations, settings: &Settings) -> Self {
        let list = &observations.list;
        let outcomes = &settings.outcomes;
        let place = |code: &str| outcomes.iter().position(|known| known == code);
        // Each case as truth and decision; an unknown code is as invalid as none.
        let pairs: Vec<(Option<usize>, Option<usize>)> = list
            .iter()
            .map(|o| (place(&o.truth.outcome), o.decision.as_ref().and_then(|d| place(&d.outcome))))
            .collect();
        let mut confusion = vec![vec![0; outcomes.len() + 1]; outcomes.len()];
        for (truth, decided) in &pairs {
            if let Some(truth) = truth {
                confusion[*truth][decided.unwrap_or(outcomes.len())] += 1;
            }
        }
        let classes = outcomes
            .iter()
            .enumerate()
            .map(|(index, outcome)| ClassScore {
                outcome: outcome.clone(),
                support: confusion[index].iter().sum(),
                score: class_score(&confusion, index),
            })
            .collect();
        let count = list.len();
        let reason_counts: Vec<(usize, usize, usize)> = list.iter().map(reasons_of).collect();
        let mut card = Self {
            format: 1,
            set: settings.set.clone(),
            decided_by: observations.decided_by.clone(),
            cases: count,
            invalid: pairs.iter().filter(|(_, decided)| decided.is_none()).count(),
            accuracy: interval(count, |drawn| {
                let (hits, all) = drawn.fold((0, 0), |(h, n), i| (h + usize::from(is_hit(pairs[i])), n + 1));
                share(hits, all)
            }),
            macro_f1: interval(count, |drawn| macro_f1(outcomes.len(), drawn.map(|i| pairs[i]))),
            reasons: reason_score(reason_counts.iter().copied()),
            reasons_f1: interval(count, |drawn| reason_score(drawn.map(|i| reason_counts[i])).f1),
            exact_match: share(list.iter().filter(|o| is_exact(o)).count(), count),
            escalation_accuracy: escalation(list),
            classes,
            confusion,
            ranking: scores(list, settings),
            latency_us: None,
            latency_histogram: Vec::new(),
            throughput: None,
            cost_per_1000: None,
        };
        if let Some((nanoseconds, seconds)) = &settings.timings {
            card.time(nanoseconds, *seconds, settings.price_per_hour);
        }
        card
    }

    fn time(&mut self, nanoseconds: &[u64], seconds: f64, price_per_hour: Option<f64>) {
        let mut sorted = nanoseconds.to_vec();
        sorted.sort_unstable();
        if sorted.is_empty() || seconds <= 0.0 {
            return;
        }
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize] as f64 / 1e3;
        self.latency_us = Some(Latency { p50: at(0.50), p95: at(0.95), p99: at(0.99) });
        let mut bound = 1.0;
        let mut rest = sorted.as_slice();
        while !rest.is_empty() {
            let below = rest.partition_point(|n| *n as f64 / 1e3 <= bound);
            if below > 0 || !self.latency_histogram.is_empty() {
                self.latency_histogram.push((bound, below));
            }
            rest = &rest[below..];
            bound *= std::f64::consts::SQRT_2;
        }
        let throughput = sorted.len() as f64 / seconds;
        self.throughput = Some(throughput);
        self.cost_per_1000 = price_per_hour.map(|price| price / 3600.0 / throughput * 1000.0);
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn is_hit((truth, decided): (Option<usize>, Option<usize>)) -> bool {
    truth.is_some() && truth == decided
}

fn f1(precision: f64, recall: f64) -> PrecisionRecall {
    let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
    PrecisionRecall { precision, recall, f1 }
}

fn class_score(confusion: &[Vec<usize>], class: usize) -> PrecisionRecall {
    let hits = confusion[class][class];
    let said: usize = confusion.iter().map(|row| row[class]).sum();
    let support: usize = confusion[class].iter().sum();
    f1(if said == 0 { 0.0 } else { share(hits, said) }, share(hits, support))
}

/// Over the outcomes that occur.
fn macro_f1(outcomes: usize, pairs: impl Iterator<Item = (Option<usize>, Option<usize>)>) -> f64 {
    let mut confusion = vec![vec![0; outcomes + 1]; outcomes];
    for (truth, decided) in pairs {
        if let Some(truth) = truth {
            confusion[truth][decided.unwrap_or(outcomes)] += 1;
        }
    }
    let present: Vec<f64> = (0..outcomes)
        .filter(|class| confusion[*class].iter().sum::<usize>() > 0)
        .map(|class| class_score(&confusion, class).f1)
        .collect();
    if present.is_empty() { 0.0 } else { present.iter().sum::<f64>() / present.len() as f64 }
}

/// Reasons said and right, said, and right.
fn reasons_of(observation: &Observation) -> (usize, usize, usize) {
    let said: Vec<&str> = observation.decision.iter().flat_map(|d| &d.reasons).map(|r| r.code.as_str()).collect();
    let right = &observation.truth.reasons;
    let both = right.iter().filter(|code| said.contains(&code.as_str())).count();
    (both, said.len(), right.len())
}

fn reason_score(counts: impl Iterator<Item = (usize, usize, usize)>) -> PrecisionRecall {
    let (both, said, right) = counts.fold((0, 0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1, sum.2 + c.2));
    f1(if said == 0 { 1.0 } else { share(both, said) }, if right == 0 { 1.0 } else { share(both, right) })
}

fn is_exact(observation: &Observation) -> bool {
    let truth = &observation.truth;
    observation.decision.as_ref().is_some_and(|decision| {
        let (both, said, right) = reasons_of(observation);
        decision.outcome == truth.outcome
            && (truth.level.is_none() || decision.level == truth.level)
            && both == said
            && both == right
    })
}

fn escalation(list: &[Observation]) -> Option<f64> {
    let levelled: Vec<&Observation> = list.iter().filter(|o| o.truth.level.is_some()).collect();
    if levelled.is_empty() {
        return None;
    }
    let hits = levelled.iter().filter(|o| o.decision.as_ref().is_some_and(|d| d.level == o.truth.level)).count();
    Some(share(hits, levelled.len()))
}

fn scores(list: &[Observation], settings: &Settings) -> Option<Ranking> {
    let scored: Vec<(f64, bool)> = list
        .iter()
        .filter_map(|o| {
            let score = o.decision.as_ref()?.score.filter(|score| score.is_finite())?;
            Some((score, settings.positive.contains(&o.truth.outcome)))
        })
        .collect();
    // A score on some of the cases only ranks nothing.
    if scored.is_empty() || scored.len() < list.iter().filter(|o| o.decision.is_some()).count() {
        return None;
    }
    ranking(&scored, &settings.positive, settings.threshold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use decision::{Decision, Reason, Truth};

    fn observation(truth: &str, reasons: &[&str], decided: Option<(&str, &[&str])>) -> Observation {
        let level = |code: &str| Some(i64::from(code != "CLEAR"));
        Observation {
            truth: Truth {
                outcome: truth.to_owned(),
                level: level(truth),
                reasons: reasons.iter().map(|r| (*r).to_owned()).collect(),
            },
            decision: decided.map(|(outcome, reasons)| Decision {
                outcome: outcome.to_owned(),
                level: level(outcome),
                reasons: reasons.iter().map(|r| Reason { code: (*r).to_owned(), ..Reason::default() }).collect(),
                ..Decision::default()
            }),
        }
    }

    fn card(list: Vec<Observation>) -> Scorecard {
        let settings = Settings { outcomes: vec!["CLEAR".to_owned(), "SAR".to_owned()], ..Settings::default() };
        Scorecard::new(&Observations { list, ..Observations::default() }, &settings)
    }

    #[test]
    fn figures_of_four_cases() {
        let card = card(vec![
            observation("CLEAR", &[], Some(("CLEAR", &[]))),
            observation("CLEAR", &[], Some(("SAR", &["PEP"]))),
            observation("SAR", &["PEP", "WIRE"], Some(("SAR", &["WIRE", "PEP"]))),
            observation("SAR", &["PEP"], None),
        ]);
        assert_eq!((card.cases, card.invalid), (4, 1));
        assert_eq!(card.confusion, [[1, 1, 0], [0, 1, 1]]);
        assert!((card.accuracy.value - 0.5).abs() < 1e-12);
        // CLEAR: precision 1, recall 1/2; SAR: precision 1/2, recall 1/2.
        assert!((card.macro_f1.value - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-12);
        // Two of three reasons said are right, two of three right ones were said.
        assert!((card.reasons.f1 - 2.0 / 3.0).abs() < 1e-12);
        assert!((card.exact_match - 0.5).abs() < 1e-12);
        assert_eq!(card.escalation_accuracy, Some(0.5));
        assert_eq!(card.ranking, None);
    }

    #[test]
    fn an_unknown_outcome_is_invalid_and_wrong() {
        let card = card(vec![observation("SAR", &[], Some(("MAYBE", &[])))]);
        assert_eq!((card.invalid, card.accuracy.value), (1, 0.0));
    }
}
