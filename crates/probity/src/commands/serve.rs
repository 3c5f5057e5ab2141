//! `probity serve`: answers over HTTP.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use server::{Server, Settings, State};
use tracing_subscriber::filter::LevelFilter;

use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::learning;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Configuration file in TOML; its keys are the names that `probity config` prints.
    #[arg(long, env = "PROBITY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let settings = &arguments.settings;
    log(&settings.log);
    let deciders = learning::serving::deciders(settings);
    let state = State::with_opener(settings, Arc::new(learning::serving::open), deciders).map_err(usage)?;
    let server = Server::bind(settings, state).map_err(usage)?;
    server.run(told_to_stop())?;
    Ok(Status::Done)
}

/// What is wrong before anything is loaded is wrong with the options.
fn usage(error: server::Error) -> anyhow::Error {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    match error {
        server::Error::Artifact(_) => InputError(format!("{error}{cause}")).into(),
        _ => UsageError(format!("{error}{cause}")).into(),
    }
}

fn log(level: &str) {
    let level = LevelFilter::from_str(level).unwrap_or(LevelFilter::INFO);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(colours).init();
}

/// SIGTERM or SIGINT; a second one ends the process at once.
async fn told_to_stop() {
    first_signal().await;
    tokio::spawn(async {
        first_signal().await;
        tracing::warn!("told to stop again: leaving requests unanswered");
        end();
    });
}

/// As the shell reports a process that SIGINT has ended.
#[expect(clippy::exit, reason = "asked for; aborting could write the memory, and with it facts, to disk")]
pub(crate) fn end() -> ! {
    std::process::exit(130)
}

/// SIGTERM or SIGINT.
#[cfg(unix)]
pub(crate) async fn first_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
pub(crate) async fn first_signal() {
    let _ = tokio::signal::ctrl_c().await;
}
