//! How the program ends: documented exit codes, and one place that prints errors.

use std::io;
use std::process::ExitCode;

/// Done, and nothing failed.
pub(crate) const DONE: ExitCode = ExitCode::SUCCESS;

/// What a command that ran to its end has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// All well.
    Done,
    /// A gate failed: a test, a comparison, a threshold. Exit code 1.
    GateFailed,
    /// Some lines could not be used; the rest was done. Exit code 3.
    UnusableInput,
    /// Told to stop, and what was done is saved. Exit code 130, as the shell reports what SIGINT has ended.
    Interrupted,
}

/// A command's result.
pub(crate) type Outcome = anyhow::Result<Status>;

/// An error in what the user asked for: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// An error in a file that the user gave: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InputError(pub(crate) String);

/// Prints the error, if there is one, and returns the exit code.
pub(crate) fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Status::Done) => DONE,
        Ok(Status::GateFailed) => ExitCode::from(1),
        Ok(Status::UnusableInput) => ExitCode::from(3),
        Ok(Status::Interrupted) => ExitCode::from(130),
        Err(error) => {
            // Whoever reads the output has gone away: that is no error of ours.
            let broken = |cause: &(dyn std::error::Error + 'static)| {
                cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            };
            if error.chain().any(broken) {
                return DONE;
            }
            crate::streams::complain(&format!("{error:#}"));
            if error.chain().any(|cause| cause.is::<UsageError>()) {
                return ExitCode::from(2);
            }
            // Checkpoints are good, and recipe or data must change: a gate, not a fault.
            let diverged = |cause: &(dyn std::error::Error + 'static)| {
                matches!(cause.downcast_ref(), Some(lm::Error::NotFinite { .. }))
            };
            if error.chain().any(diverged) {
                return ExitCode::from(1);
            }
            let input = error.chain().any(|cause| {
                cause.is::<InputError>()
                    || cause.is::<deciders::rules::Error>()
                    || cause.is::<deciders::trees::Error>()
                    || cause.is::<deciders::artifact::Error>()
                    || cause.is::<lm::Error>()
                    || cause.is::<desks::alerts::features::UnknownFeature>()
                    || cause.is::<trees::TrainError>()
                    || cause.is::<io::Error>()
            });
            ExitCode::from(if input { 3 } else { 70 })
        }
    }
}
