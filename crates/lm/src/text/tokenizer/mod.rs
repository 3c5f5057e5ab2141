//! Text to numbers and back, as `tokenizer.json` says.

mod files;
mod merges;
mod outline;
mod spelling;
mod training;

pub(super) use spelling::{Piece, Pieces, Spelling, spelled_bytes};
pub use training::TrainingOptions;

use crate::{Error, Result};
use serde_json::{Map, Value};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A tokenizer with what its folder says about special tokens and conversations.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// `tokenizer_config.json`, as it was read.
    settings: Map<String, Value>,
    /// The chat template in Jinja.
    template: Option<String>,
    beginning: Option<u32>,
    end: Option<u32>,
    padding: Option<u32>,
    /// Special tokens, spelled out, in the order of their numbers.
    pub(super) special: Vec<String>,
    vocabulary: usize,
}

impl Tokenizer {
    /// The numbers of a text. Special tokens that are spelled out in it are recognised; with `special` those that
    /// the tokenizer puts around a text are added.
    ///
    /// # Errors
    /// When a rule of the tokenizer cannot be applied to the text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = guarded(|| self.inner.encode_fast(text, special)).map_err(Error::Tokenizer)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of numbers, without special tokens if they are to be skipped. Bytes that are no UTF-8 become
    /// replacement characters.
    ///
    /// # Errors
    /// When a number is no token: embeddings often have more rows than the vocabulary has tokens.
    pub fn decode(&self, tokens: &[u32], skip_special: bool) -> Result<String> {
        if let Some(unknown) = tokens.iter().find(|token| self.inner.id_to_token(**token).is_none()) {
            return Err(Error::Tokenizer(format!("{unknown} is no token of the vocabulary")));
        }
        guarded(|| self.inner.decode(tokens, skip_special)).map_err(Error::Tokenizer)
    }

    /// The number of a token that is spelled as in the vocabulary.
    pub fn token(&self, spelling: &str) -> Option<u32> {
        self.inner.token_to_id(spelling)
    }

    /// One more than the highest number: how many rows an embedding needs.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The token that begins a text (`bos_token`).
    pub fn beginning(&self) -> Option<u32> {
        self.beginning
    }

    /// The token that ends an answer (`eos_token`).
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// The token that fills what is left over (`pad_token`).
    pub fn padding(&self) -> Option<u32> {
        self.padding
    }

    /// The chat template in Jinja, as the folder has it.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Puts another chat template in place of the folder's.
    pub fn set_template(&mut self, template: impl Into<String>) {
        self.template = Some(template.into());
    }

    /// A special token that the text spells out, if there is one. Text of others should have none: it would be
    /// read as the end of a turn or the beginning of another.
    pub fn special_in(&self, text: &str) -> Option<&str> {
        self.special.iter().map(String::as_str).find(|token| text.contains(token))
    }

    /// Whether a number is a special token.
    pub fn is_special(&self, token: u32) -> bool {
        self.inner.get_added_tokens_decoder().get(&token).is_some_and(|added| added.special)
    }

    /// Names of special tokens under which templates know them: `bos_token`, `eos_token` and others, spelled out.
    pub(crate) fn special_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings
            .iter()
            .filter(|(key, _)| key.ends_with("_token"))
            .filter_map(|(key, value)| files::spelling(value).map(|spelling| (key.as_str(), spelling)))
    }
}

/// Calls the library. It stops at some rules of damaged files only when a text meets them, such as a replacement
/// of nothing by something; what is shared between calls is a cache that does without what is spoilt.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("a rule of tokenizer.json cannot be applied; the file is damaged".to_owned()),
    }
}

#[cfg(test)]
mod tests;
