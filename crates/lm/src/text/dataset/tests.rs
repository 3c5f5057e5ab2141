use super::{Dataset, Selection};
use crate::text::{ExampleOptions, Line, Message, Record, Tokenizer, TooLong, TrainingOptions, Turns};
use std::path::PathBuf;

fn read(name: &str, lines: &[u8], selection: &Selection) -> crate::Result<Dataset> {
    let path: PathBuf = std::env::temp_dir().join(format!("lm-dataset-{name}-{}.jsonl", std::process::id()));
    std::fs::write(&path, lines).expect("a file");
    let training = TrainingOptions { vocabulary: 259, ..TrainingOptions::default() };
    let tokenizer = Tokenizer::train(std::iter::empty(), &training).expect("a tokenizer");
    let options =
        ExampleOptions { chat: None, pairs_as_turns: false, turns: Turns::All, longest: 20, too_long: TooLong::Refuse };
    let dataset = Dataset::read(std::slice::from_ref(&path), &tokenizer, &options, selection);
    std::fs::remove_file(&path).expect("a file");
    dataset
}

#[test]
fn lines_of_each_kind_are_read() {
    let pair = |prompt: &str, completion: &str| Record::Pair { prompt: prompt.into(), completion: completion.into() };
    let record = |line: &str| Line::parse(line, true).expect("a line").record;
    assert_eq!(record(r#"{"prompt": "a", "completion": "b", "id": 7}"#), pair("a", "b"));
    assert_eq!(record(r#"{"text": "a", "prompt": null}"#), Record::Text("a".into()));
    let messages = r#"{"messages": [{"role": "user", "content": "a", "name": null}]}"#;
    assert_eq!(record(messages), Record::Conversation(vec![Message::new("user", "a")]));
    let screening = r#"{"instruction": "Decide.", "input": "x", "cot": "Hm.", "output": "MATCH", "difficulty": "hard", "label": "match"}"#;
    assert_eq!(record(screening), pair("Decide.\n\nx", "Hm.\n\nMATCH"));
    let plain = Line::parse(screening, false).expect("a line");
    assert_eq!(plain.record, pair("Decide.\n\nx", "MATCH"));
    assert_eq!(plain.difficulty.as_deref(), Some("hard"));
    assert_eq!(record(r#"{"instruction": "Decide.", "output": "MATCH"}"#), pair("Decide.", "MATCH"));
}

#[test]
fn bad_lines_are_counted_and_named_and_their_content_stays_secret() {
    let lines = b"\n{\"text\": \"good\"}\n{\"text\": 5550123}\n{\"text\": \"Jane\n\xff\n[1]\n{}\n\
        {\"prompt\": \"Jane\"}\n{\"prompt\": \"Jane\", \"text\": \"\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"Jane\", \"tool_calls\": []}]}\n\
        {\"text\": \"too long, too long, too long\"}\n{\"text\": \"good again\"}";
    let dataset = read("bad", lines, &Selection::default()).expect("a data set");
    assert_eq!((dataset.examples.len(), dataset.unusable, dataset.too_long), (2, 8, 1));
    let problems: Vec<_> = dataset.refused.iter().map(ToString::to_string).collect();
    assert!(problems[0].contains(":3: `text` is not a string"), "{problems:?}");
    assert!(problems[7].contains("`tool_calls`"), "{problems:?}");
    assert!(problems[8].contains(":11: the example has 29 tokens"), "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.contains("Jane") && !problem.contains("5550123")), "{problems:?}");
}

#[test]
fn curricula_choose_by_difficulty_and_phase() {
    let lines = br#"{"text": "a", "difficulty": "easy"}
{"text": "bb", "difficulty": "hard", "phase": "second"}
{"text": "ccc"}
"#;
    let lengths = |selection: &Selection| {
        let dataset = read("choice", lines, selection).expect("a data set");
        assert_eq!(dataset.examples.len() + dataset.left_out, 3);
        dataset.examples.iter().map(|example| example.tokens.len()).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&Selection::default()), [2, 3, 4]);
    let easy = Selection { difficulties: vec!["easy".into()], ..Selection::default() };
    assert_eq!(lengths(&easy), [2]);
    let second = Selection { phases: vec!["second".into()], ..Selection::default() };
    assert_eq!(lengths(&second), [3]);
}

#[test]
fn a_data_set_without_examples_is_an_error_that_says_why() {
    let empty = read("empty", b"\n\n", &Selection::default()).expect_err("an error").to_string();
    assert!(empty.contains("no line to learn from (0 unusable"), "{empty}");
    let bad = read("none", b"nonsense\n", &Selection::default()).expect_err("an error").to_string();
    assert!(bad.contains("1 unusable") && bad.contains(":1: the line is not a JSON object"), "{bad}");
}

#[test]
fn examples_stand_in_the_order_of_lines() {
    let lines: String = (0..3000).map(|number| format!("{{\"text\": \"{number}\"}}\n")).collect();
    let dataset = read("order", lines.as_bytes(), &Selection::default()).expect("a data set");
    let first: Vec<_> = dataset.examples.iter().map(|example| example.tokens.len()).collect();
    let expected: Vec<_> = (0..3000).map(|number: usize| number.to_string().len() + 1).collect();
    assert_eq!(first, expected);
}

#[test]
fn lines_without_an_end_are_refused() {
    let mut lines = b"{\"text\": \"".to_vec();
    lines.resize(20 << 20, b'a');
    lines.extend(b"\"}\n{\"text\": \"b\"}\n");
    let dataset = read("endless", &lines, &Selection::default()).expect("a data set");
    assert_eq!((dataset.examples.len(), dataset.unusable), (1, 1));
    assert!(dataset.refused[0].to_string().contains(":1: the line is longer than 16 MiB"));
}
