//! `probity import amlsim`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use desks::alerts::amlsim::{Import, ImportError};
use serde_json::json;

use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Alert batches from AMLSim's output: every account that received and sent money in a window is an
    /// alert, right where AMLSim marks the account as fraudulent.
    Amlsim(Arguments),
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// AMLSim's nodes.csv, plain or gzipped.
    #[arg(long)]
    nodes: PathBuf,
    /// AMLSim's transactions.csv, plain or gzipped.
    #[arg(long)]
    transactions: PathBuf,
    /// Days of a window.
    #[arg(long, default_value_t = 30)]
    window_days: i64,
    /// Where to write: DIR/snapshots/amlsim/DATE/DAYS/*.parquet.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(command: Command) -> Outcome {
    let Command::Amlsim(arguments) = command;
    if !(1..=3650).contains(&arguments.window_days) {
        return Err(UsageError("--window-days is a number of days from 1 on".to_owned()).into());
    }
    let import = Import {
        nodes: arguments.nodes,
        transactions: arguments.transactions,
        window_days: arguments.window_days,
        first_day: jiff::civil::date(2025, 1, 1),
    };
    let imported = import.run(&arguments.out).map_err(|error| match error {
        ImportError::Write(error) => anyhow::Error::new(error).context("failed to write a batch"),
        ImportError::Open { .. } => anyhow::Error::new(error),
        other => InputError(other.to_string()).into(),
    });
    let imported = imported.context("failed to import")?;
    if imported.alerts == 0 {
        return Err(InputError(format!(
            "{} has no account that received and sent money",
            import.transactions.display()
        ))
        .into());
    }
    let summary = json!({
        "batches": imported.batches,
        "flows": imported.flows,
        "alerts": imported.alerts,
        "right": imported.right,
        "out": arguments.out.display().to_string(),
    });
    streams::print(&format!("{summary}\n"))?;
    Ok(Status::Done)
}
