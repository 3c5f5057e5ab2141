//! The thread that starts trainings, sees them end, and tells them to.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::process::{End, Process};
use super::progress::tail;
use super::record::Status;
use super::{Jobs, LOG, MODELS, RUN, publish};

/// How often trainings under way are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long a cancelled training may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// The exit code of a training that was told to stop, and has saved.
const INTERRUPTED: i32 = 130;

/// Exit codes of a training that has done its work; with the second, some lines of data could not be used.
const DONE: [i32; 2] = [0, 3];

/// Runs until it is told to stop, or dropped.
pub(crate) struct Supervisor {
    jobs: Arc<Jobs>,
    stopping: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Supervisor {
    /// Begins to run jobs, with those that were under way before. When it is dropped, it tells those under way to save
    /// and end, and has so much patience.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(jobs: Arc<Jobs>, patience: Duration) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let watch =
            Watch { jobs: Arc::clone(&jobs), stopping: Arc::clone(&stopping), patience, running: BTreeMap::new() };
        let thread = std::thread::Builder::new().name("jobs".to_owned()).spawn(move || watch.work())?;
        Ok(Self { jobs, stopping, thread: Some(thread) })
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        {
            // With the lock, so that the thread is either before its look at the flag or asleep.
            let _live = self.jobs.live();
            self.stopping.store(true, Ordering::Relaxed);
            self.jobs.changed.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            // A panic there was logged when it happened.
            let _ = thread.join();
        }
    }
}

/// A training under way.
struct Running {
    process: Process,
    /// When it was told to end.
    told: Option<Instant>,
}

struct Watch {
    jobs: Arc<Jobs>,
    stopping: Arc<AtomicBool>,
    patience: Duration,
    running: BTreeMap<String, Running>,
}

impl Watch {
    fn work(mut self) {
        self.find();
        while !self.is_stopping() {
            self.reap(false);
            self.cancel();
            self.fill();
            self.sleep();
        }
        self.halt();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn sleep(&self) {
        let live = self.jobs.live();
        if self.is_stopping() {
            return;
        }
        let waiting = live.values().any(|record| record.job.status == Status::Queued);
        if self.running.is_empty() && !waiting {
            drop(self.jobs.changed.wait(live).unwrap_or_else(PoisonError::into_inner));
        } else {
            drop(self.jobs.changed.wait_timeout(live, TICK).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Jobs of an earlier server: those that still run are watched, all others wait for their turn.
    fn find(&mut self) {
        let known: Vec<(String, Option<u32>)> =
            self.jobs.live().iter().map(|(id, record)| (id.clone(), record.process)).collect();
        for (id, process) in known {
            let found = Process::find(&self.jobs.folder(&id), process).unwrap_or_else(|error| {
                tracing::error!(job = id, %error, "failed to find out whether a training runs");
                None
            });
            self.jobs.update(&id, |record| match (&found, record.cancel) {
                (Some(_), _) => record.job.status = Status::Running,
                (None, true) => record.end(Status::Cancelled),
                (None, false) => (record.job.status, record.process) = (Status::Queued, None),
            });
            if let Some(process) = found {
                tracing::info!(job = id, "a training of before still runs");
                self.running.insert(id, Running { process, told: None });
            }
        }
    }

    /// Sees which have ended.
    fn reap(&mut self, stopping: bool) {
        let jobs = &self.jobs;
        self.running.retain(|id, running| match running.process.ended() {
            Ok(None) => true,
            Ok(Some(end)) => {
                conclude(jobs, id, end, stopping);
                false
            }
            Err(error) => {
                tracing::error!(job = id, %error, "failed to find out whether a training runs");
                true
            }
        });
    }

    /// Tells those to end that are no longer wanted; ends those that were told and do not.
    fn cancel(&mut self) {
        let live = self.jobs.live();
        for (id, running) in &mut self.running {
            // One that was cancelled while it was being started is no longer among them.
            if live.get(id).is_some_and(|record| !record.cancel) {
                continue;
            }
            match running.told {
                None => {
                    running.process.interrupt();
                    running.told = Some(Instant::now());
                }
                Some(told) if told.elapsed() > GRACE => running.process.kill(),
                Some(_) => {}
            }
        }
    }

    /// Starts those whose turn it is.
    fn fill(&mut self) {
        while self.running.len() < self.jobs.slots {
            let next = {
                let live = self.jobs.live();
                let waiting = |record: &&super::Record| record.job.status == Status::Queued;
                live.values().find(waiting).map(|record| (record.job.id.clone(), record.arguments.clone()))
            };
            let Some((id, arguments)) = next else { return };
            let folder = self.jobs.folder(&id);
            match Process::start(&self.jobs.program, &arguments, &self.jobs.data, &folder) {
                Ok(Some(process)) => self.watch(id, process),
                // Its process was started by a server that was killed before it could be noted.
                Ok(None) => self.watch(id, Process::Found { folder, id: None }),
                Err(error) => {
                    tracing::error!(job = id, %error, "failed to start a training");
                    self.jobs.update(&id, |record| {
                        record.job.error = Some(format!("failed to start: {error}"));
                        record.end(Status::Failed);
                    });
                }
            }
        }
    }

    fn watch(&mut self, id: String, process: Process) {
        let number = process.id();
        self.jobs.update(&id, |record| {
            record.job.status = Status::Running;
            record.job.started_at = Some(crate::data::now());
            record.process = number;
        });
        tracing::info!(job = id, "a training runs");
        self.running.insert(id, Running { process, told: None });
    }

    /// The server stops: trainings save and end, and go on when it starts again. One that takes longer than there is
    /// patience ends after the server, and is found then.
    fn halt(&mut self) {
        self.reap(true);
        for running in self.running.values_mut().filter(|running| running.told.is_none()) {
            running.process.interrupt();
        }
        let start = Instant::now();
        while !self.running.is_empty() && start.elapsed() < self.patience {
            std::thread::sleep(TICK / 4);
            self.reap(true);
        }
        for id in self.running.keys() {
            tracing::warn!(job = id, "a training was told to stop, and has not yet");
            self.jobs.update(id, |record| record.job.status = Status::Interrupted);
        }
    }
}

/// Notes how a training ended.
fn conclude(jobs: &Jobs, id: &str, end: End, stopping: bool) {
    let (run, models) = (jobs.folder(id).join(RUN), jobs.data.join(MODELS));
    jobs.update(id, |record| {
        record.process = None;
        record.job.exit_code = if let End::Code(code) = end { Some(code) } else { None };
        let (kind, name) = (record.job.kind, record.job.name.clone());
        let failed = |problem: String| (Status::Failed, Some(problem));
        let (status, error) = match end {
            _ if record.cancel => (Status::Cancelled, None),
            End::Code(code) if DONE.contains(&code) && publish::is_complete(kind, &run) => {
                match publish::publish(kind, &run, &models, &name) {
                    Ok(()) => (Status::Succeeded, None),
                    Err(error) => failed(format!("the model was trained, and could not be put in its place: {error}")),
                }
            }
            End::Code(INTERRUPTED) => (Status::Interrupted, None),
            End::Unknown | End::Signal(_) if stopping => (Status::Interrupted, None),
            // Started again, it says how it ended; or it goes on.
            End::Unknown => (Status::Queued, None),
            End::Code(_) => failed(last_words(jobs, id)),
            End::Signal(Some(number)) => failed(format!("the process was ended by signal {number}")),
            End::Signal(None) => failed("the process was ended from outside".to_owned()),
        };
        match status {
            Status::Interrupted | Status::Queued => record.job.status = status,
            _ => record.end(status),
        }
        record.job.error = error;
        if status == Status::Succeeded {
            record.job.artifact = Some(format!("{MODELS}/{name}"));
        }
        tracing::info!(job = id, ?status, "a training has ended");
    });
}

/// What a program that failed said last.
fn last_words(jobs: &Jobs, id: &str) -> String {
    let text = tail(&jobs.folder(id).join(LOG), 4096).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
