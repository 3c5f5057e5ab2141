//! `probity decide`: one decision line for each case line.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use deciders::artifact::Manifest;
use deciders::rules::Rules;
use decision::lines::decide_lines;
use decision::{Account, Case, DecideError, Decider, Decision, Desk, Identity, Worker};
use serde_json::json;

use crate::exit::{Outcome, UsageError};
use crate::{learning, streams};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The desk, for example `transactions`.
    desk: String,
    /// How to decide: `rules` for the shipped rules, `rules=FILE.drl` for yours, the folder of a trained model,
    /// `remote=URL,model=NAME` for an endpoint that speaks as OpenAI's does, or `cascade=FILE.toml` for several of them.
    ///
    /// After remote's NAME may stand, each with a comma before it: concurrency=8, rate=20/s, retries=4, timeout=60,
    /// tokens=N, schema=response_format|structured_outputs|none, prompt=json|compact, logprobs=yes|no. The key that the endpoint
    /// asks for is taken from PROBITY_REMOTE_API_KEY.
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
    /// Write what deciding took to this file as JSON: tokens of an endpoint, shares and costs of a cascade.
    #[arg(long)]
    report: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let desk = desk(&arguments.desk)?;
    let chosen = decider(&arguments.with, &*desk, Means::of(arguments.threads))?;
    let timed = Timed { inner: &*chosen, nanoseconds: Mutex::default() };
    let decider: &dyn Decider = if arguments.timings.is_some() { &timed } else { &*chosen };
    let start = Instant::now();
    let input = streams::input(arguments.cases.as_deref())?;
    let summary = decide_lines(&*desk, decider, input, &mut streams::output(), arguments.threads)?;
    if let Some(path) = &arguments.timings {
        timed.write(path, start.elapsed().as_secs_f64())?;
    }
    let account = chosen.account();
    if let Some(account) = &account {
        streams::note(&account.text);
    }
    if let Some(path) = &arguments.report {
        let figures = account.map(|account| account.figures);
        let content = json!({"format": 1, "decided_by": chosen.identity(), "lines": summary.lines,
            "failed": summary.failed, "account": figures});
        streams::write_file(path, format!("{content:#}\n").as_bytes())?;
    }
    Ok(super::rules::report(summary))
}

/// What a decider may use.
#[derive(Clone, Copy)]
pub(crate) struct Means {
    /// Threads of a model.
    pub(crate) threads: usize,
    /// Firings of rules for one case; as many as rules have by themselves if none.
    pub(crate) max_firings: Option<usize>,
}

impl Means {
    /// These threads, and what is usual.
    pub(crate) fn of(threads: usize) -> Self {
        Self { threads, max_firings: None }
    }
}

/// What `--with` names.
pub(crate) fn decider(with: &str, desk: &dyn Desk, means: Means) -> anyhow::Result<Box<dyn Decider>> {
    match with.strip_prefix("cascade=") {
        Some(file) => Ok(Box::new(learning::cascade::open(Path::new(file), desk, means)?)),
        None => single(with, desk, means),
    }
}

/// What `--with` names, if it is no cascade: rules, an endpoint, or the folder of an artifact.
pub(crate) fn single(with: &str, desk: &dyn Desk, means: Means) -> anyhow::Result<Box<dyn Decider>> {
    let bounded = |mut rules: Rules| {
        means.max_firings.into_iter().for_each(|limit| rules.set_firing_limit(limit));
        Box::new(rules)
    };
    match with.split_once('=') {
        None if with == "rules" => Ok(bounded(rules(None)?)),
        Some(("remote", endpoint)) => Ok(Box::new(learning::remote::open(endpoint)?)),
        Some(("rules", file)) => Ok(bounded(rules(Some(Path::new(file)))?)),
        _ if Path::new(with).is_dir() => learning::open(Path::new(with), desk.name(), means.threads)
            .with_context(|| format!("failed to open {with}")),
        Some(("cascade", _)) => Err(UsageError(format!("{with}: a cascade is no stage of a cascade")).into()),
        _ => {
            let known = "rules, rules=FILE.drl, an artifact's folder, remote=URL,model=NAME, or cascade=FILE.toml";
            Err(UsageError(format!("`{with}` does not say who decides: expected {known}")).into())
        }
    }
}

/// Files that what `--with` names is made of, as far as they can be told before it is opened.
pub(crate) fn files(with: &str) -> Vec<PathBuf> {
    match with.split_once('=') {
        Some(("cascade", file)) => {
            let stages = learning::cascade::stages(Path::new(file)).unwrap_or_default();
            std::iter::once(file.into()).chain(stages.iter().flat_map(|with| files(with))).collect()
        }
        Some(("rules", file)) => vec![file.into()],
        _ => Some(Manifest::path(Path::new(with))).filter(|path| path.exists()).into_iter().collect(),
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

    fn account(&self) -> Option<Account> {
        self.inner.account()
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
