//! The compiled form of functions, constraints and consequences: a register program.

use std::sync::Arc;

use crate::check::Checks;
use crate::heap::{Constants, Heap, Text, Value};
use crate::library::Method;
use crate::types::{ClassInfo, class};

/// A register of the current frame.
pub(crate) type Register = u8;

/// Comparisons of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Test {
    pub(crate) fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Test::Equal => left == right,
            Test::NotEqual => left != right,
            Test::Less => left < right,
            Test::LessEqual => left <= right,
            Test::Greater => left > right,
            Test::GreaterEqual => left >= right,
        }
    }

    pub(crate) fn holds_ordering(self, order: std::cmp::Ordering) -> bool {
        self.holds(order as i8, 0)
    }
}

/// Arithmetic on two numbers of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    ShiftRightUnsigned,
}

/// Primitive types as conversion targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Boolean,
    Char,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
}

/// How a constraint relates two values beyond Java's operators. See [`crate::machine`] for what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relate {
    /// `equals`, with numbers of different types kept apart: how values of maps compare.
    Equals,
    /// Numbers by value, whatever their types.
    EqualsCoerced,
    /// Orders with coercion of numbers and numeric text; `null` never holds.
    Order(Test),
    Contains,
    MemberOf,
    Matches,
    SoundsLike,
    StartsWith,
    EndsWith,
    Length,
}

/// Short operations on common types that need no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intrinsic {
    /// `List.size()` and `Collection.size()`.
    Size,
    /// `List.get(int)`.
    ListGet,
    /// `String.length()`.
    Length,
    /// `a.equals(b)` on any object.
    Equals,
    EqualsIgnoreCase,
    /// `Map.get(Object)`.
    MapGet,
    MapContains,
    DoubleValue,
    IntValue,
    LongValue,
    ToString,
    /// `List.add(Object)`.
    ListAdd,
    AbsoluteDouble,
    MaximumDouble,
    MinimumDouble,
    MaximumInt,
    MinimumInt,
    CharAt,
}

/// The target of an operation that has little room for it: optimized code units are small enough.
pub(crate) type Near = u16;

/// Methods of the library that are done in place where their arguments are the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brief {
    /// `new ArrayList()`.
    NewList,
    /// `text.substring(start, end)`.
    Substring,
    /// `Integer.parseInt(text)`.
    ParseInt,
    /// `Long.parseLong(text)`.
    ParseLong,
}

/// One operation. Eight bytes; registers are frame-relative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Move {
        to: Register,
        from: Register,
    },
    Constant {
        to: Register,
        index: u16,
    },
    Global {
        to: Register,
        index: u16,
    },
    Jump {
        target: u32,
    },
    JumpIf {
        on: Register,
        target: u32,
    },
    JumpUnless {
        on: Register,
        target: u32,
    },
    JumpNull {
        on: Register,
        target: u32,
    },
    JumpNotNull {
        on: Register,
        target: u32,
    },
    JumpInt {
        test: Test,
        left: Register,
        right: Register,
        target: u32,
    },
    JumpLong {
        test: Test,
        left: Register,
        right: Register,
        target: u32,
    },
    JumpDouble {
        test: Test,
        left: Register,
        right: Register,
        target: u32,
    },
    JumpIntConstant {
        test: Test,
        left: Register,
        constant: u16,
        target: Near,
    },
    JumpLongConstant {
        test: Test,
        left: Register,
        constant: u16,
        target: Near,
    },
    JumpDoubleConstant {
        test: Test,
        left: Register,
        constant: u16,
        target: Near,
    },
    /// Compares an int with `list.size()`.
    JumpSize {
        test: Test,
        left: Register,
        list: Register,
        target: Near,
    },
    /// Jumps to the case of [`Code::switches`] that a string is equal to, if there is one.
    Switch {
        on: Register,
        table: u16,
    },
    /// `left.equals(right)`; throws on a null `left`.
    JumpEqual {
        left: Register,
        right: Register,
        target: u32,
    },
    JumpNotEqual {
        left: Register,
        right: Register,
        target: u32,
    },
    /// `constant.equals(on)`, with a string or a boolean.
    JumpEqualConstant {
        on: Register,
        constant: u16,
        target: u32,
    },
    JumpNotEqualConstant {
        on: Register,
        constant: u16,
        target: u32,
    },
    JumpInstance {
        on: Register,
        class: u16,
        target: u32,
    },
    JumpNotInstance {
        on: Register,
        class: u16,
        target: u32,
    },
    Int {
        operator: Arithmetic,
        to: Register,
        left: Register,
        right: Register,
    },
    Long {
        operator: Arithmetic,
        to: Register,
        left: Register,
        right: Register,
    },
    Float {
        operator: Arithmetic,
        to: Register,
        left: Register,
        right: Register,
    },
    Double {
        operator: Arithmetic,
        to: Register,
        left: Register,
        right: Register,
    },
    /// `to = left + by` on ints.
    IntStep {
        to: Register,
        left: Register,
        by: i8,
    },
    Negate {
        to: Register,
        from: Register,
    },
    Complement {
        to: Register,
        from: Register,
    },
    /// Unboxes and converts to a primitive type; null throws.
    Convert {
        to: Register,
        from: Register,
        target: Primitive,
    },
    /// Throws unless null or an instance.
    Cast {
        on: Register,
        class: u16,
    },
    /// Reference equality to a boolean.
    Same {
        to: Register,
        left: Register,
        right: Register,
    },
    MapGet {
        to: Register,
        map: Register,
        key: u16,
    },
    /// `map == null ? null : map.get(key)`.
    MapGetSafe {
        to: Register,
        map: Register,
        key: u16,
    },
    /// The same, then `toString()` on what is not null.
    MapText {
        to: Register,
        map: Register,
        key: u16,
    },
    /// [`Op::MapText`], and jumps if that is null.
    MapTextElse {
        to: Register,
        map: Register,
        key: u16,
        target: Near,
    },
    /// Jumps unless the text that [`Op::MapText`] gives is equal to a constant.
    JumpNotKeyText {
        map: Register,
        key: u16,
        constant: u16,
        target: Near,
    },
    /// [`Op::MapGetSafe`], then what [`Op::NumberOrNull`] makes of it.
    MapNumber {
        to: Register,
        map: Register,
        key: u16,
    },
    /// [`Op::MapNumber`], and jumps if that is null.
    MapNumberElse {
        to: Register,
        map: Register,
        key: u16,
        target: Near,
    },
    /// `from instanceof Number ? ((Number) from).doubleValue() : null`.
    NumberOrNull {
        to: Register,
        from: Register,
    },
    /// `from == null ? null : from.toString()`.
    TextOrNull {
        to: Register,
        from: Register,
    },
    MapPut {
        map: Register,
        key: Register,
        from: Register,
        to: Register,
    },
    MapPutKey {
        map: Register,
        from: Register,
        to: Register,
        key: u16,
    },
    /// [`Op::MapPutKey`] whose result nobody reads.
    MapSetKey {
        map: Register,
        from: Register,
        key: u16,
    },
    /// The same with a constant.
    MapSetConstant {
        map: Register,
        key: u16,
        constant: u16,
    },
    ListAddConstant {
        to: Register,
        list: Register,
        constant: u16,
    },
    /// Adds to the list that a global is.
    GlobalAddConstant {
        global: u16,
        constant: u16,
    },
    Intrinsic {
        which: Intrinsic,
        to: Register,
        first: Register,
        second: Register,
    },
    /// `to = over.iterator()`: for lists a position and the list's count of changes, else an object.
    Iterate {
        to: Register,
        over: Register,
    },
    /// `to = state.next()`.
    Step {
        to: Register,
        state: Register,
        over: Register,
    },
    /// Jumps if `state.hasNext()`.
    JumpMore {
        state: Register,
        over: Register,
        target: u32,
    },
    /// Jumps with `to = state.next()` if `state.hasNext()`.
    Next {
        to: Register,
        state: Register,
        over: Register,
        target: Near,
    },
    /// [`Op::Next`], passing over what is no map.
    NextMap {
        to: Register,
        state: Register,
        over: Register,
        target: Near,
    },
    /// `to = list.get(at)`, and jumps unless that is a map.
    ListMapElse {
        to: Register,
        list: Register,
        at: Register,
        target: Near,
    },
    Native {
        to: Register,
        first: Register,
        method: u16,
    },
    /// [`Op::Native`] of a method that is often done in place.
    Brief {
        which: Brief,
        to: Register,
        first: Register,
        method: u16,
    },
    Call {
        to: Register,
        first: Register,
        function: u16,
    },
    Lambda {
        to: Register,
        first: Register,
        count: u8,
        function: u16,
    },
    Return {
        from: Register,
    },
    ReturnConstant {
        index: u16,
    },
    Throw {
        from: Register,
    },
    Concat {
        to: Register,
        first: Register,
        count: u8,
    },
    GetField {
        to: Register,
        of: Register,
        field: u8,
    },
    SetField {
        of: Register,
        field: u8,
        from: Register,
    },
    New {
        to: Register,
        first: Register,
        class: u16,
    },
    NewArray {
        to: Register,
        first: Register,
        count: u8,
        kind: u8,
    },
    NewArraySized {
        to: Register,
        first: Register,
        count: u8,
        kind: u8,
    },
    ArrayGet {
        to: Register,
        of: Register,
        at: Register,
    },
    ArraySet {
        of: Register,
        at: Register,
        from: Register,
    },
    ArrayLength {
        to: Register,
        of: Register,
    },
    Relate {
        relation: Relate,
        to: Register,
        left: Register,
        right: Register,
    },
    /// `to = on != null` made explicit: throws on null, as calling a method on it would.
    NotNull {
        on: Register,
    },
    Insert {
        from: Register,
        logical: bool,
    },
    Update {
        fact: Register,
        mask: u16,
    },
    Delete {
        fact: Register,
    },
    Halt,
    Focus {
        from: Register,
    },
}

/// Where an exception of a range of operations is caught.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) target: u32,
    /// Receives the exception.
    pub(crate) register: Register,
    /// Any of these classes; empty catches everything.
    pub(crate) classes: Vec<u16>,
}

/// Strings and where each leads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switch {
    /// Bits of all cases, by [`Switch::bit`]: most other texts are told by theirs.
    pub(crate) bits: u64,
    pub(crate) cases: Vec<(Text, u32)>,
}

impl Switch {
    /// One of 64 bits, by the length and the last characters of a text.
    pub(crate) fn bit(text: &[u8]) -> u64 {
        let sum = text.iter().rev().take(2).fold(text.len(), |sum, byte| sum.wrapping_mul(7) + usize::from(*byte));
        1 << (sum % 64)
    }

    /// Where a text leads.
    #[inline]
    pub(crate) fn find(&self, heap: &Heap, text: Text) -> Option<u32> {
        if self.bits & Self::bit(heap.bytes(text)) == 0 {
            return None;
        }
        self.cases.iter().find(|(case, _)| heap.equal_texts(*case, text)).map(|(_, target)| *target)
    }
}

/// A compiled function, constraint or consequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    pub(crate) name: Arc<str>,
    pub(crate) ops: Vec<Op>,
    /// Source offset of each operation.
    pub(crate) positions: Vec<u32>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) switches: Vec<Switch>,
    /// Registers that it uses.
    pub(crate) registers: u16,
    /// Registers that a call fills, from the first on.
    pub(crate) parameters: u8,
    /// The same as questions about its first argument, for conditions that are no more.
    pub(crate) checks: Option<Checks>,
}

/// Everything that running code needs, shared by all sessions.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) codes: Vec<Code>,
    pub(crate) constants: Vec<Value>,
    /// The constants as tags and bits, ready for registers.
    pub(crate) encoded: Vec<(u8, u64)>,
    pub(crate) text: Arc<Constants>,
    pub(crate) methods: Vec<&'static Method>,
    pub(crate) classes: Arc<Vec<ClassInfo>>,
    /// `subclass[class * classes.len() + of]`.
    pub(crate) subclass: Vec<bool>,
    pub(crate) global_names: Vec<String>,
    /// Masks of properties for `Update`.
    pub(crate) masks: Vec<crate::network::Mask>,
    pub(crate) file: String,
    /// Offsets of line starts, for the positions of run-time errors.
    pub(crate) lines: Vec<u32>,
}

impl Program {
    pub(crate) fn is_subclass(&self, class: u16, of: u16) -> bool {
        self.subclass[class as usize * self.classes.len() + of as usize]
    }

    /// Whether a value that is not null is an instance of a class.
    #[inline]
    pub(crate) fn is_instance(&self, heap: &Heap, value: Value, of: u16) -> bool {
        // The common casts need no look at the object.
        let certain = matches!(
            (value, of),
            (_, class::OBJECT)
                | (Value::Map(_), class::MAP)
                | (Value::List(_), class::LIST)
                | (Value::String(_), class::STRING)
        );
        certain || self.is_subclass(heap.class_of(value), of)
    }

    /// One-based line and column of a source offset.
    pub(crate) fn position(&self, offset: u32) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        (line, (offset - start) as usize + 1)
    }
}
