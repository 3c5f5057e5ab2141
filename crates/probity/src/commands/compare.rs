//! `probity compare`: scorecards side by side, or figures of endpoints.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use evaluate::compare::{self, Row};
use evaluate::endpoint::{self, Endpoint};
use evaluate::{Scorecard, report};
use serde::Deserialize;

use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Scorecards as JSON, as `evaluate --json` writes them, or figures of `bench endpoint`; the first is what the
    /// others are held against.
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exit with 1 if the quality of a later one is worse than that of the first.
    #[arg(long)]
    fail_on_regression: bool,
    /// How much worse a figure may be.
    #[arg(long, default_value_t = 0.0)]
    tolerance: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write a page to look at.
    #[arg(long)]
    html: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Sides { names, rows, is_endpoints } = read(&arguments.files)?;
    let regressions = compare::regressions(&rows, arguments.tolerance);
    if let Some(path) = &arguments.html {
        streams::write_file(path, report::comparison_html(&names, &rows, &regressions).as_bytes())?;
    }
    if arguments.json {
        let kind = if is_endpoints { "endpoints" } else { "scorecards" };
        let all = serde_json::json!({kind: names, "rows": rows, "regressions": regressions});
        streams::print(&format!("{all}\n"))?;
    } else if is_endpoints {
        streams::print(&endpoint::render(&names, &rows))?;
    } else {
        streams::print(&compare::render(&names, &rows))?;
    }
    for regression in &regressions {
        streams::note(regression);
    }
    let failed = arguments.fail_on_regression && !regressions.is_empty();
    Ok(if failed { Status::GateFailed } else { Status::Done })
}

/// What is compared: a name for each column, and its values.
struct Sides {
    names: Vec<String>,
    rows: Vec<Row>,
    is_endpoints: bool,
}

/// What a file says of its kind; scorecards name none.
#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    kind: Option<serde_json::Value>,
    format: u32,
}

fn read(files: &[PathBuf]) -> anyhow::Result<Sides> {
    let mut names = Vec::new();
    let (mut cards, mut endpoints): (Vec<Scorecard>, Vec<Endpoint>) = Default::default();
    for path in files {
        let text = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        let wrong = |error: serde_json::Error| {
            InputError(format!("{}: neither a scorecard nor figures of `bench endpoint`: {error}", path.display()))
        };
        let header: Header = serde_json::from_slice(&text).map_err(wrong)?;
        if header.format != 1 {
            return Err(InputError(format!("{}: format {} is not known", path.display(), header.format)).into());
        }
        match header.kind {
            None => cards.push(serde_json::from_slice(&text).map_err(wrong)?),
            Some(_) => endpoints.push(serde_json::from_slice(&text).map_err(wrong)?),
        }
        names.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    }
    if !cards.is_empty() && !endpoints.is_empty() {
        let problem = "scorecards and figures of endpoints do not compare: one is of a decider, the other of a server";
        return Err(UsageError(problem.to_owned()).into());
    }
    let same_sets = cards.windows(2).all(|pair| (&pair[0].set, pair[0].cases) == (&pair[1].set, pair[1].cases))
        && endpoints.windows(2).all(|pair| (&pair[0].set, pair[0].cases) == (&pair[1].set, pair[1].cases));
    if !same_sets {
        streams::note("the figures are of different test sets: they do not compare");
    }
    Ok(if endpoints.is_empty() {
        Sides { rows: compare::rows(&cards), names, is_endpoints: false }
    } else {
        let rows = endpoint::rows(&endpoints);
        Sides { names: endpoint::names(&names, &endpoints), rows, is_endpoints: true }
    })
}
