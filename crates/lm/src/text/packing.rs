//! Sequences laid one behind another, and which examples make up a micro-batch.

use super::examples::Example;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// Sequences laid one behind another, without padding; they do not see each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    /// The tokens of all sequences.
    pub tokens: Vec<u32>,
    /// Where each sequence starts, and behind them the total length: one more than there are sequences.
    pub starts: Vec<usize>,
    /// For each token the one to predict, or [`Tokens::IGNORED`]. Empty when nothing is to be learned.
    pub targets: Vec<u32>,
}

impl Tokens {
    /// The target of tokens whose prediction is not learned.
    pub const IGNORED: u32 = u32::MAX;
}

/// Examples that are packed at once. Longer ones of them find shorter ones that fit beside them, and still an
/// example meets others in each epoch.
const WINDOW: usize = 4096;

/// How micro-batches are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Tokens of a micro-batch, at most; a longer example is alone in its own.
    pub tokens: usize,
}

impl Packing {
    /// The micro-batches of an epoch: which examples each has. Each example is in one of them. The same seed and
    /// epoch give the same ones.
    pub fn epoch(&self, examples: &[Example], seed: u64, epoch: u64) -> Vec<Vec<usize>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(epoch);
        let mut order: Vec<usize> = (0..examples.len()).collect();
        shuffle(&mut order, &mut random);
        let mut batches = Vec::new();
        for window in order.chunks_mut(WINDOW) {
            // Longest first; among equals the drawn order stays.
            window.sort_by_key(|index| std::cmp::Reverse(examples[*index].tokens.len()));
            batches.extend(self.fill(examples, window));
        }
        shuffle(&mut batches, &mut random);
        batches
    }

    /// Best fit: each example goes where the least space is left, or into a new batch.
    fn fill(&self, examples: &[Example], order: &[usize]) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut spaces = BTreeSet::new();
        for index in order {
            let length = examples[*index].tokens.len();
            let found = spaces.range((length, 0)..).next().copied();
            let (space, batch) = found.unwrap_or((self.tokens, batches.len()));
            spaces.remove(&(space, batch));
            match batches.get_mut(batch) {
                Some(batch) => batch.push(*index),
                None => batches.push(vec![*index]),
            }
            spaces.insert((space.saturating_sub(length), batch));
        }
        batches
    }

    /// The micro-batch of some examples. A sequence's last token has nothing to predict.
    pub fn batch(examples: &[Example], chosen: &[usize]) -> Tokens {
        let mut batch = Tokens { starts: vec![0], ..Tokens::default() };
        for example in chosen.iter().map(|index| &examples[*index]) {
            batch.tokens.extend_from_slice(&example.tokens);
            let next = example.tokens.iter().zip(&example.counted).skip(1);
            batch.targets.extend(next.map(|(token, counted)| if *counted { *token } else { Tokens::IGNORED }));
            batch.targets.resize(batch.tokens.len(), Tokens::IGNORED);
            batch.starts.push(batch.tokens.len());
        }
        batch
    }
}

/// Puts things into any order with equal probability (Fisher and Yates). Written out, because a library may draw
/// otherwise in its next version, and runs must be repeatable.
fn shuffle<T>(things: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..things.len()).rev() {
        let drawn = (u128::from(random.next_u64()) * (last as u128 + 1)) >> 64;
        things.swap(last, drawn as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of drawn lengths, mostly short ones; the first half of each is not counted.
    fn examples(count: usize, seed: u64) -> Vec<Example> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut example = |index: usize| {
            let length = 2 + (random.next_u64() % 10 * (random.next_u64() % 30)) as usize;
            let counted = (0..length).map(|place| place >= length / 2).collect();
            Example { tokens: (0..length).map(|place| (index * 1000 + place) as u32).collect(), counted }
        };
        (0..count).map(&mut example).collect()
    }

    fn length(examples: &[Example], batch: &[usize]) -> usize {
        batch.iter().map(|index| examples[*index].tokens.len()).sum()
    }

    #[test]
    fn an_epoch_has_each_example_once_and_keeps_the_budget() {
        for (seed, count, tokens) in [(1, 0, 64), (2, 1, 64), (3, 500, 64), (4, 9000, 300), (5, 4097, 1), (6, 77, 9999)]
        {
            let examples = examples(count, seed);
            let batches = Packing { tokens }.epoch(&examples, seed, 3);
            let mut all: Vec<_> = batches.concat();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            assert!(batches.iter().all(|batch| batch.len() == 1 || length(&examples, batch) <= tokens));
        }
    }

    #[test]
    fn batches_are_well_filled() {
        let examples = examples(20_000, 7);
        let packing = Packing { tokens: 1024 };
        let batches = packing.epoch(&examples, 1, 0);
        let total = length(&examples, &batches.concat());
        assert!(total as f64 / (batches.len() * packing.tokens) as f64 > 0.99);
    }

    #[test]
    fn seed_and_epoch_decide_the_order() {
        let examples = examples(1000, 8);
        let packing = Packing { tokens: 256 };
        assert_eq!(packing.epoch(&examples, 5, 2), packing.epoch(&examples, 5, 2));
        assert_ne!(packing.epoch(&examples, 5, 2), packing.epoch(&examples, 5, 3));
        assert_ne!(packing.epoch(&examples, 5, 2), packing.epoch(&examples, 6, 2));
        let [first, second] = [0, 1].map(|epoch| packing.epoch(&examples, 5, epoch));
        let same = first.iter().filter(|batch| batch.len() > 2 && second.contains(batch)).count();
        assert!(same < first.len() / 20, "examples meet others in the next epoch");
    }

    #[test]
    fn a_shuffle_draws_every_order_equally_often() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut things = [1, 2, 3];
            shuffle(&mut things, &mut random);
            *counts.entry(things).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1150).contains(count)));
    }

    #[test]
    fn a_batch_predicts_the_next_token_of_the_same_sequence_where_it_counts() {
        let examples = [
            Example { tokens: vec![10, 11, 12], counted: vec![false, false, true] },
            Example { tokens: vec![20, 21], counted: vec![true, true] },
            Example { tokens: vec![30], counted: vec![true] },
        ];
        let batch = Packing::batch(&examples, &[2, 0, 1]);
        let none = Tokens::IGNORED;
        assert_eq!(batch.tokens, [30, 10, 11, 12, 20, 21]);
        assert_eq!(batch.starts, [0, 1, 4, 6]);
        assert_eq!(batch.targets, [none, none, 12, none, 21, none]);
    }
}
