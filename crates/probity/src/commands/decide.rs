//! `probity decide`: one decision line for each case line.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use deciders::rules::Rules;
use decision::lines::decide_lines;
use decision::{Case, DecideError, Decider, Decision, Desk, Identity, Worker};
use serde_json::json;

use crate::exit::{Outcome, UsageError};
use crate::{learning, streams};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The desk, for example `transactions`.
    desk: String,
    /// How to decide: `rules` for the shipped rules, `rules=FILE.drl` for yours, or the folder of a trained model.
    #[arg(long = "with")]
    with: String,
    /// Case lines; standard input if left out.
    cases: Option<PathBuf>,
    /// Threads; the output is the same for any number.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = 1)]
    threads: usize,
    /// Write how long each decision took to this file, for `evaluate --timings`.
    #[arg(long)]
    timings: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let desk = desk(&arguments.desk)?;
    let chosen = decider(&arguments.with, &*desk, arguments.threads)?;
    let timed = Timed { inner: &*chosen, nanoseconds: Mutex::default() };
    let decider: &dyn Decider = if arguments.timings.is_some() { &timed } else { &*chosen };
    let start = Instant::now();
    let input = streams::input(arguments.cases.as_deref())?;
    let summary = decide_lines(&*desk, decider, input, &mut streams::output(), arguments.threads)?;
    if let Some(path) = &arguments.timings {
        timed.write(path, start.elapsed().as_secs_f64())?;
    }
    Ok(super::rules::report(summary))
}

/// What `--with` names: rules, or the folder of an artifact.
fn decider(with: &str, desk: &dyn Desk, threads: usize) -> anyhow::Result<Box<dyn Decider>> {
    match with.split_once('=') {
        None if with == "rules" => Ok(Box::new(rules(None)?)),
        Some(("rules", file)) => Ok(Box::new(rules(Some(Path::new(file)))?)),
        _ if Path::new(with).is_dir() => {
            learning::open(Path::new(with), desk.name(), threads).with_context(|| format!("failed to open {with}"))
        }
        _ => Err(UsageError(format!("--with {with}: expected rules, rules=FILE.drl or an artifact's folder")).into()),
    }
}

/// The desk of a name.
pub(crate) fn desk(name: &str) -> Result<Box<dyn decision::Desk>, UsageError> {
    desks::find(name).ok_or_else(|| {
        let known: Vec<&str> = desks::all().iter().map(|desk| desk.name()).collect();
        UsageError(format!("unknown desk `{name}`; known: {}", known.join(", ")))
    })
}

/// The rules of a file, or the shipped ones.
pub(crate) fn rules(file: Option<&Path>) -> Result<Rules, deciders::rules::Error> {
    match file {
        Some(file) => Rules::load(file),
        None => Rules::compile("transactions.drl", desks::transactions::RULES),
    }
}

/// A decider whose decisions are timed.
pub(crate) struct Timed<'d> {
    pub(crate) inner: &'d dyn Decider,
    pub(crate) nanoseconds: Mutex<Vec<u64>>,
}

impl Timed<'_> {
    /// Writes the times for `evaluate`.
    pub(crate) fn write(&self, path: &Path, seconds: f64) -> anyhow::Result<()> {
        let nanoseconds = self.nanoseconds.lock().map_err(|_| anyhow::anyhow!("a worker panicked"))?;
        let content = json!({"format": 1, "seconds": seconds, "nanoseconds": *nanoseconds});
        streams::write_file(path, content.to_string().as_bytes())
    }
}

impl Decider for Timed<'_> {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(TimedWorker { inner: self.inner.worker(), held: Vec::new(), all: &self.nanoseconds })
    }

    fn prefers_batches(&self) -> bool {
        self.inner.prefers_batches()
    }
}

struct TimedWorker<'d> {
    inner: Box<dyn Worker + 'd>,
    held: Vec<u64>,
    all: &'d Mutex<Vec<u64>>,
}

impl Worker for TimedWorker<'_> {
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
        let start = Instant::now();
        let results = self.inner.decide(cases);
        let each = start.elapsed().as_nanos() as u64 / cases.len().max(1) as u64;
        self.held.extend(std::iter::repeat_n(each, cases.len()));
        results
    }
}

impl Drop for TimedWorker<'_> {
    fn drop(&mut self) {
        if let Ok(mut all) = self.all.lock() {
            all.append(&mut self.held);
        }
    }
}
