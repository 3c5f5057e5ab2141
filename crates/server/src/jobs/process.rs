//! The process that trains: a run of this same program, in a group of its own.
//!
//! It holds the lock of the job's folder as its standard input, so that it is known to run for as long as it does,
//! whoever started it: also by a server that starts after the one that started it was killed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use super::LOG;
use crate::data;

const LOCK: &str = "lock";

/// Variables of ours that a training has no use for; the key is among them.
const OURS: &str = "PROBITY_";

/// A training under way.
#[derive(Debug)]
pub(super) enum Process {
    /// Started by this server.
    Started(Child),
    /// Started by an earlier one.
    Found {
        /// The job's folder.
        folder: PathBuf,
        /// Its number, unless the earlier server was killed before it could be noted.
        id: Option<u32>,
    },
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit code.
    Code(i32),
    /// By a signal, whose number is known on Unix.
    Signal(Option<i32>),
    /// Only whoever started it was told.
    Unknown,
}

impl Process {
    /// Starts the program in the data folder; what it writes is appended to the job's log. None if an earlier process of
    /// this job still runs.
    pub(super) fn start(program: &Path, arguments: &[String], data: &Path, folder: &Path) -> io::Result<Option<Self>> {
        let Some(lock) = data::lock(&folder.join(LOCK))? else { return Ok(None) };
        let log = File::options().create(true).append(true).open(folder.join(LOG))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(data).stdin(lock).stdout(log.try_clone()?).stderr(log);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(OURS)) {
            command.env_remove(name);
        }
        // Ctrl-C at a terminal is for the server, which tells its trainings itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn()?;
        give_way(&child);
        Ok(Some(Self::Started(child)))
    }

    /// The process of a job that an earlier server started, if it still runs.
    pub(super) fn find(folder: &Path, id: Option<u32>) -> io::Result<Option<Self>> {
        let free = data::lock(&folder.join(LOCK))?.is_some();
        Ok((!free).then(|| Self::Found { folder: folder.to_owned(), id }))
    }

    /// Its number.
    pub(super) fn id(&self) -> Option<u32> {
        match self {
            Self::Started(child) => Some(child.id()),
            Self::Found { id, .. } => *id,
        }
    }

    /// How it ended; none while it runs.
    pub(super) fn ended(&mut self) -> io::Result<Option<End>> {
        match self {
            Self::Started(child) => Ok(child.try_wait()?.map(End::of)),
            Self::Found { folder, .. } => Ok(data::lock(&folder.join(LOCK))?.map(|_| End::Unknown)),
        }
    }

    /// Asks it to save and end.
    pub(super) fn interrupt(&mut self) {
        #[cfg(unix)]
        self.signal(rustix::process::Signal::TERM);
        #[cfg(not(unix))]
        self.kill();
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        #[cfg(unix)]
        self.signal(rustix::process::Signal::KILL);
        #[cfg(not(unix))]
        if let Self::Started(child) = self {
            // It has ended by itself, otherwise.
            let _ = child.kill();
        }
    }

    /// Only while it runs is its number its own: `ended` must have said so just before.
    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // It has ended by itself, otherwise.
            let _ = rustix::process::kill_process(id, signal);
        }
    }
}

/// What answers requests comes first.
#[cfg(unix)]
fn give_way(child: &Child) {
    const NICE: i32 = 10;
    let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    // No number would mean this very process.
    if id.is_none_or(|id| rustix::process::setpriority_process(Some(id), NICE).is_err()) {
        tracing::debug!("a training runs at the server's own priority");
    }
}

#[cfg(not(unix))]
fn give_way(_: &Child) {}

impl End {
    fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Code(code),
            #[cfg(unix)]
            None => Self::Signal(std::os::unix::process::ExitStatusExt::signal(&status)),
            #[cfg(not(unix))]
            None => Self::Signal(None),
        }
    }
}
