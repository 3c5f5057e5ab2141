//! Which scores a stage must pass on so that the cascade finds the positive cases.

use super::Band;

/// Bounds that are tried at most: of more scores, only so many, evenly over the cases.
const BOUNDS: usize = 1024;

/// A labelled case as two stages see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Whether it is positive.
    pub truth: bool,
    /// The first stage's score; none where it has none or fails, and then the case goes on.
    pub score: Option<f64>,
    /// Whether the first stage finds it positive.
    pub first: bool,
    /// Whether what comes after does.
    pub next: bool,
}

/// A band, and what the cases come to with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// What goes on.
    pub band: Band,
    /// Share of cases that go on.
    pub share: f64,
    /// Share of the positive cases that are found.
    pub recall: f64,
    /// Share of the others that are taken for positive.
    pub false_positive_rate: f64,
}

/// How many of the positive cases are found, and how many of the others are taken for one.
#[derive(Clone, Copy, Default)]
struct Counts {
    cases: usize,
    found: usize,
    alarms: usize,
}

impl Counts {
    fn add(self, truth: bool, positive: bool) -> Self {
        Self {
            cases: self.cases + 1,
            found: self.found + usize::from(truth && positive),
            alarms: self.alarms + usize::from(!truth && positive),
        }
    }
}

/// The band that passes on the fewest cases of those that miss so many positive cases at most, and, if one is given, stay
/// below the false-positive rate; of equal ones that with the fewest false positives. If none does, the one with the best
/// recall. Nothing if there are no positive cases.
pub fn fit(cases: &[Seen], misses: usize, false_positive_rate: Option<f64>) -> Option<Fitted> {
    let positives = cases.iter().filter(|case| case.truth).count();
    let negatives = cases.len() - positives;
    if positives == 0 {
        return None;
    }
    let mut scored: Vec<(f64, &Seen)> = cases.iter().filter_map(|case| Some((case.score?, case))).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let unscored = cases.iter().filter(|case| case.score.is_none());
    let always = unscored.fold(Counts::default(), |counts, case| counts.add(case.truth, case.next));
    let sums = |positive: fn(&Seen) -> bool| -> Vec<Counts> {
        let running = scored.iter().scan(Counts::default(), |counts, (_, case)| {
            *counts = counts.add(case.truth, positive(case));
            Some(*counts)
        });
        std::iter::once(Counts::default()).chain(running).collect()
    };
    let (first, next) = (sums(|case| case.first), sums(|case| case.next));
    let all = first[scored.len()];
    let count = |low: usize, high: usize, read: fn(&Counts) -> usize| {
        read(&all) - read(&first[high]) + read(&first[low]) + read(&next[high]) - read(&next[low]) + read(&always)
    };
    let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let candidate = |low: usize, high: usize| Fitted {
        band: band(&scored, low, high),
        share: share(high - low + always.cases, cases.len()),
        recall: share(count(low, high, |counts| counts.found), positives),
        false_positive_rate: share(count(low, high, |counts| counts.alarms), negatives),
    };
    let bounds = bounds(&scored);
    let reaches = |fitted: &Fitted| {
        fitted.recall >= share(positives.saturating_sub(misses), positives)
            && false_positive_rate.is_none_or(|rate| fitted.false_positive_rate <= rate + 1e-9)
    };
    let better = |one: &Fitted, other: &Fitted| match (reaches(one), reaches(other)) {
        (true, true) => (one.share, one.false_positive_rate) < (other.share, other.false_positive_rate),
        (false, false) => (-one.recall, one.share) < (-other.recall, other.share),
        (reaches, _) => reaches,
    };
    let pairs = bounds.iter().enumerate().flat_map(|(at, low)| bounds[at..].iter().map(move |high| (*low, *high)));
    pairs
        .map(|(low, high)| candidate(low, high))
        .reduce(|best, fitted| if better(&fitted, &best) { fitted } else { best })
}

/// Places between different scores, the ends included.
fn bounds(scored: &[(f64, &Seen)]) -> Vec<usize> {
    let inner = (1..scored.len()).filter(|place| scored[place - 1].0 < scored[*place].0);
    let all: Vec<usize> = std::iter::once(0).chain(inner).chain((!scored.is_empty()).then_some(scored.len())).collect();
    let step = all.len().div_ceil(BOUNDS);
    let last = all.len() - 1;
    all.iter().enumerate().filter(|(at, _)| at % step == 0 || *at == last).map(|(_, place)| *place).collect()
}

/// The band around the cases from one place to another: bounds in the middle between them and their neighbours.
fn band(scored: &[(f64, &Seen)], low: usize, high: usize) -> Band {
    if low == high {
        return Band { low: 1.0, high: 0.0 };
    }
    let middle = |place: usize| (scored[place - 1].0 + scored[place].0) / 2.0;
    Band { low: if low == 0 { 0.0 } else { middle(low) }, high: if high == scored.len() { 1.0 } else { middle(high) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten cases with scores 0.05, 0.15 and so on. The first stage finds what scores above 0.5, the next finds all.
    fn cases(truths: [u8; 10]) -> Vec<Seen> {
        let seen = |(place, truth): (usize, u8)| Seen {
            truth: truth == 1,
            score: Some(place as f64 / 10.0 + 0.05),
            first: place >= 5,
            next: truth == 1,
        };
        truths.into_iter().enumerate().map(seen).collect()
    }

    #[test]
    fn only_what_the_first_stage_would_miss_goes_on() {
        let cases = cases([0, 0, 0, 1, 0, 0, 1, 1, 1, 1]);
        let fitted = fit(&cases, 0, None).expect("positives");
        assert!((fitted.band.low - 0.3).abs() < 1e-9 && (fitted.band.high - 0.4).abs() < 1e-9, "{fitted:?}");
        assert_eq!((fitted.share, fitted.recall, fitted.false_positive_rate), (0.1, 1.0, 0.2));
        assert_eq!(cases.iter().filter(|case| fitted.band.passes_on(case.score)).count(), 1);
        let without_alarms = fit(&cases, 0, Some(0.0)).expect("positives");
        assert_eq!((without_alarms.share, without_alarms.false_positive_rate), (0.3, 0.0));
        let lower = fit(&cases, 1, None).expect("positives");
        assert_eq!((lower.share, lower.recall, lower.band), (0.0, 0.8, Band { low: 1.0, high: 0.0 }));
    }

    #[test]
    fn what_nobody_finds_is_said() {
        let mut cases = cases([0, 1, 0, 0, 0, 1, 1, 1, 1, 1]);
        cases[1].next = false;
        let fitted = fit(&cases, 0, None).expect("positives");
        assert!((fitted.recall - 5.0 / 6.0).abs() < 1e-9 && fitted.share == 0.0, "{fitted:?}");
        assert_eq!(fit(&cases[2..5], 0, None), None);
    }

    #[test]
    fn cases_without_a_score_always_go_on() {
        let mut cases = cases([0, 0, 0, 1, 0, 0, 1, 1, 1, 1]);
        cases[3].score = None;
        let fitted = fit(&cases, 0, None).expect("positives");
        assert_eq!((fitted.share, fitted.recall, fitted.band), (0.1, 1.0, Band { low: 1.0, high: 0.0 }));
        cases.iter_mut().for_each(|case| case.score = None);
        assert_eq!(fit(&cases, 0, None).expect("positives").share, 1.0);
    }
}
