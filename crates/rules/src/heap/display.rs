//! `String.valueOf` of any value.

use super::other::{ClassName, Other};
use super::value::Value;
use super::{Heap, Order};

/// Collections nested deeper than this, or in themselves, print as `...`.
const MAXIMUM_DEPTH: usize = 64;

/// Text beyond this is cut: a list that holds itself twice would double with every level.
const MAXIMUM_TEXT: usize = 64 << 20;

impl Heap {
    /// Appends `String.valueOf(value)`.
    pub(crate) fn display(&self, value: Value, out: &mut Vec<u8>) {
        self.display_nested(value, out, 0);
    }

    /// `String.valueOf(value)` as UTF-8.
    pub(crate) fn to_text(&self, value: Value) -> String {
        let mut out = Vec::new();
        self.display(value, &mut out);
        crate::text::to_utf8(&out).into_owned()
    }

    fn display_nested(&self, value: Value, out: &mut Vec<u8>, depth: usize) {
        use std::io::Write;
        if depth > MAXIMUM_DEPTH || out.len() > MAXIMUM_TEXT {
            return out.extend(b"...");
        }
        let _ = match value {
            Value::Null => write!(out, "null"),
            Value::Boolean(v) => write!(out, "{v}"),
            Value::Character(unit) => {
                crate::text::push_unit(out, unit);
                Ok(())
            }
            Value::Byte(v) => write!(out, "{v}"),
            Value::Short(v) => write!(out, "{v}"),
            Value::Integer(v) => write!(out, "{v}"),
            Value::Long(v) => write!(out, "{v}"),
            Value::Float(v) => {
                crate::text::push_float(out, v);
                Ok(())
            }
            Value::Double(v) => {
                crate::text::push_double(out, v);
                Ok(())
            }
            Value::String(text) => {
                out.extend_from_slice(self.bytes(text));
                Ok(())
            }
            Value::Array(list) => write!(out, "{}@{list:x}", self.array_code(list)),
            Value::List(list) => {
                self.display_items(&self.list(list).items, out, depth);
                Ok(())
            }
            Value::Set(set) => {
                let items: Vec<Value> = self.iterate(set).iter().map(|entry| entry.key).collect();
                self.display_items(&items, out, depth);
                Ok(())
            }
            Value::Map(map) => {
                out.push(b'{');
                for (index, entry) in self.iterate(map).iter().enumerate() {
                    if index > 0 {
                        out.extend(b", ");
                    }
                    self.display_nested(entry.key, out, depth + 1);
                    out.push(b'=');
                    self.display_nested(entry.value, out, depth + 1);
                }
                out.push(b'}');
                Ok(())
            }
            Value::Instance(instance) => {
                self.display_instance(instance, out, depth);
                Ok(())
            }
            Value::Other(other) => {
                self.display_other(other, out, depth);
                Ok(())
            }
        };
    }

    fn display_items(&self, items: &[Value], out: &mut Vec<u8>, depth: usize) {
        out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.extend(b", ");
            }
            self.display_nested(*item, out, depth + 1);
        }
        out.push(b']');
    }

    fn display_instance(&self, instance: u32, out: &mut Vec<u8>, depth: usize) {
        let data = self.instance(instance);
        let class = &self.classes[data.class as usize];
        if class.is_enum {
            return self.display_nested(data.fields[0], out, depth + 1);
        }
        out.extend(class.simple.bytes());
        out.extend(b"( ");
        for (index, (field, value)) in class.fields.iter().zip(&data.fields).skip(class.inherited).enumerate() {
            if index > 0 {
                out.extend(b", ");
            }
            out.extend(field.name.bytes());
            out.push(b'=');
            self.display_nested(*value, out, depth + 1);
        }
        out.extend(b" )");
    }

    fn display_other(&self, other: u32, out: &mut Vec<u8>, depth: usize) {
        use std::io::Write;
        let _ = match self.other(other) {
            Other::Decimal(decimal) => write!(out, "{decimal}"),
            Other::BigInteger(integer) => write!(out, "{integer}"),
            Other::Date(date) => write!(out, "{date}"),
            Other::DateTime(date_time) => {
                write!(out, "{}T{}", date_time.date(), time_text(date_time.time()))
            }
            Other::Time(time) => write!(out, "{}", time_text(*time)),
            Other::Duration(duration) => write!(out, "{}", duration_text(*duration)),
            Other::Period(years, months, days) => {
                write!(out, "{}", period_text(*years, *months, *days))
            }
            Other::Instant { milliseconds, is_date } => write!(out, "{}", instant_text(*milliseconds, *is_date)),
            Other::Constant { class, ordinal } => {
                let class = &self.classes[*class as usize];
                write!(out, "{}", class.constants.get(*ordinal as usize).map_or("", |name| name))
            }
            Other::Throwable(throwable) => {
                out.extend(self.classes[throwable.class as usize].name.bytes());
                if !throwable.message.is_null() {
                    out.extend(b": ");
                    self.display_nested(throwable.message, out, depth + 1);
                }
                Ok(())
            }
            Other::Builder(text) => {
                out.extend(text);
                Ok(())
            }
            Other::Entry { key, value, .. } => {
                self.display_nested(*key, out, depth + 1);
                out.push(b'=');
                self.display_nested(*value, out, depth + 1);
                Ok(())
            }
            Other::Class(name) => write!(out, "class {}", name.full),
            Other::Optional(value) if value.is_null() => write!(out, "Optional.empty"),
            Other::Optional(value) => {
                out.extend(b"Optional[");
                self.display_nested(*value, out, depth + 1);
                out.push(b']');
                Ok(())
            }
            Other::Pattern(source) => write!(out, "{source}"),
            Other::Atomic(value) => {
                self.display_nested(*value, out, depth + 1);
                Ok(())
            }
            _ => write!(out, "{}@{other:x}", self.class_name(Value::Other(other)).full),
        };
    }

    fn array_code(&self, list: u32) -> &'static str {
        use super::{ListKind, other::ArrayKind};
        match self.list(list).kind {
            ListKind::Array(ArrayKind::Boolean) => "[Z",
            ListKind::Array(ArrayKind::Char) => "[C",
            ListKind::Array(ArrayKind::Byte) => "[B",
            ListKind::Array(ArrayKind::Short) => "[S",
            ListKind::Array(ArrayKind::Int) => "[I",
            ListKind::Array(ArrayKind::Long) => "[J",
            ListKind::Array(ArrayKind::Float) => "[F",
            ListKind::Array(ArrayKind::Double) => "[D",
            ListKind::Array(ArrayKind::String) => "[Ljava.lang.String;",
            _ => "[Ljava.lang.Object;",
        }
    }

    /// The run-time class of a value that is not null.
    pub(crate) fn class_name(&self, value: Value) -> ClassName {
        let class = &self.classes[self.class_of(value) as usize];
        let (simple, full) = match value {
            Value::Array(list) => {
                let code = self.array_code(list);
                return ClassName { simple: format!("{code}[]").into(), full: code.into() };
            }
            _ => (class.simple.clone(), class.name.clone()),
        };
        ClassName { simple, full }
    }

    /// The run-time class of a value, as an index into [`Heap::classes`].
    pub(crate) fn class_of(&self, value: Value) -> u16 {
        use super::ListKind;
        use crate::types::class;
        match value {
            Value::Null | Value::Array(_) => class::OBJECT,
            Value::Boolean(_) => class::BOOLEAN,
            Value::Character(_) => class::CHARACTER,
            Value::Byte(_) => class::BYTE,
            Value::Short(_) => class::SHORT,
            Value::Integer(_) => class::INTEGER,
            Value::Long(_) => class::LONG,
            Value::Float(_) => class::FLOAT,
            Value::Double(_) => class::DOUBLE,
            Value::String(_) => class::STRING,
            Value::List(list) => match self.list(list).kind {
                ListKind::ArrayList => class::ARRAY_LIST,
                ListKind::LinkedList => class::LINKED_LIST,
                _ => class::LIST,
            },
            Value::Map(map) => match self.map(map).order {
                Order::Linked => class::LINKED_HASH_MAP,
                Order::Hash { .. } => class::HASH_MAP,
                Order::Tree => class::TREE_MAP,
                Order::Frozen => class::MAP,
            },
            Value::Set(set) => match self.map(set).order {
                Order::Linked => class::LINKED_HASH_SET,
                Order::Hash { .. } => class::HASH_SET,
                Order::Tree => class::TREE_SET,
                Order::Frozen => class::SET,
            },
            Value::Instance(instance) => self.instance(instance).class,
            Value::Other(other) => match self.other(other) {
                Other::Decimal(_) => class::BIG_DECIMAL,
                Other::BigInteger(_) => class::BIG_INTEGER,
                Other::Date(_) => class::LOCAL_DATE,
                Other::DateTime(_) => class::LOCAL_DATE_TIME,
                Other::Time(_) => class::LOCAL_TIME,
                Other::Duration(_) => class::DURATION,
                Other::Period(..) => class::PERIOD,
                Other::Instant { is_date: true, .. } => class::DATE,
                Other::Instant { .. } => class::INSTANT,
                Other::Constant { class, .. } => *class,
                Other::Throwable(throwable) => throwable.class,
                Other::Builder(_) => class::STRING_BUILDER,
                Other::Iterator { .. } => class::ITERATOR,
                Other::Entry { .. } => class::ENTRY,
                Other::Class(_) => class::CLASS,
                Other::Lambda { .. } => class::FUNCTION,
                Other::Comparator(_) => class::COMPARATOR,
                Other::Optional(_) => class::OPTIONAL,
                Other::Stream(_) => class::STREAM,
                Other::Pattern(_) => class::PATTERN,
                Other::Matcher { .. } => class::MATCHER,
                Other::Formatter(_) => class::FORMATTER,
                Other::Atomic(Value::Integer(_)) => class::ATOMIC_INTEGER,
                Other::Atomic(_) => class::ATOMIC_LONG,
            },
        }
    }
}

/// `LocalTime.toString`: seconds and nanoseconds only where they are not zero.
fn time_text(time: jiff::civil::Time) -> String {
    let mut text = format!("{:02}:{:02}", time.hour(), time.minute());
    let nanoseconds = time.subsec_nanosecond();
    if time.second() > 0 || nanoseconds > 0 {
        text += &format!(":{:02}", time.second());
    }
    if nanoseconds > 0 {
        let digits = format!("{nanoseconds:09}");
        let width = if nanoseconds % 1_000_000 == 0 {
            3
        } else if nanoseconds % 1_000 == 0 {
            6
        } else {
            9
        };
        text += &format!(".{}", &digits[..width]);
    }
    text
}

/// `Duration.toString`.
fn duration_text(duration: jiff::SignedDuration) -> String {
    let (total, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    if total == 0 && nanoseconds == 0 {
        return "PT0S".to_owned();
    }
    let mut text = String::from("PT");
    let (hours, minutes, seconds) = (total / 3600, total % 3600 / 60, total % 60);
    if hours != 0 {
        text += &format!("{hours}H");
    }
    if minutes != 0 {
        text += &format!("{minutes}M");
    }
    if seconds != 0 || nanoseconds != 0 {
        let sign = if seconds == 0 && nanoseconds < 0 { "-" } else { "" };
        text += &format!("{sign}{seconds}");
        if nanoseconds != 0 {
            let digits = format!("{:09}", nanoseconds.abs());
            text += &format!(".{}", digits.trim_end_matches('0'));
        }
        text.push('S');
    }
    text
}

fn period_text(years: i32, months: i32, days: i32) -> String {
    let mut text = String::from("P");
    for (amount, unit) in [(years, 'Y'), (months, 'M'), (days, 'D')] {
        if amount != 0 {
            text += &format!("{amount}{unit}");
        }
    }
    if text.len() == 1 { "P0D".to_owned() } else { text }
}

fn instant_text(milliseconds: i64, is_date: bool) -> String {
    let Ok(timestamp) = jiff::Timestamp::from_millisecond(milliseconds) else {
        return milliseconds.to_string();
    };
    if is_date {
        let zoned = timestamp.to_zoned(jiff::tz::TimeZone::UTC);
        return zoned.strftime("%a %b %d %H:%M:%S UTC %Y").to_string();
    }
    timestamp.to_string()
}
