//! Gradients and hessians of the objectives, as LightGBM's `src/objective`.

use rayon::prelude::*;

use super::parameters::{Loss, Parameters};
use super::{Table, TrainError};

/// First and second derivative of the loss of one row by its raw sum.
pub(super) type Slope = [f32; 2];

/// Rows whose derivatives are computed by one task.
const CHUNK: usize = 4096;

/// The objective with what it knows of the labels.
pub(super) enum Objective<'t> {
    Binary { labels: &'t [f64], weights: Option<&'t [f64]>, class_weights: [f64; 2], sigmoid: f64 },
    Regression { labels: &'t [f64], weights: Option<&'t [f64]> },
    Multiclass { labels: &'t [f64], weights: Option<&'t [f64]>, classes: usize },
    LambdaRank(Ranking<'t>),
}

/// The queries of a ranking task.
pub(super) struct Ranking<'t> {
    labels: &'t [f64],
    weights: Option<&'t [f64]>,
    /// First row of each query, and the end.
    starts: Vec<usize>,
    inverse_best: Vec<f64>,
    gains: Vec<f64>,
    truncation: usize,
    norm: bool,
    sigmoid: Sigmoid,
}

/// `1 / (1 + exp(slope x))` from a table, as LightGBM takes it for ranking: a million steps over the range
/// in which it changes.
struct Sigmoid {
    slope: f64,
    end: f64,
    steps: f64,
    table: Vec<f64>,
}

impl Sigmoid {
    fn new(slope: f64) -> Self {
        const STEPS: usize = 1 << 20;
        let end = 25.0 / slope;
        let steps = STEPS as f64 / (2.0 * end);
        let table = (0..STEPS).map(|step| 1.0 / (1.0 + ((step as f64 / steps - end) * slope).exp())).collect();
        Self { slope, end, steps, table }
    }

    fn at(&self, x: f64) -> f64 {
        let step = if x <= -self.end { 0 } else { ((x + self.end) * self.steps) as usize };
        self.table[step.min(self.table.len() - 1)]
    }
}

impl<'t> Objective<'t> {
    pub(super) fn new(table: &Table<'t>, parameters: &Parameters) -> Result<Self, TrainError> {
        let (labels, weights) = (table.labels, table.weights);
        Ok(match parameters.objective {
            Loss::Regression => Self::Regression { labels, weights },
            Loss::Binary => {
                if let Some(row) = labels.iter().position(|label| *label != 0.0 && *label != 1.0) {
                    return Err(TrainError::Label { row, expected: "0 or 1" });
                }
                let positive = labels.iter().filter(|label| **label == 1.0).count();
                let negative = labels.len() - positive;
                if positive == 0 || negative == 0 {
                    return Err(TrainError::OneClass);
                }
                let mut class_weights = [1.0, 1.0];
                if parameters.is_unbalance {
                    let lighter = usize::from(positive <= negative);
                    class_weights[lighter] = positive.max(negative) as f64 / positive.min(negative) as f64;
                }
                class_weights[1] *= parameters.scale_pos_weight;
                Self::Binary { labels, weights, class_weights, sigmoid: parameters.sigmoid }
            }
            Loss::Multiclass => {
                let classes = parameters.num_class;
                let known = |label: f64| label >= 0.0 && label < classes as f64 && label.fract() == 0.0;
                if let Some(row) = labels.iter().position(|label| !known(*label)) {
                    return Err(TrainError::Label { row, expected: "a class from 0 to num_class - 1" });
                }
                Self::Multiclass { labels, weights, classes }
            }
            Loss::LambdaRank => Self::LambdaRank(Ranking::new(table, parameters)?),
        })
    }

    /// What every raw sum starts with, for a class.
    pub(super) fn start(&self, class: usize) -> f64 {
        let mean = |labels: &[f64], weights: Option<&[f64]>, value: &dyn Fn(f64) -> f64| match weights {
            None => labels.iter().map(|label| value(*label)).sum::<f64>() / labels.len() as f64,
            Some(weights) => {
                let sum: f64 = labels.iter().zip(weights).map(|(label, weight)| value(*label) * weight).sum();
                sum / weights.iter().sum::<f64>()
            }
        };
        match self {
            Self::Binary { labels, weights, sigmoid, .. } => {
                let share = mean(labels, *weights, &|label| label).clamp(1e-15, 1.0 - 1e-15);
                (share / (1.0 - share)).ln() / sigmoid
            }
            Self::Regression { labels, weights } => mean(labels, *weights, &|label| label),
            Self::Multiclass { labels, weights, .. } => {
                let is = |label: f64| f64::from(u8::from(label == class as f64));
                mean(labels, *weights, &is).max(1e-15).ln()
            }
            Self::LambdaRank(_) => 0.0,
        }
    }

    /// The slopes of all rows at their raw sums, class after class.
    pub(super) fn slopes(&self, sums: &[f64], out: &mut [Slope]) {
        match self {
            Self::Binary { labels, weights, class_weights, sigmoid } => {
                let rows = sums.par_chunks(CHUNK).zip(labels.par_chunks(CHUNK)).enumerate();
                out.par_chunks_mut(CHUNK).zip(rows).for_each(|(out, (chunk, (sums, labels)))| {
                    for (index, out) in out.iter_mut().enumerate() {
                        let sign = if labels[index] == 1.0 { 1.0 } else { -1.0 };
                        let weight = class_weights[usize::from(labels[index] == 1.0)]
                            * weights.map_or(1.0, |weights| weights[chunk * CHUNK + index]);
                        let response = -sign * sigmoid / (1.0 + (sign * sigmoid * sums[index]).exp());
                        let size = response.abs();
                        *out = [(response * weight) as f32, (size * (sigmoid - size) * weight) as f32];
                    }
                });
            }
            Self::Regression { labels, weights } => {
                for (index, out) in out.iter_mut().enumerate() {
                    let weight = weights.map_or(1.0, |weights| weights[index]);
                    *out = [((sums[index] - labels[index]) * weight) as f32, weight as f32];
                }
            }
            Self::Multiclass { labels, weights, classes } => multiclass(labels, *weights, *classes, sums, out),
            Self::LambdaRank(ranking) => ranking.slopes(sums, out),
        }
    }
}

fn multiclass(labels: &[f64], weights: Option<&[f64]>, classes: usize, sums: &[f64], out: &mut [Slope]) {
    let rows = labels.len();
    let factor = classes as f64 / (classes as f64 - 1.0).max(1.0);
    let mut chances = vec![0.0; classes];
    for row in 0..rows {
        let largest = (0..classes).map(|class| sums[class * rows + row]).fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for (class, chance) in chances.iter_mut().enumerate() {
            *chance = (sums[class * rows + row] - largest).exp();
            total += *chance;
        }
        let weight = weights.map_or(1.0, |weights| weights[row]);
        for (class, chance) in chances.iter().enumerate() {
            let chance = chance / total;
            let truth = f64::from(u8::from(labels[row] == class as f64));
            out[class * rows + row] =
                [((chance - truth) * weight) as f32, (factor * chance * (1.0 - chance) * weight) as f32];
        }
    }
}

impl<'t> Ranking<'t> {
    fn new(table: &Table<'t>, parameters: &Parameters) -> Result<Self, TrainError> {
        let groups = table.groups.ok_or(TrainError::NoGroups)?;
        let starts: Vec<usize> = std::iter::once(0)
            .chain(groups.iter().scan(0, |end, size| {
                *end += size;
                Some(*end)
            }))
            .collect();
        if *starts.last().unwrap_or(&0) != table.labels.len() {
            return Err(TrainError::NoGroups);
        }
        let gains = parameters.label_gain.clone();
        let known = |label: f64| label >= 0.0 && label < gains.len() as f64 && label.fract() == 0.0;
        if let Some(row) = table.labels.iter().position(|label| !known(*label)) {
            return Err(TrainError::Label { row, expected: "a whole grade that label_gain knows" });
        }
        let truncation = parameters.lambdarank_truncation_level;
        let inverse_best = starts
            .windows(2)
            .map(|pair| {
                let best = super::metric::best_dcg(&table.labels[pair[0]..pair[1]], &gains, truncation);
                if best > 0.0 { 1.0 / best } else { 0.0 }
            })
            .collect();
        Ok(Self {
            labels: table.labels,
            weights: table.weights,
            starts,
            inverse_best,
            gains,
            truncation,
            norm: parameters.lambdarank_norm,
            sigmoid: Sigmoid::new(parameters.sigmoid),
        })
    }

    fn slopes(&self, sums: &[f64], out: &mut [Slope]) {
        let mut parts = Vec::with_capacity(self.inverse_best.len());
        let mut rest = out;
        for pair in self.starts.windows(2) {
            let (part, after) = rest.split_at_mut(pair[1] - pair[0]);
            parts.push((pair[0], part));
            rest = after;
        }
        parts.into_par_iter().zip(&self.inverse_best).for_each(|((start, part), inverse_best)| {
            self.query(start, *inverse_best, &sums[start..start + part.len()], part);
        });
    }

    /// Every pair of rows of different grades, of which the first `truncation` ranks hold one, is pulled
    /// apart by what swapping them would cost in NDCG.
    fn query(&self, start: usize, inverse_best: f64, sums: &[f64], out: &mut [Slope]) {
        let count = sums.len();
        let labels = &self.labels[start..start + count];
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| sums[*b].total_cmp(&sums[*a]));
        // Single precision, as LightGBM adds them up.
        let mut slopes = vec![[0.0f32; 2]; count];
        let spread = count > 0 && sums[order[0]] != sums[order[count - 1]];
        let mut total = 0.0;
        for i in 0..count.saturating_sub(1).min(self.truncation) {
            for j in i + 1..count {
                let (first, second) = (order[i], order[j]);
                if labels[first] == labels[second] {
                    continue;
                }
                let (high, low) = if labels[first] > labels[second] { (first, second) } else { (second, first) };
                let gap = self.gains[labels[high] as usize] - self.gains[labels[low] as usize];
                let distance = sums[high] - sums[low];
                let mut cost = gap * (super::metric::discount(i) - super::metric::discount(j)).abs() * inverse_best;
                if self.norm && spread {
                    cost /= f64::from(0.01f32) + distance.abs();
                }
                let chance = self.sigmoid.at(distance);
                let slope = self.sigmoid.slope;
                let first_order = -slope * cost * chance;
                let second_order = slope * slope * cost * chance * (1.0 - chance);
                slopes[low][0] -= first_order as f32;
                slopes[low][1] += second_order as f32;
                slopes[high][0] += first_order as f32;
                slopes[high][1] += second_order as f32;
                total -= 2.0 * first_order;
            }
        }
        let scale = if self.norm && total > 0.0 { (1.0 + total).log2() / total } else { 1.0 };
        for (index, (out, slope)) in out.iter_mut().zip(&slopes).enumerate() {
            let weight = self.weights.map_or(1.0, |weights| weights[start + index]);
            *out = slope.map(|slope| (f64::from((f64::from(slope) * scale) as f32) * weight) as f32);
        }
    }
}
