//! One batch, from where it stands to its end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::PathBuf;

use serde_json::Value;
use tokio::task::JoinHandle;

use super::answers::{self, Answers};
use super::line::{Item, Outcome, Refused, Requests, answer_id, answer_line};
use super::object::{Batch, Counts, Status};
use super::runner::{Woken, Worker};
use super::{INPUT, Record};
use crate::data;
use crate::files::CONTENT;

/// Why no more requests are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// All of them, or the time is over and the rest was refused.
    Done(Status),
    /// The server stops: the batch goes on when it starts again.
    Stopped,
}

/// Goes on with a batch.
pub(super) fn carry_out(worker: &mut Worker, record: Record) -> io::Result<()> {
    let folder = worker.batches.folder.join(&record.batch.id);
    let ending = match record.batch.status {
        Status::Finalizing => Ending::Done(aim(&record.batch)),
        Status::Cancelling if record.batch.in_progress_at.is_none() => Ending::Done(Status::Cancelled),
        _ => Run::begin(worker, &record.batch, folder)?.map_or(Ok(Ending::Stopped), |mut run| run.answer())?,
    };
    match ending {
        Ending::Done(status) => finalize(worker, &record, status),
        Ending::Stopped => Ok(()),
    }
}

/// What a batch that is being finalized will be.
fn aim(batch: &Batch) -> Status {
    if batch.cancelling_at.is_some() {
        Status::Cancelled
    } else if batch.expired_at.is_some() {
        Status::Expired
    } else {
        Status::Completed
    }
}

/// A request and how far it is.
struct Pending {
    item: Item,
    state: State,
}

enum State {
    Put(JoinHandle<(u16, Value)>),
    Refused(Refused),
}

/// A batch that is being answered.
struct Run<'w> {
    worker: &'w mut Worker,
    id: String,
    expires_at: i64,
    requests: Requests<BufReader<File>>,
    answers: Answers,
    counts: Counts,
    /// In order; the first is the next to be written.
    pending: VecDeque<Pending>,
    /// Whether the time is over.
    late: bool,
}

impl<'w> Run<'w> {
    /// Counts the requests and finds the first that has no answer. None if there is nothing to answer: the
    /// batch has failed, or was cancelled meanwhile.
    fn begin(worker: &'w mut Worker, batch: &Batch, folder: PathBuf) -> io::Result<Option<Self>> {
        let open = || File::open(folder.join(INPUT)).map(BufReader::new);
        let total = Requests::new(open()?, &batch.endpoint).count()?;
        if total == 0 {
            worker.fail(&batch.id, "there is no request in the file")?;
            return Ok(None);
        }
        let (answers, counts) = Answers::open(&folder)?;
        let counts = Counts { total, ..counts };
        let mut requests = Requests::new(open()?, &batch.endpoint);
        for _ in 0..counts.completed + counts.failed {
            requests.next()?;
        }
        let begun = |batch: &mut Batch| {
            batch.request_counts = counts;
            if batch.status == Status::Validating {
                batch.enter(Status::InProgress);
            }
        };
        if worker.batches.update(&batch.id, begun)?.is_none() {
            // Cancelled while its requests were being counted.
            return Ok(None);
        }
        let (id, expires_at) = (batch.id.clone(), batch.expires_at);
        tracing::info!(batch = id, requests = total, answered = counts.completed + counts.failed, "answering a batch");
        let pending = VecDeque::new();
        Ok(Some(Self { worker, id, expires_at, requests, answers, counts, pending, late: false }))
    }

    /// Answers until there is nothing left, or no more is wanted.
    fn answer(&mut self) -> io::Result<Ending> {
        loop {
            if self.worker.is_stopping() {
                return Ok(Ending::Stopped);
            }
            if self.worker.batches.get(&self.id)?.status == Status::Cancelling {
                return Ok(Ending::Done(Status::Cancelled));
            }
            self.look_at_the_clock();
            if !self.late {
                self.worker.expire_waiting();
            }
            while self.pending.len() < self.worker.window {
                let Some(item) = self.requests.next()? else { break };
                self.enqueue(item);
            }
            let Some(mut first) = self.pending.pop_front() else {
                return Ok(Ending::Done(if self.late { Status::Expired } else { Status::Completed }));
            };
            let woken = match &mut first.state {
                State::Put(task) => self.worker.wait(task, &first.item, self.expires_at),
                State::Refused(refused) => Woken::Answered(Outcome::Refused(refused.clone())),
            };
            match woken {
                Woken::Answered(outcome) => self.write(&first.item, &outcome)?,
                Woken::Look => self.pending.push_front(first),
            }
        }
    }

    fn enqueue(&mut self, mut item: Item) {
        let line = item.line;
        let request = std::mem::replace(&mut item.request, Err(expired(line)));
        let state = match request {
            Err(refused) => State::Refused(refused),
            Ok(_) if self.late => State::Refused(expired(line)),
            Ok(request) => State::Put(self.worker.put(request.url, request.body)),
        };
        self.pending.push_back(Pending { item, state });
    }

    /// Gives up what is under way when the time is over.
    fn look_at_the_clock(&mut self) {
        if self.late || data::now() < self.expires_at {
            return;
        }
        self.late = true;
        for Pending { item, state } in &mut self.pending {
            if let State::Put(task) = state {
                task.abort();
                *state = State::Refused(expired(item.line));
            }
        }
    }

    fn write(&mut self, item: &Item, outcome: &Outcome) -> io::Result<()> {
        let line = answer_line(&answer_id(&self.id, item.ordinal), item.custom_id.as_deref(), outcome)?;
        self.answers.push(&line, outcome.is_success())?;
        match outcome.is_success() {
            true => self.counts.completed += 1,
            false => self.counts.failed += 1,
        }
        self.worker.batches.count(&self.id, self.counts);
        Ok(())
    }
}

impl Drop for Run<'_> {
    /// Nobody waits any more for what is still under way.
    fn drop(&mut self) {
        for pending in &self.pending {
            if let State::Put(task) = &pending.state {
                task.abort();
            }
        }
    }
}

fn expired(line: u64) -> Refused {
    Refused { code: "batch_expired", message: "the completion window ended before it was answered".to_owned(), line }
}

/// Puts the files in their places. Done again after it was cut short, it ends the same.
fn finalize(worker: &Worker, record: &Record, status: Status) -> io::Result<()> {
    let (batches, id) = (&worker.batches, &record.batch.id);
    let begun = |batch: &mut Batch| {
        if status == Status::Expired {
            batch.expired_at = Some(data::now());
        }
        batch.enter(Status::Finalizing);
    };
    let folder = batches.folder.join(id);
    // Whoever finds it noted as complete does not count its answers again.
    answers::keep(&folder)?;
    if batches.update(id, begun)?.is_none() {
        return Ok(());
    }
    let mut ids = [None, None];
    for ((name, file, about), id) in record.parts().into_iter().zip(&mut ids) {
        let part = folder.join(name);
        if part.exists() {
            let empty = fs::metadata(part.join(CONTENT)).map_or(true, |content| content.len() == 0);
            if empty { fs::remove_dir_all(&part)? } else { batches.files.adopt(&part, file, about)? }
        }
        *id = batches.files.get(file).is_ok().then(|| file.to_owned());
    }
    batches.forget_requests(id)?;
    let [output, errors] = ids;
    let done = |batch: &mut Batch| {
        (batch.output_file_id, batch.error_file_id) = (output, errors);
        batch.enter(status);
        batch.request_counts
    };
    if let Some(counts) = batches.update(id, done)? {
        let Counts { total, completed, failed } = counts;
        tracing::info!(batch = id, status = status.name(), total, completed, failed, "a batch is done");
    }
    Ok(())
}
