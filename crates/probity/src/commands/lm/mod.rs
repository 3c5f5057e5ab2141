//! `probity lm`: language models.

mod estimate;
mod inputs;
mod logits;
mod memory;
mod merge;
mod tokenizer;
mod train;

use clap::{Subcommand, ValueEnum};

use crate::exit::{InputError, Outcome};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train a decoder by a recipe: from scratch, or a checkpoint as a whole or by adapters.
    Train(train::Arguments),
    /// Say how much memory a recipe takes, as one JSON object; reads no data and no weights.
    Estimate(estimate::Arguments),
    /// Print the logits of tokens as one JSON object: a list for each token.
    Logits(logits::Arguments),
    /// Add an adapter to the weights of its checkpoint.
    Merge(merge::Arguments),
    /// Train and apply tokenizers in Hugging Face layout.
    #[command(subcommand)]
    Tokenizer(tokenizer::Command),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Estimate(arguments) => estimate::run(&arguments),
        Command::Logits(arguments) => logits::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Tokenizer(command) => tokenizer::run(command),
    }
}

/// Precisions of products.
#[derive(Clone, Copy, ValueEnum)]
enum Precision {
    F32,
    Bf16,
}

impl From<Precision> for lm::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// A failure of the engine is one of what the user gave it.
fn failed(doing: &str) -> impl FnOnce(lm::Error) -> anyhow::Error {
    let doing = doing.to_owned();
    move |error| InputError(format!("failed to {doing}: {error}")).into()
}
