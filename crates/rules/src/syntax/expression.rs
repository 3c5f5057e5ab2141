//! Java expressions, and inside constraints the operators that DRL adds to them.

use super::ast::{
    BinaryOperator as B, Binding, Expression, ExpressionKind as E, LambdaBody, Literal, Relation, TypeName,
    UnaryOperator,
};
use super::lexer::TokenKind;
use super::parser::{Parsed, Parser};
use crate::source::{Diagnostic, Span};

const PRIMITIVES: [&str; 8] = ["boolean", "char", "byte", "short", "int", "long", "float", "double"];

/// Binary operators by binding strength, weakest first.
const LEVELS: [&[(&str, B)]; 9] = [
    &[("||", B::Or)],
    &[("&&", B::And)],
    &[("|", B::BitOr)],
    &[("^", B::BitXor)],
    &[("&", B::BitAnd)],
    &[("==", B::Equal), ("!=", B::NotEqual)],
    &[("<=", B::LessEqual), (">=", B::GreaterEqual), ("<", B::Less), (">", B::Greater)],
    &[("+", B::Add), ("-", B::Subtract)],
    &[("*", B::Multiply), ("/", B::Divide), ("%", B::Remainder)],
];
const EQUALITY: usize = 5;
const RELATIONAL: usize = 6;

fn make(kind: E, span: Span) -> Expression {
    Expression { kind, span }
}

impl Parser {
    /// Any expression, assignment included.
    pub(super) fn expression(&mut self) -> Parsed<Expression> {
        self.nested(Self::assignment)
    }

    fn assignment(&mut self) -> Parsed<Expression> {
        if let Some(lambda) = self.lambda()? {
            return Ok(lambda);
        }
        let start = self.span();
        let target = self.conditional()?;
        const ASSIGNMENTS: [(&str, Option<B>); 10] = [
            ("=", None),
            ("+=", Some(B::Add)),
            ("-=", Some(B::Subtract)),
            ("*=", Some(B::Multiply)),
            ("/=", Some(B::Divide)),
            ("%=", Some(B::Remainder)),
            ("&=", Some(B::BitAnd)),
            ("|=", Some(B::BitOr)),
            ("^=", Some(B::BitXor)),
            ("<<=", Some(B::ShiftLeft)),
        ];
        let mut found = ASSIGNMENTS.iter().find(|(text, _)| self.is(text)).map(|(_, operator)| (1, *operator));
        if self.is(">") && self.is_at(1, ">=") && self.adjacent_at(1) {
            found = Some((2, Some(B::ShiftRight)));
        } else if self.is(">") && self.is_at(1, ">") && self.is_at(2, ">=") && self.adjacent_at(2) {
            found = Some((3, Some(B::ShiftRightUnsigned)));
        }
        let Some((tokens, operator)) = found else {
            return Ok(target);
        };
        for _ in 0..tokens {
            self.advance();
        }
        let value = self.nested(Self::assignment)?;
        let span = self.since(start);
        Ok(make(E::Assign { target: Box::new(target), operator, value: Box::new(value) }, span))
    }

    fn lambda(&mut self) -> Parsed<Option<Expression>> {
        let start = self.span();
        let parameters = self.attempt(|parser| {
            let mut names = Vec::new();
            if parser.is_identifier_at(0) && parser.is_at(1, "->") {
                names.push(parser.identifier("").ok()?.0);
            } else {
                if !parser.eat("(") {
                    return None;
                }
                while !parser.is(")") {
                    if parser.is_identifier_at(1) || parser.is_at(1, "<") || parser.is_at(1, ".") {
                        parser.type_name().ok()?;
                    }
                    names.push(parser.identifier("").ok()?.0);
                    if !parser.eat(",") {
                        break;
                    }
                }
                parser.expect(")").ok()?;
            }
            parser.eat("->").then_some(names)
        });
        let Some(parameters) = parameters else {
            return Ok(None);
        };
        let body =
            if self.is("{") { LambdaBody::Block(self.block()?) } else { LambdaBody::Expression(self.expression()?) };
        Ok(Some(make(E::Lambda { parameters, body: Box::new(body) }, self.since(start))))
    }

    fn conditional(&mut self) -> Parsed<Expression> {
        let start = self.span();
        let test = self.binary(0)?;
        if self.in_constraint || !self.eat("?") {
            return Ok(test);
        }
        let yes = match self.lambda()? {
            Some(lambda) => lambda,
            None => self.nested(Self::conditional)?,
        };
        self.expect(":")?;
        let no = match self.lambda()? {
            Some(lambda) => lambda,
            None => self.nested(Self::conditional)?,
        };
        Ok(make(E::Conditional(Box::new(test), Box::new(yes), Box::new(no)), self.since(start)))
    }

    fn binary(&mut self, level: usize) -> Parsed<Expression> {
        if level == LEVELS.len() {
            return self.unary();
        }
        let start = self.span();
        let mut left = self.binary(level + 1)?;
        loop {
            if level == RELATIONAL && self.is_word("instanceof") {
                left = self.instance_of(left, start)?;
                continue;
            }
            if level == RELATIONAL && self.in_constraint {
                if let Some(relation) = self.relation(&left, start)? {
                    left = relation;
                    continue;
                }
            }
            let Some((operator, tokens)) = self.operator(level) else {
                return Ok(left);
            };
            for _ in 0..tokens {
                self.advance();
            }
            let right = if self.in_constraint && level <= 1 && self.starts_comparison() {
                self.abbreviated(&left, level + 1)?
            } else {
                self.binary(level + 1)?
            };
            left = make(E::Binary(operator, Box::new(left), Box::new(right)), self.since(start));
        }
    }

    /// The operator of this level under the cursor and how many tokens it takes.
    fn operator(&self, level: usize) -> Option<(B, usize)> {
        // Shifts are one level tighter than comparisons and looser than sums, as adjacent angle brackets.
        let double = |at: usize, p: &str| self.is_at(at, p) && self.adjacent_at(at);
        if level == RELATIONAL && self.is(">") && double(1, ">") {
            return None;
        }
        if level == RELATIONAL + 1 {
            if self.is("<<") {
                return Some((B::ShiftLeft, 1));
            }
            if self.is(">") && double(1, ">") && double(2, ">") && !double(3, ">=") && !double(2, ">=") {
                return Some((B::ShiftRightUnsigned, 3));
            }
            if self.is(">") && double(1, ">") && !double(2, ">=") {
                return Some((B::ShiftRight, 2));
            }
        }
        LEVELS[level].iter().find(|(text, _)| self.is(text)).map(|(_, operator)| (*operator, 1))
    }

    /// `> 5` after `&&`: a comparison whose left side is understood.
    fn starts_comparison(&self) -> bool {
        let comparison = LEVELS[EQUALITY].iter().chain(LEVELS[RELATIONAL]).any(|(text, _)| self.is(text));
        comparison || self.relation_word().is_some_and(|(_, negated)| !self.is_at(1 + usize::from(negated), "."))
    }

    fn abbreviated(&mut self, previous: &Expression, level: usize) -> Parsed<Expression> {
        let start = self.span();
        let Some(subject) = last_subject(previous) else {
            return Err(self.unexpected("something to compare"));
        };
        let mut left = self.abbreviated_once(&subject, start)?;
        while level <= 1 && self.eat("&&") {
            let right = if self.starts_comparison() {
                let at = self.span();
                self.abbreviated_once(&subject, at)?
            } else {
                self.binary(level + 1)?
            };
            left = make(E::Binary(B::And, Box::new(left), Box::new(right)), self.since(start));
        }
        Ok(left)
    }

    fn abbreviated_once(&mut self, subject: &Expression, start: Span) -> Parsed<Expression> {
        if let Some(relation) = self.relation(subject, start)? {
            return Ok(relation);
        }
        for level in [EQUALITY, RELATIONAL] {
            if let Some((operator, _)) = self.operator(level) {
                self.advance();
                let right = self.binary(level + 1)?;
                return Ok(make(E::Binary(operator, Box::new(subject.clone()), Box::new(right)), self.since(start)));
            }
        }
        Err(self.unexpected("a comparison"))
    }

    fn instance_of(&mut self, left: Expression, start: Span) -> Parsed<Expression> {
        self.advance();
        let ty = self.type_name()?;
        let binding = if !self.in_constraint && self.is_identifier_at(0) { Some(self.identifier("")?.0) } else { None };
        Ok(make(E::InstanceOf(Box::new(left), ty, binding), self.since(start)))
    }

    /// The DRL operator under the cursor, and whether `not` precedes it.
    fn relation_word(&self) -> Option<(Relation, bool)> {
        let negated = self.is_word("not");
        let TokenKind::Identifier(word) = self.kind_at(usize::from(negated)) else {
            return None;
        };
        let relation = match word.as_str() {
            "in" => Relation::In,
            "contains" => Relation::Contains,
            "excludes" if !negated => return Some((Relation::Contains, true)),
            "memberOf" => Relation::MemberOf,
            "matches" => Relation::Matches,
            "soundslike" => Relation::SoundsLike,
            "str" if self.is_at(1 + usize::from(negated), "[") => match self.kind_at(2 + usize::from(negated)) {
                TokenKind::Identifier(operator) => match operator.as_str() {
                    "startsWith" => Relation::StartsWith,
                    "endsWith" => Relation::EndsWith,
                    "length" => Relation::Length,
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        };
        Some((relation, negated))
    }

    fn relation(&mut self, left: &Expression, start: Span) -> Parsed<Option<Expression>> {
        let Some((relation, negated)) = self.relation_word() else {
            return Ok(None);
        };
        if self.is_word("not") {
            self.advance();
        }
        self.advance();
        if matches!(relation, Relation::StartsWith | Relation::EndsWith | Relation::Length) {
            self.advance();
            self.advance();
            self.expect("]")?;
        }
        let mut right = Vec::new();
        if relation == Relation::In {
            self.expect("(")?;
            while !self.is(")") {
                right.push(self.binary(EQUALITY)?);
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(")")?;
        } else {
            right.push(self.binary(RELATIONAL + 1)?);
        }
        let kind = E::Relation { relation, negated, left: Box::new(left.clone()), right };
        Ok(Some(make(kind, self.since(start))))
    }

    fn unary(&mut self) -> Parsed<Expression> {
        self.nested(|parser| {
            let start = parser.span();
            for (text, operator) in [
                ("+", UnaryOperator::Plus),
                ("-", UnaryOperator::Minus),
                ("!", UnaryOperator::Not),
                ("~", UnaryOperator::Complement),
            ] {
                if parser.eat(text) {
                    let operand = parser.unary()?;
                    return Ok(make(E::Unary(operator, Box::new(operand)), parser.since(start)));
                }
            }
            for (text, by) in [("++", 1), ("--", -1)] {
                if parser.eat(text) {
                    let target = Box::new(parser.unary()?);
                    return Ok(make(E::Step { target, by, prefix: true }, parser.since(start)));
                }
            }
            if parser.is("(") {
                if let Some(ty) = parser.attempt(Self::cast_type) {
                    let operand = match parser.lambda()? {
                        Some(lambda) => lambda,
                        None => parser.unary()?,
                    };
                    return Ok(make(E::Cast(ty, Box::new(operand)), parser.since(start)));
                }
            }
            parser.postfix()
        })
    }

    /// `(Type)` where what follows can only be a cast's operand.
    fn cast_type(&mut self) -> Option<TypeName> {
        self.eat("(");
        let ty = self.type_name().ok()?;
        self.expect(")").ok()?;
        let primitive = ty.dimensions == 0 && PRIMITIVES.contains(&ty.name.as_str());
        let operand = match self.kind() {
            TokenKind::Identifier(word) => {
                word != "instanceof" && !(self.in_constraint && (self.relation_word().is_some() || word == "not"))
            }
            TokenKind::Punctuation(p) => {
                matches!(*p, "(" | "!" | "~") || primitive && matches!(*p, "+" | "-" | "++" | "--")
            }
            TokenKind::End => false,
            _ => true,
        };
        operand.then_some(ty)
    }

    fn postfix(&mut self) -> Parsed<Expression> {
        let start = self.span();
        let mut value = self.primary()?;
        loop {
            if self.is(".") || self.is("!.") {
                let null_safe = self.is("!.");
                self.advance();
                value = self.member(value, null_safe, start)?;
            } else if self.is("[") && !self.is_at(1, "]") {
                self.advance();
                let index = self.free_expression()?;
                self.expect("]")?;
                value = make(E::Index(Box::new(value), Box::new(index)), self.since(start));
            } else if self.is("++") || self.is("--") {
                let by = if self.is("++") { 1 } else { -1 };
                self.advance();
                value = make(E::Step { target: Box::new(value), by, prefix: false }, self.since(start));
            } else if self.eat("::") {
                let name = self.identifier("a method")?.0;
                value = make(E::MethodReference(Box::new(value), name), self.since(start));
            } else {
                return Ok(value);
            }
        }
    }

    fn member(&mut self, target: Expression, null_safe: bool, start: Span) -> Parsed<Expression> {
        let (name, _) = self.identifier("a member")?;
        let target = Box::new(target);
        if self.is("(") {
            let arguments = self.arguments()?;
            return Ok(make(E::Call { target: Some(target), name, arguments, null_safe }, self.since(start)));
        }
        if name == "class" {
            if let Some(ty) = as_type(&target) {
                return Ok(make(E::ClassLiteral(ty), self.since(start)));
            }
        }
        Ok(make(E::Field { target, name, null_safe }, self.since(start)))
    }

    /// An expression between brackets: DRL's abbreviations do not reach into it, its operators do.
    fn free_expression(&mut self) -> Parsed<Expression> {
        self.expression()
    }

    /// `(a, b)`.
    pub(super) fn arguments(&mut self) -> Parsed<Vec<Expression>> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.is(")") {
            arguments.push(self.free_expression()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    fn primary(&mut self) -> Parsed<Expression> {
        let start = self.span();
        let literal = match self.kind().clone() {
            TokenKind::Integer(value) => Literal::Integer(value),
            TokenKind::Long(value) => Literal::Long(value),
            TokenKind::Float(value) => Literal::Float(value),
            TokenKind::Double(value) => Literal::Double(value),
            TokenKind::BigDecimal(digits) => Literal::BigDecimal(digits),
            TokenKind::BigInteger(digits) => Literal::BigInteger(digits),
            TokenKind::String(text) => Literal::String(text),
            TokenKind::Quoted(text) => match crate::text::single_unit(&text) {
                Some(unit) => Literal::Character(unit),
                None => Literal::String(text),
            },
            // `eval( … )` among constraints is the expression itself.
            TokenKind::Identifier(word) if self.in_constraint && word == "eval" && self.is_at(1, "(") => {
                self.advance();
                return self.primary();
            }
            TokenKind::Identifier(word) => return self.word(&word, start),
            TokenKind::Punctuation("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            TokenKind::Punctuation("{") => {
                return Ok(make(E::Items(self.items("{", "}")?), self.since(start)));
            }
            TokenKind::Punctuation("[") => {
                return Ok(make(E::Items(self.items("[", "]")?), self.since(start)));
            }
            _ => return Err(self.unexpected("an expression")),
        };
        self.advance();
        Ok(make(E::Literal(literal), start))
    }

    fn items(&mut self, open: &str, close: &str) -> Parsed<Vec<Expression>> {
        self.expect(open)?;
        let mut items = Vec::new();
        while !self.is(close) {
            items.push(self.expression()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect(close)?;
        Ok(items)
    }

    fn word(&mut self, word: &str, start: Span) -> Parsed<Expression> {
        let literal = match word {
            "null" => Some(Literal::Null),
            "true" => Some(Literal::Boolean(true)),
            "false" => Some(Literal::Boolean(false)),
            _ => None,
        };
        if let Some(literal) = literal {
            self.advance();
            return Ok(make(E::Literal(literal), start));
        }
        match word {
            "this" => {
                self.advance();
                return Ok(make(E::This, start));
            }
            "new" => return self.creation(start),
            "switch" if !self.in_constraint => {
                return Err(Diagnostic::new(start, "switch expressions are not supported")
                    .with_hint("use a switch statement that assigns a variable"));
            }
            _ => {}
        }
        if self.in_constraint && (self.is_at(1, ":") || self.is_at(1, ":=")) {
            let (name, span) = self.identifier("")?;
            let unify = self.is(":=");
            self.advance();
            let operand = self.binary(0)?;
            return Ok(attach(Binding { name, unify, span }, operand));
        }
        if self.is_at(1, "[") && self.is_at(2, "]") || PRIMITIVES.contains(&word) {
            let ty = self.type_name()?;
            if self.is(".") && self.is_word_at(1, "class") {
                self.advance();
                self.advance();
                return Ok(make(E::ClassLiteral(ty), self.since(start)));
            }
            if self.is("::") {
                return Ok(make(E::ClassLiteral(ty), start));
            }
            return Err(Diagnostic::new(ty.span, "expected an expression, found a type"));
        }
        self.advance();
        if self.is("(") {
            let arguments = self.arguments()?;
            let kind = E::Call { target: None, name: word.to_owned(), arguments, null_safe: false };
            return Ok(make(kind, self.since(start)));
        }
        Ok(make(E::Name(word.to_owned()), start))
    }

    fn creation(&mut self, start: Span) -> Parsed<Expression> {
        self.advance();
        let mut ty = self.type_name()?;
        if ty.dimensions > 0 {
            let dimensions = ty.dimensions;
            ty.dimensions = 0;
            let items = Some(self.items("{", "}")?);
            let kind = E::NewArray { element: ty, sizes: Vec::new(), dimensions, items };
            return Ok(make(kind, self.since(start)));
        }
        if self.is("[") {
            let mut sizes = Vec::new();
            while self.is("[") && !self.is_at(1, "]") {
                self.advance();
                sizes.push(self.expression()?);
                self.expect("]")?;
            }
            let dimensions = sizes.len() as u8 + self.dimensions();
            return Ok(make(E::NewArray { element: ty, sizes, dimensions, items: None }, self.since(start)));
        }
        let arguments = self.arguments()?;
        if self.is("{") {
            return Err(Diagnostic::new(self.span(), "anonymous classes are not supported"));
        }
        Ok(make(E::New { ty, arguments }, self.since(start)))
    }
}

/// `$a : x > 5` binds `x`, not the comparison.
fn attach(binding: Binding, operand: Expression) -> Expression {
    let span = operand.span;
    match operand.kind {
        E::Binary(operator, left, right) if is_test(operator) => {
            make(E::Binary(operator, Box::new(attach(binding, *left)), right), span)
        }
        E::Relation { relation, negated, left, right } => {
            make(E::Relation { relation, negated, left: Box::new(attach(binding, *left)), right }, span)
        }
        kind => make(E::Bind(binding, Box::new(make(kind, span))), span),
    }
}

fn is_test(operator: B) -> bool {
    matches!(operator, B::Or | B::And | B::Equal | B::NotEqual | B::Less | B::LessEqual | B::Greater | B::GreaterEqual)
}

/// The left side of the last comparison in `expression`.
fn last_subject(expression: &Expression) -> Option<Expression> {
    match &expression.kind {
        E::Binary(B::Or | B::And, _, right) => last_subject(right),
        E::Binary(operator, left, _) if is_test(*operator) => Some(strip(left)),
        E::Relation { left, .. } => Some(strip(left)),
        _ => None,
    }
}

fn strip(expression: &Expression) -> Expression {
    match &expression.kind {
        E::Bind(_, inner) => (**inner).clone(),
        _ => expression.clone(),
    }
}

/// A name or dotted name read as a type.
fn as_type(expression: &Expression) -> Option<TypeName> {
    let name = dotted(expression)?;
    Some(TypeName { name, arguments: Vec::new(), dimensions: 0, span: expression.span })
}

/// `a.b.c` as text, if the expression is nothing else.
pub(crate) fn dotted(expression: &Expression) -> Option<String> {
    match &expression.kind {
        E::Name(name) => Some(name.clone()),
        E::Field { target, name, null_safe: false } => Some(format!("{}.{name}", dotted(target)?)),
        _ => None,
    }
}
