//! From values to bins: at most 255 ranges (or categories) per feature, found on a sample of the rows as
//! LightGBM finds them (`src/io/bin.cpp`).

use crate::model::{Missing, ZERO, category};

/// How a feature's values are cut into bins.
#[derive(Clone, Debug)]
pub(super) struct FeatureBins {
    pub(super) cut: Cut,
    /// Number of bins, that of missing values included.
    pub(super) count: usize,
    /// For the model file: `[min:max]`, `1:2:3`, or `none`.
    pub(super) info: String,
}

#[derive(Clone, Debug)]
pub(super) enum Cut {
    /// Bin `i` holds values up to `upper[i]`; with [`Missing::NotANumber`] one more bin holds the missing.
    Numeric { upper: Vec<f64>, missing: Missing },
    /// Bin `i + 1` holds `categories[i]`; bin 0 holds all others.
    Categorical { categories: Vec<u32>, missing: Missing },
}

/// What the search for bins needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_bin: usize,
    pub(super) min_data_in_bin: usize,
    pub(super) use_missing: bool,
}

impl FeatureBins {
    /// Finds the ranges of a numeric feature from a sample of its values.
    pub(super) fn numeric(mut sample: Vec<f64>, limits: Limits) -> Self {
        let all = sample.len();
        if limits.use_missing {
            sample.retain(|value| !value.is_nan());
        } else {
            sample.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        }
        let missing = if sample.len() < all { Missing::NotANumber } else { Missing::Never };
        sample.iter_mut().filter(|value| value.abs() <= ZERO).for_each(|value| *value = 0.0);
        sample.sort_unstable_by(f64::total_cmp);
        let info = match (sample.first(), sample.last()) {
            (Some(first), Some(last)) if first < last => format!("[{first}:{last}]"),
            _ => "none".to_owned(),
        };
        let distinct = distinct(&sample);
        let most = limits.max_bin - usize::from(missing == Missing::NotANumber);
        let upper = around_zero(&distinct, sample.len(), most, limits.min_data_in_bin);
        let count = upper.len() + usize::from(missing == Missing::NotANumber);
        Self { cut: Cut::Numeric { upper, missing }, count, info }
    }

    /// Finds the categories that get bins of their own: the most frequent ones, up to 99 % of the sample.
    pub(super) fn categorical(sample: &[f64], limits: Limits) -> Self {
        let mut known: Vec<u32> = sample.iter().filter_map(|value| category(*value)).collect();
        known.sort_unstable();
        let mut counts: Vec<(u32, usize)> = Vec::new();
        for value in known {
            match counts.last_mut() {
                Some((last, count)) if *last == value => *count += 1,
                _ => counts.push((value, 1)),
            }
        }
        counts.sort_by_key(|(category, count)| (std::cmp::Reverse(*count), *category));
        let info = if counts.is_empty() {
            "none".to_owned()
        } else {
            let mut list: Vec<u32> = counts.iter().map(|(category, _)| *category).collect();
            list.sort_unstable();
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(":")
        };
        let total: usize = counts.iter().map(|(_, count)| count).sum();
        let enough = (total as f64 * 0.99).round() as usize;
        let mut categories = Vec::new();
        let mut covered = 0;
        for (category, count) in &counts {
            let rare = *count < limits.min_data_in_bin && categories.len() > 1;
            if categories.len() + 1 >= limits.max_bin || (covered >= enough && rare) {
                break;
            }
            categories.push(*category);
            covered += count;
        }
        let complete = categories.len() == counts.len() && total == sample.len();
        let missing = if complete { Missing::Never } else { Missing::NotANumber };
        Self { count: categories.len() + 1, cut: Cut::Categorical { categories, missing }, info }
    }

    /// The bin of a value.
    pub(super) fn bin(&self, value: f64) -> u8 {
        match &self.cut {
            Cut::Numeric { upper, missing } => {
                if value.is_nan() && *missing == Missing::NotANumber {
                    return (self.count - 1) as u8;
                }
                let value = if value.is_nan() || value.abs() <= ZERO { 0.0 } else { value };
                upper.partition_point(|bound| *bound < value).min(upper.len() - 1) as u8
            }
            Cut::Categorical { categories, .. } => category(value)
                .and_then(|category| categories.iter().position(|known| *known == category))
                .map_or(0, |place| place as u8 + 1),
        }
    }
}

/// Ascending values with their counts.
fn distinct(sorted: &[f64]) -> Vec<(f64, usize)> {
    let mut list: Vec<(f64, usize)> = Vec::new();
    for &value in sorted {
        match list.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => list.push((value, 1)),
        }
    }
    list
}

/// Bounds with zero in a bin of its own, and the bins shared out to both sides by their numbers of values.
fn around_zero(distinct: &[(f64, usize)], total: usize, max_bin: usize, min_data: usize) -> Vec<f64> {
    let below = distinct.partition_point(|(value, _)| *value < -ZERO);
    let above = distinct.partition_point(|(value, _)| *value <= ZERO);
    let size = |part: &[(f64, usize)]| part.iter().map(|(_, count)| count).sum::<usize>();
    let (left, zeros, right) = (size(&distinct[..below]), size(&distinct[below..above]), size(&distinct[above..]));
    let mut bounds = Vec::new();
    if left > 0 && max_bin > 1 {
        let share = left as f64 / (total - zeros).max(1) as f64;
        let bins = ((share * (max_bin - 1) as f64) as usize).max(1);
        bounds = greedy(&distinct[..below], bins, left, min_data);
        if let Some(last) = bounds.last_mut() {
            *last = -ZERO;
        }
    }
    let bins = (max_bin - 1).saturating_sub(bounds.len());
    if right > 0 && bins > 0 {
        bounds.push(ZERO);
        bounds.extend(greedy(&distinct[above..], bins, right, min_data));
    } else {
        bounds.push(f64::INFINITY);
    }
    bounds
}

/// Bounds between values such that bins hold about the same number, frequent values one bin each.
fn greedy(distinct: &[(f64, usize)], max_bin: usize, total: usize, min_data: usize) -> Vec<f64> {
    let mut bounds: Vec<f64> = Vec::new();
    let mut add = |low: f64, high: f64| {
        let bound = (low / 2.0 + high / 2.0).max(low).next_up();
        if bounds.last().is_none_or(|last| *last < bound) {
            bounds.push(bound);
        }
    };
    if distinct.len() <= max_bin {
        let mut filled = 0;
        for pair in distinct.windows(2) {
            filled += pair[0].1;
            if filled >= min_data {
                add(pair[0].0, pair[1].0);
                filled = 0;
            }
        }
    } else {
        let max_bin = max_bin.min(total / min_data).max(1);
        let mean = total as f64 / max_bin as f64;
        let large = |count: usize| count as f64 >= mean;
        let mut rest_bins = max_bin as i64 - distinct.iter().filter(|(_, count)| large(*count)).count() as i64;
        let mut rest: usize = distinct.iter().map(|(_, count)| *count).filter(|count| !large(*count)).sum();
        let mut target = rest as f64 / rest_bins as f64;
        let (mut filled, mut bins) = (0, 0);
        for pair in distinct.windows(2) {
            let ((value, count), (next, next_count)) = (pair[0], pair[1]);
            if !large(count) {
                rest -= count;
            }
            filled += count;
            let full = filled as f64 >= target;
            if large(count) || full || (large(next_count) && filled as f64 >= (target * 0.5).max(1.0)) {
                add(value, next);
                bins += 1;
                if bins >= max_bin - 1 {
                    break;
                }
                filled = 0;
                if !large(count) {
                    rest_bins -= 1;
                    target = rest as f64 / rest_bins as f64;
                }
            }
        }
    }
    bounds.push(f64::INFINITY);
    bounds
}
