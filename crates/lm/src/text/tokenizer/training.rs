//! A tokenizer made for a text: byte-level byte-pair encoding.

use super::Tokenizer;
use super::merges::Learner;
use super::outline::NUMBERS;
use crate::text::chat::CHATML;
use crate::{Error, Result};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizer};

/// Special tokens that every trained tokenizer has: what pads, and what begins and ends a turn.
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Lines whose words are counted at once.
const CHUNK: usize = 4096;

/// A pair that stands only once is not worth a token.
const LEAST: u64 = 2;

/// What a trained tokenizer is to be like.
#[derive(Clone, Debug, Default)]
pub struct TrainingOptions {
    /// Tokens, at most: a short text has fewer pairs to join. At least 256 and one for each special and whole one.
    pub vocabulary: usize,
    /// Special tokens beside `<|endoftext|>`, `<|im_start|>` and `<|im_end|>`.
    pub special: Vec<String>,
    /// Strings that are one token wherever they stand, such as the keys of JSON objects. ASCII.
    pub whole: Vec<String>,
    /// Whether each digit is a token of its own.
    pub digits: bool,
}

impl Tokenizer {
    /// Learns a tokenizer from lines of text. Every byte is a token, so nothing is unknown and what is decoded
    /// is the text itself. The same lines give the same bytes, in any order and on any number of threads.
    ///
    /// # Errors
    /// When the vocabulary is too small or a special or whole string cannot be a token.
    pub fn train(lines: impl Iterator<Item = String>, options: &TrainingOptions) -> Result<Self> {
        let (mut spellings, added) = first_tokens(options)?;
        let blank = build(&spellings, &[], &added, options.digits)?;
        let words = count(lines, &blank)?;
        let numbers: HashMap<char, u32> = (0..).zip(&spellings).filter_map(|(n, s)| Some((single(s)?, n))).collect();
        let merges = Learner::new(&words, |symbol| numbers[&symbol]).learn(&mut spellings, options.vocabulary, LEAST);
        let tokenizer = build(&spellings, &merges, &added, options.digits)?;
        for Added { token, .. } in &added {
            let numbers = tokenizer.encode(token, false)?;
            if numbers.len() != 1 || tokenizer.decode(&numbers, false)? != *token {
                let problem = format!("`{token}` cannot be one token; ASCII strings that contain no other one can");
                return Err(Error::Tokenizer(problem));
            }
        }
        Ok(tokenizer)
    }
}

/// A token that is found in a text before all else.
struct Added {
    token: String,
    special: bool,
}

/// The character of a spelling that has one.
fn single(spelling: &str) -> Option<char> {
    let mut characters = spelling.chars();
    characters.next().filter(|_| characters.next().is_none())
}

/// The tokens before any merge: special ones, whole ones, bytes; and the first two again.
fn first_tokens(options: &TrainingOptions) -> Result<(Vec<String>, Vec<Added>)> {
    let special = SPECIAL.iter().map(|token| (*token).to_owned()).chain(options.special.iter().cloned());
    let whole = options.whole.iter().map(|token| Added { token: token.clone(), special: false });
    let added: Vec<_> = special.map(|token| Added { token, special: true }).chain(whole).collect();
    let mut seen = HashSet::new();
    if let Some(Added { token, .. }) = added.iter().find(|one| one.token.is_empty() || !seen.insert(&one.token)) {
        return Err(Error::Tokenizer(format!("the token `{token}` is empty or given twice")));
    }
    let mut bytes: Vec<_> = ByteLevel::alphabet().into_iter().collect();
    bytes.sort_unstable();
    let bytes: Vec<_> = bytes.into_iter().map(String::from).collect();
    let longer = added.iter().map(|one| one.token.clone()).filter(|token| !bytes.contains(token));
    let spellings: Vec<_> = longer.chain(bytes.iter().cloned()).collect();
    if !(spellings.len()..NUMBERS as usize).contains(&options.vocabulary) {
        let problem = format!("a vocabulary of {} tokens is asked for; here it has at least", options.vocabulary);
        return Err(Error::Tokenizer(format!("{problem} {} and fewer than {NUMBERS}", spellings.len())));
    }
    Ok((spellings, added))
}

/// The words of the text between added tokens, and how often each stands there.
fn count(lines: impl Iterator<Item = String>, blank: &Tokenizer) -> Result<BTreeMap<String, u64>> {
    let mut words = BTreeMap::new();
    let mut lines = lines.peekable();
    while lines.peek().is_some() {
        let chunk: Vec<_> = lines.by_ref().take(CHUNK).collect();
        let counted: Vec<_> = chunk.par_chunks(CHUNK / 16).map(|lines| count_chunk(lines, blank)).collect();
        for part in counted {
            for (word, count) in part.map_err(|error| Error::Tokenizer(error.to_string()))? {
                *words.entry(word).or_default() += count;
            }
        }
    }
    Ok(words)
}

fn count_chunk(lines: &[String], blank: &Tokenizer) -> tokenizers::Result<HashMap<String, u64>> {
    let mut words = HashMap::new();
    for line in lines {
        let mut pieces = blank.inner.get_added_vocabulary().extract_and_normalize(blank.inner.get_normalizer(), line);
        if let Some(splitter) = blank.inner.get_pre_tokenizer() {
            splitter.pre_tokenize(&mut pieces)?;
        }
        for (word, _, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
            match words.get_mut(word) {
                _ if tokens.is_some() => {}
                Some(count) => *count += 1,
                None => drop(words.insert(word.to_owned(), 1)),
            }
        }
    }
    Ok(words)
}

/// Puts the parts together in the format of `tokenizer.json`.
fn build(spellings: &[String], merges: &[(String, String)], added: &[Added], digits: bool) -> Result<Tokenizer> {
    let vocab: Map<String, Value> = spellings.iter().cloned().zip((0u32..).map(Value::from)).collect();
    let added: Vec<_> = added
        .iter()
        .map(|Added { token, special }| {
            json!({
                "id": vocab[token], "content": token, "special": special,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
    let single_digits = json!({"type": "Digits", "individual_digits": true});
    let splitter =
        if digits { json!({"type": "Sequence", "pretokenizers": [single_digits, bytes]}) } else { bytes.clone() };
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": splitter, "post_processor": null, "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    let Value::Object(settings) = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
        "eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "chat_template": CHATML,
    }) else {
        unreachable!("an object")
    };
    Tokenizer::assemble(json.to_string().as_bytes(), settings).map_err(Error::Tokenizer)
}
