//! Lines of data: what is to be said to what.

use super::chat::Message;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longest line that is read.
const LONGEST_LINE: u64 = 16 << 20;

/// What a model is to learn from one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What is given, and what is to be said to it.
    Pair {
        /// Given.
        prompt: String,
        /// To be said.
        completion: String,
    },
    /// A conversation; the assistant's turns are to be said.
    Conversation(Vec<Message>),
    /// A text all of which is to be said.
    Text(String),
}

impl Record {
    /// Everything that is said in it, in order.
    pub fn into_texts(self) -> Vec<String> {
        match self {
            Self::Pair { prompt, completion } => vec![prompt, completion],
            Self::Conversation(messages) => messages.into_iter().map(|message| message.content).collect(),
            Self::Text(text) => vec![text],
        }
    }
}

/// A record with what curricula choose by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is to be learned.
    pub record: Record,
    /// `easy`, `medium`, `hard`, or what the data say.
    pub difficulty: Option<String>,
    /// The phase of training that the line is meant for.
    pub phase: Option<String>,
}

impl Line {
    /// Reads a JSON object: with `prompt` and `completion`, with `messages` of `role` and `content`, with `text`,
    /// or with `instruction`, `input`, `output` and perhaps `cot`. Of the last kind the prompt is instruction and
    /// input, an empty line between; the completion is the output, and before it, if `reasoning` is wanted and
    /// there is some, `cot` and an empty line. `difficulty` and `phase` are kept, other fields are not looked at.
    ///
    /// # Errors
    /// What is wrong with the line, without its content.
    pub fn parse(line: &str, reasoning: bool) -> std::result::Result<Self, String> {
        let fields: Fields = serde_json::from_str(line)
            .map(Fields)
            .map_err(|error| format!("the line is not a JSON object (column {})", error.column()))?;
        let kinds = ["prompt", "messages", "text", "instruction"];
        let given: Vec<_> = kinds.into_iter().filter(|kind| fields.has(kind)).collect();
        let record = match given.as_slice() {
            ["prompt"] => Record::Pair { prompt: fields.text("prompt")?, completion: fields.text("completion")? },
            ["messages"] => Record::Conversation(fields.messages()?),
            ["text"] => Record::Text(fields.text("text")?),
            ["instruction"] => fields.screening(reasoning)?,
            [] => return Err(format!("the line has none of the fields {}", kinds.map(quoted).join(", "))),
            several => {
                let several: Vec<_> = several.iter().map(|kind| quoted(kind)).collect();
                return Err(format!("the line has {} at once", several.join(" and ")));
            }
        };
        Ok(Self { record, difficulty: fields.optional("difficulty")?, phase: fields.optional("phase")? })
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

/// The fields of a line; a field that is null is not there.
struct Fields(Map<String, Value>);

impl Fields {
    fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    fn optional(&self, name: &str) -> std::result::Result<Option<String>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{name}` is not a string")),
        }
    }

    fn text(&self, name: &str) -> std::result::Result<String, String> {
        self.optional(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    fn messages(&self) -> std::result::Result<Vec<Message>, String> {
        let Some(Value::Array(list)) = self.0.get("messages") else {
            return Err("`messages` is not a list".to_owned());
        };
        list.iter()
            .map(|message| {
                let Value::Object(fields) = message else { return Err("a message is not an object".to_owned()) };
                // What the template would not see would be lost without a word: calls of tools, names, images.
                let known = |name: &str| ["role", "content"].contains(&name);
                if let Some((other, _)) = fields.iter().find(|(name, value)| !known(name) && !value.is_null()) {
                    return Err(format!("a message has the field `{other}`; `role` and `content` are supported"));
                }
                let fields = Self(fields.clone());
                Ok(Message { role: fields.text("role")?, content: fields.text("content")? })
            })
            .collect()
    }

    fn screening(&self, reasoning: bool) -> std::result::Result<Record, String> {
        let mut prompt = self.text("instruction")?;
        if let Some(input) = self.optional("input")?.filter(|input| !input.is_empty()) {
            prompt = format!("{prompt}\n\n{input}");
        }
        let mut completion = self.text("output")?;
        if let Some(cot) = self.optional("cot")?.filter(|cot| reasoning && !cot.is_empty()) {
            completion = format!("{cot}\n\n{completion}");
        }
        Ok(Record::Pair { prompt, completion })
    }
}

/// The lines of a file that are not blank, numbered from 1.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::with_capacity(1 << 18, file), number: 0 })
    }

    /// The next line, or what is wrong with it.
    fn read(&mut self) -> std::io::Result<Option<std::result::Result<String, String>>> {
        let mut line = Vec::new();
        let length = self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        if length as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
            return Ok(Some(Err(format!("the line is longer than {} MiB", LONGEST_LINE >> 20))));
        }
        Ok(Some(String::from_utf8(line).map_err(|_| "the line is not UTF-8 text".to_owned())))
    }
}

impl Iterator for Lines {
    /// The number of the line, and its text or what is wrong with it.
    type Item = Result<(usize, std::result::Result<String, String>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read().map_err(Error::io(&self.path)) {
                Ok(Some(Ok(line))) if line.trim().is_empty() => {}
                Ok(Some(line)) => return Some(Ok((self.number, line))),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
