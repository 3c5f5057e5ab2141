//! Training parameters, by LightGBM's names and aliases (`docs/Parameters.rst` of LightGBM 4).

use std::str::FromStr;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Labels 0 and 1, logistic loss.
    Binary,
    /// Squared error.
    Regression,
    /// Classes `0..num_class`, softmax.
    Multiclass,
    /// Relevance grades in queries (Burges, "From RankNet to LambdaRank to LambdaMART", 2010).
    LambdaRank,
}

/// How a validation set is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Area under the ROC curve.
    Auc,
    /// Logistic loss.
    BinaryLogloss,
    /// Share of wrong answers at one half.
    BinaryError,
    /// Mean squared error.
    L2,
    /// Its root.
    Rmse,
    /// Softmax loss.
    MultiLogloss,
    /// NDCG at the first of `eval_at`.
    Ndcg,
}

impl Metric {
    /// LightGBM's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auc => "auc",
            Self::BinaryLogloss => "binary_logloss",
            Self::BinaryError => "binary_error",
            Self::L2 => "l2",
            Self::Rmse => "rmse",
            Self::MultiLogloss => "multi_logloss",
            Self::Ndcg => "ndcg",
        }
    }

    /// Whether more is better.
    pub fn higher_is_better(self) -> bool {
        matches!(self, Self::Auc | Self::Ndcg)
    }
}

/// A parameter that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A name that is not known.
    #[error("unknown parameter `{0}`")]
    Unknown(String),
    /// A value that does not fit.
    #[error("parameter `{name}` cannot be `{value}`: {expected}")]
    Value {
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What is needed.
        expected: &'static str,
    },
    /// A setting of LightGBM's that is not supported.
    #[error("parameter `{name}={value}` is not supported")]
    Unsupported {
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
    },
}

/// The settings of a training run. Defaults are LightGBM's.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields bear LightGBM's names, which LightGBM's documentation explains")]
pub struct Parameters {
    pub objective: Loss,
    pub metric: Option<Metric>,
    pub num_class: usize,
    pub num_iterations: usize,
    pub learning_rate: f64,
    pub num_leaves: usize,
    pub max_depth: i32,
    pub min_data_in_leaf: usize,
    pub min_sum_hessian_in_leaf: f64,
    pub bagging_fraction: f64,
    pub bagging_freq: usize,
    pub feature_fraction: f64,
    pub feature_fraction_bynode: f64,
    pub lambda_l1: f64,
    pub lambda_l2: f64,
    pub min_gain_to_split: f64,
    pub max_delta_step: f64,
    pub max_bin: usize,
    pub min_data_in_bin: usize,
    pub bin_construct_sample_cnt: usize,
    pub use_missing: bool,
    /// Column numbers or names, the latter as `name:NAME`.
    pub categorical_feature: Vec<String>,
    pub max_cat_threshold: usize,
    pub max_cat_to_onehot: usize,
    pub cat_l2: f64,
    pub cat_smooth: f64,
    pub min_data_per_group: usize,
    pub monotone_constraints: Vec<i8>,
    pub scale_pos_weight: f64,
    pub is_unbalance: bool,
    pub sigmoid: f64,
    pub boost_from_average: bool,
    pub early_stopping_round: usize,
    pub eval_at: Vec<usize>,
    pub lambdarank_truncation_level: usize,
    pub lambdarank_norm: bool,
    pub label_gain: Vec<f64>,
    pub seed: u64,
    pub bagging_seed: Option<u64>,
    pub feature_fraction_seed: Option<u64>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            objective: Loss::Regression,
            metric: None,
            num_class: 1,
            num_iterations: 100,
            learning_rate: 0.1,
            num_leaves: 31,
            max_depth: -1,
            min_data_in_leaf: 20,
            min_sum_hessian_in_leaf: 1e-3,
            bagging_fraction: 1.0,
            bagging_freq: 0,
            feature_fraction: 1.0,
            feature_fraction_bynode: 1.0,
            lambda_l1: 0.0,
            lambda_l2: 0.0,
            min_gain_to_split: 0.0,
            max_delta_step: 0.0,
            max_bin: 255,
            min_data_in_bin: 3,
            bin_construct_sample_cnt: 200_000,
            use_missing: true,
            categorical_feature: Vec::new(),
            max_cat_threshold: 32,
            max_cat_to_onehot: 4,
            cat_l2: 10.0,
            cat_smooth: 10.0,
            min_data_per_group: 100,
            monotone_constraints: Vec::new(),
            scale_pos_weight: 1.0,
            is_unbalance: false,
            sigmoid: 1.0,
            boost_from_average: true,
            early_stopping_round: 0,
            eval_at: vec![1, 2, 3, 4, 5],
            lambdarank_truncation_level: 30,
            lambdarank_norm: true,
            label_gain: (0..31).map(|grade| (1u64 << grade) as f64 - 1.0).collect(),
            seed: 0,
            bagging_seed: None,
            feature_fraction_seed: None,
        }
    }
}

impl Parameters {
    /// Sets one parameter by its name or alias.
    ///
    /// # Errors
    /// When the name is unknown, the value does not fit, or the setting is not supported.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ParameterError> {
        let (name, value) = (name.trim(), value.trim());
        let unsupported = || Err(ParameterError::Unsupported { name: name.to_owned(), value: value.to_owned() });
        let given = Given { name, value };
        match canonical(name) {
            "objective" => {
                self.objective = match value {
                    "binary" => Loss::Binary,
                    "regression" | "regression_l2" | "l2" | "mean_squared_error" | "mse" => Loss::Regression,
                    "multiclass" | "softmax" => Loss::Multiclass,
                    "lambdarank" => Loss::LambdaRank,
                    _ => return unsupported(),
                }
            }
            "metric" => {
                self.metric = match value {
                    "auc" => Some(Metric::Auc),
                    "binary_logloss" | "binary" => Some(Metric::BinaryLogloss),
                    "binary_error" => Some(Metric::BinaryError),
                    "l2" | "mse" | "mean_squared_error" | "regression" => Some(Metric::L2),
                    "rmse" | "l2_root" | "root_mean_squared_error" => Some(Metric::Rmse),
                    "multi_logloss" | "multiclass" | "softmax" => Some(Metric::MultiLogloss),
                    "ndcg" | "lambdarank" => Some(Metric::Ndcg),
                    "" | "None" | "none" | "na" | "null" => None,
                    _ => return unsupported(),
                }
            }
            "num_class" => {
                self.num_class = given.count(1)?;
                if self.num_class > 10_000 {
                    return Err(given.error("at most 10000"));
                }
            }
            "num_iterations" => self.num_iterations = given.count(0)?,
            "learning_rate" => self.learning_rate = given.above_zero()?,
            "num_leaves" => self.num_leaves = given.count(2)?,
            "max_depth" => self.max_depth = given.number("a whole number; -1 for no limit")?,
            "min_data_in_leaf" => self.min_data_in_leaf = given.count(0)?,
            "min_sum_hessian_in_leaf" => self.min_sum_hessian_in_leaf = given.not_negative()?,
            "bagging_fraction" => self.bagging_fraction = given.fraction()?,
            "bagging_freq" => self.bagging_freq = given.count(0)?,
            "feature_fraction" => self.feature_fraction = given.fraction()?,
            "feature_fraction_bynode" => self.feature_fraction_bynode = given.fraction()?,
            "lambda_l1" => self.lambda_l1 = given.not_negative()?,
            "lambda_l2" => self.lambda_l2 = given.not_negative()?,
            "min_gain_to_split" => self.min_gain_to_split = given.not_negative()?,
            "max_delta_step" => self.max_delta_step = given.number("a number; 0 for no limit")?,
            "max_bin" => {
                self.max_bin = given.count(2)?;
                if self.max_bin > 255 {
                    return Err(given.error("at most 255"));
                }
            }
            "min_data_in_bin" => self.min_data_in_bin = given.count(1)?,
            "bin_construct_sample_cnt" => self.bin_construct_sample_cnt = given.count(1)?,
            "use_missing" => self.use_missing = given.truth()?,
            "categorical_feature" => {
                let list = value.strip_prefix("name:").map_or_else(
                    || list(value).map(str::to_owned).collect(),
                    |names| list(names).map(|name| format!("name:{name}")).collect(),
                );
                self.categorical_feature = list;
            }
            "max_cat_threshold" => self.max_cat_threshold = given.count(1)?,
            "max_cat_to_onehot" => self.max_cat_to_onehot = given.count(1)?,
            "cat_l2" => self.cat_l2 = given.not_negative()?,
            "cat_smooth" => self.cat_smooth = given.not_negative()?,
            "min_data_per_group" => self.min_data_per_group = given.count(1)?,
            "monotone_constraints" => {
                self.monotone_constraints = list(value)
                    .map(|item| match item {
                        "1" | "+1" => Ok(1),
                        "0" => Ok(0),
                        "-1" => Ok(-1),
                        _ => Err(given.error("a list of 1, 0 and -1")),
                    })
                    .collect::<Result<_, _>>()?;
            }
            "scale_pos_weight" => self.scale_pos_weight = given.above_zero()?,
            "is_unbalance" => self.is_unbalance = given.truth()?,
            "sigmoid" => self.sigmoid = given.above_zero()?,
            "boost_from_average" => self.boost_from_average = given.truth()?,
            "early_stopping_round" => {
                self.early_stopping_round = given.number::<i64>("a whole number")?.max(0) as usize
            }
            "eval_at" => {
                self.eval_at = given.list("positions from 1 on")?;
                if self.eval_at.contains(&0) || self.eval_at.is_empty() {
                    return Err(given.error("positions from 1 on"));
                }
            }
            "lambdarank_truncation_level" => self.lambdarank_truncation_level = given.count(1)?,
            "lambdarank_norm" => self.lambdarank_norm = given.truth()?,
            "label_gain" => {
                self.label_gain = given.list("numbers")?;
                if !self.label_gain.iter().all(|gain| gain.is_finite()) {
                    return Err(given.error("numbers"));
                }
            }
            "seed" => self.seed = given.number("a whole number")?,
            "bagging_seed" => self.bagging_seed = Some(given.number("a whole number")?),
            "feature_fraction_seed" => self.feature_fraction_seed = Some(given.number("a whole number")?),
            // Results do not depend on these, or they say what is so anyway.
            "num_threads"
            | "verbosity"
            | "deterministic"
            | "force_row_wise"
            | "force_col_wise"
            | "histogram_pool_size"
            | "data_random_seed"
            | "first_metric_only" => {}
            "boosting" if value == "gbdt" => {}
            "tree_learner" if value == "serial" => {}
            "device_type" if value == "cpu" => {}
            "monotone_constraints_method" if value == "basic" => {}
            "zero_as_missing" | "linear_tree" | "extra_trees" | "use_quantized_grad" if !given.truth()? => {}
            "boosting"
            | "tree_learner"
            | "device_type"
            | "monotone_constraints_method"
            | "zero_as_missing"
            | "linear_tree"
            | "extra_trees"
            | "use_quantized_grad" => return unsupported(),
            _ => return Err(ParameterError::Unknown(name.to_owned())),
        }
        Ok(())
    }

    /// The metric that early stopping watches where none is set.
    pub fn watched(&self) -> Metric {
        self.metric.unwrap_or(match self.objective {
            Loss::Binary => Metric::BinaryLogloss,
            Loss::Regression => Metric::L2,
            Loss::Multiclass => Metric::MultiLogloss,
            Loss::LambdaRank => Metric::Ndcg,
        })
    }

    /// The objective line of the model.
    pub(crate) fn objective_text(&self) -> String {
        match self.objective {
            Loss::Binary => format!("binary sigmoid:{}", self.sigmoid),
            Loss::Regression => "regression".to_owned(),
            Loss::Multiclass => format!("multiclass num_class:{}", self.num_class),
            Loss::LambdaRank => "lambdarank".to_owned(),
        }
    }

    /// Names and values for the model file: what shapes the trees.
    pub(crate) fn to_list(&self) -> Vec<(String, String)> {
        let joined = |list: &[f64]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let objective = self.objective_text();
        let mut list = vec![
            ("boosting", "gbdt".to_owned()),
            ("objective", objective.split(' ').next().unwrap_or_default().to_owned()),
            ("metric", self.watched().name().to_owned()),
            ("num_iterations", self.num_iterations.to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("num_leaves", self.num_leaves.to_string()),
            ("max_depth", self.max_depth.to_string()),
            ("min_data_in_leaf", self.min_data_in_leaf.to_string()),
            ("min_sum_hessian_in_leaf", self.min_sum_hessian_in_leaf.to_string()),
            ("bagging_fraction", self.bagging_fraction.to_string()),
            ("bagging_freq", self.bagging_freq.to_string()),
            ("feature_fraction", self.feature_fraction.to_string()),
            ("feature_fraction_bynode", self.feature_fraction_bynode.to_string()),
            ("lambda_l1", self.lambda_l1.to_string()),
            ("lambda_l2", self.lambda_l2.to_string()),
            ("min_gain_to_split", self.min_gain_to_split.to_string()),
            ("max_delta_step", self.max_delta_step.to_string()),
            ("max_bin", self.max_bin.to_string()),
            ("min_data_in_bin", self.min_data_in_bin.to_string()),
            ("bin_construct_sample_cnt", self.bin_construct_sample_cnt.to_string()),
            ("use_missing", u8::from(self.use_missing).to_string()),
            ("max_cat_threshold", self.max_cat_threshold.to_string()),
            ("max_cat_to_onehot", self.max_cat_to_onehot.to_string()),
            ("cat_l2", self.cat_l2.to_string()),
            ("cat_smooth", self.cat_smooth.to_string()),
            ("min_data_per_group", self.min_data_per_group.to_string()),
            ("scale_pos_weight", self.scale_pos_weight.to_string()),
            ("is_unbalance", u8::from(self.is_unbalance).to_string()),
            ("sigmoid", self.sigmoid.to_string()),
            ("boost_from_average", u8::from(self.boost_from_average).to_string()),
            ("early_stopping_round", self.early_stopping_round.to_string()),
            ("seed", self.seed.to_string()),
        ];
        match self.objective {
            Loss::Multiclass => list.push(("num_class", self.num_class.to_string())),
            Loss::LambdaRank => {
                list.push(("lambdarank_truncation_level", self.lambdarank_truncation_level.to_string()));
                list.push(("lambdarank_norm", u8::from(self.lambdarank_norm).to_string()));
                list.push(("label_gain", joined(&self.label_gain)));
            }
            Loss::Binary | Loss::Regression => {}
        }
        list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// A parameter as the user gave it.
#[derive(Clone, Copy)]
struct Given<'a> {
    name: &'a str,
    value: &'a str,
}

impl Given<'_> {
    fn error(self, expected: &'static str) -> ParameterError {
        ParameterError::Value { name: self.name.to_owned(), value: self.value.to_owned(), expected }
    }

    fn number<T: FromStr>(self, expected: &'static str) -> Result<T, ParameterError> {
        self.value.parse().map_err(|_| self.error(expected))
    }

    fn count(self, least: usize) -> Result<usize, ParameterError> {
        let count: usize = self.number("a whole number")?;
        if count < least { Err(self.error("a larger number")) } else { Ok(count) }
    }

    fn not_negative(self) -> Result<f64, ParameterError> {
        let value: f64 = self.number("a number")?;
        if value >= 0.0 && value.is_finite() { Ok(value) } else { Err(self.error("a number from 0 on")) }
    }

    fn above_zero(self) -> Result<f64, ParameterError> {
        let value = self.not_negative()?;
        if value > 0.0 { Ok(value) } else { Err(self.error("a number above 0")) }
    }

    fn fraction(self) -> Result<f64, ParameterError> {
        let value = self.above_zero()?;
        if value <= 1.0 { Ok(value) } else { Err(self.error("a share above 0, at most 1")) }
    }

    fn truth(self) -> Result<bool, ParameterError> {
        match self.value {
            "true" | "True" | "1" | "+" => Ok(true),
            "false" | "False" | "0" | "-" => Ok(false),
            _ => Err(self.error("true or false")),
        }
    }

    fn list<T: FromStr>(self, expected: &'static str) -> Result<Vec<T>, ParameterError> {
        list(self.value).map(|item| item.parse().map_err(|_| self.error(expected))).collect()
    }
}

/// Items of a list: separated by commas, by `;` or `|` where commas separate parameters.
fn list(value: &str) -> impl Iterator<Item = &str> {
    value.trim_matches(['[', ']', '(', ')']).split([',', ';', '|']).map(str::trim).filter(|item| !item.is_empty())
}

/// The name that LightGBM's aliases stand for.
fn canonical(name: &str) -> &str {
    match name {
        "objective_type" | "app" | "application" | "loss" => "objective",
        "metrics" | "metric_types" | "eval_metric" => "metric",
        "num_classes" => "num_class",
        "num_iteration" | "n_iter" | "num_tree" | "num_trees" | "num_round" | "num_rounds" | "nrounds"
        | "num_boost_round" | "n_estimators" | "max_iter" => "num_iterations",
        "shrinkage_rate" | "eta" => "learning_rate",
        "num_leaf" | "max_leaves" | "max_leaf" | "max_leaf_nodes" => "num_leaves",
        "min_data_per_leaf" | "min_data" | "min_child_samples" | "min_samples_leaf" => "min_data_in_leaf",
        "min_sum_hessian_per_leaf" | "min_sum_hessian" | "min_hessian" | "min_child_weight" => {
            "min_sum_hessian_in_leaf"
        }
        "sub_row" | "subsample" | "bagging" => "bagging_fraction",
        "subsample_freq" => "bagging_freq",
        "sub_feature" | "colsample_bytree" => "feature_fraction",
        "sub_feature_bynode" | "colsample_bynode" => "feature_fraction_bynode",
        "reg_alpha" | "l1_regularization" => "lambda_l1",
        "reg_lambda" | "lambda" | "l2_regularization" => "lambda_l2",
        "min_split_gain" => "min_gain_to_split",
        "max_tree_output" | "max_leaf_output" => "max_delta_step",
        "max_bins" => "max_bin",
        "subsample_for_bin" => "bin_construct_sample_cnt",
        "cat_feature" | "categorical_column" | "cat_column" | "categorical_features" => "categorical_feature",
        "mc" | "monotone_constraint" | "monotonic_cst" => "monotone_constraints",
        "monotone_constraining_method" | "mc_method" => "monotone_constraints_method",
        "unbalance" | "unbalanced_sets" => "is_unbalance",
        "early_stopping_rounds" | "early_stopping" | "n_iter_no_change" => "early_stopping_round",
        "ndcg_eval_at" | "ndcg_at" | "map_eval_at" | "map_at" => "eval_at",
        "random_seed" | "random_state" => "seed",
        "bagging_fraction_seed" => "bagging_seed",
        "num_thread" | "nthread" | "nthreads" | "n_jobs" => "num_threads",
        "verbose" => "verbosity",
        "boosting_type" | "boost" => "boosting",
        "device" => "device_type",
        other => other,
    }
}
