//! Every option of the server.
//!
//! One declaration gives the flag, the environment variable and the key in the configuration file. A flag
//! counts before the environment, the environment before the file, the file before the default.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::{NamedDecider, NamedFolder, Products, Weights};

/// See the module.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Rule file, for /v1/drools/score.
    #[arg(long, env = "PROBITY_RULES", value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// Alert models: artifacts of `train alerts`, or scorer=, ranker= or cluster= and a LightGBM model file.
    #[arg(long, env = "PROBITY_ALERTS", value_name = "PATH", value_delimiter = ',', num_args = 1..)]
    pub alerts: Vec<String>,

    /// Learned models: artifacts of `train`, or checkpoints in Hugging Face layout. Named by their folders.
    #[arg(long, env = "PROBITY_MODEL", value_name = "PATH", value_delimiter = ',')]
    pub model: Vec<PathBuf>,

    /// Adapters in the layout of peft beside the first model; callers name them as they name models.
    #[arg(long, env = "PROBITY_ADAPTER", value_name = "NAME=DIR", value_delimiter = ',')]
    pub adapter: Vec<NamedFolder>,

    /// Other ways to decide: what `probity decide --with` takes, such as `cascade=FILE.toml` or `remote=URL,model=NAME`,
    /// under a name that requests ask for by `with`. Models that they need are held by themselves, beside those of --model.
    /// The environment variable takes one.
    #[arg(long, env = "PROBITY_DECIDER", value_name = "NAME=WITH")]
    pub decider: Vec<NamedDecider>,

    /// In what a learned model's matrix products run.
    #[arg(long, env = "PROBITY_DTYPE", value_name = "TYPE", default_value = "bf16")]
    pub dtype: Products,

    /// In what a learned model's weights are held.
    #[arg(long, env = "PROBITY_WEIGHTS", value_name = "STORAGE", default_value = "plain")]
    pub weights: Weights,

    /// Memory of each learned model for what it has read of prompts and answers.
    #[arg(long, env = "PROBITY_CACHE_MEGABYTES", value_name = "MEGABYTES", default_value = "1024")]
    pub cache_megabytes: usize,

    /// Answers that a learned model writes at once; those beyond wait.
    #[arg(long, env = "PROBITY_SEQUENCES", value_name = "COUNT", default_value = "64")]
    pub sequences: usize,

    /// Answer POST /v1/load_lora_adapter and /v1/unload_lora_adapter.
    #[arg(long, env = "PROBITY_ALLOW_ADAPTER_LOADING", value_parser = BoolishValueParser::new())]
    pub allow_adapter_loading: bool,

    /// Folder that adapters may be loaded from.
    #[arg(long, env = "PROBITY_ADAPTER_ROOT", value_name = "DIR")]
    pub adapter_root: Option<PathBuf>,

    /// Firings allowed for one case.
    #[arg(long, env = "PROBITY_MAX_FIRINGS", value_name = "COUNT", default_value = "100000")]
    pub max_firings: usize,

    /// Address and port; nobody but this machine reaches the default.
    #[arg(long, env = "PROBITY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,

    /// Threads; 0 takes as many as there are cores.
    #[arg(long, env = "PROBITY_SERVE_THREADS", value_name = "COUNT", default_value = "0")]
    pub serve_threads: usize,

    /// Callers must send this key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
    ///
    /// A flag can be read in the list of processes: prefer the environment or --api-key-file.
    #[arg(long, env = "PROBITY_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<Secret>,

    /// File whose first line is the key.
    #[arg(long, env = "PROBITY_API_KEY_FILE", value_name = "FILE", conflicts_with = "api_key")]
    pub api_key_file: Option<PathBuf>,

    /// Origins whose pages may call; none unless listed.
    #[arg(long, env = "PROBITY_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,

    /// Largest body, in bytes.
    #[arg(long, env = "PROBITY_MAX_BODY_BYTES", value_name = "BYTES", default_value = "16777216")]
    pub max_body_bytes: usize,

    /// Requests answered at once; those beyond are refused with 503.
    #[arg(long, env = "PROBITY_MAX_REQUESTS", value_name = "COUNT", default_value = "256")]
    pub max_requests: u32,

    /// Connections open at once; those beyond wait.
    #[arg(long, env = "PROBITY_MAX_CONNECTIONS", value_name = "COUNT", default_value = "1024")]
    pub max_connections: u32,

    /// Time to receive a request, and again time to answer it.
    #[arg(long, env = "PROBITY_REQUEST_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub request_timeout: Duration,

    /// Time for requests under way when the server is told to stop.
    #[arg(long, env = "PROBITY_SHUTDOWN_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub shutdown_timeout: Duration,

    /// Write counters of learned models under vLLM's names, too.
    #[arg(long, env = "PROBITY_VLLM_METRICS", value_parser = BoolishValueParser::new())]
    pub vllm_metrics: bool,

    /// Look this often whether files have changed, and reload them; 0 never looks. SIGHUP reloads in any case.
    #[arg(long, env = "PROBITY_WATCH", value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub watch: Duration,

    /// Answer POST /admin/reload.
    #[arg(long, env = "PROBITY_ADMIN_RELOAD", value_parser = BoolishValueParser::new())]
    pub admin_reload: bool,

    /// Folder for uploaded files, batches and training jobs; without it, /v1/files and /v1/batches are not answered.
    #[arg(long, env = "PROBITY_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,

    /// Largest file that may be uploaded, in bytes.
    #[arg(long, env = "PROBITY_MAX_FILE_BYTES", value_name = "BYTES", default_value = "209715200")]
    pub max_file_bytes: u64,

    /// Requests of a batch answered at once, beside those of callers; unless given, half of --sequences.
    #[arg(long, env = "PROBITY_BATCH_REQUESTS", value_name = "COUNT")]
    pub batch_requests: Option<usize>,

    /// Answer POST /train: whoever has the key may then start trainings on this machine. Needs --data.
    #[arg(long, env = "PROBITY_ALLOW_TRAINING", value_parser = BoolishValueParser::new())]
    pub allow_training: bool,

    /// Training jobs that run at once; others wait.
    #[arg(long, env = "PROBITY_TRAINING_JOBS", value_name = "COUNT", default_value = "1")]
    pub training_jobs: usize,

    /// The program that trains, for tests; this same program if there is none.
    #[arg(skip)]
    pub training_program: Option<PathBuf>,

    /// What is logged on standard error: off, error, warn, info (every request) or debug.
    #[arg(long, env = "PROBITY_LOG", value_name = "LEVEL", default_value = "info",
        value_parser = ["off", "error", "warn", "info", "debug"])]
    pub log: String,
}

impl Settings {
    /// Requests of a batch that are answered at once. Callers stand in the same line: the other half of a model's
    /// places is theirs.
    pub(crate) fn batch_places(&self) -> usize {
        self.batch_requests.unwrap_or(self.sequences / 2).max(1)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("********")
    }
}

impl Default for Settings {
    /// The defaults alone, whatever the environment has.
    fn default() -> Self {
        let command = Settings::augment_args(clap::Command::new("probity")).mut_args(|argument| argument.env(None));
        let matches = command.get_matches_from(["probity"]);
        <Settings as clap::FromArgMatches>::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Both sides of an option that gives something a name, `NAME=WHAT`, if neither is empty.
pub(crate) fn named(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, what)| !name.is_empty() && !what.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_leaves_half_of_a_models_places_to_callers() {
        let places =
            |sequences, batch_requests| Settings { sequences, batch_requests, ..Settings::default() }.batch_places();
        assert_eq!(Settings::default().batch_places() * 2, Settings::default().sequences);
        assert_eq!((places(10, None), places(1, None), places(10, Some(0)), places(10, Some(9))), (5, 1, 1, 9));
    }
}
