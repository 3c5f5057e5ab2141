//! Exact path-dependent Shapley values (Lundberg et al., "Consistent individualized feature attribution for
//! tree ensembles", 2018) by quadrature.
//!
//! A feature's Shapley value is the integral over `t` in [0, 1] of the derivative of the game's multilinear
//! extension, a polynomial that Gauss-Legendre points integrate exactly (Owen, "Multilinear extensions of
//! games", 1972). For one `t`, a node whose feature has lambda `l` sends weight `l` with the row and shares
//! `1 - l` by cover. With `P` the weight that reaches a node and `S` the value below it:
//!
//! - down: `P(child) = P ((1 - l) cover(child) + l [the row goes there])`;
//! - up: `M = cover(left) S(left) + cover(right) S(right)`, `D = S(where the row goes) - M`,
//!   `S = M + l D`, and the feature gains `w P k D`.
//!
//! A feature that is new on the path has `l = t`, `k = 1`. Asked again, with `z` the product of its covers
//! above: `F = t + (1 - t) z`, `l = t / F`, `k = z / F²`; both are 0 once the row left the feature's side.
//! Nothing is divided and nothing cancels, and the work is nodes times points, for eight rows at once.

use super::{Arithmetic, Lane, Simd, score::ask};
use crate::coding::{Block, Coding, ROWS};
use crate::compiled::{CompiledTree, Forest, Split};

/// Points that one pass over a tree carries in registers; more take several passes.
const PASS: usize = 16;

/// Memory of the kernel, kept between calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room<T> {
    /// Per node and point: first the weight that reaches the node, then the value below it.
    states: Vec<T>,
    masks: Vec<u64>,
    /// Per node: rows that are still on their side of the node's feature.
    open: Vec<u8>,
}

/// Adds the contributions of a forest for up to 64 rows. `sums` holds, for every eight rows, one lane per
/// feature.
#[inline(always)]
pub(crate) fn explain<S: Simd>(
    simd: S,
    coding: &Coding,
    forest: &Forest,
    block: &[Block; 1],
    rows: usize,
    room: &mut Room<Lane>,
    sums: &mut [Lane],
) {
    let groups = rows.min(ROWS).div_ceil(8);
    let features = sums.len() / groups.max(1);
    for tree in &forest.trees {
        if tree.nodes.is_empty() {
            continue;
        }
        room.masks.clear();
        for node in &tree.nodes {
            let [passes] = ask(simd, coding, &node.question, block);
            room.masks.push(simd.bits(passes));
        }
        for (group, sums) in sums.chunks_exact_mut(features.max(1)).enumerate() {
            all_points(simd, tree, group, room, sums);
        }
    }
}

/// The same for the first row of a block alone; `sums` holds a number per feature.
#[inline(always)]
pub(crate) fn explain_one<A: Arithmetic>(
    arithmetic: A,
    coding: &Coding,
    forest: &Forest,
    block: &Block,
    room: &mut Room<A::Store>,
    sums: &mut [A::Store],
) {
    for tree in forest.trees.iter().filter(|tree| !tree.nodes.is_empty()) {
        room.masks.clear();
        for node in &tree.nodes {
            room.masks.push(u64::from(coding.passes(&node.question, block, 0)));
        }
        all_points(arithmetic, tree, 0, room, sums);
    }
}

/// A tree for the rows of a group, in as few passes as its points take.
#[inline(always)]
fn all_points<A: Arithmetic>(
    arithmetic: A,
    tree: &CompiledTree,
    group: usize,
    room: &mut Room<A::Store>,
    sums: &mut [A::Store],
) {
    room.open.resize(tree.nodes.len().max(room.open.len()), 0);
    if room.states.len() < tree.nodes.len() * PASS {
        room.states.resize(tree.nodes.len() * PASS, A::Store::default());
    }
    let points = tree.quadrature.points.len();
    let mut first = 0;
    while first < points {
        let count = (points - first).min(PASS);
        macro_rules! pass {
            ($($count:literal)*) => {
                match count {
                    $($count => pass::<A, $count>(arithmetic, tree, first, group, room, sums),)*
                    _ => unreachable!("a pass has 1 to 16 points"),
                }
            };
        }
        pass!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
        first += count;
    }
}

/// `Q` quadrature points from `first` on, for the rows of a group.
#[inline(always)]
fn pass<A: Arithmetic, const Q: usize>(
    arithmetic: A,
    tree: &CompiledTree,
    first: usize,
    group: usize,
    room: &mut Room<A::Store>,
    sums: &mut [A::Store],
) {
    let count = tree.splits.len();
    let (states, _) = room.states.as_chunks_mut::<Q>();
    let (states, masks, open) = (&mut states[..count], &room.masks[..count], &mut room.open[..count]);
    let points = tree.quadrature.points.len();
    let mut at = [arithmetic.splat(0.0); Q];
    for q in 0..Q {
        at[q] = arithmetic.splat(tree.quadrature.points[first + q]);
        arithmetic.store(arithmetic.splat(tree.quadrature.weights[first + q]), &mut states[0][q]);
    }
    let one = arithmetic.splat(1.0);
    let zero = arithmetic.splat(0.0);
    let factors = |split: &Split| {
        let start = split.factors as usize + first;
        let lambda: &[f64; Q] = tree.factors[start..].first_chunk().expect("one per point");
        let kappa: &[f64; Q] = tree.factors[start + points..].first_chunk().expect("one per point");
        (lambda, kappa)
    };
    for (place, split) in tree.splits.iter().enumerate() {
        let goes_left = (masks[place] >> (8 * group)) as u8;
        let still = if split.above >= 0 {
            let above = split.above as usize;
            let left = (masks[above] >> (8 * group)) as u8;
            open[above] & if split.above_left { left } else { !left }
        } else {
            0xff
        };
        open[place] = still;
        if split.left < 0 && split.right < 0 {
            continue;
        }
        let weights = states[place];
        let mut with = [zero; Q];
        let mut without = [zero; Q];
        if split.above < 0 {
            for q in 0..Q {
                let weight = arithmetic.load(&weights[q]);
                with[q] = arithmetic.mul(weight, at[q]);
                without[q] = arithmetic.mul(weight, arithmetic.sub(one, at[q]));
            }
        } else {
            let (lambda, _) = factors(split);
            for q in 0..Q {
                let weight = arithmetic.load(&weights[q]);
                let lambda = arithmetic.select(still, arithmetic.splat(lambda[q]), zero);
                with[q] = arithmetic.mul(weight, lambda);
                without[q] = arithmetic.mul(weight, arithmetic.sub(one, lambda));
            }
        }
        for (child, cover, goes) in
            [(split.left, split.left_cover, goes_left), (split.right, split.right_cover, !goes_left)]
        {
            if child >= 0 {
                let cover = arithmetic.splat(cover);
                let below = &mut states[child as usize];
                for q in 0..Q {
                    let shared = arithmetic.mul(without[q], cover);
                    arithmetic.store(arithmetic.select(goes, arithmetic.add(shared, with[q]), shared), &mut below[q]);
                }
            }
        }
    }
    for (place, split) in tree.splits.iter().enumerate().rev() {
        let goes_left = (masks[place] >> (8 * group)) as u8;
        let still = open[place];
        let mut sum = zero;
        if split.left < 0 && split.right < 0 {
            // Two leaves: mean and difference are the same at every point.
            let mean = split.left_cover * split.left_value + split.right_cover * split.right_value;
            let difference = arithmetic.select(
                goes_left,
                arithmetic.splat(split.left_value - mean),
                arithmetic.splat(split.right_value - mean),
            );
            let mean = arithmetic.splat(mean);
            let here = &mut states[place];
            if split.above < 0 {
                for q in 0..Q {
                    sum = arithmetic.add(sum, arithmetic.load(&here[q]));
                    arithmetic.store(arithmetic.fma(at[q], difference, mean), &mut here[q]);
                }
            } else {
                let (lambda, kappa) = factors(split);
                for q in 0..Q {
                    sum = arithmetic.fma(arithmetic.load(&here[q]), arithmetic.splat(kappa[q]), sum);
                    let value = arithmetic.fma(arithmetic.splat(lambda[q]), difference, mean);
                    arithmetic.store(arithmetic.select(still, value, mean), &mut here[q]);
                }
            }
            sum = arithmetic.mul(sum, difference);
        } else {
            let (left_cover, right_cover) = (arithmetic.splat(split.left_cover), arithmetic.splat(split.right_cover));
            let mut left = [arithmetic.splat(split.left_value); Q];
            let mut right = [arithmetic.splat(split.right_value); Q];
            if split.left >= 0 {
                for q in 0..Q {
                    left[q] = arithmetic.load(&states[split.left as usize][q]);
                }
            }
            if split.right >= 0 {
                for q in 0..Q {
                    right[q] = arithmetic.load(&states[split.right as usize][q]);
                }
            }
            let here = &mut states[place];
            if split.above < 0 {
                for q in 0..Q {
                    let mean = arithmetic.fma(left_cover, left[q], arithmetic.mul(right_cover, right[q]));
                    let difference = arithmetic.sub(arithmetic.select(goes_left, left[q], right[q]), mean);
                    sum = arithmetic.fma(arithmetic.load(&here[q]), difference, sum);
                    arithmetic.store(arithmetic.fma(at[q], difference, mean), &mut here[q]);
                }
            } else {
                let (lambda, kappa) = factors(split);
                for q in 0..Q {
                    let mean = arithmetic.fma(left_cover, left[q], arithmetic.mul(right_cover, right[q]));
                    let difference = arithmetic.sub(arithmetic.select(goes_left, left[q], right[q]), mean);
                    let weight = arithmetic.mul(arithmetic.load(&here[q]), arithmetic.splat(kappa[q]));
                    sum = arithmetic.fma(weight, difference, sum);
                    let value = arithmetic.fma(arithmetic.splat(lambda[q]), difference, mean);
                    arithmetic.store(arithmetic.select(still, value, mean), &mut here[q]);
                }
            }
        }
        let total = &mut sums[split.feature as usize];
        let before = arithmetic.load(total);
        let after = arithmetic.add(before, sum);
        arithmetic.store(if split.above < 0 { after } else { arithmetic.select(still, after, before) }, total);
    }
}
