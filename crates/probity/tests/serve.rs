//! `serve`, `config` and `bench serve` as their users call them.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{folder, says, text};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PROBITY_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(done.success());
}

const CASE: &str =
    r#"{"case_id":"c1","facts":{"person":{"pep":true},"recent_tx":[{"channel":"wire","amount":987654.5}]}}"#;

#[test]
fn a_server_answers_the_load_generator_and_stops_when_told() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../desks/src/transactions/data/transactions.drl");
    let mut serve = command(&["serve", "--rules", text(&rules), "--listen", "127.0.0.1:0"]);
    let mut child = serve.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    let mut all = String::new();
    let mut read_until = |words: &str| {
        loop {
            line.clear();
            assert!(log.read_line(&mut line).expect("text") > 0, "no `{words}` in\n{all}");
            all.push_str(&line);
            if line.contains(words) {
                return line.clone();
            }
        }
    };
    let listening = read_until("listening");
    let address = listening.split("address=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    read_until("loaded");
    signal(&child, "-HUP");
    read_until("reloaded");
    // The log must not fill its pipe while the load runs.
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        log.read_to_string(&mut rest).map(|_| rest)
    });
    let body = folder("load").join("case.json");
    std::fs::write(&body, CASE).expect("a body");
    let url = format!("http://{address}");
    let load = ["--body", text(&body), "--concurrency", "2", "--seconds", "0.2"];
    let bench = [&["bench", "serve", "--url", &url, "--path", "/v1/drools/score"], &load[..]].concat();
    let output = command(&bench).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", says(&output));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(result["requests_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{result}");
    assert_eq!((&result["refused"], &result["broken"]), (&0.into(), &0.into()));
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let rest = rest.join().expect("no panic").expect("text");
    assert!(rest.contains("path=\"/v1/drools/score\" status=200"), "{rest}");
    assert!(!rest.contains("987654") && !rest.contains("wire"), "facts are in the log");
    let mut out = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
    assert_eq!(out, "", "standard output carries data only");
}

/// What a server answers to a body.
fn post(address: &str, path: &str, body: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn whatever_decides_lines_answers_over_http_in_the_same_words() {
    let place = folder("serve-deciders");
    let file = place.join("cascade.toml");
    // Rules have no score: the first stage leaves everything to the second.
    let stage = "[[stage]]\nwith = \"rules\"\ncost = 1\nlow = 0\nhigh = 1\n";
    std::fs::write(&file, stage.repeat(2)).expect("a file");
    let with = format!("cascade={}", text(&file));
    let careful = format!("careful={with}");
    let arguments = ["serve", "--decider", &careful, "--decider", "plain=rules", "--listen", "127.0.0.1:0"];
    let mut child = command(&arguments).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("listening")).expect("it listens");
    let address = listening.split("address=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    assert_eq!(log.by_ref().filter(|line| line.contains("loaded")).take(2).count(), 2);
    let cases = place.join("cases.jsonl");
    std::fs::write(&cases, CASE).expect("a file");
    let decided = |with: &str| {
        let output = command(&["decide", "transactions", "--with", with, text(&cases)]).output().expect("it runs");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("a line")
    };
    let path = |name: &str| format!("/v1/desks/transactions/decisions?with={name}");
    let answer = post(address, &path("careful"), CASE);
    assert_eq!(answer[0], decided(&with));
    assert_eq!(answer[0]["cascade"]["name"], "cascade:transactions");
    assert_eq!(post(address, &path("plain"), CASE)[0], decided("rules"));
    let refused = post(address, &path("nobody"), CASE);
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("careful, plain")), "{refused}");
    // A file that says something else from now on is heeded.
    std::fs::write(&file, stage.repeat(2).replacen("high = 1", "high = 0.5", 1)).expect("a file");
    signal(&child, "-HUP");
    assert_eq!(log.by_ref().filter(|line| line.contains("reloaded")).take(2).count(), 2);
    let again = post(address, &path("careful"), CASE);
    assert_ne!(again[0]["cascade"]["hash"], answer[0]["cascade"]["hash"]);
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn named_rules_keep_to_the_firings_that_are_allowed() {
    let file = folder("serve-firings").join("cascade.toml");
    let stage = "[[stage]]\nwith = \"rules\"\ncost = 1\nlow = 0\nhigh = 1\n";
    std::fs::write(&file, stage.repeat(2)).expect("a file");
    let careful = format!("careful=cascade={}", text(&file));
    let arguments =
        ["--decider", &careful, "--decider", "plain=rules", "--max-firings", "1", "--listen", "127.0.0.1:0"];
    let serve = [&["serve"], &arguments[..]].concat();
    let mut child = command(&serve).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("listening")).expect("it listens");
    let address = listening.split("address=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    assert_eq!(log.by_ref().filter(|line| line.contains("loaded")).take(2).count(), 2);
    for name in ["careful", "plain"] {
        let answer = post(address, &format!("/v1/desks/transactions/decisions?with={name}"), CASE);
        assert!(answer[0]["error"].as_str().is_some_and(|error| error.contains("firings")), "{name}: {answer}");
    }
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn deciders_that_cannot_be_are_usage_errors() {
    let unknown = "`nonsense` does not say who decides: expected rules, rules=FILE.drl, an artifact's folder, \
                   remote=URL,model=NAME, or cascade=FILE.toml";
    for (decider, problem) in [("a=nonsense", unknown), ("rules", "write NAME=WITH")] {
        let output = command(&["serve", "--decider", decider, "--listen", "127.0.0.1:0"]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{}", says(&output));
        assert!(says(&output).contains(problem), "{}", says(&output));
    }
}

#[test]
fn a_flag_counts_before_the_environment_and_that_before_the_file() {
    let file = folder("config").join("probity.toml");
    let content = "max_requests = 1\nmax_firings = 1\nmax_connections = 1\nadmin_reload = true\n\
                   cors_origins = [\"https://a.example\", \"https://b.example\"]\n";
    std::fs::write(&file, content).expect("a file");
    let config = |more: &[&str]| {
        let mut command = command(&["config"]);
        command.args(more).env("PROBITY_CONFIG", &file);
        command.env("PROBITY_MAX_REQUESTS", "2").env("PROBITY_MAX_FIRINGS", "2").env("PROBITY_API_KEY", "sesame");
        command.output().expect("the program runs")
    };
    let output = config(&["--max-firings", "3"]);
    let printed = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    for line in [
        "max_firings = 3  # flag",
        "max_requests = 2  # environment PROBITY_MAX_REQUESTS",
        &format!("max_connections = 1  # file {}", text(&file)),
        &format!("admin_reload = true  # file {}", text(&file)),
        &format!("cors_origins = [\"https://a.example\", \"https://b.example\"]  # file {}", text(&file)),
        "listen = \"127.0.0.1:8000\"  # default",
        "# api_key = \"********\"  # environment PROBITY_API_KEY",
        "# rules is not set",
    ] {
        assert!(printed.lines().any(|known| known == line), "{line} is not in\n{printed}{}", says(&output));
    }
    assert!(!printed.contains("sesame"));
    // What it prints is a file that it takes.
    std::fs::write(&file, &printed).expect("a file");
    assert_eq!(config(&[]).status.code(), Some(0), "{}", says(&config(&[])));
    for (content, expected) in [
        ("listen = \"x\"", "`listen`: invalid value 'x'"),
        ("max_request = 1", "`max_request`: there is no such option"),
        ("max_requests = [1, 2]", "`max_requests`: takes one value"),
        ("admin_reload = 1", "`admin_reload`: takes true or false"),
        ("log = \"loud\"", "`log`: invalid value 'loud'"),
        ("log = ", "TOML parse error at line 1"),
    ] {
        std::fs::write(&file, content).expect("a file");
        let output = config(&[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(says(&output).contains(expected), "{expected} is not in\n{}", says(&output));
    }
}

#[test]
fn what_is_wrong_with_options_or_rules_is_said_at_once() {
    let output = command(&["serve"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(says(&output).contains("--rules"));
    let file = folder("broken").join("broken.drl");
    std::fs::write(&file, "rule \"a\" when then nonsense end").expect("a file");
    let arguments = ["serve", "--rules", text(&file), "--listen", "127.0.0.1:0"];
    let output = command(&arguments).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(says(&output).contains("broken.drl:1"), "{}", says(&output));
}
