//! Percentile bootstrap (Efron, 1979).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::scorecard::Interval;

const RESAMPLES: usize = 1000;
const SEED: u64 = 20_260_630;

/// A statistic with its 95 % interval. The seed is fixed: the same data gives the same interval.
pub(crate) fn interval(count: usize, statistic: impl Fn(&mut dyn Iterator<Item = usize>) -> f64) -> Interval {
    let value = statistic(&mut (0..count));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut values: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut drawn = (0..count).map(|_| random.random_range(0..count));
            statistic(&mut drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((RESAMPLES - 1) as f64 * share).round() as usize];
    Interval { value, low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_share_is_about_what_the_binomial_gives() {
        let hits: Vec<f64> = (0..1000).map(|i| f64::from(u8::from(i % 10 != 0))).collect();
        let interval = interval(hits.len(), |drawn| {
            let (sum, count) = drawn.fold((0.0, 0.0), |(s, n), i| (s + hits[i], n + 1.0));
            sum / count
        });
        assert!((interval.value - 0.9).abs() < 1e-12);
        // 0.9 ± 1.96 * sqrt(0.9 * 0.1 / 1000) = 0.9 ± 0.0186
        assert!((interval.low - 0.8814).abs() < 0.004 && (interval.high - 0.9186).abs() < 0.004, "{interval:?}");
    }
}
