//! `probity train`: models for desks.

mod transactions;

use clap::Subcommand;

use crate::exit::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// An alert scorer, an alert ranker or a cluster scorer, from Parquet batches.
    Alerts(super::alerts::train::Arguments),
    /// A model that decides transaction cases, on labels of the rules or labelled lines.
    Transactions(transactions::Arguments),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Alerts(arguments) => super::alerts::train::run(&arguments),
        Command::Transactions(arguments) => transactions::run(arguments),
    }
}
