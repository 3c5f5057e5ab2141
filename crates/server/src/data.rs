//! The data folder: where files, batches and training jobs outlive the process.
//!
//! One server at a time holds it. Everything in it is written beside its place and then moved, so that whoever reads,
//! or starts after a kill, sees whole things only.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

use crate::batches::Batches;
use crate::files::Files;
use crate::jobs::Jobs;
use crate::{ApiError, Error, Settings};

/// What folders end in that are not complete yet.
pub(crate) const PART: &str = ".part";

/// Files that may be uploaded at once.
const UPLOADS: usize = 4;

/// See the module.
pub(crate) struct Data {
    pub(crate) files: Files,
    pub(crate) batches: Arc<Batches>,
    /// None unless training is allowed.
    pub(crate) jobs: Option<Arc<Jobs>>,
    /// The largest file that may be uploaded, in bytes.
    pub(crate) file_bytes: u64,
    /// Places for files that are being uploaded.
    pub(crate) uploads: Semaphore,
    _lock: File,
}

impl Data {
    /// Opens the folder that the settings name, if they name one.
    pub(crate) fn open(settings: &Settings) -> Result<Option<Self>, Error> {
        let Some(folder) = &settings.data else { return Ok(None) };
        Self::open_folder(folder, settings).map(Some).map_err(|source| Error::Data { path: folder.clone(), source })
    }

    fn open_folder(folder: &Path, settings: &Settings) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Trainings run elsewhere than this process, so that a place must not depend on where it runs.
        let folder = folder.canonicalize()?;
        let lock = lock(&folder.join("lock"))?.ok_or_else(|| io::Error::other("another server uses this folder"))?;
        let files = Files::open(folder.join("files"))?;
        let batches = Arc::new(Batches::open(folder.join("batches"), files.clone())?);
        let jobs = match settings.allow_training {
            true => Some(Arc::new(Jobs::open(&folder, files.clone(), settings)?)),
            false => None,
        };
        Ok(Self {
            files,
            batches,
            jobs,
            file_bytes: settings.max_file_bytes,
            uploads: Semaphore::new(UPLOADS),
            _lock: lock,
        })
    }
}

/// Takes the lock of a file, which is made if it is not there; none if somebody else has it. It is given back when all
/// handles of it are closed, those that other processes inherited, too.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Digits of an id: 12 for the time, 4 for those of the same time, 16 of chance.
const DIGITS: usize = 32;

/// An id that nobody has had; later ones are greater.
pub(crate) fn new_id(prefix: &str) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let milliseconds = jiff::Timestamp::now().as_millisecond();
    let (number, chance) = (NEXT.fetch_add(1, Ordering::Relaxed), RandomState::new().hash_one(prefix));
    format!("{prefix}{milliseconds:012x}{number:04x}{chance:016x}")
}

/// Whether a text is the form of an id: nothing else may become part of a path.
pub(crate) fn is_id(prefix: &str, text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == DIGITS && rest.bytes().all(digit))
}

/// The ids of what is in a folder, oldest first.
pub(crate) fn ids(folder: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder)? {
        ids.extend(entry?.file_name().into_string().ok().filter(|name| is_id(prefix, name)));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Removes folders that were never completed.
pub(crate) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(PART) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a short file as a whole.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    lm::replace(path, &text).map_err(|error| match error {
        lm::Error::Io { source, .. } => source,
        error => io::Error::other(error),
    })
}

/// Puts a folder that is complete in its place, so that it stays there if the power fails.
pub(crate) fn settle(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    to.parent().map_or(Ok(()), keep_names)
}

/// Makes what is in a folder, by name, outlast a power failure.
pub(crate) fn keep_names(folder: &Path) -> io::Result<()> {
    // Elsewhere, a folder cannot be opened.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Gives a file a second name, or copies it where the file system has no such thing.
pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ()))
}

/// Does work that waits for the disk, on a thread that may wait.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::Internal)?
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Window {
    /// At most so many; 20 if left out, 10,000 at most.
    pub(crate) limit: Option<usize>,
    /// What comes behind the one with this id.
    pub(crate) after: Option<String>,
    /// `desc`, newest first, or `asc`.
    pub(crate) order: Option<String>,
}

/// Part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<T>,
    first_id: Option<String>,
    last_id: Option<String>,
    /// Whether there is more behind it.
    has_more: bool,
}

/// The part of a list of ids, oldest first, that is asked for; `read` says nothing of what is not to be shown.
pub(crate) fn page<T>(mut ids: Vec<String>, window: &Window, read: impl Fn(&str) -> Option<T>) -> io::Result<Page<T>> {
    let ascending = window.order.as_deref() == Some("asc");
    if !ascending {
        ids.reverse();
    }
    let limit = window.limit.unwrap_or(20).clamp(1, 10_000);
    let after = window.after.as_deref();
    let behind =
        |id: &String| after.is_none_or(|after| if ascending { id.as_str() > after } else { id.as_str() < after });
    let mut found = ids.into_iter().filter(behind).filter_map(|id| Some((read(&id)?, id)));
    let (data, shown): (Vec<T>, Vec<String>) = found.by_ref().take(limit).unzip();
    let (first_id, last_id) = (shown.first().cloned(), shown.last().cloned());
    Ok(Page { object: "list", data, first_id, last_id, has_more: found.next().is_some() })
}

/// The folder of an id within another.
pub(crate) fn place(folder: &Path, prefix: &str, id: &str) -> io::Result<PathBuf> {
    if is_id(prefix, id) { Ok(folder.join(id)) } else { Err(io::ErrorKind::NotFound.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_nothing_else_passes_for_one() {
        let ids: Vec<String> = (0..1000).map(|_| new_id("file-")).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| is_id("file-", id)));
        let digits = "0".repeat(32);
        for other in ["", "file-", "../../etc/passwd", &format!("job-{digits}"), &format!("file-{digits}/.."), &digits]
        {
            assert!(!is_id("file-", other), "{other}");
        }
        assert!(!is_id("file-", &format!("file-{}A", &digits[1..])));
    }

    #[test]
    fn a_list_comes_in_parts_from_either_end() {
        let ids: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let shown = |limit, after: Option<&str>, order: &str| {
            let window = Window { limit: Some(limit), after: after.map(str::to_owned), order: Some(order.to_owned()) };
            let hidden_c = |id: &str| (id != "c").then(|| id.to_owned());
            let page = page(ids.clone(), &window, hidden_c).expect("a page");
            (page.data.concat(), page.has_more)
        };
        assert_eq!(shown(2, None, "desc"), ("ed".to_owned(), true));
        assert_eq!(shown(2, Some("d"), "desc"), ("ba".to_owned(), false));
        assert_eq!(shown(3, Some("a"), "asc"), ("bde".to_owned(), false));
    }
}
