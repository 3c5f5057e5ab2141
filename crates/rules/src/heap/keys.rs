//! Canonical texts of keys: those of the program, and those learned from what was read.

use super::{Heap, Text, Value};

/// Room for keys that are not in the program, and the longest that is kept.
pub(super) const LEARNED_BYTES: usize = 16 << 10;
const LEARNED_KEY: usize = 64;

/// Places that are remembered: many times those of one kind of case.
const SLOTS: usize = 512;
const SLOT_SHIFT: u32 = u32::BITS - SLOTS.ilog2();

/// A key that the program reads, and where it stood in the map that it was last found in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(super) text: Text,
    pub(super) place: u32,
}

impl Key {
    /// The key that a constant is; what is no text is never found.
    pub(crate) fn new(constant: Value) -> Self {
        let text = match constant {
            Value::String(text) => text,
            _ => Text::ascii(u32::MAX as usize, 0),
        };
        Self { text, place: 0 }
    }

    pub(crate) fn text(self) -> Value {
        Value::String(self.text)
    }
}

/// Where a key stands: first in the object under another key, or after another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Succession(u32);

impl Succession {
    /// First in an object under a key, or in the outermost one.
    pub(crate) fn first(under: Option<Text>) -> Self {
        Self(under.map_or(1, |key| (key.offset() << 1) | 1))
    }

    /// Next after a key of the same object.
    pub(crate) fn after(key: Text) -> Self {
        Self(key.offset() << 1)
    }

    fn slot(self) -> usize {
        (self.0.wrapping_mul(0x9e37_79b1) >> SLOT_SHIFT) as usize
    }
}

/// For some places, the key that was last read there. Each place has two slots to be in; a third one that wants
/// them displaces the elder.
#[derive(Debug)]
pub(super) struct Expectations {
    slots: [(Succession, Text); SLOTS],
}

impl Default for Expectations {
    fn default() -> Self {
        // No key stands after a key at this offset: it is beyond all canonical text.
        Self { slots: [(Succession(u32::MAX - 1), Text::ascii(0, 0)); SLOTS] }
    }
}

impl Heap {
    /// The key that was last read in a place; it is canonical.
    #[inline]
    pub(crate) fn expected_key(&self, place: Succession) -> Option<Text> {
        let slots = &self.expectations.slots;
        let (held, key) = slots[place.slot()];
        if held == place {
            return Some(key);
        }
        let (held, key) = slots[place.slot() ^ 1];
        (held == place).then_some(key)
    }

    /// Remembers a key for its place, if both outlive the case.
    pub(crate) fn expect_key(&mut self, place: Succession, key: Text) {
        let follows = (place.0 >> 1) as usize;
        if self.is_constant(key) && follows < self.canonical_end {
            let slots = &mut self.expectations.slots;
            let slot = place.slot();
            if slots[slot].0 != place {
                slots[slot ^ 1] = slots[slot];
            }
            slots[slot] = (place, key);
        }
    }

    /// The canonical text for a key: the program's, or one learned from earlier cases.
    pub(crate) fn key_text(&mut self, bytes: &[u8]) -> Text {
        match self.symbol(bytes) {
            Some(found) => found,
            None => self.learn(bytes),
        }
    }

    /// The canonical text of these bytes, if there is one.
    pub(crate) fn symbol(&self, bytes: &[u8]) -> Option<Text> {
        self.constants.symbols.get(bytes).or_else(|| self.learned.get(bytes)).copied()
    }

    /// Gives a key a place that outlives the case: the next one most likely has it too.
    fn learn(&mut self, bytes: &[u8]) -> Text {
        let end = self.learned_end + bytes.len();
        if bytes.is_empty() || bytes.len() > LEARNED_KEY || end > self.canonical_end {
            return self.new_text(bytes);
        }
        self.text[self.learned_end..end].copy_from_slice(bytes);
        let place = Text::new(self.learned_end, bytes);
        self.learned_end = end;
        self.learned.insert(bytes.into(), place);
        place
    }
}
