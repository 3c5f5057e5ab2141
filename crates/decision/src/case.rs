//! One input line as a case.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// An identifier and the facts as they were read.
#[derive(Clone, Debug)]
pub struct Case<'l> {
    /// Unique within one input; the line number where the line names none.
    pub case_id: Cow<'l, str>,
    /// The facts: a JSON text.
    pub facts: &'l str,
}

/// A line that is no case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// Bytes that are not UTF-8.
    #[error("the line is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    /// Not a JSON object.
    #[error("the line is not a JSON object: {0}")]
    NotJson(String),
}

#[derive(Deserialize)]
struct Envelope<'l> {
    #[serde(default)]
    case_id: Option<serde_json::Value>,
    #[serde(borrow, default, deserialize_with = "present")]
    facts: Option<&'l RawValue>,
}

/// `null` is present too: facts that are null are not the same as a line that is all facts.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'l> Case<'l> {
    /// Reads a line: an object with `facts` and perhaps `case_id`, or the facts themselves.
    ///
    /// # Errors
    /// When the line is not UTF-8 or not a JSON object.
    pub fn read(line: &'l [u8], number: u64) -> Result<Self, CaseError> {
        let text = std::str::from_utf8(line).map_err(|error| CaseError::NotUtf8(error.valid_up_to()))?;
        // A struct may also be read from an array, in the order of its fields; a case may not. And what is said of a
        // string or a number would repeat it.
        if !text.trim_start().starts_with('{') {
            return Err(CaseError::NotJson("it is not an object".to_owned()));
        }
        let envelope: Envelope<'l> =
            serde_json::from_str(text).map_err(|error| CaseError::NotJson(error.to_string()))?;
        let facts = envelope.facts.map_or(text, RawValue::get);
        let case_id = match envelope.case_id {
            None | Some(serde_json::Value::Null) => Cow::Owned(number.to_string()),
            Some(serde_json::Value::String(name)) => Cow::Owned(name),
            Some(other) => Cow::Owned(other.to_string()),
        };
        Ok(Self { case_id, facts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_facts_or_an_object_with_facts() {
        let whole = Case::read(br#"{"case_id":"c1","facts":{"a":1}}"#, 7).expect("a case");
        assert_eq!((&*whole.case_id, whole.facts), ("c1", r#"{"a":1}"#));
        let bare = Case::read(br#"{"a":1}"#, 7).expect("a case");
        assert_eq!((&*bare.case_id, bare.facts), ("7", r#"{"a":1}"#));
        let empty = Case::read(br#"{"case_id":12,"facts":null}"#, 7).expect("a case");
        assert_eq!((&*empty.case_id, empty.facts), ("12", "null"));
    }

    #[test]
    fn a_line_that_is_no_case_says_why() {
        assert_eq!(Case::read(b"{\"a\":\xff}", 1).expect_err("not UTF-8"), CaseError::NotUtf8(5));
        assert!(matches!(Case::read(b"{\"a\":", 1), Err(CaseError::NotJson(_))));
        assert!(matches!(Case::read(b"[1]", 1), Err(CaseError::NotJson(_))));
    }
}
