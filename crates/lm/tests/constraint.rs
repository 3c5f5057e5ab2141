//! Answers that always have the form that is asked for.

use lm::constraint::{Form, Grammar, Vocabulary};
use lm::text::{Tokenizer, TrainingOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

fn tokenizer() -> Tokenizer {
    let line = |n: usize| {
        format!(
            r#"{{"aml_decision":"L{}","reasons":["large_cash","high_risk_country"],"confidence":{}}}"#,
            n % 4,
            n % 101
        )
    };
    let options = TrainingOptions { vocabulary: 400, ..TrainingOptions::default() };
    Tokenizer::train((0..400).map(line), &options).expect("a tokenizer")
}

fn vocabulary(tokenizer: &Tokenizer) -> Vocabulary {
    Vocabulary::new(tokenizer, tokenizer.vocabulary() + 28, &[tokenizer.end().expect("an end")]).expect("a vocabulary")
}

/// An answer whose tokens are drawn by lot from those that are allowed.
fn draw(grammar: &Grammar, vocabulary: &Vocabulary, end: u32, dice: &mut ChaCha8Rng) -> Vec<u8> {
    let mut matcher = grammar.matcher();
    let mut tokens = matcher.forced().expect("forced tokens");
    while !matcher.is_done() {
        let allowed = matcher.allowed().expect("allowed tokens");
        let token = allowed.iter().nth(dice.random_range(0..allowed.count())).expect("a token");
        matcher.accept(token).expect("an allowed token");
        if token != end {
            tokens.push(token);
        }
        tokens.extend(matcher.forced().expect("forced tokens"));
    }
    vocabulary.text(&tokens)
}

#[test]
fn random_answers_follow_the_schema() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["reasons", "aml_decision", "escalation_level"],
        "properties": {
            "reasons": {"type": "array", "maxItems": 3, "items": {"enum": ["large_cash", "structuring", "velocity"]}},
            "aml_decision": {"enum": ["clear", "review", "report"]},
            "escalation_level": {"type": "integer", "minimum": 0, "maximum": 3},
        },
    });
    let grammar = vocabulary.grammar(&Form::Schema(schema)).expect("a grammar");
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..200 {
        let text = draw(&grammar, &vocabulary, tokenizer.end().expect("an end"), &mut dice);
        let answer: Value = serde_json::from_slice(&text).expect("JSON");
        assert!(answer["reasons"].as_array().expect("a list").len() <= 3);
        assert!(["clear", "review", "report"].contains(&answer["aml_decision"].as_str().expect("a decision")));
        assert!(answer["escalation_level"].as_u64().expect("a level") <= 3);
        assert_eq!(text, serde_json::to_vec(&answer).expect("JSON"), "compact, keys in order");
    }
}

#[test]
fn regular_expressions_and_choices() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let mut dice = ChaCha8Rng::seed_from_u64(2);
    let mut answers = |form: Form| -> Vec<String> {
        let grammar = vocabulary.grammar(&form).expect("a grammar");
        let end = tokenizer.end().expect("an end");
        (0..50).map(|_| String::from_utf8(draw(&grammar, &vocabulary, end, &mut dice)).expect("UTF-8")).collect()
    };
    let choice = ["yes", "yes, but", "n/o\n\"?\"", "(maybe)"];
    let drawn = answers(Form::Choice(choice.map(str::to_owned).into()));
    assert!(drawn.iter().all(|answer| choice.contains(&answer.as_str())), "{drawn:?}");
    assert!(choice.iter().all(|one| drawn.iter().any(|answer| answer == one)), "{drawn:?}");
    for answer in answers(Form::Regex(r"[A-Z]{2}/\d{3}".to_owned())) {
        assert!(answer.len() >= 6 && answer.as_bytes()[2] == b'/', "{answer}");
    }
}
