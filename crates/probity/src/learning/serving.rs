//! Models as the server opens them.

use std::path::Path;

use lm::inference::HostOptions;
use server::{LoadError, Opened};

/// Opens the model of a folder.
///
/// # Errors
/// When the folder has no model that this program can run.
pub(crate) fn open(folder: &Path, options: &HostOptions) -> Result<Opened, LoadError> {
    Opened::checkpoint(folder, options)
}
