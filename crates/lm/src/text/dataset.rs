//! Examples from files of JSON lines.

use super::Tokenizer;
use super::examples::{Composer, Example, ExampleOptions, Refusal};
use super::lines::{Line, Lines};
use crate::{Error, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Lines that become examples at once.
const CHUNK: usize = 1024;

/// Refusals that are kept to be shown.
const SHOWN: usize = 20;

/// Which lines are taken, and how they are read.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only lines of these difficulties; all if empty.
    pub difficulties: Vec<String>,
    /// Only lines of these phases; all if empty.
    pub phases: Vec<String>,
    /// Whether completions of screening lines begin with their reasoning (`cot`).
    pub reasoning: bool,
}

impl Selection {
    fn takes(&self, line: &Line) -> bool {
        let among = |list: &[String], value: &Option<String>| {
            list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
        };
        among(&self.difficulties, &line.difficulty) && among(&self.phases, &line.phase)
    }
}

/// Examples, in the order of their lines, and what became of the other lines.
#[derive(Debug, Default)]
pub struct Dataset {
    /// The examples.
    pub examples: Vec<Example>,
    /// Lines that the selection left out.
    pub left_out: usize,
    /// Lines that cannot be used.
    pub unusable: usize,
    /// Lines whose examples are too long.
    pub too_long: usize,
    /// The first lines that were refused: file, number and cause, without content.
    pub refused: Vec<Error>,
}

/// What became of a line.
enum Outcome {
    Example(Example),
    LeftOut,
    Refused(Refusal),
}

impl Dataset {
    /// Reads files of JSON lines as [`Line::parse`] describes them. Lines that cannot be used are counted, and
    /// the rest goes on.
    ///
    /// # Errors
    /// When a file cannot be read, or when no line gives an example.
    pub fn read(
        files: &[PathBuf],
        tokenizer: &Tokenizer,
        options: &ExampleOptions,
        selection: &Selection,
    ) -> Result<Self> {
        let composer = Composer::new(tokenizer, options);
        let mut dataset = Self::default();
        for path in files {
            let mut lines = Lines::open(path)?.peekable();
            while lines.peek().is_some() {
                let chunk = lines.by_ref().take(CHUNK).collect::<Result<Vec<_>>>()?;
                let outcomes: Vec<_> = chunk.par_iter().map(|(_, line)| outcome(line, composer, selection)).collect();
                for ((number, _), outcome) in chunk.iter().zip(outcomes) {
                    dataset.note(path, *number, outcome);
                }
            }
        }
        if dataset.examples.is_empty() {
            return Err(dataset.empty(files));
        }
        Ok(dataset)
    }

    fn note(&mut self, path: &Path, line: usize, outcome: Outcome) {
        match outcome {
            Outcome::Example(example) => self.examples.push(example),
            Outcome::LeftOut => self.left_out += 1,
            Outcome::Refused(refusal) => {
                let count = match &refusal {
                    Refusal::Unusable(_) => &mut self.unusable,
                    Refusal::TooLong { .. } => &mut self.too_long,
                };
                *count += 1;
                if self.refused.len() < SHOWN {
                    self.refused.push(Error::Data { path: path.to_owned(), line, problem: refusal.to_string() });
                }
            }
        }
    }

    fn empty(self, files: &[PathBuf]) -> Error {
        let counts = format!("{} unusable, {} too long, {} left out", self.unusable, self.too_long, self.left_out);
        let first = self.refused.first().map_or_else(String::new, |error| format!("; the first: {error}"));
        let problem = format!("there is no line to learn from ({counts}){first}");
        Error::Configuration { path: files.first().cloned().unwrap_or_default(), problem }
    }
}

fn outcome(line: &std::result::Result<String, String>, composer: Composer<'_>, selection: &Selection) -> Outcome {
    let parsed = line.as_ref().map_err(Clone::clone).and_then(|line| Line::parse(line, selection.reasoning));
    match parsed {
        Err(problem) => Outcome::Refused(Refusal::Unusable(problem)),
        Ok(line) if !selection.takes(&line) => Outcome::LeftOut,
        Ok(line) => composer.example(&line.record).map_or_else(Outcome::Refused, Outcome::Example),
    }
}

#[cfg(test)]
mod tests;
