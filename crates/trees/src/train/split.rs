//! The best split of one feature from its histogram, as LightGBM's `src/treelearner/feature_histogram.hpp`.

use super::bins::{Cut, FeatureBins};
use super::parameters::Parameters;
use crate::model::Missing;

/// Sums of gradients and hessians by bin; 256 so that a byte never points outside.
pub(super) type Histogram = [[f64; 2]; 256];

/// What LightGBM adds to sums of hessians so that none is zero.
const EPSILON: f64 = 1e-15;

/// The rows of a leaf, summed up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) gradient: f64,
    pub(super) hessian: f64,
    pub(super) count: usize,
}

/// Between which values a leaf's output has to lie, so that monotone features stay monotone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Bounds {
    pub(super) const NONE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
}

/// A way to divide a leaf.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) gain: f64,
    pub(super) slot: usize,
    pub(super) goes_left: GoesLeft,
    pub(super) left_output: f64,
    pub(super) right_output: f64,
    pub(super) left: [f64; 2],
    pub(super) right: [f64; 2],
}

/// Which bins go left.
#[derive(Clone, Debug)]
pub(super) enum GoesLeft {
    /// Bins up to this one; missing values as stated.
    UpTo { bin: u8, default_left: bool },
    /// These bins.
    These(Vec<u8>),
}

/// What does not change while a leaf is divided.
#[derive(Clone, Copy)]
pub(super) struct Search<'p> {
    pub(super) parameters: &'p Parameters,
    pub(super) totals: Totals,
    pub(super) bounds: Bounds,
    /// Any feature of the model is monotone, so that outputs are bounded.
    pub(super) constrained: bool,
}

/// The best candidate so far.
struct Best {
    gain: f64,
    left: [f64; 2],
    at: usize,
    flag: bool,
}

impl Search<'_> {
    /// The best split on a feature, if one gains anything.
    pub(super) fn best(&self, slot: usize, bins: &FeatureBins, histogram: &Histogram, monotone: i8) -> Option<Split> {
        match &bins.cut {
            Cut::Numeric { missing, .. } => self.numeric(slot, bins.count, *missing, histogram, monotone),
            Cut::Categorical { .. } => self.categorical(slot, bins.count, histogram),
        }
    }

    fn hessian(&self) -> f64 {
        self.totals.hessian + 2.0 * EPSILON
    }

    /// What a split has to gain more than.
    fn floor(&self) -> f64 {
        self.leaf_gain(self.totals.gradient, self.hessian(), self.parameters.lambda_l2)
            + self.parameters.min_gain_to_split
    }

    fn numeric(
        &self,
        slot: usize,
        count: usize,
        missing: Missing,
        histogram: &Histogram,
        monotone: i8,
    ) -> Option<Split> {
        let floor = self.floor();
        let mut best = Best { gain: floor, left: [0.0; 2], at: 0, flag: true };
        let with_missing = missing == Missing::NotANumber;
        if self.constrained {
            self.scan::<true>(histogram, count, with_missing, monotone, &mut best);
        } else {
            self.scan::<false>(histogram, count, with_missing, monotone, &mut best);
        }
        if best.gain <= floor {
            return None;
        }
        let goes_left = GoesLeft::UpTo { bin: best.at as u8, default_left: best.flag };
        Some(self.split(slot, best.gain - floor, best.left, goes_left, self.parameters.lambda_l2))
    }

    /// Tries every threshold from the right, missing values going left, then, if there are any, from the
    /// left, missing values going right.
    fn scan<const CONSTRAINED: bool>(
        &self,
        histogram: &Histogram,
        count: usize,
        with_missing: bool,
        monotone: i8,
        best: &mut Best,
    ) {
        let parameters = self.parameters;
        let (gradient, hessian) = (self.totals.gradient, self.hessian());
        let rows = self.totals.count as f64;
        let per_hessian = rows / hessian;
        let (least_rows, least_hessian) = (parameters.min_data_in_leaf as f64, parameters.min_sum_hessian_in_leaf);
        let numbers = count - usize::from(with_missing);
        let (mut sum, mut seen) = ([0.0, EPSILON], 0.0);
        for bin in (1..numbers).rev() {
            sum[0] += histogram[bin][0];
            sum[1] += histogram[bin][1];
            seen += (histogram[bin][1] * per_hessian + 0.5).floor();
            if seen < least_rows || sum[1] < least_hessian {
                continue;
            }
            let left = [gradient - sum[0], hessian - sum[1]];
            if rows - seen < least_rows || left[1] < least_hessian {
                break;
            }
            let gain = self.gain::<CONSTRAINED>(left, sum, monotone, parameters.lambda_l2);
            if gain > best.gain {
                *best = Best { gain, left, at: bin - 1, flag: true };
            }
        }
        if !with_missing {
            return;
        }
        let (mut sum, mut seen) = ([0.0, EPSILON], 0.0);
        for (bin, here) in histogram[..numbers].iter().enumerate() {
            sum[0] += here[0];
            sum[1] += here[1];
            seen += (here[1] * per_hessian + 0.5).floor();
            if seen < least_rows || sum[1] < least_hessian {
                continue;
            }
            let right = [gradient - sum[0], hessian - sum[1]];
            if rows - seen < least_rows || right[1] < least_hessian {
                break;
            }
            let gain = self.gain::<CONSTRAINED>(sum, right, monotone, parameters.lambda_l2);
            if gain > best.gain {
                *best = Best { gain, left: sum, at: bin, flag: false };
            }
        }
    }

    fn categorical(&self, slot: usize, count: usize, histogram: &Histogram) -> Option<Split> {
        let parameters = self.parameters;
        let floor = self.floor();
        let per_hessian = self.totals.count as f64 / self.hessian();
        let rows = |bin: usize| (histogram[bin][1] * per_hessian + 0.5).floor();
        let one_against_rest = count <= parameters.max_cat_to_onehot;
        let (best, chosen, l2) = if one_against_rest {
            let best = self.one_against_rest(count, histogram, &rows, floor);
            let chosen = vec![best.at as u8];
            (best, chosen, parameters.lambda_l2)
        } else {
            let l2 = parameters.lambda_l2 + parameters.cat_l2;
            let (best, chosen) = self.many_against_many(count, histogram, &rows, floor, l2);
            (best, chosen, l2)
        };
        if best.gain <= floor {
            return None;
        }
        Some(self.split(slot, best.gain - floor, best.left, GoesLeft::These(chosen), l2))
    }

    fn one_against_rest(&self, count: usize, histogram: &Histogram, rows: &dyn Fn(usize) -> f64, floor: f64) -> Best {
        let parameters = self.parameters;
        let least = parameters.min_data_in_leaf as f64;
        let mut best = Best { gain: floor, left: [0.0; 2], at: 0, flag: false };
        for (bin, here) in histogram[..count].iter().enumerate().skip(1) {
            let here = [here[0], here[1] + EPSILON];
            let rest = [self.totals.gradient - here[0], self.hessian() - here[1]];
            let seen = rows(bin);
            let small = seen < least || self.totals.count as f64 - seen < least;
            if small || here[1].min(rest[1]) < parameters.min_sum_hessian_in_leaf {
                continue;
            }
            let gain = self.any_gain(here, rest, parameters.lambda_l2);
            if gain > best.gain {
                best = Best { gain, left: here, at: bin, flag: false };
            }
        }
        best
    }

    /// Categories in the order of their mean gradients (Fisher, "On grouping for maximum homogeneity", 1958),
    /// the first few from either end going left.
    fn many_against_many(
        &self,
        count: usize,
        histogram: &Histogram,
        rows: &dyn Fn(usize) -> f64,
        floor: f64,
        l2: f64,
    ) -> (Best, Vec<u8>) {
        let parameters = self.parameters;
        let mut order: Vec<usize> = (1..count).filter(|bin| rows(*bin) >= parameters.cat_smooth).collect();
        let mean = |bin: usize| histogram[bin][0] / (histogram[bin][1] + parameters.cat_smooth);
        order.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)));
        let most = parameters.max_cat_threshold.min(order.len().div_ceil(2));
        let total = self.totals.count as f64;
        let mut best = Best { gain: floor, left: [0.0; 2], at: 0, flag: false };
        for reverse in [false, true] {
            let (mut sum, mut seen, mut group) = ([0.0, EPSILON], 0.0, 0.0);
            for place in 0..most {
                let bin = order[if reverse { order.len() - 1 - place } else { place }];
                sum[0] += histogram[bin][0];
                sum[1] += histogram[bin][1];
                seen += rows(bin);
                group += rows(bin);
                if seen < parameters.min_data_in_leaf as f64 || sum[1] < parameters.min_sum_hessian_in_leaf {
                    continue;
                }
                let right = [self.totals.gradient - sum[0], self.hessian() - sum[1]];
                let rest = total - seen;
                if rest < parameters.min_data_in_leaf.max(parameters.min_data_per_group) as f64
                    || right[1] < parameters.min_sum_hessian_in_leaf
                {
                    break;
                }
                if group < parameters.min_data_per_group as f64 {
                    continue;
                }
                group = 0.0;
                let gain = self.any_gain(sum, right, l2);
                if gain > best.gain {
                    best = Best { gain, left: sum, at: place + 1, flag: reverse };
                }
            }
        }
        let place = |place: usize| order[if best.flag { order.len() - 1 - place } else { place }] as u8;
        let chosen = (0..best.at).map(place).collect();
        (best, chosen)
    }

    fn split(&self, slot: usize, gain: f64, left: [f64; 2], goes_left: GoesLeft, l2: f64) -> Split {
        let right = [self.totals.gradient - left[0], self.hessian() - left[1]];
        Split {
            gain,
            slot,
            goes_left,
            left_output: self.bounded_output(left, l2),
            right_output: self.bounded_output(right, l2),
            left: [left[0], left[1] - EPSILON],
            right: [right[0], right[1] - EPSILON],
        }
    }

    fn any_gain(&self, left: [f64; 2], right: [f64; 2], l2: f64) -> f64 {
        if self.constrained { self.gain::<true>(left, right, 0, l2) } else { self.gain::<false>(left, right, 0, l2) }
    }

    #[inline(always)]
    fn gain<const CONSTRAINED: bool>(&self, left: [f64; 2], right: [f64; 2], monotone: i8, l2: f64) -> f64 {
        if !CONSTRAINED {
            return self.leaf_gain(left[0], left[1], l2) + self.leaf_gain(right[0], right[1], l2);
        }
        let (low, high) = (self.bounded_output(left, l2), self.bounded_output(right, l2));
        if (monotone > 0 && low > high) || (monotone < 0 && low < high) {
            return 0.0;
        }
        self.gain_with(left, low, l2) + self.gain_with(right, high, l2)
    }

    #[inline(always)]
    fn leaf_gain(&self, gradient: f64, hessian: f64, l2: f64) -> f64 {
        let shrunk = self.shrunk(gradient);
        if self.parameters.max_delta_step <= 0.0 {
            shrunk * shrunk / (hessian + l2)
        } else {
            self.gain_with([gradient, hessian], self.output([gradient, hessian], l2), l2)
        }
    }

    fn gain_with(&self, sum: [f64; 2], output: f64, l2: f64) -> f64 {
        -(2.0 * self.shrunk(sum[0]) * output + (sum[1] + l2) * output * output)
    }

    #[inline(always)]
    fn shrunk(&self, gradient: f64) -> f64 {
        let l1 = self.parameters.lambda_l1;
        if l1 == 0.0 { gradient } else { gradient.signum() * (gradient.abs() - l1).max(0.0) }
    }

    /// The best output of a leaf.
    pub(super) fn output(&self, sum: [f64; 2], l2: f64) -> f64 {
        let output = -self.shrunk(sum[0]) / (sum[1] + l2);
        let most = self.parameters.max_delta_step;
        if most > 0.0 { output.clamp(-most, most) } else { output }
    }

    fn bounded_output(&self, sum: [f64; 2], l2: f64) -> f64 {
        self.output(sum, l2).clamp(self.bounds.low, self.bounds.high)
    }
}
