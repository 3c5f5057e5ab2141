//! From a run folder to an artifact that can be served: all of it or nothing.

use std::fs;
use std::io;
use std::path::Path;

use super::record::Kind;
use crate::data::{self, PART};

/// What a complete artifact of the transactions desk has; the manifest is written last.
const SEALED: [&str; 3] = ["model", "scorecard.json", "manifest.json"];

/// Whether a run has come to its end.
pub(super) fn is_complete(kind: Kind, run: &Path) -> bool {
    let last = match kind {
        Kind::Transactions => "manifest.json",
        Kind::Lm => "summary.json",
    };
    run.join(last).is_file() && run.join("model").is_dir()
}

/// Gives the artifact of a run its place among the models. Done again after it was cut short, it ends the same.
pub(super) fn publish(kind: Kind, run: &Path, models: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(models)?;
    let (part, place) = (models.join(format!("{name}{PART}")), models.join(name));
    if place.exists() {
        return Ok(());
    }
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    match kind {
        Kind::Lm => link_folder(&run.join("model"), &part)?,
        Kind::Transactions => {
            fs::create_dir(&part)?;
            for name in SEALED {
                let (from, to) = (run.join(name), part.join(name));
                if from.is_dir() {
                    link_folder(&from, &to)?;
                } else if from.exists() {
                    data::link(&from, &to)?;
                }
            }
        }
    }
    data::settle(&part, &place)
}

/// Files are never written to once they are there, so that a second name is as good as a copy.
fn link_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() { link_folder(&entry.path(), &to)? } else { data::link(&entry.path(), &to)? }
    }
    Ok(())
}
