//! A form that was compiled.

use super::{Matcher, Vocabulary};
use std::sync::Arc;

/// A form compiled for a vocabulary, for any number of answers. Cheap to clone.
#[derive(Clone)]
pub struct Grammar {
    /// The state before the first token.
    start: Arc<llguidance::Matcher>,
    vocabulary: Vocabulary,
    longest: Option<usize>,
}

impl Grammar {
    pub(super) fn new(vocabulary: &Vocabulary, start: llguidance::Matcher, longest: Option<usize>) -> Self {
        Self { start: Arc::new(start), vocabulary: vocabulary.clone(), longest }
    }

    /// How many bytes an answer has at most, and thus how many tokens before the one that ends it; none if the form
    /// sets no bound.
    pub fn longest(&self) -> Option<usize> {
        self.longest
    }

    /// Whether a token ends answers.
    pub fn is_end(&self, token: u32) -> bool {
        self.vocabulary.end().contains(&token)
    }

    /// Tokens of the model that it was compiled for.
    pub(crate) fn tokens(&self) -> usize {
        self.vocabulary.tokens()
    }

    /// Follows an answer from its beginning.
    pub fn matcher(&self) -> Matcher {
        Matcher::new(&self.start, &self.vocabulary)
    }
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Grammar").field("longest", &self.longest).finish_non_exhaustive()
    }
}
