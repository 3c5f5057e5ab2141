//! `probity compare`: scorecards side by side.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use evaluate::{Scorecard, compare, report};

use crate::exit::{InputError, Outcome, Status};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Scorecards as JSON, as `evaluate --json` writes them; the first is what the others are held against.
    #[arg(required = true, num_args = 2..)]
    scorecards: Vec<PathBuf>,
    /// Exit with 1 if a later scorecard is worse than the first.
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
    let mut cards: Vec<Scorecard> = Vec::new();
    for path in &arguments.scorecards {
        let text = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        let card: Scorecard = serde_json::from_slice(&text)
            .map_err(|error| InputError(format!("{}: not a scorecard: {error}", path.display())))?;
        if card.format != 1 {
            return Err(InputError(format!("{}: format {} is not known", path.display(), card.format)).into());
        }
        cards.push(card);
    }
    if cards.iter().any(|card| card.set != cards[0].set || card.cases != cards[0].cases) {
        streams::note("the scorecards are of different test sets: their figures do not compare");
    }
    let names: Vec<String> = arguments
        .scorecards
        .iter()
        .map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let rows = compare::rows(&cards);
    let regressions = compare::regressions(&cards, arguments.tolerance);
    if let Some(path) = &arguments.html {
        streams::write_file(path, report::comparison_html(&names, &rows, &regressions).as_bytes())?;
    }
    if arguments.json {
        let all = serde_json::json!({"scorecards": names, "rows": rows, "regressions": regressions});
        streams::print(&format!("{all}\n"))?;
    } else {
        streams::print(&compare::render(&names, &rows))?;
    }
    for regression in &regressions {
        streams::note(regression);
    }
    let failed = arguments.fail_on_regression && !regressions.is_empty();
    Ok(if failed { Status::GateFailed } else { Status::Done })
}
