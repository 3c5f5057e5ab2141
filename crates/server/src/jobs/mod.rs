//! Training jobs: started, watched and cancelled over HTTP, and carried on over restarts.
//!
//! A job is a folder with `job.json`, `recipe.toml`, `log.txt` and the run folder. It runs as a process of its own, so
//! that a fault in training never takes the server down. Invariant: a folder among the models is a complete artifact.

mod order;
mod process;
mod progress;
mod publish;
mod record;
mod supervisor;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) use order::TrainRequest;
pub(crate) use record::JobView;
pub(crate) use supervisor::Supervisor;

use crate::data::{self, PART, Page, Window};
use crate::files::Files;
use crate::{ApiError, Settings};
use order::{Recipe, TrainData};
use progress::Progress;
use record::{Job, Kind, Record, Status};

/// What ids of jobs begin with.
const PREFIX: &str = "job-";

const RECORD: &str = "job.json";
const RECIPE: &str = "recipe.toml";
const LOG: &str = "log.txt";
const RUN: &str = "run";
const DATA: &str = "data";
const JOBS: &str = "jobs";
const MODELS: &str = "models";

/// Jobs that may wait or run at once.
const MOST: usize = 100;

/// Bytes of an uploaded recipe.
const RECIPE_BYTES: u64 = 1 << 20;

/// Bytes of a log that are shown, from its end.
const LOG_BYTES: u64 = 4 << 20;

/// See the module.
pub(crate) struct Jobs {
    /// The data folder, in which trainings run.
    data: PathBuf,
    files: Files,
    /// What trains: this same program.
    program: PathBuf,
    /// Jobs that run at once.
    slots: usize,
    /// Those that are not done, oldest first.
    live: Mutex<BTreeMap<String, Record>>,
    /// Something that the supervisor must know of has changed.
    changed: Condvar,
}

impl Jobs {
    /// Opens the folder and finds the jobs that are to go on.
    pub(crate) fn open(data: &Path, files: Files, settings: &Settings) -> io::Result<Self> {
        let program = match &settings.training_program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let jobs = Self {
            data: data.to_owned(),
            files,
            program,
            slots: settings.training_jobs.max(1),
            live: Mutex::default(),
            changed: Condvar::new(),
        };
        for folder in [JOBS, MODELS] {
            fs::create_dir_all(data.join(folder))?;
            data::sweep(&data.join(folder))?;
        }
        for id in data::ids(&data.join(JOBS), PREFIX)? {
            match jobs.read(&id) {
                Ok(record) if record.job.status.is_final() => {}
                Ok(record) => drop(jobs.live().insert(id, record)),
                // One that is damaged keeps no other from being run.
                Err(error) => tracing::error!(job = id, %error, "failed to read a job; it is left as it is"),
            }
        }
        Ok(jobs)
    }

    /// Takes a job, to be run when its turn comes.
    pub(crate) fn create(&self, request: &TrainRequest) -> Result<JobView, ApiError> {
        let recipe = request.recipe(|id| self.uploaded_recipe(id))?;
        let (overrides, name) = (request.overrides()?, request.checked_name()?);
        let id = data::new_id(PREFIX);
        let name = name.unwrap_or_else(|| id.clone());
        // Held to the end, so that two jobs of one name cannot pass each other.
        let mut live = self.live();
        if live.values().any(|record| record.job.name == name) || self.data.join(MODELS).join(&name).exists() {
            return Err(ApiError::Conflict(format!("there is a model or a job of the name {name:?} already")));
        }
        if live.len() >= MOST {
            return Err(ApiError::Busy);
        }
        let part = self.data.join(JOBS).join(format!("{id}{PART}"));
        fs::create_dir(&part).map_err(|error| ApiError::fault(&error))?;
        let record = Record::new(id, name, request, &recipe, overrides);
        if let Err(error) = self.keep(&part, &record, request.data.as_ref(), &recipe) {
            // What is left of it, the next start removes.
            let _ = fs::remove_dir_all(&part);
            return Err(error);
        }
        let view = self.view(record.job.clone());
        live.insert(record.job.id.clone(), record);
        self.changed.notify_all();
        Ok(view)
    }

    /// The text of an uploaded recipe; none if it is not the id of a file.
    fn uploaded_recipe(&self, id: &str) -> Result<Option<String>, ApiError> {
        if !data::is_id(crate::files::PREFIX, id) {
            return Ok(None);
        }
        let file = self.files.content(id).map_err(|_| ApiError::invalid("recipe", "there is no such file"))?;
        let mut text = String::new();
        let read = file.take(RECIPE_BYTES + 1).read_to_string(&mut text);
        if read.is_err() || text.len() as u64 > RECIPE_BYTES {
            return Err(ApiError::invalid("recipe", "this file is no recipe"));
        }
        Ok(Some(text))
    }

    /// Fills the folder of a new job and puts it in its place.
    fn keep(&self, part: &Path, record: &Record, data: Option<&TrainData>, recipe: &Recipe) -> Result<(), ApiError> {
        if let Some(data) = data {
            let folder = part.join(DATA);
            fs::create_dir(&folder).map_err(|error| ApiError::fault(&error))?;
            let files = [("train", Some(&data.train)), ("validation", data.validation.as_ref())];
            for (name, id) in files.into_iter().filter_map(|(name, id)| Some((name, id?))) {
                self.files.link(id, &folder.join(format!("{name}.jsonl"))).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => ApiError::invalid(format!("data.{name}"), "there is no such file"),
                    _ => ApiError::fault(&error),
                })?;
            }
        }
        let write = || {
            if let Recipe::Own(text) = recipe {
                fs::write(part.join(RECIPE), text)?;
            }
            data::write_json(&part.join(RECORD), record)?;
            data::settle(part, &self.folder(&record.job.id))
        };
        write().map_err(|error| ApiError::fault(&error))
    }

    /// A job and how far it is; `NotFound` where there is none of this id.
    pub(crate) fn get(&self, id: &str) -> io::Result<JobView> {
        let known = self.live().get(id).map(|record| record.job.clone());
        let job = match known {
            Some(job) => job,
            None => self.read(id)?.job,
        };
        Ok(self.view(job))
    }

    /// Jobs, newest first unless asked otherwise.
    pub(crate) fn list(&self, window: &Window) -> io::Result<Page<JobView>> {
        data::page(data::ids(&self.data.join(JOBS), PREFIX)?, window, |id| self.get(id).ok())
    }

    /// What a job has said, or the last lines of it. At most 4 MiB, from the end.
    pub(crate) fn log(&self, id: &str, lines: Option<usize>) -> io::Result<String> {
        let folder = data::place(&self.data.join(JOBS), PREFIX, id)?;
        fs::metadata(&folder)?;
        let text = match progress::tail(&folder.join(LOG), LOG_BYTES) {
            // It has not begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            text => text?,
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let Some(lines) = lines else { return Ok(text) };
        let count = text.lines().count();
        Ok(text.split_inclusive('\n').skip(count.saturating_sub(lines)).collect())
    }

    /// Tells a job to end. One that waits has ended; one that runs is told.
    pub(crate) fn cancel(&self, id: &str) -> Result<JobView, ApiError> {
        let view = self.get(id).map_err(|error| ApiError::of_item(&error, "job", id))?;
        // The server that started it was killed before it could note the process.
        let nameless = |record: &Record| record.job.status == Status::Running && record.process.is_none();
        if self.live().get(id).is_some_and(nameless) {
            let problem = "the number of its process is not known: end that process, and cancel the job then";
            return Err(ApiError::Conflict(problem.to_owned()));
        }
        let told = self.update(id, |record| {
            record.cancel = true;
            if record.process.is_none() && record.job.status != Status::Running {
                record.end(Status::Cancelled);
            }
        });
        if !told {
            return Err(ApiError::Conflict(format!("the job has ended: its status is {:?}", view.job.status)));
        }
        self.changed.notify_all();
        self.get(id).map_err(|error| ApiError::fault(&error))
    }

    fn view(&self, job: Job) -> JobView {
        let progress = Progress::read(&self.folder(&job.id).join(RUN));
        JobView { job, progress }
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.data.join(JOBS).join(id)
    }

    fn read(&self, id: &str) -> io::Result<Record> {
        Ok(serde_json::from_slice(&fs::read(data::place(&self.data.join(JOBS), PREFIX, id)?.join(RECORD))?)?)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a job that is not done, on the disk, too; says whether there is such a job.
    fn update(&self, id: &str, change: impl FnOnce(&mut Record)) -> bool {
        let mut live = self.live();
        let Some(record) = live.get_mut(id) else { return false };
        change(record);
        let done = record.job.status.is_final();
        match data::write_json(&self.folder(id).join(RECORD), record) {
            Ok(()) if done => drop(live.remove(id)),
            Ok(()) => {}
            // The next start finds an older state, and comes to the same end from there.
            Err(error) => tracing::error!(job = id, %error, "failed to note how a job stands"),
        }
        true
    }
}

impl Record {
    fn new(id: String, name: String, request: &TrainRequest, recipe: &Recipe, overrides: Vec<String>) -> Self {
        let place = |name: &str| format!("{JOBS}/{id}/{name}");
        let recipe = match recipe {
            Recipe::Shipped(name) => (*name).to_owned(),
            Recipe::Own(_) => place(RECIPE),
        };
        let words: &[&str] = match request.kind {
            Kind::Transactions => &["train", "transactions", "--recipe", &recipe],
            Kind::Lm => &["lm", "train", &recipe],
        };
        let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend(overrides.iter().map(|value| format!("--set={value}")));
        match (request.kind, &request.data) {
            (_, None) => {}
            (Kind::Transactions, Some(_)) => arguments.push(format!("--data={}", place(DATA))),
            (Kind::Lm, Some(data)) => {
                arguments.push(format!("--set=data.train=\"{}/train.jsonl\"", place(DATA)));
                if data.validation.is_some() {
                    arguments.push(format!("--set=data.validation=\"{}/validation.jsonl\"", place(DATA)));
                }
            }
        }
        // A run that was never begun is begun by resuming it, too.
        arguments.extend([format!("--out={}", place(RUN)), "--resume".to_owned()]);
        let job = Job {
            id,
            name,
            kind: request.kind,
            status: Status::Queued,
            created_at: data::now(),
            started_at: None,
            finished_at: None,
            exit_code: None,
            error: None,
            artifact: None,
        };
        Self { job, arguments, process: None, cancel: false }
    }

    /// Nothing more will happen.
    fn end(&mut self, status: Status) {
        self.job.status = status;
        self.job.finished_at = Some(data::now());
        self.process = None;
    }
}
