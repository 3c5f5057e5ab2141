//! A trained model of a desk as an artifact: the folder of its training run, sealed with a manifest that names every
//! file of `model/` by its digest.
//!
//! The manifest is written last and at once, so that a folder whose training was cut short is never opened.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use decision::Identity;
use lm::{Precision, WeightStorage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::calibration::Calibration;
use crate::sha256;

/// The version of the manifest that this program writes and reads.
const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";

/// What is written beside the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this structure.
    pub format: u32,
    /// Whose cases it decides.
    pub desk: String,
    /// What kind of model it is.
    pub kind: Kind,
    /// Version of the program that trained.
    pub version: String,
    /// What the model reads of a case, and in which version: another program may read cases differently.
    pub input: String,
    /// In what matrix products run.
    pub precision: Precision,
    /// Tokens that an answer may have; none where answers have no tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_tokens: Option<usize>,
    /// How its scores become probabilities, and where a case counts as positive; none where nothing was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// SHA-256 of each file of `model/`.
    pub files: BTreeMap<String, String>,
    /// What it was trained with.
    pub recipe: Value,
    /// How training went.
    pub training: Value,
    /// Figures on each validation set.
    pub scorecards: Vec<Value>,
}

/// Kinds of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A structured transformer with a head for each question.
    Multihead,
    /// A decoder that writes its answer.
    Decoder,
}

impl Kind {
    /// As manifests and recipes write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Multihead => "multihead",
            Self::Decoder => "decoder",
        }
    }
}

/// An artifact that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder is no artifact, or not one for this program, this desk or this decider.
    #[error("{}: {problem}", path.display())]
    Unfit {
        /// The folder or the file in it.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] lm::Error),
    /// The system gives no threads.
    #[error("threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// What is known of a manifest before it is read as one of ours.
#[derive(Deserialize)]
struct Header {
    format: Option<u32>,
    desk: Option<String>,
    kind: Option<String>,
    version: Option<String>,
}

impl Manifest {
    /// Whether a folder has one: it is, or says that it is, an artifact.
    pub fn is_in(folder: &Path) -> bool {
        Self::path(folder).exists()
    }

    /// Where in a folder it is.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(MANIFEST)
    }

    /// Reads the manifest of a folder and checks that the files of the model are those that it names.
    ///
    /// # Errors
    /// When the folder is no artifact of the desk in a form that this program reads, or a file was changed.
    pub fn open(folder: &Path, desk: &str) -> Result<Self, Error> {
        let path = folder.join(MANIFEST);
        let unfit = |problem: String| Error::Unfit { path: path.clone(), problem };
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(unsealed(folder)),
            text => text.map_err(|source| Error::File { path: path.clone(), source })?,
        };
        let header: Header = serde_json::from_slice(&text).map_err(|error| unfit(error.to_string()))?;
        let kind = header.kind.unwrap_or_default();
        match header.desk {
            None => return Err(unfit(format!("it is a model of `{kind}`, not one of the desk `{desk}`"))),
            Some(other) if other != desk => {
                return Err(unfit(format!("it is a model of the desk `{other}`, not of `{desk}`")));
            }
            Some(_) => {}
        }
        if header.format != Some(FORMAT) {
            let (format, version) = (header.format.unwrap_or_default(), header.version.unwrap_or_default());
            let problem = format!("format {format} is not known, only {FORMAT}: train again, or use version {version}");
            return Err(unfit(problem));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| unfit(error.to_string()))?;
        if manifest.calibration.as_ref().is_some_and(|calibration| !calibration.curve.is_sound()) {
            return Err(unfit("the calibration is no rising curve: fit it again by `probity calibrate`".to_owned()));
        }
        manifest.check_files(folder)?;
        Ok(manifest)
    }

    /// Takes down the digests of the model's files as they are.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn seal(&mut self, folder: &Path) -> Result<(), Error> {
        self.format = FORMAT;
        self.files = digests(&folder.join(super::MODEL))?;
        Ok(())
    }

    /// Writes the manifest, which makes the folder an artifact.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("a manifest is JSON") + "\n";
        Ok(lm::replace(&folder.join(MANIFEST), text.as_bytes())?)
    }

    /// Who decides: the hash covers the weights and how they are held, how cases come to them and how scores become
    /// probabilities, and neither figures nor the past.
    pub fn identity(&self, storage: WeightStorage) -> Identity {
        let mut text = format!("{} {} {:?} {:?}\n", self.desk, self.input, self.precision, self.answer_tokens);
        for (name, digest) in &self.files {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{digest}  {name}");
        }
        if storage != WeightStorage::Plain {
            let _ = writeln!(text, "{storage:?}");
        }
        if let Some(calibration) = &self.calibration {
            let _ = writeln!(text, "{}", serde_json::to_string(&calibration.curve).expect("a curve is JSON"));
        }
        Identity {
            name: format!("{}:{}", self.kind.name(), self.desk),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hash: sha256(text.as_bytes()),
        }
    }

    /// Refuses what was trained for a program that reads cases in another way.
    ///
    /// # Errors
    /// When `input` is not the manifest's.
    pub fn check_input(&self, folder: &Path, input: &str) -> Result<(), Error> {
        if self.input == input {
            return Ok(());
        }
        let (own, version) = (&self.input, &self.version);
        let problem = format!("it reads `{own}`, this program writes `{input}`: train again, or use version {version}");
        Err(Error::Unfit { path: folder.join(MANIFEST), problem })
    }

    fn check_files(&self, folder: &Path) -> Result<(), Error> {
        let place = folder.join(super::MODEL);
        let found = digests(&place)?;
        let names = self.files.keys().chain(found.keys());
        match names.into_iter().find(|name| self.files.get(*name) != found.get(*name)) {
            None => Ok(()),
            Some(name) => {
                let problem = "it is not what the manifest names: copy the artifact again, or train again".to_owned();
                Err(Error::Unfit { path: place.join(name), problem })
            }
        }
    }
}

/// What a folder without a manifest is.
fn unsealed(folder: &Path) -> Error {
    let problem = if folder.join("recipe.json").exists() {
        "its training has not ended, or has not passed a gate: `train … --resume` goes on with it, or says so"
    } else {
        "there is no manifest.json: it is no artifact"
    };
    Error::Unfit { path: folder.to_owned(), problem: problem.to_owned() }
}

/// SHA-256 of each file of a folder, which may have files alone.
fn digests(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.insert(name, sha256(&std::fs::read(&path).map_err(failed(&path))?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_depends_on_how_weights_are_held() {
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "format": FORMAT, "desk": "transactions", "kind": "decoder", "version": "1", "input": "words 1",
            "precision": "bf16", "files": {"model.safetensors": "00"}, "recipe": {}, "training": {}, "scorecards": []
        }))
        .expect("a manifest");
        let identities =
            [WeightStorage::Plain, WeightStorage::Int8, WeightStorage::Nf4].map(|held| manifest.identity(held));
        assert_eq!(identities[0], manifest.identity(WeightStorage::Plain));
        assert!(identities[0] != identities[1] && identities[1] != identities[2] && identities[0] != identities[2]);
    }
}
