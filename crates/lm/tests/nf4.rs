//! NF4 beside what bitsandbytes made of the same numbers, and what must hold for any.

use lm::{Checkpoint, Nf4};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

fn fixture(path: &str) -> Checkpoint {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Checkpoint::open_file(&fixtures.join(path)).unwrap()
}

fn read(checkpoint: &Checkpoint, name: &str) -> (Vec<f32>, Vec<usize>) {
    let shape = checkpoint.shape(name).unwrap().to_vec();
    let mut values = vec![0.0; shape.iter().product()];
    checkpoint.read_f32(name, &shape, &mut values).unwrap();
    (values, shape)
}

fn dequantized(matrix: &Nf4) -> Vec<f32> {
    let mut values = vec![0.0; matrix.rows() * matrix.columns()];
    for (row, into) in values.chunks_mut(matrix.columns()).enumerate() {
        matrix.dequantize_row(row, 0, into);
    }
    values
}

/// Same codes everywhere, or numbers would be whole steps apart. The mean of the maxima may be summed in another order.
fn same(weights: &[f32], expected: &[f32], shape: &[usize]) {
    let values = dequantized(&Nf4::quantize(weights, shape[0], shape[1]));
    for (at, (value, expected)) in values.iter().zip(expected).enumerate() {
        assert!((value - expected).abs() <= 1e-6 * expected.abs(), "{at}: {value} {expected}");
    }
}

#[test]
fn numbers_come_back_as_from_bitsandbytes() {
    let recorded = fixture("kernels/nf4.safetensors");
    for name in ["many", "short", "zeros"] {
        let (weights, shape) = read(&recorded, &format!("{name}.weights"));
        same(&weights, &read(&recorded, &format!("{name}.dequantised")).0, &shape);
    }
    let name = "model.layers.0.self_attn.q_proj.weight";
    let (weights, shape) = read(&fixture("llama64/model.safetensors"), name);
    same(&weights, &read(&fixture("llama64/adapter/expected.safetensors"), "nf4.dequantised").0, &shape);
}

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| (0..6).map(|_| random.random_range(-0.05f32..0.05)).sum()).collect()
}

#[test]
fn no_number_is_further_off_than_half_a_step() {
    let (rows, columns) = (130, 136);
    let weights = random(rows * columns, 1);
    let values = dequantized(&Nf4::quantize(&weights, rows, columns));
    let maximum = |values: &[f32]| values.iter().fold(0.0f32, |maximum, value| maximum.max(value.abs()));
    // The widest gap between codes is 0.3038; the maximum itself is off by at most half a step of the second level,
    // 0.9 / 64 / 2 of the largest difference from the mean.
    let spread = weights.chunks(64).map(maximum).fold((f32::MAX, 0.0f32), |(low, high), m| (low.min(m), high.max(m)));
    for (weights, values) in weights.chunks(64).zip(values.chunks(64)) {
        let bound = maximum(weights) * 0.3039 / 2.0 + (spread.1 - spread.0) * 0.0071;
        assert!(weights.iter().zip(values).all(|(weight, value)| (weight - value).abs() <= bound));
    }
}

/// With one maximum for all blocks, the second level is exact, and so is every number that is a code.
#[test]
fn codes_are_kept_exactly() {
    let codes = [-1.0, -0.394_917_5, 0.0, 0.160_930_2, 0.562_617, 1.0f32];
    let weights = (0..64 * 300).map(|at| codes[(at * 7 + at / 64) % codes.len()] * 0.25).collect::<Vec<_>>();
    assert_eq!(dequantized(&Nf4::quantize(&weights, 300, 64)), weights);
    assert_eq!(dequantized(&Nf4::quantize(&vec![0.0; 640], 10, 64)), vec![0.0; 640]);
}

#[test]
fn any_part_of_a_row_is_that_part() {
    for (rows, columns) in [(3, 64), (5, 100), (4, 33), (7, 1), (2, 320), (1, 63)] {
        let matrix = Nf4::quantize(&random(rows * columns, 2), rows, columns);
        for (row, expected) in dequantized(&matrix).chunks(columns).enumerate() {
            for from in 0..columns {
                for length in [0, 1, columns / 3, columns - from].map(|length| length.min(columns - from)) {
                    let mut values = vec![f32::NAN; length];
                    matrix.dequantize_row(row, from, &mut values);
                    assert_eq!(values, expected[from..from + length], "{rows} x {columns}, row {row} from {from}");
                }
            }
        }
    }
}

#[test]
fn it_takes_little_more_than_half_a_byte_a_number() {
    let matrix = Nf4::quantize(&random(512 * 512, 3), 512, 512);
    let bits = matrix.bytes() as f64 * 8.0 / (512.0 * 512.0);
    assert!((4.12..4.14).contains(&bits), "{bits}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let weights = random(700 * 200, 4);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Nf4::quantize(&weights, 700, 200))
    };
    assert_eq!(with(1), with(3));
}
