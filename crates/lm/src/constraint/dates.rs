//! Dates that there are.
//!
//! The library's formats know how many days a month has at most. Answers are also to have a year that there is, and the
//! 29th of February in leap years alone, so what it knows is joined with patterns that say so.

use serde_json::{Value, json};

/// A year other than 0000.
const YEAR: &str = "^(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})-";
/// Every fourth year is a leap year, of full centuries every fourth one.
const FEBRUARY: &str = "^(?:[0-9]{4}-(?:0[13-9]|1[0-2])-|[0-9]{4}-02-(?:[01][0-9]|2[0-8])|\
    (?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
/// Leap seconds are at times that are not known in advance.
const SECONDS: &str = "^(?:[0-9-]{10}[tT])?[0-9]{2}:[0-9]{2}:[0-5]";

/// Joins patterns to all formats of dates and times in a schema.
pub(super) fn sharpen(schema: &mut Value) {
    let patterns: &[&str] = match schema.get("format").and_then(Value::as_str) {
        Some("date") => &[YEAR, FEBRUARY],
        Some("date-time") => &[YEAR, FEBRUARY, SECONDS],
        Some("time") => &[SECONDS],
        _ => &[],
    };
    match schema {
        Value::Object(fields) => {
            // What is listed there is a value, not a schema.
            fields
                .iter_mut()
                .filter(|(key, _)| !["const", "enum"].contains(&key.as_str()))
                .for_each(|(_, value)| sharpen(value));
            if patterns.is_empty() {
                return;
            }
            if let Value::Array(parts) = fields.entry("allOf").or_insert_with(|| json!([])) {
                parts.extend(patterns.iter().map(|pattern| json!({"pattern": pattern})));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(sharpen),
        _ => {}
    }
}
