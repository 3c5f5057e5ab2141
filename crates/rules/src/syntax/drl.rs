//! The top level of a rule file: package, imports, globals, functions, declared types, queries, rules.

use super::ast::{
    Attribute, Declaration, Expression, ExpressionKind, Field, File, Function, Global, Import, Literal, Parameter,
    Query, Rule,
};
use super::parser::{Parsed, Parser};
use crate::source::{Diagnostic, Span};

/// Where parsing starts over after an error.
const STARTS: [&str; 8] = ["package", "import", "global", "function", "declare", "query", "rule", "dialect"];

const ATTRIBUTES: [&str; 11] = [
    "salience",
    "no-loop",
    "agenda-group",
    "activation-group",
    "ruleflow-group",
    "lock-on-active",
    "auto-focus",
    "enabled",
    "date-effective",
    "date-expires",
    "dialect",
];
const REFUSED_ATTRIBUTES: [&str; 3] = ["timer", "duration", "calendars"];

/// Parses a whole file. All errors found are returned, with what could be read.
pub(crate) fn parse(source: &str) -> (File, Vec<Diagnostic>) {
    let mut parser = Parser::new(source);
    let mut file = File::default();
    let mut defaults = Vec::new();
    while !parser.at_end() {
        let at = parser.at;
        if let Err(error) = parser.top_level(&mut file, &mut defaults) {
            parser.errors.push(error);
            parser.reset();
            if parser.at == at {
                parser.advance();
            }
            let starts_over = |parser: &Parser| parser.begins_line() && STARTS.iter().any(|word| parser.is_word(word));
            while !parser.at_end() && !starts_over(&parser) {
                parser.advance();
            }
        }
    }
    for rule in &mut file.rules {
        let missing = defaults.iter().filter(|d: &&Attribute| rule.attributes.iter().all(|a| a.name != d.name));
        let missing: Vec<Attribute> = missing.map(copy_attribute).collect();
        rule.attributes.extend(missing);
    }
    (file, parser.errors)
}

fn copy_attribute(attribute: &Attribute) -> Attribute {
    Attribute { name: attribute.name.clone(), value: attribute.value.clone(), span: attribute.span }
}

impl Parser {
    fn top_level(&mut self, file: &mut File, defaults: &mut Vec<Attribute>) -> Parsed<()> {
        let start = self.span();
        if self.eat(";") {
            return Ok(());
        }
        if self.eat_word("package") {
            file.package = self.qualified_name("a package name")?.0;
            self.eat(";");
        } else if self.eat_word("import") {
            file.imports.push(self.import(start)?);
        } else if self.eat_word("global") {
            let ty = self.type_name()?;
            let (name, _) = self.identifier("the name of the global")?;
            self.eat(";");
            file.globals.push(Global { ty, name });
        } else if self.eat_word("function") {
            file.functions.push(self.function()?);
        } else if self.eat_word("declare") {
            file.declarations.push(self.declaration()?);
        } else if self.eat_word("query") {
            file.queries.push(self.query(start)?);
        } else if self.eat_word("rule") {
            file.rules.push(self.rule(start)?);
        } else if let Some(attribute) = self.attribute()? {
            self.eat(";");
            defaults.push(attribute);
        } else {
            return Err(self.unexpected("a rule, query, function, declare, global or import"));
        }
        Ok(())
    }

    fn import(&mut self, start: Span) -> Parsed<Import> {
        if self.is_word("accumulate") || self.is_word("acc") {
            return Err(Diagnostic::new(self.span(), "imported accumulate functions are not supported")
                .with_hint("write the function inline: init(…) action(…) result(…)"));
        }
        let is_static = self.eat_word("static") || self.is_identifier_at(1) && self.eat_word("function");
        let mut path = self.qualified_name("what to import")?.0;
        if self.is(".") && self.is_at(1, "*") {
            self.advance();
            self.advance();
            path += ".*";
        }
        self.eat(";");
        Ok(Import { path, is_static, span: self.since(start) })
    }

    fn parameters(&mut self) -> Parsed<Vec<Parameter>> {
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.is(")") {
            self.eat_word("final");
            // A type may be left out: `query q(x)`.
            let untyped = self.is_identifier_at(0) && (self.is_at(1, ",") || self.is_at(1, ")"));
            let mut ty = self.type_name()?;
            let name = if untyped {
                std::mem::replace(&mut ty.name, "Object".to_owned())
            } else {
                self.identifier("a parameter name")?.0
            };
            ty.dimensions += self.dimensions();
            parameters.push(Parameter { ty, name });
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(parameters)
    }

    fn function(&mut self) -> Parsed<Function> {
        let returns = self.type_name()?;
        let (name, span) = if self.is("(") {
            // `function f()` without a type returns nothing.
            (returns.name.clone(), returns.span)
        } else {
            self.identifier("the name of the function")?
        };
        let parameters = self.parameters()?;
        let body = self.block()?;
        Ok(Function { returns, name, parameters, body, span })
    }

    fn declaration(&mut self) -> Parsed<Declaration> {
        let is_enum = self.eat_word("enum");
        for refused in ["trait", "entry", "window"] {
            if self.is_word(refused) && (self.is_identifier_at(1) || self.is_at(1, "-")) {
                return Err(Diagnostic::new(self.span(), format!("declare {refused} is not supported")));
            }
        }
        let (name, span) = self.qualified_name("the name of the type")?;
        let extends = if self.eat_word("extends") { Some(self.type_name()?) } else { None };
        let class_reactive = self.declaration_annotations()?;
        let mut constants = Vec::new();
        if is_enum {
            loop {
                let (constant, at) = self.identifier("an enum constant")?;
                if self.is("(") {
                    return Err(Diagnostic::new(at, "enum constants with arguments are not supported"));
                }
                constants.push(constant);
                if !self.eat(",") {
                    break;
                }
            }
            self.eat(";");
        }
        let mut fields = Vec::new();
        while !self.eat_word("end") {
            fields.push(self.field()?);
        }
        let name = name.rsplit('.').next().unwrap_or(&name).to_owned();
        Ok(Declaration { name, extends, constants, is_enum, class_reactive, fields, span })
    }

    fn declaration_annotations(&mut self) -> Parsed<bool> {
        let mut class_reactive = false;
        while self.eat("@") {
            let (name, span) = self.qualified_name("an annotation")?;
            let text = self.annotation_value()?;
            match name.as_str() {
                "classReactive" => class_reactive = true,
                "role" if text == "fact" => {}
                "role" | "timestamp" | "duration" | "expires" | "Traitable" | "typesafe" => {
                    return Err(Diagnostic::new(span, format!("the annotation @{name} is not supported")));
                }
                _ => {}
            }
        }
        Ok(class_reactive)
    }

    fn annotation_value(&mut self) -> Parsed<String> {
        let mut text = String::new();
        if self.eat("(") {
            let mut depth = 1;
            loop {
                if self.at_end() {
                    return Err(self.unexpected("`)`"));
                }
                if self.is("(") {
                    depth += 1;
                } else if self.is(")") {
                    depth -= 1;
                }
                let token = self.advance();
                if depth == 0 {
                    return Ok(text);
                }
                match token {
                    super::lexer::TokenKind::Identifier(word) => text += &word,
                    super::lexer::TokenKind::Integer(value) => text += &value.to_string(),
                    _ => {}
                }
            }
        }
        Ok(text)
    }

    fn field(&mut self) -> Parsed<Field> {
        let (name, span) = self.identifier("a field or `end`")?;
        self.expect(":")?;
        let ty = self.type_name()?;
        let initial = if self.eat("=") { Some(self.expression()?) } else { None };
        let (mut key, mut position) = (false, None);
        while self.eat("@") {
            let (annotation, at) = self.qualified_name("an annotation")?;
            let text = self.annotation_value()?;
            match annotation.as_str() {
                "key" => key = true,
                "position" => {
                    let index = text.parse().map_err(|_| Diagnostic::new(at, "@position takes a number"))?;
                    position = Some(index);
                }
                _ => {}
            }
        }
        self.eat(";");
        Ok(Field { name, ty, initial, key, position, span })
    }

    fn query(&mut self, start: Span) -> Parsed<Query> {
        let name = self.text_or_word("the name of the query")?;
        let parameters = if self.is("(") { self.parameters()? } else { Vec::new() };
        let span = self.since(start);
        self.rule_annotations()?;
        let condition = self.conditions("end")?;
        self.advance();
        Ok(Query { name, parameters, condition, span })
    }

    fn rule_annotations(&mut self) -> Parsed<()> {
        while self.eat("@") {
            let (name, span) = self.qualified_name("an annotation")?;
            let text = self.annotation_value()?;
            if name == "Propagation" && text != "LAZY" {
                return Err(Diagnostic::new(span, "eager propagation is not supported"));
            }
        }
        Ok(())
    }

    fn rule(&mut self, start: Span) -> Parsed<Rule> {
        let name = self.text_or_word("the name of the rule")?;
        let mut rule = Rule {
            span: self.since(start),
            name,
            extends: None,
            attributes: Vec::new(),
            condition: Vec::new(),
            consequence: Vec::new(),
            named: Vec::new(),
        };
        if self.eat_word("extends") {
            let at = self.span();
            rule.extends = Some((self.text_or_word("the name of a rule")?, at));
        }
        self.rule_annotations()?;
        if self.eat_word("attributes") {
            self.eat(":");
        }
        while let Some(attribute) = self.attribute()? {
            rule.attributes.push(attribute);
            self.eat(",");
        }
        if self.eat_word("when") {
            self.eat(":");
            rule.condition = self.conditions("then")?;
        }
        if !self.is_word("then") {
            return Err(self.unexpected("an attribute, `when` or `then`"));
        }
        self.advance();
        rule.consequence = self.consequence()?;
        while self.eat_word("then") {
            self.expect("[")?;
            let (name, _) = self.identifier("the name of a consequence")?;
            self.expect("]")?;
            let body = self.consequence()?;
            rule.named.push((name, body));
        }
        self.advance();
        self.eat(";");
        Ok(rule)
    }

    /// `no-loop`, `salience 10`, `agenda-group "kyc"` …, or nothing if no attribute stands here.
    fn attribute(&mut self) -> Parsed<Option<Attribute>> {
        let start = self.span();
        let starts = |parser: &Self, name: &str| {
            name.split('-').enumerate().all(|(index, part)| {
                parser.is_word_at(index * 2, part) && (index == 0 || parser.is_at(index * 2 - 1, "-"))
            })
        };
        for refused in REFUSED_ATTRIBUTES {
            if self.is_word(refused) {
                return Err(Diagnostic::new(start, format!("the attribute {refused} is not supported")));
            }
        }
        let Some(name) = ATTRIBUTES.iter().find(|name| starts(self, name)) else {
            return Ok(None);
        };
        for _ in 0..name.matches('-').count() * 2 + 1 {
            self.advance();
        }
        let span = self.since(start);
        let value = self.attribute_value(name)?;
        Ok(Some(Attribute { name: (*name).to_owned(), value, span: self.since(span) }))
    }

    fn attribute_value(&mut self, name: &str) -> Parsed<Option<Expression>> {
        let start = self.span();
        match name {
            "salience" => {
                let negative = self.is("-");
                if negative || self.is("(") || self.is_identifier_at(0) || !self.is(")") {
                    return Ok(Some(self.salience(negative)?));
                }
                Err(self.unexpected("a number or an expression"))
            }
            "no-loop" | "lock-on-active" | "auto-focus" | "enabled" => {
                if self.is("(") {
                    return Ok(Some(self.expression()?));
                }
                for (word, value) in [("true", true), ("false", false)] {
                    if self.eat_word(word) {
                        let kind = ExpressionKind::Literal(Literal::Boolean(value));
                        return Ok(Some(Expression { kind, span: start }));
                    }
                }
                Ok(None)
            }
            _ => {
                let text = self.text_or_word("a text")?;
                let kind = ExpressionKind::Literal(Literal::String(text.into_bytes()));
                Ok(Some(Expression { kind, span: self.since(start) }))
            }
        }
    }

    /// A number with an optional sign, a name, or an expression in parentheses: nothing after it belongs to it.
    fn salience(&mut self, negative: bool) -> Parsed<Expression> {
        let start = self.span();
        if negative {
            self.advance();
        }
        let kind = match self.kind().clone() {
            super::lexer::TokenKind::Integer(value) => {
                self.advance();
                let value = if negative { value.wrapping_neg() } else { value };
                ExpressionKind::Literal(Literal::Integer(value))
            }
            super::lexer::TokenKind::Identifier(name) if !negative => {
                self.advance();
                ExpressionKind::Name(name)
            }
            _ if self.is("(") && !negative => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            _ => return Err(self.unexpected("a number or an expression in parentheses")),
        };
        Ok(Expression { kind, span: self.since(start) })
    }
}
