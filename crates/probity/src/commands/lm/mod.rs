//! `probity lm`: language models.

mod tokenizer;

use clap::Subcommand;

use crate::exit::Outcome;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train and apply tokenizers in Hugging Face layout.
    #[command(subcommand)]
    Tokenizer(tokenizer::Command),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Tokenizer(command) => tokenizer::run(command),
    }
}
