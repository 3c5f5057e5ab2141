//! JSON straight into a session's memory, and out of it.
//!
//! Numbers become what Java's readers make of them: whole numbers Integer, Long or BigInteger by size,
//! all others Double. Of a repeated key the last value counts, in the first one's place.

use crate::heap::{Heap, ListKind, Order, Other, Succession, Text, Value};
use crate::text::same_bytes;

/// Nesting beyond this is refused.
pub(crate) const MAXIMUM_DEPTH: usize = 128;

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {offset}")]
pub struct JsonError {
    /// Zero-based byte offset into the text.
    pub offset: usize,
    /// What is wrong there.
    pub message: &'static str,
}

/// Nothing where the reader has failed.
type Read<T> = Option<T>;

/// Reads one value; only white space may follow it.
pub(crate) fn read(heap: &mut Heap, text: &[u8]) -> Result<Value, JsonError> {
    let base = heap.hold(text);
    let failure = JsonError { offset: 0, message: "" };
    let mut reader = Reader { heap, text, base, at: 0, failure };
    match reader.whole() {
        Some(value) => Ok(value),
        None => Err(reader.failure),
    }
}

struct Reader<'a> {
    heap: &'a mut Heap,
    text: &'a [u8],
    /// Where the heap holds a copy of the text: strings without escapes are parts of it.
    base: usize,
    at: usize,
    /// Why the reader has failed: apart from what it reads, which so fits into registers.
    failure: JsonError,
}

impl Reader<'_> {
    #[cold]
    fn fail<T>(&mut self, message: &'static str) -> Read<T> {
        self.failure = JsonError { offset: self.at.min(self.text.len()), message };
        None
    }

    fn whole(&mut self) -> Read<Value> {
        self.skip();
        let value = self.value(0, None)?;
        self.skip();
        if self.at < self.text.len() {
            return self.fail("unexpected text after the value");
        }
        Some(value)
    }

    #[inline]
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Skips white space and returns the byte behind it.
    #[inline(always)]
    fn skip(&mut self) -> u8 {
        let byte = self.peek();
        if byte > b' ' { byte } else { self.skip_all() }
    }

    #[inline(never)]
    fn skip_all(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.peek()
    }

    /// Reads a value; `under` is the key that it stands under, be it within arrays.
    fn value(&mut self, depth: usize, under: Option<Text>) -> Read<Value> {
        if self.peek() == b'"' { self.string().map(Value::String) } else { self.other_value(depth, under) }
    }

    /// Reads a value that is no string.
    #[inline(always)]
    fn other_value(&mut self, depth: usize, under: Option<Text>) -> Read<Value> {
        match self.peek() {
            b'{' => self.object(depth, under),
            b'[' => self.array(depth, under),
            _ => self.scalar(),
        }
    }

    #[inline(never)]
    fn scalar(&mut self) -> Read<Value> {
        match self.peek() {
            b't' => self.word(b"true", Value::Boolean(true)),
            b'f' => self.word(b"false", Value::Boolean(false)),
            b'n' => self.word(b"null", Value::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ if self.at >= self.text.len() => self.fail("the text ends too early"),
            _ => self.fail("expected a value"),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Read<Value> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Some(value);
        }
        self.fail("expected a value")
    }

    #[inline(never)]
    fn object(&mut self, depth: usize, under: Option<Text>) -> Read<Value> {
        if depth >= MAXIMUM_DEPTH {
            return self.fail("nested too deep");
        }
        self.at += 1;
        let map = self.heap.new_map(Order::Linked);
        if self.skip() == b'}' {
            self.at += 1;
            return Some(Value::Map(map));
        }
        let mut place = Succession::first(under);
        loop {
            if self.peek() != b'"' {
                return self.fail("expected a key in double quotes");
            }
            let key = self.key(place)?;
            place = Succession::after(key);
            // Strings, which most values are, go straight to their place.
            if self.skip() == b'"' {
                let text = self.string()?;
                self.heap.map_put_text(map, key, Value::String(text));
            } else {
                let value = self.other_value(depth + 1, Some(key))?;
                self.heap.map_put_text(map, key, value);
            }
            match self.skip() {
                b',' => {
                    self.at += 1;
                    self.skip();
                }
                b'}' => {
                    self.at += 1;
                    return Some(Value::Map(map));
                }
                _ => return self.fail("expected `,` or `}`"),
            }
        }
    }

    #[inline(never)]
    fn array(&mut self, depth: usize, under: Option<Text>) -> Read<Value> {
        if depth >= MAXIMUM_DEPTH {
            return self.fail("nested too deep");
        }
        self.at += 1;
        let list = self.heap.new_list(ListKind::ArrayList);
        if self.skip() == b']' {
            self.at += 1;
            return Some(Value::List(list));
        }
        loop {
            let value = self.value(depth + 1, under)?;
            self.heap.list_mut(list).items.push(value);
            match self.skip() {
                b',' => {
                    self.at += 1;
                    self.skip();
                }
                b']' => {
                    self.at += 1;
                    return Some(Value::List(list));
                }
                _ => return self.fail("expected `,` or `]`"),
            }
        }
    }

    /// A key and the colon behind it. Objects of one kind have the same keys in the same order, so the bytes are
    /// first compared with the key that stood in this place before.
    #[inline(always)]
    fn key(&mut self, place: Succession) -> Read<Text> {
        let start = self.at + 1;
        if let Some(expected) = self.heap.expected_key(place) {
            let bytes = self.heap.bytes(expected);
            let end = start + bytes.len();
            if let Some((key, b"\":")) = self.text.get(start..end + 2).map(|part| part.split_at(bytes.len())) {
                if same_bytes(key, bytes) {
                    self.at = end + 2;
                    return Some(expected);
                }
            }
        }
        self.any_key(place)
    }

    #[inline(never)]
    fn any_key(&mut self, place: Succession) -> Read<Text> {
        let start = self.at + 1;
        let key = self.any_string(start, true)?;
        // What was written with escapes differs from its text, and cannot be recognised by its bytes.
        if self.at == start + key.bytes_len() + 1 {
            self.heap.expect_key(place, key);
        }
        if self.skip() != b':' {
            return self.fail("expected `:`");
        }
        self.at += 1;
        Some(key)
    }

    #[inline(always)]
    fn string(&mut self) -> Read<Text> {
        let start = self.at + 1;
        let end = plain_end(self.text, start);
        if self.text.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Some(Text::ascii(self.base + start, end - start));
        }
        self.any_string(start, false)
    }

    /// A string with whatever it may hold; a key is looked up among the program's own texts.
    #[inline(never)]
    fn any_string(&mut self, start: usize, is_key: bool) -> Read<Text> {
        let rest = &self.text[start..];
        let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
            return self.fail("the text ends within a string");
        };
        let bytes = &rest[..length];
        if rest[length] == b'"' && !bytes.iter().any(|byte| *byte < 0x20) {
            self.at = start + length + 1;
            if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
                self.at = start;
                return self.fail("a string is not UTF-8");
            }
            return Some(if is_key { self.heap.key_text(bytes) } else { Text::new(self.base + start, bytes) });
        }
        let text = self.escaped(start)?;
        Some(if is_key { self.heap.key_text(&text) } else { self.heap.new_text(&text) })
    }

    fn escaped(&mut self, start: usize) -> Read<Vec<u8>> {
        let mut out = Vec::new();
        self.at = start;
        loop {
            let byte = self.peek();
            match byte {
                b'"' => {
                    self.at += 1;
                    return Some(out);
                }
                b'\\' => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                _ if self.at >= self.text.len() => {
                    return self.fail("the text ends within a string");
                }
                0..0x20 => return self.fail("a control character within a string"),
                0x20..0x80 => {
                    out.push(byte);
                    self.at += 1;
                }
                _ => {
                    let length = self.text[self.at..].iter().take_while(|byte| **byte >= 0x80).count();
                    let bytes = &self.text[self.at..self.at + length];
                    if std::str::from_utf8(bytes).is_err() {
                        return self.fail("a string is not UTF-8");
                    }
                    out.extend_from_slice(bytes);
                    self.at += length;
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Read<()> {
        let byte = self.peek();
        self.at += 1;
        out.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
                let valid = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(unit) = valid.and_then(|d| u16::from_str_radix(d, 16).ok()) else {
                    return self.fail("a \\u escape takes four hexadecimal digits");
                };
                self.at += 4;
                crate::text::push_unit(out, unit);
                return Some(());
            }
            _ => {
                self.at -= 1;
                return self.fail("illegal escape");
            }
        });
        Some(())
    }

    fn number(&mut self) -> Read<Value> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        let mut whole = 0u64;
        self.digits(&mut whole);
        let digits = self.at - first;
        if digits == 0 || digits > 1 && self.text[first] == b'0' {
            return self.fail("expected a number without leading zeros");
        }
        let (mut real, mut fraction) = (false, 0);
        if self.peek() == b'.' {
            real = true;
            self.at += 1;
            let point = self.at;
            self.digits(&mut whole);
            fraction = self.at - point;
            if fraction == 0 {
                return self.fail("expected a digit");
            }
        }
        let exponent = matches!(self.peek(), b'e' | b'E');
        if exponent {
            real = true;
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            let power = self.at;
            self.digits(&mut 0);
            if self.at == power {
                return self.fail("expected a digit");
            }
        }
        // Both numbers are exact, so the quotient is the nearest double, as a full reader finds it.
        if real && !exponent && digits + fraction <= EXACT_DIGITS {
            let double = whole as f64 / POWERS[fraction];
            return Some(Value::Double(if negative { -double } else { double }));
        }
        if !real && digits <= 18 {
            let value = if negative { -(whole as i64) } else { whole as i64 };
            return Some(match i32::try_from(value) {
                Ok(small) => Value::Integer(small),
                Err(_) => Value::Long(value),
            });
        }
        let Ok(text) = std::str::from_utf8(&self.text[start..self.at]) else {
            return self.fail("expected a number");
        };
        if real {
            return match text.parse() {
                Ok(double) => Some(Value::Double(double)),
                Err(_) => self.fail("expected a number"),
            };
        }
        if let Ok(long) = text.parse::<i64>() {
            return Some(Value::Long(long));
        }
        if digits > 4_000 {
            return self.fail("the number has too many digits");
        }
        match text.parse() {
            Ok(integer) => Some(self.heap.new_other(Other::BigInteger(integer))),
            Err(_) => self.fail("expected a number"),
        }
    }

    /// Reads digits onto a number, which wraps when there are too many.
    fn digits(&mut self, number: &mut u64) {
        while self.peek().is_ascii_digit() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(self.peek() - b'0'));
            self.at += 1;
        }
    }
}

/// So many digits are below 2^53: a double holds them exactly.
const EXACT_DIGITS: usize = 15;

/// Powers of ten that doubles hold exactly.
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The first place from `at` on that holds a quote, a backslash, a control character or no ASCII, or the end;
/// eight bytes at a time.
#[inline]
fn plain_end(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    // The top bit of each byte that is zero, and perhaps of bytes above such a one.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    while let Some((bytes, _)) = text.get(at..).and_then(<[u8]>::split_first_chunk) {
        let word = u64::from_le_bytes(*bytes);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quotes | backslashes | controls | word) & TOPS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let plain = |byte: &u8| (0x20..0x80).contains(byte) && *byte != b'"' && *byte != b'\\';
    at + text[at.min(text.len())..].iter().take_while(|byte| plain(byte)).count()
}

/// Appends a value as JSON.
pub(crate) fn write(heap: &Heap, value: Value, out: &mut Vec<u8>) {
    write_nested(heap, value, out, 0);
}

fn write_nested(heap: &Heap, value: Value, out: &mut Vec<u8>, depth: usize) {
    if depth > MAXIMUM_DEPTH {
        return out.extend(b"null");
    }
    match value {
        Value::Null => out.extend(b"null"),
        Value::Double(v) if !v.is_finite() => quoted(heap, value, out),
        Value::Float(v) if !v.is_finite() => quoted(heap, value, out),
        Value::Boolean(_)
        | Value::Byte(_)
        | Value::Short(_)
        | Value::Integer(_)
        | Value::Long(_)
        | Value::Float(_)
        | Value::Double(_) => heap.display(value, out),
        Value::String(text) => write_string(heap.bytes(text), out),
        Value::Character(_) => quoted(heap, value, out),
        Value::List(list) | Value::Array(list) => items(heap, heap.list(list).items.iter().copied(), out, depth),
        Value::Set(set) => items(heap, heap.iterate(set).into_iter().map(|entry| entry.key), out, depth),
        Value::Map(map) => {
            out.push(b'{');
            for (index, entry) in heap.iterate(map).into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quoted(heap, entry.key, out);
                out.push(b':');
                write_nested(heap, entry.value, out, depth + 1);
            }
            out.push(b'}');
        }
        Value::Instance(instance) => {
            let data = heap.instance(instance);
            let class = &heap.classes[usize::from(data.class)];
            if class.is_enum {
                return quoted(heap, value, out);
            }
            out.push(b'{');
            for (index, (field, held)) in class.fields.iter().zip(&data.fields).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(field.name.as_bytes(), out);
                out.push(b':');
                write_nested(heap, *held, out, depth + 1);
            }
            out.push(b'}');
        }
        Value::Other(other) => match heap.other(other) {
            Other::Decimal(_) | Other::BigInteger(_) | Other::Atomic(_) => heap.display(value, out),
            _ => quoted(heap, value, out),
        },
    }
}

fn items(heap: &Heap, items: impl Iterator<Item = Value>, out: &mut Vec<u8>, depth: usize) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_nested(heap, item, out, depth + 1);
    }
    out.push(b']');
}

/// The value's text as a JSON string.
fn quoted(heap: &Heap, value: Value, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    heap.display(value, &mut text);
    write_string(&text, out);
}

/// Appends WTF-8 as a JSON string; unpaired surrogates are escaped.
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    use std::io::Write;
    out.push(b'"');
    if plain_end(text, 0) == text.len() {
        out.extend_from_slice(text);
    } else {
        for piece in char::decode_utf16(crate::text::units(text)) {
            let _ = match piece {
                Ok('"') => write!(out, "\\\""),
                Ok('\\') => write!(out, "\\\\"),
                Ok('\n') => write!(out, "\\n"),
                Ok('\r') => write!(out, "\\r"),
                Ok('\t') => write!(out, "\\t"),
                Ok(character) if (character as u32) < 0x20 => {
                    write!(out, "\\u{:04x}", character as u32)
                }
                Ok(character) => write!(out, "{character}"),
                Err(unpaired) => write!(out, "\\u{:04x}", unpaired.unpaired_surrogate()),
            };
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::heap::Constants;

    fn heap() -> Heap {
        Heap::new(Arc::new(Constants::default()), Arc::new(Vec::new()))
    }

    /// What is written after reading a text, case after case on one heap.
    fn round_trips(texts: &[&str]) {
        let mut heap = heap();
        for text in texts {
            heap.reset();
            let value = read(&mut heap, text.as_bytes()).expect("the text is JSON");
            let mut out = Vec::new();
            write(&heap, value, &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), *text);
        }
    }

    #[test]
    fn keys_are_recognised_by_their_text_alone() {
        round_trips(&[
            r#"{"first":{"inner":1},"second":[{"inner":2},{"inner":3,"more":4}]}"#,
            r#"{"first":{"inner":1},"second":[{"inner":2},{"inner":3,"more":4}]}"#,
            r#"{"firs":{"inne":1},"second1":[{"inner":2},{"more":3,"inner":4}],"":{"":0}}"#,
            r#"{"first\\":1,"first":2}"#,
            r#"{"first\\":2}"#,
            r#"{"first":2,"first\"":{"inner":3}}"#,
            r#"{"größe":1,"first":2}"#,
            r#"{"größe":1,"first":"ü"}"#,
        ]);
    }

    #[test]
    fn plain_text_ends_at_the_first_byte_that_is_not() {
        for length in 0..40 {
            for stop in [b'"', b'\\', 0, 0x1f, 0x80, 0xff] {
                let mut text = vec![b'~'; length];
                text.push(stop);
                text.extend_from_slice(b"\"\\ and on");
                assert_eq!(plain_end(&text, 0), length, "{stop:#x}");
            }
            assert_eq!(plain_end(&vec![b' '; length], 0), length);
        }
    }

    #[test]
    fn decimals_are_the_nearest_doubles() {
        let mut heap = heap();
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let whole = seed >> 33 >> (seed % 31);
            let fraction = seed % 10u64.pow((seed >> 40) as u32 % 12);
            for text in
                [format!("{whole}.{fraction}"), format!("-{whole}.00{fraction}"), format!("{whole}.{fraction}e-3")]
            {
                let read = read(&mut heap, text.as_bytes()).ok().and_then(Value::as_double);
                assert_eq!(read.map(f64::to_bits), text.parse().ok().map(f64::to_bits), "{text}");
            }
            heap.reset();
        }
    }
}
