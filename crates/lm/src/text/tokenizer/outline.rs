//! What must hold of a `tokenizer.json` before it is used.

use serde::Deserialize;
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

/// Checks that the model is byte-pair encoding, that its merges make tokens of the vocabulary and that numbers
/// are usable; the library that reads the file takes that for granted. Returns one more than the highest number.
pub(super) fn check(json: &[u8]) -> std::result::Result<usize, String> {
    let kind: Kind = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if let Some(kind) = kind.model.kind.filter(|kind| kind != "BPE") {
        return Err(format!("a model of type {kind} is not supported, only BPE is"));
    }
    let outline: Outline = serde_json::from_slice(json).map_err(|error| error.to_string())?;
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
