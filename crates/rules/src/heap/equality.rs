//! `equals`, `hashCode` and `compareTo`.

use std::cmp::Ordering;

use super::other::Other;
use super::value::Value;
use super::{Heap, ListKind};

/// How deep collections may be nested in each other.
const MAXIMUM_DEPTH: u32 = 256;

impl Heap {
    /// Whether two strings have the same text.
    #[inline(always)]
    pub(crate) fn equal_texts(&self, left: super::Text, right: super::Text) -> bool {
        left == right || left.length() == right.length() && self.same_text(left, right)
    }

    #[inline(never)]
    fn same_text(&self, left: super::Text, right: super::Text) -> bool {
        crate::text::same_bytes(self.bytes(left), self.bytes(right))
    }

    /// `Objects.equals(left, right)`.
    pub(crate) fn equal(&self, left: Value, right: Value) -> bool {
        self.equal_nested(left, right, 0)
    }

    /// Collections that hold themselves end at a depth that no real one reaches, as unequal.
    fn equal_nested(&self, left: Value, right: Value, depth: u32) -> bool {
        if depth > MAXIMUM_DEPTH {
            return false;
        }
        if left.same_object(right) {
            return true;
        }
        match (left, right) {
            (Value::String(a), Value::String(b)) => a.length() == b.length() && self.bytes(a) == self.bytes(b),
            // Double.equals takes NaN as equal to itself; that is the bits' business above.
            (Value::Double(a), Value::Double(b)) => a.is_nan() && b.is_nan(),
            (Value::List(a), Value::List(b)) => {
                let (a, b) = (&self.list(a).items, &self.list(b).items);
                a.len() == b.len() && a.iter().zip(b).all(|(x, y)| self.equal_nested(*x, *y, depth + 1))
            }
            (Value::Map(a), Value::Map(b)) => {
                let entries = &self.map(a).entries;
                entries.len() == self.map(b).entries.len()
                    && entries
                        .iter()
                        .all(|e| self.map_get(b, e.key).is_some_and(|v| self.equal_nested(e.value, v, depth + 1)))
            }
            (Value::Set(a), Value::Set(b)) => {
                let entries = &self.map(a).entries;
                entries.len() == self.map(b).entries.len() && entries.iter().all(|e| self.map_find(b, e.key).is_some())
            }
            (Value::Instance(a), Value::Instance(b)) => self.equal_instances(a, b),
            (Value::Other(a), Value::Other(b)) => self.equal_others(self.other(a), self.other(b)),
            _ => false,
        }
    }

    /// Declared types are equal by their key fields; without any, only to themselves.
    fn equal_instances(&self, left: u32, right: u32) -> bool {
        let (left, right) = (self.instance(left), self.instance(right));
        let fields = &self.classes[left.class as usize].fields;
        left.class == right.class
            && fields.iter().any(|field| field.key)
            && fields.iter().enumerate().all(|(i, f)| !f.key || self.equal(left.fields[i], right.fields[i]))
    }

    fn equal_others(&self, left: &Other, right: &Other) -> bool {
        match (left, right) {
            (Other::Decimal(a), Other::Decimal(b)) => a == b,
            (Other::BigInteger(a), Other::BigInteger(b)) => a == b,
            (Other::Date(a), Other::Date(b)) => a == b,
            (Other::DateTime(a), Other::DateTime(b)) => a == b,
            (Other::Time(a), Other::Time(b)) => a == b,
            (Other::Duration(a), Other::Duration(b)) => a == b,
            (Other::Period(a, b, c), Other::Period(d, e, f)) => (a, b, c) == (d, e, f),
            (Other::Instant { milliseconds: a, is_date: b }, Other::Instant { milliseconds: c, is_date: d }) => {
                (a, b) == (c, d)
            }
            (Other::Constant { class: a, ordinal: b }, Other::Constant { class: c, ordinal: d }) => (a, b) == (c, d),
            (Other::Entry { key: a, value: b, .. }, Other::Entry { key: c, value: d, .. }) => {
                self.equal(*a, *c) && self.equal(*b, *d)
            }
            (Other::Class(a), Other::Class(b)) => a == b,
            (Other::Optional(a), Other::Optional(b)) => self.equal(*a, *b),
            _ => false,
        }
    }

    /// `Objects.hashCode(value)`.
    pub(crate) fn hash(&self, value: Value) -> i32 {
        self.hash_nested(value, 0)
    }

    fn hash_nested(&self, value: Value, depth: u32) -> i32 {
        if depth > MAXIMUM_DEPTH {
            return 0;
        }
        let fold = |value: i64| (value ^ (value as u64 >> 32) as i64) as i32;
        match value {
            Value::Null => 0,
            Value::Boolean(v) => {
                if v {
                    1231
                } else {
                    1237
                }
            }
            Value::Character(v) => v.into(),
            Value::Byte(v) => v.into(),
            Value::Short(v) => v.into(),
            Value::Integer(v) => v,
            Value::Long(v) => fold(v),
            Value::Float(v) => {
                if v.is_nan() {
                    0x7fc0_0000
                } else {
                    v.to_bits() as i32
                }
            }
            Value::Double(v) => fold(if v.is_nan() { 0x7ff8_0000_0000_0000 } else { v.to_bits() as i64 }),
            Value::String(text) => crate::text::hash(self.bytes(text)),
            Value::List(list) => self
                .list(list)
                .items
                .iter()
                .fold(1, |h: i32, item| h.wrapping_mul(31).wrapping_add(self.hash_nested(*item, depth + 1))),
            Value::Array(list) => list as i32,
            Value::Set(set) => self
                .map(set)
                .entries
                .iter()
                .fold(0, |h: i32, entry| h.wrapping_add(self.hash_nested(entry.key, depth + 1))),
            Value::Map(map) => self.map(map).entries.iter().fold(0, |h: i32, e| {
                h.wrapping_add(self.hash_nested(e.key, depth + 1) ^ self.hash_nested(e.value, depth + 1))
            }),
            Value::Instance(instance) => {
                let data = self.instance(instance);
                let fields = &self.classes[data.class as usize].fields;
                if fields.iter().all(|field| !field.key) {
                    return instance as i32;
                }
                let keys = fields.iter().zip(&data.fields).filter(|(field, _)| field.key);
                keys.fold(1, |h: i32, (_, value)| h.wrapping_mul(31).wrapping_add(self.hash_nested(*value, depth + 1)))
            }
            Value::Other(other) => self.hash_other(other),
        }
    }

    fn hash_other(&self, other: u32) -> i32 {
        match self.other(other) {
            Other::Decimal(decimal) => decimal.hash(),
            Other::BigInteger(integer) => crate::decimal::integer_hash(integer),
            Other::Date(date) => {
                let year = i32::from(date.year());
                (year & !0x7ff) ^ ((year << 11) + (i32::from(date.month()) << 6) + i32::from(date.day()))
            }
            Other::Entry { key, value, .. } => self.hash(*key) ^ self.hash(*value),
            Other::Instant { milliseconds, .. } => (milliseconds ^ (*milliseconds as u64 >> 32) as i64) as i32,
            Other::Optional(value) => self.hash(*value),
            Other::Constant { ordinal, .. } => i32::from(*ordinal),
            Other::Class(name) => crate::text::hash(name.full.as_bytes()),
            _ => other as i32,
        }
    }

    /// `left.compareTo(right)` where both are comparable with each other.
    pub(crate) fn compare(&self, left: Value, right: Value) -> Option<i32> {
        let sign = |order: Ordering| order as i32;
        Some(match (left, right) {
            (Value::String(a), Value::String(b)) => crate::text::compare(self.bytes(a), self.bytes(b)),
            (Value::Boolean(a), Value::Boolean(b)) => sign(a.cmp(&b)),
            (Value::Character(a), Value::Character(b)) => i32::from(a) - i32::from(b),
            (Value::Byte(a), Value::Byte(b)) => i32::from(a) - i32::from(b),
            (Value::Short(a), Value::Short(b)) => i32::from(a) - i32::from(b),
            (Value::Integer(a), Value::Integer(b)) => sign(a.cmp(&b)),
            (Value::Long(a), Value::Long(b)) => sign(a.cmp(&b)),
            (Value::Float(a), Value::Float(b)) => sign(order_doubles(a.into(), b.into())),
            (Value::Double(a), Value::Double(b)) => sign(order_doubles(a, b)),
            (Value::Instance(a), Value::Instance(b)) => {
                let (a, b) = (self.instance(a), self.instance(b));
                let class = &self.classes[a.class as usize];
                if !class.is_enum || a.class != b.class {
                    return None;
                }
                a.fields[1].as_long()? as i32 - b.fields[1].as_long()? as i32
            }
            (Value::Other(a), Value::Other(b)) => match (self.other(a), self.other(b)) {
                (Other::Decimal(a), Other::Decimal(b)) => sign(a.order(b)),
                (Other::BigInteger(a), Other::BigInteger(b)) => sign(a.cmp(b)),
                (Other::Date(a), Other::Date(b)) => compare_dates(*a, *b),
                (Other::DateTime(a), Other::DateTime(b)) => match compare_dates(a.date(), b.date()) {
                    0 => sign(a.cmp(b)),
                    days => days,
                },
                (Other::Time(a), Other::Time(b)) => sign(a.cmp(b)),
                (Other::Duration(a), Other::Duration(b)) => sign(a.cmp(b)),
                (Other::Instant { milliseconds: a, .. }, Other::Instant { milliseconds: b, .. }) => sign(a.cmp(b)),
                (Other::Constant { class: a, ordinal: b }, Other::Constant { class: c, ordinal: d }) if a == c => {
                    i32::from(*b) - i32::from(*d)
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    /// An order for tree maps: that of `compareTo`, and null or incomparable values in front.
    pub(crate) fn natural_order(&self, left: Value, right: Value) -> Ordering {
        match self.compare(left, right) {
            Some(difference) => difference.cmp(&0),
            None => (!left.is_null()).cmp(&!right.is_null()),
        }
    }

    /// Whether a list refuses `add` and `remove`.
    pub(crate) fn is_fixed(&self, list: u32) -> bool {
        matches!(self.list(list).kind, ListKind::Fixed | ListKind::Frozen)
    }
}

/// `LocalDate.compareTo`: the difference of years, else months, else days.
fn compare_dates(left: jiff::civil::Date, right: jiff::civil::Date) -> i32 {
    let parts = [
        i32::from(left.year()) - i32::from(right.year()),
        i32::from(left.month()) - i32::from(right.month()),
        i32::from(left.day()) - i32::from(right.day()),
    ];
    parts.into_iter().find(|part| *part != 0).unwrap_or(0)
}

/// `Double.compare`: -0.0 below 0.0, NaN above all.
pub(crate) fn order_doubles(left: f64, right: f64) -> Ordering {
    match left.partial_cmp(&right) {
        Some(Ordering::Equal) => right.is_sign_negative().cmp(&left.is_sign_negative()),
        Some(order) => order,
        None => left.is_nan().cmp(&right.is_nan()),
    }
}
