//! Training: histograms, leaf by leaf, as LightGBM does it (Ke et al., "LightGBM: a highly efficient gradient
//! boosting decision tree", 2017), under LightGBM's parameters.
//!
//! Invariant: the same table, parameters and seed give the same model on any number of threads. Work is
//! divided by features, and every sum is taken in the order of the rows.

mod bins;
mod dataset;
mod grow;
mod metric;
mod objective;
mod parameters;
mod sample;
mod split;

use rayon::prelude::*;

pub use parameters::{Loss, Metric, ParameterError, Parameters};

use crate::model::{Model, Tree};
use dataset::Dataset;
use grow::Grower;
use objective::Objective;

/// A table to train on or to validate with.
#[derive(Clone, Copy, Debug)]
pub struct Table<'t> {
    /// Names of the columns.
    pub names: &'t [String],
    /// Values, row after row; not-a-number is missing.
    pub rows: &'t [f64],
    /// One label per row.
    pub labels: &'t [f64],
    /// One weight per row.
    pub weights: Option<&'t [f64]>,
    /// Sizes of queries, for ranking: rows of a query lie side by side.
    pub groups: Option<&'t [usize]>,
}

/// A table that cannot be trained on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A parameter does not fit.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// Lengths do not fit each other.
    #[error("the table has {cells} cells, which are not {rows} rows of {columns} columns")]
    Shape {
        /// Numbers given.
        cells: usize,
        /// Labels given.
        rows: usize,
        /// Names given.
        columns: usize,
    },
    /// A label that the objective does not know.
    #[error("the label of row {row} (counted from 0) should be {expected}")]
    Label {
        /// The row, from 0 on.
        row: usize,
        /// What is needed.
        expected: &'static str,
    },
    /// Nothing to tell apart.
    #[error("all labels are the same")]
    OneClass,
    /// A ranking task without queries, or queries that do not add up to the rows.
    #[error("ranking needs queries whose sizes add up to the rows")]
    NoGroups,
    /// A weight that is negative or no number.
    #[error("the weight of row {0} (counted from 0) should be a number from 0 on")]
    Weight(usize),
    /// Weights that are all 0.
    #[error("all weights are 0")]
    NoWeight,
    /// A category whose bit set would be too large.
    #[error(
        "category {category} of column `{column}` is too large: number categories from 0 up to {}",
        dataset::CATEGORIES
    )]
    Category {
        /// The column.
        column: String,
        /// The category.
        category: u32,
    },
}

/// What training gives.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model, cut after the best round where training stopped early.
    pub model: Model,
    /// The validation metric after each round; empty without a validation table.
    pub history: Vec<f64>,
    /// Rounds kept.
    pub rounds: usize,
}

/// Trains a model on the threads of the current rayon pool. `progress` hears of every round: how many are
/// done, and the validation metric.
///
/// # Errors
/// When the table or the parameters do not fit.
pub fn train(
    table: &Table<'_>,
    validation: Option<&Table<'_>>,
    parameters: &Parameters,
    progress: &mut dyn FnMut(usize, Option<f64>),
) -> Result<Trained, TrainError> {
    check(table)?;
    validation.map_or(Ok(()), check)?;
    let signs = parameters.monotone_constraints.len();
    if signs != 0 && signs != table.names.len() {
        let expected = "one sign per feature";
        let name = "monotone_constraints".to_owned();
        return Err(ParameterError::Value { name, value: format!("a list of {signs}"), expected }.into());
    }
    if (parameters.objective == Loss::Multiclass) != (parameters.num_class > 1) {
        let expected = "more than 1 for multiclass, else 1";
        let value = parameters.num_class.to_string();
        return Err(ParameterError::Value { name: "num_class".to_owned(), value, expected }.into());
    }
    let objective = Objective::new(table, parameters)?;
    if let Some(validation) = validation {
        Objective::new(validation, parameters).map(|_| ()).or_else(|error| match error {
            TrainError::OneClass => Ok(()),
            other => Err(other),
        })?;
    }
    let data = Dataset::new(table, parameters)?;
    let mut booster = Booster::new(table, validation, parameters, &objective, &data);
    let watched = parameters.watched();
    let mut history = Vec::new();
    let mut best: Option<(f64, usize)> = None;
    for round in 0..parameters.num_iterations {
        if !booster.round(round) {
            break;
        }
        let measured = validation.map(|table| metric::measure(watched, table, &booster.validation_sums, parameters));
        history.extend(measured);
        progress(round + 1, measured);
        // A set of one class has no AUC; it cannot say when to stop.
        let Some(value) = measured.filter(|value| !value.is_nan()) else { continue };
        let improves =
            best.is_none_or(|(known, _)| if watched.higher_is_better() { value > known } else { value < known });
        if improves {
            best = Some((value, round + 1));
        }
        let patience = parameters.early_stopping_round;
        if patience > 0 && best.is_some_and(|(_, at)| round + 1 - at >= patience) {
            break;
        }
    }
    let mut trees = booster.trees;
    let classes = classes(parameters);
    if let (Some((_, rounds)), true) = (best, parameters.early_stopping_round > 0) {
        trees.truncate(rounds * classes);
    }
    let rounds = trees.len() / classes;
    let text = parameters.objective_text();
    let model = Model {
        classes,
        objective: crate::objective::Objective::parse(&text).expect("an objective of ours"),
        feature_names: table.names.iter().map(|name| Model::feature_name(name)).collect(),
        feature_infos: data.bins.iter().map(|bins| bins.info.clone()).collect(),
        monotone_constraints: parameters.monotone_constraints.clone(),
        average_output: false,
        trees,
        parameters: parameters.to_list(),
    };
    Ok(Trained { model, history, rounds })
}

fn classes(parameters: &Parameters) -> usize {
    if parameters.objective == Loss::Multiclass { parameters.num_class } else { 1 }
}

fn check(table: &Table<'_>) -> Result<(), TrainError> {
    let (rows, columns) = (table.labels.len(), table.names.len());
    if rows == 0 || columns == 0 || table.rows.len() != rows * columns {
        return Err(TrainError::Shape { cells: table.rows.len(), rows, columns });
    }
    if let Some(row) = table.labels.iter().position(|label| !label.is_finite()) {
        return Err(TrainError::Label { row, expected: "a number" });
    }
    let weights = table.weights.unwrap_or_default();
    if let Some(row) = weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
        return Err(TrainError::Weight(row));
    }
    if table.weights.is_some() && weights.iter().sum::<f64>() <= 0.0 { Err(TrainError::NoWeight) } else { Ok(()) }
}

/// The state of boosting.
struct Booster<'d> {
    parameters: &'d Parameters,
    objective: &'d Objective<'d>,
    data: &'d Dataset,
    validation: Option<&'d Table<'d>>,
    grower: Grower<'d>,
    /// Raw sums of the training rows, class after class.
    sums: Vec<f64>,
    validation_sums: Vec<f64>,
    slopes: Vec<objective::Slope>,
    trees: Vec<Tree>,
    drawn: Vec<u32>,
}

impl<'d> Booster<'d> {
    fn new(
        table: &Table<'d>,
        validation: Option<&'d Table<'d>>,
        parameters: &'d Parameters,
        objective: &'d Objective<'d>,
        data: &'d Dataset,
    ) -> Self {
        let rows = table.labels.len();
        let classes = classes(parameters);
        let start = |class| if parameters.boost_from_average { objective.start(class) } else { 0.0 };
        let sums = |rows: usize| (0..classes).flat_map(|class| vec![start(class); rows]).collect::<Vec<f64>>();
        Self {
            parameters,
            objective,
            data,
            validation,
            grower: Grower::new(data, parameters),
            sums: sums(rows),
            validation_sums: sums(validation.map_or(0, |table| table.labels.len())),
            slopes: vec![[0.0; 2]; rows * classes],
            trees: Vec::new(),
            drawn: Vec::new(),
        }
    }

    /// One round of boosting; false where no tree could be divided any more.
    fn round(&mut self, round: usize) -> bool {
        let (parameters, data, rows) = (self.parameters, self.data, self.data.rows);
        let classes = classes(parameters);
        self.objective.slopes(&self.sums, &mut self.slopes);
        let bags = parameters.bagging_freq > 0 && parameters.bagging_fraction < 1.0;
        if self.drawn.is_empty() || (bags && round.is_multiple_of(parameters.bagging_freq)) {
            let share = if bags { parameters.bagging_fraction } else { 1.0 };
            let seed = parameters.bagging_seed.unwrap_or(parameters.seed.wrapping_add(3));
            self.drawn = sample::draw(rows, share, seed, round as u64);
        }
        let mut divided = false;
        for class in 0..classes {
            let slopes = &self.slopes[class * rows..(class + 1) * rows];
            let mut grown = self.grower.grow(&self.drawn, slopes, (round * classes + class) as u64);
            divided |= !grown.tree.nodes.is_empty();
            if grown.tree.nodes.is_empty() {
                grown.tree.leaves[0].value = 0.0;
            }
            shrink(&mut grown.tree, parameters.learning_rate);
            let sums = &mut self.sums[class * rows..(class + 1) * rows];
            for (leaf, range) in grown.tree.leaves.iter().zip(&grown.ranges) {
                self.grower.rows(*range).iter().for_each(|row| sums[*row as usize] += leaf.value);
            }
            if bags {
                let mut drawn = self.drawn.iter().copied().peekable();
                for (row, sum) in sums.iter_mut().enumerate() {
                    if drawn.next_if_eq(&(row as u32)).is_none() {
                        *sum += grown.tree.leaves[grown.leaf(data, row)].value;
                    }
                }
            }
            if let Some(table) = self.validation {
                let count = table.labels.len();
                let sums = &mut self.validation_sums[class * count..(class + 1) * count];
                let rows = table.rows.par_chunks(table.names.len());
                let tree = &grown.tree;
                sums.par_iter_mut().zip(rows).for_each(|(sum, row)| *sum += tree.leaves[tree.leaf(row)].value);
            }
            if round == 0 && parameters.boost_from_average {
                lift(&mut grown.tree, self.objective.start(class));
            }
            self.trees.push(grown.tree);
        }
        if !divided && round > 0 {
            self.trees.truncate(round * classes);
        }
        divided
    }
}

/// Scales a tree's answers.
fn shrink(tree: &mut Tree, rate: f64) {
    tree.leaves.iter_mut().for_each(|leaf| leaf.value *= rate);
    tree.nodes.iter_mut().for_each(|node| node.value *= rate);
    tree.shrinkage = rate;
}

/// Adds what all rows start with to the answers of the first tree, so that the model needs no more.
fn lift(tree: &mut Tree, start: f64) {
    tree.leaves.iter_mut().for_each(|leaf| leaf.value += start);
    tree.nodes.iter_mut().for_each(|node| node.value += start);
}
