//! One answer on its way: its tokens become text, in which a stop may be found.

use std::collections::VecDeque;

use lm::inference::Token;
use lm::text::{TextStream, Tokenizer};

use super::stop::StopFinder;
use crate::ApiError;

/// How an answer goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    /// The answer's number.
    pub(crate) choice: usize,
    /// More of its text.
    pub(crate) text: String,
    /// The tokens of this text, if they are to be told.
    pub(crate) tokens: Vec<Placed>,
    /// Why it ended; nothing follows.
    pub(crate) finish: Option<Ended>,
}

/// A token and where its text begins, in characters from the beginning of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) offset: usize,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, or by a text that the request names.
    Stop,
    /// It reached its length.
    Length,
}

impl Ended {
    /// As clients know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// See the module.
pub(crate) struct Choice<'t> {
    number: usize,
    /// Nothing once the answer has ended.
    text: Option<TextStream<'t>>,
    stops: StopFinder,
    /// Whether tokens are told.
    tells: bool,
    /// Characters that the tokens have made, and that were handed on.
    made: usize,
    said: usize,
    /// Tokens whose text was not handed on to its end.
    waiting: VecDeque<Placed>,
    /// Tokens so far.
    pub(crate) length: usize,
}

impl<'t> Choice<'t> {
    pub(crate) fn new(number: usize, tokenizer: &'t Tokenizer, stops: &[String], tells: bool) -> Self {
        Self {
            number,
            text: Some(tokenizer.stream()),
            stops: StopFinder::new(stops),
            tells,
            made: 0,
            said: 0,
            waiting: VecDeque::new(),
            length: 0,
        }
    }

    /// Takes the next tokens.
    ///
    /// # Errors
    /// When a token has no text, which a model's own has.
    pub(crate) fn push(&mut self, tokens: Vec<Token>) -> Result<Piece, ApiError> {
        let mut text = String::new();
        for token in tokens {
            let Some(stream) = &mut self.text else { break };
            let more = stream.push(token.token).map_err(|error| ApiError::Undecidable(error.to_string()))?;
            self.length += 1;
            if self.tells {
                self.waiting.push_back(Placed { token, offset: self.made });
            }
            self.made += more.chars().count();
            let (certain, found) = self.stops.push(&more);
            text += &certain;
            if found {
                self.text = None;
                return Ok(self.piece(text, Some(Ended::Stop)));
            }
        }
        Ok(self.piece(text, None))
    }

    /// Nothing follows.
    pub(crate) fn finish(&mut self, ended: Ended) -> Piece {
        let Some(stream) = self.text.take() else { return self.piece(String::new(), Some(ended)) };
        let more = stream.finish();
        self.made += more.chars().count();
        let (mut text, found) = self.stops.push(&more);
        if found {
            return self.piece(text, Some(Ended::Stop));
        }
        text += &self.stops.rest();
        let mut piece = self.piece(text, Some(ended));
        // Tokens without text of their own, such as the last bytes of a character that was never completed.
        piece.tokens.extend(self.waiting.drain(..));
        piece
    }

    /// Hands text on, with the tokens that begin in it.
    fn piece(&mut self, text: String, finish: Option<Ended>) -> Piece {
        self.said += text.chars().count();
        let begun = self.waiting.iter().take_while(|placed| placed.offset < self.said).count();
        let tokens = self.waiting.drain(..begun).collect();
        Piece { choice: self.number, text, tokens, finish }
    }
}
