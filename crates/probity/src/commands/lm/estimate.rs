//! `probity lm estimate`: how much memory a recipe takes.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use lm::Config;
use lm::text::Tokenizer;
use lm::train::{DecoderRecipe, ModelSettings};

use super::failed;
use super::memory::{Need, readable};
use crate::exit::{Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The recipe.
    recipe: PathBuf,
    /// Values that replace those of the recipe, such as batch.tokens=8192.
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let recipe = recipe(&arguments.recipe, &arguments.set)?;
    let config = match &recipe.details.model {
        ModelSettings::Checkpoint { checkpoint } => Config::read(checkpoint).map_err(failed("open the model"))?,
        ModelSettings::Scratch(shape) => match &shape.tokenizer {
            Some(folder) => {
                let tokenizer = Tokenizer::open(folder).map_err(failed("open the tokenizer"))?;
                Config { vocabulary: tokenizer.vocabulary(), ..shape.config() }
            }
            None => shape.config(),
        },
    };
    let tokens = recipe.training.batch.tokens.max(recipe.details.data.tokens.unwrap_or(0));
    let need = Need::of(&config, &recipe, tokens);
    if std::io::stderr().is_terminal() {
        streams::note(&table(&need));
    }
    streams::print(&format!("{}\n", serde_json::to_string(&need)?))?;
    Ok(Status::Done)
}

/// A recipe with what the command line says.
pub(super) fn recipe(path: &std::path::Path, overrides: &[String]) -> anyhow::Result<DecoderRecipe> {
    DecoderRecipe::read(path, overrides).map_err(|error| match error {
        lm::Error::Io { .. } => failed("read the recipe")(error),
        _ => UsageError(format!("failed to read the recipe: {error}")).into(),
    })
}

fn table(need: &Need) -> String {
    let bytes = need.bytes;
    let count = need.counts.embeddings.saturating_add(need.counts.matrices).saturating_add(need.counts.norms);
    let mut lines =
        vec![format!("{:14}{count:>16}", "parameters"), format!("{:14}{:>16}", "trained", need.counts.trained)];
    let parts = [
        ("weights", bytes.weights),
        ("gradients", bytes.gradients),
        ("optimizer", bytes.optimizer),
        ("activations", bytes.activations),
        ("buffers", bytes.working.saturating_add(bytes.logits)),
        ("in all", need.total_bytes),
    ];
    let machine = need.machine.map(|machine| [("available", machine.available), ("machine", machine.total)]);
    for (name, bytes) in parts.into_iter().chain(machine.into_iter().flatten()) {
        lines.push(format!("{name:14}{:>16}", readable(bytes)));
    }
    lines.join("\n")
}
