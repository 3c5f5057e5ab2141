//! The text of tokens as they come.

use super::tokenizer::{Piece, Pieces, Spelling, Tokenizer, spelled_bytes};
use crate::{Error, Result};

/// The text of tokens as they come, without special ones: what is certain of it, never half a character. All parts
/// together are what [`Tokenizer::decode`] makes of all tokens.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    way: Way<'a>,
}

/// How far the text of one kind of tokenizer is.
enum Way<'a> {
    /// Bytes of a character that is not complete.
    Bytes(Vec<u8>),
    Pieces(Joining<'a>),
    /// All tokens: their text is known in the end.
    Joint(Vec<u32>),
}

/// Pieces of text on their way.
struct Joining<'a> {
    pieces: Pieces<'a>,
    /// Whether there was a token.
    begun: bool,
    /// Bytes whose neighbours may be bytes too: one that is no UTF-8 spoils them all.
    bytes: Vec<u8>,
}

impl Tokenizer {
    /// Begins the text of tokens that come one by one.
    pub fn stream(&self) -> TextStream<'_> {
        let way = match self.spellings() {
            Spelling::Bytes => Way::Bytes(Vec::new()),
            Spelling::Pieces(pieces) => Way::Pieces(Joining { pieces, begun: false, bytes: Vec::new() }),
            Spelling::Joint => Way::Joint(Vec::new()),
        };
        TextStream { tokenizer: self, way }
    }
}

impl TextStream<'_> {
    /// Takes a token; returns the text that is certain now and has not been returned.
    ///
    /// # Errors
    /// When the number is no token.
    pub fn push(&mut self, token: u32) -> Result<String> {
        let Some(spelling) = self.tokenizer.spelling(token) else {
            return Err(Error::Tokenizer(format!("{token} is no token of the vocabulary")));
        };
        if self.tokenizer.is_special_spelling(&spelling) {
            return Ok(String::new());
        }
        match &mut self.way {
            Way::Bytes(bytes) => {
                bytes.extend(spelled_bytes(&spelling));
                Ok(certain(bytes))
            }
            Way::Pieces(joining) => joining.push(spelling),
            Way::Joint(tokens) => {
                tokens.push(token);
                Ok(String::new())
            }
        }
    }

    /// The text that was held back.
    pub fn finish(self) -> String {
        match self.way {
            Way::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Way::Pieces(mut joining) => joining.run(),
            // All numbers are tokens; what is left to go wrong is a damaged decoder, which has no text.
            Way::Joint(tokens) => self.tokenizer.decode(&tokens, true).unwrap_or_default(),
        }
    }
}

impl Joining<'_> {
    fn push(&mut self, spelling: String) -> Result<String> {
        let first = !std::mem::replace(&mut self.begun, true);
        match self.pieces.piece(spelling, first)? {
            Piece::Byte(byte) => {
                self.bytes.push(byte);
                Ok(String::new())
            }
            Piece::Text(text) => {
                let run = self.run();
                Ok(run + &self.without_beginning(text))
            }
        }
    }

    /// The text of the bytes that were held back.
    fn run(&mut self) -> String {
        let bytes = std::mem::take(&mut self.bytes);
        let length = bytes.len();
        let text = String::from_utf8(bytes).unwrap_or_else(|_| char::REPLACEMENT_CHARACTER.to_string().repeat(length));
        self.without_beginning(text)
    }

    /// Takes off what the beginning of the whole text is to lose.
    fn without_beginning(&mut self, text: String) -> String {
        let Some((character, left)) = &mut self.pieces.taken_off else { return text };
        let mut rest = text.as_str();
        while *left > 0 && !rest.is_empty() {
            match rest.strip_prefix(*character) {
                Some(shorter) => (rest, *left) = (shorter, *left - 1),
                None => *left = 0,
            }
        }
        rest.to_owned()
    }
}

/// Takes the characters that are complete out of bytes, and replacement characters for what is none.
fn certain(bytes: &mut Vec<u8>) -> String {
    let held = match bytes.utf8_chunks().last() {
        Some(chunk) if std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none()) => {
            chunk.invalid().len()
        }
        _ => 0,
    };
    let rest = bytes.split_off(bytes.len() - held);
    String::from_utf8_lossy(&std::mem::replace(bytes, rest)).into_owned()
}
