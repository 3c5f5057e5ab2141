//! Batches: files of requests that are answered when there is room, in OpenAI's form.
//!
//! A batch is a folder with `batch.json`, the requests and, while it is under way, its answers. One batch is answered
//! after the other, many requests of it at once. Invariant: a request has one line in one of the two files, in order,
//! however often the server is killed in between.

mod answers;
mod line;
mod object;
mod run;
mod runner;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

pub(crate) use object::{Batch, Counts};
pub(crate) use runner::Runner;

use crate::ApiError;
use crate::data::{self, PART, Page, Window};
use crate::files::{About, Files};
use object::Status;

/// How a request of a batch is answered: its path and body in, status and body out.
pub type Answerer = Arc<dyn Fn(String, Value) -> Pin<Box<dyn Future<Output = (u16, Value)> + Send>> + Send + Sync>;

/// What ids of batches begin with.
pub(crate) const PREFIX: &str = "batch_";

const RECORD: &str = "batch.json";
const INPUT: &str = "input";

/// Where requests of a batch may go.
const ENDPOINTS: [&str; 2] = ["/v1/chat/completions", "/v1/completions"];

/// What a caller asks for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) input_file_id: String,
    pub(crate) endpoint: String,
    pub(crate) completion_window: String,
    pub(crate) metadata: Option<Map<String, Value>>,
}

/// What is kept of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    batch: Batch,
    /// Ids that its files will have: known before, so that putting them in their places can be done again.
    output: String,
    errors: String,
}

/// See the module.
pub(crate) struct Batches {
    folder: PathBuf,
    files: Files,
    /// Those that are not done, oldest first.
    live: Mutex<BTreeMap<String, Record>>,
    /// Counts what the runner must know of: new batches, cancelled ones, the end.
    changes: watch::Sender<u64>,
}

impl Batches {
    /// Opens the folder and finds the batches that are to go on.
    pub(crate) fn open(folder: PathBuf, files: Files) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        data::sweep(&folder)?;
        let batches = Self { folder, files, live: Mutex::default(), changes: watch::Sender::new(0) };
        for id in data::ids(&batches.folder, PREFIX)? {
            match batches.read(&id) {
                Ok(record) if record.batch.status.is_final() => {}
                Ok(record) => drop(batches.live().insert(id, record)),
                // One that is damaged keeps no other from being answered.
                Err(error) => tracing::error!(batch = id, %error, "failed to read a batch; it is left as it is"),
            }
        }
        Ok(batches)
    }

    /// Takes a batch, to be answered when its turn comes.
    pub(crate) fn create(&self, order: Order) -> Result<Batch, ApiError> {
        let window = seconds(&order.completion_window).ok_or_else(|| {
            ApiError::invalid("completion_window", "write a number of hours or days, up to 30 days, such as 24h")
        })?;
        if !ENDPOINTS.contains(&order.endpoint.as_str()) {
            return Err(ApiError::invalid("endpoint", format!("batches go to {}", ENDPOINTS.join(" or "))));
        }
        let file = self.files.get(&order.input_file_id);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ApiError::invalid("input_file_id", "there is no such file"),
            _ => ApiError::fault(&error),
        })?;
        if file.purpose != "batch" {
            return Err(ApiError::invalid("input_file_id", "the purpose of this file is not `batch`"));
        }
        let record = Record::new(order, window);
        self.keep(&record).map_err(|error| ApiError::fault(&error))?;
        let batch = record.batch.clone();
        self.live().insert(batch.id.clone(), record);
        self.changed();
        Ok(batch)
    }

    fn keep(&self, record: &Record) -> io::Result<()> {
        let id = &record.batch.id;
        let part = self.folder.join(format!("{id}{PART}"));
        fs::create_dir(&part)?;
        self.files.link(&record.batch.input_file_id, &part.join(INPUT))?;
        data::write_json(&part.join(RECORD), record)?;
        data::settle(&part, &self.folder.join(id))
    }

    /// How a batch stands; `NotFound` where there is none of this id.
    pub(crate) fn get(&self, id: &str) -> io::Result<Batch> {
        if let Some(record) = self.live().get(id) {
            return Ok(record.batch.clone());
        }
        Ok(self.read(id)?.batch)
    }

    /// Batches, newest first unless asked otherwise.
    pub(crate) fn list(&self, window: &Window) -> io::Result<Page<Batch>> {
        data::page(data::ids(&self.folder, PREFIX)?, window, |id| self.get(id).ok())
    }

    /// Tells a batch to stop; what was answered until then stays. One that has not begun has ended.
    pub(crate) fn cancel(&self, id: &str) -> Result<Batch, ApiError> {
        let batch = self.get(id).map_err(|error| ApiError::of_item(&error, "batch", id))?;
        let cancel = |batch: &mut Batch| {
            let begun = batch.status != Status::Validating;
            if !matches!(batch.status, Status::Cancelling | Status::Finalizing) {
                batch.enter(Status::Cancelling);
            }
            if !begun {
                batch.enter(Status::Cancelled);
            }
            batch.clone()
        };
        match self.update(id, cancel).map_err(|error| ApiError::fault(&error))? {
            Some(batch) => {
                if batch.status.is_final() {
                    self.forget_requests(id).map_err(|error| ApiError::fault(&error))?;
                }
                self.changed();
                Ok(batch)
            }
            None => Err(ApiError::Conflict(format!("the batch is done: its status is {}", batch.status.name()))),
        }
    }

    /// Removes the second name of the caller's file, which stays.
    fn forget_requests(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(id).join(INPUT)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }

    /// Wakes the runner.
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn read(&self, id: &str) -> io::Result<Record> {
        Ok(serde_json::from_slice(&fs::read(data::place(&self.folder, PREFIX, id)?.join(RECORD))?)?)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a batch that is not done, on the disk, too; none if it is done.
    fn update<T>(&self, id: &str, change: impl FnOnce(&mut Batch) -> T) -> io::Result<Option<T>> {
        let mut live = self.live();
        let Some(record) = live.get_mut(id) else { return Ok(None) };
        let mut changed = record.clone();
        let result = change(&mut changed.batch);
        data::write_json(&self.folder.join(id).join(RECORD), &changed)?;
        if changed.batch.status.is_final() {
            live.remove(id);
        } else {
            *record = changed;
        }
        Ok(Some(result))
    }

    /// Notes what was answered; the files say it after a kill.
    fn count(&self, id: &str, counts: Counts) {
        if let Some(record) = self.live().get_mut(id) {
            record.batch.request_counts = counts;
        }
    }
}

impl Record {
    fn new(order: Order, window: i64) -> Self {
        let created_at = data::now();
        let batch = Batch {
            id: data::new_id(PREFIX),
            object: "batch".to_owned(),
            endpoint: order.endpoint,
            errors: None,
            input_file_id: order.input_file_id,
            completion_window: order.completion_window,
            status: Status::Validating,
            output_file_id: None,
            error_file_id: None,
            created_at,
            in_progress_at: None,
            expires_at: created_at + window,
            finalizing_at: None,
            completed_at: None,
            failed_at: None,
            expired_at: None,
            cancelling_at: None,
            cancelled_at: None,
            request_counts: Counts::default(),
            metadata: order.metadata,
        };
        let [output, errors] = [data::new_id(crate::files::PREFIX), data::new_id(crate::files::PREFIX)];
        Self { batch, output, errors }
    }

    /// The two files: the folder in which each grows, its id, and what is said of it.
    fn parts(&self) -> [(&'static str, &str, About); 2] {
        let about = |name: &str| About {
            filename: format!("{}_{name}.jsonl", self.batch.id),
            purpose: "batch_output".to_owned(),
        };
        [(answers::OUTPUT, &self.output, about("output")), (answers::ERRORS, &self.errors, about("error"))]
    }
}

/// `24h` or `7d` in seconds.
fn seconds(window: &str) -> Option<i64> {
    const DAY: i64 = 24 * 3600;
    let (number, unit) = window.split_at_checked(window.len().checked_sub(1)?)?;
    let unit = match unit {
        "h" => 3600,
        "d" => DAY,
        _ => return None,
    };
    let number: i64 = number.parse().ok()?;
    number.checked_mul(unit).filter(|seconds| (1..=30 * DAY).contains(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_hours_or_days() {
        assert_eq!(
            ["24h", "7d", "1h", "30d"].map(seconds),
            [Some(86_400), Some(604_800), Some(3_600), Some(2_592_000)]
        );
        for wrong in ["", "h", "24", "0h", "-1h", "31d", "24m", "9223372036854775807d", "\u{e4}"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
