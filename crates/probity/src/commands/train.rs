//! `probity train`: models for desks.

use clap::Subcommand;

use crate::exit::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// An alert scorer, an alert ranker or a cluster scorer, from Parquet batches.
    Alerts(super::alerts::train::Arguments),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Alerts(arguments) => super::alerts::train::run(&arguments),
    }
}
