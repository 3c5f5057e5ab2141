//! What DRL's constraint operators mean on values whose types are known only now.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Machine, Outcome};
use crate::decimal::Decimal;
use crate::heap::{Comparator, Heap, Other, Value};
use crate::program::{Relate, Test};
use crate::types::class;

impl Machine<'_> {
    pub(super) fn relate(&mut self, relation: Relate, left: Value, right: Value) -> Outcome<bool> {
        Ok(match relation {
            Relate::Equals => self.heap.equal(left, right),
            Relate::EqualsCoerced => equal_coerced(&self.heap, left, right),
            Relate::Order(test) => self.ordered(test, left, right)?,
            Relate::Contains => self.contains(left, right)?,
            Relate::MemberOf => !right.is_null() && self.contains(right, left)?,
            Relate::Matches => self.matches(left, right)?,
            Relate::SoundsLike => match (self.heap.string(left), self.heap.string(right)) {
                (Some(a), Some(b)) => soundex(a) == soundex(b),
                _ => false,
            },
            Relate::StartsWith | Relate::EndsWith => match (self.heap.string(left), self.heap.string(right)) {
                (Some(a), Some(b)) if relation == Relate::StartsWith => a.starts_with(b),
                (Some(a), Some(b)) => a.ends_with(b),
                _ => false,
            },
            Relate::Length => match (self.heap.string(left), right.as_long()) {
                (Some(text), Some(length)) => crate::text::units(text).count() as i64 == length,
                _ => false,
            },
        })
    }

    /// `<` and its like: null never holds, numbers compare by value, text that reads as a number
    /// compares as one with numbers, other comparable pairs by `compareTo`.
    fn ordered(&mut self, test: Test, left: Value, right: Value) -> Outcome<bool> {
        if left.is_null() || right.is_null() {
            return Ok(false);
        }
        let order = match coerced_order(&self.heap, left, right) {
            Some(order) => order,
            None => match self.heap.compare(left, right) {
                Some(difference) => difference.cmp(&0),
                None => return Err(self.class_cast(left, class::COMPARABLE)),
            },
        };
        Ok(test.holds_ordering(order))
    }

    fn contains(&mut self, holder: Value, item: Value) -> Outcome<bool> {
        Ok(match holder {
            Value::Null => false,
            Value::List(list) | Value::Array(list) => {
                let heap = &self.heap;
                heap.list(list).items.iter().any(|held| heap.equal(*held, item))
            }
            Value::Set(set) => self.heap.map_find(set, item).is_some(),
            Value::Map(map) => self.heap.map_find(map, item).is_some(),
            Value::String(text) => {
                let mut part = Vec::new();
                self.heap.display(item, &mut part);
                let text = self.heap.bytes(text);
                part.is_empty() || text.windows(part.len()).any(|window| window == part)
            }
            _ => return Err(self.class_cast(holder, class::COLLECTION)),
        })
    }

    fn matches(&mut self, text: Value, pattern: Value) -> Outcome<bool> {
        let text = match text {
            Value::Null => return Ok(false),
            Value::String(text) => crate::text::to_utf8(self.heap.bytes(text)).into_owned(),
            other => return Err(self.class_cast(other, class::STRING)),
        };
        let Some(source) = self.heap.string(pattern).map(<[u8]>::to_vec) else {
            return Ok(false);
        };
        let pattern = self.pattern(&source, true)?;
        Ok(pattern.is_match(&text).unwrap_or(false))
    }

    /// A compiled pattern, anchored for `matches` or free for `find`.
    pub(crate) fn pattern(&mut self, source: &[u8], anchored: bool) -> Outcome<Arc<fancy_regex::Regex>> {
        let mut key = vec![u8::from(anchored)];
        key.extend_from_slice(source);
        if let Some(found) = self.patterns.get(&key) {
            return Ok(found.clone());
        }
        let text = crate::text::to_utf8(source);
        let wrapped = if anchored { format!(r"\A(?:{text})\z") } else { text.into_owned() };
        match fancy_regex::Regex::new(&wrapped) {
            Ok(regex) => {
                let regex = Arc::new(regex);
                self.patterns.insert(key, regex.clone());
                Ok(regex)
            }
            Err(error) => Err(self.exception(class::PATTERN_SYNTAX, Some(&error.to_string()))),
        }
    }

    /// `comparator.compare(left, right)`.
    pub(crate) fn compare_with(&mut self, comparator: &Comparator, left: Value, right: Value) -> Outcome<i32> {
        match comparator {
            Comparator::Natural => match self.heap.compare(left, right) {
                Some(difference) => Ok(difference),
                None if left.is_null() || right.is_null() => Err(self.null_pointer("cannot compare null")),
                None => Err(self.class_cast(left, class::COMPARABLE)),
            },
            Comparator::Reverse => self.compare_with(&Comparator::Natural, right, left),
            Comparator::CaseInsensitive => {
                let fold = |heap: &Heap, value: Value| heap.to_text(value).to_uppercase().to_lowercase();
                let (a, b) = (fold(&self.heap, left), fold(&self.heap, right));
                Ok(crate::text::compare(a.as_bytes(), b.as_bytes()))
            }
            Comparator::Key(function) => {
                let a = self.call(*function, &[left])?;
                let b = self.call(*function, &[right])?;
                self.compare_with(&Comparator::Natural, a, b)
            }
            Comparator::Reversed(inner) => Ok(self.call(*inner, &[right, left])?.as_long().unwrap_or(0) as i32),
            Comparator::Then(first, second) => {
                let order = self.call(*first, &[left, right])?.as_long().unwrap_or(0) as i32;
                if order != 0 {
                    return Ok(order);
                }
                Ok(self.call(*second, &[left, right])?.as_long().unwrap_or(0) as i32)
            }
        }
    }
}

/// Numbers by value across types; everything else by `equals`.
fn equal_coerced(heap: &Heap, left: Value, right: Value) -> bool {
    if let (Some(a), Some(b)) = (left.as_long(), right.as_long()) {
        return a == b;
    }
    match coerced_order(heap, left, right) {
        // A string is equal to a number when it is how the number is written.
        Some(_) if matches!(left, Value::String(_)) != matches!(right, Value::String(_)) => {
            coerced_order(heap, left, right) == Some(Ordering::Equal)
        }
        Some(order) if !matches!(left, Value::String(_)) => order == Ordering::Equal,
        _ => heap.equal(left, right),
    }
}

/// The order of two numbers of any types, or of a number and a text that reads as one.
fn coerced_order(heap: &Heap, left: Value, right: Value) -> Option<Ordering> {
    let decimal = |value: Value| match value {
        Value::Other(other) => match heap.other(other) {
            Other::Decimal(decimal) => Some(decimal.clone()),
            Other::BigInteger(integer) => Some(Decimal::from_integer(integer.clone())),
            _ => None,
        },
        _ => None,
    };
    if let (Some(a), Some(b)) = (left.as_long(), right.as_long()) {
        return Some(a.cmp(&b));
    }
    if decimal(left).is_some() || decimal(right).is_some() {
        let exact = |value: Value| {
            decimal(value)
                .or_else(|| value.as_long().map(Decimal::from_long))
                .or_else(|| value.as_double().and_then(Decimal::from_double))
                .or_else(|| heap.string(value).and_then(|text| Decimal::parse(&crate::text::to_utf8(text))))
        };
        return Some(exact(left)?.order(&exact(right)?));
    }
    let number = |value: Value| match value {
        Value::String(text) => crate::text::to_utf8(heap.bytes(text)).trim().parse::<f64>().ok(),
        other => other.as_double(),
    };
    if matches!((left, right), (Value::String(_), Value::String(_))) {
        return None;
    }
    Some(crate::heap::order_doubles(number(left)?, number(right)?))
}

/// The four-character Soundex code of a word (Russell and Odell; the form that DRL's `soundslike` uses).
pub(crate) fn soundex(word: &[u8]) -> [u8; 4] {
    const CODES: &[u8; 26] = b"01230120022455012623010202";
    let mut code = *b"0000";
    let mut filled = 0;
    let mut last = 0;
    for letter in word.iter().map(u8::to_ascii_uppercase).filter(u8::is_ascii_uppercase) {
        let digit = CODES[usize::from(letter - b'A')];
        if filled == 0 {
            code[0] = letter;
            filled = 1;
        } else if digit != b'0' && digit != last {
            code[filled] = digit;
            filled += 1;
            if filled == 4 {
                break;
            }
        }
        // H and W do not separate equal codes, vowels do.
        if !matches!(letter, b'H' | b'W') {
            last = digit;
        }
    }
    code
}
