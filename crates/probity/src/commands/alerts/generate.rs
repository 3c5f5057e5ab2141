//! `probity generate alerts`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use desks::alerts::generate::{Counts, Generator, Settings};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::exit::{Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Accounts that pay each other.
    #[arg(long, default_value_t = 5000)]
    accounts: usize,
    /// Weeks in sequence, one batch each.
    #[arg(long, default_value_t = 20)]
    weeks: usize,
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Last day of the first week.
    #[arg(long, default_value = "2025-01-05")]
    first_day: String,
    /// Where to write: DIR/snapshots/synthetic/DATE/7/*.parquet.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if !(100..=10_000_000).contains(&arguments.accounts) || !(1..=10_000).contains(&arguments.weeks) {
        return Err(UsageError("accounts go from 100 to 10,000,000, weeks from 1 to 10,000".to_owned()).into());
    }
    let first_day = arguments
        .first_day
        .parse()
        .map_err(|_| UsageError(format!("--first-day {} is no date: write YYYY-MM-DD", arguments.first_day)))?;
    let settings = Settings { accounts: arguments.accounts, weeks: arguments.weeks, seed: arguments.seed, first_day };
    let mut generator = Generator::new(settings);
    let bar = ProgressBar::new(arguments.weeks as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} weeks, {eta} left")?);
    let mut total = Counts::default();
    for week in 0..arguments.weeks {
        let (_, counts) = generator.write_week(week, &arguments.out).context("failed to write a batch")?;
        total.flows += counts.flows;
        total.alerts += counts.alerts;
        total.right += counts.right;
        total.clusters += counts.clusters;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let summary = json!({
        "weeks": arguments.weeks,
        "flows": total.flows,
        "alerts": total.alerts,
        "right": total.right,
        "clusters": total.clusters,
        "out": arguments.out.display().to_string(),
    });
    streams::print(&format!("{summary}\n"))?;
    Ok(Status::Done)
}
