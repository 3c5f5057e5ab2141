//! `probity features alerts`: what models see, as a CSV file for other tools.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::data::Data;
use crate::exit::{Outcome, Status};
use crate::streams;
use desks::alerts::AlertModel;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The features of alerts or clusters, with identifier, day, address, truth and grade.
    Alerts(Arguments),
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// Whose rows.
    #[arg(long, value_parser = super::model_parser(), default_value = "scorer")]
    model: AlertModel,
    /// Batches: folders with alerts.parquet and the other tables, at any depth.
    #[arg(long)]
    data: PathBuf,
    /// The CSV file; standard output if left out.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(command: Command) -> Outcome {
    let Command::Alerts(arguments) = command;
    let data = Data::read(&arguments.data, arguments.model, None)?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = data.plan.names().iter().map(String::as_str);
    writer.write_record(["id", "day", "address", "truth", "grade"].into_iter().chain(names))?;
    for (index, mark) in data.marks.iter().enumerate() {
        let truth = if mark.truth { "1" } else { "0" };
        let grade = mark.grade.to_string();
        let cell = |value: &f64| if value.is_nan() { String::new() } else { value.to_string() };
        let known = [&mark.id, &mark.day, &mark.address, truth, &grade].map(str::to_owned);
        writer.write_record(known.into_iter().chain(data.row(index).iter().map(cell)))?;
    }
    let bytes = writer.into_inner().context("failed to write the table")?;
    match &arguments.out {
        Some(path) => streams::write_file(path, &bytes)?,
        None => streams::print(&String::from_utf8_lossy(&bytes))?,
    }
    Ok(Status::Done)
}
