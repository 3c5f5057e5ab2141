//! Byte-pair encoding: which neighbours are joined, in which order.
//!
//! The pair that stands most often beside each other becomes one token, again and again (Sennrich et al. 2016).
//! Among pairs that stand equally often the one with the lower numbers comes first, so the result depends on the
//! counts of words alone. It is that of the trainer of `tokenizers`, except where several pairs spell the same
//! token: there that one's order depends on a random hash.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

/// Two tokens beside each other.
type Pair = (u32, u32);

/// Longest word that is learned from, in symbols; of longer ones the beginning counts. It bounds the time that
/// a text without spaces can take.
const LONGEST_WORD: usize = 256;

/// The most frequent pairs of words.
pub(super) struct Learner {
    words: Vec<Vec<u32>>,
    counts: Vec<u64>,
    /// How often a pair stands in the words.
    pairs: HashMap<Pair, u64>,
    /// The words that a pair stands in or once stood in.
    places: HashMap<Pair, Vec<u32>>,
    /// Candidates. An entry whose count is no longer right is corrected when it comes up.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Learner {
    /// Takes words in any order and how often each stands in the text; `symbol` numbers their characters.
    pub(super) fn new(words: &BTreeMap<String, u64>, symbol: impl Fn(char) -> u32) -> Self {
        let mut learner = Self {
            words: words.keys().map(|word| word.chars().take(LONGEST_WORD).map(&symbol).collect()).collect(),
            counts: words.values().copied().collect(),
            pairs: HashMap::new(),
            places: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        for (index, word) in learner.words.iter().enumerate() {
            for pair in word.windows(2).map(|pair| (pair[0], pair[1])) {
                *learner.pairs.entry(pair).or_default() += learner.counts[index];
                let places = learner.places.entry(pair).or_default();
                if places.last() != Some(&(index as u32)) {
                    places.push(index as u32);
                }
            }
        }
        learner.queue = learner.pairs.iter().map(|(pair, count)| (*count, Reverse(*pair))).collect();
        learner
    }

    /// Joins pairs until the vocabulary has `size` tokens or no pair stands `least` times. Returns the pairs in
    /// order, spelled out; new tokens are added to `spellings`, whose index is a token's number.
    pub(super) fn learn(mut self, spellings: &mut Vec<String>, size: usize, least: u64) -> Vec<(String, String)> {
        let mut numbers: HashMap<String, u32> = spellings.iter().cloned().zip(0..).collect();
        let mut joined = HashSet::new();
        let mut merges = Vec::new();
        while spellings.len() < size {
            let Some((count, Reverse(pair))) = self.queue.pop() else { break };
            let current = self.pairs.get(&pair).copied().unwrap_or(0);
            if count > current && current > 0 {
                self.queue.push((current, Reverse(pair)));
            }
            // A lower count than the current one is old: the higher one has its own entry.
            if count != current {
                continue;
            }
            if count < least {
                break;
            }
            let (left, right) = (spellings[pair.0 as usize].clone(), spellings[pair.1 as usize].clone());
            let token = *numbers.entry(format!("{left}{right}")).or_insert_with_key(|spelling| {
                spellings.push(spelling.clone());
                spellings.len() as u32 - 1
            });
            self.join(pair, token);
            // A pair comes up again where other pairs spell the same token; its place in the order stays.
            if joined.insert(pair) {
                merges.push((left, right));
            }
        }
        merges
    }

    /// Replaces the pair by the token in all words.
    fn join(&mut self, pair: Pair, token: u32) {
        let mut grown = HashSet::new();
        for index in self.places.remove(&pair).unwrap_or_default() {
            let count = self.counts[index as usize];
            let word = &mut self.words[index as usize];
            if !word.windows(2).any(|two| (two[0], two[1]) == pair) {
                continue;
            }
            for old in word.windows(2).map(|two| (two[0], two[1])) {
                self.pairs.entry(old).and_modify(|sum| *sum -= count);
            }
            replace(word, pair, token);
            for new in word.windows(2).map(|two| (two[0], two[1])) {
                *self.pairs.entry(new).or_default() += count;
                if new.0 == token || new.1 == token {
                    let places = self.places.entry(new).or_default();
                    if places.last() != Some(&index) {
                        places.push(index);
                    }
                    grown.insert(new);
                }
            }
        }
        self.queue.extend(grown.into_iter().map(|new| (self.pairs[&new], Reverse(new))));
    }
}

/// Replaces the pair from left to right.
fn replace(word: &mut Vec<u32>, pair: Pair, token: u32) {
    let mut kept = 0;
    let mut next = 0;
    while next < word.len() {
        if next + 1 < word.len() && (word[next], word[next + 1]) == pair {
            word[kept] = token;
            next += 2;
        } else {
            word[kept] = word[next];
            next += 1;
        }
        kept += 1;
    }
    word.truncate(kept);
}
