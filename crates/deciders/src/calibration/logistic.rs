//! Platt's logistic curve over the raw sums of boosted trees.

use serde::{Deserialize, Serialize};

/// A logistic curve over raw sums (Platt, "Probabilistic outputs for support vector machines", 1999). It is
/// strictly monotone, so that calibrated scores keep the order of the raw ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// Factor of the raw sum, above 0.
    pub slope: f64,
    /// Added to it.
    pub intercept: f64,
}

impl Logistic {
    /// Fits the curve to raw sums and truths, with Platt's targets against overconfidence. Nothing where
    /// raw sums do not rise with the truth.
    pub fn fit(sums: &[f64], truths: &[bool]) -> Option<Self> {
        let positives = truths.iter().filter(|truth| **truth).count() as f64;
        let negatives = truths.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let target = |truth: bool| if truth { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (negatives + 2.0) };
        // Newton's method on the mean loss, with steps halved until they help.
        let loss = |slope: f64, intercept: f64| -> f64 {
            let one = |(sum, truth): (&f64, &bool)| {
                let value = slope * sum + intercept;
                value.max(0.0) - target(*truth) * value + (-value.abs()).exp().ln_1p()
            };
            sums.iter().zip(truths).map(one).sum()
        };
        let (mut slope, mut intercept) = (1.0, 0.0);
        let mut lost = loss(slope, intercept);
        for _ in 0..100 {
            let (mut gradient, mut hessian) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
            for (sum, truth) in sums.iter().zip(truths) {
                let chance = 1.0 / (1.0 + (-(slope * sum + intercept)).exp());
                let (error, weight) = (chance - target(*truth), chance * (1.0 - chance));
                gradient[0] += error * sum;
                gradient[1] += error;
                hessian[0] += weight * sum * sum;
                hessian[1] += weight * sum;
                hessian[2] += weight;
            }
            let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
            let step = (
                (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
                (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
            );
            let shares = (0..30).map(|halvings| 0.5f64.powi(halvings));
            let better = shares
                .map(|share| (slope - share * step.0, intercept - share * step.1))
                .find(|next| loss(next.0, next.1) < lost);
            let Some(next) = better else { break };
            (slope, intercept) = next;
            lost = loss(slope, intercept);
        }
        Some(Self { slope, intercept }).filter(Self::is_monotone)
    }

    /// Whether a higher sum means a higher probability.
    pub(crate) fn is_monotone(&self) -> bool {
        self.slope > 0.0 && self.slope.is_finite() && self.intercept.is_finite()
    }

    /// The probability of a raw sum.
    pub fn apply(&self, sum: f64) -> f64 {
        1.0 / (1.0 + (-(self.slope * sum + self.intercept)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_finds_the_curve_that_truths_were_drawn_from() {
        let (sums, truths): (Vec<f64>, Vec<bool>) = (0..20_000)
            .map(|index| {
                let sum = f64::from(index % 200) / 20.0 - 5.0;
                let chance = 1.0 / (1.0 + (-(0.7 * sum - 1.0)).exp());
                (sum, (f64::from(index / 200) + 0.5) / 100.0 < chance)
            })
            .unzip();
        let fitted = Logistic::fit(&sums, &truths).expect("a curve");
        assert!((fitted.slope - 0.7).abs() < 0.01 && (fitted.intercept + 1.0).abs() < 0.01, "{fitted:?}");
        assert_eq!(Logistic::fit(&[1.0, 2.0], &[true, true]), None);
    }
}
