//! `String` and `StringBuilder`. Positions count UTF-16 units.

use super::Table;
use super::object::{int, to_string};
use crate::heap::{Heap, ListKind, Other, Value};
use crate::machine::{Machine, Outcome};
use crate::program::Brief;
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    let c = class::STRING;
    table.add(class::CHAR_SEQUENCE, "int length()", |m, a| Ok(Value::Integer(units(&m.heap, a[0]).len() as i32)));
    table.add(class::CHAR_SEQUENCE, "char charAt(int)", char_at);
    table.add(c, "int length()", |m, a| Ok(Value::Integer(units(&m.heap, a[0]).len() as i32)));
    table.add(c, "String substring(int)", |m, a| substring(m, a[0], int(a[1]), None));
    table.add(c, "String substring(int, int)", |m, a| substring(m, a[0], int(a[1]), Some(int(a[2]))));
    table.often(Brief::Substring);
    table.add(c, "CharSequence subSequence(int, int)", |m, a| substring(m, a[0], int(a[1]), Some(int(a[2]))));
    table.add(c, "boolean isEmpty()", |m, a| Ok(Value::Boolean(bytes(&m.heap, a[0]).is_empty())));
    table.add(c, "boolean isBlank()", |m, a| Ok(Value::Boolean(utf8(&m.heap, a[0]).trim().is_empty())));
    table.add(c, "boolean contains(CharSequence)", |m, a| {
        let part = display(m, a[1])?;
        Ok(Value::Boolean(find(bytes(&m.heap, a[0]), &part, 0).is_some()))
    });
    table.add(c, "boolean startsWith(String)", |m, a| {
        let part = display(m, a[1])?;
        Ok(Value::Boolean(bytes(&m.heap, a[0]).starts_with(&part)))
    });
    table.add(c, "boolean startsWith(String, int)", |m, a| {
        let part: Vec<u16> = units(&m.heap, a[1]);
        let text = units(&m.heap, a[0]);
        Ok(Value::Boolean(int(a[2]) >= 0 && text.get(int(a[2]) as usize..).is_some_and(|t| t.starts_with(&part))))
    });
    table.add(c, "boolean endsWith(String)", |m, a| {
        let part = display(m, a[1])?;
        Ok(Value::Boolean(bytes(&m.heap, a[0]).ends_with(&part)))
    });
    table.add(c, "int indexOf(String)", |m, a| index_of(m, a[0], a[1], 0, false));
    table.add(c, "int indexOf(int)", |m, a| index_of(m, a[0], unit_text(a[1]), 0, false));
    table.add(c, "int indexOf(String, int)", |m, a| index_of(m, a[0], a[1], int(a[2]), false));
    table.add(c, "int indexOf(int, int)", |m, a| index_of(m, a[0], unit_text(a[1]), int(a[2]), false));
    table.add(c, "int lastIndexOf(String)", |m, a| index_of(m, a[0], a[1], i32::MAX, true));
    table.add(c, "int lastIndexOf(int)", |m, a| index_of(m, a[0], unit_text(a[1]), i32::MAX, true));
    table.add(c, "int compareTo(String)", super::object::compare_to);
    table.add(c, "int compareToIgnoreCase(String)", |m, a| {
        m.compare_with(&crate::heap::Comparator::CaseInsensitive, a[0], a[1]).map(Value::Integer)
    });
    table.add(c, "boolean contentEquals(CharSequence)", |m, a| {
        let other = display(m, a[1])?;
        Ok(Value::Boolean(bytes(&m.heap, a[0]) == other))
    });
    table.add(c, "String trim()", |m, a| map(m, a[0], |text| text.trim_matches(|c: char| c <= ' ').to_owned()));
    table.add(c, "String strip()", |m, a| map(m, a[0], |text| text.trim().to_owned()));
    table.add(c, "String stripLeading()", |m, a| map(m, a[0], |text| text.trim_start().to_owned()));
    table.add(c, "String stripTrailing()", |m, a| map(m, a[0], |text| text.trim_end().to_owned()));
    table.add(c, "String toUpperCase()", |m, a| map(m, a[0], str::to_uppercase));
    table.add(c, "String toLowerCase()", |m, a| map(m, a[0], str::to_lowercase));
    table.add(c, "String intern()", |_, a| Ok(a[0]));
    table.add(c, "String concat(String)", |m, a| {
        let mut text = bytes(&m.heap, a[0]).to_vec();
        text.extend(display(m, a[1])?);
        Ok(m.heap.new_string(&text))
    });
    table.add(c, "String repeat(int)", repeat);
    table.add(c, "String replace(char, char)", |m, a| {
        let (from, to) = (int(a[1]) as u16, int(a[2]) as u16);
        let text = crate::text::from_units(units(&m.heap, a[0]).into_iter().map(|u| if u == from { to } else { u }));
        Ok(m.heap.new_string(&text))
    });
    table.add(c, "String replace(CharSequence, CharSequence)", replace);
    table.add(c, "char[] toCharArray()", |m, a| {
        let all: Vec<Value> = units(&m.heap, a[0]).into_iter().map(Value::Character).collect();
        Ok(m.heap.new_array(ListKind::Array(crate::heap::ArrayKind::Char), all))
    });
    table.add(c, "Stream<Integer> chars()", |m, a| {
        let all: Vec<Value> = units(&m.heap, a[0]).into_iter().map(|u| Value::Integer(u.into())).collect();
        Ok(m.heap.new_other(Other::Stream(all.into())))
    });
    for signature in [
        "static String valueOf(char)",
        "static String valueOf(int)",
        "static String valueOf(long)",
        "static String valueOf(float)",
        "static String valueOf(double)",
        "static String valueOf(boolean)",
    ] {
        table.add(c, signature, to_string);
    }
    table.add(c, "static String valueOf(char[])", from_characters);
    table.add(c, "static String valueOf(Object)", to_string);
    table.add(c, "static String new(char[])", from_characters);
    table.add(c, "static String new(String)", |m, a| {
        let text = display(m, a[0])?;
        Ok(m.heap.new_string(&text))
    });
    table.add(c, "static String new()", |m, _| Ok(m.heap.new_string(b"")));
    table.add(c, "static String join(CharSequence, Iterable)", join);
    table.add(c, "static String join(CharSequence, Object...)", join);
    table.add(c, "static Comparator CASE_INSENSITIVE_ORDER()", |m, _| {
        Ok(m.heap.new_other(Other::Comparator(crate::heap::Comparator::CaseInsensitive)))
    });
    register_builder(table);
}

/// The bytes of a string; empty for anything else.
pub(super) fn bytes(heap: &Heap, value: Value) -> &[u8] {
    match value {
        Value::Other(other) => match heap.other(other) {
            Other::Builder(text) => text,
            _ => &[],
        },
        value => heap.string(value).unwrap_or_default(),
    }
}

pub(super) fn units(heap: &Heap, value: Value) -> Vec<u16> {
    crate::text::units(bytes(heap, value)).collect()
}

pub(super) fn utf8(heap: &Heap, value: Value) -> String {
    crate::text::to_utf8(bytes(heap, value)).into_owned()
}

/// The text of an argument that must not be null.
pub(super) fn display(machine: &mut Machine<'_>, value: Value) -> Outcome<Vec<u8>> {
    if value.is_null() {
        return Err(machine.null_pointer("the argument is null"));
    }
    let mut text = Vec::new();
    machine.heap.display(value, &mut text);
    Ok(text)
}

fn find(text: &[u8], part: &[u8], from: usize) -> Option<usize> {
    if part.is_empty() {
        return (from <= text.len()).then_some(from);
    }
    (from..text.len().checked_sub(part.len())? + 1).find(|at| &text[*at..*at + part.len()] == part)
}

fn char_at(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let at = int(arguments[1]);
    let all = units(&machine.heap, arguments[0]);
    match all.get(at as usize) {
        Some(unit) => Ok(Value::Character(*unit)),
        None => {
            let message = format!("index {at},length {}", all.len());
            Err(machine.exception(class::STRING_INDEX, Some(&message)))
        }
    }
}

fn substring(machine: &mut Machine<'_>, text: Value, start: i32, end: Option<i32>) -> Outcome<Value> {
    let Value::String(place) = text else {
        return Err(machine.null_pointer("the text is null"));
    };
    let length = if place.is_ascii() { place.bytes_len() as i32 } else { units(&machine.heap, text).len() as i32 };
    let stop = end.unwrap_or(length);
    if start < 0 || stop > length || start > stop {
        let message = match end {
            None if start > length => format!("begin {start}, end {length}, length {length}"),
            _ => format!("begin {start}, end {stop}, length {length}"),
        };
        return Err(machine.exception(class::STRING_INDEX, Some(&message)));
    }
    if start == 0 && stop == length {
        return Ok(text);
    }
    if let Some(part) = machine.heap.part(place, start, stop) {
        return Ok(Value::String(part));
    }
    let part = units(&machine.heap, text)[start as usize..stop as usize].to_vec();
    Ok(machine.heap.new_string(&crate::text::from_units(part)))
}

/// A character argument of `indexOf` keeps its value until the search builds text from it.
fn unit_text(value: Value) -> Value {
    Value::Character(int(value) as u16)
}

fn index_of(machine: &mut Machine<'_>, text: Value, part: Value, from: i32, last: bool) -> Outcome<Value> {
    let part = crate::text::units(&display(machine, part)?).collect::<Vec<u16>>();
    let text = units(&machine.heap, text);
    let fits = |at: &usize| text[*at..].starts_with(&part);
    let most = (text.len() + 1).saturating_sub(part.len().max(1)).max(usize::from(part.is_empty()) * (text.len() + 1));
    let start = from.max(0) as usize;
    let found = if last { (0..most.min(start.saturating_add(1))).rev().find(fits) } else { (start..most).find(fits) };
    Ok(Value::Integer(found.map_or(-1, |at| at as i32)))
}

fn map(machine: &mut Machine<'_>, text: Value, change: impl Fn(&str) -> String) -> Outcome<Value> {
    let source = bytes(&machine.heap, text);
    match std::str::from_utf8(source) {
        Ok(valid) => {
            let changed = change(valid);
            if changed.as_bytes() == source {
                return Ok(text);
            }
            Ok(machine.heap.new_string(changed.as_bytes()))
        }
        // Unpaired surrogates have no case and are not white space.
        Err(_) => Ok(text),
    }
}

fn repeat(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let count = int(arguments[1]);
    if count < 0 {
        return Err(machine.exception(class::ILLEGAL_ARGUMENT, Some(&format!("count is negative: {count}"))));
    }
    let text = bytes(&machine.heap, arguments[0]);
    if text.len().saturating_mul(count as usize) > crate::heap::DEFAULT_MEMORY / 4 {
        return Err(crate::machine::Throw::Limit(crate::machine::Limit::Memory));
    }
    let repeated = text.repeat(count as usize);
    Ok(machine.heap.new_string(&repeated))
}

fn replace(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let from = display(machine, arguments[1])?;
    let to = display(machine, arguments[2])?;
    let text = bytes(&machine.heap, arguments[0]);
    let mut out = Vec::new();
    let mut at = 0;
    if from.is_empty() {
        for character in crate::text::to_utf8(text).chars() {
            out.extend(&to);
            out.extend(character.to_string().bytes());
        }
        out.extend(&to);
    } else {
        while let Some(found) = find(text, &from, at) {
            out.extend(&text[at..found]);
            out.extend(&to);
            at = found + from.len();
        }
        out.extend(&text[at..]);
    }
    Ok(machine.heap.new_string(&out))
}

fn from_characters(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let all = machine.heap.elements(arguments[0]).unwrap_or_default();
    let text = crate::text::from_units(all.into_iter().map(|value| int(value) as u16));
    Ok(machine.heap.new_string(&text))
}

fn join(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let separator = display(machine, arguments[0])?;
    let Some(items) = machine.heap.elements(arguments[1]) else {
        return Err(machine.null_pointer("the elements are null"));
    };
    let mut text = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.extend(&separator);
        }
        machine.heap.display(item, &mut text);
    }
    Ok(machine.heap.new_string(&text))
}

/// `String.equalsIgnoreCase`: unit by unit, equal in upper or in lower case.
pub(crate) fn equals_ignore_case(left: &[u8], right: &[u8]) -> bool {
    let upper = |c: char| c.to_uppercase().next().filter(|_| c.to_uppercase().count() == 1).unwrap_or(c);
    let lower = |c: char| {
        if c == 'İ' { 'i' } else { c.to_lowercase().next().unwrap_or(c) }
    };
    let (left, right) = (crate::text::to_utf8(left), crate::text::to_utf8(right));
    let (mut a, mut b) = (left.chars(), right.chars());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) => {
                let (up_x, up_y) = (upper(x), upper(y));
                if x != y && up_x != up_y && lower(up_x) != lower(up_y) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

fn register_builder(table: &mut Table) {
    for c in [class::STRING_BUILDER, class::STRING_BUFFER] {
        let (none, text, size) = if c == class::STRING_BUILDER {
            ("static StringBuilder new()", "static StringBuilder new(CharSequence)", "static StringBuilder new(int)")
        } else {
            ("static StringBuffer new()", "static StringBuffer new(CharSequence)", "static StringBuffer new(int)")
        };
        table.add(c, none, |m, _| Ok(m.heap.new_other(Other::Builder(Vec::new()))));
        table.add(c, text, |m, a| {
            let text = display(m, a[0])?;
            Ok(m.heap.new_other(Other::Builder(text)))
        });
        table.add(c, size, |m, _| Ok(m.heap.new_other(Other::Builder(Vec::new()))));
    }
    let c = class::STRING_BUILDER;
    for signature in [
        "this append(char)",
        "this append(int)",
        "this append(long)",
        "this append(float)",
        "this append(double)",
        "this append(boolean)",
        "this append(Object)",
    ] {
        table.add(c, signature, |m, a| {
            let mut text = Vec::new();
            m.heap.display(a[1], &mut text);
            edit(m, a[0], |built| {
                for unit in crate::text::units(&text) {
                    crate::text::push_unit(built, unit);
                }
            })
        });
    }
    table.add(c, "this insert(int, Object)", |m, a| {
        let mut text = Vec::new();
        m.heap.display(a[2], &mut text);
        splice(m, a[0], int(a[1]), int(a[1]), &text)
    });
    table.add(c, "this delete(int, int)", |m, a| {
        let length = units(&m.heap, a[0]).len() as i32;
        splice(m, a[0], int(a[1]), int(a[2]).min(length), b"")
    });
    table.add(c, "this deleteCharAt(int)", |m, a| splice(m, a[0], int(a[1]), int(a[1]) + 1, b""));
    table.add(c, "this replace(int, int, String)", |m, a| {
        let text = display(m, a[3])?;
        let length = units(&m.heap, a[0]).len() as i32;
        splice(m, a[0], int(a[1]), int(a[2]).min(length), &text)
    });
    table.add(c, "void setLength(int)", |m, a| {
        let mut all = units(&m.heap, a[0]);
        all.resize(int(a[1]).max(0) as usize, 0);
        edit(m, a[0], |built| *built = crate::text::from_units(all))
    });
    table.add(c, "void setCharAt(int, char)", |m, a| {
        let text = crate::text::from_units([int(a[2]) as u16]);
        splice(m, a[0], int(a[1]), int(a[1]) + 1, &text)
    });
    table.add(c, "this reverse()", |m, a| {
        let reversed: String = utf8(&m.heap, a[0]).chars().rev().collect();
        edit(m, a[0], |built| *built = reversed.into_bytes())
    });
    table.add(c, "int indexOf(String)", |m, a| index_of(m, a[0], a[1], 0, false));
    table.add(c, "int lastIndexOf(String)", |m, a| index_of(m, a[0], a[1], i32::MAX, true));
    table.add(c, "boolean isEmpty()", |m, a| Ok(Value::Boolean(bytes(&m.heap, a[0]).is_empty())));
    for signature in ["String substring(int)", "String substring(int, int)"] {
        table.add(c, signature, |m, a| {
            let text = to_string(m, a)?;
            substring(m, text, int(a[1]), a.get(2).map(|end| int(*end)))
        });
    }
}

fn edit(machine: &mut Machine<'_>, builder: Value, change: impl FnOnce(&mut Vec<u8>)) -> Outcome<Value> {
    let Value::Other(other) = builder else {
        return Err(machine.null_pointer("the builder is null"));
    };
    if let Other::Builder(text) = machine.heap.other_mut(other) {
        change(text);
        if text.len() > crate::heap::DEFAULT_MEMORY / 4 {
            return Err(crate::machine::Throw::Limit(crate::machine::Limit::Memory));
        }
    }
    Ok(builder)
}

fn splice(machine: &mut Machine<'_>, builder: Value, start: i32, end: i32, with: &[u8]) -> Outcome<Value> {
    let mut all = units(&machine.heap, builder);
    if start < 0 || start > end || end as usize > all.len() {
        let message = format!("start {start}, end {end}, length {}", all.len());
        return Err(machine.exception(class::STRING_INDEX, Some(&message)));
    }
    all.splice(start as usize..end as usize, crate::text::units(with));
    edit(machine, builder, |built| *built = crate::text::from_units(all))
}
