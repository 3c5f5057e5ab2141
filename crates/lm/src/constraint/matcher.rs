//! One answer as it grows.

use super::{Vocabulary, compile};
use crate::{Error, Result};
use llguidance::toktrie::SimpleVob;

/// Follows one answer: which tokens may come next.
pub struct Matcher {
    inner: llguidance::Matcher,
    vocabulary: Vocabulary,
}

impl Matcher {
    /// The caches of the start are copied, not shared: what one answer needs depends on no other one, and matchers of
    /// one grammar do not wait for each other.
    pub(super) fn new(start: &llguidance::Matcher, vocabulary: &Vocabulary) -> Self {
        Self { inner: start.deep_clone(), vocabulary: vocabulary.clone() }
    }

    /// The tokens that the form leaves no choice about, so many at most, and takes them as accepted. The model need not
    /// be asked about them. What is forced but could be part of a longer token is left to the model.
    ///
    /// # Errors
    /// When the form is too complex to go on.
    pub fn forced(&mut self, most: usize) -> Result<Vec<u32>> {
        if self.is_done() || most == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.inner.compute_ff_bytes();
        let inner = &mut self.inner;
        let fits = |tokens: &[u32]| inner.validate_tokens(tokens).is_ok_and(|count| count == tokens.len());
        let mut tokens = self.vocabulary.forced(&bytes, fits);
        tokens.truncate(most);
        if !tokens.is_empty() {
            self.inner.consume_tokens(&tokens).map_err(refusal)?;
        }
        match self.inner.get_error() {
            Some(error) => Err(Error::Grammar(compile::reason(&error))),
            None => Ok(tokens),
        }
    }

    /// The tokens that may come next. Those that end an answer are among them where it may end, and alone where
    /// nothing else can follow.
    ///
    /// # Errors
    /// When the form is too complex to go on or no token of the vocabulary fits.
    pub fn allowed(&mut self) -> Result<Allowed> {
        self.inner.compute_mask_or_eos().map(Allowed).map_err(refusal)
    }

    /// Takes a token as the next one.
    ///
    /// # Errors
    /// When it is not allowed; the matcher is then of no more use.
    pub fn accept(&mut self, token: u32) -> Result<()> {
        if self.is_done() && self.vocabulary.end().contains(&token) {
            return Ok(());
        }
        self.inner.consume_token(token).map_err(refusal)
    }

    /// Whether nothing but the end can follow.
    pub fn is_done(&self) -> bool {
        self.inner.is_stopped() && self.inner.stop_reason().is_ok()
    }
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Matcher").field("done", &self.is_done()).finish_non_exhaustive()
    }
}

/// The tokens that may come next: one bit for each of the model's.
#[derive(Clone, Debug)]
pub struct Allowed(SimpleVob);

impl Allowed {
    /// The bits, the lowest first; those behind the last token are zero.
    pub fn words(&self) -> &[u32] {
        self.0.as_slice()
    }

    /// Whether a token may come next.
    pub fn contains(&self, token: u32) -> bool {
        (token as usize) < self.0.len() && self.0.is_allowed(token)
    }

    /// How many tokens may come next.
    pub fn count(&self) -> usize {
        self.0.num_set()
    }

    /// The tokens that may come next, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter()
    }
}

fn refusal(error: impl std::fmt::Display) -> Error {
    Error::Grammar(compile::reason(&error.to_string()))
}
