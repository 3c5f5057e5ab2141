//! A model of alerts with the plan of its features.

use std::path::{Path, PathBuf};

use deciders::trees::Artifact;
use desks::alerts::{AlertModel, Plan};

use crate::{Error, LoadError, Slot};

/// As health, version and metrics name a model.
fn slot_name(model: AlertModel) -> &'static str {
    match model {
        AlertModel::Scorer => "alert_scorer",
        AlertModel::Ranker => "alert_ranker",
        AlertModel::Cluster => "cluster_scorer",
    }
}

/// A model, ready to answer.
pub struct AlertsEngine {
    /// The model.
    pub artifact: Artifact,
    /// Its features.
    pub plan: Plan,
    /// What answers name: the program's version and the start of the content hash.
    pub version: String,
}

impl AlertsEngine {
    fn load(path: &Path, model: AlertModel) -> Result<Self, LoadError> {
        let artifact = Artifact::load(path, model.kind())?;
        let plan = model.plan(&artifact.model().feature_names, !path.is_dir())?;
        let identity = artifact.identity();
        let version = format!("{}+{}", identity.version, &identity.hash[..12]);
        Ok(Self { artifact, plan, version })
    }

    /// The place of a model: which it is, as `KIND=PATH` says or the manifest in the folder, and how it is
    /// loaded.
    ///
    /// # Errors
    /// When neither says what the model answers.
    pub(crate) fn slot(text: &str) -> Result<(AlertModel, Slot<Self>), Error> {
        let stated = AlertModel::ALL.into_iter().find_map(|model| {
            let path = text.strip_prefix(model.name())?.strip_prefix('=')?;
            Some((model, PathBuf::from(path)))
        });
        let (model, path) = match stated {
            Some(stated) => stated,
            None => {
                let path = PathBuf::from(text);
                let kind = Artifact::kind(&path).map_err(|error| Error::Artifact(Box::new(error)))?;
                let model = kind.and_then(|kind| AlertModel::of_kind(&kind));
                (model.ok_or_else(|| Error::AlertModel(path.clone()))?, path)
            }
        };
        let files: Vec<PathBuf> =
            if path.is_dir() { vec![path.join("manifest.json"), path.join("model.txt")] } else { vec![path.clone()] };
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let slot = Slot::new(slot_name(model), &files, {
            let path = path.clone();
            move || {
                let engine = Self::load(&path, model)?;
                let identity = engine.artifact.identity().clone();
                Ok((engine, identity))
            }
        });
        Ok((model, slot))
    }
}
