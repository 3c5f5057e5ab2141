//! `probity bench generate`: what the engine for language models does in this process, without a server around it.

mod decisions;
mod drive;
mod speed;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use deciders::artifact::Manifest;
use decision::Desk;
use desks::transactions::{PromptStyle, Transactions};
use evaluate::endpoint::{self, Endpoint, Kind};
use lm::inference::{Host, HostOptions, ServiceOptions};
use lm::train::{Counts, MethodSettings};
use lm::{Precision, WeightStorage};
use serde::Serialize;

use self::decisions::Decisions;
use self::speed::{Noise, Prefix, Shape, Speed};
use super::bench::peak_memory_mb;
use super::bench_endpoint::cases::{Cases, Source};
use crate::exit::{Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// A model's folder in Hugging Face layout, or the artifact of a decoder.
    model: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Requests in flight, one measurement for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 8, 16])]
    concurrency: Vec<usize>,
    /// Random tokens of the prompts whose reading is timed.
    #[arg(long, default_value_t = 256)]
    prompt_tokens: usize,
    /// Tokens of the answers that are timed behind short prompts.
    #[arg(long, default_value_t = 64)]
    answer_tokens: usize,
    /// Tokens of the prefix that two prompts share; as many as the model has positions for, at most.
    #[arg(long, default_value_t = 4000)]
    prefix_tokens: usize,
    /// Measured rounds with random tokens; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// In what products run; as the artifact says, or bf16.
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// How weights are held.
    #[arg(long, value_enum, default_value = "plain")]
    weights: Weights,
    /// Threads.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = super::generate::threads())]
    threads: usize,
    /// Tokens that a decision may have; as the artifact says, or 128.
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Also writes the figures to this file, for `compare`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Writes prompts and answers to this file, for other engines to answer the same.
    #[arg(long, value_name = "FILE")]
    write_answers: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    Plain,
    Int8,
    Nf4,
}

/// The figures of decisions, as of an endpoint, with those of the engine beside them.
#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    decisions: Endpoint,
    precision: String,
    weights: String,
    threads: usize,
    parameters: u64,
    speed: Vec<Speed>,
    prefix: Option<Prefix>,
    peak_rss_mib: Option<f64>,
}

/// A model's folder, and what its artifact says of it if it is in one.
struct Model {
    folder: PathBuf,
    manifest: Option<Manifest>,
}

impl Model {
    fn find(path: &Path) -> anyhow::Result<Self> {
        let inside = path.join(deciders::MODEL);
        if path.join("config.json").exists() || !inside.exists() {
            return Ok(Self { folder: path.to_owned(), manifest: None });
        }
        Ok(Self { folder: inside, manifest: Some(Manifest::open(path, Transactions.name())?) })
    }

    fn options(&self, arguments: &Arguments) -> HostOptions {
        let precision = match (arguments.dtype, &self.manifest) {
            (Some(Dtype::F32), _) => Precision::F32,
            (Some(Dtype::Bf16), _) | (None, None) => Precision::Bf16,
            (None, Some(manifest)) => manifest.precision,
        };
        let storage = match arguments.weights {
            Weights::Plain => WeightStorage::Plain,
            Weights::Int8 => WeightStorage::Int8,
            Weights::Nf4 => WeightStorage::Nf4,
        };
        let service = ServiceOptions { threads: arguments.threads.max(1), ..ServiceOptions::default() };
        HostOptions { precision, storage, service }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let levels: Vec<usize> = arguments.concurrency.iter().map(|number| (*number).max(1)).collect();
    let cases = if arguments.source.is_given() { Some(arguments.source.cases(&Transactions)?) } else { None };
    if cases.is_none() && arguments.write_answers.is_some() {
        return Err(UsageError("--write-answers needs --cases or --fresh".to_owned()).into());
    }
    let model = Model::find(&arguments.model)?;
    let options = model.options(arguments);
    let mut decisions = empty(arguments, cases.as_ref());
    if let Some(cases) = &cases {
        decide(arguments, &model, &options, cases, &levels, &mut decisions)?;
    }
    let host = Host::open(&model.folder, &options)?;
    let asked = Shape {
        rounds: arguments.rounds,
        prompt: arguments.prompt_tokens,
        answer: arguments.answer_tokens,
        prefix: arguments.prefix_tokens,
    };
    let shape = asked.within(host.service().config().positions);
    if shape.prefix < asked.prefix {
        streams::note(&format!("the model has positions for a prefix of {} tokens only", shape.prefix));
    }
    let mut noise = Noise::new(&host);
    let speed = levels.iter().map(|level| Speed::measure(&host, *level, &shape, &mut noise));
    let speed = speed.collect::<anyhow::Result<Vec<_>>>()?;
    let counts = Counts::of(host.service().config(), &MethodSettings::Full);
    let figures = Figures {
        precision: format!("{:?}", options.precision).to_lowercase(),
        weights: format!("{:?}", options.storage).to_lowercase(),
        threads: arguments.threads,
        parameters: counts.trained,
        speed,
        prefix: Prefix::measure(&host, &shape, &mut noise)?,
        peak_rss_mib: peak_memory_mb(),
        decisions,
    };
    report(arguments, &figures)
}

/// Decides the cases at each number in flight, each time by a model that has not seen them.
fn decide(
    arguments: &Arguments,
    model: &Model,
    options: &HostOptions,
    cases: &Cases,
    levels: &[usize],
    figures: &mut Endpoint,
) -> anyhow::Result<()> {
    let manifest = model.manifest.as_ref();
    let most = arguments.max_tokens.or(manifest.and_then(|manifest| manifest.answer_tokens)).unwrap_or(128);
    for (place, concurrency) in levels.iter().enumerate() {
        let host = Host::open(&model.folder, options)?;
        let decisions = Decisions::new(&host, cases, most)?;
        let (level, answers) = decisions.measure(&host, *concurrency)?;
        figures.levels.push(level);
        if let Some(path) = arguments.write_answers.as_deref().filter(|_| place + 1 == levels.len()) {
            decisions.write(&host, &answers, path)?;
        }
    }
    Ok(())
}

fn empty(arguments: &Arguments, cases: Option<&Cases>) -> Endpoint {
    let name = arguments.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Endpoint {
        kind: Kind::Endpoint,
        format: 1,
        url: "in process".to_owned(),
        model: name,
        desk: Transactions.name().to_owned(),
        set: cases.map(|cases| cases.set.clone()).unwrap_or_default(),
        cases: cases.map_or(0, |cases| cases.list.len()),
        prompt: PromptStyle::Compact.version().to_owned(),
        schema: "grammar".to_owned(),
        stream: true,
        interrupted: false,
        levels: Vec::new(),
    }
}

fn report(arguments: &Arguments, figures: &Figures) -> Outcome {
    let one = std::slice::from_ref(&figures.decisions);
    if !figures.decisions.levels.is_empty() {
        let names = endpoint::names(std::slice::from_ref(&figures.decisions.model), one);
        streams::note(endpoint::render(&names, &endpoint::rows(one)).trim_end());
    }
    let text = serde_json::to_string(figures)?;
    if let Some(path) = &arguments.out {
        streams::write_file(path, format!("{text}\n").as_bytes())?;
    }
    streams::print(&format!("{text}\n"))?;
    Ok(Status::Done)
}
