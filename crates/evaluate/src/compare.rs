//! Scorecards side by side, and whether one is worse than another.

use std::fmt::Write;

use serde::Serialize;

use crate::scorecard::Scorecard;

/// One figure of several scorecards.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What is compared.
    pub figure: &'static str,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// One value per scorecard.
    pub values: Vec<Option<f64>>,
}

type Figure = (&'static str, bool, fn(&Scorecard) -> Option<f64>);

const FIGURES: [Figure; 11] = [
    ("accuracy", true, |c| Some(c.accuracy.value)),
    ("macro F1", true, |c| Some(c.macro_f1.value)),
    ("reasons F1", true, |c| Some(c.reasons_f1.value)),
    ("exact match", true, |c| Some(c.exact_match)),
    ("escalation accuracy", true, |c| c.escalation_accuracy),
    ("invalid", false, |c| Some(c.invalid as f64)),
    ("ROC AUC", true, |c| c.ranking.as_ref().map(|r| r.auc)),
    ("latency p50 µs", false, |c| c.latency_us.map(|l| l.p50)),
    ("latency p99 µs", false, |c| c.latency_us.map(|l| l.p99)),
    ("throughput cases/s", true, |c| c.throughput),
    ("cost per 1,000 $", false, |c| c.cost_per_1000),
];

/// The figures that a regression is judged by: quality, not the noise of a machine's speed.
const JUDGED: [&str; 6] = ["accuracy", "macro F1", "reasons F1", "exact match", "escalation accuracy", "JSON validity"];

/// The figures that at least one scorecard has.
pub fn rows(cards: &[Scorecard]) -> Vec<Row> {
    FIGURES
        .iter()
        .map(|(figure, higher_is_better, read)| Row {
            figure,
            higher_is_better: *higher_is_better,
            values: cards.iter().map(read).collect(),
        })
        .filter(|row| row.values.iter().any(Option::is_some))
        .collect()
}

/// Figures of quality by which any later column is worse than the first by more than `tolerance`.
pub fn regressions(rows: &[Row], tolerance: f64) -> Vec<String> {
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| JUDGED.contains(&row.figure)) {
        let Some(Some(first)) = row.values.first() else { continue };
        for (index, value) in row.values.iter().enumerate().skip(1) {
            match value {
                Some(value) if first - value > tolerance => {
                    found.push(format!("{} fell from {first:.4} to {value:.4} (column {})", row.figure, index + 1));
                }
                None => found.push(format!("{} is missing (column {})", row.figure, index + 1)),
                Some(_) => {}
            }
        }
    }
    found
}

/// The rows as a table; the names head the columns.
pub fn render(names: &[String], rows: &[Row]) -> String {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(12) + 2;
    let mut out = format!("{:<22}", "");
    for name in names {
        let _ = write!(out, "{name:>width$}");
    }
    out.push('\n');
    for row in rows {
        let _ = write!(out, "{:<22}", row.figure);
        for value in &row.values {
            let text = match value {
                None => "-".to_owned(),
                Some(v) if v.fract() == 0.0 && v.abs() >= 10.0 => format!("{v:.0}"),
                Some(v) if v.abs() >= 100.0 => format!("{v:.0}"),
                Some(v) => format!("{v:.4}"),
            };
            let _ = write!(out, "{text:>width$}");
        }
        out.push('\n');
    }
    out
}
