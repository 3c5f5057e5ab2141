//! The token cursor that the grammar files share.

use super::ast::TypeName;
use super::lexer::{Token, TokenKind, tokenize};
use crate::source::{Diagnostic, Span};

/// Nesting beyond this is refused: the parser recurses, and no rule file that a person wrote comes near.
const MAXIMUM_DEPTH: u32 = 128;

/// A syntax error; recovery happens at the next rule, function or declaration.
pub(super) type Parsed<T> = Result<T, Diagnostic>;

/// A cursor over the tokens of one file.
pub(super) struct Parser {
    tokens: Vec<Token>,
    pub(super) at: usize,
    depth: u32,
    pub(super) errors: Vec<Diagnostic>,
    /// Whether DRL's operators and bindings are part of expressions here.
    pub(super) in_constraint: bool,
    /// Whether statements stand between parentheses, where the last semicolon is optional.
    pub(super) in_parentheses: bool,
    /// Tokens that begin a line, where recovery may start over.
    line_starts: Vec<bool>,
}

impl Parser {
    pub(super) fn new(source: &str) -> Self {
        let (tokens, errors) = tokenize(source);
        let mut last = 0;
        let line_starts = tokens
            .iter()
            .map(|token| {
                let between = &source.as_bytes()[last..token.span.start as usize];
                let begins = last == 0 || between.contains(&b'\n');
                last = token.span.end as usize;
                begins
            })
            .collect();
        Self { tokens, at: 0, depth: 0, errors, in_constraint: false, in_parentheses: false, line_starts }
    }

    /// Whether the token under the cursor is the first of its line.
    pub(super) fn begins_line(&self) -> bool {
        self.line_starts[self.at]
    }

    /// Forgets what a failed declaration left behind.
    pub(super) fn reset(&mut self) {
        self.depth = 0;
        self.in_constraint = false;
        self.in_parentheses = false;
    }

    pub(super) fn kind(&self) -> &TokenKind {
        self.kind_at(0)
    }

    pub(super) fn kind_at(&self, ahead: usize) -> &TokenKind {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].kind
    }

    pub(super) fn span(&self) -> Span {
        self.tokens[self.at].span
    }

    /// The span of the token just consumed.
    pub(super) fn previous(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    /// From the start of `first` to the token just consumed.
    pub(super) fn since(&self, first: Span) -> Span {
        first.to(self.previous())
    }

    pub(super) fn at_end(&self) -> bool {
        *self.kind() == TokenKind::End
    }

    pub(super) fn advance(&mut self) -> TokenKind {
        let kind = self.tokens[self.at].kind.clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        kind
    }

    pub(super) fn is(&self, punctuation: &str) -> bool {
        self.is_at(0, punctuation)
    }

    pub(super) fn is_at(&self, ahead: usize, punctuation: &str) -> bool {
        matches!(self.kind_at(ahead), TokenKind::Punctuation(p) if *p == punctuation)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    pub(super) fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.kind_at(ahead), TokenKind::Identifier(name) if name == word)
    }

    pub(super) fn is_identifier_at(&self, ahead: usize) -> bool {
        matches!(self.kind_at(ahead), TokenKind::Identifier(_))
    }

    /// Whether the token `ahead` starts right where the one before it ends.
    pub(super) fn adjacent_at(&self, ahead: usize) -> bool {
        let at = (self.at + ahead).min(self.tokens.len() - 1);
        at > 0 && self.tokens[at].span.start == self.tokens[at - 1].span.end
    }

    pub(super) fn eat(&mut self, punctuation: &str) -> bool {
        let found = self.is(punctuation);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, punctuation: &str) -> Parsed<Span> {
        if self.is(punctuation) {
            self.advance();
            return Ok(self.previous());
        }
        Err(self.unexpected(&format!("`{punctuation}`")))
    }

    pub(super) fn identifier(&mut self, what: &str) -> Parsed<(String, Span)> {
        match self.kind() {
            TokenKind::Identifier(name) => {
                let name = name.clone();
                self.advance();
                Ok((name, self.previous()))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> Diagnostic {
        let found = match self.kind() {
            TokenKind::Identifier(name) => format!("`{name}`"),
            TokenKind::Punctuation(p) => format!("`{p}`"),
            TokenKind::End => "the end of the file".to_owned(),
            _ => "a literal".to_owned(),
        };
        Diagnostic::new(self.span(), format!("expected {wanted}, found {found}"))
    }

    /// Runs `parse` one level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAXIMUM_DEPTH {
            return Err(Diagnostic::new(self.span(), format!("nested deeper than {MAXIMUM_DEPTH} levels")));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Runs `parse`; on failure, or if it finds nothing, the cursor goes back.
    pub(super) fn attempt<T>(&mut self, parse: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let (at, depth) = (self.at, self.depth);
        let result = parse(self);
        if result.is_none() {
            self.at = at;
            self.depth = depth;
        }
        result
    }

    /// `a.b.C`.
    pub(super) fn qualified_name(&mut self, what: &str) -> Parsed<(String, Span)> {
        let (mut name, span) = self.identifier(what)?;
        while self.is(".") && self.is_identifier_at(1) {
            self.advance();
            name.push('.');
            name += &self.identifier(what)?.0;
        }
        Ok((name, self.since(span)))
    }

    /// `a.b.C<D, ?>[]`.
    pub(super) fn type_name(&mut self) -> Parsed<TypeName> {
        self.nested(|parser| {
            if parser.is("?") {
                let span = parser.span();
                parser.advance();
                if parser.eat_word("extends") || parser.eat_word("super") {
                    return parser.type_name();
                }
                return Ok(TypeName { name: "Object".to_owned(), arguments: Vec::new(), dimensions: 0, span });
            }
            let (name, span) = parser.qualified_name("a type")?;
            let mut arguments = Vec::new();
            if parser.eat("<") {
                while !parser.is(">") {
                    arguments.push(parser.type_name()?);
                    if !parser.eat(",") {
                        break;
                    }
                }
                parser.expect(">")?;
            }
            let dimensions = parser.dimensions();
            Ok(TypeName { name, arguments, dimensions, span: parser.since(span) })
        })
    }

    /// Any number of `[]`.
    pub(super) fn dimensions(&mut self) -> u8 {
        let mut dimensions = 0u8;
        while self.is("[") && self.is_at(1, "]") && dimensions < 8 {
            self.advance();
            self.advance();
            dimensions += 1;
        }
        dimensions
    }
}
