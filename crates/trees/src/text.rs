//! LightGBM's text format, version v4 (also reads v2 and v3): `src/boosting/gbdt_model_text.cpp` and
//! `src/io/tree.cpp` of LightGBM 4.
//!
//! Reading refuses what it cannot run (linear trees) and whatever does not hang together: a model that was
//! read never indexes out of bounds and never loops.

use std::collections::HashMap;
use std::fmt::Write;

use crate::model::{Leaf, Missing, Model, Node, Test, Tree};
use crate::objective::Objective;

/// A text that is no usable model: the line, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ModelError {
    /// One-based line; where something is missing, the line that the section begins on.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What may be wrong with a model text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The first line is another.
    #[error("not a LightGBM model: the first line should be `tree`")]
    NotAModel,
    /// A key that every model or tree has.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A value that should be a number.
    #[error("`{key}` should hold numbers, not `{value}`")]
    NotANumber {
        /// The key of the line.
        key: String,
        /// The word, cut at 40 characters.
        value: String,
    },
    /// A list with too few or too many values.
    #[error("`{key}` has {found} values where {expected} are needed")]
    Length {
        /// The key of the line.
        key: &'static str,
        /// Values needed.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// A number that points nowhere.
    #[error("`{key}` holds {value}, which is out of range")]
    OutOfRange {
        /// The key of the line.
        key: &'static str,
        /// The number.
        value: i64,
    },
    /// Children that do not form a tree.
    #[error("the children of tree {0} do not form a tree")]
    NotATree(usize),
    /// Something of LightGBM's that is not supported.
    #[error("{0} are not supported")]
    Unsupported(&'static str),
    /// An objective that LightGBM does not have.
    #[error("unknown objective `{0}`")]
    UnknownObjective(String),
    /// The file ends too early.
    #[error("the text ends before `end of trees`: the file is cut short")]
    Truncated,
    /// Trees do not divide by classes.
    #[error("{trees} trees cannot be shared out to {classes} classes: at least one for each is needed")]
    Iterations {
        /// Trees in the file.
        trees: usize,
        /// Trees per iteration.
        classes: usize,
    },
}

/// The lines of a section by key, each with its number.
struct Section<'t> {
    start: usize,
    lines: HashMap<&'t str, (usize, &'t str)>,
}

impl<'t> Section<'t> {
    fn error(&self, key: &str, problem: Problem) -> ModelError {
        ModelError { line: self.lines.get(key).map_or(self.start, |(line, _)| *line), problem }
    }

    fn get(&self, key: &'static str) -> Result<&'t str, ModelError> {
        let found = self.lines.get(key).map(|(_, value)| *value);
        found.ok_or(ModelError { line: self.start, problem: Problem::Missing(key) })
    }

    fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, ModelError> {
        let text = self.get(key)?;
        text.trim().parse().map_err(|_| self.not_a_number(key, text))
    }

    fn not_a_number(&self, key: &str, value: &str) -> ModelError {
        let value = value.chars().take(40).collect();
        self.error(key, Problem::NotANumber { key: key.to_owned(), value })
    }

    /// A list of exactly `expected` numbers.
    fn list<T: std::str::FromStr>(&self, key: &'static str, expected: usize) -> Result<Vec<T>, ModelError> {
        let mut list = Vec::with_capacity(expected.min(1 << 16));
        for word in self.get(key)?.split_ascii_whitespace() {
            list.push(word.parse().map_err(|_| self.not_a_number(key, word))?);
        }
        if list.len() == expected {
            Ok(list)
        } else {
            Err(self.error(key, Problem::Length { key, expected, found: list.len() }))
        }
    }

    /// The same, or a default for every place where the key is absent or empty.
    fn list_or<T: std::str::FromStr + Clone>(
        &self,
        key: &'static str,
        expected: usize,
        default: T,
    ) -> Result<Vec<T>, ModelError> {
        match self.lines.get(key) {
            Some((_, value)) if !value.trim().is_empty() => self.list(key, expected),
            _ => Ok(vec![default; expected]),
        }
    }
}

impl Model {
    /// Reads a model text.
    ///
    /// # Errors
    /// When the text is no model that can be run; the error names the line.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
        if lines.next().map(|(_, line)| line) != Some("tree") {
            return Err(ModelError { line: 1, problem: Problem::NotAModel });
        }
        let mut sections = vec![Section { start: 1, lines: HashMap::new() }];
        let mut average_output = false;
        let mut ended = false;
        for (number, line) in lines.by_ref() {
            if line.starts_with("Tree=") {
                sections.push(Section { start: number, lines: HashMap::new() });
            } else if line == "end of trees" {
                ended = true;
                break;
            } else if line == "average_output" {
                average_output = true;
            } else if let (Some((key, value)), Some(section)) = (line.split_once('='), sections.last_mut()) {
                section.lines.insert(key, (number, value));
            }
        }
        if !ended {
            return Err(ModelError { line: text.lines().count(), problem: Problem::Truncated });
        }
        let parameters = lines
            .skip_while(|(_, line)| *line != "parameters:")
            .take_while(|(_, line)| *line != "end of parameters")
            .filter_map(|(_, line)| line.strip_prefix('[')?.strip_suffix(']')?.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let (header, trees) = sections.split_first().expect("the header is the first section");
        read(header, trees, average_output, parameters)
    }
}

fn read(
    header: &Section<'_>,
    sections: &[Section<'_>],
    average_output: bool,
    parameters: Vec<(String, String)>,
) -> Result<Model, ModelError> {
    let classes: usize = header.number("num_tree_per_iteration")?;
    if classes == 0 || sections.is_empty() || !sections.len().is_multiple_of(classes) {
        return Err(header.error("num_tree_per_iteration", Problem::Iterations { trees: sections.len(), classes }));
    }
    let feature_names: Vec<String> = header.get("feature_names")?.split_ascii_whitespace().map(str::to_owned).collect();
    let features = feature_names.len();
    let last: i64 = header.number("max_feature_idx")?;
    if features == 0 || last != features as i64 - 1 {
        let expected = last.saturating_add(1).max(1) as usize;
        let problem = Problem::Length { key: "feature_names", expected, found: features };
        return Err(header.error("feature_names", problem));
    }
    let objective = header.get("objective").unwrap_or_default();
    let objective = Objective::parse(objective)
        .ok_or_else(|| header.error("objective", Problem::UnknownObjective(objective.chars().take(40).collect())))?;
    let feature_infos = header.lines.get("feature_infos").map_or_else(
        || vec!["none".to_owned(); features],
        |(_, value)| value.split_ascii_whitespace().map(str::to_owned).collect(),
    );
    let monotone_constraints = match header.lines.get("monotone_constraints") {
        Some((_, value)) if !value.trim().is_empty() => header.list("monotone_constraints", features)?,
        _ => Vec::new(),
    };
    let trees = sections
        .iter()
        .enumerate()
        .map(|(index, section)| read_tree(section, index, features))
        .collect::<Result<_, _>>()?;
    Ok(Model {
        classes,
        objective,
        feature_names,
        feature_infos,
        monotone_constraints,
        average_output,
        trees,
        parameters,
    })
}

fn read_tree(section: &Section<'_>, index: usize, features: usize) -> Result<Tree, ModelError> {
    if section.lines.get("is_linear").is_some_and(|(_, value)| value.trim() != "0") {
        return Err(section.error("is_linear", Problem::Unsupported("linear trees")));
    }
    let leaf_count: usize = section.number("num_leaves")?;
    if leaf_count == 0 {
        return Err(section.error("num_leaves", Problem::OutOfRange { key: "num_leaves", value: 0 }));
    }
    let inner = leaf_count - 1;
    let values: Vec<f64> = section.list("leaf_value", leaf_count)?;
    let weights = section.list_or("leaf_weight", if inner == 0 { 1 } else { leaf_count }, 0.0);
    let weights = if inner == 0 { weights.unwrap_or_else(|_| vec![0.0]) } else { weights? };
    let counts = section.list_or("leaf_count", leaf_count, 0u64)?;
    let leaves = values
        .iter()
        .zip(weights)
        .zip(counts)
        .map(|((value, weight), count)| Leaf { value: *value, weight, count })
        .collect();
    let shrinkage = section.list_or("shrinkage", 1, 1.0)?[0];
    let mut tree = Tree { nodes: Vec::new(), leaves, category_sets: Vec::new(), shrinkage };
    if inner > 0 {
        tree.category_sets = read_sets(section)?;
        tree.nodes = read_nodes(section, inner, features, tree.category_sets.len())?;
        let mut asked = vec![false; tree.category_sets.len()];
        for node in &tree.nodes {
            if let Test::Category { set, .. } = node.test {
                // LightGBM gives every node a set of its own.
                if std::mem::replace(&mut asked[set], true) {
                    return Err(section.error("threshold", Problem::OutOfRange { key: "threshold", value: set as i64 }));
                }
            }
        }
        check_shape(&tree).map_err(|()| section.error("left_child", Problem::NotATree(index)))?;
    }
    Ok(tree)
}

fn read_sets(section: &Section<'_>) -> Result<Vec<Vec<u32>>, ModelError> {
    let sets: usize = section.list_or("num_cat", 1, 0)?[0];
    if sets == 0 {
        return Ok(Vec::new());
    }
    let bounds: Vec<usize> = section.list("cat_boundaries", sets.saturating_add(1))?;
    let words: Vec<u32> = section.list("cat_threshold", *bounds.last().unwrap_or(&0))?;
    bounds
        .windows(2)
        .map(|pair| {
            words.get(pair[0]..pair[1]).map(<[u32]>::to_vec).ok_or_else(|| {
                section.error("cat_boundaries", Problem::OutOfRange { key: "cat_boundaries", value: pair[0] as i64 })
            })
        })
        .collect()
}

fn read_nodes(section: &Section<'_>, inner: usize, features: usize, sets: usize) -> Result<Vec<Node>, ModelError> {
    let feature: Vec<usize> = section.list("split_feature", inner)?;
    let threshold: Vec<f64> = section.list("threshold", inner)?;
    let decision: Vec<u8> = section.list("decision_type", inner)?;
    let left: Vec<i32> = section.list("left_child", inner)?;
    let right: Vec<i32> = section.list("right_child", inner)?;
    let gain = section.list_or("split_gain", inner, 0.0f32)?;
    let value = section.list_or("internal_value", inner, 0.0)?;
    let weight = section.list_or("internal_weight", inner, 0.0)?;
    let count = section.list_or("internal_count", inner, 0u64)?;
    let range = |key: &'static str, value: i64| section.error(key, Problem::OutOfRange { key, value });
    (0..inner)
        .map(|n| {
            if feature[n] >= features {
                return Err(range("split_feature", feature[n] as i64));
            }
            let missing = match decision[n] >> 2 & 3 {
                0 => Missing::Never,
                1 => Missing::Zero,
                2 => Missing::NotANumber,
                _ => return Err(range("decision_type", i64::from(decision[n]))),
            };
            let test = if decision[n] & 1 == 1 {
                let set = threshold[n];
                if !(set >= 0.0 && set < sets as f64) {
                    return Err(range("threshold", set as i64));
                }
                Test::Category { set: set as usize, missing }
            } else {
                Test::Numeric { threshold: threshold[n], missing, default_left: decision[n] & 2 != 0 }
            };
            Ok(Node {
                feature: feature[n],
                test,
                left: left[n],
                right: right[n],
                gain: gain[n],
                value: value[n],
                weight: weight[n],
                count: count[n],
            })
        })
        .collect()
}

/// Every node and leaf hangs at exactly one place below the root.
fn check_shape(tree: &Tree) -> Result<(), ()> {
    let mut seen_nodes = vec![false; tree.nodes.len()];
    let mut seen_leaves = vec![false; tree.leaves.len()];
    let mut open = vec![0i32];
    while let Some(place) = open.pop() {
        let seen = if place >= 0 { seen_nodes.get_mut(place as usize) } else { seen_leaves.get_mut(!place as usize) };
        if std::mem::replace(seen.ok_or(())?, true) {
            return Err(());
        }
        if place >= 0 {
            let node = &tree.nodes[place as usize];
            open.extend([node.left, node.right]);
        }
    }
    if seen_nodes.iter().chain(&seen_leaves).all(|seen| *seen) { Ok(()) } else { Err(()) }
}

impl Model {
    /// The model as text, which LightGBM reads too. Numbers are written so that they read back the same.
    pub fn to_text(&self) -> String {
        let mut text = String::from("tree\nversion=v4\n");
        let _ = writeln!(text, "num_class={}", self.classes);
        let _ = writeln!(text, "num_tree_per_iteration={}", self.classes);
        let _ = writeln!(text, "label_index=0\nmax_feature_idx={}", self.features() as i64 - 1);
        if !self.objective.to_string().is_empty() {
            let _ = writeln!(text, "objective={}", self.objective);
        }
        if self.average_output {
            text.push_str("average_output\n");
        }
        let _ = writeln!(text, "feature_names={}", self.feature_names.join(" "));
        if !self.monotone_constraints.is_empty() {
            let _ = writeln!(text, "monotone_constraints={}", join(self.monotone_constraints.iter()));
        }
        let _ = writeln!(text, "feature_infos={}", self.feature_infos.join(" "));
        let trees: Vec<String> =
            self.trees.iter().enumerate().map(|(index, tree)| format!("Tree={index}\n{}\n", tree_text(tree))).collect();
        let _ = writeln!(text, "tree_sizes={}\n", join(trees.iter().map(String::len)));
        trees.iter().for_each(|tree| text.push_str(tree));
        text.push_str("end of trees\n\nfeature_importances:\n");
        let mut importance: Vec<(u64, &String)> =
            self.importance().iter().map(|(splits, _)| *splits).zip(&self.feature_names).collect();
        importance.sort_by_key(|(splits, _)| std::cmp::Reverse(*splits));
        for (splits, name) in importance.iter().take_while(|(splits, _)| *splits > 0) {
            let _ = writeln!(text, "{name}={splits}");
        }
        text.push_str("\nparameters:\n");
        for (name, value) in &self.parameters {
            let _ = writeln!(text, "[{name}: {value}]");
        }
        text.push_str("\nend of parameters\n\npandas_categorical:null\n");
        text
    }
}

fn tree_text(tree: &Tree) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "num_leaves={}\nnum_cat={}", tree.leaves.len(), tree.category_sets.len());
    let nodes = &tree.nodes;
    let _ = writeln!(text, "split_feature={}", join(nodes.iter().map(|node| node.feature)));
    let _ = writeln!(text, "split_gain={}", join(nodes.iter().map(|node| node.gain)));
    let threshold = |node: &Node| match node.test {
        Test::Numeric { threshold, .. } => threshold,
        Test::Category { set, .. } => set as f64,
    };
    let _ = writeln!(text, "threshold={}", join(nodes.iter().map(|node| number(threshold(node)))));
    let _ = writeln!(text, "decision_type={}", join(nodes.iter().map(|node| decision_type(&node.test))));
    let _ = writeln!(text, "left_child={}", join(nodes.iter().map(|node| node.left)));
    let _ = writeln!(text, "right_child={}", join(nodes.iter().map(|node| node.right)));
    let _ = writeln!(text, "leaf_value={}", join(tree.leaves.iter().map(|leaf| number(leaf.value))));
    let _ = writeln!(text, "leaf_weight={}", join(tree.leaves.iter().map(|leaf| number(leaf.weight))));
    let _ = writeln!(text, "leaf_count={}", join(tree.leaves.iter().map(|leaf| leaf.count)));
    let _ = writeln!(text, "internal_value={}", join(nodes.iter().map(|node| number(node.value))));
    let _ = writeln!(text, "internal_weight={}", join(nodes.iter().map(|node| number(node.weight))));
    let _ = writeln!(text, "internal_count={}", join(nodes.iter().map(|node| node.count)));
    if !tree.category_sets.is_empty() {
        let mut bounds = vec![0];
        bounds.extend(tree.category_sets.iter().scan(0, |end, set| {
            *end += set.len();
            Some(*end)
        }));
        let _ = writeln!(text, "cat_boundaries={}", join(bounds.iter()));
        let _ = writeln!(text, "cat_threshold={}", join(tree.category_sets.iter().flatten()));
    }
    let _ = writeln!(text, "is_linear=0\nshrinkage={}\n", number(tree.shrinkage));
    text
}

fn decision_type(test: &Test) -> u8 {
    let (flags, missing) = match test {
        Test::Numeric { missing, default_left, .. } => (u8::from(*default_left) << 1, missing),
        Test::Category { missing, .. } => (1, missing),
    };
    let missing = match missing {
        Missing::Never => 0,
        Missing::Zero => 1,
        Missing::NotANumber => 2,
    };
    flags | missing << 2
}

/// The shortest digits that read back the same; an exponent where plain digits would be long.
fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-5..1e17).contains(&size) || !value.is_finite() {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

fn join<T: std::fmt::Display>(items: impl Iterator<Item = T>) -> String {
    let mut text = String::new();
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(' ');
        }
        let _ = write!(text, "{item}");
    }
    text
}
