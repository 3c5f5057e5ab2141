//! How many positive cases a rule may miss where it was fitted, if it is to find a stated share of new ones.

use serde::{Deserialize, Serialize};

/// A recall that is to hold on new cases, and how sure that must be.
///
/// A threshold that just reaches a recall on the cases that it was fitted to falls short of it on new ones about every
/// other time. What it can be trusted with follows from order statistics, whatever the distribution of scores (Wilks,
/// "Determination of sample sizes for setting tolerance limits", 1941): a threshold that leaves `k` of `n` positive cases
/// below it misses more than `q` of all with the probability that a binomial variable of `n` and `q` is `k` at most,
/// which is also the one-sided bound of Clopper and Pearson (1934) for a rule that was made without these cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Share of the positive cases that must be found.
    pub recall: f64,
    /// Probability, over the draw of the cases that are fitted to, that this share of new ones is.
    pub confidence: f64,
}

impl Tolerance {
    /// Says what cannot be.
    ///
    /// # Errors
    /// When the recall is no share above 0, or the confidence none between 0 and 1.
    pub fn check(&self) -> Result<(), String> {
        if !(self.recall > 0.0 && self.recall <= 1.0) {
            return Err(format!("recall: {} is no share above 0", self.recall));
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(format!("confidence: {} is no share between 0 and 1", self.confidence));
        }
        Ok(())
    }

    /// The most misses among so many positive cases that leave the recall assured. Nothing if even none is too many,
    /// because there are too few cases.
    pub fn misses(&self, positives: usize) -> Option<usize> {
        let (count, missed) = (positives as f64, 1.0 - self.recall);
        if missed <= 0.0 {
            return None;
        }
        // Logarithms of the probability of exactly so many misses, and of so many at most: both can be far below what
        // a number can hold.
        let limit = (1.0 - self.confidence).ln();
        let mut exactly = count * (-missed).ln_1p();
        let mut at_most = exactly;
        let mut most = None;
        for misses in 0..positives {
            if at_most > limit {
                break;
            }
            most = Some(misses);
            let next = misses as f64 + 1.0;
            exactly += ((count - misses as f64) / next * missed / self.recall).ln();
            let (high, low) = (at_most.max(exactly), at_most.min(exactly));
            at_most = high + (low - high).exp().ln_1p();
        }
        most
    }

    /// The fewest positive cases that can assure the recall. Nothing if none can.
    pub fn fewest_positives(&self) -> Option<usize> {
        let fewest = ((1.0 - self.confidence).ln() / self.recall.ln()).ceil();
        (fewest.is_finite() && fewest > 0.0).then_some(fewest as usize)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::OperatingPoint;

    const USUAL: Tolerance = Tolerance { recall: 0.995, confidence: 0.95 };

    #[test]
    fn misses_are_those_of_the_binomial_tail() {
        // The well-known sizes of samples for 95 % of 95 % (Wilks): 59 without a miss, 93 with one, 124 with two.
        let wilks = Tolerance { recall: 0.95, confidence: 0.95 };
        let found = [58, 59, 92, 93, 123, 124].map(|positives| wilks.misses(positives));
        assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1), Some(2)]);
        assert_eq!(wilks.fewest_positives(), Some(59));
        assert_eq!((USUAL.fewest_positives(), USUAL.misses(597), USUAL.misses(598)), (Some(598), None, Some(0)));
    }

    #[test]
    fn many_cases_allow_nearly_the_stated_share() {
        // Far beyond what exp() can hold: about the mean less 1.645 deviations.
        let misses = USUAL.misses(1_000_000).expect("enough cases");
        assert!((4880..4890).contains(&misses), "{misses}");
    }

    #[test]
    fn what_cannot_be_assured_is_not() {
        let all = Tolerance { recall: 1.0, ..USUAL };
        assert_eq!((all.misses(1_000_000), all.fewest_positives(), USUAL.misses(0)), (None, None, None));
        for (recall, confidence) in [(0.0, 0.95), (1.5, 0.95), (f64::NAN, 0.95), (0.9, 0.0), (0.9, 1.0)] {
            assert!(Tolerance { recall, confidence }.check().is_err());
        }
        assert!(USUAL.check().is_ok() && all.check().is_ok());
    }

    /// Share of draws in which the threshold finds the stated share of all positive cases, whose scores are uniform, so
    /// that a threshold finds just what lies above it. Others are uniform up to a half.
    fn share_of_draws_that_hold(misses: usize) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut draw = || {
            let positives = (0..1200).map(|_| (random.random::<f64>(), true)).collect::<Vec<_>>();
            let others = (0..1200).map(|_| (random.random::<f64>() / 2.0, false));
            positives.into_iter().chain(others).collect::<Vec<_>>()
        };
        let held = (0..400).filter(|_| {
            let point = OperatingPoint::missing(&draw(), misses).expect("both kinds");
            1.0 - point.threshold >= USUAL.recall
        });
        held.count() as f64 / 400.0
    }

    #[test]
    fn a_recall_that_is_assured_holds_on_new_cases() {
        // Three deviations of a share of 400 below 0.95.
        let assured = USUAL.misses(1200).expect("enough cases");
        assert!(share_of_draws_that_hold(assured) > 0.917);
        // What just reaches the recall on the cases that it was fitted to is not enough.
        assert!(share_of_draws_that_hold(6) < 0.75);
    }
}
