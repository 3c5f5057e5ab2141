//! What a training run tells whoever watches it.

use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::Duration;

/// One optimiser step; a line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Number of the step over all phases, from 1.
    pub step: u64,
    /// Number of the phase, from 0.
    pub phase: usize,
    /// Number of the epoch within the phase, from 0.
    pub epoch: u64,
    /// Mean training loss of the step's counted items.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Items worked through in the step.
    pub items: u64,
    /// Items a second.
    pub items_per_second: f64,
    /// Seconds of training since the run began, interruptions left out.
    pub seconds: f64,
    /// Steps that the phases known so far come to, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Time to the end at the present speed, if the number of steps is known.
    #[serde(skip)]
    pub remaining: Option<Duration>,
}

/// One measurement on the validation data; a line of `validation.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Steps taken before it.
    pub step: u64,
    /// Number of the phase, from 0.
    pub phase: usize,
    /// Epochs of the phase that are complete.
    pub epoch: u64,
    /// Mean validation loss.
    pub loss: f64,
    /// Share of examples answered rightly, where the source measures it.
    pub accuracy: Option<f64>,
    /// Whether this is the phase's lowest loss so far.
    pub best: bool,
}

/// Watches a run. Nothing that it does changes the result.
pub trait Progress {
    /// A phase begins or goes on, with this name and, if known, this many steps in all phases.
    fn phase(&mut self, name: &str, total: Option<u64>) {
        let _ = (name, total);
    }

    /// A step was taken. [`ControlFlow::Break`] saves a checkpoint and ends the run, to be resumed later.
    fn step(&mut self, step: &Step) -> ControlFlow<()> {
        let _ = step;
        ControlFlow::Continue(())
    }

    /// The validation loss was measured.
    fn validation(&mut self, validation: &Validation) {
        let _ = validation;
    }

    /// Something that a person should know: a damaged checkpoint, an early stop, a gate.
    fn note(&mut self, message: &str) {
        let _ = message;
    }
}

/// Nobody watches.
impl Progress for () {}
