//! What can go wrong in this crate.

use std::io;
use std::path::PathBuf;

/// A failure of this crate, in words that fit "failed to …: {error}".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A configuration (`config.json`, `adapter_config.json`, a recipe) says something we cannot do.
    #[error("{}: {problem}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A weights file is damaged, or a tensor is missing or of another shape than the model needs.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The file or the folder of the checkpoint.
        path: PathBuf,
        /// What is wrong, with the tensor's name.
        problem: String,
    },
    /// A line of data cannot be used.
    #[error("{}:{line}: {problem}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A tokenizer cannot be read, trained or applied.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A prompt cannot be answered.
    #[error("prompt {number}: {problem}")]
    Prompt {
        /// Its place among the prompts, from 0.
        number: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No answer can be held to a form: a schema or expression that cannot be compiled, or an answer that left it.
    #[error("{0}")]
    Grammar(String),
    /// A request cannot be answered.
    #[error("{0}")]
    Request(String),
    /// Too many requests wait already.
    #[error("too many requests wait to be answered")]
    Busy,
    /// The system gives no threads.
    #[error("threads: {0}")]
    Threads(String),
    /// The loss or a gradient is no longer a number.
    #[error("the {what} is not finite at step {step}; the last good checkpoint is kept")]
    NotFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The optimiser step, from 1.
        step: u64,
    },
}

impl Error {
    /// An [`Error::Io`] at a path, for `map_err`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;
