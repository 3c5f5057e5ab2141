//! `probity tune alerts`: parameters that do best on later days, found by TPE (Bergstra et al., "Algorithms
//! for hyper-parameter optimization", 2011).

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use deciders::trees::{Artifact, Manifest};
use indicatif::{ProgressBar, ProgressStyle};
use optimizer::prelude::{Direction, FloatParam, IntParam, Parameter, Study};
use optimizer::sampler::tpe::MultivariateTpeSampler;
use serde_json::json;

use super::data::Data;
use super::measure::quality;
use super::train::{fit, one_class, parameters, split};
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;
use desks::alerts::AlertModel;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Parameters for `train alerts`.
    Alerts(Arguments),
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// What to train.
    #[arg(long, value_parser = super::model_parser())]
    model: AlertModel,
    /// Batches: folders with alerts.parquet and the other tables, at any depth.
    #[arg(long)]
    data: PathBuf,
    /// The file to write, one name=value a line: give it to `train alerts --params`.
    #[arg(long)]
    out: PathBuf,
    /// Settings to try.
    #[arg(long, default_value_t = 30)]
    trials: usize,
    /// Parts of the days; each but the first is predicted from those before.
    #[arg(long, default_value_t = 4)]
    parts: usize,
    /// Share of the days, the last ones, that are not looked at, so that they can test.
    #[arg(long, default_value_t = 0.2)]
    test: f64,
    /// The same seed tries the same settings.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Threads. What is found does not depend on them.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = super::super::generate::threads())]
    threads: usize,
}

/// Rounds are found by early stopping, not by the search.
const ROUNDS: &str = "num_iterations=400,early_stopping_round=30";

pub(crate) fn run(command: Command) -> Outcome {
    let Command::Alerts(arguments) = command;
    if arguments.parts < 2 || arguments.trials == 0 || !(0.0..1.0).contains(&arguments.test) {
        return Err(UsageError("--parts is at least 2, --trials at least 1, --test a share below 1".to_owned()).into());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.max(1)).build()?;
    pool.install(|| tune(&arguments))
}

fn tune(arguments: &Arguments) -> Outcome {
    let kind = arguments.model;
    let data = Data::read(&arguments.data, kind, None)?;
    let parts = split(&data, arguments.test, 0.0)?;
    let mut known = parts.train;
    known.rows.extend(&parts.validation.rows);
    known.marks.extend(parts.validation.marks);
    let days = known.days();
    if days.len() < arguments.parts {
        return Err(InputError(format!("{} days cannot be cut into {} parts", days.len(), arguments.parts)).into());
    }
    let part = |index: usize| days.binary_search(&known.marks[index].day).unwrap_or(0) * arguments.parts / days.len();
    let folds: Vec<(Data, Data)> = (1..arguments.parts)
        .map(|fold| (known.part(|index| part(index) < fold), known.part(|index| part(index) == fold)))
        .collect();
    let sampler = MultivariateTpeSampler::builder().seed(arguments.seed).build().context("failed to search")?;
    let study: Study<f64> = Study::with_sampler(Direction::Maximize, sampler);
    let whole = |name: &str, low, high| IntParam::new(low, high).log_scale().name(name);
    let share = |name: &str, low| FloatParam::new(low, 1.0).name(name);
    let size = |name: &str, low, high| FloatParam::new(low, high).log_scale().name(name);
    let wholes = [whole("num_leaves", 4, 63), whole("min_data_in_leaf", 5, 200)];
    let numbers = [
        size("learning_rate", 0.02, 0.2),
        share("feature_fraction", 0.4),
        share("bagging_fraction", 0.5),
        size("lambda_l1", 1e-3, 10.0),
        // The sampler takes parameters of the same range for one.
        size("lambda_l2", 1e-3, 20.0),
    ];
    let bar = ProgressBar::new(arguments.trials as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} trials, {eta} left {msg}")?);
    let mut tried = Vec::new();
    let mut best: Option<(f64, String)> = None;
    for _ in 0..arguments.trials {
        let mut trial = study.ask();
        let mut text = Vec::new();
        for parameter in &wholes {
            text.push(format!("{}={}", parameter.label(), parameter.suggest(&mut trial)?));
        }
        for parameter in &numbers {
            text.push(format!("{}={:.6}", parameter.label(), parameter.suggest(&mut trial)?));
        }
        let text = text.join(",");
        let reached = mean_quality(kind, &folds, &text)?;
        if best.as_ref().is_none_or(|(known, _)| reached > *known) {
            bar.set_message(format!("best {reached:.4}"));
            best = Some((reached, text.clone()));
        }
        tried.push(json!({ "parameters": text, "quality": reached }));
        study.tell(trial, Ok::<_, String>(reached));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let Some((reached, text)) = best else { return Ok(Status::Done) };
    streams::write_file(&arguments.out, (text.replace(',', "\n") + "\nbagging_freq=1\n").as_bytes())?;
    let metric = if kind == AlertModel::Ranker { "ndcg@10" } else { "auc" };
    let before = mean_quality(kind, &folds, "")?;
    let summary = json!({
        "model": kind.kind(),
        "metric": metric,
        "best": reached,
        "defaults": before,
        "parameters": text,
        "trials": tried,
        "out": arguments.out.display().to_string(),
    });
    streams::print(&format!("{summary}\n"))?;
    Ok(Status::Done)
}

/// Mean quality over the folds; a fold with one class says nothing.
fn mean_quality(kind: AlertModel, folds: &[(Data, Data)], text: &str) -> anyhow::Result<f64> {
    let given: Vec<String> = [ROUNDS, text].into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let parameters = parameters(kind, &given)?;
    let mut reached = Vec::new();
    for (train, test) in folds {
        let trained = match fit(train, Some(test), kind, &parameters, "") {
            Ok(trained) => trained,
            Err(error) if one_class(&error) => continue,
            Err(error) => return Err(error),
        };
        let artifact = Artifact::new(trained.model, Manifest::default());
        reached.extend(quality(&artifact, test, kind));
    }
    if reached.is_empty() {
        return Err(InputError("no part of the days has both right and false alerts".to_owned()).into());
    }
    Ok(reached.iter().sum::<f64>() / reached.len() as f64)
}
