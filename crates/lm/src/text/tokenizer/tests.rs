use super::{Tokenizer, TrainingOptions};
use crate::Error;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Lines like those of cases.
fn lines() -> Vec<String> {
    let channels = ["wire", "cash", "card"];
    let line = |n: usize| {
        let (channel, amount) = (channels[n % 3], n * 37 % 9973);
        format!(r#"{{"aml_decision": "review", "channel": "{channel}", "amount": {amount}}}"#)
    };
    (0..600).map(line).collect()
}

fn options() -> TrainingOptions {
    let whole = vec![r#""aml_decision":"#.to_owned(), r#""amount":"#.to_owned(), "{".to_owned()];
    TrainingOptions { vocabulary: 280, whole, digits: true, ..TrainingOptions::default() }
}

fn trained() -> Tokenizer {
    Tokenizer::train(lines().into_iter(), &options()).expect("a tokenizer")
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lm-tokenizer-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.0.join(name), content).expect("a file");
    }

    fn problem(&self) -> String {
        Tokenizer::open(&self.0).err().expect("an error").to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn odd_texts() -> Vec<String> {
    let every_byte: String = (0u8..=255).map(char::from).collect();
    let odd = [
        "",
        " ",
        "\u{0}\u{7f}\r\n\t",
        "👩‍👩‍👧 Žluťoučký 北京 \u{202e}abc",
        "  {\"amount\": 10.50}  ",
        "ﬀ½ ١٢٣",
        "a\u{301}",
    ];
    odd.into_iter().map(str::to_owned).chain([every_byte]).collect()
}

#[test]
fn what_is_encoded_is_decoded_byte_for_byte() {
    let tokenizer = trained();
    for text in odd_texts().into_iter().chain(lines()) {
        let tokens = tokenizer.encode(&text, false).expect("tokens");
        assert_eq!(tokenizer.decode(&tokens, false).expect("a text"), text);
    }
}

#[test]
fn whole_strings_and_digits_are_single_tokens() {
    let tokenizer = trained();
    let key = tokenizer.token(r#""aml_decision":"#).expect("a token");
    let tokens = tokenizer.encode(r#"{"aml_decision": 2025"#, false).expect("tokens");
    assert_eq!(tokens[..2], [tokenizer.token("{").expect("a token"), key]);
    let digits: Vec<_> = ["2", "0", "2", "5"].map(|digit| tokenizer.token(digit).expect("a token")).into();
    assert!(tokens.ends_with(&digits));
    assert_eq!(tokenizer.vocabulary(), 280);
    assert!(tokenizer.encode(" \"channel\"", false).expect("tokens").len() < 5, "frequent words are joined");
}

#[test]
fn special_tokens_are_recognised_named_and_skipped() {
    let tokenizer = trained();
    let end = tokenizer.end().expect("an end");
    let tokens = tokenizer.encode("yes<|im_end|>", false).expect("tokens");
    assert_eq!(tokens.last(), Some(&end));
    assert_eq!(tokenizer.decode(&tokens, true).expect("a text"), "yes");
    assert!(tokenizer.is_special(end) && !tokenizer.is_special(tokens[0]));
    assert_eq!(tokenizer.padding(), tokenizer.token("<|endoftext|>"));
    assert_eq!(tokenizer.special_in("a <|im_start|> b"), Some("<|im_start|>"));
    assert_eq!(tokenizer.special_in(r#""aml_decision":"#), None);
    assert!(matches!(tokenizer.decode(&[280], false), Err(Error::Tokenizer(_))));
}

#[test]
fn training_depends_on_neither_order_nor_threads() {
    let json = |lines: Vec<String>, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let tokenizer = pool.install(|| Tokenizer::train(lines.into_iter(), &options())).expect("a tokenizer");
        tokenizer.inner.to_string(false).expect("JSON")
    };
    let first = json(lines(), 1);
    assert_eq!(first, json(lines(), 3));
    assert_eq!(first, json(lines().into_iter().rev().collect(), 2));
}

#[test]
fn merges_are_the_most_frequent_pairs_and_equal_ones_in_the_order_of_numbers() {
    let text = ["low low low low low lower lower newest newest newest newest newest newest widest widest widest"];
    let options = TrainingOptions { vocabulary: 259 + 6, ..TrainingOptions::default() };
    let tokenizer = Tokenizer::train(text.map(str::to_owned).into_iter(), &options).expect("a tokenizer");
    let json: Value = serde_json::from_str(&tokenizer.inner.to_string(false).expect("JSON")).expect("JSON");
    // `es` and `st` stand 9 times, `lo` and `ow` 7 times, `ew` and `ne` 6 times; the first letter decides.
    let expected = json!([["e", "s"], ["es", "t"], ["l", "o"], ["lo", "w"], ["e", "w"], ["n", "ew"]]);
    assert_eq!(json["model"]["merges"], expected);
}

#[test]
fn what_cannot_be_trained_is_said() {
    let problem = |change: fn(&mut TrainingOptions)| {
        let mut options = options();
        change(&mut options);
        Tokenizer::train(lines().into_iter(), &options).err().expect("an error").to_string()
    };
    assert!(problem(|options| options.vocabulary = 260).contains("at least 261"));
    assert!(problem(|options| options.vocabulary = 1 << 30).contains("fewer than"));
    assert!(problem(|options| options.whole.push("é".to_owned())).contains("ASCII"));
    assert!(problem(|options| options.whole.push(String::new())).contains("empty"));
    assert!(problem(|options| options.special.push("<|im_end|>".to_owned())).contains("given twice"));
}

#[test]
fn of_words_without_an_end_the_beginning_is_learned() {
    let options = TrainingOptions { vocabulary: 400, ..TrainingOptions::default() };
    let endless = "ab".repeat(200) + &"cd".repeat(1000);
    let tokenizer = Tokenizer::train([endless.clone(), endless].into_iter(), &options).expect("a tokenizer");
    assert!(tokenizer.token("abab").is_some());
    assert!(tokenizer.token("cd").is_none());
}

#[test]
fn a_saved_tokenizer_is_the_same() {
    let folder = Folder::new("saved");
    let tokenizer = trained();
    tokenizer.save(&folder.0).expect("files");
    let opened = Tokenizer::open(&folder.0).expect("a tokenizer");
    for text in odd_texts() {
        assert_eq!(tokenizer.encode(&text, true).expect("tokens"), opened.encode(&text, true).expect("tokens"));
    }
    assert_eq!((opened.end(), opened.padding()), (tokenizer.end(), tokenizer.padding()));
    assert_eq!((opened.template(), opened.vocabulary()), (tokenizer.template(), tokenizer.vocabulary()));
    let again = Folder::new("again");
    opened.save(&again.0).expect("files");
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        let [first, second] = [&folder, &again].map(|folder| std::fs::read(folder.0.join(name)).expect("a file"));
        assert_eq!(first, second, "{name}");
    }
}

#[test]
fn settings_are_found_wherever_checkpoints_keep_them() {
    let folder = Folder::new("settings");
    let mut json: Value = serde_json::from_str(&trained().inner.to_string(false).expect("JSON")).expect("JSON");
    json["truncation"] = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    folder.write("tokenizer.json", json.to_string().as_bytes());
    folder.write("special_tokens_map.json", br#"{"bos_token": {"content": "<|im_start|>", "lstrip": false}}"#);
    let list = br#"{"bos_token": null, "chat_template": [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]}"#;
    folder.write("tokenizer_config.json", list);
    let opened = Tokenizer::open(&folder.0).expect("a tokenizer");
    assert_eq!(opened.beginning(), opened.token("<|im_start|>"));
    assert_eq!(opened.template(), Some("d"));
    assert_eq!(opened.encode("1234", false).expect("tokens").len(), 4, "truncation is not applied");
    folder.write("chat_template.jinja", b"file");
    assert_eq!(Tokenizer::open(&folder.0).expect("a tokenizer").template(), Some("file"));
}

#[test]
fn damaged_files_are_refused_with_the_cause() {
    let folder = Folder::new("damaged");
    assert!(folder.problem().contains("no such file"));
    let good: Value = serde_json::from_str(&trained().inner.to_string(false).expect("JSON")).expect("JSON");
    let problem = |change: fn(&mut Value)| {
        let mut json = good.clone();
        change(&mut json);
        folder.write("tokenizer.json", json.to_string().as_bytes());
        folder.problem()
    };
    assert!(problem(|json| json["model"]["type"] = json!("Unigram")).contains("only BPE"));
    assert!(problem(|json| json["model"]["vocab"] = json!({})).contains("not in the vocabulary"));
    assert!(problem(|json| json["model"]["vocab"]["a"] = json!(0)).contains("another has"));
    assert!(problem(|json| json["model"]["vocab"]["a"] = json!(u32::MAX)).contains("too high"));
    assert!(problem(|json| json["model"]["merges"] = json!([["review", "review"]])).contains("not in the vocabulary"));
    assert!(problem(|json| json["model"]["merges"] = json!(["ab"])).contains("one part"));
    assert!(problem(|json| json["model"]["continuing_subword_prefix"] = json!("##")).contains("merge"));
    assert!(problem(|json| json["normalizer"] = json!({"type": "Prepend", "prepend": ""})).contains("empty text"));
    assert!(problem(|json| json["pre_tokenizer"] = json!({"type": "None such"})).contains("tokenizer.json"));
    let text = good.to_string();
    for length in (0..text.len()).step_by(97) {
        folder.write("tokenizer.json", &text.as_bytes()[..length]);
        folder.problem();
    }
    folder.write("tokenizer.json", text.as_bytes());
    folder.write("tokenizer_config.json", br#"{"eos_token": "</s>"}"#);
    assert!(folder.problem().contains("`</s>` is not in the vocabulary"));
}

/// The trained tokenizer, and one with the parts that SentencePiece models are converted to.
fn bases() -> [Value; 2] {
    let plain: Value = serde_json::from_str(&trained().inner.to_string(false).expect("JSON")).expect("JSON");
    let mut converted = plain.clone();
    converted["normalizer"] = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u{2581}"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}, {"type": "NFC"},
    ]});
    converted["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
        {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": false},
    ]});
    converted["decoder"] = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]});
    converted["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
    });
    converted["model"]["byte_fallback"] = json!(true);
    converted["model"]["unk_token"] = json!("<|endoftext|>");
    [plain, converted]
}

/// The places of a JSON value; of long lists and objects the first few.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    found.push(place.to_owned());
    let mut inner = |key: &str, value: &Value| {
        places(value, &format!("{place}/{}", key.replace('~', "~0").replace('/', "~1")), found)
    };
    match value {
        Value::Object(fields) => fields.iter().take(12).for_each(|(key, value)| inner(key, value)),
        Value::Array(list) => {
            list.iter().take(4).enumerate().for_each(|(index, value)| inner(&index.to_string(), value))
        }
        _ => {}
    }
}

#[test]
fn whatever_stands_in_a_file_the_answer_is_a_tokenizer_or_an_error() {
    let values = [
        json!({"Regex": "x*"}),
        json!({"String": ""}),
        json!("x*"),
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(4_294_967_295u32),
        json!(1e300),
        json!(""),
        json!("\u{2581}"),
        json!("(?:a|a)*(?<x>b)\\1("),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"type": "ByteLevel"}),
        json!(["a", "\u{120}", "{"]),
    ];
    let (mut opened, mut refused) = (0, 0);
    for base in bases() {
        let mut found = Vec::new();
        places(&base, "", &mut found);
        for (place, value) in found.iter().flat_map(|place| values.iter().map(move |value| (place, value))) {
            let mut changed = base.clone();
            *changed.pointer_mut(place).expect("a place") = value.clone();
            let Ok(tokenizer) = Tokenizer::assemble(changed.to_string().as_bytes(), serde_json::Map::new()) else {
                refused += 1;
                continue;
            };
            opened += 1;
            for text in ["{\"amount\": 10} \u{e9}\u{1f600}<|im_end|>  ", ""] {
                let tokens = tokenizer.encode(text, true).unwrap_or_default();
                assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.vocabulary()), "{place} {value}");
                let _ = tokenizer.decode(&tokens, false);
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} {refused}");
}
