//! `probity batches pull`: fetches alert batches of some days, each file checked against its MD5 sum.
//!
//! A pull that was interrupted goes on where it stopped: files that are there and right are left alone, and
//! a file that was cut short is asked for from where it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::ToSpan;
use jiff::civil::Date;
use md5::{Digest, Md5};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use serde_json::{Value, json};

use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Fetch batches: snapshots/NETWORK/DATE/DAYS/*.parquet with META.json.
    Pull(Arguments),
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// What lies above `snapshots/`: an http(s) URL, s3://bucket/prefix, or a folder.
    ///
    /// S3 takes the keys, the region and the endpoint of the usual AWS_ variables; without keys the bucket
    /// must be public.
    #[arg(long)]
    from: String,
    /// First day, `YYYY-MM-DD`.
    #[arg(long)]
    start: String,
    /// Last day, `YYYY-MM-DD`.
    #[arg(long)]
    end: String,
    /// The network, as the folders are called.
    #[arg(long, default_value = "synthetic")]
    network: String,
    /// Days that a batch spans.
    #[arg(long, default_value_t = 7)]
    window_days: u32,
    /// Where to write.
    #[arg(long)]
    out: PathBuf,
}

/// Where batches come from.
enum Source {
    Folder(PathBuf),
    Http { base: String, agent: ureq::Agent },
    S3 { bucket: Box<Bucket>, credentials: Option<Credentials>, prefix: String, agent: ureq::Agent },
}

/// How long a signed address of S3 is good for.
const SIGNED: Duration = Duration::from_secs(600);

pub(crate) fn run(command: Command) -> Outcome {
    let Command::Pull(arguments) = command;
    let day = |text: &str| text.parse::<Date>().map_err(|_| UsageError(format!("{text} is no date: write YYYY-MM-DD")));
    let (start, end) = (day(&arguments.start)?, day(&arguments.end)?);
    if end < start {
        return Err(UsageError(format!("--end {end} is before --start {start}")).into());
    }
    if arguments.network.is_empty() || arguments.network.contains(['/', '\\']) || arguments.network.starts_with('.') {
        return Err(UsageError("--network is the name of one folder".to_owned()).into());
    }
    let source = source(&arguments.from)?;
    let days: Vec<Date> = start.series(1.day()).take_while(|day| *day <= end).collect();
    let bar = ProgressBar::new(days.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} days, {eta} left {msg}")?);
    let (mut batches, mut files, mut bytes) = (0, 0, 0);
    let mut problems = Vec::new();
    for day in days {
        bar.set_message(day.to_string());
        let place = format!("snapshots/{}/{day}/{}", arguments.network, arguments.window_days);
        match pull(&source, &place, &arguments.out.join(&place)) {
            Ok(None) => {}
            Ok(Some((fetched, size))) => {
                batches += 1;
                files += fetched;
                bytes += size;
            }
            // One batch that fails does not keep the others away.
            Err(error) => problems.push(format!("{place}: {error:#}")),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    problems.iter().for_each(|problem| streams::complain(problem));
    let summary = json!({
        "batches": batches,
        "files_fetched": files,
        "bytes_fetched": bytes,
        "failed": problems.len(),
        "out": arguments.out.display().to_string(),
    });
    streams::print(&format!("{summary}\n"))?;
    if batches == 0 && problems.is_empty() {
        return Err(InputError(format!("{} has no batch of these days", arguments.from)).into());
    }
    Ok(if problems.is_empty() { Status::Done } else { Status::UnusableInput })
}

fn source(from: &str) -> anyhow::Result<Source> {
    let agent = || {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .http_status_as_error(false);
        config.build().new_agent()
    };
    if from.starts_with("http://") || from.starts_with("https://") {
        return Ok(Source::Http { base: from.trim_end_matches('/').to_owned(), agent: agent() });
    }
    let Some(rest) = from.strip_prefix("s3://") else { return Ok(Source::Folder(PathBuf::from(from))) };
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).unwrap_or("us-east-1".to_owned());
    let (endpoint, style) = match variable("AWS_ENDPOINT_URL") {
        Some(endpoint) => (endpoint, UrlStyle::Path),
        None => (format!("https://s3.{region}.amazonaws.com"), UrlStyle::VirtualHost),
    };
    let wrong = |problem: String| UsageError(format!("--from {from}: {problem}"));
    let endpoint = endpoint.parse().map_err(|error| wrong(format!("the endpoint is no address: {error}")))?;
    let bucket = Bucket::new(endpoint, style, name.to_owned(), region).map_err(|error| wrong(error.to_string()))?;
    let prefix = prefix.trim_end_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Ok(Source::S3 { bucket: Box::new(bucket), credentials: Credentials::from_env(), prefix, agent: agent() })
}

/// Fetches a batch; nothing where there is none. Returns how many files and bytes were fetched.
fn pull(source: &Source, place: &str, folder: &Path) -> anyhow::Result<Option<(usize, u64)>> {
    let Some(meta) = source.read(&format!("{place}/META.json"))? else { return Ok(None) };
    let parsed: Value = serde_json::from_slice(&meta).context("META.json is not JSON")?;
    let list = parsed["files"].as_object().context("META.json lists no files")?;
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let (mut files, mut bytes) = (0, 0);
    for (name, entry) in list {
        let expected = entry["md5"].as_str().with_context(|| format!("META.json has no MD5 sum for {name}"))?;
        // The name comes from outside: it must not lead out of the folder.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            anyhow::bail!("META.json lists `{name}`, which is no file name");
        }
        let path = folder.join(name);
        if path.exists() && sum(&path)? == expected.to_lowercase() {
            continue;
        }
        bytes += fetch(source, &format!("{place}/{name}"), &path, &expected.to_lowercase())?;
        files += 1;
    }
    streams::write_file(&folder.join("META.json"), &meta)?;
    Ok(Some((files, bytes)))
}

/// Fetches a file beside its place, going on where an earlier attempt ended, and moves it once it is right.
fn fetch(source: &Source, place: &str, path: &Path, expected: &str) -> anyhow::Result<u64> {
    let beside = path.with_extension("parquet.part");
    let mut fetched = 0;
    // A part that does not become the right file is thrown away once.
    for attempt in 0..2 {
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&beside)?;
        let from = if attempt == 0 { file.seek(SeekFrom::End(0))? } else { 0 };
        if attempt > 0 {
            file.set_len(0)?;
        }
        fetched += source.copy(place, from, &mut file)?;
        file.flush()?;
        drop(file);
        if sum(&beside)? == expected {
            std::fs::rename(&beside, path).with_context(|| format!("failed to write {}", path.display()))?;
            return Ok(fetched);
        }
    }
    let _ = std::fs::remove_file(&beside);
    anyhow::bail!("{} does not have the MD5 sum that META.json states", path.display())
}

fn sum(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut hasher = Md5::new();
    std::io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Attempts at a request before its error counts.
const ATTEMPTS: u32 = 4;

impl Source {
    /// A small file whole; nothing where there is none.
    fn read(&self, place: &str) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => match std::fs::read(folder.join(place)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| format!("failed to read {place}")),
            },
            _ => {
                let mut response = self.request(place, 0)?;
                match response.status().as_u16() {
                    200 => Ok(Some(response.body_mut().read_to_vec()?)),
                    404 => Ok(None),
                    status => anyhow::bail!("{place}: status {status}"),
                }
            }
        }
    }

    /// Copies a file from some byte on; returns how many were copied.
    fn copy(&self, place: &str, from: u64, out: &mut File) -> anyhow::Result<u64> {
        match self {
            Self::Folder(folder) => {
                let mut file = File::open(folder.join(place)).with_context(|| format!("failed to open {place}"))?;
                file.seek(SeekFrom::Start(from))?;
                Ok(std::io::copy(&mut file, out)?)
            }
            _ => {
                let mut response = self.request(place, from)?;
                match response.status().as_u16() {
                    206 => {}
                    // The server sends everything: what was there is of no use.
                    200 => out.set_len(0)?,
                    416 => return Ok(0),
                    status => anyhow::bail!("{place}: status {status}"),
                }
                let mut reader = response.body_mut().as_reader().take(u64::MAX);
                Ok(std::io::copy(&mut reader, out)?)
            }
        }
    }

    fn request(&self, place: &str, from: u64) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let (agent, address) = match self {
            Self::Http { base, agent } => (agent, format!("{base}/{place}")),
            Self::S3 { bucket, credentials, prefix, agent } => {
                let object = format!("{prefix}{place}");
                (agent, bucket.get_object(credentials.as_ref(), &object).sign(SIGNED).to_string())
            }
            Self::Folder(_) => unreachable!("folders are read without requests"),
        };
        let mut attempt = 0;
        loop {
            let mut request = agent.get(&address);
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let result = request.call();
            attempt += 1;
            let again = match &result {
                Ok(response) => response.status().is_server_error() || response.status().as_u16() == 429,
                Err(_) => true,
            };
            if !again || attempt == ATTEMPTS {
                return result.with_context(|| format!("failed to fetch {place}"));
            }
            std::thread::sleep(Duration::from_millis(250 << attempt));
        }
    }
}
