//! Rule files beside what Drools recorded for them: same firings in the same order, same globals.
//!
//! `tests/recorded/NAME.{drl,facts.json,expected.json}`; `oracles/drools` made the expectations. The
//! variable `RECORDED` names another folder of the same shape.

use std::path::{Path, PathBuf};

use rules::{RuleBase, Session};
use serde_json::{Map, Value, json};

fn run(drl: &Path) -> Result<Value, String> {
    let source = std::fs::read_to_string(drl).map_err(|error| error.to_string())?;
    let facts = std::fs::read(drl.with_extension("facts.json")).map_err(|error| error.to_string())?;
    let name = drl.file_name().unwrap_or_default().to_string_lossy();
    let base = RuleBase::compile(&name, &source).map_err(|error| error.to_string())?;
    let mut session = Session::new(&base);
    for (index, global) in base.globals().iter().enumerate() {
        let empty = session.memory().empty(global.kind);
        session.memory().set_global(index, empty);
    }
    let facts = session.memory().read_json(&facts).map_err(|error| error.to_string())?;
    for index in 0..session.memory().list_len(facts).unwrap_or(0) {
        if let Some(fact) = session.memory().list_item(facts, index).filter(|fact| !fact.is_null()) {
            session.insert(fact);
        }
    }
    let outcome = session.fire_up_to(200);
    let mut globals = Map::new();
    for (index, global) in base.globals().iter().enumerate() {
        let mut text = Vec::new();
        let memory = session.memory();
        memory.write_json(memory.global(index), &mut text);
        let text = without_surrogates(&String::from_utf8_lossy(&text));
        let value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        globals.insert(global.name.clone(), value);
    }
    let fired: Vec<&str> = session.fired_names().collect();
    let mut result = json!({"fired_rules": fired, "globals": globals});
    if let Err(error) = outcome {
        result["error"] = json!(error.to_string());
    }
    Ok(result)
}

/// Unpaired surrogates, which JSON readers refuse, as `?`; pairs become what they stand for.
fn without_surrogates(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\ud").or_else(|| rest.find("\\uD")) {
        let unit = |from: usize| rest.get(from + 2..from + 6).and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let next = if rest.get(at + 6..at + 8) == Some("\\u") { unit(at + 6) } else { None };
        out += &rest[..at];
        let units = [unit(at).unwrap_or(0), next.unwrap_or(0)];
        match char::decode_utf16(units).next() {
            Some(Ok(pair)) => {
                out.push(pair);
                rest = &rest[at + if pair as u32 > 0xffff { 12 } else { 6 }..];
            }
            _ => {
                out.push('?');
                rest = &rest[at + 6..];
            }
        }
    }
    out + rest
}

/// The first difference, in words.
fn difference(expected: &Value, found: &Value) -> Option<String> {
    if expected.get("error").is_some() != found.get("error").is_some() {
        return Some(format!("error: expected {:?}, found {:?}", expected.get("error"), found.get("error")));
    }
    if expected["fired_rules"] != found["fired_rules"] {
        return Some(list_difference("fired_rules", &expected["fired_rules"], &found["fired_rules"]));
    }
    let globals = expected["globals"].as_object()?;
    for (name, value) in globals {
        if *value != found["globals"][name] {
            return Some(list_difference(name, value, &found["globals"][name]));
        }
    }
    None
}

fn list_difference(name: &str, expected: &Value, found: &Value) -> String {
    if let (Some(a), Some(b)) = (expected.as_array(), found.as_array()) {
        let at = a.iter().zip(b).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
        return format!("{name}[{at}]: expected {:?}, found {:?}", a.get(at), b.get(at));
    }
    format!("{name}: expected {expected}, found {found}")
}

#[test]
fn equals_what_drools_recorded() {
    let folder = std::env::var_os("RECORDED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded"), PathBuf::from);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of recorded rule files")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "drl"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no rule files in {}", folder.display());
    let mut failures = Vec::new();
    for drl in &files {
        let text = std::fs::read_to_string(drl.with_extension("expected.json")).expect("what Drools recorded");
        let expected: Value = serde_json::from_str(&without_surrogates(&text)).expect("JSON");
        let name = drl.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match run(drl) {
            Ok(found) => failures.extend(difference(&expected, &found).map(|d| format!("{name}: {d}"))),
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), files.len(), failures.join("\n"));
}
