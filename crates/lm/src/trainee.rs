//! What a trainer needs of a model.

use crate::{Parameters, Result};
use std::ops::AddAssign;
use std::path::Path;

/// A sum of losses and of what they are the mean over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum over counted items (tokens of completions, cases).
    pub sum: f64,
    /// Number of counted items.
    pub count: u64,
}

impl Loss {
    /// Mean loss; not a number when nothing was counted.
    pub fn mean(self) -> f64 {
        self.sum / self.count as f64
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// A model in training. It holds its parameters; the trainer holds the optimiser, the schedule and the files.
pub trait Trainee {
    /// What one forward and backward pass takes: one micro-batch.
    type Batch: Sync;

    /// Number of items of a batch that the loss counts. Known before the pass, because the gradient of a step is
    /// that of the mean over all its micro-batches.
    fn counted(&self, batch: &Self::Batch) -> u64;

    /// Number of items that a pass over the batch works through, also those that the loss does not count (all tokens,
    /// not only those of completions). Speed is measured in them.
    fn items(&self, batch: &Self::Batch) -> u64 {
        self.counted(batch)
    }

    /// Forward and backward. Adds the gradient of `sum of losses * scale` to the parameters' gradients.
    /// `draw` seeds whatever is random in the pass (dropout), so that a repeated pass gives the same bits.
    fn accumulate(&mut self, batch: &Self::Batch, scale: f32, draw: u64) -> Result<Loss>;

    /// Forward alone, without randomness.
    fn evaluate(&mut self, batch: &Self::Batch) -> Result<Loss>;

    /// The trained numbers.
    fn parameters(&self) -> &Parameters;

    /// The trained numbers, to change them.
    fn parameters_mut(&mut self) -> &mut Parameters;

    /// Writes what others load: a checkpoint folder or an adapter folder, without the trainer's own state.
    fn export(&self, folder: &Path) -> Result<()>;
}
