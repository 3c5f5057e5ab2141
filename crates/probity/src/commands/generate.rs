//! `probity generate`: synthetic cases; those of transactions are labelled by the rules.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use deciders::rules::Rules;
use decision::Decider;
use desks::transactions::{self, Generator, Recipe, training_line};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::exit::{Outcome, Status, UsageError};
use crate::streams;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Transaction cases: DIR/cases.jsonl to train on, DIR/audit.jsonl with the raw view, DIR/manifest.json.
    Transactions(Transactions),
    /// Alert batches: accounts that pay each other, rings among them, alerts on both, week after week.
    Alerts(super::alerts::generate::Arguments),
}

#[derive(Args)]
pub(crate) struct Transactions {
    /// How many cases.
    #[arg(long, default_value_t = 20_000)]
    cases: u64,
    /// The same seed gives the same bytes, whatever the number of threads.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where to write.
    #[arg(long)]
    out: PathBuf,
    /// Threads.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = threads())]
    threads: usize,
    /// The rules that label; the shipped ones if left out.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Which of the shipped recipes.
    #[arg(long, value_enum, default_value_t = Mix::Ordinary, conflicts_with = "recipe")]
    mix: Mix,
    /// A recipe of your own.
    #[arg(long)]
    recipe: Option<PathBuf>,
}

/// The recipes that ship with the desk.
#[derive(Clone, Copy, ValueEnum)]
enum Mix {
    /// Cases as a bank sees them, one in ten on an edge of a rule.
    Ordinary,
    /// Cases to train models on: half of them on edges of the rules, several rules at once.
    Training,
}

impl Mix {
    fn recipe(self) -> &'static str {
        match self {
            Self::Ordinary => transactions::RECIPE,
            Self::Training => transactions::TRAINING_RECIPE,
        }
    }
}

/// As many threads as there are processors.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Alerts(arguments) => super::alerts::generate::run(&arguments),
        Command::Transactions(arguments) => {
            let rules = super::decide::rules(arguments.rules.as_deref())?;
            let recipe = match &arguments.recipe {
                Some(path) => {
                    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?
                }
                None => arguments.mix.recipe().to_owned(),
            };
            let recipe = Recipe::read(&recipe).map_err(|error| UsageError(format!("recipe: {error}")))?;
            let plan = Plan { recipe, seed: arguments.seed, cases: arguments.cases, threads: arguments.threads.max(1) };
            let missing = plan.write(&rules, &arguments.out)?;
            if missing > 0 {
                streams::note(&format!("{missing} cases short of the quotas: raise candidates_per_case in the recipe"));
                return Ok(Status::GateFailed);
            }
            Ok(Status::Done)
        }
    }
}

/// What to generate.
pub(crate) struct Plan {
    pub(crate) recipe: Recipe,
    pub(crate) seed: u64,
    pub(crate) cases: u64,
    pub(crate) threads: usize,
}

/// A candidate with its labels.
struct Labelled {
    facts: String,
    raw: String,
}

/// Candidates drawn at a time.
const BLOCK: u64 = 8192;

impl Plan {
    /// Draws and labels candidates in order until the quotas are full. Returns how many cases are missing.
    pub(crate) fn write(&self, rules: &Rules, out: &Path) -> anyhow::Result<u64> {
        std::fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
        let open = |name: &str| -> anyhow::Result<BufWriter<std::fs::File>> {
            let path = out.join(name);
            let file = std::fs::File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
            Ok(BufWriter::with_capacity(1 << 20, file))
        };
        let (mut cases, mut audit) = (open("cases.jsonl.part")?, open("audit.jsonl.part")?);
        let generator = Generator::new(self.recipe.clone(), self.seed);
        let mut missing = self.recipe.targets(self.cases);
        let mut left = self.cases;
        let mut next = 0;
        let progress = progress(self.cases);
        while left > 0 && next < self.cases.saturating_mul(self.recipe.candidates_per_case) {
            for (offset, labelled) in label(&generator, rules, next, self.threads)?.into_iter().enumerate() {
                let raw: Value = serde_json::from_str(&labelled.raw)?;
                let outcome = raw["decision"]["aml_decision"].as_str().unwrap_or_default();
                // Mistyped candidates on which the rules fail have no label.
                let Some(wanted) = missing.get_mut(outcome).filter(|wanted| **wanted > 0) else { continue };
                *wanted -= 1;
                left -= 1;
                let case_id = format!("S{}-{}", self.seed, next + offset as u64);
                writeln!(cases, "{}", training_line(&case_id, &labelled.facts, &raw))?;
                writeln!(audit, "{{\"case_id\":\"{case_id}\",{}", &labelled.raw[1..])?;
                progress.inc(1);
            }
            next += BLOCK;
        }
        progress.finish_and_clear();
        cases.flush()?;
        audit.flush()?;
        for name in ["cases.jsonl", "audit.jsonl"] {
            std::fs::rename(out.join(format!("{name}.part")), out.join(name))?;
        }
        self.manifest(rules, out, &missing)?;
        Ok(left)
    }

    fn manifest(&self, rules: &Rules, out: &Path, missing: &BTreeMap<String, u64>) -> anyhow::Result<()> {
        let manifest = json!({
            "format": 1,
            "desk": "transactions",
            "cases": self.cases,
            "seed": self.seed,
            "recipe": self.recipe,
            "missing": missing,
            "labelled_by": rules.identity(),
        });
        streams::write_file(&out.join("manifest.json"), format!("{manifest:#}\n").as_bytes())
    }
}

fn progress(cases: u64) -> ProgressBar {
    let bar = ProgressBar::new(cases);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} cases, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Draws and labels one block, its parts on several threads; the result is in the order of the candidates.
fn label(generator: &Generator, rules: &Rules, first: u64, threads: usize) -> anyhow::Result<Vec<Labelled>> {
    let part = BLOCK.div_ceil(threads as u64);
    let parts: Vec<anyhow::Result<Vec<Labelled>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64)
            .map(|index| {
                let range = first + index * part..first + ((index + 1) * part).min(BLOCK);
                scope.spawn(move || label_part(generator, rules, range))
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked")))).collect()
    });
    let mut all = Vec::with_capacity(BLOCK as usize);
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

fn label_part(generator: &Generator, rules: &Rules, range: std::ops::Range<u64>) -> anyhow::Result<Vec<Labelled>> {
    let mut runner = rules.runner();
    let mut all = Vec::new();
    for index in range {
        let facts = generator.candidate(index).to_string();
        runner.begin();
        let result = runner.read(facts.as_bytes()).and_then(|value| runner.fire(value));
        let mut raw = Vec::new();
        match result {
            Ok(()) => runner.write_raw(&mut raw),
            Err(_) => raw.extend_from_slice(b"{}"),
        }
        all.push(Labelled { facts, raw: String::from_utf8(raw)? });
    }
    Ok(all)
}
