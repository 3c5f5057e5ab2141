//! Answers that always have the form that is asked for, whatever a model prefers.

mod answers;
mod continued;
mod refused;
mod tokens;
mod validity;

use lm::constraint::{Allowed, Form, Grammar, Vocabulary};
use lm::text::{Tokenizer, TrainingOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

/// The schemas that answers are made for, here and for the independent validator in `oracles/jsonschema`.
fn schemas() -> Map<String, Value> {
    serde_json::from_str(include_str!("../fixtures/constraint/schemas.json")).expect("schemas")
}

fn tokenizer() -> Tokenizer {
    let line = |n: usize| {
        let (level, confidence) = (n % 4, n % 101);
        format!(
            r#"{{"aml_decision":"L{level}","reasons":["large_cash","velocity"],"confidence":{confidence}}} é 😀 "\" \\n"#
        )
    };
    let options = TrainingOptions { vocabulary: 400, ..TrainingOptions::default() };
    Tokenizer::train((0..400).map(line), &options).expect("a tokenizer")
}

/// A vocabulary whose model has more tokens than the tokenizer.
fn vocabulary(tokenizer: &Tokenizer) -> Vocabulary {
    Vocabulary::new(tokenizer, tokenizer.vocabulary() + 28, &[tokenizer.end().expect("an end")]).expect("a vocabulary")
}

/// What a model without sense prefers.
#[derive(Clone, Copy, Debug)]
enum Preference {
    Anything,
    LongestToken,
    LowestNumber,
    QuotesAndEscapes,
    /// Whatever does not end a string, a list or the answer.
    NoEnd,
}

const PREFERENCES: [Preference; 5] = [
    Preference::Anything,
    Preference::LongestToken,
    Preference::LowestNumber,
    Preference::QuotesAndEscapes,
    Preference::NoEnd,
];

/// Chooses among the allowed tokens.
fn choose(preference: Preference, allowed: &Allowed, vocabulary: &Vocabulary, dice: &mut ChaCha8Rng) -> u32 {
    let tokens: Vec<u32> = allowed.iter().collect();
    let has = |token: &u32, wanted: &[u8]| vocabulary.bytes(*token).iter().any(|byte| wanted.contains(byte));
    let preferred: Vec<u32> = match preference {
        Preference::Anything => tokens.clone(),
        Preference::LongestToken => {
            tokens.iter().max_by_key(|token| vocabulary.bytes(**token).len()).copied().into_iter().collect()
        }
        Preference::LowestNumber => vec![tokens[0]],
        Preference::QuotesAndEscapes => tokens.iter().filter(|token| has(token, b"\\\"")).copied().collect(),
        Preference::NoEnd => {
            let ends = |token: &u32| vocabulary.bytes(*token).is_empty() || has(token, b"\"]}");
            tokens.iter().filter(|token| !ends(token)).copied().collect()
        }
    };
    let from = if preferred.is_empty() { tokens } else { preferred };
    from[dice.random_range(0..from.len())]
}

/// An answer and its tokens; none when it is longer than `most` tokens.
fn answer(
    grammar: &Grammar,
    vocabulary: &Vocabulary,
    preference: Preference,
    most: usize,
    dice: &mut ChaCha8Rng,
) -> Option<(Vec<u8>, Vec<u32>)> {
    let mut matcher = grammar.matcher();
    let mut tokens = matcher.forced(usize::MAX).expect("forced tokens");
    while !matcher.is_done() && tokens.len() <= most {
        let allowed = matcher.allowed().expect("allowed tokens");
        let token = choose(preference, &allowed, vocabulary, dice);
        assert!(allowed.contains(token) && allowed.count() > 0);
        matcher.accept(token).expect("an allowed token");
        if !vocabulary.bytes(token).is_empty() {
            tokens.push(token);
        }
        tokens.extend(matcher.forced(usize::MAX).expect("forced tokens"));
    }
    matcher.is_done().then(|| (vocabulary.text(&tokens), tokens))
}

fn dice(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn grammar(vocabulary: &Vocabulary, schema: &Value) -> Grammar {
    vocabulary.grammar(&Form::Schema(schema.clone())).unwrap_or_else(|error| panic!("{error}: {schema}"))
}
