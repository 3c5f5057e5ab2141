//! Scoring: 64 rows go down a tree at once. Every node's question is asked of all rows; which rows really
//! get there is kept as a mask, and what arrives at a leaf takes the leaf's number.

use super::{Lane, Simd};
use crate::coding::{Block, Coding, Question, QuestionKind, ROWS};
use crate::compiled::Forest;

/// Nodes and leaves whose masks fit the kernel's array; trees with more leaves than bytes have values go plain.
const SLOTS: usize = 512;

/// Adds the forest's leaves to the sums of `B` blocks, tree by tree, as LightGBM does.
#[inline(always)]
pub(crate) fn score<S: Simd, const B: usize>(
    simd: S,
    coding: &Coding,
    forest: &Forest,
    blocks: &[Block; B],
    rows: [&[f64]; B],
    features: usize,
    sums: &mut [[Lane; 8]; B],
) {
    let mut reach = [[simd.rows(!0); B]; SLOTS];
    for tree in &forest.trees {
        if let Some(plain) = &tree.plain {
            for (rows, sums) in rows.iter().zip(sums.iter_mut()) {
                for (index, row) in rows.chunks_exact(features.max(1)).enumerate() {
                    sums[index / 8].0[index % 8] += plain.leaves[plain.leaf(row)].value;
                }
            }
            continue;
        }
        let mut bytes = [simd.no_bytes(); B];
        reach[0] = [simd.rows(!0); B];
        let nodes = tree.nodes.len();
        for (place, node) in tree.nodes.iter().enumerate() {
            let here = reach[place % SLOTS];
            let passes = ask(simd, coding, &node.question, blocks);
            let mut left = here;
            let mut right = here;
            for b in 0..B {
                left[b] = simd.and(here[b], passes[b]);
                right[b] = simd.and_not(here[b], passes[b]);
            }
            // Nodes and leaves are written alike: which child is a leaf cannot be predicted.
            reach[usize::from(node.left) % SLOTS] = left;
            reach[usize::from(node.right) % SLOTS] = right;
        }
        for leaf in 1..=nodes {
            let rows = &reach[(nodes + leaf) % SLOTS];
            for b in 0..B {
                bytes[b] = simd.put(bytes[b], rows[b], leaf as u8);
            }
        }
        let used = nodes + 1;
        for b in 0..B {
            simd.add_chosen(bytes[b], &tree.leaves, used, &mut sums[b]);
        }
    }
}

/// Which rows of the blocks pass a question.
#[inline(always)]
pub(crate) fn ask<S: Simd, const B: usize>(
    simd: S,
    coding: &Coding,
    question: &Question,
    blocks: &[Block; B],
) -> [S::Rows; B] {
    let mut passes = [simd.rows(0); B];
    let column = question.column as usize;
    match question.kind {
        QuestionKind::Rank => {
            for b in 0..B {
                passes[b] = simd.at_most(&blocks[b].planes[column], question.code);
            }
        }
        QuestionKind::Set => {
            let set = &coding.sets[question.detail as usize];
            for b in 0..B {
                passes[b] = simd.in_set(&blocks[b].planes[column], set);
            }
        }
        QuestionKind::Value | QuestionKind::Category => {
            for b in 0..B {
                let bits = ask_values(coding, question, &blocks[b]);
                passes[b] = simd.rows(bits);
            }
        }
    }
    passes
}

/// The same for features whose values did not fit a byte, row by row.
#[inline(never)]
fn ask_values(coding: &Coding, question: &Question, block: &Block) -> u64 {
    (0..ROWS).rev().fold(0, |bits, row| bits << 1 | u64::from(coding.passes(question, block, row)))
}

/// Adds the forest's leaves to the sums of the first rows of a block, one row after another: for a few rows
/// this is less work than asking every node.
#[inline(always)]
pub(crate) fn walk(
    coding: &Coding,
    forest: &Forest,
    block: &Block,
    rows: &[f64],
    features: usize,
    sums: &mut [Lane; 8],
) {
    for (row, values) in rows.chunks_exact(features.max(1)).enumerate() {
        let mut sum = 0.0;
        for tree in &forest.trees {
            let leaf = match &tree.plain {
                Some(plain) => plain.leaf(values),
                None => {
                    let mut place = 0;
                    while let Some(node) = tree.nodes.get(place) {
                        let passes = coding.passes(&node.question, block, row);
                        place = usize::from(if passes { node.left } else { node.right });
                    }
                    place - tree.nodes.len()
                }
            };
            sum += tree.leaves[leaf];
        }
        sums[row / 8].0[row % 8] = sum;
    }
}
