//! The alerts desk on the command line.

mod data;
pub(crate) mod evaluate;
pub(crate) mod features;
pub(crate) mod generate;
pub(crate) mod import;
mod measure;
pub(crate) mod train;
pub(crate) mod tune;

use clap::ValueEnum;

/// Which of the desk's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelKind {
    /// How likely is an alert right?
    Scorer,
    /// Which alerts of a batch come first?
    Ranker,
    /// How likely is a cluster worth a report?
    Cluster,
}

impl ModelKind {
    /// As manifests name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scorer => "alerts/scorer",
            Self::Ranker => "alerts/ranker",
            Self::Cluster => "alerts/cluster",
        }
    }

    /// The kind that a manifest names.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Scorer, Self::Ranker, Self::Cluster].into_iter().find(|kind| kind.name() == name)
    }

    /// What its rows are.
    pub(crate) fn rows(self) -> desks::alerts::Kind {
        if self == Self::Cluster { desks::alerts::Kind::Cluster } else { desks::alerts::Kind::Alert }
    }
}
