//! `probity evaluate`: decisions against the truth.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use deciders::artifact::Manifest;
use decision::{Case, DecisionLine, Desk};
use evaluate::{Observations, Scorecard, Settings, report, table};
use serde::Deserialize;

use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    model: Option<Model>,
    #[command(flatten)]
    lines: Option<Lines>,
}

/// Models that are measured on batches.
#[derive(Subcommand)]
enum Model {
    /// A model of `train alerts` on batches with known truth.
    Alerts(super::alerts::evaluate::Arguments),
}

#[derive(Args)]
struct Lines {
    /// The desk, for example `transactions`.
    desk: String,
    /// Labelled case lines.
    #[arg(long)]
    truth: PathBuf,
    /// Decision lines, as `decide` writes them; standard input if left out.
    #[arg(long)]
    decisions: Option<PathBuf>,
    /// Write the scorecard as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a report to look at.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Times, as `decide --timings` writes them.
    #[arg(long)]
    timings: Option<PathBuf>,
    /// Price of an hour of the machine in dollars, for the cost per 1,000 cases.
    #[arg(long)]
    price_per_hour: Option<f64>,
    /// Outcomes that count as positive where there is a score.
    #[arg(long, value_delimiter = ',', default_values_t = ["SAR".to_owned(), "BLOCK".to_owned()])]
    positive: Vec<String>,
    /// Score from which a case counts as positive.
    #[arg(long, conflicts_with = "artifact")]
    threshold: Option<f64>,
    /// The artifact that decided: its threshold is taken.
    #[arg(long)]
    artifact: Option<PathBuf>,
    /// Exit with 1 if the accuracy is below this.
    #[arg(long)]
    minimum_accuracy: Option<f64>,
}

#[derive(Deserialize)]
struct Timings {
    seconds: f64,
    nanoseconds: Vec<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.model, &arguments.lines) {
        (Some(Model::Alerts(arguments)), _) => super::alerts::evaluate::run(arguments),
        (None, Some(lines)) => evaluate_lines(lines),
        (None, None) => Err(UsageError("a desk is needed, and --truth with its labelled cases".to_owned()).into()),
    }
}

fn evaluate_lines(arguments: &Lines) -> Outcome {
    let desk = super::decide::desk(&arguments.desk)?;
    let timings = match &arguments.timings {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
            let read: Timings =
                serde_json::from_slice(&text).map_err(|error| InputError(format!("{}: {error}", path.display())))?;
            Some((read.nanoseconds, read.seconds))
        }
        None => None,
    };
    let threshold = match &arguments.artifact {
        Some(folder) => Some(threshold(folder, &*desk)?),
        None => arguments.threshold,
    };
    let settings = Settings {
        set: arguments.truth.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        outcomes: desk.outcomes().iter().map(|outcome| (*outcome).to_owned()).collect(),
        positive: arguments.positive.clone(),
        threshold,
        price_per_hour: arguments.price_per_hour,
        timings,
    };
    let card = score(&*desk, &arguments.truth, arguments.decisions.as_deref(), &settings)?;
    write(&card, arguments.json.as_deref(), arguments.html.as_deref())?;
    streams::print(&table::render(&card))?;
    let low = arguments.minimum_accuracy.is_some_and(|least| card.accuracy.value < least);
    Ok(if low { Status::GateFailed } else { Status::Done })
}

/// The threshold of an artifact.
fn threshold(folder: &Path, desk: &dyn Desk) -> anyhow::Result<f64> {
    let manifest = Manifest::open(folder, desk.name())?;
    let calibration = manifest
        .calibration
        .ok_or_else(|| InputError(format!("{} was not calibrated: do it by `probity calibrate`", folder.display())))?;
    Ok(calibration.threshold)
}

/// Reads both files and measures.
pub(crate) fn score(
    desk: &dyn Desk,
    truth: &Path,
    decisions: Option<&Path>,
    settings: &Settings,
) -> anyhow::Result<Scorecard> {
    let truths = truths(desk, truth)?;
    let decisions = decision_lines(decisions)?;
    let observations = Observations::join(truths, decisions).map_err(|error| InputError(error.to_string()))?;
    if observations.without_decision + observations.without_truth > 0 {
        streams::note(&format!(
            "{} cases have no decision and count as wrong; {} decisions have no case and are left out",
            observations.without_decision, observations.without_truth
        ));
    }
    Ok(Scorecard::new(&observations, settings))
}

fn truths(desk: &dyn Desk, path: &Path) -> anyhow::Result<Vec<(String, decision::Truth)>> {
    let mut list = Vec::new();
    for (index, line) in streams::input(Some(path))?.split(b'\n').enumerate() {
        let line = line.with_context(|| format!("failed to read {}", path.display()))?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = index as u64 + 1;
        let at = |error: String| InputError(format!("{}:{number}: {error}", path.display()));
        let case = Case::read(&line, number).map_err(|error| at(error.to_string()))?;
        let truth = desk.truth(&line).ok_or_else(|| at("the line has no label".to_owned()))?;
        if !desk.outcomes().contains(&truth.outcome.as_str()) {
            return Err(
                at(format!("unknown outcome `{}`; known: {}", truth.outcome, desk.outcomes().join(", "))).into()
            );
        }
        list.push((case.case_id.into_owned(), truth));
    }
    Ok(list)
}

fn decision_lines(path: Option<&Path>) -> anyhow::Result<Vec<DecisionLine>> {
    let name = path.map_or("standard input".to_owned(), |path| path.display().to_string());
    let mut list = Vec::new();
    for (index, line) in streams::input(path)?.split(b'\n').enumerate() {
        let line = line.with_context(|| format!("failed to read {name}"))?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let read = serde_json::from_slice(&line)
            .map_err(|error| InputError(format!("{name}:{}: not a decision line: {error}", index + 1)))?;
        list.push(read);
    }
    Ok(list)
}

/// Writes a scorecard's files.
pub(crate) fn write(card: &Scorecard, json: Option<&Path>, html: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = json {
        streams::write_file(path, format!("{}\n", serde_json::to_string_pretty(card)?).as_bytes())?;
    }
    if let Some(path) = html {
        streams::write_file(path, report::html(card).as_bytes())?;
    }
    Ok(())
}
