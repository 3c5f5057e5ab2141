//! Boosted trees as an artifact: a folder with the model in LightGBM's text format and a manifest that says
//! what it was trained on and how its scores are calibrated.

use std::path::{Path, PathBuf};

use ::trees::{Compiled, Model, ModelError, Predictor};
use decision::Identity;
use serde::{Deserialize, Serialize};

use crate::calibration::Logistic;
use crate::sha256;

/// The version of the manifest that this program writes.
const FORMAT: u32 = 1;

/// What is written beside the model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this structure.
    pub format: u32,
    /// What is scored, for example `alerts/scorer`.
    pub kind: String,
    /// Version of the program that trained.
    pub version: String,
    /// SHA-256 of `model.txt`.
    pub model_sha256: String,
    /// Columns of a row, in order.
    pub features: Vec<String>,
    /// Training parameters, by LightGBM's names.
    pub parameters: Vec<(String, String)>,
    /// What it was trained on.
    pub data: DataCard,
    /// From raw sums to probabilities; absent for rankers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Logistic>,
    /// Where a case counts as positive; absent for rankers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// Figures on the test split, by name.
    pub metrics: serde_json::Map<String, serde_json::Value>,
}

/// What a model was trained on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DataCard {
    /// SHA-256 over the features and labels of the training rows, in order.
    pub sha256: String,
    /// Rows trained on.
    pub train_rows: usize,
    /// Rows for early stopping and calibration.
    pub validation_rows: usize,
    /// Rows tested on.
    pub test_rows: usize,
    /// First and last day of the training split.
    pub train_days: (String, String),
    /// First and last day of the test split.
    pub test_days: (String, String),
}

/// A score from which a case is positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The score.
    pub score: f64,
    /// The recall on the validation split that it was chosen for.
    pub recall: f64,
}

/// An artifact that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not what it should be.
    #[error("{} is no manifest: {problem}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The model is not what it should be.
    #[error("failed to read {}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ModelError,
    },
    /// The files do not belong together.
    #[error("{}: {problem}", path.display())]
    Mismatch {
        /// The folder.
        path: PathBuf,
        /// What does not fit.
        problem: &'static str,
    },
}

/// A model with its manifest, ready to score.
#[derive(Clone, Debug)]
pub struct Artifact {
    manifest: Manifest,
    model: Model,
    compiled: Compiled,
    identity: Identity,
}

/// A scored row.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// The calibrated probability where there is a calibration, else the model's own score.
    pub score: f64,
    /// Raw sum.
    pub sum: f64,
    /// The columns that contributed most, largest first, each with its contribution to the raw sum.
    pub top: Vec<(usize, f64)>,
}

impl Artifact {
    /// Puts a trained model and its manifest together.
    pub fn new(model: Model, mut manifest: Manifest) -> Self {
        let text = model.to_text();
        manifest.format = FORMAT;
        manifest.version = env!("CARGO_PKG_VERSION").to_owned();
        manifest.features = model.feature_names.clone();
        manifest.parameters = model.parameters.clone();
        manifest.model_sha256 = sha256(text.as_bytes());
        let compiled = Compiled::new(&model);
        let identity = identity(&manifest);
        Self { manifest, model, compiled, identity }
    }

    /// The kind that the manifest in a folder states; nothing for a model file alone.
    ///
    /// # Errors
    /// When there is a folder without a readable manifest.
    pub fn kind(path: &Path) -> Result<Option<String>, Error> {
        if path.is_file() {
            return Ok(None);
        }
        let place = path.join("manifest.json");
        let text = std::fs::read(&place).map_err(|source| Error::Open { path: place.clone(), source })?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| Error::Manifest { path: place, problem: error.to_string() })?;
        Ok(Some(manifest.kind))
    }

    /// Reads an artifact's folder, whose manifest must state this kind, or a model file of LightGBM alone,
    /// which is not calibrated and is taken for one of this kind.
    ///
    /// # Errors
    /// When a file is missing or broken, or model and manifest do not belong together.
    pub fn load(path: &Path, kind: &str) -> Result<Self, Error> {
        let read = |path: &Path| std::fs::read(path).map_err(|source| Error::Open { path: path.to_owned(), source });
        if path.is_file() {
            let text = read(path)?;
            let sum = sha256(&text);
            let model = parse(path, text)?;
            let mut artifact = Self::new(model, Manifest { kind: kind.to_owned(), ..Manifest::default() });
            // What is named is the file that was given.
            artifact.manifest.model_sha256 = sum;
            artifact.identity = identity(&artifact.manifest);
            return Ok(artifact);
        }
        let place = path.join("manifest.json");
        let problem = |problem: String| Error::Manifest { path: place.clone(), problem };
        let manifest: Manifest = serde_json::from_slice(&read(&place)?).map_err(|error| problem(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(problem(format!("format {} is not known, only {FORMAT}", manifest.format)));
        }
        if manifest.kind != kind {
            return Err(problem(format!("it is a model of kind `{}`, not `{kind}`", manifest.kind)));
        }
        if manifest.calibration.is_some_and(|calibration| !calibration.is_monotone()) {
            return Err(problem("the calibration's slope is not a number above 0".to_owned()));
        }
        let place = path.join("model.txt");
        let text = read(&place)?;
        let mismatch = |problem| Error::Mismatch { path: path.to_owned(), problem };
        if sha256(&text) != manifest.model_sha256 {
            return Err(mismatch("model.txt is not the model that the manifest describes"));
        }
        let model = parse(&place, text)?;
        if model.feature_names != manifest.features {
            return Err(mismatch("the features of model and manifest differ"));
        }
        let (compiled, identity) = (Compiled::new(&model), identity(&manifest));
        Ok(Self { manifest, model, compiled, identity })
    }

    /// Writes the folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let write = |name: &str, content: String| {
            let path = folder.join(name);
            lm::replace(&path, content.as_bytes()).map_err(|error| match error {
                lm::Error::Io { source, .. } => Error::Open { path, source },
                other => Error::Open { path, source: std::io::Error::other(other) },
            })
        };
        std::fs::create_dir_all(folder).map_err(|source| Error::Open { path: folder.to_owned(), source })?;
        write("model.txt", self.model.to_text())?;
        let manifest = serde_json::to_string_pretty(&self.manifest).expect("a manifest is JSON");
        write("manifest.json", manifest + "\n")
    }

    /// What is known of the model.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who decides.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model as it is run.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Turns a raw sum into a score.
    pub fn score(&self, sum: f64) -> f64 {
        match &self.manifest.calibration {
            Some(calibration) => calibration.apply(sum),
            None => {
                let mut score = [sum];
                self.model.transform(&mut score);
                score[0]
            }
        }
    }

    /// Scores rows of a model of one class, and names the `top` largest contributions of each where the
    /// model explains.
    pub fn score_rows(&self, rows: &[f64], top: usize) -> Vec<Scored> {
        let mut predictor = Predictor::new(&self.compiled);
        let features = self.compiled.features();
        let count = rows.len() / features.max(1);
        let mut sums = vec![0.0; count];
        predictor.raw(rows, &mut sums);
        let mut scored: Vec<Scored> =
            sums.into_iter().map(|sum| Scored { score: self.score(sum), sum, top: Vec::new() }).collect();
        if top > 0 && self.compiled.explains() {
            let mut contributions = vec![0.0; count * (features + 1)];
            predictor.contributions(rows, &mut contributions);
            for (scored, row) in scored.iter_mut().zip(contributions.chunks_exact(features + 1)) {
                scored.top = largest(&row[..features], top);
            }
        }
        scored
    }
}

/// The largest contributions by size; of equal ones the earlier column's.
fn largest(row: &[f64], count: usize) -> Vec<(usize, f64)> {
    let mut list: Vec<(usize, f64)> = row.iter().copied().enumerate().filter(|(_, value)| *value != 0.0).collect();
    let order = |a: &(usize, f64), b: &(usize, f64)| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0));
    if list.len() > count {
        list.select_nth_unstable_by(count - 1, order);
        list.truncate(count);
    }
    list.sort_by(order);
    list
}

fn parse(path: &Path, text: Vec<u8>) -> Result<Model, Error> {
    let text = String::from_utf8_lossy(&text);
    let model = Model::parse(&text).map_err(|source| Error::Model { path: path.to_owned(), source })?;
    if model.classes == 1 {
        Ok(model)
    } else {
        Err(Error::Mismatch { path: path.to_owned(), problem: "a model of one class is needed" })
    }
}

fn identity(manifest: &Manifest) -> Identity {
    // The hash covers what decides: the model and how its sums become scores.
    let calibration = serde_json::to_string(&(&manifest.calibration, &manifest.threshold)).unwrap_or_default();
    Identity {
        name: format!("trees:{}", manifest.kind),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hash: sha256(format!("{}{calibration}", manifest.model_sha256).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_contributions_come_first() {
        assert_eq!(largest(&[0.1, -3.0, 0.0, 3.0, 2.0], 3), [(1, -3.0), (3, 3.0), (4, 2.0)]);
        assert_eq!(largest(&[0.0, 1.0], 5), [(1, 1.0)]);
    }
}
