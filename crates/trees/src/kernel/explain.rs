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

use super::{Lane, Simd, score::ask};
use crate::coding::{Block, Coding, ROWS};
use crate::compiled::{CompiledTree, Forest, Split};

/// Points that one pass over a tree carries in registers; more take several passes.
const PASS: usize = 16;

/// Memory of the kernel, kept between calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    /// Per node and point: first the weight that reaches the node, then the value below it.
    states: Vec<Lane>,
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
    room: &mut Room,
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
        room.open.resize(tree.nodes.len().max(room.open.len()), 0);
        let points = tree.quadrature.points.len();
        if room.states.len() < tree.nodes.len() * PASS {
            room.states.resize(tree.nodes.len() * PASS, Lane::default());
        }
        for (group, sums) in sums.chunks_exact_mut(features.max(1)).enumerate() {
            let mut first = 0;
            while first < points {
                let count = (points - first).min(PASS);
                macro_rules! pass {
                    ($($count:literal)*) => {
                        match count {
                            $($count => pass::<S, $count>(simd, tree, first, group, room, sums),)*
                            _ => unreachable!("a pass has 1 to 16 points"),
                        }
                    };
                }
                pass!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
                first += count;
            }
        }
    }
}

/// `Q` quadrature points from `first` on, for the eight rows of a group.
#[inline(always)]
fn pass<S: Simd, const Q: usize>(
    simd: S,
    tree: &CompiledTree,
    first: usize,
    group: usize,
    room: &mut Room,
    sums: &mut [Lane],
) {
    let count = tree.splits.len();
    let (states, _) = room.states.as_chunks_mut::<Q>();
    let (states, masks, open) = (&mut states[..count], &room.masks[..count], &mut room.open[..count]);
    let points = tree.quadrature.points.len();
    let mut at = [simd.splat(0.0); Q];
    for q in 0..Q {
        at[q] = simd.splat(tree.quadrature.points[first + q]);
        simd.store(simd.splat(tree.quadrature.weights[first + q]), &mut states[0][q]);
    }
    let one = simd.splat(1.0);
    let zero = simd.splat(0.0);
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
                let weight = simd.load(&weights[q]);
                with[q] = simd.mul(weight, at[q]);
                without[q] = simd.mul(weight, simd.sub(one, at[q]));
            }
        } else {
            let (lambda, _) = factors(split);
            for q in 0..Q {
                let weight = simd.load(&weights[q]);
                let lambda = simd.select(still, simd.splat(lambda[q]), zero);
                with[q] = simd.mul(weight, lambda);
                without[q] = simd.mul(weight, simd.sub(one, lambda));
            }
        }
        for (child, cover, goes) in
            [(split.left, split.left_cover, goes_left), (split.right, split.right_cover, !goes_left)]
        {
            if child >= 0 {
                let cover = simd.splat(cover);
                let below = &mut states[child as usize];
                for q in 0..Q {
                    let shared = simd.mul(without[q], cover);
                    simd.store(simd.select(goes, simd.add(shared, with[q]), shared), &mut below[q]);
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
            let difference =
                simd.select(goes_left, simd.splat(split.left_value - mean), simd.splat(split.right_value - mean));
            let mean = simd.splat(mean);
            let here = &mut states[place];
            if split.above < 0 {
                for q in 0..Q {
                    sum = simd.add(sum, simd.load(&here[q]));
                    simd.store(simd.fma(at[q], difference, mean), &mut here[q]);
                }
            } else {
                let (lambda, kappa) = factors(split);
                for q in 0..Q {
                    sum = simd.fma(simd.load(&here[q]), simd.splat(kappa[q]), sum);
                    let value = simd.fma(simd.splat(lambda[q]), difference, mean);
                    simd.store(simd.select(still, value, mean), &mut here[q]);
                }
            }
            sum = simd.mul(sum, difference);
        } else {
            let (left_cover, right_cover) = (simd.splat(split.left_cover), simd.splat(split.right_cover));
            let mut left = [simd.splat(split.left_value); Q];
            let mut right = [simd.splat(split.right_value); Q];
            if split.left >= 0 {
                for q in 0..Q {
                    left[q] = simd.load(&states[split.left as usize][q]);
                }
            }
            if split.right >= 0 {
                for q in 0..Q {
                    right[q] = simd.load(&states[split.right as usize][q]);
                }
            }
            let here = &mut states[place];
            if split.above < 0 {
                for q in 0..Q {
                    let mean = simd.fma(left_cover, left[q], simd.mul(right_cover, right[q]));
                    let difference = simd.sub(simd.select(goes_left, left[q], right[q]), mean);
                    sum = simd.fma(simd.load(&here[q]), difference, sum);
                    simd.store(simd.fma(at[q], difference, mean), &mut here[q]);
                }
            } else {
                let (lambda, kappa) = factors(split);
                for q in 0..Q {
                    let mean = simd.fma(left_cover, left[q], simd.mul(right_cover, right[q]));
                    let difference = simd.sub(simd.select(goes_left, left[q], right[q]), mean);
                    let weight = simd.mul(simd.load(&here[q]), simd.splat(kappa[q]));
                    sum = simd.fma(weight, difference, sum);
                    let value = simd.fma(simd.splat(lambda[q]), difference, mean);
                    simd.store(simd.select(still, value, mean), &mut here[q]);
                }
            }
        }
        let total = &mut sums[split.feature as usize];
        let before = simd.load(total);
        let after = simd.add(before, sum);
        simd.store(if split.above < 0 { after } else { simd.select(still, after, before) }, total);
    }
}
