//! Files that callers upload and batches write: a folder each, with `content` and `meta.json`.
//!
//! A file is there or not there: its folder is filled beside its place and then moved. What a killed server leaves
//! half-written ends in `.part` and is removed at the next start.

mod object;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) use object::{About, FileObject};

use crate::data::{self, PART, Page, Window};

/// What a file's folder has the file itself as.
pub(crate) const CONTENT: &str = "content";
const META: &str = "meta.json";

/// What ids of files begin with.
pub(crate) const PREFIX: &str = "file-";

/// The folder of all files.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Opens the folder, and removes what a killed server left half-written there.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        data::sweep(&folder)?;
        Ok(Self { folder })
    }

    /// A file that is about to come.
    pub(crate) fn receive(&self) -> io::Result<Incoming> {
        let id = data::new_id(PREFIX);
        let part = self.folder.join(format!("{id}{PART}"));
        fs::create_dir(&part)?;
        let content = File::create_new(part.join(CONTENT))?;
        Ok(Incoming { files: self.clone(), id, part, content, bytes: 0 })
    }

    /// What is known of a file; `NotFound` where there is none of this id.
    pub(crate) fn get(&self, id: &str) -> io::Result<FileObject> {
        Ok(serde_json::from_slice(&fs::read(self.place(id)?.join(META))?)?)
    }

    /// The content of a file.
    pub(crate) fn content(&self, id: &str) -> io::Result<File> {
        File::open(self.place(id)?.join(CONTENT))
    }

    /// Gives the content a second name, so that it is there after the file is deleted, too.
    pub(crate) fn link(&self, id: &str, to: &Path) -> io::Result<()> {
        data::link(&self.place(id)?.join(CONTENT), to)
    }

    /// Files in the order in which they came, or the other way round.
    pub(crate) fn list(&self, window: &Window, purpose: Option<&str>) -> io::Result<Page<FileObject>> {
        let fits = |file: &FileObject| purpose.is_none_or(|purpose| file.purpose == purpose);
        data::page(data::ids(&self.folder, PREFIX)?, window, |id| self.get(id).ok().filter(fits))
    }

    /// Removes a file.
    pub(crate) fn delete(&self, id: &str) -> io::Result<()> {
        let part = self.folder.join(format!("{id}{PART}"));
        fs::rename(self.place(id)?, &part)?;
        fs::remove_dir_all(part)
    }

    /// Makes a file of a folder that has its content. Done again after it was cut short, it ends the same.
    pub(crate) fn adopt(&self, folder: &Path, id: &str, about: About) -> io::Result<()> {
        let content = File::open(folder.join(CONTENT))?;
        content.sync_all()?;
        let object = FileObject::new(id, content.metadata()?.len(), about);
        data::write_json(&folder.join(META), &object)?;
        data::settle(folder, &self.folder.join(id))
    }

    fn place(&self, id: &str) -> io::Result<PathBuf> {
        data::place(&self.folder, PREFIX, id)
    }
}

/// A file on its way. Dropped before [`Incoming::finish`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Incoming {
    files: Files,
    id: String,
    part: PathBuf,
    content: File,
    bytes: u64,
}

impl Incoming {
    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.content.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Puts the file in its place.
    pub(crate) fn finish(self, about: About) -> io::Result<FileObject> {
        self.files.adopt(&self.part, &self.id, about)?;
        self.files.get(&self.id)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `finish` it is no longer there; what cannot be removed now, the next start removes.
        let _ = fs::remove_dir_all(&self.part);
    }
}
