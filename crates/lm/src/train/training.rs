//! What every recipe says about training, whatever the model: seed, length, batches, optimiser, schedule,
//! checkpoints, early stop and the phases of a curriculum.

use super::schedule::{Schedule, ScheduleKind, Warmup};
use crate::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The part of a recipe that all kinds of models share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// What all randomness is drawn from.
    pub seed: u64,
    /// Threads; 0 for as many as the machine has. The result does not depend on it.
    pub threads: usize,
    /// Passes over the training data. Where several of epochs, steps and minutes are given, the first that is reached
    /// ends the phase; where none is, one epoch.
    pub epochs: Option<u64>,
    /// Optimiser steps.
    pub steps: Option<u64>,
    /// Minutes of training. How many steps they come to depends on the machine; the summary says, and that number as
    /// `steps` repeats the run.
    pub minutes: Option<f64>,
    /// Whether activations are computed again in the backward pass instead of kept.
    pub checkpointing: bool,
    /// `[batch]`.
    pub batch: BatchSettings,
    /// `[optimizer]`.
    pub optimizer: OptimizerSettings,
    /// `[schedule]`.
    pub schedule: Schedule,
    /// `[checkpoint]`.
    pub checkpoint: CheckpointSettings,
    /// `[stop]`: the early stop; without the section there is none.
    pub stop: Option<StopSettings>,
    /// `[[phase]]`: the curriculum; without one the whole is a single phase.
    #[serde(rename = "phase")]
    pub phases: Vec<PhaseSettings>,
}

/// How many examples make a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSettings {
    /// Tokens (or other items) of a micro-batch.
    pub tokens: usize,
    /// Micro-batches of a step.
    pub accumulate: usize,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { tokens: 4096, accumulate: 1 }
    }
}

/// The optimiser and its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerSettings {
    /// Which.
    pub kind: OptimizerKind,
    /// Highest learning rate.
    pub rate: f64,
    /// Decay of the running means; the kind's own when not given (AdamW 0.9, 0.999; Lion 0.9, 0.99).
    pub betas: Option<[f64; 2]>,
    /// Added to AdamW's denominator.
    pub epsilon: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 for no limit.
    pub clip: f64,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self { kind: OptimizerKind::AdamW, rate: 3e-4, betas: None, epsilon: 1e-8, weight_decay: 0.0, clip: 1.0 }
    }
}

impl OptimizerSettings {
    /// Decay of the running means.
    pub fn betas(&self) -> [f64; 2] {
        self.betas.unwrap_or(match self.kind {
            OptimizerKind::AdamW => [0.9, 0.999],
            OptimizerKind::Lion => [0.9, 0.99],
        })
    }

    /// Largest norm of the gradient, if there is a limit.
    pub fn limit(&self) -> Option<f64> {
        (self.clip > 0.0).then_some(self.clip)
    }
}

/// Optimisers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay.
    AdamW,
    /// Sign of a running mean.
    Lion,
}

/// When the run is saved and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSettings {
    /// `"epoch"` or a number of steps. A phase's end is always saved. The validation loss is measured at the same
    /// times.
    pub every: Every,
    /// How many of the last are kept, besides the best.
    pub keep: usize,
    /// Whether a phase ends with the weights of its best validation loss instead of its last.
    pub restore_best: bool,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { every: Every::Epoch, keep: 2, restore_best: true }
    }
}

/// Distance of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "EveryText", into = "EveryText")]
pub enum Every {
    /// After each epoch.
    Epoch,
    /// After so many steps of a phase.
    Steps(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"epoch\" or a number of steps")]
enum EveryText {
    Steps(u64),
    Epoch(Epoch),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Epoch {
    Epoch,
}

impl From<EveryText> for Every {
    fn from(text: EveryText) -> Self {
        match text {
            EveryText::Steps(steps) => Self::Steps(steps),
            EveryText::Epoch(Epoch::Epoch) => Self::Epoch,
        }
    }
}

impl From<Every> for EveryText {
    fn from(every: Every) -> Self {
        match every {
            Every::Epoch => Self::Epoch(Epoch::Epoch),
            Every::Steps(steps) => Self::Steps(steps),
        }
    }
}

/// The early stop: a phase ends when the best validation loss has improved by less than a share over so many
/// validations in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopSettings {
    /// The share.
    pub improvement: f64,
    /// The validations: epochs, or intervals of `checkpoint.every` steps.
    pub epochs: usize,
}

impl Default for StopSettings {
    fn default() -> Self {
        Self { improvement: 0.05, epochs: 3 }
    }
}

/// One `[[phase]]` of a curriculum. What is not given is as in the rest of the recipe; a phase that gives one of
/// epochs, steps and minutes inherits none of the three.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseSettings {
    /// What logs and plots call it.
    pub name: String,
    /// Only examples of these difficulties.
    #[serde(default)]
    pub difficulty: Option<Vec<String>>,
    /// Training data of its own.
    #[serde(default)]
    pub train: Option<PathBuf>,
    /// Passes over the training data.
    #[serde(default)]
    pub epochs: Option<u64>,
    /// Optimiser steps.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Minutes.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// Highest learning rate.
    #[serde(default)]
    pub rate: Option<f64>,
    /// What must be reached for the next phase to begin.
    #[serde(default)]
    pub gate: Option<Gate>,
}

/// Bounds that the phase's validation has to meet; a run whose phase does not ends there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Highest validation loss.
    pub loss: Option<f64>,
    /// Lowest validation accuracy.
    pub accuracy: Option<f64>,
}

/// A phase with everything that it inherits.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// What logs and plots call it.
    pub name: String,
    /// Passes over the training data, at most.
    pub epochs: Option<u64>,
    /// Optimiser steps, at most.
    pub steps: Option<u64>,
    /// Minutes, at most.
    pub minutes: Option<f64>,
    /// Highest learning rate.
    pub rate: f64,
    /// What must be reached for the next phase to begin.
    pub gate: Option<Gate>,
}

impl Training {
    /// Top-level keys of a recipe that this part reads.
    pub const KEYS: [&'static str; 12] = [
        "seed",
        "threads",
        "epochs",
        "steps",
        "minutes",
        "checkpointing",
        "batch",
        "optimizer",
        "schedule",
        "checkpoint",
        "stop",
        "phase",
    ];

    /// The phases in order, at least one.
    pub fn phases(&self) -> Vec<Phase> {
        let (steps, minutes) = (self.steps, self.minutes);
        let epochs = if self.epochs.or(steps).is_none() && minutes.is_none() { Some(1) } else { self.epochs };
        let whole = Phase { name: "train".into(), epochs, steps, minutes, rate: self.optimizer.rate, gate: None };
        if self.phases.is_empty() {
            return vec![whole];
        }
        let phase = |own: &PhaseSettings| {
            let length = if own.epochs.or(own.steps).is_some() || own.minutes.is_some() {
                (own.epochs, own.steps, own.minutes)
            } else {
                (whole.epochs, whole.steps, whole.minutes)
            };
            Phase {
                name: own.name.clone(),
                epochs: length.0,
                steps: length.1,
                minutes: length.2,
                rate: own.rate.unwrap_or(whole.rate),
                gate: own.gate,
            }
        };
        self.phases.iter().map(phase).collect()
    }

    /// The pool to load, train and export in: `threads` of them.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn pool(&self) -> Result<ThreadPool> {
        let failed = |error: rayon::ThreadPoolBuildError| Error::Io {
            path: "threads".into(),
            source: std::io::Error::other(error),
        };
        ThreadPoolBuilder::new().num_threads(self.threads).build().map_err(failed)
    }

    /// Fills in what defaults depend on, and says what cannot be, naming the key; `accuracy` says whether one is
    /// measured.
    pub(super) fn resolve(&mut self, accuracy: bool) -> std::result::Result<(), String> {
        self.optimizer.betas = Some(self.optimizer.betas());
        self.check_numbers()?;
        for phase in self.phases() {
            self.check_phase(&phase)?;
            if !accuracy && phase.gate.is_some_and(|gate| gate.accuracy.is_some()) {
                let name = &phase.name;
                return Err(format!("phase {name:?}: gate.accuracy: no accuracy is measured here; bound gate.loss"));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> std::result::Result<(), String> {
        let optimizer = &self.optimizer;
        let finite = |value: f64| value.is_finite() && value >= 0.0;
        let decays = optimizer.betas().iter().all(|beta| (0.0..1.0).contains(beta));
        let share = match self.schedule.warmup {
            Warmup::Share(share) => (0.0..=1.0).contains(&share),
            Warmup::Steps(_) => true,
        };
        let stop = self.stop.unwrap_or_default();
        for (holds, problem) in [
            (self.batch.tokens > 0, "batch.tokens must be at least 1"),
            (self.batch.accumulate > 0, "batch.accumulate must be at least 1"),
            (decays, "optimizer.betas must be two numbers from 0 up to, but not including, 1"),
            (optimizer.epsilon > 0.0 && finite(optimizer.epsilon), "optimizer.epsilon must be greater than 0"),
            (finite(optimizer.weight_decay), "optimizer.weight_decay must be 0 or greater"),
            (finite(optimizer.clip), "optimizer.clip must be 0 (no limit) or greater"),
            (share, "schedule.warmup as a share must be from 0 to 1; a number of steps is written without a point"),
            (self.checkpoint.every != Every::Steps(0), "checkpoint.every must be \"epoch\" or at least 1 step"),
            (self.checkpoint.keep > 0, "checkpoint.keep must be at least 1, or there is nothing to resume from"),
            (finite(stop.improvement), "stop.improvement must be 0 or greater"),
            (stop.epochs > 0, "stop.epochs must be at least 1"),
        ] {
            if !holds {
                return Err(problem.into());
            }
        }
        Ok(())
    }

    fn check_phase(&self, phase: &Phase) -> std::result::Result<(), String> {
        let place = if self.phases.is_empty() { String::new() } else { format!("phase {:?}: ", phase.name) };
        let problem = if !(phase.rate.is_finite() && phase.rate > 0.0) {
            "the rate must be greater than 0"
        } else if phase.minutes.is_some_and(|minutes| !(minutes.is_finite() && minutes > 0.0)) {
            "minutes must be greater than 0"
        } else if phase.epochs == Some(0) || phase.steps == Some(0) {
            "epochs and steps must be at least 1"
        } else if self.needs_plan(phase) && !matches!(self.schedule.warmup, Warmup::Steps(10..)) {
            "a schedule that falls over minutes needs schedule.warmup of at least 10 steps, over which the speed is \
             measured; or give steps or epochs, or schedule.kind = \"constant\""
        } else {
            return Ok(());
        };
        Err(place + problem)
    }

    /// Whether the number of steps has to be worked out from minutes and speed, because the schedule asks for it and
    /// nothing else says it.
    pub(super) fn needs_plan(&self, phase: &Phase) -> bool {
        let falls = self.schedule.kind != ScheduleKind::Constant || matches!(self.schedule.warmup, Warmup::Share(_));
        falls && phase.minutes.is_some() && phase.epochs.is_none() && phase.steps.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_inherits_what_it_does_not_say() {
        let text = "epochs = 2\n[optimizer]\nrate = 1e-5\n[[phase]]\nname = \"easy\"\n\
                    [[phase]]\nname = \"hard\"\nsteps = 7\nrate = 5e-6\ngate = { accuracy = 0.9 }\n";
        let training: Training = toml::from_str(text).expect("a recipe");
        let phases = training.phases();
        assert_eq!((phases[0].epochs, phases[0].steps, phases[0].rate), (Some(2), None, 1e-5));
        assert_eq!((phases[1].epochs, phases[1].steps, phases[1].rate), (None, Some(7), 5e-6));
        assert_eq!(phases[1].gate, Some(Gate { loss: None, accuracy: Some(0.9) }));
        assert_eq!(Training::default().phases()[0].epochs, Some(1));
    }

    #[test]
    fn a_gate_on_what_is_not_measured_is_refused_at_once() {
        let text = "[[phase]]\nname = \"easy\"\ngate = { accuracy = 0.9 }\n";
        let mut training: Training = toml::from_str(text).expect("a recipe");
        training.resolve(true).expect("an accuracy is measured");
        let problem = training.resolve(false).expect_err("none is");
        assert!(problem.contains("\"easy\"") && problem.contains("gate.accuracy"), "{problem}");
    }

    #[test]
    fn numbers_that_cannot_be_are_named() {
        for (text, key) in [
            ("[batch]\ntokens = 0", "batch.tokens"),
            ("[batch]\naccumulate = 0", "batch.accumulate"),
            ("[optimizer]\nbetas = [0.9, 1.0]", "optimizer.betas"),
            ("[optimizer]\nrate = nan", "rate"),
            ("[optimizer]\nclip = -1.0", "optimizer.clip"),
            ("[schedule]\nwarmup = 1.5", "schedule.warmup"),
            ("[checkpoint]\nevery = 0", "checkpoint.every"),
            ("[checkpoint]\nkeep = 0", "checkpoint.keep"),
            ("[stop]\nepochs = 0", "stop.epochs"),
            ("epochs = 0", "epochs"),
            ("minutes = 5", "schedule.warmup of at least 10 steps"),
            ("[[phase]]\nname = \"easy\"\nsteps = 0", "phase \"easy\""),
        ] {
            let mut training: Training = toml::from_str(text).expect(text);
            let problem = training.resolve(true).expect_err(text);
            assert!(problem.contains(key), "{problem}");
        }
        let mut training: Training =
            toml::from_str("minutes = 5\n[schedule]\nkind = \"constant\"\n[checkpoint]\nevery = 50").expect("a recipe");
        training.resolve(true).expect("minutes at a constant rate");
        assert_eq!(training.checkpoint.every, Every::Steps(50));
    }
}
