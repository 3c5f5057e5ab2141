//! Isotonic regression.
//!
//! Neighbours whose shares fall are pooled until all rise (Ayer et al., 1955). Within a pool the curve is slightly
//! tilted around its middle instead of flat, which changes neither its mean nor who comes before whom: it rises
//! strictly, and loses no order. Half a case of the other kind at each end keeps it from certainty that finitely many
//! cases do not give (Krichevsky and Trofimov, 1981).

use super::CLOSEST;

/// Cases whose truths are pooled.
#[derive(Clone, Copy)]
struct Pool {
    weight: f64,
    positives: f64,
    /// Sum of their log-odds, and the ends.
    odds: f64,
    first: f64,
    last: f64,
}

impl Pool {
    /// Of cases with the same log-odds.
    fn of(cases: &[(f64, bool)]) -> Self {
        let (odds, weight) = (cases[0].0, cases.len() as f64);
        let positives = cases.iter().filter(|(_, truth)| *truth).count() as f64;
        Self { weight, positives, odds: odds * weight, first: odds, last: odds }
    }

    /// Takes in half a case with the log-odds of its own cases, which are all the same.
    fn add_half(&mut self, truth: bool) {
        self.odds += 0.5 * self.first;
        self.weight += 0.5;
        self.positives += if truth { 0.5 } else { 0.0 };
    }

    fn share(&self) -> f64 {
        self.positives / self.weight
    }

    /// Takes in what comes after it.
    fn join(&mut self, next: &Self) {
        self.weight += next.weight;
        self.positives += next.positives;
        self.odds += next.odds;
        self.last = next.last;
    }

    /// The ends of the pool's line, which differ by `tilt` and have the pool's share at its middle.
    fn line(&self, tilt: f64) -> [(f64, f64); 2] {
        let slope = tilt / (self.last - self.first);
        let at = |odds: f64| (odds, self.share() + slope * (odds - self.odds / self.weight));
        [at(self.first), at(self.last)]
    }
}

/// The points of the curve for log-odds with their truths, of which there are some of each kind.
pub(super) fn fit(cases: Vec<(f64, bool)>) -> Vec<(f64, f64)> {
    let pools = pooled(groups(cases));
    let share = |place: Option<usize>| place.and_then(|place| pools.get(place)).map(Pool::share);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (place, pool) in pools.iter().enumerate() {
        if pool.first == pool.last {
            points.push((pool.first, pool.share()));
            continue;
        }
        let below = pool.share() - share(place.checked_sub(1)).unwrap_or(0.0);
        let above = share(Some(place + 1)).unwrap_or(1.0) - pool.share();
        points.extend(pool.line(TILT * below.min(above)));
    }
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

/// How much a pool is tilted, as a part of the distance to its closer neighbour: so little that none overtakes another.
const TILT: f64 = 0.4;

/// Cases by their log-odds, in order. What order they came in says nothing: equal ones are one group, whatever their
/// truths. The outermost groups take in half a case of the other kind.
fn groups(mut cases: Vec<(f64, bool)>) -> Vec<Pool> {
    cases.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups: Vec<Pool> = cases.chunk_by(|a, b| a.0 == b.0).map(Pool::of).collect();
    if let Some(lowest) = groups.first_mut() {
        lowest.add_half(true);
    }
    if let Some(highest) = groups.last_mut() {
        highest.add_half(false);
    }
    groups
}

/// Neighbours joined until shares rise.
fn pooled(groups: Vec<Pool>) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::with_capacity(groups.len());
    for group in groups {
        pools.push(group);
        while let [.., before, pool] = &mut pools[..] {
            if before.share() < pool.share() {
                break;
            }
            before.join(&*pool);
            pools.pop();
        }
    }
    pools
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
    fn neighbours_that_fall_are_pooled_and_keep_their_share_in_the_mean() {
        let cases = vec![(-2.0, false), (-1.0, true), (0.0, false), (1.0, true), (2.0, true)];
        let points = fit(cases.clone());
        // Half a positive at -2 with the negative there: a third. Then one of two at -1 and 0: a half. Then two and half
        // a negative at the end: two of two and a half.
        assert_eq!(
            points.iter().map(|point| point.0.round()).collect::<Vec<_>>(),
            [-28.0, -2.0, -1.0, 0.0, 1.0, 2.0, 28.0]
        );
        assert!((points[1].1 - 1.0 / 3.0).abs() < 1e-12);
        assert!(((points[2].1 + points[3].1) / 2.0 - 0.5).abs() < 1e-12);
        assert!(((points[4].1 + 1.5 * points[5].1) / 2.5 - 0.8).abs() < 1e-12, "{points:?}");
        assert!(points.windows(2).all(|pair| pair[0].1 < pair[1].1), "{points:?}");
    }

    #[test]
    fn the_order_of_cases_says_nothing() {
        // A hundred cases at each of two scores, of which a fifth and four fifths are positive.
        let cases: Vec<(f64, bool)> =
            (0..200).map(|at| if at % 2 == 0 { (-1.0, at / 2 % 5 == 0) } else { (1.0, at / 2 % 5 != 0) }).collect();
        let points = fit(cases.clone());
        assert!(
            (value(&points, -1.0) - 20.5 / 100.5).abs() < 1e-12 && (value(&points, 1.0) - 80.0 / 100.5).abs() < 1e-12
        );
        let mut orders = [(); 4].map(|()| cases.clone());
        orders[0].reverse();
        orders[1].sort_by_key(|(_, truth)| *truth);
        orders[2].sort_by_key(|(_, truth)| !truth);
        (1..cases.len()).for_each(|place| orders[3].swap(place, place * 7919 % (place + 1)));
        for other in orders {
            assert_ne!(other, cases);
            assert_eq!(fit(other), points);
        }
    }

    #[test]
    fn a_wide_pool_says_the_same_at_its_edge_as_in_its_middle() {
        // All from 1 on are positive, spread widely; all below 0 are not.
        let cases = (0..400).map(|at| {
            let far = f64::from(at % 200) / 20.0;
            if at < 200 { (-far - 1.0, false) } else { (far + 1.0, true) }
        });
        let points = fit(cases.collect());
        for (odds, expected) in [(-10.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (5.0, 1.0)] {
            assert!((value(&points, odds) - expected).abs() < 0.005, "{odds}: {}", value(&points, odds));
        }
    }

    #[test]
    fn values_lie_on_lines_between_points() {
        let points = [(0.0, 0.2), (2.0, 0.6)];
        assert_eq!([-1.0, 0.0, 1.0, 2.0, 9.0].map(|at| value(&points, at)), [0.2, 0.2, 0.4, 0.6, 0.6]);
    }
}
