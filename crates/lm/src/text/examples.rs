//! Examples: tokens, and which of them the loss counts.

use super::chat::{ChatTemplate, Message, Turns};
use super::lines::Record;
use super::marks::encode_marked;
use super::{Tokenizer, chat};
use crate::{Error, Result};
use std::ops::Range;

/// One sequence to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// For each token whether its prediction is learned.
    pub counted: Vec<bool>,
}

/// What is done about examples that are longer than the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLong {
    /// They are refused.
    #[default]
    Refuse,
    /// Their prompt loses its beginning, except for the token that begins a text. Completions are never cut: what
    /// cannot be shortened enough is refused.
    CutPrompt,
}

/// How records become examples.
#[derive(Clone, Debug)]
pub struct ExampleOptions {
    /// The template for conversations.
    pub chat: Option<ChatTemplate>,
    /// Whether prompt and completion become a user's and an assistant's turn, for checkpoints that expect
    /// conversations. Otherwise they stand one behind the other, with the tokens that begin and end a text.
    pub pairs_as_turns: bool,
    /// Which of the assistant's turns are learned.
    pub turns: Turns,
    /// Longest example in tokens.
    pub longest: usize,
    /// What is done about longer ones.
    pub too_long: TooLong,
}

/// Why a record gives no example.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// It is too long.
    #[error("the example has {tokens} tokens and the longest may have {longest}{}", if *.cut { ", even without its prompt" } else { "" })]
    TooLong {
        /// Its tokens.
        tokens: usize,
        /// [`ExampleOptions::longest`].
        longest: usize,
        /// Whether the prompt could have been cut.
        cut: bool,
    },
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// Makes examples to learn from, and prompts in the same words to answer.
#[derive(Clone, Copy)]
pub struct Composer<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a ExampleOptions,
}

impl<'a> Composer<'a> {
    /// With a tokenizer and options, which hold for all records.
    pub fn new(tokenizer: &'a Tokenizer, options: &'a ExampleOptions) -> Self {
        Self { tokenizer, options }
    }

    /// The tokens of a prompt, as they stand before the completion in examples of [`Record::Pair`].
    ///
    /// # Errors
    /// When there is no chat template although turns are wanted, or the prompt cannot be rendered.
    pub fn prompt(&self, prompt: &str) -> std::result::Result<Vec<u32>, Refusal> {
        if self.options.pairs_as_turns {
            let messages = [Message::new("user", prompt)];
            return Ok(self.tokenizer.encode(&self.template(&messages)?.render(&messages, true)?, false)?);
        }
        let mut tokens = self.lead()?;
        tokens.extend(self.tokenizer.encode(prompt, false)?);
        Ok(tokens)
    }

    /// The example of a record.
    ///
    /// # Errors
    /// When the record cannot be used or is too long.
    pub fn example(&self, record: &Record) -> std::result::Result<Example, Refusal> {
        let example = match record {
            Record::Pair { prompt, completion } if self.options.pairs_as_turns => {
                not_empty("completion", completion)?;
                self.conversation(&[Message::new("user", prompt), Message::new(chat::ASSISTANT, completion)])?
            }
            Record::Pair { prompt, completion } => {
                not_empty("completion", completion)?;
                self.continuation(prompt, completion)?
            }
            Record::Text(text) => {
                not_empty("text", text)?;
                self.continuation("", text)?
            }
            Record::Conversation(messages) => self.conversation(messages)?,
        };
        self.fitted(example)
    }

    /// Prompt and completion, one behind the other.
    fn continuation(&self, prompt: &str, completion: &str) -> std::result::Result<Example, Refusal> {
        let mut tokens = self.lead()?;
        let (text, marks) = encode_marked(self.tokenizer, &format!("{prompt}{completion}"), &[prompt.len()])?;
        let start = tokens.len() + marks[0];
        tokens.extend(text);
        let end = self.tokenizer.end().ok_or_else(|| {
            Refusal::Unusable("the tokenizer names no eos_token, so nothing would end a completion".to_owned())
        })?;
        if tokens.last() != Some(&end) {
            tokens.push(end);
        }
        let counted = (0..tokens.len()).map(|index| index >= start).collect();
        Ok(Example { tokens, counted })
    }

    /// A conversation by the template.
    fn conversation(&self, messages: &[Message]) -> std::result::Result<Example, Refusal> {
        let rendered = self.template(messages)?.completions(messages, self.options.turns)?;
        let marks: Vec<_> = rendered.completions.iter().flat_map(|span| [span.start, span.end]).collect();
        let (tokens, marks) = encode_marked(self.tokenizer, &rendered.text, &marks)?;
        let mut counted = vec![false; tokens.len()];
        for mark in marks.chunks_exact(2) {
            counted[self.said(&tokens, mark[0]..mark[1])?].fill(true);
        }
        // What stands behind the last counted token teaches nothing.
        let length = counted.iter().rposition(|counted| *counted).map_or(0, |last| last + 1);
        counted.truncate(length);
        Ok(Example { tokens: tokens[..length].to_vec(), counted })
    }

    /// A completion without the white space that templates write behind the token that ends a turn: no model
    /// says it, because it has stopped before.
    fn said(&self, tokens: &[u32], span: Range<usize>) -> Result<Range<usize>> {
        let special = tokens[span.clone()].iter().rposition(|token| self.tokenizer.is_special(*token));
        if let Some(end) = special.map(|index| span.start + index + 1)
            && self.tokenizer.decode(&tokens[end..span.end], false)?.trim().is_empty()
        {
            return Ok(span.start..end);
        }
        Ok(span)
    }

    /// The template, for messages that do not spell out special tokens: these would be read as turns.
    fn template(&self, messages: &[Message]) -> std::result::Result<&'a ChatTemplate, Refusal> {
        if let Some(token) = messages.iter().find_map(|message| self.tokenizer.special_in(&message.content)) {
            return Err(Refusal::Unusable(format!("the content of a message has the special token `{token}`")));
        }
        self.options.chat.as_ref().ok_or_else(|| Refusal::Unusable("there is no chat template".to_owned()))
    }

    /// What the tokenizer puts before a text.
    fn lead(&self) -> Result<Vec<u32>> {
        let mut lead = self.tokenizer.encode("", true)?;
        let (beginning, end) = (self.tokenizer.beginning(), self.tokenizer.end());
        // Some tokenizers end a text too, but here it goes on.
        if beginning != end && lead.last().copied() == end {
            lead.pop();
        }
        Ok(lead)
    }

    /// The example if it is short enough, or can be made so.
    fn fitted(&self, mut example: Example) -> std::result::Result<Example, Refusal> {
        let (tokens, longest) = (example.tokens.len(), self.options.longest);
        let Some(start) = example.counted.iter().position(|counted| *counted) else {
            return Err(Refusal::Unusable("nothing of the example is counted".to_owned()));
        };
        if tokens <= longest {
            return Ok(example);
        }
        let cut = self.options.too_long == TooLong::CutPrompt;
        let kept = usize::from(self.tokenizer.beginning().is_some_and(|token| example.tokens[0] == token));
        let excess = tokens - longest;
        // The first counted token is predicted from the one before it.
        if !cut || kept + excess > start || start - excess == 0 {
            return Err(Refusal::TooLong { tokens, longest, cut });
        }
        example.tokens.drain(kept..kept + excess);
        example.counted.drain(kept..kept + excess);
        Ok(example)
    }
}

fn not_empty(name: &str, text: &str) -> std::result::Result<(), Refusal> {
    if text.is_empty() { Err(Refusal::Unusable(format!("the {name} is empty"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
