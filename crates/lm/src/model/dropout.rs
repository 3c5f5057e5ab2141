//! Dropout whose choices are a function of a seed and a place, so that a repeated pass drops the same.

use crate::kernel::Element;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Numbers that share a generator.
const CHUNK: usize = 1 << 14;

/// The input with a share of its numbers zeroed and the others made larger in turn (inverted dropout). Its own
/// gradient with the same seed.
pub(crate) fn drop_out<E: Element>(input: &[E], share: f32, seed: u64) -> Vec<E> {
    let mut out = input.to_vec();
    let keep = 1.0 / (1.0 - share);
    let bound = (f64::from(share) * 4_294_967_296.0) as u32;
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        draw.set_stream(chunk as u64);
        for value in out {
            *value = if draw.random::<u32>() < bound { E::default() } else { E::of(value.value() * keep) };
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_share_is_dropped_and_the_same_each_time() {
        let ones = vec![1.0f32; 40_000];
        let dropped = drop_out(&ones, 0.25, 7);
        let zeros = dropped.iter().filter(|value| **value == 0.0).count();
        assert!((9_500..10_500).contains(&zeros), "{zeros}");
        assert!(dropped.iter().all(|value| *value == 0.0 || (*value - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(dropped, drop_out(&ones, 0.25, 7));
        assert_ne!(dropped, drop_out(&ones, 0.25, 8));
    }
}
