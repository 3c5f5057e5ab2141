//! Source text, positions in it, and diagnostics that point at them with a caret.

use std::fmt::{self, Write};

/// A half-open byte range of the source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range from the start of `self` to the end of `other`.
    pub(crate) fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end.max(self.start) }
    }
}

/// One thing that is wrong with a rule file, with its position.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    /// Where it is.
    pub span: Span,
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// What to do about it, when there is something better than the message.
    pub hint: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All that is wrong with a rule file. Its `Display` shows each error with file, line, column and a caret.
#[derive(Clone, Debug)]
pub struct LoadError {
    file: String,
    entries: Vec<Located>,
}

/// A diagnostic resolved to a line.
#[derive(Clone, Debug)]
pub struct Located {
    /// One-based line.
    pub line: usize,
    /// One-based column, counted in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    text: String,
    width: usize,
}

impl LoadError {
    pub(crate) fn new(file: &str, source: &str, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| d.span.start);
        diagnostics.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        let entries = diagnostics.into_iter().map(|d| locate(source, d)).collect();
        Self { file: file.to_owned(), entries }
    }

    /// The errors in source order.
    pub fn entries(&self) -> &[Located] {
        &self.entries
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            let (line, column) = (entry.line, entry.column);
            writeln!(f, "{}:{line}:{column}: {}", self.file, entry.message)?;
            writeln!(f, "{line:>5} | {}", entry.text)?;
            write!(f, "      | {}{}", " ".repeat(column - 1), "^".repeat(entry.width))?;
            if let Some(hint) = &entry.hint {
                write!(f, "\n      = hint: {hint}")?;
            }
        }
        Ok(())
    }
}

fn locate(source: &str, diagnostic: Diagnostic) -> Located {
    let mut start = (diagnostic.span.start as usize).min(source.len());
    while !source.is_char_boundary(start) {
        start -= 1;
    }
    let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
    let line = source[..start].matches('\n').count() + 1;
    let column = source[line_start..start].chars().count() + 1;
    let mut end = (diagnostic.span.end as usize).clamp(start, line_end);
    while !source.is_char_boundary(end) {
        end += 1;
    }
    let width = source[start..end].chars().count().max(1);
    let text = source[line_start..line_end].trim_end_matches('\r').replace('\t', " ");
    Located { line, column, message: diagnostic.message, hint: diagnostic.hint, text, width }
}
