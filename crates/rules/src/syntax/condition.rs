//! The left-hand side of rules and queries.

use super::ast::{
    Accumulate, AccumulateFunction, AccumulateKind, Binding, Branch, Condition, Constraint, Expression, ExpressionKind,
    InlineAccumulate, Pattern, PatternSource,
};
use super::lexer::TokenKind;
use super::parser::{Parsed, Parser};
use crate::source::Diagnostic;

impl Parser {
    /// Conditions up to `stop`.
    pub(super) fn conditions(&mut self, stop: &str) -> Parsed<Vec<Condition>> {
        let mut list = Vec::new();
        while !self.is_word(stop) {
            if self.at_end() {
                return Err(self.unexpected(&format!("`{stop}`")));
            }
            list.push(self.condition()?);
            self.eat(";");
        }
        Ok(list)
    }

    fn condition(&mut self) -> Parsed<Condition> {
        self.nested(|parser| {
            let mut branches = vec![parser.conjunction()?];
            while parser.eat_word("or") || parser.eat("||") {
                branches.push(parser.conjunction()?);
            }
            Ok(if branches.len() == 1 { branches.swap_remove(0) } else { Condition::Or(branches) })
        })
    }

    fn conjunction(&mut self) -> Parsed<Condition> {
        let mut parts = vec![self.element()?];
        while self.eat_word("and") || self.eat("&&") {
            parts.push(self.element()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Condition::And(parts) })
    }

    fn element(&mut self) -> Parsed<Condition> {
        let start = self.span();
        if self.is("(") {
            return self.group();
        }
        let opens = |parser: &Self, word: &str, bracket: &str| parser.is_word(word) && parser.is_at(1, bracket);
        if self.is_word("not") || self.is_word("exists") {
            let negated = self.is_word("not");
            self.advance();
            let inner = Box::new(self.nested(Self::element)?);
            return Ok(if negated { Condition::Not(inner) } else { Condition::Exists(inner) });
        }
        if opens(self, "forall", "(") {
            self.advance();
            self.advance();
            let mut patterns = Vec::new();
            while !self.is(")") {
                patterns.push(self.element()?);
                self.eat(",");
            }
            self.expect(")")?;
            return Ok(Condition::Forall(patterns, self.since(start)));
        }
        if opens(self, "eval", "(") {
            self.advance();
            return Ok(Condition::Eval(self.constraint_mode(|parser| {
                parser.expect("(")?;
                let expression = parser.expression()?;
                parser.expect(")")?;
                Ok(expression)
            })?));
        }
        if opens(self, "accumulate", "(") || opens(self, "acc", "(") {
            self.advance();
            return Ok(Condition::Accumulate(Box::new(self.accumulate()?)));
        }
        if opens(self, "do", "[") || opens(self, "break", "[") {
            let branch = self.branch_target(None)?;
            return Ok(Condition::Branch(Box::new(branch)));
        }
        if opens(self, "if", "(") {
            return Ok(Condition::Branch(Box::new(self.conditional_branch()?)));
        }
        self.pattern_or_group()
    }

    /// `( … )`, also in prefix form `(and A B)`.
    fn group(&mut self) -> Parsed<Condition> {
        self.expect("(")?;
        for (word, is_or) in [("and", false), ("or", true)] {
            if self.eat_word(word) {
                let mut parts = Vec::new();
                while !self.is(")") {
                    parts.push(self.nested(Self::element)?);
                }
                self.expect(")")?;
                return Ok(if is_or { Condition::Or(parts) } else { Condition::And(parts) });
            }
        }
        let inner = self.condition()?;
        self.expect(")")?;
        Ok(inner)
    }

    fn conditional_branch(&mut self) -> Parsed<Branch> {
        self.nested(|parser| {
            parser.advance();
            let test = parser.constraint_mode(|parser| {
                parser.expect("(")?;
                let test = parser.expression()?;
                parser.expect(")")?;
                Ok(test)
            })?;
            parser.branch_target(Some(test))
        })
    }

    fn branch_target(&mut self, test: Option<Expression>) -> Parsed<Branch> {
        let span = self.span();
        let breaks = self.is_word("break");
        if !breaks && !self.is_word("do") {
            return Err(self.unexpected("`do[name]` or `break[name]`"));
        }
        self.advance();
        self.expect("[")?;
        let target = self.identifier("the name of a consequence")?.0;
        self.expect("]")?;
        let mut otherwise = None;
        if test.is_some() && self.eat_word("else") {
            let branch = if self.is_word("if") { self.conditional_branch()? } else { self.branch_target(None)? };
            otherwise = Some(Box::new(branch));
        }
        Ok(Branch { test, target, breaks, otherwise, span })
    }

    /// A binding may name one pattern or, in the old form, each of a group: `$a : ( A() or B() )`.
    fn pattern_or_group(&mut self) -> Parsed<Condition> {
        let binding = self.binding()?;
        if binding.is_some() && self.is("(") {
            let mut group = self.group()?;
            bind_all(&mut group, &binding);
            return Ok(group);
        }
        Ok(Condition::Pattern(Box::new(self.pattern(binding)?)))
    }

    fn binding(&mut self) -> Parsed<Option<Binding>> {
        if !self.is_identifier_at(0) || !(self.is_at(1, ":") || self.is_at(1, ":=")) {
            return Ok(None);
        }
        let (name, span) = self.identifier("a name")?;
        let unify = self.is(":=");
        self.advance();
        Ok(Some(Binding { name, unify, span }))
    }

    fn pattern(&mut self, binding: Option<Binding>) -> Parsed<Pattern> {
        let start = binding.as_ref().map_or(self.span(), |b| b.span);
        let pull = self.eat("?");
        if self.is("/") {
            return Err(Diagnostic::new(self.span(), "OOPath expressions are not supported")
                .with_hint("write a pattern with `from`"));
        }
        let ty = self.type_name().map_err(|error| match error.message.strip_prefix("expected a type") {
            Some(rest) => Diagnostic::new(error.span, format!("expected a condition or `then`{rest}")),
            None => error,
        })?;
        self.expect("(")?;
        let first = self.constraints()?;
        let has_positional = self.eat(";");
        let (positional, constraints) = if has_positional { (first, self.constraints()?) } else { (Vec::new(), first) };
        self.expect(")")?;
        let watch = self.watch()?;
        if self.is_word("over") && self.is_word_at(1, "window") {
            return Err(Diagnostic::new(self.span(), "sliding windows are not supported"));
        }
        let source = if self.eat_word("from") { Some(self.pattern_source()?) } else { None };
        let span = self.since(start);
        Ok(Pattern { binding, ty, pull, positional, has_positional, constraints, source, watch, span })
    }

    fn constraints(&mut self) -> Parsed<Vec<Constraint>> {
        self.constraint_mode(|parser| {
            let mut list = Vec::new();
            while !parser.is(")") && !parser.is(";") {
                list.push(parser.constraint()?);
                if !parser.eat(",") {
                    break;
                }
            }
            Ok(list)
        })
    }

    fn constraint(&mut self) -> Parsed<Constraint> {
        let mut expression = self.expression()?;
        // A binding that spans the whole constraint is kept apart: it adds no test.
        let binding = match expression.kind {
            ExpressionKind::Bind(binding, inner) => {
                expression = *inner;
                Some(binding)
            }
            _ => None,
        };
        Ok(Constraint { binding, expression })
    }

    fn watch(&mut self) -> Parsed<Vec<(bool, String)>> {
        let mut watch = Vec::new();
        while self.eat("@") {
            let (name, span) = self.identifier("an annotation")?;
            if name != "watch" {
                return Err(Diagnostic::new(span, format!("the annotation @{name} is not supported on a pattern")));
            }
            self.expect("(")?;
            while !self.is(")") {
                let excluded = self.eat("!");
                let property = if self.eat("*") { "*".to_owned() } else { self.identifier("a property")?.0 };
                watch.push((!excluded, property));
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        Ok(watch)
    }

    fn pattern_source(&mut self) -> Parsed<PatternSource> {
        if self.is_word("collect") && self.is_at(1, "(") {
            self.advance();
            self.advance();
            let binding = self.binding()?;
            let pattern = self.pattern(binding)?;
            self.eat(";");
            self.expect(")")?;
            return Ok(PatternSource::Collect(Box::new(pattern)));
        }
        if (self.is_word("accumulate") || self.is_word("acc")) && self.is_at(1, "(") {
            self.advance();
            return Ok(PatternSource::Accumulate(Box::new(self.accumulate()?)));
        }
        if self.is_word("entry") && self.is_at(1, "-") {
            return Err(Diagnostic::new(self.span(), "entry points are not supported"));
        }
        Ok(PatternSource::From(self.expression()?))
    }

    fn accumulate(&mut self) -> Parsed<Accumulate> {
        let start = self.span();
        self.expect("(")?;
        let mut parts = vec![self.condition()?];
        while !self.is(",") && !self.is(";") && !self.is(")") {
            parts.push(self.condition()?);
        }
        let source = if parts.len() == 1 { parts.swap_remove(0) } else { Condition::And(parts) };
        if !self.eat(",") {
            self.eat(";");
        }
        let kind = if self.is_word("init") && self.is_at(1, "(") {
            AccumulateKind::Inline(Box::new(self.inline_accumulate()?))
        } else {
            AccumulateKind::Functions(self.accumulate_functions()?)
        };
        let constraints = if self.eat(";") { self.constraints()? } else { Vec::new() };
        self.expect(")")?;
        Ok(Accumulate { source, kind, constraints, span: self.since(start) })
    }

    fn inline_accumulate(&mut self) -> Parsed<InlineAccumulate> {
        let part = |parser: &mut Self, name: &str| {
            if !parser.eat_word(name) {
                return Err(parser.unexpected(&format!("`{name}(`")));
            }
            let statements = parser.parenthesised_statements()?;
            parser.eat(",");
            Ok(statements)
        };
        let init = part(self, "init")?;
        let action = part(self, "action")?;
        let reverse = if self.is_word("reverse") { Some(part(self, "reverse")?) } else { None };
        if !self.eat_word("result") {
            return Err(self.unexpected("`result(`"));
        }
        self.expect("(")?;
        let result = self.expression()?;
        self.eat(";");
        self.expect(")")?;
        Ok(InlineAccumulate { init, action, reverse, result })
    }

    fn accumulate_functions(&mut self) -> Parsed<Vec<AccumulateFunction>> {
        let mut functions = Vec::new();
        while !self.is(")") && !self.is(";") {
            let start = self.span();
            let binding = self.binding()?;
            let name = self.identifier("an accumulate function")?.0;
            let arguments = self.constraint_mode(Self::arguments)?;
            functions.push(AccumulateFunction { binding, name, arguments, span: self.since(start) });
            if !self.eat(",") {
                break;
            }
        }
        Ok(functions)
    }

    fn constraint_mode<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = std::mem::replace(&mut self.in_constraint, true);
        let result = parse(self);
        self.in_constraint = outer;
        result
    }

    /// A literal string or a bare word.
    pub(super) fn text_or_word(&mut self, what: &str) -> Parsed<String> {
        match self.kind().clone() {
            TokenKind::String(text) | TokenKind::Quoted(text) => {
                self.advance();
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            TokenKind::Identifier(word) => {
                self.advance();
                Ok(word)
            }
            _ => Err(self.unexpected(what)),
        }
    }
}

fn bind_all(condition: &mut Condition, binding: &Option<Binding>) {
    match condition {
        Condition::Pattern(pattern) => pattern.binding = binding.clone(),
        Condition::And(parts) | Condition::Or(parts) => parts.iter_mut().for_each(|part| bind_all(part, binding)),
        _ => {}
    }
}
