//! How many bytes an answer has at most.
//!
//! An answer meets all keywords of a schema, so the least bound that one of them sets is a bound. Characters take at
//! most four bytes: what JSON escapes has one byte and takes two.

use llguidance::regex_to_lark;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Bytes that a character takes at most.
const CHARACTER: usize = 4;
/// The marks around a string.
const QUOTES: usize = 2;

/// The bound of a schema's answers in compact spelling.
pub(super) fn schema(root: &Value) -> Option<usize> {
    let draft = root.get("$schema").and_then(Value::as_str);
    let mut bounds =
        Bounds { root, prefixes: draft.is_none_or(|draft| draft.contains("2020-12")), known: HashMap::new() };
    bounds.schema(root)
}

/// The bound of the texts that a regular expression matches from beginning to end.
pub(super) fn expression(parsed: &Hir) -> Option<usize> {
    matched(parsed, false)
}

/// What a reference within a schema points to.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    match reference {
        "#" | "#/" => Some(root),
        _ => reference.strip_prefix("#/")?.split('/').try_fold(root, |value, segment| match value {
            Value::Array(list) => list.get(segment.parse::<usize>().ok()?),
            _ => value.get(segment),
        }),
    }
}

struct Bounds<'a> {
    root: &'a Value,
    /// Whether `prefixItems` means something in the schema's draft.
    prefixes: bool,
    /// Bounds of targets of references; none while they are looked for, as those of recursive ones stay.
    known: HashMap<&'a str, Option<usize>>,
}

impl<'a> Bounds<'a> {
    fn schema(&mut self, schema: &'a Value) -> Option<usize> {
        let Some(fields) = schema.as_object() else {
            // Nothing is valid under false.
            return (schema == &Value::Bool(false)).then_some(0);
        };
        let options = |key: &str| fields.get(key).and_then(Value::as_array);
        let bounds = [
            fields.get("const").and_then(literal),
            options("enum").and_then(|values| most(values.iter().map(literal))),
            options("anyOf").and_then(|options| most(options.iter().map(|option| self.schema(option)))),
            options("oneOf").and_then(|options| most(options.iter().map(|option| self.schema(option)))),
            options("allOf").and_then(|parts| parts.iter().filter_map(|part| self.schema(part)).min()),
            fields.get("$ref").and_then(Value::as_str).and_then(|reference| self.reference(reference)),
            self.types(fields),
        ];
        bounds.into_iter().flatten().min()
    }

    fn reference(&mut self, reference: &'a str) -> Option<usize> {
        if let Some(known) = self.known.get(reference) {
            return *known;
        }
        self.known.insert(reference, None);
        let bound = self.schema(target(self.root, reference)?);
        self.known.insert(reference, bound);
        bound
    }

    fn types(&mut self, fields: &'a Map<String, Value>) -> Option<usize> {
        match fields.get("type")? {
            Value::String(kind) => self.kind(kind, fields),
            Value::Array(kinds) => most(kinds.iter().map(|kind| self.kind(kind.as_str()?, fields))),
            _ => None,
        }
    }

    fn kind(&mut self, kind: &str, fields: &'a Map<String, Value>) -> Option<usize> {
        match kind {
            "null" => Some("null".len()),
            "boolean" => Some("false".len()),
            "integer" => integer(fields),
            "string" => string(fields),
            "array" => self.array(fields),
            "object" => self.object(fields),
            // Fractions may have any number of digits.
            _ => None,
        }
    }

    fn array(&mut self, fields: &'a Map<String, Value>) -> Option<usize> {
        let items = fields.get("items");
        let additional = fields.get("additionalItems");
        let (first, rest) = match items {
            Some(Value::Array(list)) => (list.as_slice(), additional),
            _ if !self.prefixes || additional.is_some() => (&[][..], items),
            _ => (fields.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice), items),
        };
        let closed = (rest == Some(&Value::Bool(false))).then_some(first.len());
        let count = [length(fields, "maxItems"), closed].into_iter().flatten().min()?;
        let first = &first[..count.min(first.len())];
        let mut inside = sum(first.iter().map(|item| self.schema(item)))?;
        if count > first.len() {
            let rest = self.schema(rest?)?.checked_mul(count - first.len())?;
            inside = inside.checked_add(rest)?;
        }
        inside.checked_add(QUOTES + count.saturating_sub(1))
    }

    fn object(&mut self, fields: &'a Map<String, Value>) -> Option<usize> {
        let closed = fields.get("additionalProperties") == Some(&Value::Bool(false));
        let patterns =
            fields.get("patternProperties").and_then(Value::as_object).is_some_and(|patterns| !patterns.is_empty());
        if !closed || patterns {
            return None;
        }
        let properties = fields.get("properties").and_then(Value::as_object);
        let pairs = properties.into_iter().flatten().map(|(key, schema)| {
            // A colon and, but for the last, a comma.
            self.schema(schema)?.checked_add(Value::from(key.as_str()).to_string().len() + 2)
        });
        sum(pairs)?.checked_add(2)
    }
}

/// The length of a value, spelled in the only way that is allowed.
fn literal(value: &Value) -> Option<usize> {
    match value {
        Value::Null => Some("null".len()),
        Value::Bool(_) => Some("false".len()),
        Value::Number(number) if number.is_i64() => Some(number.to_string().len()),
        Value::Number(number) => Some(number.as_f64()?.to_string().len()),
        Value::String(text) => Some(QUOTES + text.bytes().map(escaped).sum::<usize>()),
        Value::Array(list) => sum(list.iter().map(|item| literal(item)?.checked_add(1)))?.checked_add(2),
        Value::Object(fields) => {
            let pairs = fields
                .iter()
                .map(|(key, value)| literal(value)?.checked_add(Value::from(key.as_str()).to_string().len() + 2));
            sum(pairs)?.checked_add(2)
        }
    }
}

/// The length of integers between two bounds.
fn integer(fields: &Map<String, Value>) -> Option<usize> {
    let bound = |keys: [&str; 2]| keys.into_iter().find_map(|key| fields.get(key)?.as_f64());
    let digits = |bound: f64| (bound.abs().ceil() as u128).to_string().len() + usize::from(bound < 0.0);
    let (least, greatest) = (bound(["minimum", "exclusiveMinimum"])?, bound(["maximum", "exclusiveMaximum"])?);
    Some(digits(least).max(digits(greatest)))
}

fn string(fields: &Map<String, Value>) -> Option<usize> {
    let by_length = length(fields, "maxLength").and_then(|length| length.checked_mul(CHARACTER));
    let by_pattern = fields.get("pattern").and_then(Value::as_str).and_then(pattern);
    let by_format = fields.get("format").and_then(Value::as_str).and_then(|format| match format {
        "date" => Some(10),
        "uuid" => Some(36),
        "ipv4" => Some(15),
        "ipv6" => Some(39),
        _ => None,
    });
    [by_length, by_pattern, by_format].into_iter().flatten().min()?.checked_add(QUOTES)
}

/// The bound of strings with a pattern, which is one if it speaks of the beginning and the end.
fn pattern(pattern: &str) -> Option<usize> {
    let parsed = regex_syntax::parse(&regex_to_lark(pattern, "dw")).ok()?;
    let around = parsed.properties();
    let whole = around.look_set_prefix().contains(Look::Start) && around.look_set_suffix().contains(Look::End);
    if whole { matched(&parsed, true) } else { None }
}

/// The bound of what an expression matches, within a JSON string or as it is.
fn matched(expression: &Hir, quoted: bool) -> Option<usize> {
    let byte = |byte: u8| if quoted { escaped(byte) } else { 1 };
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(0),
        HirKind::Literal(literal) => Some(literal.0.iter().copied().map(byte).sum()),
        HirKind::Class(Class::Unicode(class)) => {
            let widths = class.ranges().iter().map(|range| {
                let controls = (range.start()..=range.end()).take(128).filter(char::is_ascii);
                let escapes = controls.map(|character| byte(character as u8)).max().unwrap_or(0);
                range.end().len_utf8().max(escapes)
            });
            Some(widths.max().unwrap_or(0))
        }
        HirKind::Class(Class::Bytes(_)) => Some(QUOTES),
        // Whether ends of the text that stand within a repetition hold for the whole is for the library to say.
        HirKind::Repetition(repetition) if !repetition.sub.properties().look_set().is_empty() => None,
        HirKind::Repetition(repetition) => {
            let inside = matched(&repetition.sub, quoted)?;
            if inside == 0 { Some(0) } else { inside.checked_mul(repetition.max? as usize) }
        }
        HirKind::Capture(capture) => matched(&capture.sub, quoted),
        HirKind::Concat(parts) => sum(parts.iter().map(|part| matched(part, quoted))),
        HirKind::Alternation(options) => most(options.iter().map(|option| matched(option, quoted))),
    }
}

/// The bytes that a byte takes within a JSON string.
fn escaped(byte: u8) -> usize {
    if matches!(byte, b'"' | b'\\' | ..0x20) { 2 } else { 1 }
}

fn length(fields: &Map<String, Value>, key: &str) -> Option<usize> {
    usize::try_from(fields.get(key)?.as_u64()?).ok()
}

/// The greatest of bounds; none if one is missing.
fn most(mut bounds: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    bounds.try_fold(0, |most: usize, bound| Some(most.max(bound?)))
}

/// The sum of bounds; none if one is missing.
fn sum(mut bounds: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    bounds.try_fold(0usize, |sum, bound| sum.checked_add(bound?))
}
