//! Tokenizers learned from what models learn from.

use super::lines::{Line, Lines};
use super::{Tokenizer, TrainingOptions};
use crate::Result;
use std::path::PathBuf;

impl Tokenizer {
    /// Learns a tokenizer from the texts of files of JSON lines, as [`Line::parse`] describes them. Lines that cannot
    /// be used are passed over.
    ///
    /// # Errors
    /// When a file cannot be read; otherwise as [`Tokenizer::train`].
    pub fn train_on_records(files: &[PathBuf], reasoning: bool, options: &TrainingOptions) -> Result<Self> {
        let mut failure = None;
        let lines = files.iter().flat_map(|path| -> Box<dyn Iterator<Item = <Lines as Iterator>::Item>> {
            match Lines::open(path) {
                Ok(lines) => Box::new(lines),
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        });
        let lines = lines.map_while(|line| line.map_err(|error| failure = Some(error)).ok());
        let texts = lines.filter_map(|(_, line)| Line::parse(&line.ok()?, reasoning).ok());
        let tokenizer = Self::train(texts.flat_map(|line| line.record.into_texts()), options);
        match failure {
            Some(error) => Err(error),
            None => tokenizer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_records_are_learned_and_their_json_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("train.jsonl");
        let line = r#"{"prompt":"zebra zebra","completion":"quagga quagga"}"#;
        std::fs::write(&path, format!("{line}\nno JSON\n{line}\n")).expect("a file");
        let options = TrainingOptions { vocabulary: 400, ..TrainingOptions::default() };
        let tokenizer = Tokenizer::train_on_records(&[path], true, &options).expect("a tokenizer");
        assert!(tokenizer.token("zebra").is_some() && tokenizer.token("quagga").is_some());
        assert!(tokenizer.token("prompt").is_none());
        let missing = Tokenizer::train_on_records(&[folder.path().join("none")], true, &options);
        assert!(missing.is_err());
    }
}
