//! The alerts desk on the command line.

mod data;
pub(crate) mod evaluate;
pub(crate) mod features;
pub(crate) mod generate;
pub(crate) mod import;
mod measure;
pub(crate) mod train;
pub(crate) mod tune;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use desks::alerts::AlertModel;

/// Reads the name of a model; help lists them.
fn model_parser() -> impl TypedValueParser<Value = AlertModel> {
    let named = |name: String| AlertModel::ALL.into_iter().find(|model| model.name() == name);
    PossibleValuesParser::new(AlertModel::ALL.map(|model| {
        PossibleValue::new(model.name()).help(match model {
            AlertModel::Scorer => "How likely is an alert right?",
            AlertModel::Ranker => "Which alerts of a batch come first?",
            AlertModel::Cluster => "How likely is a cluster worth a report?",
        })
    }))
    .map(move |name| named(name).expect("a listed name"))
}
