//! Where a trainer's batches come from.

use crate::{Result, Trainee};

/// Training and validation data of a run, for trainees of one kind.
///
/// What a source gives may depend on nothing but its own configuration and the arguments: a resumed run asks again,
/// and must get the same.
pub trait Source<T: Trainee> {
    /// Number of micro-batches of an epoch; none when they are made without end, and then the phase must be measured
    /// in steps or minutes.
    ///
    /// # Errors
    /// When the data of the phase cannot be read.
    fn batches(&mut self, phase: usize, epoch: u64) -> Result<Option<u64>>;

    /// A micro-batch of an epoch, by its number from 0, or none after the last. Asked for in order, except that a
    /// resumed run begins in the middle.
    ///
    /// # Errors
    /// When the data cannot be read or used.
    fn batch(&mut self, phase: usize, epoch: u64, index: u64) -> Result<Option<T::Batch>>;

    /// A validation batch of a phase, by its number from 0, or none after the last. None at 0 when there is no
    /// validation data.
    ///
    /// # Errors
    /// When the data cannot be read or used.
    fn validation(&mut self, phase: usize, index: u64) -> Result<Option<T::Batch>>;

    /// Share of validation examples that the trainee answers rightly, for gates on accuracy; none when this source
    /// does not measure it. Called after each measurement of the validation loss.
    ///
    /// # Errors
    /// When the data cannot be read or an answer cannot be worked out.
    fn accuracy(&mut self, trainee: &mut T, phase: usize) -> Result<Option<f64>> {
        let _ = (trainee, phase);
        Ok(None)
    }
}
