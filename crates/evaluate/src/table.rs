//! A scorecard as text for the terminal.

use std::fmt::Write;

use crate::scorecard::{Interval, Scorecard};

/// The figures as aligned lines, at most 80 columns wide for four outcomes.
pub fn render(card: &Scorecard) -> String {
    let mut out = String::new();
    let who = card.decided_by.as_ref().map_or("unknown".to_owned(), |id| {
        format!("{} {} ({})", id.name, id.version, id.hash.get(..12).unwrap_or(&id.hash))
    });
    let _ = writeln!(out, "{} on {} cases of {}", who, card.cases, card.set);
    let interval = |value: &Interval| format!("{:.4}  [{:.4}, {:.4}]", value.value, value.low, value.high);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "  {name:<22}{value}");
    };
    line("accuracy", interval(&card.accuracy));
    line("macro F1", interval(&card.macro_f1));
    line("reasons F1", interval(&card.reasons_f1));
    line("exact match", format!("{:.4}", card.exact_match));
    if let Some(accuracy) = card.escalation_accuracy {
        line("escalation accuracy", format!("{accuracy:.4}"));
    }
    line("invalid", card.invalid.to_string());
    if let Some(ranking) = &card.ranking {
        line("ROC AUC", format!("{:.4}", ranking.auc));
        line("average precision", format!("{:.4}", ranking.average_precision));
        if let Some((threshold, recall, rate)) = ranking.at_threshold {
            line("at the threshold", format!("{threshold:.4}: recall {recall:.4}, false positives {rate:.4}"));
        }
        for (recall, threshold, rate) in &ranking.at_recall {
            line(&format!("at recall {recall}"), format!("false positives {rate:.4} (score {threshold:.4})"));
        }
        line("Brier, calibration", format!("{:.4}, {:.4}", ranking.brier, ranking.calibration_error));
    }
    if let Some(latency) = card.latency_us {
        line("latency p50/p95/p99", format!("{:.1} / {:.1} / {:.1} µs", latency.p50, latency.p95, latency.p99));
    }
    if let Some(throughput) = card.throughput {
        line("throughput", format!("{throughput:.0} cases/s"));
    }
    if let Some(cost) = card.cost_per_1000 {
        line("cost per 1,000", format!("${cost:.6}"));
    }
    out.push('\n');
    matrix(card, &mut out);
    out
}

fn matrix(card: &Scorecard, out: &mut String) {
    let _ = write!(out, "  {:<10}", "truth");
    for class in &card.classes {
        let _ = write!(out, "{:>9}", class.outcome);
    }
    let _ = writeln!(out, "{:>9}   precision   recall       F1", "invalid");
    for (class, row) in card.classes.iter().zip(&card.confusion) {
        let _ = write!(out, "  {:<10}", class.outcome);
        for count in row {
            let _ = write!(out, "{count:>9}");
        }
        let score = class.score;
        let _ = writeln!(out, "{:>12.4}{:>9.4}{:>9.4}", score.precision, score.recall, score.f1);
    }
}
