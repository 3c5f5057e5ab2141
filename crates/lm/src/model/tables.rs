//! Tables of turns for positions, for short sequences and for long ones where a model tells them apart.

use super::frequencies::frequencies;
use crate::config::{Rotary, Scaling};
use crate::kernel::{Attention, Element, Turns};

/// See the module. They are made when a sequence is first as long as they reach.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    rotary: Rotary,
    short: Turns,
    /// Of longrope, for sequences beyond the original length.
    long: Turns,
}

impl Tables {
    /// Tables that reach no position yet.
    pub(crate) fn new(rotary: &Rotary) -> Self {
        Self { rotary: rotary.clone(), short: Turns::default(), long: Turns::default() }
    }

    /// Makes the tables reach a length.
    pub(crate) fn reach(&mut self, longest: usize) {
        if self.short.positions() >= longest {
            return;
        }
        let positions = longest.next_power_of_two().max(256);
        let table = |long| {
            let (frequencies, factor) = frequencies(&self.rotary, long);
            Turns::new(&frequencies, positions, factor)
        };
        let short = table(false);
        if self.longest_short() < usize::MAX {
            self.long = table(true);
        }
        self.short = short;
    }

    /// The longest sequence that is short.
    fn longest_short(&self) -> usize {
        match self.rotary.scaling {
            Scaling::LongRope { original, .. } => original,
            _ => usize::MAX,
        }
    }

    /// Whether a sequence of a length is turned by the table for long ones.
    pub(crate) fn is_long(&self, length: usize) -> bool {
        length > self.longest_short()
    }

    /// Turns queries and keys in rows of sequences that lie one behind another: for each how many rows it has, and
    /// whether it is long.
    pub(crate) fn apply<E: Element>(
        &self,
        rows: &mut [E],
        attention: &Attention,
        positions: &[u32],
        sequences: impl Iterator<Item = (usize, bool)>,
        backward: bool,
    ) {
        let (stride, heads) = (attention.row(), attention.heads + attention.key_value_heads);
        if self.longest_short() == usize::MAX {
            return self.short.apply(rows, stride, heads, attention.size, positions, backward);
        }
        let mut from = 0;
        for (count, long) in sequences {
            let turns = if long { &self.long } else { &self.short };
            let rows = &mut rows[from * stride..(from + count) * stride];
            turns.apply(rows, stride, heads, attention.size, &positions[from..from + count], backward);
            from += count;
        }
    }
}
