//! Which rows and features a tree sees.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws `share` of `0..count`, ascending, at least one; the same for the same seed and round.
pub(super) fn draw(count: usize, share: f64, seed: u64, round: u64) -> Vec<u32> {
    if share >= 1.0 {
        return (0..count as u32).collect();
    }
    let mut wanted = ((count as f64 * share) as usize).clamp(usize::from(count > 0), count);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(round);
    // Selection sampling: Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S.
    let mut chosen = Vec::with_capacity(wanted);
    for index in 0..count {
        if random.random::<f64>() * ((count - index) as f64) < wanted as f64 {
            chosen.push(index as u32);
            wanted -= 1;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_a_set_of_the_right_size_and_can_be_repeated() {
        for (count, share, size) in [(10, 0.5, 5), (1000, 0.8, 800), (3, 0.1, 1), (7, 1.0, 7)] {
            let list = draw(count, share, 1, 2);
            assert_eq!(list.len(), size);
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(list, draw(count, share, 1, 2));
        }
        assert_ne!(draw(1000, 0.5, 1, 2), draw(1000, 0.5, 1, 3));
    }
}
