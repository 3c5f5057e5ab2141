//! What is asked of a model that answers, and what it says.

use crate::constraint::Grammar;

/// A prompt and how it is to be answered. The answer depends on this and on the weights alone, to the bit: not on what
/// runs beside it, not on what was read before, not on the number of threads.
#[derive(Clone, Debug)]
pub struct Request {
    /// At least one token.
    pub prompt: Vec<u32>,
    /// So many of its last tokens are the beginning of the answer, which the grammar takes as said. They count as tokens
    /// of the prompt.
    pub begun: usize,
    /// The name of a loaded adapter; the model alone if none.
    pub adapter: Option<String>,
    /// Tokens of the answer at most. The model's longest sequence bounds it too.
    pub most: usize,
    /// Tokens that end the answer; they are no part of it. With a grammar those count that it was compiled with.
    pub end: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What the answer must be.
    pub grammar: Option<Grammar>,
    /// So many of the likeliest tokens are told with each that was chosen.
    pub likeliest: usize,
    /// Where a grammar allows at most so many tokens, all of them are told.
    pub allowed: usize,
}

impl Request {
    /// The likeliest tokens after a prompt, so many at most, until one of those that end an answer.
    pub fn new(prompt: Vec<u32>, most: usize, end: &[u32]) -> Self {
        Self {
            prompt,
            begun: 0,
            adapter: None,
            most,
            end: end.to_vec(),
            sampling: Sampling::default(),
            grammar: None,
            likeliest: 0,
            allowed: 0,
        }
    }
}

/// How a token is chosen of those that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by this. At zero the likeliest is taken, of equals the first.
    pub temperature: f32,
    /// Only the likeliest tokens whose probabilities first add up to this are drawn from (Holtzman et al. 2019).
    pub top_p: f32,
    /// What is drawn depends on this and on the token's place in the answer.
    pub seed: u64,
}

impl Default for Sampling {
    /// The likeliest token.
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its number.
    pub token: u32,
    /// Natural logarithm of its probability among those that the grammar allowed, at temperature 1. Zero if it was
    /// forced.
    pub log_probability: f32,
    /// Whether the grammar left nothing else, so that the model was not asked.
    pub forced: bool,
    /// Tokens that might have come, likeliest first, of equals the lower number first: [`Request::likeliest`] of them, or
    /// all that were allowed if they are no more than [`Request::allowed`]. A token that was drawn may be missing.
    pub alternatives: Vec<(u32, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// By a token that ends answers, or because the grammar leaves nothing more to say.
    End,
    /// It reached its length.
    Length,
}

/// What a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Of these, tokens that had been read before, in this or another request.
    pub cached: usize,
    /// Tokens of the answer.
    pub completion: usize,
}

/// What happens to a request, in order. [`Event::Done`] or [`Event::Failed`] is the last, also if the service ends; only
/// who cancels hears nothing more.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer goes on by some tokens, at least one.
    Tokens(Vec<Token>),
    /// The answer is complete.
    Done(Done),
    /// There will be no answer.
    Failed(String),
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// Why.
    pub finish: Finish,
    /// What it took.
    pub usage: Usage,
    /// Sum of the tokens' [`Token::log_probability`], that of the one that ended it included.
    pub log_probability: f64,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// How it ended.
    pub done: Done,
}
