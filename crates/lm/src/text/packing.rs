//! Sequences laid one behind another, and which examples make up a micro-batch.

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
