//! Isotonic regression, centred.
//!
//! Neighbours whose shares fall are pooled until all rise (Ayer et al., 1955). Each pool stands at the middle of its
//! scores, with straight lines in between (Oron and Flournoy, "Centered isotonic regression", 2017), so that the curve
//! rises strictly and loses no order. Half a case of the other kind at each end keeps it from certainty that finitely
//! many cases do not give (Krichevsky and Trofimov, 1981).

use super::CLOSEST;

/// Cases whose truths are pooled.
#[derive(Clone, Copy)]
struct Pool {
    weight: f64,
    positives: f64,
    /// Sum of their log-odds.
    odds: f64,
}

impl Pool {
    fn new(odds: f64, truth: bool, weight: f64) -> Self {
        Self { weight, positives: if truth { weight } else { 0.0 }, odds: odds * weight }
    }

    fn share(&self) -> f64 {
        self.positives / self.weight
    }

    fn middle(&self) -> f64 {
        self.odds / self.weight
    }

    fn join(&mut self, other: &Self) {
        self.weight += other.weight;
        self.positives += other.positives;
        self.odds += other.odds;
    }
}

/// The points of the curve for log-odds with their truths, of which there are some of each kind.
pub(super) fn fit(mut cases: Vec<(f64, bool)>) -> Vec<(f64, f64)> {
    cases.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (cases[0].0, cases[cases.len() - 1].0);
    let ends = [Pool::new(first, true, 0.5), Pool::new(last, false, 0.5)];
    let inner = cases.iter().map(|(odds, truth)| Pool::new(*odds, *truth, 1.0));
    let mut pools: Vec<Pool> = Vec::new();
    for mut pool in std::iter::once(ends[0]).chain(inner).chain([ends[1]]) {
        while let Some(before) = pools.last().filter(|before| fits_not(before, &pool)).copied() {
            pool.join(&before);
            pools.pop();
        }
        pools.push(pool);
    }
    let mut points: Vec<(f64, f64)> = pools.iter().map(|pool| (pool.middle(), pool.share())).collect();
    // Beyond the outermost pools it goes on to impossible and certain, if there is a beyond.
    let limit = super::log_odds(1.0 - CLOSEST) - 1e-6;
    if points[0].0 > -limit {
        points.insert(0, (-limit, 0.0));
    }
    if points[points.len() - 1].0 < limit {
        points.push((limit, 1.0));
    }
    points
}

/// Whether two neighbours are one: the later has no larger share, or the same score.
fn fits_not(before: &Pool, pool: &Pool) -> bool {
    pool.share() <= before.share() || pool.middle() <= before.middle()
}

/// The curve's value. There is at least one point.
pub(super) fn value(points: &[(f64, f64)], odds: f64) -> f64 {
    let above = points.partition_point(|(at, _)| *at < odds);
    match (above.checked_sub(1).map(|below| points[below]), points.get(above)) {
        (Some(below), Some(above)) => below.1 + (above.1 - below.1) * (odds - below.0) / (above.0 - below.0),
        (Some(end), None) => end.1,
        (None, Some(end)) => end.1,
        (None, None) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_fall_are_pooled_at_their_middle() {
        let cases = vec![(-2.0, false), (-1.0, true), (0.0, false), (1.0, true), (2.0, true)];
        let points = fit(cases);
        // Half a positive at -2 with the negative there: a third. Then one of two at -1 and 0: a half. Then two and half
        // a negative at the end: two of two and a half.
        let expected = [(-2.0, 1.0 / 3.0), (-0.5, 0.5), (5.0 / 2.5 - 0.4, 0.8)];
        for (point, expected) in points[1..4].iter().zip(expected) {
            assert!((point.0 - expected.0).abs() < 1e-9 && (point.1 - expected.1).abs() < 1e-9, "{points:?}");
        }
        assert_eq!((points.len(), points[0].1, points[4].1), (5, 0.0, 1.0));
    }

    #[test]
    fn values_lie_on_lines_between_points() {
        let points = [(0.0, 0.2), (2.0, 0.6)];
        assert_eq!([-1.0, 0.0, 1.0, 2.0, 9.0].map(|at| value(&points, at)), [0.2, 0.2, 0.4, 0.6, 0.6]);
    }
}
