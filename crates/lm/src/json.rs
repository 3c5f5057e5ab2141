//! Objects of JSON files that others write: a field may be absent, null or of the wrong kind, and which of these
//! it is matters.

use crate::{Error, Result};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No configuration or index is longer; what is longer is not read into memory.
const LONGEST: u64 = 64 << 20;

/// The object that a JSON file holds.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Configuration`] if it holds something else.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let problem = |problem: String| Error::Configuration { path: path.to_owned(), problem };
    let mut text = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(LONGEST + 1).read_to_end(&mut text).map_err(Error::io(path))?;
    if text.len() as u64 > LONGEST {
        return Err(problem(format!("is longer than {} MiB and so no such file", LONGEST >> 20)));
    }
    serde_json::from_slice(&text).map_err(|error| problem(format!("is not a JSON object: {error}")))
}

/// Typed access to an object. Errors are words that name the field.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'object>(pub(crate) &'object Map<String, Value>);

impl<'object> Fields<'object> {
    /// The value of a field; none if it is absent or null.
    pub(crate) fn value(self, key: &str) -> Option<&'object Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// Whether the field is there and null.
    pub(crate) fn is_null(self, key: &str) -> bool {
        self.0.get(key).is_some_and(Value::is_null)
    }

    /// A whole number.
    pub(crate) fn count(self, key: &str) -> std::result::Result<Option<usize>, String> {
        self.typed(key, "a whole number", |value| value.as_u64().and_then(|number| usize::try_from(number).ok()))
    }

    /// A finite number.
    pub(crate) fn number(self, key: &str) -> std::result::Result<Option<f64>, String> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// True or false.
    pub(crate) fn flag(self, key: &str) -> std::result::Result<Option<bool>, String> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A text.
    pub(crate) fn text(self, key: &str) -> std::result::Result<Option<&'object str>, String> {
        self.typed(key, "a text", Value::as_str)
    }

    /// An object.
    pub(crate) fn object(self, key: &str) -> std::result::Result<Option<Self>, String> {
        self.typed(key, "an object", |value| value.as_object().map(Fields))
    }

    /// A list of numbers.
    pub(crate) fn numbers(self, key: &str) -> std::result::Result<Option<Vec<f64>>, String> {
        self.typed(key, "a list of numbers", |value| value.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A list of texts.
    pub(crate) fn texts(self, key: &str) -> std::result::Result<Option<Vec<&'object str>>, String> {
        self.typed(key, "a list of texts", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    /// Numbers of tokens: one, or a list.
    pub(crate) fn tokens(self, key: &str) -> std::result::Result<Option<Vec<u32>>, String> {
        let token = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        self.typed(key, "a token or a list of tokens", |value| match value {
            Value::Array(values) => values.iter().map(token).collect(),
            value => token(value).map(|token| vec![token]),
        })
    }

    fn typed<T>(
        self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&'object Value) -> Option<T>,
    ) -> std::result::Result<Option<T>, String> {
        let Some(value) = self.value(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| format!("`{key}` is {}, not {kind}", shortened(value)))
    }
}

/// A value as it stands in a message.
pub(crate) fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
