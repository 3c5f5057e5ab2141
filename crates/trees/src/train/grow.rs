//! Growing one tree: the leaf that gains most is divided next, until there are leaves enough.

use rayon::prelude::*;

use super::bins::Cut;
use super::dataset::{Dataset, SIDE_BY_SIDE};
use super::objective::Slope;
use super::parameters::Parameters;
use super::sample::draw;
use super::split::{Bounds, GoesLeft, Histogram, Search, Split, Totals};
use crate::model::{Leaf, Missing, Node, Test, Tree};

/// Histograms of all slots of a leaf.
type Histograms = Vec<[Histogram; SIDE_BY_SIDE]>;

/// Grows trees on one dataset; keeps its memory between them.
pub(super) struct Grower<'d> {
    data: &'d Dataset,
    parameters: &'d Parameters,
    monotone: Vec<i8>,
    /// Rows, those of a leaf side by side and in ascending order.
    rows: Vec<u32>,
    spare: Vec<u32>,
    pool: Vec<Histograms>,
}

/// A grown tree, and which training rows its leaves hold.
pub(super) struct Grown {
    pub(super) tree: Tree,
    /// Where each leaf's rows lie in [`Grower::rows`].
    pub(super) ranges: Vec<(usize, usize)>,
    /// Per node: the slot it asks, and the bins that go left.
    paths: Vec<(usize, [bool; 256])>,
}

/// A leaf that may be divided.
struct Open {
    start: usize,
    totals: Totals,
    bounds: Bounds,
    depth: i32,
    output: f64,
    histograms: Option<Histograms>,
    best: Option<Split>,
}

impl<'d> Grower<'d> {
    pub(super) fn new(data: &'d Dataset, parameters: &'d Parameters) -> Self {
        let monotone = |feature: &usize| parameters.monotone_constraints.get(*feature).copied().unwrap_or(0);
        Self {
            data,
            parameters,
            monotone: data.used.iter().map(monotone).collect(),
            rows: Vec::new(),
            spare: vec![0; data.rows],
            pool: Vec::new(),
        }
    }

    /// The rows of a leaf of the tree that was grown last.
    pub(super) fn rows(&self, range: (usize, usize)) -> &[u32] {
        &self.rows[range.0..range.1]
    }

    /// Grows a tree on some rows, ascending; `round` makes its random choices its own. Outputs are not
    /// shrunk yet.
    pub(super) fn grow(&mut self, rows: &[u32], slopes: &[Slope], round: u64) -> Grown {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        let slots = self.slots(self.parameters.feature_fraction, round << 20);
        let mut totals = Totals { count: rows.len(), ..Totals::default() };
        for row in rows {
            let [gradient, hessian] = slopes[*row as usize];
            totals.gradient += f64::from(gradient);
            totals.hessian += f64::from(hessian);
        }
        let search = self.search(totals, Bounds::NONE);
        let output = search.output([totals.gradient, totals.hessian], self.parameters.lambda_l2);
        let root = Open { start: 0, totals, bounds: Bounds::NONE, depth: 0, output, histograms: None, best: None };
        let mut open = vec![root];
        let mut grown = Grown { tree: Tree::constant(output), ranges: Vec::new(), paths: Vec::new() };
        let mut parents = vec![None];
        self.examine_root(&mut open[0], slopes, &slots, round << 20);
        while open.len() < self.parameters.num_leaves {
            let gain = |leaf: &Open| leaf.best.as_ref().map_or(0.0, |split| split.gain);
            // The first of the best, so that the choice does not depend on how leaves were searched.
            let Some(best) = (0..open.len())
                .filter(|leaf| gain(&open[*leaf]) > 0.0)
                .reduce(|a, b| if gain(&open[b]) > gain(&open[a]) { b } else { a })
            else {
                break;
            };
            self.divide(best, &mut open, &mut parents, &mut grown, slopes, &slots, round << 20);
        }
        grown.tree.leaves = open
            .iter()
            .map(|leaf| Leaf { value: leaf.output, weight: leaf.totals.hessian, count: leaf.totals.count as u64 })
            .collect();
        grown.ranges = open.iter().map(|leaf| (leaf.start, leaf.start + leaf.totals.count)).collect();
        self.pool.extend(open.into_iter().filter_map(|leaf| leaf.histograms));
        grown
    }

    /// Which slots may be split on.
    fn slots(&self, share: f64, round: u64) -> Vec<bool> {
        let seed = self.parameters.feature_fraction_seed.unwrap_or(self.parameters.seed.wrapping_add(2));
        let mut allowed = vec![false; self.data.used.len()];
        draw(allowed.len(), share, seed, round).iter().for_each(|slot| allowed[*slot as usize] = true);
        allowed
    }

    fn search(&self, totals: Totals, bounds: Bounds) -> Search<'d> {
        let constrained = self.monotone.iter().any(|sign| *sign != 0);
        Search { parameters: self.parameters, totals, bounds, constrained }
    }

    fn may_divide(&self, leaf: &Open) -> bool {
        let parameters = self.parameters;
        leaf.totals.count >= 2 * parameters.min_data_in_leaf.max(1)
            && (parameters.max_depth <= 0 || leaf.depth < parameters.max_depth)
    }

    fn examine_root(&mut self, root: &mut Open, slopes: &[Slope], slots: &[bool], round: u64) {
        if !self.may_divide(root) {
            return;
        }
        let mut histograms = self.histograms();
        let allowed = self.node_slots(slots, round);
        let search = self.search(root.totals, root.bounds);
        let rows = &self.rows[..];
        root.best = histograms
            .par_iter_mut()
            .enumerate()
            .map(|(group, histograms)| {
                fill(&self.data.groups[group], rows, slopes, histograms);
                self.best_of_group(group, histograms, &search, &allowed)
            })
            .reduce(|| None, better);
        root.histograms = Some(histograms);
    }

    /// Further narrows the slots for one node.
    fn node_slots(&self, slots: &[bool], round: u64) -> Vec<bool> {
        let share = self.parameters.feature_fraction_bynode;
        if share >= 1.0 {
            return slots.to_vec();
        }
        let open: Vec<usize> = (0..slots.len()).filter(|slot| slots[*slot]).collect();
        let seed = self.parameters.feature_fraction_seed.unwrap_or(self.parameters.seed.wrapping_add(2));
        let mut allowed = vec![false; slots.len()];
        draw(open.len(), share, seed, round).iter().for_each(|place| allowed[open[*place as usize]] = true);
        allowed
    }

    fn histograms(&mut self) -> Histograms {
        self.pool.pop().unwrap_or_else(|| vec![[[[0.0; 2]; 256]; SIDE_BY_SIDE]; self.data.groups.len()])
    }

    fn best_of_group(
        &self,
        group: usize,
        histograms: &[Histogram; SIDE_BY_SIDE],
        search: &Search<'_>,
        allowed: &[bool],
    ) -> Option<Split> {
        let first = group * SIDE_BY_SIDE;
        let slots = first..(first + SIDE_BY_SIDE).min(self.data.used.len());
        slots
            .filter(|slot| allowed[*slot])
            .filter_map(|slot| {
                let bins = &self.data.bins[self.data.used[slot]];
                search.best(slot, bins, &histograms[slot - first], self.monotone[slot])
            })
            .fold(None, |best, split| better(best, Some(split)))
    }

    /// Divides a leaf in two, and looks for the best split of both.
    #[expect(clippy::too_many_arguments, reason = "the state of one tree, taken apart so that it can be borrowed")]
    fn divide(
        &mut self,
        leaf: usize,
        open: &mut Vec<Open>,
        parents: &mut Vec<Option<(usize, bool)>>,
        grown: &mut Grown,
        slopes: &[Slope],
        slots: &[bool],
        round: u64,
    ) {
        let split = open[leaf].best.take().expect("only leaves with a split are divided");
        let table = self.table(&split);
        let leaves = open.len();
        let parent = &mut open[leaf];
        let before = parent.totals;
        let range = parent.start..parent.start + before.count;
        let kept = self.data.partition(split.slot, &table, &mut self.rows[range], &mut self.spare);
        let (left_bounds, right_bounds) = child_bounds(parent.bounds, &split, self.monotone[split.slot]);
        let node = grown.tree.nodes.len();
        grown.tree.nodes.push(Node {
            feature: self.data.used[split.slot],
            test: test(self.data, &split, &mut grown.tree.category_sets),
            left: !(leaf as i32),
            right: !(leaves as i32),
            gain: split.gain as f32,
            value: parent.output,
            weight: before.hessian,
            count: before.count as u64,
        });
        grown.paths.push((split.slot, table));
        if let Some((above, left)) = parents[leaf] {
            let above = &mut grown.tree.nodes[above];
            *(if left { &mut above.left } else { &mut above.right }) = node as i32;
        }
        parents[leaf] = Some((node, true));
        parents.push(Some((node, false)));
        let totals = |sum: [f64; 2], count: usize| Totals { gradient: sum[0], hessian: sum[1], count };
        let mut right = Open {
            start: parent.start + kept,
            totals: totals(split.right, before.count - kept),
            bounds: right_bounds,
            depth: parent.depth + 1,
            output: split.right_output,
            histograms: None,
            best: None,
        };
        parent.totals = totals(split.left, kept);
        parent.bounds = left_bounds;
        parent.depth += 1;
        parent.output = split.left_output;
        if leaves + 1 < self.parameters.num_leaves {
            let (smaller, larger) =
                if parent.totals.count <= right.totals.count { (parent, &mut right) } else { (&mut right, parent) };
            self.examine(smaller, larger, slopes, slots, round + 2 * node as u64 + 1);
        }
        open.push(right);
    }

    /// Fills the histograms of the smaller of two children, leaves the difference to the larger one, and
    /// finds the best split of both.
    fn examine(&mut self, smaller: &mut Open, larger: &mut Open, slopes: &[Slope], slots: &[bool], round: u64) {
        let (small, large) = (self.may_divide(smaller), self.may_divide(larger));
        let parent = smaller.histograms.take().or(larger.histograms.take());
        if !small && !large {
            self.pool.extend(parent);
            return;
        }
        let mut parent = parent.expect("a leaf that was divided has histograms");
        let mut filled = self.histograms();
        let allowed = (self.node_slots(slots, round), self.node_slots(slots, round + 1));
        let searches = (self.search(smaller.totals, smaller.bounds), self.search(larger.totals, larger.bounds));
        let rows = &self.rows[smaller.start..smaller.start + smaller.totals.count];
        let task =
            |(group, (filled, parent)): (usize, (&mut [Histogram; SIDE_BY_SIDE], &mut [Histogram; SIDE_BY_SIDE]))| {
                fill(&self.data.groups[group], rows, slopes, filled);
                for (bin, less) in parent.as_flattened_mut().iter_mut().zip(filled.as_flattened()) {
                    bin[0] -= less[0];
                    bin[1] -= less[1];
                }
                let best =
                    |yes: bool, histograms: &[Histogram; SIDE_BY_SIDE], search: &Search<'_>, allowed: &[bool]| {
                        if yes { self.best_of_group(group, histograms, search, allowed) } else { None }
                    };
                (best(small, filled, &searches.0, &allowed.0), best(large, parent, &searches.1, &allowed.1))
            };
        let both =
            |a: (Option<Split>, Option<Split>), b: (Option<Split>, Option<Split>)| (better(a.0, b.0), better(a.1, b.1));
        let (first, second) = if rayon::current_num_threads() > 1 {
            filled.par_iter_mut().zip(&mut parent).enumerate().map(task).reduce(|| (None, None), both)
        } else {
            filled.iter_mut().zip(&mut parent).enumerate().map(task).fold((None, None), both)
        };
        for (leaf, best, histograms) in [(smaller, first, filled), (larger, second, parent)] {
            // A leaf without a split needs its histograms no more.
            match best {
                Some(_) => leaf.histograms = Some(histograms),
                None => self.pool.push(histograms),
            }
            leaf.best = best;
        }
    }

    /// Which bins a split sends left.
    fn table(&self, split: &Split) -> [bool; 256] {
        let mut table = [false; 256];
        match &split.goes_left {
            GoesLeft::UpTo { bin, default_left } => {
                table[..=usize::from(*bin)].fill(true);
                let bins = &self.data.bins[self.data.used[split.slot]];
                if matches!(bins.cut, Cut::Numeric { missing: Missing::NotANumber, .. }) {
                    table[bins.count - 1] = *default_left;
                }
            }
            GoesLeft::These(bins) => bins.iter().for_each(|bin| table[usize::from(*bin)] = true),
        }
        table
    }
}

impl Grown {
    /// The leaf of a training row that the tree was not grown on.
    pub(super) fn leaf(&self, data: &Dataset, row: usize) -> usize {
        if self.paths.is_empty() {
            return 0;
        }
        let mut place = 0;
        while place >= 0 {
            let (slot, table) = &self.paths[place as usize];
            let node = &self.tree.nodes[place as usize];
            place = if table[usize::from(data.bin(*slot, row))] { node.left } else { node.right };
        }
        !place as usize
    }
}

impl Dataset {
    /// Moves the rows that go left to the front, both sides keeping their order; returns how many.
    fn partition(&self, slot: usize, table: &[bool; 256], rows: &mut [u32], spare: &mut [u32]) -> usize {
        let (group, place) = (&self.groups[slot / SIDE_BY_SIDE], slot % SIDE_BY_SIDE);
        let (mut left, mut right) = (0, 0);
        for index in 0..rows.len() {
            let row = rows[index];
            let goes = usize::from(table[usize::from(group[row as usize][place])]);
            // Both are written, one counts: no branch to predict.
            rows[left] = row;
            spare[right] = row;
            left += goes;
            right += 1 - goes;
        }
        rows[left..].copy_from_slice(&spare[..right]);
        left
    }
}

/// Sums the slopes of rows by bin, in the order of the rows.
fn fill(group: &[[u8; SIDE_BY_SIDE]], rows: &[u32], slopes: &[Slope], out: &mut [Histogram; SIDE_BY_SIDE]) {
    out.as_flattened_mut().fill([0.0; 2]);
    for row in rows {
        let bins = group[*row as usize];
        let [gradient, hessian] = slopes[*row as usize].map(f64::from);
        for (histogram, bin) in out.iter_mut().zip(bins) {
            let sums = &mut histogram[usize::from(bin)];
            sums[0] += gradient;
            sums[1] += hessian;
        }
    }
}

/// The split that gains more; of equal ones that of the earlier slot, so that the order of the search does
/// not show.
fn better(a: Option<Split>, b: Option<Split>) -> Option<Split> {
    match (a, b) {
        (Some(a), Some(b)) => {
            if b.gain > a.gain || (b.gain == a.gain && b.slot < a.slot) {
                Some(b)
            } else {
                Some(a)
            }
        }
        (a, b) => a.or(b),
    }
}

/// Bounds of the children of a split on a monotone feature: neither may cross the middle.
fn child_bounds(bounds: Bounds, split: &Split, monotone: i8) -> (Bounds, Bounds) {
    let (mut left, mut right) = (bounds, bounds);
    let middle = (split.left_output + split.right_output) / 2.0;
    if monotone > 0 {
        left.high = left.high.min(middle);
        right.low = right.low.max(middle);
    } else if monotone < 0 {
        left.low = left.low.max(middle);
        right.high = right.high.min(middle);
    }
    (left, right)
}

/// The question of a split in terms of values.
fn test(data: &Dataset, split: &Split, sets: &mut Vec<Vec<u32>>) -> Test {
    match (&data.bins[data.used[split.slot]].cut, &split.goes_left) {
        (Cut::Numeric { upper, missing }, GoesLeft::UpTo { bin, default_left }) => {
            Test::Numeric { threshold: upper[usize::from(*bin)], missing: *missing, default_left: *default_left }
        }
        (Cut::Categorical { categories, missing }, GoesLeft::These(bins)) => {
            let mut set = Vec::new();
            for bin in bins {
                let category = categories[usize::from(*bin) - 1] as usize;
                if set.len() <= category / 32 {
                    set.resize(category / 32 + 1, 0u32);
                }
                set[category / 32] |= 1 << (category % 32);
            }
            sets.push(set);
            Test::Category { set: sets.len() - 1, missing: *missing }
        }
        _ => unreachable!("numeric features are split by thresholds, categorical ones by sets"),
    }
}
