//! What the tokens of a model stand for.

use super::{Form, Grammar, compile};
use crate::text::Tokenizer;
use crate::{Error, Result};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{ParserFactory, panic_utils};
use std::sync::Arc;

/// Longer tokens are never offered: the tree of all tokens is at most 1,024 levels deep.
const LONGEST_TOKEN: usize = 1000;

/// States of the lexer of one answer; each takes one or two kilobytes.
const LEXER_STATES: usize = 50_000;

/// A character that no token but its own spells. It keeps tokenizers from treating what follows as the beginning of
/// a text, where some put a space.
const MARK: char = '\u{2}';

/// Longer tokens that are tried in the place of forced ones; where there are more, one is taken to fit.
const CANDIDATES: usize = 64;

/// The tokens of a model and their bytes. Cheap to clone.
#[derive(Clone)]
pub struct Vocabulary {
    words: Arc<Words>,
    pub(super) factory: Arc<ParserFactory>,
}

impl Vocabulary {
    /// Takes a tokenizer, how many tokens the model tells apart (rows of its embedding, often more than the tokenizer
    /// has) and the tokens that end an answer. Special tokens, tokens that only the model has and tokens that end an
    /// answer are never part of one.
    ///
    /// # Errors
    /// When no token ends an answer, one is beyond the model's tokens, or it is unknown how the tokenizer's tokens
    /// spell bytes.
    pub fn new(tokenizer: &Tokenizer, model_vocabulary: usize, end: &[u32]) -> Result<Self> {
        let words = Arc::new(Words::new(tokenizer, model_vocabulary, end)?);
        let environment: TokEnv = words.clone();
        let slices = SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        factory.quiet();
        let limits = factory.limits_mut();
        // Errors of the default kind repeat the answer, which may be about a person.
        limits.verbose_errors = false;
        limits.max_lexer_states = LEXER_STATES;
        Ok(Self { words, factory: Arc::new(factory) })
    }

    /// Compiles a form.
    ///
    /// # Errors
    /// When it cannot be kept: the message names the keyword or the place that stands in the way.
    pub fn grammar(&self, form: &Form) -> Result<Grammar> {
        compile::grammar(self, form)
    }

    /// The bytes of text that a token stands for; none for special tokens and those that end an answer.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.words.text(token)
    }

    /// The bytes of text that tokens stand for.
    pub fn text(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect()
    }

    /// The tokens of bytes that a grammar forces, as far as no token that takes in more of what comes next could stand
    /// in their place: `fits` says whether tokens may come next. What is left is for the model to choose.
    pub(super) fn forced(&self, bytes: &[u8], mut fits: impl FnMut(&[u32]) -> bool) -> Vec<u32> {
        if bytes.is_empty() {
            return Vec::new();
        }
        let text = std::str::from_utf8(bytes).ok().filter(|_| self.words.complete);
        let Some(mut tokens) = text.and_then(|text| self.words.spell(text)) else { return Vec::new() };
        let mut from = 0;
        for place in 0..tokens.len() {
            let candidates = self.words.longer(&bytes[from..]);
            from += self.bytes(tokens[place]).len();
            let extended = |candidate: &u32| fits(&[&tokens[..place], &[*candidate]].concat());
            if candidates.len() > CANDIDATES || candidates.iter().any(extended) {
                tokens.truncate(place);
                break;
            }
        }
        tokens
    }

    /// Tokens of the model.
    pub(super) fn tokens(&self) -> usize {
        self.words.trie.vocab_size()
    }

    /// The tokens that end an answer.
    pub(super) fn end(&self) -> &[u32] {
        self.words.trie.eos_tokens()
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = self.tokens();
        formatter.debug_struct("Vocabulary").field("tokens", &tokens).field("end", &self.end()).finish()
    }
}

/// The tree of all tokens by their bytes, and the tokenizer for what a grammar forces.
struct Words {
    trie: TokTrie,
    tokenizer: Tokenizer,
    /// Whether every byte of UTF-8 has a token, so that any text can be spelled.
    complete: bool,
}

impl Words {
    fn new(tokenizer: &Tokenizer, model_vocabulary: usize, end: &[u32]) -> Result<Self> {
        let Some(first) = end.first() else {
            let problem = "the model has no token that ends an answer; give `eos_token_id` in generation_config.json";
            return Err(Error::Tokenizer(problem.to_owned()));
        };
        if let Some(beyond) = end.iter().find(|token| **token as usize >= model_vocabulary) {
            let problem = format!("the token {beyond} is to end answers, but the model has {model_vocabulary} tokens");
            return Err(Error::Tokenizer(problem));
        }
        let words: Vec<_> = (0..model_vocabulary as u32)
            .map(|token| word(tokenizer, token, end.contains(&token)))
            .collect::<Result<_>>()?;
        let information = TokRxInfo::new(model_vocabulary as u32, *first);
        let build = || Ok(TokTrie::from(&information, &words).with_eos_tokens(end));
        let trie = panic_utils::catch_unwind(std::panic::AssertUnwindSafe(build)).map_err(|_| {
            Error::Tokenizer("the tokens are too many or too long to search for those that fit a form".to_owned())
        })?;
        // 0xc0, 0xc1 and what is above 0xf4 stand in no UTF-8 text.
        let mut bytes = (0..=0xf4).filter(|byte| !(0xc0..=0xc1).contains(byte));
        let complete = bytes.all(|byte: u8| trie.token_id_at_bytes(&[byte]).is_some());
        Ok(Self { trie, tokenizer: tokenizer.clone(), complete })
    }

    /// The text of a token.
    fn text(&self, token: u32) -> &[u8] {
        let word = self.trie.token(token);
        if word.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) { &[] } else { word }
    }

    /// The tokens of a text in the middle of a longer one, if the tokenizer's have exactly its bytes: it may read
    /// special tokens in it or change its characters.
    fn spell(&self, text: &str) -> Option<Vec<u32>> {
        let tokens = self.tokenizer.encode(&format!("{MARK}{text}"), false).ok()?;
        let mark = tokens.iter().position(|token| self.text(*token).ends_with(&[MARK as u8]))?;
        let rest = &tokens[mark + 1..];
        let same = rest.iter().flat_map(|token| self.text(*token)).eq(text.as_bytes());
        same.then(|| rest.to_vec())
    }
}

impl Words {
    /// The tokens that begin with a text and go on, one more than are looked at if there are so many.
    fn longer(&self, text: &[u8]) -> Vec<u32> {
        let Some(node) = self.trie.child_at_bytes(self.trie.root(), text) else { return Vec::new() };
        let mut found = Vec::new();
        let mut open: Vec<_> = self.trie.node_children(node).collect();
        while let Some(node) = open.pop() {
            found.extend(node.token_id());
            if found.len() > CANDIDATES {
                break;
            }
            open.extend(self.trie.node_children(node));
        }
        found
    }
}

impl TokenizerEnv for Words {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        let spelled = std::str::from_utf8(bytes).ok().and_then(|text| self.spell(text));
        spelled.unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }

    /// The library does not force tokens: it looks back over four of them for longer ones that would fit as well,
    /// and a vocabulary may have some that take in more. [`Vocabulary::forced`] does.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

/// A token as the tree knows it: its bytes, nothing where it is never to be offered, and a mark that stands in no
/// UTF-8 text before the name of one that is no text.
fn word(tokenizer: &Tokenizer, token: u32, ends: bool) -> Result<Vec<u8>> {
    if ends || tokenizer.is_special(token) {
        let name = tokenizer.spelling(token).unwrap_or_default();
        return Ok([&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat());
    }
    let bytes = tokenizer.bytes(token)?.unwrap_or_default();
    let offered = bytes.len() <= LONGEST_TOKEN && bytes.first() != Some(&TokTrie::SPECIAL_TOKEN_MARKER);
    Ok(if offered { bytes } else { Vec::new() })
}
