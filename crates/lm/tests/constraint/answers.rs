//! Answers are valid and within their bounds.

use super::validity::is_valid;
use super::{PREFERENCES, Preference, answer, dice, grammar, schemas, tokenizer, vocabulary};
use lm::constraint::Form;
use serde_json::{Value, json};
use std::io::Write;

/// Tokens after which an answer without a bound is given up.
const MOST: usize = 4000;

/// Answers of each schema.
const ROUNDS: usize = 320;

/// Makes answers and hands over the name of the schema, the schema and the text. Returns how many were given up.
fn make(rounds: usize, mut each: impl FnMut(&str, &Value, &str)) -> usize {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let (mut dice, mut given_up) = (dice(5), 0);
    for (name, schema) in &schemas() {
        let grammar = grammar(&vocabulary, schema);
        let bound = grammar.longest();
        assert_eq!(bound.is_none(), name == "open", "{name} {bound:?}");
        for round in 0..rounds {
            let preference = PREFERENCES[round % PREFERENCES.len()];
            let Some((text, tokens)) = answer(&grammar, &vocabulary, preference, bound.unwrap_or(MOST), &mut dice)
            else {
                assert!(bound.is_none(), "{name} {preference:?}: longer than the bound");
                given_up += 1;
                continue;
            };
            assert!(bound.is_none_or(|bound| text.len() <= bound), "{name} {preference:?}: {} {bound:?}", text.len());
            assert_eq!(tokenizer.decode(&tokens, true).expect("a text").as_bytes(), text);
            each(name, schema, std::str::from_utf8(&text).expect("UTF-8"));
        }
    }
    given_up
}

#[test]
fn answers_are_valid_whatever_is_preferred() {
    let mut made = 0;
    let given_up = make(ROUNDS, |name, schema, text| {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        assert!(is_valid(&value, schema, schema), "{name}: {text}");
        if name != "open" {
            assert_eq!(text, value.to_string().replace("-0.0", "-0"), "{name}: compact and in the order of the schema");
        }
        made += 1;
    });
    // Without a bound three of five preferences write digits for ever.
    assert!(made >= 2000 && given_up <= ROUNDS * 3 / 5, "{made} {given_up}");
}

/// Writes answers for the validator of Python: `ANSWERS=FILE cargo test -p lm --test constraint -- --ignored`.
#[test]
#[ignore = "makes 10,000 answers for oracles/jsonschema"]
fn answers_for_another_validator() {
    let path = std::env::var("ANSWERS").expect("ANSWERS, the file to write");
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    let rounds = 10_000usize.div_ceil(schemas().len() - 1);
    let given_up = make(rounds, |name, _, text| {
        writeln!(file, "{}", json!({"schema": name, "answer": text})).expect("a line");
    });
    writeln!(file, "{}", json!({"given_up": given_up})).expect("a line");
}

/// The longest answer that tokens of single bytes can make comes close to the bound, so the bound is not idle.
#[test]
fn bounds_are_reached() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    for (schema, bound) in [
        (json!({"type": "string", "maxLength": 5}), 22),
        (json!({"type": "string", "pattern": "^\\d{4}-\\d{2}$"}), 9),
        (json!({"type": "string", "pattern": "^[a\"]{3}$", "maxLength": 100}), 8),
        (json!({"type": "integer", "minimum": -1200, "maximum": 99}), 5),
        (json!({"type": "array", "maxItems": 3, "items": {"type": "boolean"}}), 19),
        (json!({"enum": ["a", "b\"", 12, null]}), 5),
        (json!({"const": {"k": [1, 2.5]}}), 13),
        (json!({"type": "array", "prefixItems": [{"const": 1}], "items": false}), 3),
        (json!({"allOf": [{"type": "string"}, {"maxLength": 2, "type": "string"}]}), 10),
        (json!({"type": "string", "format": "date"}), 12),
    ] {
        let grammar = grammar(&vocabulary, &schema);
        let longest = grammar.longest().expect("a bound");
        assert!(longest >= bound && longest <= bound + 2, "{schema}: {longest}");
        let mut reached = 0;
        for seed in 0..200 {
            let made = answer(&grammar, &vocabulary, PREFERENCES[seed % 5], longest, &mut dice(seed as u64));
            let (text, _) = made.expect("an answer within its bound");
            reached = reached.max(text.len());
            assert!(text.len() <= longest, "{schema}");
        }
        assert!(reached * 2 >= bound, "{schema}: {reached}");
    }
}

#[test]
fn what_has_no_end_has_no_bound() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    for schema in [
        json!({"type": "string"}),
        json!({"type": "number", "minimum": 0, "maximum": 1}),
        json!({"type": "integer", "minimum": 0}),
        json!({"type": "array", "items": {"type": "boolean"}}),
        json!({"type": "object", "properties": {"a": {"type": "boolean"}}}),
        json!({"type": "string", "pattern": "a{3}"}),
        json!({"$defs": {"list": {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/list"}}}, "$ref": "#/$defs/list"}),
        json!({"x-guidance": {"whitespace_flexible": true}, "type": "boolean"}),
        json!(true),
    ] {
        assert_eq!(grammar(&vocabulary, &schema).longest(), None, "{schema}");
    }
    assert_eq!(vocabulary.grammar(&Form::Object).expect("a grammar").longest(), None);
}

#[test]
fn dates_are_in_the_calendar() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let fits = |schema: &Value, text: &str| {
        let mut matcher = grammar(&vocabulary, schema).matcher();
        let tokens = tokenizer.encode(&format!("\"{text}\""), false).expect("tokens");
        tokens.iter().all(|token| matcher.accept(*token).is_ok()) && matcher.is_done()
    };
    let date = json!({"type": "string", "format": "date"});
    let moment = json!({"type": "string", "format": "date-time", "maxLength": 25});
    for day in ["2024-02-29", "2000-02-29", "2023-02-28", "0001-12-31", "2025-10-30"] {
        assert!(fits(&date, day), "{day}");
        assert!(fits(&moment, &format!("{day}T23:59:59Z")), "{day}");
    }
    for day in ["2023-02-29", "1900-02-29", "2024-02-30", "0000-01-01", "2025-04-31", "2025-13-01", "2025-00-10"] {
        assert!(!fits(&date, day), "{day}");
        assert!(!fits(&moment, &format!("{day}T23:59:59Z")), "{day}");
    }
    assert!(!fits(&moment, "2024-02-29T23:59:60Z"));
}

#[test]
fn any_object() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let grammar = vocabulary.grammar(&Form::Object).expect("a grammar");
    let mut finished = 0;
    for seed in 0..60 {
        if let Some((text, _)) = answer(&grammar, &vocabulary, Preference::Anything, 2000, &mut dice(seed)) {
            assert!(serde_json::from_slice::<Value>(&text).expect("JSON").is_object());
            finished += 1;
        }
    }
    assert!(finished > 20, "{finished}");
}

#[test]
fn regular_expressions_and_choices() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let answers = |form: Form| -> Vec<String> {
        let grammar = vocabulary.grammar(&form).unwrap_or_else(|error| panic!("{form:?}: {error}"));
        let longest = grammar.longest().expect("a bound");
        let answers =
            (0..500).map(|seed| answer(&grammar, &vocabulary, PREFERENCES[seed % 5], longest, &mut dice(seed as u64)));
        answers.map(|made| String::from_utf8(made.expect("an answer within its bound").0).expect("UTF-8")).collect()
    };
    let choice = ["yes", "yes, but", "n/o\n\"?\"", "(maybe)", "\\", "é😀", "<|im_end|>"];
    let drawn = answers(Form::Choice(choice.map(str::to_owned).into()));
    assert!(drawn.iter().all(|answer| choice.contains(&answer.as_str())), "{drawn:?}");
    assert!(choice.iter().all(|one| drawn.iter().any(|answer| answer == one)), "{drawn:?}");
    for expression in
        [r"[A-Z]{2}/\d{3}", r"a*b?c{0,3}x", "^(yes|no)$", r"[^a]{1,4}", r"(?i)ok", r#""\\"{1,2}"#, "/{1,3}"]
    {
        let Ok(whole) = fancy_regex::Regex::new(&format!("^(?:{expression})$")) else { panic!("{expression}") };
        if expression.contains('*') {
            assert_eq!(vocabulary.grammar(&Form::Regex(expression.to_owned())).expect("a grammar").longest(), None);
            continue;
        }
        for answer in answers(Form::Regex(expression.to_owned())) {
            assert!(whole.is_match(&answer).expect("a match"), "{expression}: {answer:?}");
        }
    }
}
