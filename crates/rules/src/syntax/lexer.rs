//! Text to tokens. One lexer serves DRL and the Java inside it; both share literals and comments.

use crate::source::{Diagnostic, Span};

/// One token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// Identifier or keyword; `$` and any Unicode letter are allowed.
    Identifier(String),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    /// `12.50B`: the digits as written.
    BigDecimal(String),
    /// `12I`.
    BigInteger(String),
    /// Double-quoted, escapes resolved. UTF-16 surrogate escapes are kept as WTF-8.
    String(Vec<u8>),
    /// Single-quoted: a character in Java, a string in DRL.
    Quoted(Vec<u8>),
    /// Operator or bracket.
    Punctuation(&'static str),
    End,
}

/// Longest first, so that the first match is the right one. `>` never joins another `>`, because
/// type arguments close with it; the expression parser joins adjacent ones into shifts.
const PUNCTUATION: [&str; 49] = [
    "<<=", "...", "&&", "||", "==", "!=", "<=", ">=", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<",
    "->", "::", ":=", "!.", "+", "-", "*", "/", "%", "=", "<", ">", "!", "~", "?", ":", ";", ",", ".", "(", ")", "[",
    "]", "{", "}", "&", "|", "^", "@", "#",
];

/// Splits `source` into tokens; what cannot be a token is reported and skipped.
pub(crate) fn tokenize(source: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut lexer = Lexer { source, bytes: source.as_bytes(), at: 0, errors: Vec::new() };
    let mut tokens = Vec::with_capacity(source.len() / 4);
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let kind = lexer.next_kind();
        let span = Span { start: start as u32, end: lexer.at as u32 };
        match kind {
            Some(TokenKind::End) => {
                tokens.push(Token { kind: TokenKind::End, span });
                return (tokens, lexer.errors);
            }
            Some(kind) => tokens.push(Token { kind, span }),
            None => {}
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
    errors: Vec<Diagnostic>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn error(&mut self, start: usize, message: impl Into<String>) {
        let span = Span { start: start as u32, end: self.at as u32 };
        self.errors.push(Diagnostic::new(span, message));
    }

    fn skip_blank(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | b'\r' | b'\n' | 0x0c, _) => self.at += 1,
                (b'/', b'/') => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                }
                (b'/', b'*') => {
                    let start = self.at;
                    match self.source[self.at + 2..].find("*/") {
                        Some(length) => self.at += length + 4,
                        None => {
                            self.at = self.bytes.len();
                            self.error(start, "comment is never closed");
                        }
                    }
                }
                (0xef, 0xbb) if self.peek(2) == 0xbf => self.at += 3,
                _ => return,
            }
        }
    }

    fn next_kind(&mut self) -> Option<TokenKind> {
        let start = self.at;
        let Some(first) = self.source[start..].chars().next() else {
            return Some(TokenKind::End);
        };
        if first.is_alphabetic() || first == '_' || first == '$' {
            let rest = &self.source[start..];
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            self.at += length;
            return Some(TokenKind::Identifier(rest[..length].to_owned()));
        }
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_ascii_digit()) {
            return self.number();
        }
        if first == '"' || first == '\'' {
            return self.quoted(first as u8);
        }
        for punctuation in PUNCTUATION {
            if self.source[start..].starts_with(punctuation) {
                self.at += punctuation.len();
                return Some(TokenKind::Punctuation(punctuation));
            }
        }
        self.at += first.len_utf8();
        self.error(start, format!("unexpected character {first:?}"));
        None
    }

    fn number(&mut self) -> Option<TokenKind> {
        let start = self.at;
        let radix = match (self.peek(0), self.peek(1)) {
            (b'0', b'x' | b'X') => 16,
            (b'0', b'b' | b'B') if matches!(self.peek(2), b'0' | b'1') => 2,
            _ => 10,
        };
        if radix != 10 {
            self.at += 2;
            let digits = self.take(|b| b.is_ascii_alphanumeric() && !matches!(b, b'l' | b'L') || b == b'_');
            return self.integer(start, digits, radix);
        }
        let mut digits = self.take(|b| b.is_ascii_digit() || b == b'_');
        let mut real = false;
        if self.peek(0) == b'.' && self.peek(1).is_ascii_digit()
            || self.peek(0) == b'.'
                && !self.peek(1).is_ascii_alphabetic()
                && self.peek(1) != b'.'
                && self.peek(1) != b'_'
        {
            self.at += 1;
            real = true;
            digits.push('.');
            digits += &self.take(|b| b.is_ascii_digit() || b == b'_');
        }
        let exponent_at = if matches!(self.peek(1), b'+' | b'-') { 2 } else { 1 };
        if matches!(self.peek(0), b'e' | b'E') && self.peek(exponent_at).is_ascii_digit() {
            real = true;
            digits.push('e');
            self.at += 1;
            if exponent_at == 2 {
                digits.push(self.peek(0) as char);
                self.at += 1;
            }
            digits += &self.take(|b| b.is_ascii_digit() || b == b'_');
        }
        let suffix = self.peek(0);
        if !self.peek(1).is_ascii_alphanumeric() {
            let literal = match suffix {
                b'f' | b'F' => digits.parse().ok().map(TokenKind::Float),
                b'd' | b'D' => digits.parse().ok().map(TokenKind::Double),
                b'B' => Some(TokenKind::BigDecimal(digits.clone())),
                b'I' if !real => Some(TokenKind::BigInteger(digits.clone())),
                _ => None,
            };
            if literal.is_some() {
                self.at += 1;
                return literal;
            }
        }
        if real {
            return digits.parse().ok().map(TokenKind::Double);
        }
        let octal = digits.len() > 1 && digits.starts_with('0');
        self.integer(start, digits, if octal { 8 } else { 10 })
    }

    fn take(&mut self, accept: impl Fn(u8) -> bool) -> String {
        let mut text = String::new();
        while self.at < self.bytes.len() && accept(self.bytes[self.at]) {
            if self.bytes[self.at] != b'_' {
                text.push(self.bytes[self.at] as char);
            }
            self.at += 1;
        }
        text
    }

    fn integer(&mut self, start: usize, digits: String, radix: u32) -> Option<TokenKind> {
        let long = matches!(self.peek(0), b'l' | b'L');
        if long {
            self.at += 1;
        }
        // 2147483648 is legal after a minus sign alone; it wraps here and the sign brings it back.
        let value = u64::from_str_radix(&digits, radix).ok();
        let fits = |limit: u64| value.is_some_and(|v| v <= limit);
        if long && fits(if radix == 10 { 1 << 63 } else { u64::MAX }) {
            return value.map(|v| TokenKind::Long(v as i64));
        }
        if !long && fits(if radix == 10 { 1 << 31 } else { u64::from(u32::MAX) }) {
            return value.map(|v| TokenKind::Integer(v as u32 as i32));
        }
        self.error(start, format!("integer literal {digits} is out of range"));
        Some(TokenKind::Integer(0))
    }

    fn quoted(&mut self, quote: u8) -> Option<TokenKind> {
        let start = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.peek(0) {
                b'\\' => self.escape(&mut text),
                b if b == quote && self.at < self.bytes.len() => {
                    self.at += 1;
                    break;
                }
                0 | b'\n' if self.at >= self.bytes.len() || self.peek(0) == b'\n' => {
                    self.error(start, "text literal is never closed on its line");
                    break;
                }
                b => {
                    text.push(b);
                    self.at += 1;
                }
            }
        }
        Some(if quote == b'"' { TokenKind::String(text) } else { TokenKind::Quoted(text) })
    }

    fn escape(&mut self, text: &mut Vec<u8>) {
        let start = self.at;
        self.at += 2;
        match self.bytes.get(start + 1).copied().unwrap_or(0) {
            b'n' => text.push(b'\n'),
            b't' => text.push(b'\t'),
            b'r' => text.push(b'\r'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b's' => text.push(b' '),
            quoted @ (b'"' | b'\'' | b'\\') => text.push(quoted),
            b'u' => {
                while self.peek(0) == b'u' {
                    self.at += 1;
                }
                let digits = self.source.get(self.at..self.at + 4);
                match digits.and_then(|d| u16::from_str_radix(d, 16).ok()) {
                    Some(unit) => {
                        self.at += 4;
                        crate::text::push_unit(text, unit);
                    }
                    None => self.error(start, "a \\u escape takes four hexadecimal digits"),
                }
            }
            digit @ b'0'..=b'7' => {
                let mut unit = u32::from(digit - b'0');
                let most = if digit < b'4' { 2 } else { 1 };
                for _ in 0..most {
                    if !matches!(self.peek(0), b'0'..=b'7') {
                        break;
                    }
                    unit = unit * 8 + u32::from(self.peek(0) - b'0');
                    self.at += 1;
                }
                crate::text::push_unit(text, unit as u16);
            }
            // Patterns such as "\d" are common in rule files although Java would not take them.
            other @ 0x20..0x80 => {
                self.error(start, format!("illegal escape \\{}", other as char));
            }
            _ => self.error(start, "illegal escape"),
        }
        self.at = self.at.min(self.bytes.len());
    }
}
