//! What cannot be kept is refused at once, with a reason.

use super::{tokenizer, vocabulary};
use lm::constraint::{Form, Vocabulary};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn problem(vocabulary: &Vocabulary, form: Form) -> String {
    let began = Instant::now();
    let compiled = vocabulary.grammar(&form);
    assert!(began.elapsed() < Duration::from_secs(20), "{:.200?}", form);
    compiled.err().unwrap_or_else(|| panic!("not refused: {:.200}", format!("{form:?}"))).to_string()
}

#[test]
fn the_reason_is_said() {
    let vocabulary = vocabulary(&tokenizer());
    for (schema, words) in [
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"type": "string", "format": "iban"}), "iban"),
        (json!({"oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "integer"}]}), "anyOf"),
        (json!({"$ref": "#/$defs/missing"}), "missing"),
        (json!({"$ref": "https://example.org/schema"}), "$defs"),
        (json!({"type": "string", "minLength": 3, "maxLength": 2}), "minLength"),
        (json!({"type": "thing"}), "thing"),
        (json!({"const": 9_007_199_254_740_993_i64}), "9007199254740993"),
        (json!({"enum": [u64::MAX]}), "18446744073709551615"),
        (json!({"type": "object", "minProperties": 2}), "minProperties"),
        (json!({"x-guidance": {"lenient": true}}), "x-guidance"),
        (json!(false), "object"),
        (json!([]), "object"),
        (json!({"type": "string", "pattern": "("}), "regex"),
    ] {
        let said = problem(&vocabulary, Form::Schema(schema.clone()));
        assert!(said.contains(words), "{schema}: {said}");
        assert!(!said.contains("<") && said.len() < 400, "{said}");
    }
    assert!(problem(&vocabulary, Form::Choice(Vec::new())).contains("choice"));
    assert!(problem(&vocabulary, Form::Choice(vec![String::new()])).contains("choice"));
    for expression in ["", "(", "a\\", "(?<=a)b", "a{5,2}"] {
        assert!(
            problem(&vocabulary, Form::Regex(expression.to_owned())).contains("regular expression"),
            "{expression}"
        );
    }
}

#[test]
fn upper_bounds_beyond_64_bits_are_kept() {
    let vocabulary = vocabulary(&tokenizer());
    let schema = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
    assert_eq!(vocabulary.grammar(&Form::Schema(schema)).expect("a grammar").longest(), Some(20));
}

/// A list of references, each to the next.
fn chain(length: usize) -> Value {
    let link = |n: usize| {
        (format!("d{n}"), json!({"type": "array", "items": {"$ref": format!("#/$defs/d{}", (n + 1) % length)}}))
    };
    json!({"$defs": (0..length).map(link).collect::<serde_json::Map<_, _>>(), "$ref": "#/$defs/d0"})
}

#[test]
fn hostile_forms_are_refused_soon() {
    let vocabulary = vocabulary(&tokenizer());
    let many = |count: usize, one: fn(usize) -> Value| Value::Array((0..count).map(one).collect());
    let nested = (0..300).fold(json!({}), |inside, _| json!({"type": "array", "items": inside}));
    let properties: serde_json::Map<_, _> = (0..2000).map(|n| (format!("p{n}"), json!({"type": "null"}))).collect();
    for schema in [
        json!({"enum": many(100_000, |n| json!(n))}),
        json!({"anyOf": many(1000, |_| json!({})), "properties": properties}),
        json!({"oneOf": many(5000, |n| json!({"const": n.to_string()}))}),
        json!({"allOf": many(12, |_| json!({"anyOf": [{"minLength": 1}, {"maxLength": 9}, {"type": "null"}]}))}),
        json!({"type": "object", "minProperties": 1, "properties": properties}),
        json!({"description": "x".repeat(2 << 20)}),
        nested,
        chain(3000),
    ] {
        problem(&vocabulary, Form::Schema(schema));
    }
    problem(&vocabulary, Form::Choice((0..300_000).map(|n| n.to_string()).collect()));
    problem(&vocabulary, Form::Regex("a|".repeat(40_000)));
}

/// These need not be refused, but neither compiling nor the first steps may take long.
#[test]
fn hostile_patterns_take_bounded_time() {
    let vocabulary = vocabulary(&tokenizer());
    let patterns = [
        "(a?){5000}a{5000}",
        "((a{1000}){1000}){1000}",
        "(a|aa|aaa)*b{3000}",
        r"(\p{L}|\w\w)*[^\p{L}]{500}",
        ".*a.{900}",
    ];
    for pattern in patterns {
        let forms = [
            Form::Regex(pattern.to_owned()),
            Form::Schema(json!({"type": "string", "pattern": pattern, "maxLength": 2000})),
            Form::Schema(json!({"type": "object", "patternProperties": {pattern: {}, "b": {}}})),
        ];
        for form in forms {
            let began = Instant::now();
            if let Ok(grammar) = vocabulary.grammar(&form) {
                let mut matcher = grammar.matcher();
                for _ in 0..20 {
                    let Ok(allowed) = matcher.allowed() else { break };
                    let Some(token) = allowed.iter().last() else { break };
                    if matcher.accept(token).is_err() || matcher.is_done() {
                        break;
                    }
                }
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{pattern}: {:?}", began.elapsed());
        }
    }
    assert!(vocabulary.grammar(&Form::Schema(chain(100))).is_ok());
}
