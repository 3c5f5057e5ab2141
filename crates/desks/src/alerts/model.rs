//! Which models the desk has.

use super::features::{Kind, Plan, UnknownFeature};

/// What a model of alerts answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertModel {
    /// How likely is an alert right?
    Scorer,
    /// Which alerts of a batch come first?
    Ranker,
    /// How likely is a cluster worth a report?
    Cluster,
}

impl AlertModel {
    /// Every model.
    pub const ALL: [Self; 3] = [Self::Scorer, Self::Ranker, Self::Cluster];

    /// As options name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scorer => "scorer",
            Self::Ranker => "ranker",
            Self::Cluster => "cluster",
        }
    }

    /// As manifests name it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Scorer => "alerts/scorer",
            Self::Ranker => "alerts/ranker",
            Self::Cluster => "alerts/cluster",
        }
    }

    /// The model that a manifest names.
    pub fn of_kind(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.kind() == kind)
    }

    /// What its rows are.
    pub fn rows(self) -> Kind {
        if self == Self::Cluster { Kind::Cluster } else { Kind::Alert }
    }

    /// The plan of a trained model's features; `foreign` for a model file that was not trained here.
    ///
    /// # Errors
    /// As [`Plan::named`] and [`Plan::foreign`].
    pub fn plan(self, names: &[String], foreign: bool) -> Result<Plan, UnknownFeature> {
        if foreign { Plan::foreign(self.rows(), names) } else { Plan::named(self.rows(), names) }
    }
}
