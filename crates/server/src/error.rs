//! Why the server does not start, or does not reload.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Whatever keeps a model from being loaded; its causes say the file and the place.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// Why the server stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No model is named: there is nothing to serve.
    #[error(
        "nothing to serve: name a rule file with --rules, alert models with --alerts, learned models with --model, other \
         ways to decide with --decider, or a data folder with --data"
    )]
    NothingToServe,
    /// A path that does not say what its model answers.
    #[error("{} does not say which alert model it is: write scorer=, ranker= or cluster= before it", .0.display())]
    AlertModel(PathBuf),
    /// An artifact that cannot be read.
    #[error(transparent)]
    Artifact(LoadError),
    /// Two models for one question.
    #[error("two models are named for {0}")]
    TwoModels(String),
    /// Nobody says how `--decider` is to be understood.
    #[error("--decider {0}: this server was started without any way to open it")]
    NoWayToOpen(String),
    /// Adapters without a model that they stand beside.
    #[error("--adapter names an adapter of the first --model, and there is none")]
    AdapterAlone,
    /// Adapters might be loaded from anywhere.
    #[error("--allow-adapter-loading needs --adapter-root: the folder that adapters may be loaded from")]
    AdapterRoot,
    /// The address is taken, or not ours.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A model cannot be loaded.
    #[error("failed to load {model}")]
    Load {
        /// Its name.
        model: String,
        /// Why.
        source: LoadError,
    },
    /// The file with the key cannot be used.
    #[error("failed to read the key from {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The data folder cannot be used.
    #[error("failed to open the data folder {}", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Trainings need a folder.
    #[error("--allow-training needs a data folder: name one with --data")]
    TrainingWithoutData,
    /// An origin is no origin.
    #[error("`{0}` is not an origin such as https://example.com")]
    Origin(String),
    /// The system refuses threads, signals or sockets.
    #[error("failed to start")]
    Start(#[source] std::io::Error),
}
