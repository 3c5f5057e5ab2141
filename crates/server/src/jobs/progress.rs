//! How far a training is, read from the last lines of its run folder's logs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use lm::train::{Step, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

/// So much of a log is looked at: some hundred lines.
const TAIL: u64 = 1 << 15;

/// How far a training is; all is empty before its first step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Progress {
    /// Steps that were taken.
    step: u64,
    /// Steps that it will be, where the recipe says it.
    steps: Option<u64>,
    /// Training loss of the last step.
    loss: Option<f64>,
    /// Validation loss, when it was last measured.
    validation_loss: Option<f64>,
    /// Share of validation examples that were answered rightly then.
    validation_accuracy: Option<f64>,
    /// Seconds of training, interruptions left out.
    seconds: f64,
    /// Seconds that are left at the pace of the last steps.
    seconds_left: Option<f64>,
}

impl Progress {
    /// Reads the logs of a run folder, which may not be there yet.
    pub(super) fn read(run: &Path) -> Self {
        let steps: Vec<Step> = last_lines(&run.join("log.jsonl"));
        let validations: Vec<Validation> = last_lines(&run.join("validation.jsonl"));
        let Some(last) = steps.last() else { return Self::default() };
        Self {
            step: last.step,
            steps: last.total,
            loss: Some(last.loss),
            validation_loss: validations.last().map(|validation| validation.loss),
            validation_accuracy: validations.last().and_then(|validation| validation.accuracy),
            seconds: last.seconds,
            seconds_left: last.total.map(|total| total.saturating_sub(last.step) as f64 * pace(&steps)),
        }
    }
}

/// Seconds of a step, by those that are known.
fn pace(steps: &[Step]) -> f64 {
    match (steps.first(), steps.last()) {
        (Some(first), Some(last)) if last.step > first.step => {
            (last.seconds - first.seconds) / (last.step - first.step) as f64
        }
        (_, Some(last)) => last.seconds / last.step.max(1) as f64,
        (_, None) => 0.0,
    }
}

fn last_lines<L: DeserializeOwned>(path: &Path) -> Vec<L> {
    let Ok(text) = tail(path, TAIL) else { return Vec::new() };
    // The first line may have lost its beginning and the last may not be whole yet: neither is one then.
    text.split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line.strip_suffix(b"\n")?).ok())
        .collect()
}

/// The last bytes of a file, at most so many.
pub(super) fn tail(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    Ok(text)
}
