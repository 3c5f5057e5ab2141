//! Labelled cases to measure with: lines of a file, or fresh ones that the shipped rules have labelled.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use decision::{Case, Desk, Truth};
use desks::transactions::{self, Generator, Recipe, Transactions};

use crate::exit::{InputError, UsageError};
use crate::learning::Labeller;
use crate::streams;

/// Where cases come from.
#[derive(Args)]
pub(in crate::commands) struct Source {
    /// Labelled case lines.
    #[arg(long, conflicts_with = "fresh")]
    cases: Option<PathBuf>,
    /// Draws so many new cases instead, labelled by the shipped rules.
    #[arg(long, requires = "seed", value_name = "N")]
    fresh: Option<u64>,
    /// The seed of the new cases; take one that no model has learned from.
    #[arg(long, requires = "fresh")]
    seed: Option<u64>,
    /// Takes the first so many cases of the file.
    #[arg(long, requires = "cases", value_name = "N")]
    limit: Option<usize>,
}

/// A case and what is right.
pub(in crate::commands) struct Labelled {
    pub(in crate::commands) case_id: String,
    /// JSON, as it was read.
    pub(in crate::commands) facts: String,
    pub(in crate::commands) truth: Truth,
}

/// Cases with the name of their set.
pub(in crate::commands) struct Cases {
    pub(in crate::commands) set: String,
    pub(in crate::commands) list: Vec<Labelled>,
}

impl Source {
    /// Whether cases were asked for at all.
    pub(in crate::commands) fn is_given(&self) -> bool {
        self.cases.is_some() || self.fresh.is_some()
    }

    /// Reads or draws the cases; at least one.
    pub(in crate::commands) fn cases(&self, desk: &dyn Desk) -> anyhow::Result<Cases> {
        match (&self.cases, self.fresh) {
            (Some(path), _) => {
                let list = read(path, desk, self.limit.unwrap_or(usize::MAX))?;
                Ok(Cases { set: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), list })
            }
            (None, Some(count)) => {
                let seed = self.seed.unwrap_or_default();
                Ok(Cases { set: format!("fresh cases of seed {seed}"), list: draw(count, seed)? })
            }
            (None, None) => Err(UsageError("cases are needed: --cases FILE or --fresh N".to_owned()).into()),
        }
    }
}

fn read(path: &Path, desk: &dyn Desk, limit: usize) -> anyhow::Result<Vec<Labelled>> {
    let mut list = Vec::new();
    for (index, line) in streams::input(Some(path))?.split(b'\n').enumerate() {
        let line = line.with_context(|| format!("failed to read {}", path.display()))?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if list.len() == limit {
            break;
        }
        let number = index as u64 + 1;
        let at = |error: String| InputError(format!("{}:{number}: {error}", path.display()));
        let case = Case::read(&line, number).map_err(|error| at(error.to_string()))?;
        let truth = desk.truth(&line).filter(|truth| desk.outcomes().contains(&truth.outcome.as_str()));
        let truth = truth.ok_or_else(|| at("the line has no label, or one that the desk does not know".to_owned()))?;
        list.push(Labelled { case_id: case.case_id.into_owned(), facts: case.facts.to_owned(), truth });
    }
    if list.is_empty() {
        return Err(InputError(format!("{} has no cases", path.display())).into());
    }
    Ok(list)
}

/// So many cases as a bank sees them; those on which the rules fail are passed over.
fn draw(count: u64, seed: u64) -> anyhow::Result<Vec<Labelled>> {
    let recipe = Recipe::read(transactions::RECIPE).context("the shipped recipe cannot be read")?;
    let labeller = Labeller { generator: Generator::new(recipe, seed), rules: super::super::decide::rules(None)? };
    let mut list = Vec::new();
    let mut next = 0;
    while (list.len() as u64) < count {
        let missing = count - list.len() as u64;
        for case in labeller.draw(next..next + missing)? {
            let decision = Transactions.canonical(case.decision);
            let reasons = decision.reasons.into_iter().map(|reason| reason.code).collect();
            let truth = Truth { outcome: decision.outcome, level: decision.level, reasons };
            list.push(Labelled { case_id: format!("F{seed}-{}", list.len()), facts: case.facts.to_string(), truth });
        }
        next += missing;
    }
    if list.is_empty() {
        return Err(UsageError("--fresh 0 draws no cases".to_owned()).into());
    }
    Ok(list)
}
