//! The rarer kinds of object.

use std::sync::Arc;

use num_bigint::BigInt;

use super::value::Value;

/// What a list is, for `getClass`, for refusing changes and for array stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum ListKind {
    #[default]
    ArrayList,
    LinkedList,
    /// `Arrays.asList`: elements may be set, the size is fixed.
    Fixed,
    /// `List.of`, `Collections.unmodifiableList` and views.
    Frozen,
    /// An array; the element type for its name.
    Array(ArrayKind),
}

/// Element types of arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArrayKind {
    Boolean,
    Char,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    String,
    Object,
}

/// A thrown or throwable object.
#[derive(Clone, Debug)]
pub(crate) struct Throwable {
    pub(crate) class: u16,
    pub(crate) message: Value,
    pub(crate) cause: Value,
}

/// Objects that few rules make.
#[derive(Clone, Debug)]
pub(crate) enum Other {
    Decimal(crate::decimal::Decimal),
    BigInteger(BigInt),
    Date(jiff::civil::Date),
    DateTime(jiff::civil::DateTime),
    Time(jiff::civil::Time),
    /// Seconds and nanoseconds.
    Duration(jiff::SignedDuration),
    /// Years, months, days.
    Period(i32, i32, i32),
    /// `java.util.Date` and `Instant`, in milliseconds since 1970.
    Instant {
        milliseconds: i64,
        is_date: bool,
    },
    /// A constant of a built-in enum: its class and position.
    Constant {
        class: u16,
        ordinal: u8,
    },
    Throwable(Throwable),
    /// `StringBuilder`, WTF-8.
    Builder(Vec<u8>),
    /// A snapshot of what is iterated, the position, and the collection with its change count.
    Iterator {
        items: Arc<Vec<Value>>,
        at: usize,
        over: Value,
        changes: u32,
    },
    /// A map entry: map, key, value at the time it was made.
    Entry {
        map: u32,
        key: Value,
        value: Value,
    },
    Class(ClassName),
    /// A lambda: the function and what it captured.
    Lambda {
        code: u32,
        captured: Arc<[Value]>,
    },
    /// A comparator made by the library.
    Comparator(Comparator),
    Optional(Value),
    Stream(Arc<Vec<Value>>),
    /// `java.util.regex.Pattern` with its source.
    Pattern(Arc<str>),
    /// A matcher: pattern, text, position after the last match, groups of the last match.
    Matcher {
        pattern: Arc<str>,
        text: Value,
        at: usize,
        groups: Vec<Option<(usize, usize)>>,
    },
    Formatter(Arc<str>),
    Atomic(Value),
}

/// What `getClass()` returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassName {
    pub(crate) simple: Arc<str>,
    pub(crate) full: Arc<str>,
}

/// Comparators without a lambda of the rule file.
#[derive(Clone, Debug)]
pub(crate) enum Comparator {
    Natural,
    Reverse,
    CaseInsensitive,
    /// By a key function.
    Key(Value),
    /// Another one, reversed.
    Reversed(Value),
    /// One, then another.
    Then(Value, Value),
}
