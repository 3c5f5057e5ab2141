//! How many steps a phase has.

use super::cursor::Cursor;
use super::run::Run;
use super::source::Source;
use super::training::{Phase, Training};
use crate::{Error, Trainee};

/// Why a phase cannot be planned.
pub(super) enum Problem {
    /// The source failed.
    Source(Error),
    /// The recipe asks for what cannot be.
    Recipe(String),
}

impl Problem {
    pub(super) fn at(self, run: &Run) -> Error {
        match self {
            Self::Source(error) => error,
            Self::Recipe(problem) => Error::Configuration { path: run.path("recipe.json"), problem },
        }
    }
}

/// Steps of a phase by its epochs and steps, whichever is less; none when it is measured in minutes alone.
pub(super) fn steps<T: Trainee, S: Source<T>>(
    source: &mut S,
    training: &Training,
    phase: &Phase,
    number: usize,
) -> Result<Option<u64>, Problem> {
    let mut total = None;
    for epoch in 0..phase.epochs.unwrap_or(0) {
        let Some(batches) = source.batches(number, epoch).map_err(Problem::Source)? else {
            total = None;
            break;
        };
        total = Some(total.unwrap_or(0) + batches.div_ceil(training.batch.accumulate as u64));
    }
    let total = match (total, phase.steps) {
        (Some(by_epochs), Some(steps)) => Some(by_epochs.min(steps)),
        (by_epochs, steps) => by_epochs.or(steps),
    };
    if total.is_none() && phase.minutes.is_none() {
        let name = &phase.name;
        return Err(Problem::Recipe(format!(
            "phase {name:?}: the training data has no end, so give steps or minutes instead of epochs"
        )));
    }
    Ok(total)
}

/// Steps that the minutes reach, at the pace of the warm-up without its first step; none while that lasts.
pub(super) fn from_pace(training: &Training, phase: &Phase, cursor: &Cursor) -> Option<u64> {
    let warmup = training.schedule.warmup.steps(None)?;
    let minutes = phase.minutes?;
    if cursor.phase_step < warmup.max(2) {
        return None;
    }
    let pace = (cursor.phase_seconds - cursor.measured_from) / (cursor.phase_step - 1) as f64;
    let rest = (60.0 * minutes - cursor.phase_seconds).max(0.0) / pace.max(1e-9);
    Some(cursor.phase_step + rest as u64)
}
