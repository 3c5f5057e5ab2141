//! What a run came to.

use serde::{Deserialize, Serialize};

/// `summary.json` of a run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this crate.
    pub version: String,
    /// What all randomness was drawn from.
    pub seed: u64,
    /// Why the run ended.
    pub ending: Ending,
    /// Optimiser steps taken; as `steps` of the recipe, they repeat a run that was measured in minutes.
    pub steps: u64,
    /// Items worked through.
    pub items: u64,
    /// Seconds from beginning to end, interruptions left out.
    pub seconds: f64,
    /// Items a second over the whole run.
    pub items_per_second: f64,
    /// Training loss of the first step.
    pub first_loss: Option<f64>,
    /// Training loss of the last step.
    pub last_loss: Option<f64>,
    /// Each phase that was begun and ended.
    pub phases: Vec<PhaseSummary>,
}

/// One phase of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// Its name.
    pub name: String,
    /// Why it ended.
    pub ending: Ending,
    /// Optimiser steps taken in it.
    pub steps: u64,
    /// Training loss of its last step.
    pub last_loss: Option<f64>,
    /// Validation loss of the weights that the phase left.
    pub validation_loss: Option<f64>,
    /// Their accuracy, where the source measures it.
    pub accuracy: Option<f64>,
    /// The step whose weights the phase left.
    pub weights_of_step: u64,
}

/// Why a phase or a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// As long as the recipe says.
    Length,
    /// The early stop.
    Plateau,
    /// A gate was not passed; later phases were not begun.
    Gate,
    /// Who watches the run asked for it; it can be resumed.
    Interrupted,
}
