//! The registers of all frames.

use crate::heap::{Text, Value};
use crate::program::Register;

/// As many registers as an operation can name: every frame has them all, so that none needs a bounds check.
const REGISTERS: usize = Register::MAX as usize + 1;

/// The frames of running code, by depth of calls.
#[derive(Debug)]
pub(super) struct Stack {
    frames: Vec<Frame>,
}

impl Default for Stack {
    /// With the first frame, which everything needs.
    fn default() -> Self {
        Self { frames: vec![Frame::default()] }
    }
}

impl Stack {
    /// Makes room for a frame.
    #[inline]
    pub(super) fn reserve(&mut self, depth: usize) {
        while self.frames.len() <= depth {
            self.frames.push(Frame::default());
        }
    }

    /// The frame at a depth for which there is room.
    #[inline(always)]
    pub(super) fn frame(&mut self, depth: usize) -> &mut Frame {
        &mut self.frames[depth]
    }

    /// Copies arguments into the registers of another frame, from its first on.
    pub(super) fn hand_over(&mut self, depth: usize, first: Register, count: u8, to: usize) {
        for index in 0..count {
            let value = self.frames[depth].get(first + index);
            self.frames[to].set(index, value);
        }
    }
}

/// The registers of one frame, tags apart from bits.
#[derive(Debug)]
pub(super) struct Frame {
    tags: [u8; REGISTERS],
    bits: [u64; REGISTERS],
}

impl Default for Frame {
    fn default() -> Self {
        Self { tags: [0; REGISTERS], bits: [0; REGISTERS] }
    }
}

impl Frame {
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
    pub(super) fn long(&self, register: Register) -> Option<i64> {
        if let Value::Long(value) = self.get(register) { Some(value) } else { None }
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

    /// Writes a value that was read from an object: mostly one of few kinds, which need no jump by the kind.
    #[inline(always)]
    pub(super) fn set_read(&mut self, register: Register, value: &Value) {
        match *value {
            Value::Map(map) => self.set(register, Value::Map(map)),
            Value::List(list) => self.set(register, Value::List(list)),
            Value::String(text) => self.set(register, Value::String(text)),
            other => self.set_any(register, other),
        }
    }

    #[inline(never)]
    fn set_any(&mut self, register: Register, value: Value) {
        self.set(register, value);
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

    /// The values of so many registers.
    #[inline(always)]
    pub(super) fn several<const COUNT: usize>(&self, first: Register) -> [Value; COUNT] {
        std::array::from_fn(|index| self.get(first.wrapping_add(index as Register)))
    }

    /// The values of `count` registers.
    pub(super) fn range(&self, first: Register, count: usize) -> impl Iterator<Item = Value> + '_ {
        (usize::from(first)..usize::from(first) + count).map(|at| Value::decode(self.tags[at], self.bits[at]))
    }
}
