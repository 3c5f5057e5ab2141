//! Tokens and their bytes.

use super::{PREFERENCES, answer, dice, schemas, tokenizer, vocabulary};
use lm::constraint::{Form, Vocabulary};
use lm::text::Tokenizer;
use rand::Rng;
use serde_json::{Map, Value, json};

/// A tokenizer with the parts that SentencePiece models are converted to: pieces, a mark for spaces, bytes for what
/// has no piece.
fn sentence_pieces() -> Tokenizer {
    let letters = "▁ abcdefghijklmnopqrstuvwxyz0123456789{}[]\",:_éž".chars().filter(|c| *c != ' ').map(String::from);
    let merged = ["▁{", "{\"", "\",", "\":", "▁a", "re", "▁▁"].map(str::to_owned);
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let spellings = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter().chain(bytes).chain(letters).chain(merged);
    let vocab: Map<String, Value> = spellings.zip((0..).map(Value::from)).collect();
    let special = ["<unk>", "<s>", "</s>"].iter().enumerate().map(|(id, content)| {
        json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
    });
    let json = json!({
        "version": "1.0", "added_tokens": special.collect::<Vec<_>>(), "truncation": null, "padding": null,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": vocab,
            "merges": [["▁", "{"], ["{", "\""], ["\"", ","], ["\"", ":"], ["▁", "a"], ["r", "e"], ["▁", "▁"]],
        },
    });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).expect("a file");
    std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"eos_token": "</s>"}"#).expect("a file");
    Tokenizer::open(folder.path()).expect("a tokenizer")
}

#[test]
fn special_and_unknown_tokens_are_never_allowed() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let end = tokenizer.end().expect("an end");
    let grammar = vocabulary.grammar(&Form::Regex("(?s).*".to_owned())).expect("a grammar");
    let allowed = grammar.matcher().allowed().expect("allowed tokens");
    let known = tokenizer.vocabulary() as u32;
    assert!(allowed.contains(end), "an empty answer is one");
    for token in (0..known + 40).filter(|token| *token != end) {
        let text = token < known && !tokenizer.is_special(token);
        assert!(text || !allowed.contains(token), "{token}");
        assert!(text || vocabulary.bytes(token).is_empty(), "{token}");
    }
    assert_eq!(allowed.iter().count(), allowed.count());
    let bits: u32 = allowed.words().iter().map(|word| word.count_ones()).sum();
    assert_eq!(bits as usize, allowed.count());
    assert!(allowed.count() > 300);
}

#[test]
fn the_end_comes_where_the_form_is_met_and_nothing_after_it() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let end = tokenizer.end().expect("an end");
    let grammar = vocabulary.grammar(&Form::Regex("aa?".to_owned())).expect("a grammar");
    let mut matcher = grammar.matcher();
    let a = tokenizer.token("a").expect("a token");
    assert!(!matcher.allowed().expect("tokens").contains(end));
    matcher.accept(a).expect("an allowed token");
    let allowed = matcher.allowed().expect("tokens");
    assert!(allowed.contains(end) && allowed.contains(a) && !matcher.is_done());
    matcher.accept(a).expect("an allowed token");
    assert!(matcher.is_done() && matcher.forced(usize::MAX).expect("tokens").is_empty());
    assert_eq!(matcher.allowed().expect("tokens").iter().collect::<Vec<_>>(), [end]);
    matcher.accept(end).expect("the end");
    assert!(matcher.accept(a).is_err());
    let mut other = grammar.matcher();
    assert!(other.accept(tokenizer.token("b").expect("a token")).is_err() && other.allowed().is_err());
}

#[test]
fn forced_tokens_are_those_of_the_tokenizer() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let schema = json!({"const": {"aml_decision": "large_cash", "confidence": 12}});
    let mut matcher = vocabulary.grammar(&Form::Schema(schema.clone())).expect("a grammar").matcher();
    let forced = matcher.forced(usize::MAX).expect("tokens");
    assert!(matcher.is_done());
    assert_eq!(forced, tokenizer.encode(&schema["const"].to_string(), false).expect("tokens"));
}

#[test]
fn pieces_and_bytes_make_valid_answers_too() {
    let tokenizer = sentence_pieces();
    let end = tokenizer.end().expect("an end");
    let vocabulary = Vocabulary::new(&tokenizer, tokenizer.vocabulary(), &[end]).expect("a vocabulary");
    let space = tokenizer.token("▁").expect("a token");
    assert_eq!(vocabulary.bytes(space), b" ");
    assert_eq!(vocabulary.bytes(tokenizer.token("<0x0A>").expect("a token")), b"\n");
    for (name, schema) in schemas().iter().filter(|(name, _)| *name != "open" && *name != "screening") {
        let grammar = vocabulary.grammar(&Form::Schema(schema.clone())).expect("a grammar");
        for seed in 0..25 {
            let made = answer(
                &grammar,
                &vocabulary,
                PREFERENCES[seed % 5],
                grammar.longest().expect("a bound"),
                &mut dice(seed as u64),
            );
            let (text, tokens) = made.expect("an answer within its bound");
            let value: Value = serde_json::from_slice(&text).expect("JSON");
            assert!(super::validity::is_valid(&value, schema, schema), "{name}: {value}");
            assert_eq!(tokenizer.decode(&tokens, true).expect("a text").as_bytes(), text, "{name}");
        }
    }
}

#[test]
fn streams_make_the_text_of_all_tokens() {
    for tokenizer in [tokenizer(), sentence_pieces()] {
        let mut dice = dice(7);
        for round in 0..600 {
            let text = ["a 😀😀 é", " ", "  two", "žluť", "{\"re\": \"北京\"}"][round % 5];
            let mut tokens = tokenizer.encode(text, round % 2 == 0).expect("tokens");
            // Any token anywhere: halves of characters, special ones.
            for _ in 0..dice.random_range(0..12) {
                let place = dice.random_range(0..=tokens.len());
                tokens.insert(place, dice.random_range(0..tokenizer.vocabulary() as u32));
            }
            let mut stream = tokenizer.stream();
            let parts: Vec<String> = tokens.iter().map(|token| stream.push(*token).expect("a token")).collect();
            let whole = parts.concat() + &stream.finish();
            assert_eq!(whole, tokenizer.decode(&tokens, true).expect("a text"), "{tokens:?}");
        }
        let mut stream = tokenizer.stream();
        assert!(stream.push(1 << 20).is_err());
    }
}

#[test]
fn streams_hold_back_halves_of_characters_only() {
    let tokenizer = tokenizer();
    let mut stream = tokenizer.stream();
    let byte = |byte: u8| {
        let vocabulary = vocabulary(&tokenizer);
        (0..tokenizer.vocabulary() as u32).find(|token| vocabulary.bytes(*token) == [byte]).expect("a token")
    };
    let parts: Vec<String> = "aé".bytes().map(|one| stream.push(byte(one)).expect("a token")).collect();
    assert_eq!(parts, ["a", "", "é"]);
    assert_eq!(stream.push(byte(0xf0)).expect("a token"), "");
    assert_eq!(stream.push(byte(b'x')).expect("a token"), "\u{fffd}x");
    assert_eq!(stream.push(byte(0xf0)).expect("a token"), "");
    assert_eq!(stream.finish(), "\u{fffd}");
}

#[test]
fn vocabularies_that_cannot_be_used() {
    let tokenizer = tokenizer();
    assert!(Vocabulary::new(&tokenizer, 400, &[]).is_err());
    assert!(Vocabulary::new(&tokenizer, 400, &[400]).is_err());
    let fewer = Vocabulary::new(&tokenizer, 300, &[2]).expect("a vocabulary");
    let grammar = fewer.grammar(&Form::Schema(json!({"const": "aml_decision large_cash"}))).expect("a grammar");
    let (text, tokens) = answer(&grammar, &fewer, PREFERENCES[0], 99, &mut dice(1)).expect("an answer");
    assert_eq!(text, br#""aml_decision large_cash""#);
    assert!(tokens.iter().all(|token| *token < 300));
}
