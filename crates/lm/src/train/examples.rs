//! Batches of a decoder from files of examples: what each phase learns from and is measured on.

use super::decoder_recipe::{DecoderRecipe, ModelSettings, ValidationSettings};
use super::source::Source;
use crate::text::{ChatTemplate, Dataset, Example, ExampleOptions, Packing, Selection, Tokenizer, Tokens, TooLong};
use crate::{Decoder, Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The examples of a recipe, packed into micro-batches.
#[derive(Debug)]
pub struct Examples {
    sets: Vec<Set>,
    /// The set of each phase.
    phases: Vec<usize>,
    packing: Packing,
    seed: u64,
    /// The epoch that was asked for last.
    epoch: Option<Epoch>,
}

/// What one or several phases learn from.
#[derive(Debug)]
struct Set {
    train: Vec<Example>,
    validation: Vec<Tokens>,
    summary: SetSummary,
    refused: Vec<Error>,
}

#[derive(Debug)]
struct Epoch {
    phase: usize,
    number: u64,
    batches: Vec<Vec<usize>>,
}

/// What became of the lines of a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SetSummary {
    /// The file of training examples.
    pub train: PathBuf,
    /// The difficulties that were chosen; all if empty.
    pub difficulties: Vec<String>,
    /// Examples to learn from.
    pub examples: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Those of them that the loss counts.
    pub counted: usize,
    /// The longest example.
    pub longest: usize,
    /// Examples that the loss is measured on.
    pub validation_examples: usize,
    /// Lines that the phase leaves out.
    pub left_out: usize,
    /// Lines that cannot be used.
    pub unusable: usize,
    /// Lines whose examples are too long, even without their prompt.
    pub too_long: usize,
}

impl Examples {
    /// Files of training examples that the phases of a recipe name, each once.
    ///
    /// # Errors
    /// When a phase has none, in words.
    pub fn files(recipe: &DecoderRecipe) -> std::result::Result<Vec<PathBuf>, String> {
        let mut files = Vec::new();
        for (path, _) in parts(recipe)? {
            if !files.contains(&path) {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// Reads what a recipe names, for a model of so many positions.
    ///
    /// # Errors
    /// When a file cannot be read, when a phase has nothing to learn from or be measured on, or when the recipe asks for
    /// longer examples than the model has positions.
    pub fn read(recipe: &DecoderRecipe, tokenizer: &Tokenizer, positions: usize) -> Result<Self> {
        let options = options(recipe, tokenizer, positions)?;
        let packing = Packing { tokens: recipe.training.batch.tokens };
        let seed = recipe.training.seed;
        let mut examples = Self { sets: Vec::new(), phases: Vec::new(), packing, seed, epoch: None };
        for (path, difficulties) in parts(recipe).map_err(refused)? {
            let same = |set: &Set| set.summary.train == path && set.summary.difficulties == difficulties;
            let known = examples.sets.iter().position(same);
            examples.phases.push(known.unwrap_or(examples.sets.len()));
            if known.is_none() {
                examples.sets.push(Set::read(recipe, tokenizer, &options, packing, (path, difficulties))?);
            }
        }
        Ok(examples)
    }

    /// What became of the lines, set by set.
    pub fn summaries(&self) -> impl Iterator<Item = &SetSummary> {
        self.sets.iter().map(|set| &set.summary)
    }

    /// The first lines that were refused: file, number and cause, without content.
    pub fn refused(&self) -> impl Iterator<Item = &Error> {
        self.sets.iter().flat_map(|set| &set.refused)
    }

    /// Tokens of the largest micro-batch.
    pub fn largest_batch(&self) -> usize {
        let longest = self.sets.iter().map(|set| set.summary.longest);
        let validation = self.sets.iter().flat_map(|set| &set.validation).map(|batch| batch.tokens.len());
        longest.chain(validation).fold(self.packing.tokens, usize::max)
    }

    fn epoch(&mut self, phase: usize, number: u64) -> (&[Example], &[Vec<usize>]) {
        let train = &self.sets[self.phases[phase]].train;
        let epoch = self.epoch.take().filter(|epoch| epoch.phase == phase && epoch.number == number);
        let epoch = epoch.unwrap_or_else(|| {
            let batches = self.packing.epoch(train, self.seed.wrapping_add(phase as u64), number);
            Epoch { phase, number, batches }
        });
        (train, &self.epoch.insert(epoch).batches)
    }
}

impl Source<Decoder> for Examples {
    fn batches(&mut self, phase: usize, epoch: u64) -> Result<Option<u64>> {
        Ok(Some(self.epoch(phase, epoch).1.len() as u64))
    }

    fn batch(&mut self, phase: usize, epoch: u64, index: u64) -> Result<Option<Tokens>> {
        let (examples, batches) = self.epoch(phase, epoch);
        Ok(batches.get(index as usize).map(|chosen| Packing::batch(examples, chosen)))
    }

    fn validation(&mut self, phase: usize, index: u64) -> Result<Option<Tokens>> {
        Ok(self.sets[self.phases[phase]].validation.get(index as usize).cloned())
    }
}

impl Set {
    fn read(
        recipe: &DecoderRecipe,
        tokenizer: &Tokenizer,
        options: &ExampleOptions,
        packing: Packing,
        part: (PathBuf, Vec<String>),
    ) -> Result<Self> {
        let data = &recipe.details.data;
        let (path, difficulties) = part;
        let selection = Selection { difficulties: difficulties.clone(), phases: Vec::new(), reasoning: data.cot };
        let read = |path: &Path| Dataset::read(&[path.to_owned()], tokenizer, options, &selection);
        let mut all = read(&path)?;
        let mut train = std::mem::take(&mut all.examples);
        let validation = match &data.validation {
            None => Vec::new(),
            Some(ValidationSettings::Share(share)) => {
                let held;
                (held, train) = split(train, recipe.training.seed, *share).ok_or_else(|| {
                    let problem = "a share to validate needs at least two different examples".to_owned();
                    Error::Configuration { path: path.clone(), problem }
                })?;
                held
            }
            Some(ValidationSettings::File(file)) => {
                let mut own = read(file)?;
                all.refused.append(&mut own.refused);
                all.unusable += own.unusable;
                all.too_long += own.too_long;
                own.examples
            }
        };
        let summary = SetSummary {
            train: path,
            difficulties,
            examples: train.len(),
            tokens: train.iter().map(|example| example.tokens.len()).sum(),
            counted: train.iter().flat_map(|example| &example.counted).filter(|counted| **counted).count(),
            longest: train.iter().map(|example| example.tokens.len()).max().unwrap_or(0),
            validation_examples: validation.len(),
            left_out: all.left_out,
            unusable: all.unusable,
            too_long: all.too_long,
        };
        // In any order: nothing is learned from them.
        let batches = packing.epoch(&validation, 0, 0);
        let validation = batches.iter().map(|chosen| Packing::batch(&validation, chosen)).collect();
        Ok(Self { train, validation, summary, refused: all.refused })
    }
}

/// File and difficulties of each phase.
fn parts(recipe: &DecoderRecipe) -> std::result::Result<Vec<(PathBuf, Vec<String>)>, String> {
    let common = recipe.details.data.train.as_ref();
    let file = |own: Option<&PathBuf>| {
        own.or(common).cloned().ok_or_else(|| "data.train: name a file of examples to learn from".to_owned())
    };
    if recipe.training.phases.is_empty() {
        return Ok(vec![(file(None)?, Vec::new())]);
    }
    let phases = recipe.training.phases.iter();
    phases.map(|phase| Ok((file(phase.train.as_ref())?, phase.difficulty.clone().unwrap_or_default()))).collect()
}

fn options(recipe: &DecoderRecipe, tokenizer: &Tokenizer, positions: usize) -> Result<ExampleOptions> {
    let data = &recipe.details.data;
    let longest = data.tokens.unwrap_or(positions.min(recipe.training.batch.tokens));
    if longest > positions {
        return Err(refused(format!("data.tokens is {longest}, but the model has {positions} positions")));
    }
    let chat = tokenizer.template().map(|_| ChatTemplate::new(tokenizer, None)).transpose()?;
    let adapted = matches!(recipe.details.model, ModelSettings::Checkpoint { .. });
    Ok(ExampleOptions {
        pairs_as_turns: data.as_turns.unwrap_or(adapted && chat.is_some()),
        chat,
        turns: data.turns,
        longest,
        // Whoever names a length knows that prompts are cut; nobody else loses a part of them unawares.
        too_long: if data.tokens.is_some() { TooLong::CutPrompt } else { TooLong::Refuse },
    })
}

fn refused(problem: String) -> Error {
    Error::Configuration { path: "recipe".into(), problem }
}

/// Sets a share of the examples apart, at least one and not all; none if no two differ. What an example says decides, so that
/// equal ones are on the same side, and so is an example that several phases have.
fn split(examples: Vec<Example>, seed: u64, share: f64) -> Option<(Vec<Example>, Vec<Example>)> {
    let place = |example: &Example| {
        let mut hasher = Sha256::new_with_prefix(seed.to_le_bytes());
        for token in &example.tokens {
            hasher.update(token.to_le_bytes());
        }
        let digest = hasher.finalize();
        digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let places: Vec<u64> = examples.iter().map(place).collect();
    let (low, high) = (places.iter().min().copied()?, places.iter().max().copied()?);
    if low == high {
        return None;
    }
    // Of a few examples the share may be none or all.
    let bound = ((share * u64::MAX as f64) as u64).clamp(low, high - 1);
    let (mut held, mut kept) = (Vec::new(), Vec::new());
    for (example, place) in examples.into_iter().zip(places) {
        if place <= bound { held.push(example) } else { kept.push(example) }
    }
    Some((held, kept))
}

#[cfg(test)]
mod tests;
