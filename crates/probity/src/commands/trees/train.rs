//! `probity trees train`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use trees::{Parameters, Table as TrainingTable, TrainError};

use super::table::Table;
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// A CSV file with a header line; an empty cell is a missing value.
    #[arg(long)]
    data: PathBuf,
    /// The column to learn.
    #[arg(long)]
    label: String,
    /// The column that names each row's query; rows of a query lie side by side.
    #[arg(long)]
    group: Option<String>,
    /// The column of the rows' weights.
    #[arg(long)]
    weight: Option<String>,
    /// Rows to validate with, for early stopping.
    #[arg(long)]
    valid: Option<PathBuf>,
    /// Parameters by LightGBM's names: a file with one `name=value` a line, or `name=value,name=value`.
    #[arg(long, default_value = "")]
    params: Vec<String>,
    /// The model file to write.
    #[arg(long)]
    out: PathBuf,
    /// Threads. The model does not depend on them.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = 1)]
    threads: usize,
}

/// A CSV file in memory.
struct Loaded {
    names: Vec<String>,
    rows: Vec<f64>,
    labels: Vec<f64>,
    weights: Option<Vec<f64>>,
    groups: Option<Vec<usize>>,
    /// Rows that could not be read.
    left_out: usize,
}

impl Loaded {
    fn table(&self) -> TrainingTable<'_> {
        TrainingTable {
            names: &self.names,
            rows: &self.rows,
            labels: &self.labels,
            weights: self.weights.as_deref(),
            groups: self.groups.as_deref(),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut parameters = Parameters::default();
    for text in &arguments.params {
        read_parameters(text, &mut parameters)?;
    }
    let data = load(&arguments.data, arguments)?;
    let validation = arguments.valid.as_ref().map(|path| load(path, arguments)).transpose()?;
    if let Some(validation) = &validation {
        if validation.names != data.names {
            let problem = format!("the columns of {} and {} differ", arguments.data.display(), path(arguments));
            return Err(InputError(problem).into());
        }
    }
    if parameters.early_stopping_round > 0 && validation.is_none() {
        return Err(UsageError("early_stopping_round needs rows to validate with: give --valid".to_owned()).into());
    }
    let left_out = data.left_out + validation.as_ref().map_or(0, |validation| validation.left_out);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.max(1)).build()?;
    let bar = ProgressBar::new(parameters.num_iterations as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} rounds, {eta} left {msg}")?);
    let start = Instant::now();
    let table = validation.as_ref().map(Loaded::table);
    let trained = pool.install(|| {
        trees::train(&data.table(), table.as_ref(), &parameters, &mut |round, measured| {
            bar.set_position(round as u64);
            if let Some(value) = measured {
                bar.set_message(format!("{} {value:.5}", parameters.watched().name()));
            }
        })
    });
    bar.finish_and_clear();
    let trained = trained.map_err(|error| explain(error, &arguments.data))?;
    streams::write_file(&arguments.out, trained.model.to_text().as_bytes())?;
    let metric = trained.history.get(trained.rounds.saturating_sub(1));
    let summary = json!({
        "rows": data.labels.len(),
        "features": data.names.len(),
        "rounds": trained.rounds,
        "seconds": start.elapsed().as_secs_f64(),
        "metric": metric.map(|_| parameters.watched().name()),
        "validation": metric,
        "model": arguments.out.display().to_string(),
    });
    streams::print(&format!("{summary}\n"))?;
    Ok(if left_out == 0 { Status::Done } else { Status::UnusableInput })
}

fn path(arguments: &Arguments) -> String {
    arguments.valid.as_ref().map_or_else(String::new, |path| path.display().to_string())
}

/// Reads parameters from a file, or from `name=value,name=value`.
pub(crate) fn read_parameters(text: &str, parameters: &mut Parameters) -> anyhow::Result<()> {
    let path = Path::new(text);
    let from_file = !text.contains('=') && !text.is_empty();
    let content = if from_file {
        std::fs::read_to_string(path).with_context(|| format!("failed to read {text}"))?
    } else {
        // A comma separates parameters where a name and `=` follow; else it separates items of a list.
        let mut lines = String::new();
        for part in text.split(',') {
            lines.push_str(if part.contains('=') { "\n" } else { "," });
            lines.push_str(part);
        }
        lines
    };
    for (index, line) in content.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() || line == "," {
            continue;
        }
        let place = || if from_file { format!("{text}, line {}: ", index + 1) } else { String::new() };
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| UsageError(format!("{}`{line}` is no parameter: write name=value", place())))?;
        parameters.set(name, value).map_err(|error| UsageError(format!("{}{error}", place())))?;
    }
    Ok(())
}

fn load(path: &Path, arguments: &Arguments) -> anyhow::Result<Loaded> {
    let mut table = Table::open(path)?;
    let label = table.column(&arguments.label)?;
    let group = arguments.group.as_ref().map(|name| table.column(name)).transpose()?;
    let weight = arguments.weight.as_ref().map(|name| table.column(name)).transpose()?;
    let special = |column: &usize| *column == label || Some(*column) == group || Some(*column) == weight;
    let features: Vec<usize> = (0..table.header().len()).filter(|column| !special(column)).collect();
    let names: Vec<String> = features.iter().map(|column| table.header()[*column].clone()).collect();
    let count = features.len();
    let mut columns = features;
    columns.push(label);
    columns.extend(weight);
    let mut loaded = Loaded {
        names,
        rows: Vec::new(),
        labels: Vec::new(),
        weights: weight.map(|_| Vec::new()),
        groups: group.map(|_| Vec::new()),
        left_out: 0,
    };
    let mut queries = HashSet::new();
    let mut cells = Vec::with_capacity(columns.len());
    let mut query = None;
    let mut bad = 0;
    loop {
        cells.clear();
        match table.next(&columns, &mut cells) {
            None => break,
            Some(Err(row)) => {
                bad += 1;
                if bad <= 5 {
                    streams::note(&format!("{}, line {}: {}; left out", path.display(), row.line, row.problem));
                }
            }
            Some(Ok(line)) if cells[count].is_nan() => {
                bad += 1;
                if bad <= 5 {
                    streams::note(&format!("{}, line {line}: no label; left out", path.display()));
                }
            }
            Some(Ok(_)) => {
                loaded.rows.extend_from_slice(&cells[..count]);
                loaded.labels.push(cells[count]);
                if let Some(weights) = &mut loaded.weights {
                    weights.push(cells[count + 1]);
                }
                if let (Some(groups), Some(column)) = (&mut loaded.groups, group) {
                    let name = table.text(column).to_vec();
                    match groups.last_mut() {
                        Some(size) if query.as_deref() == Some(&name[..]) => *size += 1,
                        _ if !queries.insert(name.clone()) => {
                            let problem = "a query comes back after another: rows of a query lie side by side";
                            return Err(InputError(format!("{}: {problem}", path.display())).into());
                        }
                        _ => groups.push(1),
                    }
                    query = Some(name);
                }
            }
        }
    }
    loaded.left_out = bad;
    if bad > 0 {
        streams::note(&format!("{bad} rows of {} left out", path.display()));
    }
    if loaded.labels.is_empty() {
        return Err(InputError(format!("{} has no rows to learn from", path.display())).into());
    }
    Ok(loaded)
}

fn explain(error: TrainError, path: &Path) -> anyhow::Error {
    match error {
        TrainError::Parameter(error) => UsageError(error.to_string()).into(),
        other => InputError(format!("failed to learn from {}: {other}", path.display())).into(),
    }
}
