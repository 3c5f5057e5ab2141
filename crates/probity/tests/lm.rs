//! Language models as their users call them.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::says;

fn probity(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// A folder with 200 lines to learn from, one that cannot be used, and recipes.
fn folder(name: &str) -> PathBuf {
    let path = support::folder(name);
    let line = |number: usize| {
        let answer = if number.is_multiple_of(3) { "FIZZ" } else { "PASS" };
        format!(r#"{{"prompt":"number {number} is ","completion":"{answer}"}}"#)
    };
    let lines: Vec<String> = (0..200).map(line).chain(["{\"prompt\":\"Jane Doe\"}".to_owned()]).collect();
    write(&path.join("train.jsonl"), &lines.join("\n"));
    write(&path.join("scratch.toml"), SCRATCH);
    write(&path.join("adapter.toml"), ADAPTER);
    path
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
}

const SCRATCH: &str = r#"
seed = 7
steps = 12
threads = 1
[model]
hidden = 32
layers = 2
heads = 2
vocabulary = 300
positions = 64
[data]
train = "train.jsonl"
validation = 0.1
[batch]
tokens = 512
[schedule]
warmup = 2
[checkpoint]
every = 4
"#;

const ADAPTER: &str = r#"
steps = 3
checkpointing = true
dtype = "bf16"
[model]
checkpoint = "run/model"
[method]
kind = "lora"
rank = 4
dropout = 0.1
[data]
train = "train.jsonl"
[batch]
tokens = 512
[optimizer]
rate = 1e-2
[schedule]
kind = "constant"
warmup = 0
"#;

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Trains by a recipe; the summary.
fn train(folder: &Path, recipe: &str, out: &str, more: &[&str]) -> Value {
    let output = probity(folder, &[&["lm", "train", recipe, "--out", out], more].concat());
    // One line could not be used, which the exit code says.
    assert_eq!(output.status.code(), Some(3), "{}", says(&output));
    json(&output)
}

fn logits(folder: &Path, arguments: &[&str]) -> Vec<Vec<f64>> {
    let output = probity(folder, &[&["lm", "logits", "--tokens", "5,9,260"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", says(&output));
    serde_json::from_value(json(&output)["logits"].clone()).expect("lists of numbers")
}

fn gap(one: &[Vec<f64>], other: &[Vec<f64>]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().flatten().zip(other.iter().flatten()).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

#[test]
fn a_run_from_scratch_learns_and_leaves_everything_in_its_folder() {
    let folder = folder("lm-scratch");
    let summary = train(&folder, "scratch.toml", "run", &[]);
    assert_eq!(summary["ending"], "length");
    assert_eq!(summary["steps"], 12);
    assert_eq!(summary["sets"][0]["unusable"], 1);
    assert!(summary["last_loss"].as_f64() < summary["first_loss"].as_f64());
    for name in [
        "recipe.json",
        "inputs.json",
        "log.jsonl",
        "validation.jsonl",
        "loss.svg",
        "report.html",
        "summary.json",
        "checkpoints/step-12/state.safetensors",
        "tokenizer/tokenizer.json",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
    ] {
        assert!(folder.join("run").join(name).is_file(), "{name}");
    }
    let config: Value = serde_json::from_slice(&std::fs::read(folder.join("run/model/config.json")).expect("a file"))
        .expect("a JSON object");
    assert!(config["eos_token_id"].is_number());
    assert_eq!(config["vocab_size"], logits(&folder, &["run/model"])[0].len());
    let again = probity(&folder, &["lm", "train", "scratch.toml", "--out", "run"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(says(&again).contains("--resume"));
}

#[test]
fn an_adapter_beside_the_weights_and_merged_into_them_is_the_same() {
    let folder = folder("lm-adapter");
    train(&folder, "scratch.toml", "run", &[]);
    train(&folder, "adapter.toml", "adapted", &[]);
    let base = logits(&folder, &["run/model"]);
    let adapted = logits(&folder, &["run/model", "--adapter", "adapted/model"]);
    assert!(gap(&base, &adapted) > 1e-2);
    let merged = probity(&folder, &["lm", "merge", "run/model", "--adapter", "adapted/model", "--out", "merged"]);
    assert_eq!(json(&merged)["dtype"], "float32");
    assert!(gap(&logits(&folder, &["merged"]), &adapted) < 1e-5);
    assert!(folder.join("merged/tokenizer.json").is_file());
    assert!(gap(&logits(&folder, &["merged", "--dtype", "bf16"]), &adapted) < 0.1);
    let quantised = train(&folder, "adapter.toml", "quantised", &["--set", "method.kind=qlora", "steps=1"]);
    assert_eq!(quantised["steps"], 1);
}

#[test]
#[cfg(unix)]
fn a_run_that_was_told_to_stop_or_killed_goes_on_to_the_same_bytes() {
    let folder = folder("lm-resume");
    let more = ["--set", "steps=160"];
    train(&folder, "scratch.toml", "whole", &more);
    let mut stopped = Command::new(env!("CARGO_BIN_EXE_probity"))
        .current_dir(&folder)
        .args(["lm", "train", "scratch.toml", "--out", "parts", "--set", "steps=160"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    wait_for(&folder.join("parts/checkpoints/step-4"));
    stopped.kill().expect("a signal");
    stopped.wait().expect("an end");
    let stopped = Command::new(env!("CARGO_BIN_EXE_probity"))
        .current_dir(&folder)
        .args(["lm", "train", "scratch.toml", "--out", "parts", "--resume", "--set", "steps=160", "threads=2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let before = last_step(&folder);
    while last_step(&folder) <= before {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let told = Command::new("kill").args(["-INT", &stopped.id().to_string()]).status().expect("a signal");
    assert!(told.success());
    let stopped = stopped.wait_with_output().expect("an end");
    assert_eq!(stopped.status.code(), Some(130), "{}", says(&stopped));
    assert_eq!(json(&stopped)["ending"], "interrupted");
    assert!(says(&stopped).contains("--set threads=2 --out parts --resume"), "{}", says(&stopped));
    train(&folder, "scratch.toml", "parts", &["--resume", "--set", "steps=160"]);
    let bytes = |run: &str| std::fs::read(folder.join(run).join("model/model.safetensors")).expect("a file");
    assert!(bytes("whole") == bytes("parts"), "other weights");
}

/// The newest checkpoint of the run in parts.
#[cfg(unix)]
fn last_step(folder: &Path) -> u64 {
    let entries = folder.join("parts/checkpoints").read_dir().expect("a folder");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).max().unwrap_or(0)
}

#[cfg(unix)]
fn wait_for(path: &Path) {
    let start = std::time::Instant::now();
    while !path.exists() {
        assert!(start.elapsed().as_secs() < 120, "{} does not come", path.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn what_cannot_be_is_refused_in_words_without_content() {
    let folder = folder("lm-refused");
    write(&folder.join("empty.jsonl"), "");
    write(&folder.join("bad.jsonl"), "{\"prompt\":\"Jane Doe\"}\n");
    for (arguments, code, said) in [
        (&["lm", "train", "none.toml", "--out", "x"][..], 3, "none.toml"),
        (&["lm", "train", "scratch.toml", "--out", "x", "--set", "optimizer.rat=1"], 2, "unknown field `rat`"),
        (&["lm", "train", "scratch.toml", "--out", "x", "--set", "data.train=none"], 3, "none"),
        (&["lm", "train", "scratch.toml", "--out", "x", "--set", "data.train=empty.jsonl"], 3, "no line to learn"),
        (&["lm", "train", "scratch.toml", "--out", "x", "--set", "data.train=bad.jsonl"], 3, "bad.jsonl:1: "),
        (&["lm", "train", "scratch.toml", "--out", "x", "--set", "batch.tokens=99999999999"], 2, "batch.tokens"),
        (&["lm", "train", "adapter.toml", "--out", "x"], 3, "there is no folder run/model"),
        (&["lm", "logits", "none", "--tokens", "1"], 3, "none/config.json"),
        (&["lm", "merge", "none", "--adapter", "none", "--out", "x"], 3, "none/config.json"),
        (&["lm", "estimate", "adapter.toml"], 3, "run/model/config.json"),
    ] {
        let output = probity(&folder, arguments);
        let words = says(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        assert!(words.contains(said) && !words.contains("Jane"), "{arguments:?}: {words}");
        assert!(output.stdout.is_empty() && !folder.join("x").exists(), "{arguments:?}");
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoints() {
    let folder = folder("lm-diverged");
    let arguments =
        ["lm", "train", "scratch.toml", "--out", "run", "--set", "optimizer.rate=1e30", "checkpoint.every=1"];
    let output = probity(&folder, &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(says(&output).contains("not finite at step"), "{}", says(&output));
    assert!(folder.join("run/checkpoints").read_dir().expect("a folder").next().is_some());
    assert!(!folder.join("run/model").exists());
}

#[test]
fn memory_is_estimated_without_data() {
    let folder = folder("lm-estimate");
    let total = |more: &[&str]| {
        let output =
            probity(&folder, &[&["lm", "estimate", "scratch.toml", "--set", "data.train=none"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", says(&output));
        json(&output)["total_bytes"].as_u64().expect("a number")
    };
    assert!(total(&["batch.tokens=8192"]) > 4 * total(&[]));
    assert!(total(&["batch.tokens=8192", "checkpointing=true"]) < total(&["batch.tokens=8192"]));
}
