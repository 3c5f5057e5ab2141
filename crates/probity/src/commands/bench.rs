//! `probity bench`: figures of the engines, as one JSON object.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Subcommand;
use deciders::rules::Rules;
use decision::lines::answer_lines;
use serde_json::json;

use crate::exit::{InputError, Outcome, Status};
use crate::streams;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The rule engine on case lines.
    Rules {
        /// The rule file.
        file: PathBuf,
        /// Case lines.
        cases: PathBuf,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Measured rounds; the median counts.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
    },
    /// The tree engine on the rows of a CSV file.
    Trees {
        /// A model in LightGBM's text format.
        model: PathBuf,
        /// Rows.
        rows: PathBuf,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Measured rounds; the median counts.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
    },
    /// A running server, as callers see it.
    Serve(super::bench_serve::Arguments),
    /// A server that decides, on labelled cases: quality, time and tokens at each number of requests in flight.
    Endpoint(super::bench_endpoint::Arguments),
    /// The engine for language models: reading, answering, deciding, shared prefixes, memory.
    Generate(super::bench_generate::Arguments),
    /// Training of a small decoder: steps of 16 sequences of 256 tokens.
    Train(super::bench_train::Arguments),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Rules { file, cases, threads, rounds } => rules(&file, &cases, threads.max(1), rounds.max(1)),
        Command::Trees { model, rows, threads, rounds } => {
            super::trees::bench::run(&model, &rows, threads.max(1), rounds.max(1))
        }
        Command::Serve(arguments) => super::bench_serve::run(&arguments),
        Command::Endpoint(arguments) => super::bench_endpoint::run(&arguments),
        Command::Generate(arguments) => super::bench_generate::run(&arguments),
        Command::Train(arguments) => super::bench_train::run(&arguments),
    }
}

/// Each round lasts at least this long, however few cases there are.
const ROUND: Duration = Duration::from_millis(300);

fn rules(file: &Path, cases: &Path, threads: usize, rounds: usize) -> Outcome {
    let source = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let text = std::fs::read(cases).with_context(|| format!("failed to read {}", cases.display()))?;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(InputError(format!("{} has no cases", cases.display())).into());
    }
    let mut load = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let _ = Rules::compile(&file.display().to_string(), &source)?;
        load.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let rules = Rules::compile(&file.display().to_string(), &source)?;
    let mut parsed = Vec::new();
    let mut whole = Vec::new();
    let mut failed = 0;
    for _ in 0..rounds {
        let (rate, errors) = parsed_rate(&rules, &lines, threads);
        parsed.push(rate);
        failed = errors;
        whole.push(line_rate(&rules, &text, threads)?);
    }
    if failed == lines.len() {
        return Err(InputError(format!("the rules fail on every case of {}", cases.display())).into());
    }
    let result = json!({
        "engine": "rules",
        "file": file.display().to_string(),
        "rules": rules.base().rule_names().len(),
        "cases": lines.len(),
        "cases_failed": failed,
        "threads": threads,
        "rounds": rounds,
        "cases_per_second_parsed": median(&mut parsed),
        "cases_per_second_line_to_line": median(&mut whole),
        "load_ms": median(&mut load),
        "peak_memory_mb": peak_memory_mb(),
    });
    streams::print(&format!("{result}\n"))?;
    Ok(Status::Done)
}

/// Cases whose facts lie ready, each in a session of its own, before they are fired one after another: enough of them
/// that reading the clock does not count, and few enough that they fit a cache, as the one session of a worker does.
const GROUP: usize = 8;

/// Cases a second from facts that lie in the sessions' memory already; reading them is not timed.
fn parsed_rate(rules: &Rules, lines: &[&[u8]], threads: usize) -> (f64, usize) {
    let one = || {
        let mut runners: Vec<_> = (0..GROUP).map(|_| rules.runner()).collect();
        let (mut spent, mut count, mut failed) = (Duration::ZERO, 0u64, 0);
        while spent < ROUND {
            if failed == lines.len() {
                break;
            }
            failed = 0;
            for group in lines.chunks(GROUP) {
                let mut facts = Vec::with_capacity(GROUP);
                for (runner, line) in runners.iter_mut().zip(group) {
                    runner.begin();
                    facts.push(runner.read_case(line).ok());
                }
                failed += facts.iter().filter(|value| value.is_none()).count();
                let start = Instant::now();
                for (runner, facts) in runners.iter_mut().zip(&facts) {
                    if let Some(facts) = facts {
                        failed += usize::from(runner.fire(*facts).is_err());
                    }
                }
                spent += start.elapsed();
                count += group.len() as u64;
            }
        }
        (count as f64 / spent.as_secs_f64(), failed)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let results: Vec<(f64, usize)> = workers.into_iter().filter_map(|worker| worker.join().ok()).collect();
        (results.iter().map(|(rate, _)| rate).sum(), results.first().map_or(0, |(_, failed)| *failed))
    })
}

/// Cases a second from bytes in to bytes out.
fn line_rate(rules: &Rules, text: &[u8], threads: usize) -> anyhow::Result<f64> {
    let worker = || super::rules::raw_worker(rules);
    let start = Instant::now();
    let mut lines = 0;
    while start.elapsed() < ROUND {
        let mut out = Vec::with_capacity(text.len());
        lines += answer_lines(text, &mut out, threads, &worker)?.lines;
    }
    Ok(lines as f64 / start.elapsed().as_secs_f64())
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The most memory that the process has held, from the kernel's account; null elsewhere.
pub(super) fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
