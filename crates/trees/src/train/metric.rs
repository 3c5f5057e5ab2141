//! What training watches on a validation set. Reports are the business of whoever calls.

use super::Table;
use super::parameters::{Metric, Parameters};

/// Measures raw sums, class after class, against a table's labels.
pub(super) fn measure(metric: Metric, table: &Table<'_>, sums: &[f64], parameters: &Parameters) -> f64 {
    let labels = table.labels;
    let rows = labels.len();
    let weight = |row: usize| table.weights.map_or(1.0, |weights| weights[row]);
    let mean = |loss: &dyn Fn(usize) -> f64| {
        let total: f64 = (0..rows).map(weight).sum();
        (0..rows).map(|row| loss(row) * weight(row)).sum::<f64>() / total
    };
    let chance = |row: usize| 1.0 / (1.0 + (-parameters.sigmoid * sums[row]).exp());
    match metric {
        Metric::Auc => auc(labels, sums, &weight),
        Metric::BinaryLogloss => mean(&|row| {
            let chance = if labels[row] == 1.0 { chance(row) } else { 1.0 - chance(row) };
            -chance.max(1e-15).ln()
        }),
        Metric::BinaryError => mean(&|row| f64::from(u8::from((chance(row) > 0.5) != (labels[row] == 1.0)))),
        Metric::L2 => mean(&|row| (sums[row] - labels[row]).powi(2)),
        Metric::Rmse => mean(&|row| (sums[row] - labels[row]).powi(2)).sqrt(),
        Metric::MultiLogloss => mean(&|row| {
            let value = |class: usize| sums[class * rows + row];
            let classes = parameters.num_class;
            let largest = (0..classes).map(value).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = (0..classes).map(|class| (value(class) - largest).exp()).sum();
            -((value(labels[row] as usize) - largest).exp() / total).max(1e-15).ln()
        }),
        Metric::Ndcg => ndcg(table, sums, parameters),
    }
}

/// The weighted share of pairs of a positive and a negative row that are in the right order, ties half.
fn auc(labels: &[f64], sums: &[f64], weight: &dyn Fn(usize) -> f64) -> f64 {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|a, b| sums[*a].total_cmp(&sums[*b]));
    let (mut below, mut pairs, mut positives) = (0.0, 0.0, 0.0);
    for ties in order.chunk_by(|a, b| sums[*a] == sums[*b]) {
        let (mut positive, mut negative) = (0.0, 0.0);
        for &row in ties {
            *(if labels[row] > 0.0 { &mut positive } else { &mut negative }) += weight(row);
        }
        pairs += positive * (below + negative / 2.0);
        below += negative;
        positives += positive;
    }
    if positives * below > 0.0 { pairs / (positives * below) } else { f64::NAN }
}

fn ndcg(table: &Table<'_>, sums: &[f64], parameters: &Parameters) -> f64 {
    let at = parameters.eval_at.first().copied().unwrap_or(5);
    let (mut start, mut total) = (0, 0.0);
    let groups = table.groups.unwrap_or_default();
    for &size in groups {
        let labels = &table.labels[start..start + size];
        let best = best_dcg(labels, &parameters.label_gain, at);
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|a, b| sums[start + b].total_cmp(&sums[start + a]));
        let gained: f64 = order
            .iter()
            .take(at)
            .enumerate()
            .map(|(rank, row)| parameters.label_gain[labels[*row] as usize] * discount(rank))
            .sum();
        // A query without anything relevant cannot be ranked wrongly.
        total += if best > 0.0 { gained / best } else { 1.0 };
        start += size;
    }
    total / groups.len().max(1) as f64
}

/// What a rank from 0 on is worth.
pub(super) fn discount(rank: usize) -> f64 {
    1.0 / (rank as f64 + 2.0).log2()
}

/// The DCG of the best order at a cut.
pub(super) fn best_dcg(labels: &[f64], gains: &[f64], at: usize) -> f64 {
    let mut sorted: Vec<f64> = labels.iter().map(|label| gains.get(*label as usize).copied().unwrap_or(0.0)).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted.iter().take(at).enumerate().map(|(rank, gain)| gain * discount(rank)).sum()
}
