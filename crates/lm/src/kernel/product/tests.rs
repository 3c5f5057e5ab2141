//! The product against a plain triple loop, and against itself on other processors and threads.

use super::*;
use crate::kernel::{Bf16, Element, Level};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random<E: Element>(count: usize, seed: u64) -> Vec<E> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| E::of(draw.random_range(-1.0..1.0))).collect()
}

/// Every way to lay out operands, at shapes around the sizes of tiles and blocks.
fn compare<E: Element>(right_of: for<'a> fn(&'a [E], usize, bool) -> Right<'a>, tolerance: f64) {
    for [rows, columns, depth] in [[1, 1, 1], [8, 48, 4], [9, 50, 33], [7, 64, 256], [97, 17, 515], [3, 130, 1100]] {
        let (left, right) = (random::<E>(rows * depth, 1), random::<E>(columns * depth, 2));
        for (left_deep, right_deep) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut out = vec![1.0f32; rows * columns];
            let operand = if left_deep { View::deep(&left, depth) } else { View::wide(&left, rows) };
            let other = right_of(&right, if right_deep { depth } else { columns }, right_deep);
            product(
                [rows, columns, depth],
                operand,
                other,
                Output::Full { data: &mut out, stride: columns, add: true },
            );
            for row in 0..rows {
                for column in 0..columns {
                    let a = |k: usize| if left_deep { left[row * depth + k] } else { left[k * rows + row] };
                    let b = |k: usize| if right_deep { right[column * depth + k] } else { right[k * columns + column] };
                    let exact = 1.0 + (0..depth).map(|k| a(k).value() as f64 * b(k).value() as f64).sum::<f64>();
                    let error = (out[row * columns + column] as f64 - exact).abs();
                    assert!(error < tolerance * (depth as f64).sqrt(), "{rows}x{columns}x{depth}: {error}");
                }
            }
        }
    }
}

#[test]
fn products_equal_a_triple_loop() {
    compare::<f32>(
        |data, stride, deep| Right::Full(if deep { View::deep(data, stride) } else { View::wide(data, stride) }),
        1e-6,
    );
    compare::<Bf16>(
        |data, stride, deep| Right::Half(if deep { View::deep(data, stride) } else { View::wide(data, stride) }),
        1e-6,
    );
}

fn all_outputs(rows: usize) -> (Vec<f32>, Vec<f32>, Vec<Bf16>) {
    // So wide that a single row is worth dividing among threads.
    let (columns, depth) = (470, 700);
    let (left, right) = (random::<f32>(rows * depth, 3), random::<f32>(columns * depth, 4));
    let half: Vec<Bf16> = left.iter().map(|value| Bf16::of(*value)).collect();
    let (mut full, mut mixed) = (vec![0.0; rows * columns], vec![0.0; rows * columns]);
    let mut narrow = vec![Bf16::default(); rows * columns];
    let shape = [rows, columns, depth];
    let right = Right::Full(View::deep(&right, depth));
    product(shape, View::deep(&left, depth), right, Output::Full { data: &mut full, stride: columns, add: false });
    product(shape, View::deep(&half, depth), right, Output::Full { data: &mut mixed, stride: columns, add: false });
    product(shape, View::deep(&half, depth), right, Output::Half { data: &mut narrow, stride: columns, add: false });
    (full, mixed, narrow)
}

#[test]
fn processors_threads_and_neighbours_do_not_change_a_bit() {
    let best = all_outputs(100);
    let columns = 470;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for rows in [1, 2, 5, 64] {
        let few = pool.install(|| all_outputs(rows));
        assert!(
            few.0 == best.0[..rows * columns] && few.1 == best.1[..rows * columns] && few.2 == best.2[..rows * columns]
        );
    }
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| all_outputs(100)) == best, "{threads} threads");
    }
    for level in Level::ALL {
        level.choose();
        assert!(all_outputs(100) == best, "{level:?}");
    }
    Level::best().choose();
}

#[test]
fn operands_held_packed_give_the_same_bytes() {
    // Depths over several blocks, and the last of odd length.
    let (rows, columns) = (100, 70);
    for depth in [1, 256, 701, 1100] {
        let (full, weights) = (random::<f32>(rows * depth, 5), random::<f32>(columns * depth, 6));
        let half: Vec<Bf16> = full.iter().map(|value| Bf16::of(*value)).collect();
        held::<f32, f32>(&full, &weights, [rows, columns, depth]);
        held::<Bf16, f32>(&half, &weights, [rows, columns, depth]);
        held::<Bf16, Bf16>(&half, &weights, [rows, columns, depth]);
    }
}

fn held<E: Element, T: Element>(left: &[E], weights: &[f32], shape: [usize; 3]) {
    let [rows, columns, depth] = shape;
    let right = Right::Full(View::deep(weights, depth));
    for add in [false, true] {
        let mut expected = vec![T::of(1.0); rows * columns];
        let mut out = expected.clone();
        product(shape, View::deep(left, depth), right, T::output(&mut expected, columns, add));
        let operand = Held::new(right, depth, columns);
        operand.product(rows, View::deep(left, depth), T::output(&mut out, columns, add));
        assert!(out == expected, "{shape:?}");
    }
}
