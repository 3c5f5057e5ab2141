//! Regular expressions: `String.matches`, `split`, `replaceAll`, `Pattern`, `Matcher`.

use super::Table;
use super::object::int;
use super::string::{display, utf8};
use crate::heap::{ArrayKind, ListKind, Other, Value};
use crate::machine::{Machine, Outcome};
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    let c = class::STRING;
    table.add(c, "boolean matches(String)", |m, a| {
        let source = display(m, a[1])?;
        let text = utf8(&m.heap, a[0]);
        Ok(Value::Boolean(m.pattern(&source, true)?.is_match(&text).unwrap_or(false)))
    });
    table.add(c, "String[] split(String)", |m, a| split(m, a[0], a[1], 0));
    table.add(c, "String[] split(String, int)", |m, a| split(m, a[0], a[1], int(a[2])));
    table.add(c, "String replaceAll(String, String)", |m, a| replace(m, a, true));
    table.add(c, "String replaceFirst(String, String)", |m, a| replace(m, a, false));
    table.add(class::PATTERN, "static Pattern compile(String)", |m, a| {
        let source = display(m, a[0])?;
        m.pattern(&source, false)?;
        let source = crate::text::to_utf8(&source).as_ref().into();
        Ok(m.heap.new_other(Other::Pattern(source)))
    });
    table.add(class::PATTERN, "static boolean matches(String, CharSequence)", |m, a| {
        let source = display(m, a[0])?;
        let text = utf8(&m.heap, a[1]);
        Ok(Value::Boolean(m.pattern(&source, true)?.is_match(&text).unwrap_or(false)))
    });
    table.add(class::PATTERN, "static String quote(String)", |m, a| {
        let quoted = fancy_regex::escape(&utf8(&m.heap, a[0])).into_owned();
        Ok(m.heap.new_string(quoted.as_bytes()))
    });
    table.add(class::PATTERN, "String pattern()", super::object::to_string);
    table.add(class::PATTERN, "Matcher matcher(CharSequence)", |m, a| {
        let Value::Other(other) = a[0] else {
            return Err(m.null_pointer("the pattern is null"));
        };
        let Other::Pattern(pattern) = m.heap.other(other) else {
            return Ok(Value::Null);
        };
        let pattern = pattern.clone();
        Ok(m.heap.new_other(Other::Matcher { pattern, text: a[1], at: 0, groups: Vec::new() }))
    });
    table.add(class::MATCHER, "boolean matches()", |m, a| search(m, a[0], true));
    table.add(class::MATCHER, "boolean find()", |m, a| search(m, a[0], false));
    table.add(class::MATCHER, "String group()", |m, a| group(m, a[0], 0));
    table.add(class::MATCHER, "String group(int)", |m, a| group(m, a[0], int(a[1])));
    table.add(class::MATCHER, "int groupCount()", |m, a| {
        let Value::Other(other) = a[0] else {
            return Ok(Value::Null);
        };
        let Other::Matcher { pattern, .. } = m.heap.other(other) else {
            return Ok(Value::Null);
        };
        let source = pattern.as_bytes().to_vec();
        Ok(Value::Integer(m.pattern(&source, false)?.captures_len() as i32 - 1))
    });
}

fn split(machine: &mut Machine<'_>, text: Value, pattern: Value, limit: i32) -> Outcome<Value> {
    let source = display(machine, pattern)?;
    let text = utf8(&machine.heap, text);
    let regex = machine.pattern(&source, false)?;
    let mut parts = Vec::new();
    let mut start = 0;
    for found in regex.find_iter(&text).flatten() {
        if limit > 0 && parts.len() as i32 == limit - 1 {
            break;
        }
        // A match of nothing at the beginning gives no empty first part.
        if found.end() == 0 || found.start() == found.end() && found.end() == text.len() {
            continue;
        }
        parts.push(&text[start..found.start()]);
        start = found.end();
    }
    if parts.is_empty() {
        parts.push(&text);
    } else {
        parts.push(&text[start..]);
        if limit == 0 {
            while parts.last().is_some_and(|part| part.is_empty()) {
                parts.pop();
            }
        }
    }
    let parts: Vec<Value> = parts.into_iter().map(|part| machine.heap.new_string(part.as_bytes())).collect();
    Ok(machine.heap.new_array(ListKind::Array(ArrayKind::String), parts))
}

fn replace(machine: &mut Machine<'_>, arguments: &[Value], all: bool) -> Outcome<Value> {
    let text = utf8(&machine.heap, arguments[0]);
    let source = display(machine, arguments[1])?;
    let with = display(machine, arguments[2])?;
    let with = crate::text::to_utf8(&with).into_owned();
    let regex = machine.pattern(&source, false)?;
    let mut out = String::new();
    let mut start = 0;
    for captures in regex.captures_iter(&text).flatten() {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        out += &text[start..whole.start()];
        expand(machine, &captures, &with, &mut out)?;
        start = whole.end();
        if !all {
            break;
        }
    }
    out += &text[start..];
    Ok(machine.heap.new_string(out.as_bytes()))
}

/// `$1`, `${name}` and `\x` in a replacement.
fn expand(
    machine: &mut Machine<'_>,
    captures: &fancy_regex::Captures<'_>,
    with: &str,
    out: &mut String,
) -> Outcome<()> {
    let mut rest = with.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => out.extend(rest.next()),
            '$' => {
                let group = match rest.next_if_eq(&'{') {
                    Some(_) => {
                        let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                        captures.name(&name)
                    }
                    None => {
                        let Some(first) = rest.next().and_then(|c| c.to_digit(10)) else {
                            return Err(machine.exception(class::ILLEGAL_ARGUMENT, Some("Illegal group reference")));
                        };
                        let mut index = first as usize;
                        while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                            let longer = index * 10 + digit as usize;
                            if longer >= captures.len() {
                                break;
                            }
                            index = longer;
                            rest.next();
                        }
                        if index >= captures.len() {
                            let message = format!("No group {index}");
                            return Err(machine.exception(class::INDEX_OUT_OF_BOUNDS, Some(&message)));
                        }
                        captures.get(index)
                    }
                };
                out.push_str(group.map_or("", |group| group.as_str()));
            }
            other => out.push(other),
        }
    }
    Ok(())
}

fn search(machine: &mut Machine<'_>, matcher: Value, anchored: bool) -> Outcome<Value> {
    let Value::Other(other) = matcher else {
        return Err(machine.null_pointer("the matcher is null"));
    };
    let Other::Matcher { pattern, text, at, .. } = machine.heap.other(other) else {
        return Ok(Value::Null);
    };
    let (source, text, from) = (pattern.as_bytes().to_vec(), *text, if anchored { 0 } else { *at });
    let text = utf8(&machine.heap, text);
    let regex = machine.pattern(&source, anchored)?;
    let found = if from > text.len() { None } else { regex.captures_from_pos(&text, from).ok().flatten() };
    let all = found.as_ref().map(|captures| {
        captures.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect::<Vec<_>>()
    });
    if let Other::Matcher { at, groups, .. } = machine.heap.other_mut(other) {
        let end = all.as_ref().and_then(|groups| groups.first().copied().flatten());
        // After a match of nothing the next search starts one further.
        *at = end.map_or(text.len() + 1, |(start, end)| if start == end { end + 1 } else { end });
        *groups = all.unwrap_or_default();
    }
    Ok(Value::Boolean(found.is_some()))
}

fn group(machine: &mut Machine<'_>, matcher: Value, index: i32) -> Outcome<Value> {
    let Value::Other(other) = matcher else {
        return Err(machine.null_pointer("the matcher is null"));
    };
    let Other::Matcher { text, groups, .. } = machine.heap.other(other) else {
        return Ok(Value::Null);
    };
    let (text, group) = (*text, groups.get(index as usize).copied());
    match group {
        None if groups.is_empty() => Err(machine.exception(class::ILLEGAL_STATE, Some("No match found"))),
        None => Err(machine.exception(class::INDEX_OUT_OF_BOUNDS, Some(&format!("No group {index}")))),
        Some(None) => Ok(Value::Null),
        Some(Some((start, end))) => {
            let text = utf8(&machine.heap, text);
            Ok(machine.heap.new_string(&text.as_bytes()[start..end]))
        }
    }
}
