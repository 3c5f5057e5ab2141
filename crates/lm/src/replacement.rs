//! Files that are replaced as a whole: what is there stays until the new one is complete and on the disk.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file being written beside the one that it will replace. Dropped before [`Replacement::commit`], it leaves
/// nothing behind. Killed, it leaves `NAME.part`, which the next one overwrites.
pub(crate) struct Replacement {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    committed: bool,
}

impl Replacement {
    /// Opens `NAME.part` beside the path.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(Error::io(&part))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { path: path.to_owned(), part, file, committed: false })
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.path))
    }

    /// Sees that everything is on the disk. Files that belong together are all synced before the first is renamed,
    /// so that a full disk changes none of them.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(Error::io(&self.path))
    }

    /// Puts the file in its place.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.sync()?;
        fs::rename(&self.part, &self.path).map_err(Error::io(&self.path))?;
        self.committed = true;
        sync_folder(&self.path)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a file that cannot be removed, and the next attempt overwrites it.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Writes a short file as a whole: beside its place first and then moved, so that nobody, whatever happens, sees half of
/// it.
///
/// # Errors
/// When the file cannot be written; what was there stays.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut replacement = Replacement::create(path)?;
    replacement.write(bytes)?;
    replacement.commit()
}

/// A rename is on the disk when the folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_committed_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        let mut replacement = Replacement::create(&path).unwrap();
        replacement.write(b"new").unwrap();
        replacement.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(replacement);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
