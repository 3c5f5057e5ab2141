//! Java statements, with DRL's `modify` among them.

use super::ast::{Catch, Statement, StatementKind as S, SwitchGroup, TypeName};
use super::parser::{Parsed, Parser};
use crate::source::Diagnostic;

impl Parser {
    /// `{ … }`.
    pub(super) fn block(&mut self) -> Parsed<Vec<Statement>> {
        self.expect("{")?;
        let mut statements = Vec::new();
        while !self.is("}") {
            if self.at_end() {
                return Err(self.unexpected("`}`"));
            }
            statements.push(self.statement()?);
        }
        self.expect("}")?;
        Ok(statements)
    }

    /// Statements up to `end` or a further `then`.
    pub(super) fn consequence(&mut self) -> Parsed<Vec<Statement>> {
        let mut statements = Vec::new();
        let ends = |parser: &Self| parser.is_word("end") || parser.is_word("then") && parser.is_at(1, "[");
        while !ends(self) {
            if self.at_end() {
                return Err(self.unexpected("`end`"));
            }
            statements.push(self.statement()?);
        }
        Ok(statements)
    }

    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        let start = self.span();
        let kind = self.nested(Self::statement_kind)?;
        Ok(Statement { kind, span: self.since(start) })
    }

    fn statement_kind(&mut self) -> Parsed<S> {
        if self.is("{") {
            return Ok(S::Block(self.block()?));
        }
        if self.eat(";") {
            return Ok(S::Empty);
        }
        if self.is_identifier_at(0) && self.is_at(1, ":") && !self.is_word("default") {
            let (label, _) = self.identifier("a label")?;
            self.advance();
            return Ok(S::Labelled(label, Box::new(self.statement()?)));
        }
        let word = match self.kind() {
            super::lexer::TokenKind::Identifier(word) => word.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "if" => self.if_statement(),
            "for" => self.for_statement(),
            "while" => {
                self.advance();
                let test = self.parenthesised()?;
                Ok(S::While(test, Box::new(self.statement()?)))
            }
            "do" => {
                self.advance();
                let body = Box::new(self.statement()?);
                if !self.eat_word("while") {
                    return Err(self.unexpected("`while`"));
                }
                let test = self.parenthesised()?;
                self.expect(";")?;
                Ok(S::DoWhile(body, test))
            }
            "return" => {
                self.advance();
                let value = if self.is(";") { None } else { Some(self.expression()?) };
                self.expect(";")?;
                Ok(S::Return(value))
            }
            "break" | "continue" => {
                self.advance();
                let label = if self.is_identifier_at(0) { Some(self.identifier("")?.0) } else { None };
                self.expect(";")?;
                Ok(if word == "break" { S::Break(label) } else { S::Continue(label) })
            }
            "throw" => {
                self.advance();
                let value = self.expression()?;
                self.expect(";")?;
                Ok(S::Throw(value))
            }
            "try" => self.try_statement(),
            "switch" => self.switch_statement(),
            "modify" if self.is_at(1, "(") => self.modify_statement(),
            "synchronized" | "assert" | "class" | "interface" => {
                Err(Diagnostic::new(self.span(), format!("`{word}` is not supported in rule files")))
            }
            _ => self.local_or_expression(),
        }
    }

    fn parenthesised(&mut self) -> Parsed<super::ast::Expression> {
        self.expect("(")?;
        let value = self.expression()?;
        self.expect(")")?;
        Ok(value)
    }

    fn if_statement(&mut self) -> Parsed<S> {
        self.advance();
        let test = self.parenthesised()?;
        let yes = Box::new(self.statement()?);
        let no = if self.eat_word("else") { Some(Box::new(self.statement()?)) } else { None };
        Ok(S::If(test, yes, no))
    }

    fn for_statement(&mut self) -> Parsed<S> {
        self.advance();
        self.expect("(")?;
        let each = self.attempt(|parser| {
            parser.eat_word("final");
            let ty = parser.type_name().ok()?;
            let name = parser.identifier("").ok()?.0;
            parser.eat(":").then_some((ty, name))
        });
        if let Some((ty, name)) = each {
            let items = self.expression()?;
            self.expect(")")?;
            return Ok(S::ForEach { ty, name, items, body: Box::new(self.statement()?) });
        }
        let mut init = Vec::new();
        if !self.eat(";") {
            let start = self.span();
            match self.local_declaration()? {
                Some(kind) => init.push(Statement { kind, span: self.since(start) }),
                None => {
                    for expression in self.expression_list()? {
                        let span = expression.span;
                        init.push(Statement { kind: S::Expression(expression), span });
                    }
                }
            }
            self.expect(";")?;
        }
        let test = if self.is(";") { None } else { Some(self.expression()?) };
        self.expect(";")?;
        let update = if self.is(")") { Vec::new() } else { self.expression_list()? };
        self.expect(")")?;
        Ok(S::For { init, test, update, body: Box::new(self.statement()?) })
    }

    fn expression_list(&mut self) -> Parsed<Vec<super::ast::Expression>> {
        let mut list = vec![self.expression()?];
        while self.eat(",") {
            list.push(self.expression()?);
        }
        Ok(list)
    }

    fn try_statement(&mut self) -> Parsed<S> {
        self.advance();
        if self.is("(") {
            return Err(Diagnostic::new(self.span(), "try with resources is not supported"));
        }
        let body = self.block()?;
        let mut catches = Vec::new();
        while self.eat_word("catch") {
            self.expect("(")?;
            self.eat_word("final");
            let mut types = vec![self.type_name()?];
            while self.eat("|") {
                types.push(self.type_name()?);
            }
            let name = self.identifier("a name for the exception")?.0;
            self.expect(")")?;
            catches.push(Catch { types, name, body: self.block()? });
        }
        let finally = if self.eat_word("finally") { Some(self.block()?) } else { None };
        if catches.is_empty() && finally.is_none() {
            return Err(self.unexpected("`catch` or `finally`"));
        }
        Ok(S::Try { body, catches, finally })
    }

    fn switch_statement(&mut self) -> Parsed<S> {
        self.advance();
        let on = self.parenthesised()?;
        self.expect("{")?;
        let mut groups: Vec<SwitchGroup> = Vec::new();
        let mut arrows = false;
        while !self.eat("}") {
            let mut group = SwitchGroup { labels: Vec::new(), default: false, body: Vec::new() };
            if self.eat_word("default") {
                group.default = true;
            } else if self.eat_word("case") {
                self.nested(|parser| {
                    group.labels.push(parser.switch_label()?);
                    while parser.eat(",") {
                        group.labels.push(parser.switch_label()?);
                    }
                    Ok(())
                })?;
            } else {
                return Err(self.unexpected("`case` or `default`"));
            }
            if self.eat("->") {
                arrows = true;
                group.body.push(self.statement()?);
            } else {
                self.expect(":")?;
                while !self.is("}")
                    && !self.is_word("case")
                    && !(self.is_word("default") && (self.is_at(1, ":") || self.is_at(1, "->")))
                {
                    group.body.push(self.statement()?);
                }
            }
            groups.push(group);
        }
        Ok(S::Switch { on, groups, arrows })
    }

    fn switch_label(&mut self) -> Parsed<super::ast::Expression> {
        // `case A -> …` must not be read as a lambda with the parameter A.
        if self.is_identifier_at(0) && self.is_at(1, "->") {
            let (name, span) = self.identifier("a label")?;
            return Ok(super::ast::Expression { kind: super::ast::ExpressionKind::Name(name), span });
        }
        self.expression()
    }

    fn modify_statement(&mut self) -> Parsed<S> {
        self.advance();
        let target = self.parenthesised()?;
        let mut calls = Vec::new();
        self.expect("{")?;
        while !self.is("}") {
            calls.push(self.expression()?);
            if !self.eat(",") && !self.eat(";") {
                break;
            }
        }
        self.expect("}")?;
        self.eat(";");
        Ok(S::Modify { target, calls })
    }

    fn local_or_expression(&mut self) -> Parsed<S> {
        if let Some(local) = self.local_declaration()? {
            self.semicolon()?;
            return Ok(local);
        }
        let expression = self.expression()?;
        self.semicolon()?;
        Ok(S::Expression(expression))
    }

    /// The last statement of `init(…)` and its like needs no semicolon.
    fn semicolon(&mut self) -> Parsed<()> {
        if !(self.in_parentheses && self.is(")")) {
            self.expect(";")?;
        }
        Ok(())
    }

    /// `( statements )`, as the parts of an inline accumulate are written.
    pub(super) fn parenthesised_statements(&mut self) -> Parsed<Vec<Statement>> {
        self.expect("(")?;
        let outer = std::mem::replace(&mut self.in_parentheses, true);
        let mut statements = Vec::new();
        while !self.is(")") && !self.at_end() {
            statements.push(self.statement()?);
        }
        self.in_parentheses = outer;
        self.expect(")")?;
        Ok(statements)
    }

    /// `int a = 1, b[] = {…}` without its semicolon, if that is what stands here.
    fn local_declaration(&mut self) -> Parsed<Option<S>> {
        let head: Option<TypeName> = self.attempt(|parser| {
            let is_final = parser.eat_word("final");
            let ty = parser.type_name().ok()?;
            let follows = parser.is_identifier_at(0)
                && !parser.is_word("instanceof")
                && (["=", ";", ",", ":"].iter().any(|p| parser.is_at(1, p))
                    || parser.is_at(1, "[") && parser.is_at(2, "]"));
            (follows || is_final).then_some(ty)
        });
        let Some(ty) = head else { return Ok(None) };
        let mut declarators = Vec::new();
        loop {
            let (name, _) = self.identifier("a variable name")?;
            let dimensions = self.dimensions();
            let value = if self.eat("=") { Some(self.expression()?) } else { None };
            declarators.push((name, dimensions, value));
            if !self.eat(",") {
                return Ok(Some(S::Local { ty, declarators }));
            }
        }
    }
}
