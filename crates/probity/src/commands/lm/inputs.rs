//! What a run was made of: written into its folder when it begins, compared when it is resumed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use lm::train::{DecoderRecipe, Examples, ModelSettings, SetSummary, ValidationSettings};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::exit::InputError;
use crate::streams;

/// `inputs.json` of a run folder.
const NAME: &str = "inputs.json";

/// Files that the run reads, and what became of the lines.
#[derive(Serialize)]
struct Inputs<'a> {
    files: &'a [Input],
    sets: Vec<&'a SetSummary>,
}

/// A file that the run reads.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Input {
    path: PathBuf,
    bytes: u64,
    sha256: String,
}

/// The part that must be the same when a run is resumed.
#[derive(Deserialize)]
struct Recorded {
    files: Vec<Input>,
}

/// Writes `inputs.json`; in a run to resume, sees whether the inputs are those that it was begun with.
pub(super) fn record(out: &Path, recipe: &DecoderRecipe, examples: &Examples) -> anyhow::Result<()> {
    let files = files(recipe)?.into_iter().map(Input::read).collect::<anyhow::Result<Vec<_>>>()?;
    let path = out.join(NAME);
    match std::fs::read(&path) {
        Ok(text) => {
            let recorded: Recorded = serde_json::from_slice(&text)
                .map_err(|error| InputError(format!("{} is damaged: {error}", path.display())))?;
            compare(&recorded.files, &files)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = serde_json::to_vec_pretty(&Inputs { files: &files, sets: examples.summaries().collect() })?;
            streams::write_file(&path, &text)
        }
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
}

fn compare(recorded: &[Input], files: &[Input]) -> anyhow::Result<()> {
    let gone = recorded.iter().filter(|file| !files.iter().any(|known| known.path == file.path));
    let other = files.iter().filter(|file| !recorded.contains(file)).chain(gone).next();
    match other {
        Some(file) => Err(InputError(format!(
            "{} is not the file that the run was begun with; put that one back, or train into another folder",
            file.path.display()
        ))
        .into()),
        None => Ok(()),
    }
}

/// Data, and what a model begins from.
fn files(recipe: &DecoderRecipe) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Examples::files(recipe).map_err(InputError)?;
    if let Some(ValidationSettings::File(file)) = &recipe.details.data.validation {
        files.push(file.clone());
    }
    let folder = match &recipe.details.model {
        ModelSettings::Checkpoint { checkpoint } => Some(checkpoint),
        ModelSettings::Scratch(shape) => shape.tokenizer.as_ref(),
    };
    if let Some(folder) = folder {
        let entries = folder.read_dir().with_context(|| format!("failed to read {}", folder.display()))?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        let mut own: Vec<_> = paths.into_iter().filter(|path| matters(path)).collect();
        own.sort();
        files.append(&mut own);
    }
    Ok(files)
}

/// Whether a file of a checkpoint is one that training reads.
fn matters(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.is_file() && [".json", ".jinja", ".safetensors"].iter().any(|ending| name.ends_with(ending))
}

impl Input {
    fn read(path: PathBuf) -> anyhow::Result<Self> {
        let digest = |path: &Path| -> io::Result<(u64, String)> {
            let mut hasher = Sha256::new();
            let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
            Ok((bytes, format!("{:x}", hasher.finalize())))
        };
        let (bytes, sha256) = digest(&path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(Self { path, bytes, sha256 })
    }
}
