//! The registers of all frames.

use crate::heap::{Text, Value};
use crate::program::Register;

/// As many registers as an operation can name. Every frame has them all behind its base, so that a register
/// is always in bounds; those that its code does not use belong to the frames that it calls.
const FRAME: usize = Register::MAX as usize + 1;

/// The registers of all frames, tags apart from bits.
#[derive(Debug)]
pub(super) struct Stack {
    tags: Vec<u8>,
    bits: Vec<u64>,
}

impl Default for Stack {
    fn default() -> Self {
        Self { tags: vec![0; FRAME * 2], bits: vec![0; FRAME * 2] }
    }
}

impl Stack {
    /// Makes room for a frame.
    #[inline]
    pub(super) fn reserve(&mut self, base: usize) {
        if base + FRAME > self.tags.len() {
            let length = (base + FRAME) * 2;
            self.tags.resize(length, 0);
            self.bits.resize(length, 0);
        }
    }

    /// The frame at a base for which there is room.
    #[inline(always)]
    pub(super) fn frame(&mut self, base: usize) -> Frame<'_> {
        let (Some(tags), Some(bits)) = (self.tags[base..].first_chunk_mut(), self.bits[base..].first_chunk_mut())
        else {
            unreachable!("room is reserved before a frame is entered")
        };
        Frame { tags, bits }
    }

    pub(super) fn get(&self, at: usize) -> Value {
        Value::decode(self.tags[at], self.bits[at])
    }

    #[inline]
    pub(super) fn set(&mut self, at: usize, value: Value) {
        self.tags[at] = value.tag();
        self.bits[at] = value.bits();
    }

    pub(super) fn range(&self, start: usize, count: usize) -> impl Iterator<Item = Value> + '_ {
        (start..start + count).map(|at| self.get(at))
    }
}

/// The registers of one frame.
pub(super) struct Frame<'s> {
    tags: &'s mut [u8; FRAME],
    bits: &'s mut [u64; FRAME],
}

impl Frame<'_> {
    #[inline(always)]
    pub(super) fn get(&self, register: Register) -> Value {
        let at = usize::from(register);
        Value::decode(self.tags[at], self.bits[at])
    }

    #[inline(always)]
    pub(super) fn is_null(&self, register: Register) -> bool {
        self.get(register).is_null()
    }

    // One kind at a time: these become single comparisons, where a match on several becomes a jump.

    #[inline(always)]
    pub(super) fn map(&self, register: Register) -> Option<u32> {
        if let Value::Map(map) = self.get(register) { Some(map) } else { None }
    }

    #[inline(always)]
    pub(super) fn list(&self, register: Register) -> Option<u32> {
        if let Value::List(list) = self.get(register) { Some(list) } else { None }
    }

    #[inline(always)]
    pub(super) fn string(&self, register: Register) -> Option<Text> {
        if let Value::String(text) = self.get(register) { Some(text) } else { None }
    }

    #[inline(always)]
    pub(super) fn integer(&self, register: Register) -> Option<i32> {
        if let Value::Integer(value) = self.get(register) { Some(value) } else { None }
    }

    #[inline(always)]
    pub(super) fn double(&self, register: Register) -> Option<f64> {
        if let Value::Double(value) = self.get(register) { Some(value) } else { None }
    }

    #[inline(always)]
    pub(super) fn boolean(&self, register: Register) -> Option<bool> {
        if let Value::Boolean(value) = self.get(register) { Some(value) } else { None }
    }

    #[inline(always)]
    pub(super) fn set(&mut self, register: Register, value: Value) {
        self.put(register, value.tag(), value.bits());
    }

    /// Writes a value that is encoded already.
    #[inline(always)]
    pub(super) fn put(&mut self, register: Register, tag: u8, bits: u64) {
        let at = usize::from(register);
        self.tags[at] = tag;
        self.bits[at] = bits;
    }

    #[inline(always)]
    pub(super) fn copy(&mut self, from: Register, to: Register) {
        let from = usize::from(from);
        self.put(to, self.tags[from], self.bits[from]);
    }
}
