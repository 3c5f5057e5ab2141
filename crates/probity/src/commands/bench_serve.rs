//! `probity bench serve`: load on a server, from connections that stay open, one request at a time each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::bench_http::{Address, Connection, Failure};
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The server, for example http://127.0.0.1:8000.
    #[arg(long)]
    url: String,
    /// Path and query.
    #[arg(long)]
    path: String,
    /// Body to POST; GET without one.
    #[arg(long)]
    body: Option<PathBuf>,
    /// Each line of the body's file is a body of its own, taken in turn.
    #[arg(long, requires = "body")]
    lines: bool,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// Seconds that count, after one more to warm up.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The server's key.
    #[arg(long, env = "PROBITY_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

/// Answers before this time do not count.
const WARM_UP: Duration = Duration::from_secs(1);

/// What one connection, or all of them, saw.
#[derive(Default)]
struct Seen {
    microseconds: Vec<u32>,
    /// Answers with a status other than 2xx.
    refused: u64,
    /// Connections that broke.
    broken: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let address = Address::read(&arguments.url)?;
    let requests = Arc::new(requests(arguments, &address)?);
    let duration = Duration::try_from_secs_f64(arguments.seconds).map_err(|error| UsageError(error.to_string()))?;
    // One thread: the server on the same machine needs the others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut seen = runtime.block_on(load(&address, &requests, arguments.concurrency.max(1), duration));
    if seen.microseconds.is_empty() && seen.refused == 0 {
        return Err(InputError(format!("{} does not answer", arguments.url)).into());
    }
    seen.microseconds.sort_unstable();
    let share = |share: f64| {
        let last = seen.microseconds.len().saturating_sub(1);
        seen.microseconds.get((last as f64 * share).round() as usize).map(|time| f64::from(*time) / 1e3)
    };
    let result = json!({
        "url": arguments.url,
        "path": arguments.path,
        "concurrency": arguments.concurrency,
        "seconds": arguments.seconds,
        "requests": seen.microseconds.len(),
        "requests_per_second": seen.microseconds.len() as f64 / duration.as_secs_f64(),
        "p50_ms": share(0.50),
        "p95_ms": share(0.95),
        "p99_ms": share(0.99),
        "max_ms": share(1.0),
        "refused": seen.refused,
        "broken": seen.broken,
    });
    streams::print(&format!("{result}\n"))?;
    Ok(if seen.refused + seen.broken == 0 { Status::Done } else { Status::GateFailed })
}

/// Every request as the bytes that are sent.
fn requests(arguments: &Arguments, address: &Address) -> anyhow::Result<Vec<Vec<u8>>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let bodies: Vec<Vec<u8>> = match &arguments.body {
        None => vec![Vec::new()],
        Some(path) if arguments.lines => {
            read(path)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
        }
        Some(path) => vec![read(path)?],
    };
    if bodies.is_empty() {
        return Err(InputError("the body's file has no lines".to_owned()).into());
    }
    let method = if arguments.body.is_some() { "POST" } else { "GET" };
    let key = arguments.api_key.as_ref().map(|key| format!("X-API-Key: {key}\r\n")).unwrap_or_default();
    Ok(bodies.iter().map(|body| address.request(method, &arguments.path, &key, body)).collect())
}

async fn load(address: &Address, requests: &Arc<Vec<Vec<u8>>>, connections: usize, duration: Duration) -> Seen {
    let begin = Instant::now() + WARM_UP;
    let end = begin + duration;
    let tasks: Vec<_> = (0..connections)
        .map(|number| tokio::spawn(caller(Connection::new(address), Arc::clone(requests), number, begin, end)))
        .collect();
    let mut all = Seen::default();
    for task in tasks {
        let Ok(seen) = task.await else { continue };
        all.microseconds.extend(seen.microseconds);
        all.refused += seen.refused;
        all.broken += seen.broken;
    }
    all
}

/// One connection, opened again when it breaks.
async fn caller(
    mut connection: Connection,
    requests: Arc<Vec<Vec<u8>>>,
    number: usize,
    begin: Instant,
    end: Instant,
) -> Seen {
    let mut seen = Seen::default();
    let mut next = number * 7919;
    loop {
        let start = Instant::now();
        if start >= end {
            return seen;
        }
        next += 1;
        let status = match connection.ask(&requests[next % requests.len()], |_| {}).await {
            Ok(status) => status,
            Err(failure) => {
                seen.broken += 1;
                if matches!(failure, Failure::Connect(_)) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                continue;
            }
        };
        if start < begin {
            continue;
        }
        if (200..300).contains(&status) {
            let time = start.elapsed().as_micros();
            seen.microseconds.push(u32::try_from(time).unwrap_or(u32::MAX));
        } else {
            seen.refused += 1;
        }
    }
}
