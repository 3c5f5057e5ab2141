//! What a model looks at, for a report: how much each feature matters overall, and how single scores came
//! about.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::svg::{escape, open};

/// Contributions of features on a test set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanations {
    /// Features with their mean absolute contribution, largest first.
    pub features: Vec<Importance>,
    /// Single cases.
    pub cases: Vec<Waterfall>,
}

/// How much a feature matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The feature.
    pub name: String,
    /// Mean absolute contribution to the raw sum.
    pub mean_size: f64,
    /// Contributions of some cases with the feature's value as a rank from 0 to 1.
    pub sample: Vec<(f64, f64)>,
}

/// How one score came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waterfall {
    /// The case.
    pub case_id: String,
    /// Whether it is positive.
    pub truth: bool,
    /// Its score.
    pub score: f64,
    /// The mean raw sum over the training rows.
    pub base: f64,
    /// What was added to it, in words, largest first; the rest is summed up in the last one.
    pub steps: Vec<(String, f64)>,
}

/// A dot for each sampled case: its contribution, shaded by the feature's value.
pub(crate) fn summary(explanations: &Explanations) -> String {
    const LABEL: f64 = 190.0;
    const WIDTH: f64 = 560.0;
    const ROW: f64 = 22.0;
    let list = &explanations.features[..explanations.features.len().min(15)];
    let largest = list.iter().flat_map(|feature| &feature.sample).map(|(size, _)| size.abs()).fold(1e-9, f64::max);
    let height = ROW * list.len() as f64 + 34.0;
    let mut out = open(WIDTH, height, "contributions by feature");
    let middle = (LABEL + WIDTH) / 2.0;
    let scale = (WIDTH - LABEL) / 2.0 - 8.0;
    let _ = writeln!(out, "<path d=\"M{middle} 0V{}\" class=\"frame\"/>", height - 30.0);
    for (index, feature) in list.iter().enumerate() {
        let y = ROW * (index as f64 + 0.5);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LABEL - 8.0,
            y + 4.0,
            escape(&feature.name)
        );
        for (place, (size, value)) in feature.sample.iter().enumerate() {
            // Spread over the row so that dots do not hide each other.
            let spread = (place % 7) as f64 - 3.0;
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\" class=\"{}\" fill-opacity=\"{:.2}\"/>",
                middle + size / largest * scale,
                y + spread * 2.0,
                if *value >= 0.5 { "wrong" } else { "right" },
                0.25 + (value - 0.5).abs(),
            );
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" class=\"dim\">lowers the score</text>\
         <text x=\"{}\" y=\"{}\" class=\"dim\">raises it; red: high values</text>",
        middle - 12.0,
        height - 10.0,
        middle + 12.0,
        height - 10.0
    );
    out + "</svg>"
}

/// From the mean to the score of a case, step by step.
pub(crate) fn waterfall(case: &Waterfall) -> String {
    const WIDTH: f64 = 560.0;
    const ROW: f64 = 34.0;
    let sums: Vec<f64> = std::iter::once(case.base)
        .chain(case.steps.iter().scan(case.base, |sum, (_, step)| {
            *sum += step;
            Some(*sum)
        }))
        .collect();
    let low = sums.iter().copied().fold(f64::INFINITY, f64::min);
    let span = (sums.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low).max(1e-9);
    let x = |sum: f64| 10.0 + (sum - low) / span * (WIDTH - 70.0);
    let mut out = open(WIDTH, ROW * case.steps.len() as f64 + 6.0, "how the score came about");
    for (index, ((label, step), pair)) in case.steps.iter().zip(sums.windows(2)).enumerate() {
        let y = ROW * index as f64;
        let (from, to) = (x(pair[0].min(pair[1])), x(pair[0].max(pair[1])));
        let _ = writeln!(
            out,
            "<text x=\"10\" y=\"{}\">{}</text>\
             <rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"9\" class=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{}\" class=\"small\">{step:+.3}</text>",
            y + 13.0,
            escape(label),
            y + 18.0,
            (to - from).max(1.0),
            if *step >= 0.0 { "wrong" } else { "right" },
            to + 5.0,
            y + 26.0,
        );
    }
    out + "</svg>"
}
