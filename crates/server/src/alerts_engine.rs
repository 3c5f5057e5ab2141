//! A model of alerts with the plan of its features.

use std::path::{Path, PathBuf};

use deciders::trees::Artifact;
use desks::alerts::{Kind, Plan};

use crate::{Error, LoadError, Slot};

/// What an alert model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertModel {
    /// How likely is an alert right?
    Scorer,
    /// Which alerts come first?
    Ranker,
    /// How likely is a cluster worth a report?
    Cluster,
}

impl AlertModel {
    /// Every model, in the order in which health and metrics name them.
    pub const ALL: [Self; 3] = [Self::Scorer, Self::Ranker, Self::Cluster];

    /// As manifests name it.
    fn kind(self) -> &'static str {
        match self {
            Self::Scorer => "alerts/scorer",
            Self::Ranker => "alerts/ranker",
            Self::Cluster => "alerts/cluster",
        }
    }

    /// As `--alerts KIND=PATH` names it.
    fn short(self) -> &'static str {
        match self {
            Self::Scorer => "scorer",
            Self::Ranker => "ranker",
            Self::Cluster => "cluster",
        }
    }

    /// As health, version and metrics name it.
    fn slot_name(self) -> &'static str {
        match self {
            Self::Scorer => "alert_scorer",
            Self::Ranker => "alert_ranker",
            Self::Cluster => "cluster_scorer",
        }
    }

    fn rows(self) -> Kind {
        if self == Self::Cluster { Kind::Cluster } else { Kind::Alert }
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
        let names = &artifact.model().feature_names;
        let plan = if path.is_dir() { Plan::named(model.rows(), names)? } else { Plan::foreign(model.rows(), names)? };
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
            let path = text.strip_prefix(model.short())?.strip_prefix('=')?;
            Some((model, PathBuf::from(path)))
        });
        let (model, path) = match stated {
            Some(stated) => stated,
            None => {
                let path = PathBuf::from(text);
                let kind = Artifact::kind(&path).map_err(|error| Error::Artifact(Box::new(error)))?;
                let model = kind.and_then(|kind| AlertModel::ALL.into_iter().find(|model| model.kind() == kind));
                (model.ok_or_else(|| Error::AlertModel(path.clone()))?, path)
            }
        };
        let files: Vec<PathBuf> =
            if path.is_dir() { vec![path.join("manifest.json"), path.join("model.txt")] } else { vec![path.clone()] };
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let slot = Slot::new(model.slot_name(), &files, {
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
