//! `probity bench endpoint`: how well and how fast a server decides, whatever is behind it: a model that is served as
//! OpenAI serves, by whomever, or rules.

mod answer;
pub(super) mod cases;
mod load;
pub(super) mod question;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use decision::Desk;
use evaluate::endpoint::{self, Endpoint, Kind, Level};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use self::cases::{Cases, Source};
use self::load::{Amount, Asked, Load, Seen};
use self::question::{Question, Schema, Style};
use super::bench_http::{Address, Connection};
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The server, for example http://127.0.0.1:8000 or http://host:8000/v1. No TLS.
    url: String,
    /// The desk whose cases are decided.
    #[arg(long, default_value = "transactions")]
    desk: String,
    #[command(flatten)]
    source: Source,
    /// Which interface is asked: a model, or the rules beside it.
    #[arg(long, value_enum, default_value = "completions")]
    style: Style,
    /// Where, if not at the interface's usual path.
    #[arg(long)]
    path: Option<String>,
    /// The model's name; the first of /v1/models if left out.
    #[arg(long)]
    model: Option<String>,
    /// How the form of the answer is asked for.
    #[arg(long, value_enum, default_value = "response_format")]
    schema: Schema,
    /// Tokens that an answer may have.
    #[arg(long, default_value_t = 128)]
    max_tokens: usize,
    /// Takes answers in pieces, and measures when the first comes.
    #[arg(long)]
    stream: bool,
    /// Requests in flight, one measurement for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 8, 16])]
    concurrency: Vec<usize>,
    /// Requests of each measurement; as many as there are cases if left out.
    #[arg(long, conflicts_with = "seconds")]
    requests: Option<usize>,
    /// Seconds of each measurement.
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds after which an answer is given up.
    #[arg(long, default_value_t = 60.0)]
    timeout: f64,
    /// The server's key.
    #[arg(long, env = "PROBITY_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Also writes the figures to this file, for `compare`.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let desk = super::decide::desk(&arguments.desk)?;
    if desk.name() != "transactions" {
        return Err(UsageError(format!("there are no prompts for the desk `{}`", desk.name())).into());
    }
    if arguments.stream && arguments.style == Style::Rules {
        return Err(UsageError("rules answer at once: leave --stream out".to_owned()).into());
    }
    let cases = arguments.source.cases(&*desk)?;
    // One thread: a server on the same machine needs the others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(arguments, &*desk, &cases))
}

async fn measure(arguments: &Arguments, desk: &dyn Desk, cases: &Cases) -> Outcome {
    let address = Address::read(&arguments.url)?;
    let model = match (&arguments.model, arguments.style) {
        (Some(model), _) => model.clone(),
        (None, Style::Rules) => "rules".to_owned(),
        (None, _) => first_model(&address, arguments).await?,
    };
    let load = Arc::new(load(arguments, address, cases, &model)?);
    let mut endpoint = Endpoint {
        kind: Kind::Endpoint,
        format: 1,
        url: format!("{}{}", arguments.url.trim_end_matches('/'), path(arguments, &load.address)),
        model,
        desk: desk.name().to_owned(),
        set: cases.set.clone(),
        cases: cases.list.len(),
        prompt: arguments.style.prompt().to_owned(),
        schema: if arguments.style == Style::Rules { Schema::None } else { arguments.schema }.name().to_owned(),
        stream: arguments.stream,
        interrupted: false,
        levels: Vec::new(),
    };
    for (place, concurrency) in arguments.concurrency.iter().map(|number| (*number).max(1)).enumerate() {
        let seen = Seen::new(load.first(place), progress(concurrency, load.requests()));
        tokio::select! {
            () = load.run(concurrency, &seen) => {}
            () = super::serve::first_signal() => endpoint.interrupted = true,
        }
        let (samples, seconds) = seen.end();
        let mut level = Level::new(concurrency, &samples, seconds, desk.outcomes());
        level.unsent = load.requests().map_or(0, |count| count - level.requests);
        let gone = level.answered == 0;
        endpoint.levels.push(level);
        if gone || endpoint.interrupted {
            break;
        }
    }
    report(arguments, &endpoint)
}

/// Prints and writes the figures.
fn report(arguments: &Arguments, endpoint: &Endpoint) -> Outcome {
    let one = std::slice::from_ref(endpoint);
    let names = endpoint::names(std::slice::from_ref(&endpoint.model), one);
    streams::note(&format!("{}: {} cases, {}", endpoint.url, endpoint.cases, endpoint.set));
    streams::note(endpoint::render(&names, &endpoint::rows(one)).trim_end());
    for (name, level) in names.iter().zip(&endpoint.levels) {
        for (kind, count) in &level.errors {
            streams::note(&format!("{name}: {count} without an answer ({kind})"));
        }
        if level.unsent > 0 {
            streams::note(&format!("{name}: {} never sent or given up", level.unsent));
        }
    }
    let text = serde_json::to_string(endpoint)?;
    if let Some(path) = &arguments.out {
        streams::write_file(path, format!("{text}\n").as_bytes())?;
    }
    streams::print(&format!("{text}\n"))?;
    let failed = endpoint.levels.iter().any(|level| !level.errors.is_empty() || level.unsent > 0);
    Ok(match (endpoint.interrupted, failed) {
        (true, _) => Status::Interrupted,
        (false, true) => Status::GateFailed,
        (false, false) => Status::Done,
    })
}

/// The path behind the address. Callers of OpenAI's interface name it with its version: it is not said twice.
fn path<'a>(arguments: &'a Arguments, address: &Address) -> &'a str {
    let path = arguments.path.as_deref().unwrap_or(arguments.style.path());
    if address.base.ends_with("/v1") { path.strip_prefix("/v1").unwrap_or(path) } else { path }
}

fn headers(arguments: &Arguments) -> String {
    arguments.api_key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default()
}

fn load(arguments: &Arguments, address: Address, cases: &Cases, model: &str) -> anyhow::Result<Load> {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(|error| UsageError(error.to_string()));
    let question = Question {
        style: arguments.style,
        schema: arguments.schema,
        model: model.to_owned(),
        most: arguments.max_tokens,
        stream: arguments.stream,
    };
    let headers = headers(arguments);
    let path = path(arguments, &address);
    let ask = |facts: &str| Some(address.request("POST", path, &headers, &question.body(facts)?));
    let list = cases.list.iter().map(|case| Asked { request: ask(&case.facts), truth: case.truth.clone() }).collect();
    let amount = match arguments.seconds {
        Some(time) => Amount::Seconds(seconds(time)?),
        None => Amount::Requests(arguments.requests.unwrap_or(cases.list.len())),
    };
    let (style, stream) = (arguments.style, arguments.stream);
    Ok(Load { address, style, stream, amount, timeout: seconds(arguments.timeout)?, list })
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// The first model that the endpoint lists.
async fn first_model(address: &Address, arguments: &Arguments) -> anyhow::Result<String> {
    let path = if address.base.ends_with("/v1") { "/models" } else { "/v1/models" };
    let request = address.request("GET", path, &headers(arguments), b"");
    let mut body = Vec::new();
    let mut connection = Connection::new(address);
    let asking = connection.ask(&request, |bytes| body.extend_from_slice(bytes));
    let answer = tokio::time::timeout(Duration::from_secs(10), asking).await;
    let problem = match answer {
        Ok(Ok(200)) => {
            match serde_json::from_slice::<Models>(&body).ok().and_then(|models| models.data.into_iter().next()) {
                Some(model) => return Ok(model.id),
                None => "lists no model".to_owned(),
            }
        }
        Ok(Ok(status)) => format!("answers with status {status}"),
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => "does not answer".to_owned(),
    };
    Err(InputError(format!("{}{path}: {problem}; name the model with --model", arguments.url)).into())
}

/// A bar on a terminal, nothing elsewhere.
fn progress(concurrency: usize, requests: Option<usize>) -> ProgressBar {
    let (bar, template) = match requests {
        Some(count) => (ProgressBar::new(count as u64), "{msg} {bar:24} {pos}/{len}, {per_sec}"),
        None => (ProgressBar::no_length(), "{msg} {pos} answers, {per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(format!("{concurrency} in flight:"));
    bar
}
