//! The structured transformer of the transactions desk.

use deciders::multihead::{DECISION, ESCALATION, REASONS, Reading};
use desks::transactions::features::{FEATURES, SHAPE};
use desks::transactions::{self, OUTCOMES, POSITIVE, features};
use lm::Trainee;
use lm::multihead::{self, Head, HeadKind, MultiheadConfig, Record};
use lm::train::Recipe;
use serde_json::Value;

use super::labels::Labelled;
use super::recipe::{Common, MultiheadDetails, Weights};
use super::source::Encoding;

/// How cases come to the model.
pub(super) const READING: Reading = Reading { input: FEATURES, record, positive: &POSITIVE };

fn record(facts: &Value) -> Result<Record, String> {
    let features = features(facts).map_err(|error| error.to_string())?;
    Ok(Record {
        global_numbers: features.global_numbers,
        global_categories: features.global_categories,
        item_numbers: features.item_numbers,
        item_categories: features.item_categories,
    })
}

/// Learns decision, level and reasons at once.
pub(super) struct Classes;

impl Classes {
    /// A new model whose numbers are cut as the sample has them.
    pub(super) fn model(recipe: &Recipe<MultiheadDetails>, sample: &[Labelled]) -> lm::Result<multihead::Multihead> {
        let records: Vec<Record> = sample.iter().filter_map(|case| record(&case.facts).ok()).collect();
        let details = &recipe.details;
        let mut model = multihead::Multihead::new(config(details), &records, details.dtype(), recipe.training.seed)?;
        model.recompute(recipe.training.checkpointing);
        Ok(model)
    }
}

fn config(details: &MultiheadDetails) -> MultiheadConfig {
    let sizes = |categories: &[(&str, u32)]| categories.iter().map(|(_, size)| *size as usize).collect();
    let shape = details.model;
    MultiheadConfig {
        global_numbers: SHAPE.global_numbers.len(),
        global_categories: sizes(SHAPE.global_categories),
        item_numbers: SHAPE.item_numbers.len(),
        item_categories: sizes(SHAPE.item_categories),
        bins: shape.bins,
        hidden: shape.hidden,
        layers: shape.layers,
        heads: shape.heads,
        intermediate: shape.intermediate,
        outputs: heads(&details.weights),
    }
}

/// The questions; the level is the outcome's place, and so its own classes.
fn heads(weights: &Weights) -> Vec<Head> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let head =
        |name: &str, classes, kind, weight: f64| Head { name: name.to_owned(), classes, kind, weight: weight as f32 };
    vec![
        head(DECISION, names(&OUTCOMES), HeadKind::OneOf, weights.decision),
        head(
            ESCALATION,
            (0..OUTCOMES.len()).map(|level| level.to_string()).collect(),
            HeadKind::OneOf,
            weights.escalation,
        ),
        head(REASONS, names(&transactions::REASONS), HeadKind::AnyOf, weights.reasons),
    ]
}

impl Encoding for Classes {
    type Trainee = multihead::Multihead;
    type Item = multihead::Labelled;

    fn item(&self, case: &Labelled) -> Result<Self::Item, String> {
        let target = case.target()?;
        let reasons = (0..).zip(target.reasons).filter_map(|(place, given)| given.then_some(place));
        let targets = vec![vec![target.decision as u32], vec![target.escalation as u32], reasons.collect()];
        Ok(multihead::Labelled { record: record(&case.facts)?, targets })
    }

    fn batch(&self, items: Vec<Self::Item>) -> <Self::Trainee as Trainee>::Batch {
        items
    }

    fn accuracy(&self, trainee: &mut Self::Trainee, items: &[Self::Item]) -> lm::Result<f64> {
        let records: Vec<Record> = items.iter().map(|item| item.record.clone()).collect();
        let answers = trainee.answer(&records)?;
        let right = items.iter().zip(&answers).filter(|(item, heads)| {
            let right = heads[0][item.targets[0][0] as usize];
            heads[0].iter().filter(|other| **other >= right).count() == 1
        });
        Ok(right.count() as f64 / items.len().max(1) as f64)
    }
}
