//! `probity evaluate alerts`: a trained model on batches.

use std::path::PathBuf;

use clap::Args;
use desks::alerts::Plan;

use super::ModelKind;
use super::data::{Data, artifact};
use super::measure::measure;
use crate::exit::{InputError, Outcome, Status};
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
    let artifact = artifact(&arguments.artifact, "alerts/scorer")?;
    let kind = ModelKind::of(&artifact.manifest().kind)
        .ok_or_else(|| InputError(format!("{} is not a model of alerts", arguments.artifact.display())))?;
    let plan = Plan::named(kind.rows(), &artifact.model().feature_names)
        .map_err(|error| InputError(format!("{}: {error}", arguments.artifact.display())))?;
    let data = Data::read(&arguments.data, kind, Some(&plan))?;
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
    streams::print(&format!("{} on {set}\n{}", kind.name(), measured.text()))?;
    Ok(Status::Done)
}
