//! Jinja as `transformers` sets it up for chat templates.

use jiff::civil::Date;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io;

/// The name of the only template.
pub(super) const NAME: &str = "chat";

/// Instructions that a template may take; real ones take some hundred for each turn.
const FUEL: u64 = 50_000_000;

/// An environment with the template in it.
pub(super) fn environment(source: &str, date: Option<Date>) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(date) = date {
        environment.add_function("strftime_now", move |format: String| {
            jiff::fmt::strtime::format(&format, date.at(0, 0, 0, 0))
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
        });
    }
    environment.add_template_owned(NAME, without_generation_tags(&without_line_continuations(source)))?;
    Ok(environment)
}

/// Takes out line breaks behind a backslash within tags: in Python's strings they are nothing, here they would be
/// text.
fn without_line_continuations(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let (before, tag) = rest.split_at(start);
        let close = if tag.starts_with("{{") { "}}" } else { "%}" };
        let (tag, behind) = tag.split_at(tag.find(close).unwrap_or(tag.len()));
        text.extend([before, &tag.replace("\\\n", "")]);
        rest = behind;
    }
    text + rest
}

/// Makes the tags by which templates mark what an assistant says conditions that always hold.
fn without_generation_tags(source: &str) -> String {
    let mut parts = source.split("{%");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let start = part.len() - part.trim_start_matches(['-', '+']).trim_start().len();
        let (before, tag) = part.split_at(start);
        let name: String = tag.chars().take_while(|character| character.is_alphabetic() || *character == '_').collect();
        let replacement = match name.as_str() {
            "generation" => "if true",
            "endgeneration" => "endif",
            other => other,
        };
        text.extend(["{%", before, replacement, &tag[name.len()..]]);
    }
    text
}

/// `tojson` as Python writes it: a space behind commas and colons, and nothing escaped for HTML.
fn to_json(value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let _: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent.map(|width| b" ".repeat(width.min(16))) {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Spaced)),
        Some(indent) => {
            let formatter = PrettyFormatter::with_indent(&indent);
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))
        }
    };
    let failed = |error: String| Error::new(ErrorKind::BadSerialization, error);
    written.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(json).map_err(|error| failed(error.to_string()))
}

/// Python's `", "` and `": "`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
