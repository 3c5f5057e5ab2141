//! Which bytes a token stands for.

use super::{Tokenizer, guarded};
use crate::{Error, Result};
use tokenizers::{Decoder, DecoderWrapper};

/// How the spelling of a token in the vocabulary becomes text.
pub(in crate::text) enum Spelling<'a> {
    /// Each character is a byte, in the alphabet of GPT-2.
    Bytes,
    /// Pieces of text, as `sentencepiece` has them.
    Pieces(Pieces<'a>),
    /// In a way that cannot be told token by token.
    Joint,
}

/// Pieces of text and how they become a whole.
pub(in crate::text) struct Pieces<'a> {
    /// What is done to each piece, such as writing spaces.
    steps: Vec<&'a DecoderWrapper>,
    /// Whether `<0x0A>` is a byte.
    bytes: bool,
    /// A character that is taken off the beginning of the whole, and how often at most.
    pub(in crate::text) taken_off: Option<(char, usize)>,
}

/// What a piece stands for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::text) enum Piece {
    Text(String),
    Byte(u8),
}

impl Tokenizer {
    /// How a token is spelled in the vocabulary, if there is one with the number.
    pub(crate) fn spelling(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// Whether a spelling is that of a special token, which texts leave out.
    pub(in crate::text) fn is_special_spelling(&self, spelling: &str) -> bool {
        self.inner.get_added_vocabulary().is_special_token(spelling)
    }

    /// How spellings become text.
    pub(in crate::text) fn spellings(&self) -> Spelling<'_> {
        let steps = match self.inner.get_decoder() {
            Some(DecoderWrapper::Sequence(sequence)) => sequence.get_decoders(),
            Some(decoder) => std::slice::from_ref(decoder),
            None => return Spelling::Joint,
        };
        match steps {
            [DecoderWrapper::ByteLevel(_)] => Spelling::Bytes,
            _ => Pieces::new(steps).map_or(Spelling::Joint, Spelling::Pieces),
        }
    }

    /// The bytes that a token stands for within a text, whether or not it is special; none if there is no such token.
    ///
    /// # Errors
    /// When the tokenizer does not join tokens byte by byte.
    pub(crate) fn bytes(&self, token: u32) -> Result<Option<Vec<u8>>> {
        let Some(spelling) = self.spelling(token) else { return Ok(None) };
        match self.spellings() {
            Spelling::Bytes => Ok(Some(spelled_bytes(&spelling))),
            Spelling::Pieces(pieces) => Ok(Some(match pieces.piece(spelling, false)? {
                Piece::Text(text) => text.into_bytes(),
                Piece::Byte(byte) => vec![byte],
            })),
            Spelling::Joint => Err(Error::Tokenizer(
                "the decoder in tokenizer.json does not join tokens byte by byte; ByteLevel and ByteFallback do"
                    .to_owned(),
            )),
        }
    }
}

impl<'a> Pieces<'a> {
    /// Reads the steps of a decoder; none if they do more than is known here.
    fn new(steps: &'a [DecoderWrapper]) -> Option<Self> {
        let mut pieces = Self { steps: Vec::new(), bytes: false, taken_off: None };
        let mut joined = false;
        for step in steps {
            match step {
                DecoderWrapper::Replace(_) | DecoderWrapper::Metaspace(_) if !pieces.bytes && !joined => {
                    pieces.steps.push(step);
                }
                DecoderWrapper::ByteFallback(_) if !pieces.bytes && !joined => pieces.bytes = true,
                DecoderWrapper::Fuse(_) => joined = true,
                DecoderWrapper::Strip(strip) if joined && strip.stop == 0 && pieces.taken_off.is_none() => {
                    pieces.taken_off = Some((strip.content, strip.start));
                }
                _ => return None,
            }
        }
        Some(pieces)
    }

    /// What a spelling stands for. The first of a text may stand for less.
    pub(in crate::text) fn piece(&self, spelling: String, first: bool) -> Result<Piece> {
        let mut text = spelling;
        for step in &self.steps {
            // A step knows the first piece by its place.
            let mut chain = vec![String::new(); usize::from(!first)];
            chain.push(text);
            let mut chain = guarded(|| step.decode_chain(chain)).map_err(Error::Tokenizer)?;
            text = chain.pop().unwrap_or_default();
        }
        let byte = if self.bytes { hexadecimal(&text) } else { None };
        Ok(byte.map_or_else(|| Piece::Text(text), Piece::Byte))
    }
}

/// The byte that is spelled as `<0x0A>`.
fn hexadecimal(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The bytes of a spelling in GPT-2's alphabet; those of its characters where one is not in the alphabet.
pub(in crate::text) fn spelled_bytes(spelling: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = spelling.chars().map(byte).collect();
    bytes.unwrap_or_else(|| spelling.as_bytes().to_vec())
}

/// The byte that a character stands for in GPT-2's alphabet: printable ones are themselves, the others follow from
/// U+0100 on in their order.
fn byte(character: char) -> Option<u8> {
    let number = u32::from(character);
    let byte = match number {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => number,
        0x100..=0x120 => number - 0x100,
        0x121..=0x142 => number - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}
