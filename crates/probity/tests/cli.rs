//! The program as its users call it.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::{folder, probity, text};

fn shipped_rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../desks/src/transactions/data/transactions.drl")
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON value a line")).collect()
}

const CASE: &str =
    r#"{"case_id":"c1","facts":{"person":{"pep":true},"recent_tx":[{"channel":"wire","amount":12000}]}}"#;

#[test]
fn every_line_is_answered_and_a_bad_one_alone_fails() {
    let mut input = format!("{CASE}\n{{\"facts\":\n\n").into_bytes();
    input.extend_from_slice(b"{\"facts\":{\"x\":\"\xff\"}}\n");
    input.extend_from_slice(format!("{}\n", "[".repeat(100_000)).as_bytes());
    input.extend_from_slice(b"{\"person\":\"not a map\",\"recent_tx\":[]}\n");
    input.extend_from_slice(CASE.replace("c1", "c2").as_bytes());
    let rules = shipped_rules();
    for threads in ["1", "3"] {
        let output = probity(&["rules", "run", text(&rules), "--threads", threads], &input);
        let answers = lines(&output);
        assert_eq!(answers.len(), 6);
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(answers[0]["decision"]["aml_decision"], "SAR");
        assert_eq!(answers[0], answers[5]);
        for (index, line) in [(1, 2), (2, 4), (3, 5), (4, 6)] {
            assert_eq!(answers[index]["line"], line, "{}", answers[index]);
            assert!(answers[index]["error"].is_string());
        }
        let summary = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(summary.contains("4 of 6 lines"), "{summary}");
    }
}

#[test]
fn decision_lines_name_who_decided() {
    let output = probity(&["decide", "transactions", "--with", "rules"], CASE.as_bytes());
    let answer = &lines(&output)[0];
    assert_eq!(answer["case_id"], "c1");
    assert_eq!(answer["decided_by"]["name"], "rules");
    assert_eq!(answer["decided_by"]["hash"].as_str().map(str::len), Some(64));
    // The training view: one level per outcome.
    assert_eq!(answer["decision"]["level"], 2);
    assert_eq!(answer["decision"]["reasons"][0]["code"], "PEP");
}

#[test]
fn facts_fire_in_the_order_of_the_array() {
    let folder = folder("fire");
    let file = folder.join("order.drl");
    let rule = "global java.util.List log; rule \"a\" when $i : Integer(this > 1) then log.add(\"a\" + $i); end";
    std::fs::write(&file, rule).expect("a rule file");
    let output = probity(&["rules", "fire", text(&file)], b"[3, 1, 2, null]");
    assert_eq!(lines(&output)[0], serde_json::json!({"fired_rules": ["a", "a"], "globals": {"log": ["a3", "a2"]}}));
}

#[test]
fn all_errors_of_a_rule_file_are_shown_with_their_place() {
    let folder = folder("errors");
    let file = folder.join("six.drl");
    let source = "import java.nope.*;\n\
        global java.util.List log;\n\
        function int f(String s) { return s.size(); }\n\
        rule \"a\" salience x when Integer() then log.add(1); end\n\
        rule \"b\" when Strin() then log.add(2); end\n\
        rule \"c\" when $i : Integer(this > ) then end\n\
        rule \"d\" timer(10) when Integer() then end\n\
        rule \"e\" when $i : Integer() then int n = \"x\"; missing($i); end\n";
    std::fs::write(&file, source).expect("a rule file");
    let output = probity(&["rules", "check", text(&file)], b"");
    assert_eq!(output.status.code(), Some(3));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for place in [":1:1:", ":3:35:", ":5:15:", ":6:35:", ":7:10:", ":8:43:", ":8:48:"] {
        assert!(errors.contains(place), "{place} is missing in\n{errors}");
    }
    assert!(errors.contains('^'));
}

#[test]
fn an_endless_rule_loop_is_stopped_and_named() {
    let folder = folder("loop");
    let file = folder.join("loop.drl");
    let source = "declare Ball n : int end\n\
        rule \"serve\" when Map() then insert(new Ball()); end\n\
        rule \"bounce\" when $b : Ball(n >= 0) then modify($b) { setN($b.getN() + 1) } end\n";
    std::fs::write(&file, format!("import java.util.*;\n{source}")).expect("a rule file");
    let output = probity(&["rules", "run", text(&file), "--max-firings", "500"], b"{}\n");
    let error = lines(&output)[0]["error"].as_str().expect("an error").to_owned();
    assert!(error.contains("500 firings") && error.contains("bounce"), "{error}");
    let endless = "import java.util.*;\nrule \"spin\" when Map() then while (true) { } end\n";
    std::fs::write(&file, endless).expect("a rule file");
    let output = probity(&["rules", "run", text(&file)], b"{}\n");
    let error = lines(&output)[0]["error"].as_str().expect("an error").to_owned();
    assert!(error.contains("loop turns"), "{error}");
}

#[test]
fn cases_to_train_on_are_generated_by_a_recipe_of_their_own() {
    let out = folder("generate-training");
    let arguments = ["generate", "transactions", "--mix", "training", "--cases", "300", "--out", text(&out)];
    assert!(probity(&arguments, b"").status.success());
    let manifest = std::fs::read(out.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["recipe"]["edges"], 0.5);
    let arguments = ["generate", "transactions", "--mix", "training", "--recipe", "own.toml", "--out", text(&out)];
    assert_eq!(probity(&arguments, b"").status.code(), Some(2));
}

#[test]
fn generated_cases_are_the_same_on_any_number_of_threads() {
    let (one, two) = (folder("generate-1"), folder("generate-2"));
    for (out, threads) in [(&one, "1"), (&two, "2")] {
        let arguments =
            ["generate", "transactions", "--cases", "400", "--seed", "7", "--out", text(out), "--threads", threads];
        assert!(probity(&arguments, b"").status.success());
    }
    for name in ["cases.jsonl", "audit.jsonl", "manifest.json"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).expect("a file");
        assert!(read(&one) == read(&two), "{name} differs");
    }
    let inspected = probity(&["inspect", text(&one), "--strict"], b"");
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stdout));
    assert!(probity(&["split", text(&one)], b"").status.success());
    let mut persons = Vec::new();
    for set in ["train.jsonl", "validation.jsonl", "test.jsonl"] {
        let content = std::fs::read_to_string(one.join(set)).expect("a set");
        let mut here: Vec<String> = content
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON")["facts"]["person"]["person_id"]
                    .to_string()
            })
            .collect();
        here.sort();
        here.dedup();
        persons.extend(here);
    }
    let all = persons.len();
    persons.sort();
    persons.dedup();
    assert_eq!(persons.len(), all, "a person is in two sets");
}

#[test]
fn a_changed_rule_shows_in_the_comparison() {
    let out = folder("compare");
    assert!(probity(&["demo", "--out", text(&out), "--cases", "600", "--steps", "0"], b"").status.success());
    let mine = out.join("mine.drl");
    let source = std::fs::read_to_string(out.join("transactions.drl")).expect("the shipped rules");
    std::fs::write(&mine, source.replace(">= 10000.0", ">= 20000.0")).expect("a rule file");
    let with = format!("rules={}", mine.display());
    let test = out.join("test.jsonl");
    let decided = probity(&["decide", "transactions", "--with", &with, text(&test)], b"");
    let card = out.join("mine.json");
    let arguments = ["evaluate", "transactions", "--truth", text(&test), "--json", text(&card)];
    let evaluated = probity(&arguments, &decided.stdout);
    assert!(evaluated.status.success(), "{}", String::from_utf8_lossy(&evaluated.stderr));
    let shipped = out.join("scorecard.json");
    let compared = probity(&["compare", text(&shipped), text(&card), "--fail-on-regression"], b"");
    assert_eq!(compared.status.code(), Some(1));
    let notes = String::from_utf8_lossy(&compared.stderr).into_owned();
    assert!(notes.contains("accuracy fell from 1.0000"), "{notes}");
    let same = probity(&["compare", text(&shipped), text(&shipped), "--fail-on-regression"], b"");
    assert_eq!(same.status.code(), Some(0));
}

#[test]
fn the_shipped_rules_pass_their_own_cases() {
    let rules = shipped_rules();
    let output = probity(&["rules", "test", text(rules.parent().expect("a folder"))], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("15 passed, 0 failed"));
}

#[test]
fn an_explanation_shows_what_fired_on_what() {
    let rules = shipped_rules();
    let output = probity(&["rules", "explain", text(&rules)], CASE.as_bytes());
    let answers = lines(&output);
    let firing = &answers[0]["firings"][2];
    assert_eq!(firing["rule"], "PEP_REVIEW");
    assert!(firing["globals"]["out"].as_str().expect("text").contains("flags=[PEP]"));
    let never = answers[1]["never_fired"].as_array().expect("a list");
    assert!(never.contains(&"SANCTIONS_BLOCK".into()) && !never.contains(&"PEP_REVIEW".into()));
}

#[test]
fn mistakes_of_the_user_have_their_exit_codes() {
    assert_eq!(probity(&["decide", "nonsense", "--with", "rules"], b"").status.code(), Some(2));
    assert_eq!(probity(&["decide", "transactions", "--with", "magic"], b"").status.code(), Some(2));
    assert_eq!(probity(&["rules", "check", "missing.drl"], b"").status.code(), Some(3));
    assert_eq!(probity(&["rules", "run", "missing.drl"], b"").status.code(), Some(3));
    assert_eq!(probity(&["frobnicate"], b"").status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let rules = shipped_rules();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let input = format!("{CASE}\n").repeat(20_000);
    let mut child = Command::new(env!("CARGO_BIN_EXE_probity"))
        .args(["rules", "run", text(&rules)])
        .stdin(Stdio::piped())
        .stdout(full)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    assert_eq!(child.wait().expect("an end").code(), Some(3));
    let mut child = Command::new(env!("CARGO_BIN_EXE_probity"))
        .args(["rules", "run", text(&rules)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_tokenizer_is_trained_and_gives_back_what_it_encodes() {
    let folder = folder("tokenizer");
    let data = folder.join("data.jsonl");
    let record = r#"{"prompt":"amount 120","completion":"{\"decision\": \"clear\"}"}"#;
    std::fs::write(&data, format!("{record}\n{record}\n")).expect("a file");
    let out = folder.join("tokenizer");
    let train = ["lm", "tokenizer", "train", text(&data), "--records", "--digits", "--out", text(&out)];
    let train = [&train[..], &["--vocabulary", "270", "--whole", "\"decision\":"]].concat();
    let output = probity(&train, b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output)[0]["vocabulary"], 270);

    let input = "{\"decision\": \"clear\"}\n北京 \u{1f600} 2025\n";
    let encode = ["lm", "tokenizer", "encode", text(&out)];
    let tokens = probity(&encode, input.as_bytes());
    assert_eq!(lines(&tokens)[0].as_array().map(|list| list[1] == 3), Some(true), "the key is one token");
    let decoded = probity(&["lm", "tokenizer", "decode", text(&out)], &tokens.stdout);
    let expected: Vec<_> = input.lines().map(serde_json::Value::from).collect();
    assert_eq!(lines(&decoded), expected);

    let bad = probity(&["lm", "tokenizer", "decode", text(&out)], b"[1]\n[999]\nx\n");
    assert_eq!(bad.status.code(), Some(3));
    assert_eq!((&lines(&bad)[1]["line"], &lines(&bad)[2]["line"]), (&2.into(), &3.into()));
    assert_eq!(probity(&[&train[..7], &["x", "--vocabulary", "9"]].concat(), b"").status.code(), Some(2));
    assert_eq!(probity(&["lm", "tokenizer", "encode", text(&folder)], b"").status.code(), Some(3));
}
