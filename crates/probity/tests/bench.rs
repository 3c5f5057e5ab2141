//! `bench endpoint` and `compare` as their users call them, against a small server that answers as it is told.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::{folder, says, text};

fn probity(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
    command.env_remove("PROBITY_API_KEY").args(arguments).output().expect("the program runs")
}

fn figures(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", says(output)))
}

/// Four labelled cases, told apart by their usual amount; the truth of each is REVIEW for PEP.
fn cases(folder: &Path) -> PathBuf {
    let path = folder.join("cases.jsonl");
    let line = |number: u32| {
        let person = json!({"pep": true, "avg_tx_amount_90d": 1000 + number});
        let decision = json!({"aml_decision": "REVIEW", "escalation_level": 1, "reasons": ["PEP"]});
        format!("{}\n", json!({"case_id": format!("c{number}"), "facts": {"person": person}, "decision": decision}))
    };
    std::fs::write(&path, (0..4).map(line).collect::<String>()).expect("a file");
    path
}

/// The number of the case in a request.
fn number(body: &str) -> usize {
    (0..4).find(|number| body.contains(&format!("100{number}"))).unwrap_or_else(|| panic!("no case in {body}"))
}

/// A request as it came, and the connection that waits for the answer.
struct Asked<'s> {
    head: String,
    body: String,
    stream: &'s mut TcpStream,
}

impl Asked<'_> {
    fn answer(&mut self, status: &str, body: &str) -> bool {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
    }

    fn says(&mut self, answer: &str) -> bool {
        let usage = json!({"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}});
        self.answer("200 OK", &json!({"choices": [{"text": answer}], "usage": usage}).to_string())
    }
}

/// Starts a server that handles every request by a function, which says whether the connection goes on.
fn server(handle: impl Fn(Asked<'_>) -> bool + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || serve(stream, &*handle));
        }
    });
    url
}

fn serve(mut stream: TcpStream, handle: &(dyn Fn(Asked<'_>) -> bool + Sync)) {
    // Pieces are sent when they are written, not when there are more.
    stream.set_nodelay(true).expect("an option");
    let mut reader = BufReader::new(stream.try_clone().expect("a connection"));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        reader.read_exact(&mut body).expect("a body");
        let body = String::from_utf8(body).expect("text");
        if !handle(Asked { head, body, stream: &mut stream }) {
            return;
        }
    }
}

const RIGHT: &str = r#"{"reasons":["PEP"],"aml_decision":"REVIEW","escalation_level":1}"#;
const WRONG: &str = r#"{"reasons":["PEP"],"aml_decision":"CLEAR","escalation_level":0}"#;

#[test]
fn quality_counts_every_case_and_an_invalid_answer_is_wrong() {
    let folder = folder("bench-quality");
    let url = server(|mut asked| {
        if asked.head.starts_with("GET /v1/models ") {
            return asked.answer("200 OK", r#"{"data":[{"id":"small"}]}"#);
        }
        let body: Value = serde_json::from_str(&asked.body).expect("JSON");
        assert_eq!((&body["model"], &body["temperature"]), (&json!("small"), &json!(0)));
        assert!(asked.head.contains("Authorization: Bearer sesame\r\n"), "{}", asked.head);
        match number(&asked.body) {
            0 => asked.says(RIGHT),
            1 => asked.says(WRONG),
            2 => asked.says(&format!("Sure! {RIGHT}")),
            _ => asked.answer("503 Service Unavailable", "{}"),
        }
    });
    let (cases, out) = (cases(&folder), folder.join("a.json"));
    let output = probity(&[
        "bench",
        "endpoint",
        &format!("{url}/v1"),
        "--cases",
        text(&cases),
        "--concurrency",
        "1,3",
        "--api-key",
        "sesame",
        "--out",
        text(&out),
    ]);
    assert_eq!(output.status.code(), Some(1), "a refused request fails: {}", says(&output));
    let result = figures(&output);
    assert_eq!((&result["model"], &result["cases"]), (&json!("small"), &json!(4)));
    for (place, concurrency) in [1, 3].into_iter().enumerate() {
        let level = &result["levels"][place];
        assert_eq!(level["concurrency"], concurrency);
        assert_eq!((&level["requests"], &level["answered"], &level["unsent"]), (&json!(4), &json!(3), &json!(0)));
        assert_eq!((&level["accuracy"], &level["accuracy_of_valid"]), (&json!(0.25), &json!(0.5)));
        assert_eq!((&level["exact_match"], &level["errors"]), (&json!(0.25), &json!({"status 503": 1})));
        assert!((level["json_validity"].as_f64().expect("a number") - 2.0 / 3.0).abs() < 1e-9);
        let tokens = ["prompt_tokens", "cached_tokens", "output_tokens"].map(|name| level[name].as_u64());
        assert_eq!(tokens, [Some(60), Some(24), Some(15)]);
        assert!(level["latency_ms"]["p99"].as_f64() > Some(0.0) && level["first_token_ms"].is_null());
    }
    let table = says(&output);
    assert!(table.contains("small@3") && table.contains("1 without an answer (status 503)"), "{table}");
    assert_eq!(std::fs::read(&out).expect("a file"), output.stdout);

    // Held against itself, nothing is worse; against something better, it is.
    let same = probity(&["compare", text(&out), text(&out), "--fail-on-regression"]);
    assert_eq!(same.status.code(), Some(0), "{}", says(&same));
    assert!(String::from_utf8_lossy(&same.stdout).contains("a@3"));
    let better = folder.join("better.json");
    let raised = String::from_utf8_lossy(&output.stdout).replace("\"exact_match\":0.25", "\"exact_match\":0.75");
    std::fs::write(&better, raised).expect("a file");
    let worse = probity(&["compare", text(&better), text(&out), "--fail-on-regression"]);
    assert_eq!(worse.status.code(), Some(1));
    assert!(says(&worse).contains("exact match fell from 0.7500 to 0.2500"), "{}", says(&worse));
}

#[test]
fn the_first_token_is_timed_where_answers_come_in_pieces() {
    let url = server(|asked| {
        let body: Value = serde_json::from_str(&asked.body).expect("JSON");
        assert_eq!((&body["stream"], &body["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
        assert!(body["messages"][0]["content"].is_string() && asked.head.starts_with("POST /v1/chat/completions "));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        asked.stream.write_all(head.as_bytes()).expect("a listener");
        let mut say = |event: &str| {
            let event = format!("data: {event}\n\n");
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            asked.stream.write_all(chunk.as_bytes()).and_then(|()| asked.stream.flush()).expect("a listener");
        };
        say(&json!({"choices": [{"delta": {"role": "assistant"}}]}).to_string());
        let (first, rest) = RIGHT.split_at(10);
        say(&json!({"choices": [{"delta": {"content": first}}]}).to_string());
        std::thread::sleep(std::time::Duration::from_millis(60));
        say(&json!({"choices": [{"delta": {"content": rest}}]}).to_string());
        say(r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#);
        say("[DONE]");
        asked.stream.write_all(b"0\r\n\r\n").is_ok()
    });
    let cases = cases(&folder("bench-stream"));
    let arguments = ["--style", "chat", "--stream", "--model", "m", "--cases", text(&cases), "--concurrency", "2"];
    let output = probity(&[&["bench", "endpoint", &url], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", says(&output));
    let level = &figures(&output)["levels"][0];
    assert_eq!((&level["accuracy"], &level["output_tokens"]), (&json!(1.0), &json!(16)));
    let median = |name: &str| level[name]["p50"].as_f64().expect("a number");
    let (first, whole) = (median("first_token_ms"), median("latency_ms"));
    assert!(first > 0.0 && whole - first >= 55.0, "first {first}, whole {whole}");
}

#[test]
fn a_server_that_dies_is_counted_and_not_waited_for() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let url = server(move |mut asked| match count.fetch_add(1, Ordering::SeqCst) {
        // One of these warms up.
        0..3 => asked.says(RIGHT),
        _ => {
            let _ = asked.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"choices\":");
            false
        }
    });
    let cases = cases(&folder("bench-dies"));
    let arguments = ["--model", "m", "--cases", text(&cases), "--concurrency", "1", "--requests", "100"];
    let output = probity(&[&["bench", "endpoint", &url], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let level = &figures(&output)["levels"][0];
    assert_eq!(level["answered"], 2, "{level}");
    let sent = level["requests"].as_u64().expect("a number");
    assert_eq!(sent + level["unsent"].as_u64().expect("a number"), 100);
    let errors = level["errors"].as_object().expect("an object");
    assert_eq!(errors.values().filter_map(Value::as_u64).sum::<u64>(), sent - 2, "{level}");

    // Nobody listens there at all.
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let output = probity(&[&["bench", "endpoint", &format!("http://{closed}")], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let level = &figures(&output)["levels"][0];
    assert_eq!((&level["answered"], &level["latency_ms"]), (&json!(0), &Value::Null));
    assert!(level["errors"]["no connection"].as_u64() > Some(0), "{level}");
}

#[test]
fn one_that_never_answers_is_given_up() {
    let url = server(|mut asked| {
        std::thread::sleep(std::time::Duration::from_secs(30));
        asked.says(RIGHT)
    });
    let cases = cases(&folder("bench-silent"));
    let arguments = ["--model", "m", "--cases", text(&cases), "--concurrency", "2", "--timeout", "0.05"];
    let output = probity(&[&["bench", "endpoint", &url], &arguments[..]].concat());
    assert_eq!(figures(&output)["levels"][0]["errors"], json!({"timeout": 4}));
}

#[test]
fn rules_are_measured_by_the_same_command_and_on_fresh_cases() {
    let url = server(|mut asked| {
        assert!(asked.head.starts_with("POST /v1/drools/score "), "{}", asked.head);
        let facts: Value = serde_json::from_str(&asked.body).expect("JSON");
        let decision = json!({"aml_decision": "CLEAR", "escalation_level": 0, "reasons": []});
        asked.answer("200 OK", &json!({"facts": facts["facts"], "decision": decision, "fired_rules": []}).to_string())
    });
    let arguments = ["--style", "rules", "--fresh", "60", "--seed", "9", "--concurrency", "4"];
    let output = probity(&[&["bench", "endpoint", &url], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", says(&output));
    let result = figures(&output);
    assert_eq!((&result["model"], &result["set"]), (&json!("rules"), &json!("fresh cases of seed 9")));
    let level = &result["levels"][0];
    let accuracy = level["accuracy"].as_f64().expect("a number");
    assert_eq!((&level["answered"], &level["json_validity"]), (&json!(60), &json!(1.0)));
    assert!(accuracy > 0.2 && accuracy < 0.9, "some of the cases are clear, others are not: {accuracy}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_with_what_was_measured() {
    let url = server(|mut asked| asked.says(RIGHT));
    let cases = cases(&folder("bench-interrupt"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
    command.args(["bench", "endpoint", &url, "--model", "m", "--cases", text(&cases), "--seconds", "60"]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(done.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", says(&output));
    let result = figures(&output);
    assert_eq!((&result["interrupted"], result["levels"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    assert!(result["levels"][0]["answered"].as_u64() > Some(0));
}

#[test]
fn what_is_asked_for_wrongly_is_said_at_once() {
    let cases = cases(&folder("bench-usage"));
    for (arguments, expected) in [
        (&["https://host", "--model", "m", "--cases", text(&cases)][..], "no TLS"),
        (&["http://host", "--model", "m"], "--cases FILE or --fresh N"),
        (&["http://host", "--style", "rules", "--stream", "--cases", text(&cases)], "leave --stream out"),
        (&["http://host", "--desk", "alerts", "--cases", text(&cases)], "unknown desk"),
    ] {
        let output = probity(&[&["bench", "endpoint"], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(says(&output).contains(expected), "{expected} is not in {}", says(&output));
    }
}

const TINY: &str = r#"
seed = 7
steps = 2
threads = 1
[model]
hidden = 16
layers = 1
heads = 2
vocabulary = 300
positions = 2048
[data]
train = "train.jsonl"
[batch]
tokens = 256
[schedule]
warmup = 1
"#;

#[test]
fn the_engine_is_measured_on_cases_and_on_prefixes() {
    let folder = folder("bench-generate");
    let line = |number: u32| format!("{}\n", json!({"prompt": format!("number {number} is "), "completion": "PASS"}));
    std::fs::write(folder.join("train.jsonl"), (0..40).map(line).collect::<String>()).expect("a file");
    std::fs::write(folder.join("tiny.toml"), TINY).expect("a file");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
        let output = command.current_dir(&folder).args(arguments).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(0), "{}", says(&output));
        output
    };
    run(&["lm", "train", "tiny.toml", "--out", "run"]);
    let cases = ["--fresh", "5", "--seed", "3", "--max-tokens", "12", "--write-answers", "answers.json"];
    let speed = ["--concurrency", "1,4", "--rounds", "1", "--prompt-tokens", "96", "--answer-tokens", "8"];
    let output =
        run(&[&["bench", "generate", "run/model", "--threads", "1", "--out", "f.json"], &cases[..], &speed].concat());
    let result = figures(&output);
    for (place, concurrency) in [1, 4].into_iter().enumerate() {
        let level = &result["levels"][place];
        assert_eq!((&level["concurrency"], &level["answered"]), (&json!(concurrency), &json!(5)));
        assert_eq!(level["prompt_tokens"], result["levels"][0]["prompt_tokens"]);
        assert!(level["cached_tokens"].as_u64() < level["prompt_tokens"].as_u64(), "each level has a model of its own");
        let speed = &result["speed"][place];
        assert_eq!((&speed["concurrency"], &speed["prompt_tokens"]), (&json!(concurrency), &json!(96)));
        assert!(speed["prefill_tokens_per_second"].as_f64() > Some(0.0), "{speed}");
        assert!(speed["decode_tokens_per_second"].as_f64() > Some(0.0), "{speed}");
    }
    let prefix = &result["prefix"];
    assert_eq!(prefix["prefix_tokens"], 2048 - 33, "{prefix}");
    assert!(says(&output).contains("a prefix of 2015 tokens only"), "{}", says(&output));
    assert!(prefix["cached_tokens"].as_u64() > Some(1900) && prefix["read_tokens"].as_u64() < Some(120), "{prefix}");
    let answers = std::fs::read(folder.join("answers.json")).expect("a file");
    let answers: Value = serde_json::from_slice(&answers).expect("JSON");
    let list = answers["cases"].as_array().expect("cases");
    assert_eq!((list.len(), &answers["most"]), (5, &json!(12)));
    for case in list {
        assert!(case["prompt"].as_str().is_some_and(|text| text.starts_with("sanctions:")));
        assert!(
            case["answer"]
                .as_str()
                .is_some_and(|text| "{\"reasons\":[".starts_with(text) || text.starts_with("{\"reasons\":["))
        );
        assert!(case["tokens"].as_array().is_some_and(|tokens| tokens.len() > 20));
    }
    let table = run(&["compare", "f.json", "f.json"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("f@4"));
}
