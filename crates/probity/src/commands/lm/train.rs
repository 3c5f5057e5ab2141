//! `probity lm train`: from a recipe to a run folder, with a model in it that others load as their own.

use std::path::{Path, PathBuf};

use clap::Args;
use lm::text::{Tokenizer, TrainingOptions, copy_companions};
use lm::train::{DecoderRecipe, Ending, Examples, ModelSettings, Run, SetSummary, Summary};
use lm::{Checkpoint, Config, Decoder, Trainee};
use serde::Serialize;

use super::estimate::recipe;
use super::failed;
use super::inputs;
use super::memory::Need;
use crate::commands::bench::peak_memory_mb;
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::learning::Watch;
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The recipe.
    recipe: PathBuf,
    /// Values that replace those of the recipe, such as optimizer.rate=1e-4; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// The run folder: checkpoints, logs, curve, and in the end the model.
    #[arg(long)]
    out: PathBuf,
    /// Go on with the run that is there.
    #[arg(long)]
    resume: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let recipe = recipe(&arguments.recipe, &arguments.set)?;
    // Said before data are read, not after.
    if !arguments.resume && arguments.out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let problem = "has files in it already: choose another folder, or --resume the run that is there";
        return Err(UsageError(format!("{} {problem}", arguments.out.display())).into());
    }
    let pool = recipe.training.pool().map_err(failed("start threads"))?;
    pool.install(|| train(arguments, &recipe))
}

fn train(arguments: &Arguments, recipe: &DecoderRecipe) -> Outcome {
    let tokenizer = Origin::of(recipe, &arguments.out)?;
    let config = tokenizer.config(recipe)?;
    let mut examples =
        Examples::read(recipe, &tokenizer.tokenizer, config.positions).map_err(failed("read the examples"))?;
    report(&examples);
    let need = Need::of(&config, recipe, examples.largest_batch());
    streams::note(&need.line());
    need.check()?;
    let mut decoder = open(recipe, config)?;
    let run = Run::open(&arguments.out, recipe, arguments.resume).map_err(failed("open the run folder"))?;
    let folder = tokenizer.keep(&arguments.out)?;
    inputs::record(&arguments.out, recipe, &examples)?;
    let mut watch = Watch::new("tokens")?;
    let outcome = lm::train::train(&mut decoder, &mut examples, &recipe.training, &run, &mut watch);
    watch.finish();
    let summary = match outcome {
        // What is wrong is the recipe or the data, and the checkpoints are good: a gate, not a fault.
        Err(error @ lm::Error::NotFinite { .. }) => {
            streams::complain(&format!("failed to train: {error}; lower optimizer.rate or look at the data"));
            return Ok(Status::GateFailed);
        }
        outcome => outcome.map_err(failed("train"))?,
    };
    if summary.ending == Ending::Interrupted {
        streams::note(&format!("saved at step {}; go on with: {}", summary.steps, resume_command(arguments)));
    } else {
        copy_companions(&folder, &arguments.out.join("model")).map_err(failed("save the tokenizer"))?;
    }
    let refused = examples.summaries().map(|set| set.unusable + set.too_long).sum::<usize>();
    let ending = summary.ending;
    let trained = decoder.parameters().values.len();
    print(&arguments.out, summary, trained, &need, examples.summaries().collect())?;
    Ok(match ending {
        Ending::Interrupted => Status::Interrupted,
        Ending::Gate => Status::GateFailed,
        Ending::Length | Ending::Plateau if refused > 0 => Status::UnusableInput,
        Ending::Length | Ending::Plateau => Status::Done,
    })
}

/// The tokenizer, and where it is from.
struct Origin {
    tokenizer: Tokenizer,
    /// Its folder; none if it was learned just now.
    folder: Option<PathBuf>,
}

impl Origin {
    fn of(recipe: &DecoderRecipe, out: &Path) -> anyhow::Result<Self> {
        let shape = match &recipe.details.model {
            ModelSettings::Checkpoint { checkpoint } => return Self::open(checkpoint),
            ModelSettings::Scratch(shape) => shape,
        };
        if let Some(folder) = &shape.tokenizer {
            return Self::open(folder);
        }
        let kept = out.join(TOKENIZER);
        if kept.exists() {
            return Self::open(&kept);
        }
        let files = Examples::files(recipe).map_err(UsageError)?;
        let options = TrainingOptions { vocabulary: shape.vocabulary, digits: true, ..TrainingOptions::default() };
        let tokenizer = Tokenizer::train_on_records(&files, recipe.details.data.cot, &options)
            .map_err(failed("learn a tokenizer from the training data"))?;
        streams::note(&format!("learned a tokenizer of {} tokens from the training data", tokenizer.vocabulary()));
        Ok(Self { tokenizer, folder: None })
    }

    fn open(folder: &Path) -> anyhow::Result<Self> {
        if !folder.is_dir() {
            return Err(InputError(format!("there is no folder {}", folder.display())).into());
        }
        let tokenizer = Tokenizer::open(folder).map_err(failed("open the tokenizer"))?;
        Ok(Self { tokenizer, folder: Some(folder.to_owned()) })
    }

    /// The model's configuration: the checkpoint's, or the recipe's with what the tokenizer says.
    fn config(&self, recipe: &DecoderRecipe) -> anyhow::Result<Config> {
        let tokens = self.tokenizer.vocabulary();
        match &recipe.details.model {
            ModelSettings::Checkpoint { checkpoint } => {
                let config = Config::read(checkpoint).map_err(failed("open the model"))?;
                // Damage shows in the headers, before data are read.
                Checkpoint::open(checkpoint).map_err(failed("open the model"))?;
                if tokens > config.vocabulary {
                    return Err(InputError(format!(
                        "{}: the tokenizer has {tokens} tokens and the model {}; they belong to different models",
                        checkpoint.display(),
                        config.vocabulary
                    ))
                    .into());
                }
                Ok(config)
            }
            ModelSettings::Scratch(shape) => Ok(Config {
                vocabulary: tokens,
                beginning: self.tokenizer.beginning(),
                end: self.tokenizer.end().into_iter().collect(),
                ..shape.config()
            }),
        }
    }

    /// Its folder, made if it was learned.
    fn keep(self, out: &Path) -> anyhow::Result<PathBuf> {
        if let Some(folder) = self.folder {
            return Ok(folder);
        }
        let (part, place) = (out.join(format!("{TOKENIZER}.part")), out.join(TOKENIZER));
        self.tokenizer.save(&part).map_err(failed("save the tokenizer"))?;
        std::fs::rename(&part, &place)?;
        Ok(place)
    }
}

/// Where a run keeps a tokenizer that it learned.
const TOKENIZER: &str = "tokenizer";

/// Says what became of the lines.
fn report(examples: &Examples) {
    for error in examples.refused() {
        streams::note(&format!("refused: {error}"));
    }
    for set in examples.summaries() {
        let only = match set.difficulties.as_slice() {
            [] => String::new(),
            some => format!(" ({})", some.join(", ")),
        };
        streams::note(&format!(
            "{}{only}: {} examples of {} tokens, {} of them learned; {} to validate; {} lines unusable, {} too long, \
             {} left out",
            set.train.display(),
            set.examples,
            set.tokens,
            set.counted,
            set.validation_examples,
            set.unusable,
            set.too_long,
            set.left_out
        ));
    }
}

fn open(recipe: &DecoderRecipe, config: Config) -> anyhow::Result<Decoder> {
    let (details, seed) = (&recipe.details, recipe.training.seed);
    let decoder = match &details.model {
        ModelSettings::Checkpoint { checkpoint } => {
            let method = details.method.method(checkpoint.to_str());
            Decoder::open(checkpoint, details.dtype, &method, seed)
        }
        ModelSettings::Scratch(_) => Decoder::random(config, details.dtype, &details.method.method(None), seed),
    };
    let mut decoder = decoder.map_err(failed("open the model"))?;
    decoder.recompute(recipe.training.checkpointing);
    Ok(decoder)
}

/// The command that goes on with the run, for a shell.
fn resume_command(arguments: &Arguments) -> String {
    let quoted = |word: &str| {
        let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./=,:".contains(letter));
        if plain && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let mut words = vec!["probity lm train".to_owned(), quoted(&arguments.recipe.to_string_lossy())];
    for set in &arguments.set {
        words.extend(["--set".to_owned(), quoted(set)]);
    }
    words.extend(["--out".to_owned(), quoted(&arguments.out.to_string_lossy()), "--resume".to_owned()]);
    words.join(" ")
}

/// What the command prints.
#[derive(Serialize)]
struct Report<'a> {
    out: &'a Path,
    #[serde(flatten)]
    summary: Summary,
    trained: usize,
    sets: Vec<&'a SetSummary>,
    estimated_mib: f64,
    peak_rss_mib: Option<f64>,
}

fn print(out: &Path, summary: Summary, trained: usize, need: &Need, sets: Vec<&SetSummary>) -> anyhow::Result<()> {
    let estimated_mib = need.total_bytes as f64 / f64::from(1u32 << 20);
    let report = Report { out, summary, trained, sets, estimated_mib, peak_rss_mib: peak_memory_mb() };
    streams::print(&format!("{}\n", serde_json::to_string(&report)?))
}
