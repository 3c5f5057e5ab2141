//! What the processor reaches in products alone: the ceiling that training is compared with.

use super::{Bf16, Element, Output, Precision, Right, View, product};
use std::time::Instant;

/// Median floating-point operations a second of a product of this shape (rows, columns, depth) on the current
/// pool's threads, a weight matrix on the right.
pub fn product_speed(precision: Precision, shape: [usize; 3], rounds: usize) -> f64 {
    match precision {
        Precision::F32 => measure::<f32>(shape, rounds),
        Precision::Bf16 => measure::<Bf16>(shape, rounds),
    }
}

fn measure<E: Element>(shape: [usize; 3], rounds: usize) -> f64 {
    let [rows, columns, depth] = shape;
    let left: Vec<E> = (0..rows * depth).map(|i| E::of((i % 61) as f32 * 0.01)).collect();
    let right: Vec<f32> = (0..columns * depth).map(|i| (i % 59) as f32 * 0.01).collect();
    let mut out = vec![0.0; rows * columns];
    let mut seconds: Vec<f64> = (0..rounds.max(1))
        .map(|_| {
            let start = Instant::now();
            let right = Right::Full(View::deep(&right, depth));
            product(
                shape,
                View::deep(&left, depth),
                right,
                Output::Full { data: &mut out, stride: columns, add: false },
            );
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    2.0 * (rows * columns * depth) as f64 / seconds[seconds.len() / 2]
}
