//! `probity validate`: whether a running server keeps the contract for alerts: shapes, explanations, the same
//! bytes on every run, latency.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use desks::alerts::{Batch, Snapshot, files};
use serde_json::{Map, Value, json};

use crate::exit::{InputError, Outcome, Status};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The server, for example http://127.0.0.1:8000.
    #[arg(long)]
    base_url: String,
    /// A batch to send: a folder with alerts.parquet. The last of several is taken; a small one of ours if
    /// left out.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Alerts of the batch that are sent.
    #[arg(long, default_value_t = 50)]
    alerts: usize,
    /// Runs that must give the same bytes.
    #[arg(long, default_value_t = 100)]
    runs: usize,
    /// Fail if the 99th percentile of a request with one alert takes longer, in milliseconds.
    #[arg(long)]
    max_p99_ms: Option<f64>,
    /// Write the report as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The server's key.
    #[arg(long, env = "PROBITY_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

/// A check and what came of it.
struct Check {
    name: String,
    /// Nothing where all is well.
    problem: Option<String>,
}

/// A server, and what was found.
struct Validation<'a> {
    agent: ureq::Agent,
    arguments: &'a Arguments,
    checks: Vec<Check>,
}

/// The batch that is sent when none is given.
const SAMPLE: &str = include_str!("validate.json");

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).http_status_as_error(false);
    let mut validation = Validation { agent: config.build().new_agent(), arguments, checks: Vec::new() };
    let batch = batch(arguments)?;
    let (status, health) = validation
        .get("/health")
        .map_err(|error| InputError(format!("{} does not answer: {error:#}", arguments.base_url)))?;
    validation.check("health", (status != 200).then(|| format!("status {status}")));
    let loaded = |name: &str| health["models_loaded"][name] == json!(true);
    let mut latency = Map::new();
    let questions =
        [("/score/alerts", "alert_scorer"), ("/rank/alerts", "alert_ranker"), ("/score/clusters", "cluster_scorer")];
    for (path, model) in questions {
        if loaded(model) {
            validation.path(path, &batch, &mut latency)?;
        } else {
            streams::note(&format!("{path}: no {model} is loaded, left out"));
        }
    }
    if latency.is_empty() {
        return Err(InputError(format!("{} has no alert model loaded", arguments.base_url)).into());
    }
    let failed = validation.checks.iter().filter(|check| check.problem.is_some()).count();
    let list: Vec<Value> = validation
        .checks
        .iter()
        .map(|check| json!({ "check": check.name, "passed": check.problem.is_none(), "problem": check.problem }))
        .collect();
    let report = json!({
        "base_url": arguments.base_url,
        "passed": failed == 0,
        "runs": arguments.runs,
        "alerts": batch["alerts"].as_array().map(Vec::len),
        "checks": list,
        "latency_ms": latency,
    });
    if let Some(path) = &arguments.out {
        streams::write_file(path, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
    }
    for check in &validation.checks {
        match &check.problem {
            None => streams::print(&format!("ok      {}\n", check.name))?,
            Some(problem) => streams::print(&format!("FAILED  {}: {problem}\n", check.name))?,
        }
    }
    for (name, value) in &latency {
        streams::print(&format!("{name}: {value}\n"))?;
    }
    Ok(if failed == 0 { Status::Done } else { Status::GateFailed })
}

/// The batch to send, as JSON.
fn batch(arguments: &Arguments) -> anyhow::Result<Value> {
    let Some(folder) = &arguments.data else { return Ok(serde_json::from_str(SAMPLE)?) };
    let folders = files::find(folder).map_err(|error| InputError(error.to_string()))?;
    let last = folders.last().context("a batch was found")?;
    let Batch { mut alerts, features, clusters, money_flows } =
        Snapshot::read(last).map_err(|error| InputError(error.to_string()))?.batch;
    alerts.truncate(arguments.alerts);
    // The server is not told what it should find out.
    alerts.iter_mut().for_each(|alert| alert.ground_truth = None);
    let mut clusters: Vec<_> = clusters.into_iter().take(arguments.alerts).collect();
    clusters.iter_mut().for_each(|cluster| cluster.ground_truth = None);
    Ok(serde_json::to_value(Batch { alerts, features, clusters, money_flows })?)
}

impl Validation<'_> {
    fn check(&mut self, name: &str, problem: Option<String>) {
        self.checks.push(Check { name: name.to_owned(), problem });
    }

    fn get(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        let mut request = self.agent.get(format!("{}{path}", self.arguments.base_url.trim_end_matches('/')));
        if let Some(key) = &self.arguments.api_key {
            request = request.header("X-API-Key", key);
        }
        let mut response = request.call()?;
        let text = response.body_mut().read_to_string()?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn post(&self, path: &str, body: &[u8]) -> anyhow::Result<(u16, Value)> {
        let mut request = self.agent.post(format!("{}{path}", self.arguments.base_url.trim_end_matches('/')));
        if let Some(key) = &self.arguments.api_key {
            request = request.header("X-API-Key", key);
        }
        let mut response = request.header("Content-Type", "application/json").send(body)?;
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// All checks of one path.
    fn path(&mut self, path: &str, batch: &Value, latency: &mut Map<String, Value>) -> anyhow::Result<()> {
        let list = if path.contains("clusters") { "clusters" } else { "alerts" };
        let body = serde_json::to_vec(batch)?;
        let (status, first) = self.post(path, &body)?;
        let wanted = batch[list].as_array().map_or(0, Vec::len);
        let shape = if status == 200 { shape(path, &first, wanted) } else { Some(format!("status {status}")) };
        let broken = shape.is_some();
        self.check(&format!("{path}: shape"), shape);
        if broken {
            return Ok(());
        }
        let first = still(first);
        let mut differing = 0;
        for _ in 1..self.arguments.runs {
            differing += usize::from(still(self.post(path, &body)?.1) != first);
        }
        let problem = (differing > 0).then(|| format!("{differing} of {} runs differ", self.arguments.runs));
        self.check(&format!("{path}: the same bytes in {} runs", self.arguments.runs), problem);
        let mut turned = batch.clone();
        for name in ["alerts", "features", "clusters", "money_flows"] {
            if let Some(list) = turned[name].as_array_mut() {
                list.reverse();
            }
        }
        let same = by_name(&still(self.post(path, &serde_json::to_vec(&turned)?)?.1)) == by_name(&first);
        self.check(&format!("{path}: the order of the batch does not show"), (!same).then(|| "it does".to_owned()));
        let mut times = Vec::new();
        let mut alone_differs = 0;
        for item in batch[list].as_array().into_iter().flatten().take(200) {
            let mut alone = batch.clone();
            alone[list] = json!([item]);
            // Only the time of the answer counts, not that of making the request.
            let body = serde_json::to_vec(&alone)?;
            let start = Instant::now();
            let (_, answer) = self.post(path, &body)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            let known = by_name(&first);
            let differs = by_name(&still(answer)).iter().any(|(name, value)| known.get(name) != Some(value));
            alone_differs += usize::from(differs && !path.starts_with("/rank"));
        }
        let problem = (alone_differs > 0).then(|| format!("{alone_differs} items differ"));
        self.check(&format!("{path}: an item alone is the same as in the batch"), problem);
        times.sort_by(f64::total_cmp);
        let share = |share: f64| times.get(((times.len() as f64 - 1.0) * share).round() as usize).copied();
        latency.insert(path.to_owned(), json!({ "p50": share(0.5), "p95": share(0.95), "p99": share(0.99) }));
        if let (Some(most), Some(reached)) = (self.arguments.max_p99_ms, share(0.99)) {
            let problem = (reached > most).then(|| format!("{reached:.2} ms"));
            self.check(&format!("{path}: 99 % of requests with one item within {most} ms"), problem);
        }
        let (status, answer) = self.post(path, br#"{"alerts":[{"alert_id":1}],"features":[],"clusters":[]}"#)?;
        let named = answer["error"]["field"].as_str().is_some_and(|field| field.contains("alert_id"));
        let problem = (status != 400 || !named).then(|| format!("status {status}, the field is not named"));
        self.check(&format!("{path}: a malformed alert is refused by field"), problem);
        Ok(())
    }
}

/// What is wrong with the form of an answer.
fn shape(path: &str, answer: &Value, wanted: usize) -> Option<String> {
    let list = match answer.as_array() {
        Some(list) if list.len() == wanted => list,
        Some(list) => return Some(format!("{} items where {wanted} were sent", list.len())),
        None => return Some("the answer is no bare array".to_owned()),
    };
    let id = if path.contains("clusters") { "cluster_id" } else { "alert_id" };
    for (index, item) in list.iter().enumerate() {
        let text = |name: &str| item[name].as_str().is_some_and(|text| !text.is_empty());
        if !text(id) || !text("model_version") {
            return Some(format!("item {index} lacks {id} or model_version"));
        }
        if path.starts_with("/rank") {
            if item["rank"] != json!(index + 1) {
                return Some(format!("item {index} has not rank {}", index + 1));
            }
            continue;
        }
        if !item["score"].as_f64().is_some_and(|score| (0.0..=1.0).contains(&score))
            || item["latency_ms"].as_f64().is_none()
        {
            return Some(format!("item {index} lacks latency_ms, or its score is not between 0 and 1"));
        }
        let explained: Value =
            item["explain_json"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let (Some(names), Some(parts)) =
            (explained["top_features"].as_array(), explained["feature_contributions"].as_object())
        else {
            return Some(format!("explain_json of item {index} has no top_features and feature_contributions"));
        };
        if names.len() > 5 || names.iter().any(|name| !name.as_str().is_some_and(|name| parts.contains_key(name))) {
            return Some(format!("explain_json of item {index} explains other features than it names"));
        }
    }
    None
}

/// The answer without the times, which may differ.
fn still(mut answer: Value) -> Value {
    for item in answer.as_array_mut().into_iter().flatten() {
        if let Some(fields) = item.as_object_mut() {
            fields.remove("latency_ms");
        }
    }
    answer
}

/// Items by identifier.
fn by_name(answer: &Value) -> std::collections::BTreeMap<String, Value> {
    let name = |item: &Value| item["alert_id"].as_str().or(item["cluster_id"].as_str()).unwrap_or_default().to_owned();
    answer.as_array().into_iter().flatten().map(|item| (name(item), item.clone())).collect()
}
