//! What must hold of a `tokenizer.json` before it is used.

use serde::Deserialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Numbers of tokens are below this; it is far above any vocabulary and keeps embeddings imaginable.
pub(super) const NUMBERS: u32 = 1 << 24;

#[derive(Deserialize)]
struct Kind {
    model: KindOfModel,
}

#[derive(Deserialize)]
struct KindOfModel {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Outline {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    continuing_subword_prefix: Option<String>,
}

/// Old files write a pair as one string, with a space between.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
}

/// Checks a step of the way from text to tokens, and the steps that it consists of, for what the library would
/// stop at: nothing to search for or to insert, and special tokens without numbers.
fn check_step(step: &Value) -> Result<(), String> {
    let kind = step["type"].as_str().unwrap_or_default();
    let empty = |text: &Value| text.as_str() == Some("");
    if empty(&step["prepend"]) || empty(&step["pattern"]["String"]) {
        return Err(format!("the step {kind} has an empty text"));
    }
    let pieces = ["single", "pair"].into_iter().filter_map(|name| step[name].as_array()).flatten();
    for token in pieces.filter_map(|piece| piece["SpecialToken"]["id"].as_str()) {
        if step["special_tokens"].get(token).is_none() {
            return Err(format!("the step {kind} does not say which number `{token}` has"));
        }
    }
    match step {
        Value::Array(steps) => steps.iter().try_for_each(check_step),
        Value::Object(fields) => fields.values().filter(|value| value.is_array()).try_for_each(check_step),
        _ => Ok(()),
    }
}

/// Checks that the model is byte-pair encoding, that its merges make tokens of the vocabulary and that numbers
/// are usable; the library that reads the file takes that for granted. Returns one more than the highest number.
pub(super) fn check(json: &[u8]) -> std::result::Result<usize, String> {
    let kind: Kind = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if let Some(kind) = kind.model.kind.filter(|kind| kind != "BPE") {
        return Err(format!("a model of type {kind} is not supported, only BPE is"));
    }
    let outline: Outline = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    for step in [&outline.normalizer, &outline.pre_tokenizer, &outline.post_processor, &outline.decoder] {
        check_step(step)?;
    }
    let vocab = &outline.model.vocab;
    let prefix = outline.model.continuing_subword_prefix.as_deref().unwrap_or_default();
    for merge in &outline.model.merges {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left.as_str(), right.as_str()),
            Merge::Line(line) => line.split_once(' ').ok_or_else(|| format!("the merge `{line}` has one part"))?,
        };
        let joined = right.strip_prefix(prefix).map(|rest| format!("{left}{rest}"));
        let known = |token: &str| vocab.contains_key(token);
        if !(known(left) && known(right) && joined.as_deref().is_some_and(known)) {
            return Err(format!("the merge of `{left}` and `{right}` is not in the vocabulary"));
        }
    }
    let mut numbers = HashSet::with_capacity(vocab.len());
    if let Some((token, number)) = vocab.iter().find(|(_, number)| !numbers.insert(**number)) {
        return Err(format!("the token `{token}` has the number {number}, which another has too"));
    }
    let highest = vocab.values().copied().chain(outline.added_tokens.iter().map(|added| added.id)).max();
    match highest {
        None => Err("the vocabulary is empty".to_owned()),
        Some(number) if number >= NUMBERS => Err(format!("the number {number} of a token is too high")),
        Some(number) => Ok(number as usize + 1),
    }
}
