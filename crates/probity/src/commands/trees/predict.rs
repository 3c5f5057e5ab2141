//! `probity trees predict`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use trees::{Compiled, Model};

use super::table::{BadRow, Table};
use crate::exit::{InputError, Outcome, Status};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// A model in LightGBM's text format.
    model: PathBuf,
    /// A CSV file with a header line; an empty cell is a missing value. `-` reads standard input.
    rows: PathBuf,
    /// Print raw sums instead of scores.
    #[arg(long)]
    raw: bool,
    /// Print the contribution of every feature to the raw sum, then the model's mean raw sum.
    #[arg(long)]
    contrib: bool,
    /// Threads.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = 1)]
    threads: usize,
}

/// Numbers that are read or computed before they are written.
const CELLS: usize = 1 << 22;

/// A line of output.
#[derive(Serialize)]
struct Scored<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<OneOrMany<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contributions: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// A number for models of one class, else a list.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany<'a> {
    One(f64),
    Many(&'a [f64]),
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let model = super::load(&arguments.model)?;
    let compiled = Compiled::new(&model);
    if arguments.contrib && !compiled.explains() {
        let problem =
            format!("{} has no counts of training rows, so there are no contributions", arguments.model.display());
        return Err(InputError(problem).into());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.max(1)).build()?;
    let mut table = Table::open(&arguments.rows)?;
    let columns = table.features(&model.feature_names)?;
    let mut out = streams::output();
    let mut bad = 0u64;
    let width = if arguments.contrib { model.classes * (columns.len() + 1) } else { columns.len() };
    let chunk = (CELLS / width.max(1)).clamp(1, 8192);
    loop {
        let mut rows = Vec::with_capacity(chunk * columns.len());
        let mut lines = Vec::with_capacity(chunk);
        while lines.len() < chunk {
            match table.next(&columns, &mut rows) {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        if lines.is_empty() {
            break;
        }
        let sums = pool.install(|| compiled.raw(&rows));
        let contributions = if arguments.contrib { pool.install(|| compiled.contributions(&rows)) } else { Vec::new() };
        bad += write(arguments, &model, &lines, sums, &contributions, &mut out)?;
    }
    out.flush().context("failed to write the scores")?;
    if bad == 0 {
        return Ok(Status::Done);
    }
    streams::note(&format!("{bad} rows could not be read; their lines say why"));
    Ok(Status::UnusableInput)
}

fn write(
    arguments: &Arguments,
    model: &Model,
    lines: &[Result<u64, BadRow>],
    mut sums: Vec<f64>,
    contributions: &[f64],
    out: &mut impl Write,
) -> anyhow::Result<u64> {
    let mut sums = sums.chunks_exact_mut(model.classes);
    let mut contributions = contributions.chunks_exact(model.classes * (model.features() + 1));
    let mut bad = 0;
    for line in lines {
        let scored = match line {
            Err(BadRow { line, problem }) => {
                bad += 1;
                Scored { score: None, contributions: None, line: Some(*line), error: Some(problem) }
            }
            Ok(_) => {
                let sums = sums.next().context("a sum for every row")?;
                if !arguments.raw {
                    model.transform(sums);
                }
                let score = if let [one] = sums { OneOrMany::One(*one) } else { OneOrMany::Many(sums) };
                Scored { score: Some(score), contributions: contributions.next(), line: None, error: None }
            }
        };
        let mut line = serde_json::to_vec(&scored)?;
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(bad)
}
