//! Which schemas are compiled at all.
//!
//! The library bounds what it builds of a schema, but copies parts of it before it looks at the bound, recurses as
//! deeply as references lead and reads numbers as floating point. Schemas come with requests, so they are measured
//! first. What is refused here is far above what people write.

use super::longest::target;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Text of a schema in bytes, keys and strings together.
pub(super) const BYTES: usize = 1 << 20;
/// Values in a schema: objects, lists, strings, numbers.
const VALUES: usize = 20_000;
/// How deeply values may be nested.
const DEPTH: usize = 100;
/// How deeply values may be nested in all targets of references together: one may lead to the next.
const REFERENCED_DEPTH: usize = 4_000;
/// Alternatives of one place in the schema times the values at that place.
const WORK: usize = 200_000;
/// Alternatives of which one alone may fit: each is compared with each.
const EXCLUSIVE: usize = 500;
/// Properties of an object whose number is bounded: their combinations are spelled out.
const COUNTED_PROPERTIES: usize = 200;
/// Patterns for keys of one object: each is compared with each.
const KEY_PATTERNS: usize = 20;
/// Longest pattern in bytes.
const PATTERN: usize = 10_000;

/// Keywords whose numbers the library rounds to floating point.
const NUMERIC: [&str; 7] =
    ["const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];

/// Refuses schemas that would take much time or memory, or whose answers might not be valid.
pub(super) fn check(schema: &Value) -> Result<()> {
    let mut size = Size::default();
    size.add(schema, 0)?;
    let mut walk = Walk { root: schema, alternatives: HashMap::new(), values: size.values, referenced_depth: 0 };
    walk.value(schema)
}

fn refused<T>(problem: impl Into<String>) -> Result<T> {
    Err(Error::Grammar(problem.into()))
}

#[derive(Default)]
struct Size {
    values: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, value: &Value, depth: usize) -> Result<()> {
        self.values += 1;
        match value {
            Value::String(text) => self.bytes += text.len(),
            Value::Object(fields) => self.bytes += fields.keys().map(String::len).sum::<usize>(),
            _ => {}
        }
        if self.values > VALUES || self.bytes > BYTES || depth > DEPTH {
            return refused(format!(
                "the schema is too large: at most {VALUES} values, {BYTES} bytes of text and {DEPTH} levels are taken"
            ));
        }
        children(value).try_for_each(|child| self.add(child, depth + 1))
    }
}

/// The values right inside a value.
fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let (fields, list) = (value.as_object(), value.as_array());
    fields.into_iter().flat_map(Map::values).chain(list.into_iter().flatten())
}

fn depth(value: &Value) -> usize {
    1 + children(value).map(depth).max().unwrap_or(0)
}

fn list<'a>(fields: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    fields.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

struct Walk<'a> {
    root: &'a Value,
    /// Alternatives of the targets of references.
    alternatives: HashMap<&'a str, usize>,
    /// Values of the whole schema.
    values: usize,
    referenced_depth: usize,
}

impl<'a> Walk<'a> {
    /// Checks every object inside a value as if it were a schema; names of properties that are spelled like keywords
    /// have objects as values, which the checks pass over.
    fn value(&mut self, value: &'a Value) -> Result<()> {
        if let Some(fields) = value.as_object() {
            self.schema(value, fields)?;
        }
        children(value).try_for_each(|child| self.value(child))
    }

    fn schema(&mut self, schema: &'a Value, fields: &'a Map<String, Value>) -> Result<()> {
        for key in NUMERIC {
            let value = fields.get(key).filter(|value| !value.is_object() || key == "const");
            // An upper bound beyond 64 bits becomes the last integer that has them, which is within it.
            let most = if key.ends_with("aximum") { i128::from(i64::MAX) } else { i128::MAX };
            value.map_or(Ok(()), |value| exact(value, most))?;
        }
        check_properties(fields)?;
        if fields.get("pattern").and_then(Value::as_str).is_some_and(|pattern| pattern.len() > PATTERN) {
            return refused(format!("a pattern is longer than {PATTERN} bytes"));
        }
        if self.sum(list(fields, "oneOf")) > EXCLUSIVE {
            return refused(format!("oneOf has more than {EXCLUSIVE} alternatives; use anyOf or enum"));
        }
        let alternatives = self.count(fields);
        if alternatives > 1 && alternatives.saturating_mul(self.weight(schema)) > WORK {
            return refused("anyOf, oneOf, allOf and enum at one place have too many combinations; simplify them");
        }
        if self.referenced_depth > REFERENCED_DEPTH {
            return refused("the definitions of the schema are too many or nested too deeply");
        }
        Ok(())
    }

    /// Values that may be copied for each alternative of a schema.
    fn weight(&self, schema: &Value) -> usize {
        fn values(schema: &Value) -> Option<usize> {
            if schema.get("$ref").is_some() {
                return None;
            }
            let inside = schema.as_object().into_iter().flatten().filter(|(key, _)| *key != "enum");
            let listed = schema.as_array().into_iter().flatten();
            inside.map(|(_, value)| value).chain(listed).try_fold(1, |sum, value| Some(sum + values(value)?))
        }
        values(schema).unwrap_or(self.values)
    }

    /// In how many ways a schema can be met, where it says so by lists.
    fn count(&mut self, fields: &'a Map<String, Value>) -> usize {
        let mut count = list(fields, "enum").len().max(1);
        count = count.saturating_mul(self.sum(list(fields, "anyOf")));
        count = count.saturating_mul(self.sum(list(fields, "oneOf")));
        for part in list(fields, "allOf") {
            count = count.saturating_mul(part.as_object().map_or(1, |fields| self.count(fields)));
        }
        let reference = fields.get("$ref").and_then(Value::as_str);
        count.saturating_mul(reference.map_or(1, |reference| self.referenced(reference)))
    }

    fn sum(&mut self, options: &'a [Value]) -> usize {
        let counts = options.iter().map(|option| option.as_object().map_or(1, |fields| self.count(fields)));
        counts.fold(0usize, usize::saturating_add).max(1)
    }

    fn referenced(&mut self, reference: &'a str) -> usize {
        if let Some(count) = self.alternatives.get(reference) {
            return *count;
        }
        // Until it is known: a schema that refers to itself adds nothing to its alternatives.
        self.alternatives.insert(reference, 1);
        let Some(target) = target(self.root, reference) else { return 1 };
        self.referenced_depth += depth(target);
        let count = target.as_object().map_or(1, |fields| self.count(fields));
        self.alternatives.insert(reference, count);
        count
    }
}

/// Refuses integers below `most` that floating point changes: the answer would have another one.
fn exact(value: &Value, most: i128) -> Result<()> {
    match value.as_number().and_then(|number| number.as_i128()) {
        Some(number) if number as f64 as i128 != number && number < most => {
            refused(format!("the number {number} is too large to be kept exactly; use a string"))
        }
        _ => children(value).try_for_each(|child| exact(child, most)),
    }
}

fn check_properties(fields: &Map<String, Value>) -> Result<()> {
    let size = |key: &str| fields.get(key).and_then(Value::as_object).map_or(0, Map::len);
    let number = |key: &str| fields.get(key).and_then(Value::as_u64);
    let counted = number("minProperties").is_some() || number("maxProperties").is_some();
    if counted && size("properties") > COUNTED_PROPERTIES {
        return refused(format!("minProperties and maxProperties take at most {COUNTED_PROPERTIES} properties"));
    }
    // A key may come twice in an answer where keys are free, and counts once.
    if number("minProperties").is_some_and(|least| least > list(fields, "required").len() as u64 + 1) {
        return refused("minProperties can be at most one more than the properties that are required");
    }
    if size("patternProperties") > KEY_PATTERNS {
        return refused(format!("patternProperties has more than {KEY_PATTERNS} patterns"));
    }
    Ok(())
}
