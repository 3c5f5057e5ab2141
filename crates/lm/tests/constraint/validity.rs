//! A small JSON Schema validator: what the schemas of these tests say, and a panic at any other keyword.

use fancy_regex::Regex;
use serde_json::Value;

/// Whether a value is valid under a schema.
pub(crate) fn is_valid(value: &Value, schema: &Value, root: &Value) -> bool {
    let Some(fields) = schema.as_object() else { return schema == &Value::Bool(true) };
    fields.iter().all(|(keyword, rule)| {
        let options = || rule.as_array().expect("a list").iter();
        let matching = || options().filter(|option| is_valid(value, option, root)).count();
        match keyword.as_str() {
            "$defs" => true,
            "$ref" => is_valid(value, root.pointer(&rule.as_str().expect("a reference")[1..]).expect("a target"), root),
            "anyOf" => matching() > 0,
            "oneOf" => matching() == 1,
            "enum" => options().any(|option| option == value),
            "const" => rule == value,
            "type" => match rule {
                Value::String(kind) => is_kind(value, kind),
                _ => options().any(|kind| is_kind(value, kind.as_str().expect("a type"))),
            },
            _ => match value {
                Value::Object(_) => is_valid_object(value, keyword, rule, schema, root),
                Value::Array(_) => is_valid_list(value, keyword, rule, schema, root),
                _ => is_valid_scalar(value, keyword, rule),
            },
        }
    })
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        // JSON has a -0, which is an integer as 0 is.
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("no type: {kind}"),
    }
}

fn is_valid_object(value: &Value, keyword: &str, rule: &Value, schema: &Value, root: &Value) -> bool {
    let fields = value.as_object().expect("an object");
    match keyword {
        "properties" => rule
            .as_object()
            .expect("properties")
            .iter()
            .all(|(key, schema)| fields.get(key).is_none_or(|value| is_valid(value, schema, root))),
        "required" => {
            rule.as_array().expect("keys").iter().all(|key| fields.contains_key(key.as_str().expect("a key")))
        }
        "additionalProperties" => {
            let known = |key: &str| schema["properties"].get(key).is_some();
            fields.iter().all(|(key, value)| known(key) || is_valid(value, rule, root))
        }
        "maxProperties" => fields.len() as u64 <= rule.as_u64().expect("a number"),
        _ => panic!("unknown keyword for objects: {keyword}"),
    }
}

fn is_valid_list(value: &Value, keyword: &str, rule: &Value, schema: &Value, root: &Value) -> bool {
    let list = value.as_array().expect("a list");
    let first = schema["prefixItems"].as_array().map_or(0, Vec::len);
    match keyword {
        "items" => list.iter().skip(first).all(|item| is_valid(item, rule, root)),
        "prefixItems" => {
            list.iter().zip(rule.as_array().expect("a list")).all(|(item, rule)| is_valid(item, rule, root))
        }
        "minItems" => list.len() as u64 >= rule.as_u64().expect("a number"),
        "maxItems" => list.len() as u64 <= rule.as_u64().expect("a number"),
        _ => panic!("unknown keyword for lists: {keyword}"),
    }
}

fn is_valid_scalar(value: &Value, keyword: &str, rule: &Value) -> bool {
    let number = value.as_f64();
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let bound = || rule.as_f64().expect("a number");
    let is_match = |pattern: &str| {
        let pattern = Regex::new(pattern).expect("a pattern");
        value.as_str().is_none_or(|text| pattern.is_match(text).expect("a match"))
    };
    match keyword {
        "minimum" => number.is_none_or(|number| number >= bound()),
        "maximum" => number.is_none_or(|number| number <= bound()),
        "exclusiveMinimum" => number.is_none_or(|number| number > bound()),
        "exclusiveMaximum" => number.is_none_or(|number| number < bound()),
        "minLength" => length.is_none_or(|length| length >= rule.as_u64().expect("a number")),
        "maxLength" => length.is_none_or(|length| length <= rule.as_u64().expect("a number")),
        "pattern" => is_match(rule.as_str().expect("a pattern")),
        "format" => is_match(r"^\d{4}-\d\d-\d\d$"),
        "properties" | "required" | "additionalProperties" | "items" | "prefixItems" | "minItems" | "maxItems" => true,
        _ => panic!("unknown keyword for scalars: {keyword}"),
    }
}
