//! `probity train alerts`: from batches to a calibrated model that was tested on later days.

use std::path::PathBuf;

use clap::Args;
use deciders::calibration::Logistic;
use deciders::trees::{Artifact, DataCard, Manifest, Threshold};
use desks::alerts::features::CATEGORICAL;
use evaluate::OperatingPoint;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::json;
use trees::{Loss, Parameters, Table, TrainError, Trained};

use super::data::Data;
use super::measure::{measure, quality};
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;
use desks::alerts::AlertModel;

#[derive(Args)]
pub(crate) struct Arguments {
    /// What to train.
    #[arg(long, value_parser = super::model_parser())]
    model: AlertModel,
    /// Batches: folders with alerts.parquet and the other tables, at any depth.
    #[arg(long)]
    data: PathBuf,
    /// The artifact's folder.
    #[arg(long)]
    out: PathBuf,
    /// Parameters by LightGBM's names: a file, or name=value,name=value. They come on top of ours.
    #[arg(long)]
    params: Vec<String>,
    /// Share of the days, the last ones, that the model is tested on.
    #[arg(long, default_value_t = 0.2)]
    test: f64,
    /// Share of the days, those before, for early stopping and calibration.
    #[arg(long, default_value_t = 0.15)]
    validation: f64,
    /// Recall on the validation days for which the threshold is chosen.
    #[arg(long, default_value_t = 0.95)]
    recall: f64,
    /// Folds of the cross-validation, grouped by address; 0 for none.
    #[arg(long, default_value_t = 5)]
    folds: usize,
    /// At most this many features, the most useful ones; 0 for all that are used at all.
    #[arg(long, default_value_t = 0)]
    features: usize,
    /// Threads. The model does not depend on them.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = super::super::generate::threads())]
    threads: usize,
}

/// Our parameters for alerts; `--params` comes on top.
const DEFAULTS: &str = "num_iterations=1000,learning_rate=0.05,num_leaves=15,min_data_in_leaf=20,bagging_fraction=0.8,\
bagging_freq=1,feature_fraction=0.8,lambda_l1=0.1,lambda_l2=0.1,early_stopping_round=50,seed=42";

/// Two features that move together this closely are one.
const SAME: f64 = 0.99;

/// Days split in time.
pub(super) struct Split {
    pub(super) train: Data,
    pub(super) validation: Data,
    pub(super) test: Data,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let kind = arguments.model;
    let parameters = parameters(kind, &arguments.params)?;
    if !(0.0..1.0).contains(&(arguments.test + arguments.validation)) || !(0.0..=1.0).contains(&arguments.recall) {
        return Err(UsageError(
            "--test and --validation are shares that leave days to train on, --recall is one".to_owned(),
        )
        .into());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.max(1)).build()?;
    pool.install(|| train_alerts(arguments, &parameters))
}

fn train_alerts(arguments: &Arguments, parameters: &Parameters) -> Outcome {
    let kind = arguments.model;
    let data = Data::read(&arguments.data, kind, None)?;
    let split = split(&data, arguments.test, arguments.validation)?;
    let first = fit(&split.train, Some(&split.validation), kind, parameters, "looking for useful features")?;
    let kept = select(&split.train, &first, arguments.features);
    let parts = Split {
        train: split.train.columns(&kept),
        validation: split.validation.columns(&kept),
        test: split.test.columns(&kept),
    };
    let trained = fit(&parts.train, Some(&parts.validation), kind, parameters, "training")?;
    let folds = cross_validate(&parts, kind, parameters, trained.rounds, arguments.folds)?;
    let days = |part: &Data| {
        let days = part.days();
        (days.first().cloned().unwrap_or_default(), days.last().cloned().unwrap_or_default())
    };
    let mut manifest = Manifest {
        kind: kind.kind().to_owned(),
        data: DataCard {
            sha256: parts.train.hash(),
            train_rows: parts.train.marks.len(),
            validation_rows: parts.validation.marks.len(),
            test_rows: parts.test.marks.len(),
            train_days: days(&parts.train),
            test_days: days(&parts.test),
        },
        ..Manifest::default()
    };
    if kind != AlertModel::Ranker {
        calibrate(&trained, &parts.validation, arguments.recall, &mut manifest);
    }
    let artifact = Artifact::new(trained.model.clone(), manifest.clone());
    let measured = measure(&artifact, &parts.test, kind, "the last days");
    manifest.metrics = measured.figures.clone();
    if let Some((mean, deviation)) = folds {
        let name = if kind == AlertModel::Ranker { "ndcg@10" } else { "auc" };
        manifest.metrics.insert(format!("cross_validated_{name}"), json!(mean));
        manifest.metrics.insert(format!("cross_validated_{name}_deviation"), json!(deviation));
    }
    manifest.metrics.insert("rounds".to_owned(), json!(trained.rounds));
    let artifact = Artifact::new(trained.model, manifest);
    artifact.save(&arguments.out)?;
    measured.write(&arguments.out)?;
    let card = &artifact.manifest().data;
    streams::print(&format!(
        "{}: {} features, {} rounds\ntrained on {} rows of {} to {}, tested on {} rows of {} to {}\n{}",
        kind.kind(),
        kept.len(),
        artifact.model().iterations(),
        card.train_rows,
        card.train_days.0,
        card.train_days.1,
        card.test_rows,
        card.test_days.0,
        card.test_days.1,
        measured.text()
    ))?;
    if let Some((mean, deviation)) = folds {
        streams::print(&format!("cross-validated by address: {mean:.4} ± {deviation:.4}\n"))?;
    }
    streams::print(&format!(
        "written to {}: model.txt, manifest.json, scorecard.json, report.html\n",
        arguments.out.display()
    ))?;
    Ok(Status::Done)
}

/// Our defaults with the user's parameters on top.
pub(super) fn parameters(kind: AlertModel, given: &[String]) -> anyhow::Result<Parameters> {
    let mut parameters = Parameters::default();
    let objective = match kind {
        AlertModel::Ranker => "objective=lambdarank,metric=ndcg,eval_at=10",
        AlertModel::Scorer | AlertModel::Cluster => "objective=binary,metric=auc",
    };
    for text in [objective, DEFAULTS].into_iter().chain(given.iter().map(String::as_str)) {
        super::super::trees::read_parameters(text, &mut parameters)?;
    }
    let wanted = if kind == AlertModel::Ranker { Loss::LambdaRank } else { Loss::Binary };
    if parameters.objective != wanted
        || !parameters.categorical_feature.is_empty()
        || !parameters.monotone_constraints.is_empty()
    {
        let problem = "objective, categorical_feature and monotone_constraints follow from the model and its features";
        return Err(UsageError(problem.to_owned()).into());
    }
    Ok(parameters)
}

/// The last days are for testing, those before for validation: a model never sees the future.
pub(super) fn split(data: &Data, test: f64, validation: f64) -> anyhow::Result<Split> {
    let days = data.days();
    if days.len() < 3 {
        let problem = format!("{} different days are too few to train, validate and test on: 3 are needed", days.len());
        return Err(InputError(problem).into());
    }
    let share = |share: f64| ((days.len() as f64 * share).round() as usize).max(1);
    let test_from = days.len() - share(test).min(days.len() - 2);
    let validation_from = test_from - share(validation).min(test_from - 1);
    let place = |index: usize| days.binary_search(&data.marks[index].day).unwrap_or(0);
    // A window that reaches into what comes after would show it what it should not have seen.
    let clear = |index: usize, next: usize| {
        days.get(next).is_none_or(|next| before(&data.marks[index].day, next, data.window_days))
    };
    let split = Split {
        train: data.part(|index| place(index) < validation_from && clear(index, validation_from)),
        validation: data.part(|index| (validation_from..test_from).contains(&place(index)) && clear(index, test_from)),
        test: data.part(|index| place(index) >= test_from),
    };
    let kept = split.train.marks.len() + split.validation.marks.len() + split.test.marks.len();
    if kept < data.marks.len() {
        streams::note(&format!(
            "{} rows are left out: their windows reach into the days after",
            data.marks.len() - kept
        ));
    }
    if split.train.marks.is_empty() || split.validation.marks.is_empty() {
        return Err(InputError(
            "the windows are too long for these days: no row ends before the next part begins".to_owned(),
        )
        .into());
    }
    Ok(split)
}

/// Whether a day lies before the window of another.
fn before(day: &str, other: &str, window_days: i64) -> bool {
    let (Ok(day), Ok(other)) = (day.parse::<Date>(), other.parse::<Date>()) else { return true };
    day.saturating_add(window_days.clamp(0, 36_500).days()) <= other
}

/// Trains on one part, watching another.
pub(super) fn fit(
    train: &Data,
    validation: Option<&Data>,
    kind: AlertModel,
    parameters: &Parameters,
    doing: &str,
) -> anyhow::Result<Trained> {
    let mut parameters = parameters.clone();
    let names = train.plan.names();
    parameters.categorical_feature = CATEGORICAL
        .iter()
        .filter(|name| names.iter().any(|known| known == *name))
        .map(|name| format!("name:{name}"))
        .collect();
    let ranked = kind == AlertModel::Ranker;
    let (labels, groups) = (train.labels(kind), train.groups());
    let groups = ranked.then_some(groups.as_slice());
    let table = Table { names, rows: &train.rows, labels: &labels, weights: None, groups };
    let watched = validation.map(|part| (part, part.labels(kind), part.groups()));
    let validation = watched.as_ref().map(|(part, labels, groups)| Table {
        names,
        rows: &part.rows,
        labels,
        weights: None,
        groups: ranked.then_some(groups.as_slice()),
    });
    let bar = ProgressBar::new(parameters.num_iterations as u64);
    bar.set_style(ProgressStyle::with_template("{msg}: {bar:30} {pos}/{len} rounds")?);
    bar.set_message(doing.to_owned());
    let trained =
        trees::train(&table, validation.as_ref(), &parameters, &mut |round, _| bar.set_position(round as u64));
    bar.finish_and_clear();
    trained.map_err(|error| match error {
        TrainError::Parameter(error) => UsageError(error.to_string()).into(),
        other => anyhow::Error::new(other).context("failed to learn from the batches"),
    })
}

/// Columns that the first model used, less those that move together with a more useful one, in order.
fn select(train: &Data, first: &Trained, most: usize) -> Vec<usize> {
    let gains = first.model.importance();
    let mut order: Vec<usize> = (0..gains.len()).filter(|column| gains[*column].0 > 0).collect();
    order.sort_by(|a, b| gains[*b].1.total_cmp(&gains[*a].1));
    let mut kept: Vec<usize> = Vec::new();
    for column in order {
        let full = most > 0 && kept.len() == most;
        if !full && !kept.iter().any(|other| correlation(train, *other, column).abs() > SAME) {
            kept.push(column);
        }
    }
    if kept.is_empty() {
        kept = (0..train.width()).collect();
    }
    kept.sort_unstable();
    kept
}

/// Pearson's correlation of two columns over the rows where both are known.
fn correlation(data: &Data, a: usize, b: usize) -> f64 {
    let pairs = (0..data.marks.len()).map(|row| (data.row(row)[a], data.row(row)[b]));
    let known: Vec<(f64, f64)> = pairs.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let count = known.len() as f64;
    let mean = known.iter().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x / count, sum.1 + y / count));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in &known {
        let (x, y) = (x - mean.0, y - mean.1);
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y);
    }
    if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}

/// Mean and standard deviation over folds that share no address, on all days before the test.
fn cross_validate(
    parts: &Split,
    kind: AlertModel,
    parameters: &Parameters,
    rounds: usize,
    folds: usize,
) -> anyhow::Result<Option<(f64, f64)>> {
    if folds < 2 {
        return Ok(None);
    }
    let mut all = parts.train.part(|_| true);
    all.rows.extend(&parts.validation.rows);
    all.marks.extend(parts.validation.marks.iter().cloned());
    let parameters = Parameters { num_iterations: rounds.max(1), early_stopping_round: 0, ..parameters.clone() };
    let mut reached = Vec::new();
    for fold in 0..folds {
        let inside = |index: usize| fold_of(&all.marks[index].address, folds) == fold;
        let (train, test) = (all.part(|index| !inside(index)), all.part(inside));
        let trained = match fit(&train, None, kind, &parameters, &format!("fold {} of {folds}", fold + 1)) {
            Ok(trained) => trained,
            // A fold may be left with one class; it then says nothing.
            Err(error) if one_class(&error) => continue,
            Err(error) => return Err(error),
        };
        let artifact = Artifact::new(trained.model, Manifest::default());
        reached.extend(quality(&artifact, &test, kind));
    }
    if reached.is_empty() {
        return Ok(None);
    }
    let count = reached.len() as f64;
    let mean = reached.iter().sum::<f64>() / count;
    let variance = reached.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    Ok(Some((mean, variance.sqrt())))
}

/// Whether training failed for want of a second class.
pub(super) fn one_class(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TrainError::OneClass))
}

/// The fold of an address: the same on every run and every machine.
fn fold_of(address: &str, folds: usize) -> usize {
    // FNV-1a, 64 bits.
    let hash = address
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash % folds as u64) as usize
}

/// Fits the calibration and the threshold on the validation days.
fn calibrate(trained: &Trained, validation: &Data, recall: f64, manifest: &mut Manifest) {
    let plain = Artifact::new(trained.model.clone(), Manifest::default());
    let scored = plain.score_rows(&validation.rows, 0);
    let sums: Vec<f64> = scored.iter().map(|scored| scored.sum).collect();
    let truths: Vec<bool> = validation.marks.iter().map(|mark| mark.truth).collect();
    manifest.calibration = Logistic::fit(&sums, &truths);
    if manifest.calibration.is_none() {
        streams::note("the validation days do not allow a calibration: scores stay the model's own");
    }
    let calibrated = Artifact::new(trained.model.clone(), manifest.clone());
    let scored: Vec<(f64, bool)> =
        sums.iter().zip(&truths).map(|(sum, truth)| (calibrated.score(*sum), *truth)).collect();
    let point = OperatingPoint::at_recall(&scored, recall);
    manifest.threshold = point.map(|point| Threshold { score: point.threshold, recall });
}
