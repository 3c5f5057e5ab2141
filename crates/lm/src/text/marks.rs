//! Tokens of a text in parts, as they come about when the parts arrive one after another.

use super::Tokenizer;
use crate::{Error, Result};

/// The tokens of a text, and where in them the marks lie, ascending bytes of the text. Special tokens that the
/// tokenizer puts around texts are not added.
///
/// A model that answers sees the tokens of the text up to a mark alone. So that it learns from the same ones, no
/// token may reach across a mark: if one does, the parts are encoded one by one.
///
/// # Errors
/// When the parts, encoded one by one, are no longer the text, because the tokenizer treats the beginning of a
/// text in a way of its own.
pub(super) fn encode_marked(tokenizer: &Tokenizer, text: &str, marks: &[usize]) -> Result<(Vec<u32>, Vec<usize>)> {
    let whole = tokenizer.encode(text, false)?;
    let mut places = Vec::with_capacity(marks.len());
    for mark in marks {
        let before = if *mark == text.len() { whole.clone() } else { tokenizer.encode(&text[..*mark], false)? };
        if !whole.starts_with(&before) {
            return encode_parts(tokenizer, text, marks, &whole);
        }
        places.push(before.len());
    }
    Ok((whole, places))
}

fn encode_parts(tokenizer: &Tokenizer, text: &str, marks: &[usize], whole: &[u32]) -> Result<(Vec<u32>, Vec<usize>)> {
    let mut tokens = Vec::with_capacity(whole.len() + marks.len());
    let mut places = Vec::with_capacity(marks.len());
    let mut start = 0;
    for mark in marks {
        tokens.extend(tokenizer.encode(&text[start..*mark], false)?);
        places.push(tokens.len());
        start = *mark;
    }
    tokens.extend(tokenizer.encode(&text[start..], false)?);
    if tokenizer.decode(&tokens, false)? != tokenizer.decode(whole, false)? {
        let problem = "prompt and completion run into one token and cannot be encoded apart; end the prompt elsewhere";
        return Err(Error::Tokenizer(problem.to_owned()));
    }
    Ok((tokens, places))
}
