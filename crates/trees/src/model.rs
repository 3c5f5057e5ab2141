//! A boosted model as LightGBM's text format states it (`src/boosting/gbdt_model_text.cpp`, version v4).

use crate::objective::Objective;

/// A boosted model: trees and what it takes to turn their sum into a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Scores per row: 1, or the number of classes.
    pub classes: usize,
    /// How raw sums become scores, and what was trained.
    pub objective: Objective,
    /// Names of the features, in the order of the columns of a row.
    pub feature_names: Vec<String>,
    /// LightGBM's word on each feature's values: `[min:max]`, `1:2:3` for categories, `none` if unused.
    pub feature_infos: Vec<String>,
    /// Per feature 1, 0 or -1; empty where the model has no such constraints.
    pub monotone_constraints: Vec<i8>,
    /// Scores come from means over iterations, not sums (random forests).
    pub average_output: bool,
    /// Trees in the order of training; tree `i` belongs to class `i % classes`.
    pub trees: Vec<Tree>,
    /// Names and values of the training parameters, as written after the trees.
    pub parameters: Vec<(String, String)>,
}

/// One tree. Internal nodes are numbered from 0, the root; a child below 0 is the leaf `!child`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Internal nodes, one fewer than leaves.
    pub nodes: Vec<Node>,
    /// Leaves, at least one.
    pub leaves: Vec<Leaf>,
    /// Bit sets of categories, 32 to a word; a categorical node's threshold is its place in the list.
    pub category_sets: Vec<Vec<u32>>,
    /// The learning rate that the leaves already contain.
    pub shrinkage: f64,
}

/// A test on one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// Column of the row.
    pub feature: usize,
    /// What is asked of it.
    pub test: Test,
    /// Where rows go that pass.
    pub left: i32,
    /// Where the others go.
    pub right: i32,
    /// Improvement of the loss, for importances.
    pub gain: f32,
    /// What the node would answer if it were a leaf.
    pub value: f64,
    /// Sum of the hessians of the training rows.
    pub weight: f64,
    /// Number of training rows.
    pub count: u64,
}

/// The question of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test {
    /// `value <= threshold`.
    Numeric {
        /// The largest value that goes left.
        threshold: f64,
        /// What counts as missing.
        missing: Missing,
        /// Missing values go left.
        default_left: bool,
    },
    /// The value, truncated to an integer, is in the set; missing and negative values are not.
    Category {
        /// Index into [`Tree::category_sets`].
        set: usize,
        /// What the format states as missing; it does not matter to the decision.
        missing: Missing,
    },
}

/// Which values of a feature are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// None: not-a-number is read as 0.
    Never,
    /// Zero and not-a-number.
    Zero,
    /// Not-a-number.
    NotANumber,
}

/// A leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Leaf {
    /// What is added to the raw sum.
    pub value: f64,
    /// Sum of the hessians of the training rows.
    pub weight: f64,
    /// Number of training rows.
    pub count: u64,
}

/// Magnitudes up to this are zero to LightGBM (`kZeroThreshold`, a 32-bit float).
pub const ZERO: f64 = 1e-35f32 as f64;

impl Model {
    /// A column's name as a model file can hold it: without blanks.
    pub fn feature_name(column: &str) -> String {
        column.replace(char::is_whitespace, "_")
    }

    /// Columns of a row.
    pub fn features(&self) -> usize {
        self.feature_names.len()
    }

    /// Rounds of boosting.
    pub fn iterations(&self) -> usize {
        self.trees.len() / self.classes
    }

    /// Raw sums of one row, one per class, straight down every tree. The plain form that the kernels are
    /// compared with.
    ///
    /// # Panics
    /// When the row has another number of columns than the model.
    pub fn raw(&self, row: &[f64]) -> Vec<f64> {
        assert_eq!(row.len(), self.features(), "columns of the row");
        let mut sums = vec![0.0; self.classes];
        for (index, tree) in self.trees.iter().enumerate() {
            sums[index % self.classes] += tree.leaves[tree.leaf(row)].value;
        }
        sums
    }

    /// Turns the raw sums of one row into its scores.
    pub fn transform(&self, sums: &mut [f64]) {
        if self.average_output {
            sums.iter_mut().for_each(|sum| *sum /= self.iterations() as f64);
        }
        self.objective.transform(sums);
    }

    /// How often each feature is split on, and how much it gained, as LightGBM's `feature_importance`.
    pub fn importance(&self) -> Vec<(u64, f64)> {
        let mut list = vec![(0, 0.0); self.features()];
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            if node.gain > 0.0 {
                list[node.feature].0 += 1;
                list[node.feature].1 += f64::from(node.gain);
            }
        }
        list
    }
}

impl Tree {
    /// A tree that answers the same to every row.
    pub fn constant(value: f64) -> Self {
        Self { leaves: vec![Leaf { value, ..Leaf::default() }], shrinkage: 1.0, ..Self::default() }
    }

    /// The leaf that a row ends in.
    pub fn leaf(&self, row: &[f64]) -> usize {
        if self.nodes.is_empty() {
            return 0;
        }
        let mut place = 0;
        while place >= 0 {
            let node = &self.nodes[place as usize];
            place = if self.passes(node, row[node.feature]) { node.left } else { node.right };
        }
        !place as usize
    }

    /// Whether a value goes left.
    pub fn passes(&self, node: &Node, value: f64) -> bool {
        match node.test {
            Test::Numeric { threshold, missing, default_left } => match missing.read(value) {
                Some(value) => value <= threshold,
                None => default_left,
            },
            Test::Category { set, .. } => {
                category(value).is_some_and(|category| contains(&self.category_sets[set], category))
            }
        }
    }

    /// Mean answer over the training rows, as LightGBM's `Tree::ExpectedValue`.
    pub fn expected(&self) -> f64 {
        let Some(root) = self.nodes.first() else { return self.leaves[0].value };
        let total = root.count as f64;
        self.leaves.iter().fold(0.0, |sum, leaf| sum + leaf.count as f64 / total * leaf.value)
    }

    /// Training rows under a child.
    pub(crate) fn count(&self, child: i32) -> f64 {
        if child >= 0 { self.nodes[child as usize].count as f64 } else { self.leaves[!child as usize].count as f64 }
    }
}

impl Missing {
    /// The value to compare, or nothing where it is missing. Values next to zero are zero, as LightGBM's
    /// dense row reader leaves them out.
    pub(crate) fn read(self, value: f64) -> Option<f64> {
        let value = if value.abs() <= ZERO { 0.0 } else { value };
        match self {
            Self::Never if value.is_nan() => Some(0.0),
            Self::Zero if value == 0.0 || value.is_nan() => None,
            Self::NotANumber if value.is_nan() => None,
            _ => Some(value),
        }
    }
}

/// The category of a value, if it has one: truncated towards zero, not negative.
pub(crate) fn category(value: f64) -> Option<u32> {
    // A value beyond 32 bits saturates to a category that no set holds, where C++ leaves it undefined.
    if value.is_nan() || (value as i32) < 0 { None } else { Some(value as i32 as u32) }
}

/// Whether a bit set of categories holds one.
pub(crate) fn contains(set: &[u32], category: u32) -> bool {
    set.get(category as usize / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
}
