//! The run folder: everything needed to watch, resume and repeat a run.
//!
//! `recipe.json`, `log.jsonl`, `validation.jsonl`, `loss.svg`, `report.html`, `checkpoints/`, and at the end `model/`
//! and `summary.json`.

use super::checkpoint::Checkpoints;
use crate::replacement::replace;
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

const RECIPE: &str = "recipe.json";

/// Keys of a recipe that change nothing about the result, so a resumed run may have others.
const FREE: [&str; 1] = ["threads"];

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct Run {
    folder: PathBuf,
}

impl Run {
    /// Makes the folder and writes the resolved recipe, or, to resume, checks that the recipe is the same. A run that
    /// was never begun is begun by resuming it too.
    ///
    /// # Errors
    /// When there are files in the folder already and `resume` does not say to go on with them, when the recipe of the
    /// run to resume differs (the error names the keys), or when the folder cannot be read or written.
    pub fn open(folder: &Path, recipe: &impl Serialize, resume: bool) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let run = Self { folder: folder.to_path_buf() };
        let path = run.path(RECIPE);
        let refused = |problem: String| Error::Configuration { path: path.clone(), problem };
        let recipe = serde_json::to_value(recipe).map_err(|error| refused(error.to_string()))?;
        if run.is_empty()? {
            run.write_json(RECIPE, &recipe)?;
            return Ok(run);
        }
        if !resume {
            let problem = "there are files in it already; resume the run or choose another folder";
            return Err(Error::Configuration { path: folder.to_path_buf(), problem: problem.into() });
        }
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let old: Value = serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
        let mut keys = Vec::new();
        differences("", &old, &recipe, &mut keys);
        keys.retain(|key| !FREE.contains(&key.as_str()));
        if !keys.is_empty() {
            let keys = keys.join(", ");
            return Err(refused(format!("the run to resume was begun with another recipe; these differ: {keys}")));
        }
        Ok(run)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.path("checkpoints"))
    }

    /// Whether nothing but what a killed process left half-written is in the folder.
    fn is_empty(&self) -> Result<bool> {
        for entry in fs::read_dir(&self.folder).map_err(Error::io(&self.folder))? {
            let name = entry.map_err(Error::io(&self.folder))?.file_name();
            if !name.to_string_lossy().ends_with(".part") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a file so that it is either the old or the new one, whole.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> Result<()> {
        replace(&self.path(name), text)
    }

    pub(super) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|error| Error::Configuration { path: self.path(name), problem: error.to_string() })?;
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Lines of a log, up to the first that a killed process left half-written.
    pub(super) fn lines<L: DeserializeOwned>(&self, name: &str) -> Result<Vec<L>> {
        let path = self.path(name);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(Error::io(&path))?,
        };
        Ok(text.split_inclusive('\n').map_while(|line| serde_json::from_str(line.strip_suffix('\n')?).ok()).collect())
    }

    /// Opens a log of a run that stands behind the lines that `kept` says; later lines are cut.
    pub(super) fn log<L: DeserializeOwned + Serialize>(
        &self,
        name: &'static str,
        kept: impl Fn(&L) -> bool,
    ) -> Result<Log> {
        let mut text = Vec::new();
        for line in self.lines::<L>(name)?.iter().filter(|line| kept(line)) {
            append(&mut text, line).map_err(Error::io(self.path(name)))?;
        }
        self.write(name, &text)?;
        let path = self.path(name);
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(&path))?;
        Ok(Log { path, file })
    }
}

/// A file of JSON lines that grows.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    pub(super) fn push(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = Vec::new();
        append(&mut text, line).and_then(|()| self.file.write_all(&text)).map_err(Error::io(&self.path))
    }

    /// Waits until all lines are on the disk: a checkpoint must not know more than the log.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.path))
    }
}

fn append(text: &mut Vec<u8>, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

/// Dotted keys whose values differ.
fn differences(prefix: &str, old: &Value, new: &Value, keys: &mut Vec<String>) {
    let place = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                differences(&place(key), value, new.get(key).unwrap_or(&Value::Null), keys);
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                differences(&place(key), &Value::Null, value, keys);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                differences(&place(&index.to_string()), old, new, keys);
            }
        }
        _ if old != new => keys.push(prefix.to_owned()),
        _ => {}
    }
}
