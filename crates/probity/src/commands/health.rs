//! `probity health`: whether a server is ready, as an exit code. For container health checks, where there is
//! no curl.

use std::time::Duration;

use clap::Args;

use crate::exit::{Outcome, Status};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The server.
    #[arg(long, env = "PROBITY_HEALTH_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5)));
    let agent = config.build().new_agent();
    match agent.get(format!("{}/health", arguments.url.trim_end_matches('/'))).call() {
        Ok(_) => Ok(Status::Done),
        Err(error) => {
            streams::complain(&format!("{} is not ready: {error}", arguments.url));
            Ok(Status::GateFailed)
        }
    }
}
