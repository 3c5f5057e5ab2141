//! `probity trees`: boosted trees on tables of numbers.

pub(super) mod bench;
mod predict;
pub(super) mod table;
pub(super) mod train;

pub(super) use train::read_parameters;

use std::path::PathBuf;

use clap::Subcommand;

use crate::exit::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Score the rows of a CSV file with a LightGBM model; prints one JSON line for each.
    Predict(predict::Arguments),
    /// Train a model on a CSV file; prints one JSON object.
    Train(train::Arguments),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
    }
}

/// Reads a model file.
pub(super) fn load(path: &PathBuf) -> anyhow::Result<trees::Model> {
    let text = std::fs::read(path)
        .map_err(|error| anyhow::Error::new(error).context(format!("failed to read {}", path.display())))?;
    let text = String::from_utf8(text)
        .map_err(|_| crate::exit::InputError(format!("{} is not UTF-8 text", path.display())))?;
    trees::Model::parse(&text)
        .map_err(|error| crate::exit::InputError(format!("failed to read {}: {error}", path.display())).into())
}
