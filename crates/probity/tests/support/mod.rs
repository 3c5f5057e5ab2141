//! The program as a user starts it, and small models of it.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn probity(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_probity"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A program that stops early closes its end; that is not this side's failure.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    output
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

pub(crate) fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON value a line")).collect()
}

pub(crate) fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Overrides that make the shipped recipes small and quick.
const SMALL: [&str; 7] = [
    "steps=40",
    "cases.validation=48",
    "schedule.warmup=4",
    "checkpoint.every=15",
    "model.hidden=32",
    "model.layers=1",
    "optimizer.rate=0.01",
];

/// What is small about one kind beside.
fn own(kind: &str) -> &'static [&'static str] {
    match kind {
        "multihead" => &["model.heads=2", "model.intermediate=32", "model.bins=8", "batch.tokens=48"],
        _ => &["model.heads=2", "batch.tokens=1500"],
    }
}

pub(crate) fn train(kind: &str, out: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["train", "transactions", "--recipe", kind, "--out", text(out)];
    arguments.extend(SMALL.iter().chain(own(kind)).flat_map(|change| ["--set", change]));
    arguments.extend(more);
    probity(&arguments, b"")
}

/// Cases that nothing was trained on.
pub(crate) fn cases(name: &str, count: &str) -> PathBuf {
    let out = folder(name);
    let arguments = ["generate", "transactions", "--cases", count, "--seed", "11", "--out", text(&out)];
    assert!(probity(&arguments, b"").status.success());
    out
}

pub(crate) fn decide(artifact: &Path, threads: &str, input: &[u8]) -> Output {
    probity(&["decide", "transactions", "--with", text(artifact), "--threads", threads], input)
}
