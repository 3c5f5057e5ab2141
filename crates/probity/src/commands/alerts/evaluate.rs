//! `probity evaluate alerts`: a trained model on batches.

use std::path::PathBuf;

use clap::Args;

use super::data::{Data, artifact};
use super::measure::measure;
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The artifact's folder, as `train alerts` writes it.
    #[arg(long)]
    artifact: PathBuf,
    /// Batches: folders with alerts.parquet and the other tables, at any depth.
    #[arg(long)]
    data: PathBuf,
    /// Only batches from this day on, `YYYY-MM-DD`.
    #[arg(long)]
    from: Option<String>,
    /// Write scorecard.json and report.html here.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let (artifact, kind, plan) = artifact(&arguments.artifact)?;
    let data = Data::read(&arguments.data, kind, Some(&plan))?;
    let tested = &artifact.manifest().data.test_days.0;
    if arguments.from.is_none() && data.days().first().is_some_and(|day| day < tested) {
        streams::note(&format!(
            "the model was trained on days before {tested}: if these are the same batches, give --from {tested}"
        ));
    }
    if arguments.from.as_ref().is_some_and(|day| day.parse::<jiff::civil::Date>().is_err()) {
        return Err(UsageError("--from is no date: write YYYY-MM-DD".to_owned()).into());
    }
    let data = match &arguments.from {
        Some(day) => data.part(|index| data.marks[index].day >= *day),
        None => data,
    };
    if data.marks.is_empty() {
        return Err(InputError("no batch has such days".to_owned()).into());
    }
    let days = data.days();
    let set = format!("{} to {}", days.first().map_or("", String::as_str), days.last().map_or("", String::as_str));
    let measured = measure(&artifact, &data, kind, &set);
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder)?;
        measured.write(folder)?;
    }
    streams::print(&format!("{} on {set}\n{}", kind.kind(), measured.text()))?;
    Ok(Status::Done)
}
