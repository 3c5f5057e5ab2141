//! A model in the form that the kernels run.

use crate::coding::{Coding, Question};
use crate::model::{Model, Node, Tree};
use crate::quadrature::Quadrature;

/// A model that scores and explains fast. Build once, share between threads.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(crate) coding: Coding,
    /// One forest per class.
    pub(crate) forests: Vec<Forest>,
    pub(crate) features: usize,
    /// Whether every node knows how many training rows it saw, without which there are no contributions.
    pub(crate) explains: bool,
}

/// The trees of one class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forest {
    pub(crate) trees: Vec<CompiledTree>,
    /// Mean raw sum over the training rows.
    pub(crate) expected: f64,
}

/// A tree with its nodes in the order of levels: parents come before children.
#[derive(Clone, Debug)]
pub(crate) struct CompiledTree {
    pub(crate) nodes: Vec<CompiledNode>,
    pub(crate) splits: Vec<Split>,
    /// Leaf values, padded with zeros to a whole number of vectors.
    pub(crate) leaves: Vec<f64>,
    /// Values of quadrature points for nodes whose feature was asked before on the path: for each such
    /// node `points` times lambda, then `points` times kappa.
    pub(crate) factors: Vec<f64>,
    pub(crate) quadrature: Quadrature,
    /// The tree as it was, where a leaf's number does not fit a byte.
    pub(crate) plain: Option<Box<Tree>>,
}

/// What scoring needs of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompiledNode {
    pub(crate) question: Question,
    /// Where rows go that pass: a node, or the number of nodes plus that of a leaf.
    pub(crate) left: u16,
    pub(crate) right: u16,
}

/// What explaining needs of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    pub(crate) feature: u32,
    /// Children: nodes from 0, or -1 for a leaf, whose value stands beside.
    pub(crate) left: i32,
    pub(crate) right: i32,
    pub(crate) left_value: f64,
    pub(crate) right_value: f64,
    /// Share of the node's training rows that went to each side.
    pub(crate) left_cover: f64,
    pub(crate) right_cover: f64,
    /// The nearest node above with the same feature, or -1, and on which side of it this one hangs.
    pub(crate) above: i32,
    pub(crate) above_left: bool,
    /// Where the node's factors begin, if there is a node above.
    pub(crate) factors: u32,
}

/// Leaves whose numbers fit the byte that the scoring kernel keeps per row.
const SMALL: usize = 256;

impl Compiled {
    /// Compiles a model.
    pub fn new(model: &Model) -> Self {
        let mut coding = Coding::new(model);
        let mut forests = vec![Forest::default(); model.classes];
        for (index, tree) in model.trees.iter().enumerate() {
            let forest = &mut forests[index % model.classes];
            forest.expected += tree.expected();
            forest.trees.push(compile(tree, &mut coding));
        }
        Self { coding, forests, features: model.features(), explains: model.trees.iter().all(counted) }
    }

    /// Columns of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Scores per row.
    pub fn classes(&self) -> usize {
        self.forests.len()
    }

    /// Whether the model holds what contributions are computed from: training rows per node.
    pub fn explains(&self) -> bool {
        self.explains
    }
}

/// Whether every node says how many training rows it saw, and its children add up to it.
fn counted(tree: &Tree) -> bool {
    let adds_up = |node: &Node| node.count > 0 && tree.count(node.left) + tree.count(node.right) == node.count as f64;
    tree.nodes.iter().all(adds_up)
}

fn compile(tree: &Tree, coding: &mut Coding) -> CompiledTree {
    let (order, place) = level_order(tree);
    let child = |child: i32| {
        let slot = if child >= 0 { place[child as usize] } else { tree.nodes.len() + !child as usize };
        // Trees with more leaves than `SMALL` go plain and have no use for this.
        slot as u16
    };
    let nodes = order
        .iter()
        .map(|&n| {
            let node = &tree.nodes[n];
            let question = coding.question(node.feature, &node.test, &tree.category_sets);
            CompiledNode { question, left: child(node.left), right: child(node.right) }
        })
        .collect();
    let (splits, covers, deepest) = splits(tree, &order, &place);
    let quadrature = Quadrature::exact_for(deepest);
    let mut compiled = CompiledTree {
        nodes,
        splits,
        leaves: tree.leaves.iter().map(|leaf| leaf.value).collect(),
        factors: Vec::new(),
        quadrature,
        plain: (tree.leaves.len() > SMALL).then(|| Box::new(tree.clone())),
    };
    let padded = compiled.leaves.len().next_multiple_of(8).max(64);
    compiled.leaves.resize(padded, 0.0);
    compiled.add_factors(&covers);
    compiled
}

/// Nodes level by level, those of a level ordered by which of their children are leaves, so that the
/// kernels' branches come in runs. Also each node's place in that order.
fn level_order(tree: &Tree) -> (Vec<usize>, Vec<usize>) {
    let mut order = Vec::with_capacity(tree.nodes.len());
    let mut place = vec![0; tree.nodes.len()];
    let mut level = if tree.nodes.is_empty() { Vec::new() } else { vec![0] };
    while !level.is_empty() {
        level.sort_by_key(|&n: &usize| (tree.nodes[n].left >= 0, tree.nodes[n].right >= 0, n));
        for &n in &level {
            place[n] = order.len();
            order.push(n);
        }
        let children = level.iter().flat_map(|&n| [tree.nodes[n].left, tree.nodes[n].right]);
        level = children.filter(|child| *child >= 0).map(|child| child as usize).collect();
    }
    (order, place)
}

/// The nodes for explaining, for each the product of covers of its feature above it, and the largest number
/// of different features on a path.
fn splits(tree: &Tree, order: &[usize], place: &[usize]) -> (Vec<Split>, Vec<f64>, usize) {
    let mut parents = vec![(usize::MAX, false); order.len()];
    for (at, &n) in order.iter().enumerate() {
        for (child, left) in [(tree.nodes[n].left, true), (tree.nodes[n].right, false)] {
            if child >= 0 {
                parents[place[child as usize]] = (at, left);
            }
        }
    }
    let mut list: Vec<Split> = Vec::with_capacity(order.len());
    let mut covers: Vec<f64> = Vec::with_capacity(order.len());
    let mut different: Vec<usize> = Vec::with_capacity(order.len());
    for (at, &n) in order.iter().enumerate() {
        let node = &tree.nodes[n];
        let (mut above, mut cover) = (None, 1.0);
        let mut step = parents[at];
        while step.0 != usize::MAX {
            let split = &list[step.0];
            if split.feature as usize == node.feature {
                cover = covers[step.0] * if step.1 { split.left_cover } else { split.right_cover };
                above = Some(step);
                break;
            }
            step = parents[step.0];
        }
        let outer = if parents[at].0 == usize::MAX { 0 } else { different[parents[at].0] };
        different.push(outer + usize::from(above.is_none()));
        covers.push(cover);
        let count = node.count as f64;
        let child = |child: i32| {
            if child >= 0 { (place[child as usize] as i32, 0.0) } else { (-1, tree.leaves[!child as usize].value) }
        };
        let ((left, left_value), (right, right_value)) = (child(node.left), child(node.right));
        list.push(Split {
            feature: node.feature as u32,
            left,
            right,
            left_value,
            right_value,
            left_cover: tree.count(node.left) / count,
            right_cover: tree.count(node.right) / count,
            above: above.map_or(-1, |(place, _)| place as i32),
            above_left: above.is_some_and(|(_, left)| left),
            factors: 0,
        });
    }
    let deepest = different.iter().copied().max().unwrap_or(0);
    (list, covers, deepest)
}

impl CompiledTree {
    fn add_factors(&mut self, covers: &[f64]) {
        for (split, cover) in self.splits.iter_mut().zip(covers) {
            if split.above >= 0 {
                split.factors = self.factors.len() as u32;
                let shares = self.quadrature.points.iter().map(|t| t + (1.0 - t) * cover);
                self.factors.extend(shares.clone().zip(&self.quadrature.points).map(|(share, t)| t / share));
                self.factors.extend(shares.map(|share| cover / (share * share)));
            }
        }
    }
}
