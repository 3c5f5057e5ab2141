//! Files that stand beside weights and say how to use them.

use crate::replacement::replace;
use crate::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What tokenizers of `transformers` consist of, and how it generates.
const COMPANIONS: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
];

/// Copies the files of the tokenizer and `generation_config.json` from one folder into another, byte by byte: those
/// that are there.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_companions(from: &Path, into: &Path) -> Result<()> {
    for name in COMPANIONS {
        let path = from.join(name);
        match fs::read(&path) {
            Ok(content) => replace(&into.join(name), &content)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(path)(error)),
        }
    }
    Ok(())
}
