//! Figures and drawings of an alert model on rows it has not seen.

use std::path::Path;

use deciders::trees::Artifact;
use decision::{Decision, Truth};
use evaluate::{Explanations, Importance, Observation, Observations, Scorecard, Settings, Waterfall, rank, report};
use serde_json::{Map, Value, json};

use super::data::Data;
use crate::streams;
use desks::alerts::AlertModel;

/// Outcomes, less severe first.
const OUTCOMES: [&str; 2] = ["DISMISS", "ESCALATE"];
/// Rows whose explanations are drawn in the summary.
const SAMPLED: usize = 250;

/// All that is measured.
pub(super) struct Measured {
    pub(super) card: Scorecard,
    pub(super) explanations: Explanations,
    /// Figures by name, for the manifest and the terminal.
    pub(super) figures: Map<String, Value>,
}

/// Measures a model.
pub(super) fn measure(artifact: &Artifact, data: &Data, kind: AlertModel, set: &str) -> Measured {
    let scored = artifact.score_rows(&data.rows, 0);
    let threshold = artifact.manifest().threshold.map(|threshold| threshold.score);
    let list = data
        .marks
        .iter()
        .zip(&scored)
        .map(|(mark, scored)| {
            // Rankers have no probability; only the order of their scores counts.
            let positive = scored.score >= threshold.unwrap_or(0.5);
            let outcome = |yes: bool| OUTCOMES[usize::from(yes)].to_owned();
            Observation {
                truth: Truth { outcome: outcome(mark.truth), level: None, reasons: Vec::new() },
                decision: Some(Decision {
                    outcome: outcome(positive),
                    score: Some(if kind == AlertModel::Ranker { logistic(scored.sum) } else { scored.score }),
                    ..Decision::default()
                }),
            }
        })
        .collect();
    let observations = Observations { list, decided_by: Some(artifact.identity().clone()), ..Observations::default() };
    let settings = Settings {
        set: set.to_owned(),
        outcomes: OUTCOMES.map(str::to_owned).to_vec(),
        positive: vec![OUTCOMES[1].to_owned()],
        threshold,
        price_per_hour: None,
        timings: None,
    };
    let card = Scorecard::new(&observations, &settings);
    let mut figures = Map::new();
    figures.insert("rows".to_owned(), json!(data.marks.len()));
    figures.insert("positives".to_owned(), json!(data.marks.iter().filter(|mark| mark.truth).count()));
    if let Some(ranking) = &card.ranking {
        figures.insert("auc".to_owned(), json!(ranking.auc));
        figures.insert("pr_auc".to_owned(), json!(ranking.average_precision));
        for (recall, _, rate) in &ranking.at_recall {
            figures.insert(format!("fpr_at_recall_{recall}"), json!(rate));
        }
        if kind != AlertModel::Ranker {
            figures.insert("brier".to_owned(), json!(ranking.brier));
            figures.insert("calibration_error".to_owned(), json!(ranking.calibration_error));
        }
    }
    if let (Some(class), true) = (card.classes.last(), kind != AlertModel::Ranker) {
        figures.insert("precision".to_owned(), json!(class.score.precision));
        figures.insert("recall".to_owned(), json!(class.score.recall));
        figures.insert("f1".to_owned(), json!(class.score.f1));
    }
    let sums: Vec<f64> = scored.iter().map(|scored| scored.sum).collect();
    let lists = lists(data, &sums);
    for at in [5, 10, 20] {
        figures.insert(format!("ndcg@{at}"), json!(rank::ndcg(&lists, at)));
    }
    Measured { card, explanations: explanations(artifact, data), figures }
}

fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

/// The area under the ROC curve, or NDCG@10 of a ranker: what models are chosen by.
pub(super) fn quality(artifact: &Artifact, data: &Data, kind: AlertModel) -> Option<f64> {
    let sums: Vec<f64> = artifact.score_rows(&data.rows, 0).iter().map(|scored| scored.sum).collect();
    if kind == AlertModel::Ranker {
        return rank::ndcg(&lists(data, &sums), 10);
    }
    let scored = sums.into_iter().zip(data.marks.iter().map(|mark| mark.truth));
    rank::auc(&scored.collect::<Vec<_>>())
}

/// Raw sums and grades, a list for each batch.
fn lists(data: &Data, sums: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let mut sums = sums.iter();
    let batches = data.marks.chunk_by(|a, b| a.batch == b.batch);
    batches.map(|marks| marks.iter().zip(sums.by_ref()).map(|(mark, sum)| (*sum, mark.grade)).collect()).collect()
}

fn explanations(artifact: &Artifact, data: &Data) -> Explanations {
    let (count, width) = (data.marks.len(), data.width());
    if count == 0 || !artifact.compiled().explains() {
        return Explanations::default();
    }
    let contributions = artifact.compiled().contributions(&data.rows);
    let contribution = |row: usize, column: usize| contributions[row * (width + 1) + column];
    let step = count.div_ceil(SAMPLED);
    let mut features: Vec<Importance> = (0..width)
        .map(|column| {
            let mut known: Vec<f64> =
                (0..count).map(|row| data.row(row)[column]).filter(|value| !value.is_nan()).collect();
            known.sort_by(f64::total_cmp);
            let rank = |value: f64| known.partition_point(|other| *other < value) as f64 / known.len().max(1) as f64;
            Importance {
                name: data.plan.names()[column].clone(),
                mean_size: (0..count).map(|row| contribution(row, column).abs()).sum::<f64>() / count as f64,
                sample: (0..count)
                    .step_by(step)
                    .map(|row| (contribution(row, column), rank(data.row(row)[column])))
                    .collect(),
            }
        })
        .collect();
    features.sort_by(|a, b| b.mean_size.total_cmp(&a.mean_size));
    let scored = artifact.score_rows(&data.rows, 8);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| scored[*b].sum.total_cmp(&scored[*a].sum));
    let shown = [order[0], order[count / 2], order[count - 1]];
    let cases = shown
        .iter()
        .map(|&row| {
            let base = contribution(row, width);
            let mut steps: Vec<(String, f64)> = scored[row]
                .top
                .iter()
                .map(|(column, size)| {
                    let sentence = data.plan.sentence(*column, data.row(row)[*column], *size);
                    (sentence.split(", which").next().unwrap_or_default().to_owned(), *size)
                })
                .collect();
            let rest = scored[row].sum - base - steps.iter().map(|(_, size)| size).sum::<f64>();
            steps.push(("all others".to_owned(), rest));
            let mark = &data.marks[row];
            Waterfall { case_id: mark.id.clone(), truth: mark.truth, score: scored[row].score, base, steps }
        })
        .collect();
    Explanations { features, cases }
}

impl Measured {
    /// Writes `scorecard.json` and `report.html`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let card = serde_json::to_string_pretty(&self.card)? + "\n";
        streams::write_file(&folder.join("scorecard.json"), card.as_bytes())?;
        let page = report::html_with(&self.card, Some(&self.explanations));
        streams::write_file(&folder.join("report.html"), page.as_bytes())
    }

    /// A line for each figure.
    pub(super) fn text(&self) -> String {
        let line = |(name, value): (&String, &Value)| match value {
            Value::Number(number) if number.is_f64() => {
                format!("  {name:<22} {:.4}\n", number.as_f64().unwrap_or(f64::NAN))
            }
            Value::Null => String::new(),
            other => format!("  {name:<22} {other}\n"),
        };
        let features = self.explanations.features.iter().take(8);
        let features = features.map(|feature| format!("  {:<30} {:.3}\n", feature.name, feature.mean_size));
        self.figures.iter().map(line).collect::<String>()
            + "largest mean contributions\n"
            + &features.collect::<String>()
    }
}
