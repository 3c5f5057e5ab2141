//! Batches as rows to learn from: features, labels, and what splits and reports need to know of each row.

use std::path::Path;

use anyhow::Context as _;
use deciders::trees::Artifact;
use desks::alerts::{AlertModel, Batch, Context, Plan, Snapshot, Truths, files};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::exit::InputError;

/// Rows in the order of their days.
pub(super) struct Data {
    pub(super) plan: Plan,
    pub(super) rows: Vec<f64>,
    pub(super) marks: Vec<Mark>,
    /// Days of the longest window.
    pub(super) window_days: i64,
}

/// What is known of a row besides its features.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// The alert or the cluster.
    pub(super) id: String,
    /// The address, by which cross-validation keeps rows together.
    pub(super) address: String,
    /// The batch, by which rankers compare.
    pub(super) batch: usize,
    /// Last day of the window.
    pub(super) day: String,
    pub(super) truth: bool,
    /// 0 to 4.
    pub(super) grade: f64,
}

impl Data {
    /// Reads all batches below a folder. With `plan`, builds its features; else every feature there is.
    pub(super) fn read(folder: &Path, kind: AlertModel, plan: Option<&Plan>) -> anyhow::Result<Self> {
        let folders = files::find(folder).map_err(|error| InputError(describe(&error)))?;
        let bar = ProgressBar::new(folders.len() as u64);
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} batches read, {eta} left")?);
        let mut snapshots = Vec::new();
        for folder in &folders {
            snapshots.push(Snapshot::read(folder).map_err(|error| InputError(describe(&error)))?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let batches: Vec<&Batch> = snapshots.iter().map(|snapshot| &snapshot.batch).collect();
        let plan = plan.cloned().unwrap_or_else(|| Plan::all(kind.rows(), &batches));
        let mut data = Self { plan, rows: Vec::new(), marks: Vec::new(), window_days: 0 };
        let mut unknown = 0;
        for (index, snapshot) in snapshots.iter().enumerate() {
            unknown += data.add(index, snapshot, kind);
        }
        if unknown > 0 {
            crate::streams::note(&format!("{unknown} rows without a known truth are left out"));
        }
        if data.marks.is_empty() {
            let problem = "no row has a truth: ground_truth or address_labels are needed";
            return Err(InputError(format!("{}: {problem}", folder.display())).into());
        }
        Ok(data)
    }

    /// Adds the rows of a batch whose truth is known; returns how many are not.
    fn add(&mut self, batch: usize, snapshot: &Snapshot, kind: AlertModel) -> usize {
        let context = Context::new(&snapshot.batch);
        let truths = Truths::new(&snapshot.batch, &snapshot.labels);
        let mut unknown = 0;
        self.window_days = self.window_days.max(snapshot.window_days);
        let mark = |id: &str, address: &str, day: &str, truth: bool, grade: f64| Mark {
            id: id.to_owned(),
            address: address.to_owned(),
            batch,
            day: day.to_owned(),
            truth,
            grade,
        };
        if kind == AlertModel::Cluster {
            for cluster in &snapshot.batch.clusters {
                let Some(truth) = truths.cluster(cluster) else {
                    unknown += 1;
                    continue;
                };
                self.plan.cluster(&context, cluster, &mut self.rows);
                let grade = f64::from(u8::from(truth));
                self.marks.push(mark(
                    &cluster.cluster_id,
                    &cluster.primary_address,
                    &cluster.processing_date,
                    truth,
                    grade,
                ));
            }
        } else {
            for alert in &snapshot.batch.alerts {
                let (Some(truth), Some(grade)) = (truths.alert(alert), truths.relevance(alert)) else {
                    unknown += 1;
                    continue;
                };
                self.plan.alert(&context, alert, &mut self.rows);
                self.marks.push(mark(&alert.alert_id, &alert.address, &alert.processing_date, truth, grade));
            }
        }
        unknown
    }

    pub(super) fn width(&self) -> usize {
        self.plan.names().len()
    }

    pub(super) fn row(&self, index: usize) -> &[f64] {
        &self.rows[index * self.width()..(index + 1) * self.width()]
    }

    /// The days of all batches, ascending, each once.
    pub(super) fn days(&self) -> Vec<String> {
        let mut days: Vec<String> = self.marks.iter().map(|mark| mark.day.clone()).collect();
        days.sort();
        days.dedup();
        days
    }

    /// Some rows, as a part of their own.
    pub(super) fn part(&self, keep: impl Fn(usize) -> bool) -> Self {
        let chosen: Vec<usize> = (0..self.marks.len()).filter(|index| keep(*index)).collect();
        Self {
            plan: self.plan.clone(),
            window_days: self.window_days,
            rows: chosen.iter().flat_map(|index| self.row(*index)).copied().collect(),
            marks: chosen.iter().map(|index| self.marks[*index].clone()).collect(),
        }
    }

    /// The same rows with some of the columns.
    pub(super) fn columns(&self, keep: &[usize]) -> Self {
        let rows = (0..self.marks.len()).flat_map(|index| keep.iter().map(move |column| self.row(index)[*column]));
        let (rows, marks) = (rows.collect(), self.marks.clone());
        Self { plan: self.plan.keep(keep), rows, marks, window_days: self.window_days }
    }

    /// Labels for a kind of model.
    pub(super) fn labels(&self, kind: AlertModel) -> Vec<f64> {
        let label = |mark: &Mark| if kind == AlertModel::Ranker { mark.grade } else { f64::from(u8::from(mark.truth)) };
        self.marks.iter().map(label).collect()
    }

    /// Sizes of the batches, in order.
    pub(super) fn groups(&self) -> Vec<usize> {
        self.marks.chunk_by(|a, b| a.batch == b.batch).map(<[Mark]>::len).collect()
    }

    /// SHA-256 over features and labels.
    pub(super) fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        self.plan.names().iter().for_each(|name| hasher.update(name));
        self.rows.iter().for_each(|value| hasher.update(value.to_bits().to_le_bytes()));
        self.marks.iter().for_each(|mark| hasher.update([u8::from(mark.truth), mark.grade as u8]));
        format!("{:x}", hasher.finalize())
    }
}

/// An error with its cause.
fn describe(error: &files::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) if !error.to_string().contains(&source.to_string()) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

/// Loads an artifact, or a LightGBM model file as a scorer.
pub(super) fn artifact(path: &Path) -> anyhow::Result<(Artifact, AlertModel, Plan)> {
    let load = || -> Result<_, deciders::trees::Error> {
        let stated = Artifact::kind(path)?;
        let kind = stated.unwrap_or_else(|| AlertModel::Scorer.kind().to_owned());
        Ok((Artifact::load(path, &kind)?, kind))
    };
    let (artifact, kind) = load().with_context(|| format!("failed to load {}", path.display()))?;
    let kind = AlertModel::of_kind(&kind)
        .ok_or_else(|| InputError(format!("{} is a model of kind `{kind}`, not of alerts", path.display())))?;
    let plan = kind.plan(&artifact.model().feature_names, !path.is_dir());
    let plan = plan.map_err(|error| InputError(format!("{}: {error}", path.display())))?;
    Ok((artifact, kind, plan))
}
