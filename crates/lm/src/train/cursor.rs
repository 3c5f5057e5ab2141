//! Where a run stands: all that a resumed run needs besides the numbers of model and optimiser.

use super::stop::Plateau;
use super::summary::{Ending, PhaseSummary};
use serde::{Deserialize, Serialize};

/// Place and history of a run, saved with each checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    /// Optimiser steps taken in all phases.
    pub(super) step: u64,
    /// Number of the phase; the number of phases when the run has ended.
    pub(super) phase: usize,
    /// Optimiser steps taken in the phase.
    pub(super) phase_step: u64,
    /// Number of the epoch within the phase.
    pub(super) epoch: u64,
    /// Optimiser steps taken in the epoch.
    pub(super) epoch_step: u64,
    /// Number of the next micro-batch of the epoch.
    pub(super) batch: u64,
    /// Micro-batches passed through in all, which numbers what is drawn at random.
    pub(super) draws: u64,
    /// Items worked through.
    pub(super) items: u64,
    /// Seconds of the run.
    pub(super) seconds: f64,
    /// Seconds of the phase.
    pub(super) phase_seconds: f64,
    /// Seconds of the phase when its first step was done, from where speed is measured.
    pub(super) measured_from: f64,
    /// Steps of the phase as worked out from minutes and speed.
    pub(super) planned: Option<u64>,
    /// Validation losses of the phase.
    pub(super) plateau: Plateau,
    /// The lowest of them.
    pub(super) best: Option<Best>,
    /// Loss of the run's first step.
    pub(super) first_loss: Option<f64>,
    /// Loss of the last step.
    pub(super) last_loss: Option<f64>,
    /// The phases that have ended.
    pub(super) ended: Vec<PhaseSummary>,
    /// Why the run has ended, if it has.
    pub(super) ending: Option<Ending>,
}

/// The lowest validation loss of a phase and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Best {
    /// The checkpoint.
    pub(super) step: u64,
    /// Validation loss.
    pub(super) loss: f64,
    /// Share of examples answered rightly, where it is measured.
    pub(super) accuracy: Option<f64>,
}

impl Cursor {
    /// Goes to the next phase, or to the end when there is an ending.
    pub(super) fn next_phase(&mut self, summary: PhaseSummary, phases: usize, ending: Option<Ending>) {
        self.ended.push(summary);
        self.phase = if ending.is_some() { phases } else { self.phase + 1 };
        self.ending = ending;
        self.phase_step = 0;
        self.epoch = 0;
        self.epoch_step = 0;
        self.batch = 0;
        self.phase_seconds = 0.0;
        self.measured_from = 0.0;
        self.planned = None;
        self.plateau = Plateau::default();
        self.best = None;
    }

    /// What the next pass draws its randomness from: well mixed from the seed and the number of the pass
    /// (SplitMix64, Steele et al. 2014).
    pub(super) fn draw(&mut self, seed: u64) -> u64 {
        self.draws += 1;
        let mix = |mut z: u64| {
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        mix(mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_add(self.draws.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }
}
