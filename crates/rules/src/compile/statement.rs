//! Statements.

use super::emitter::{Emitter, Enclosing, Label, Protected, Purpose};
use super::{Compiled, dynamic};
use crate::heap::Value;
use crate::program::{Handler, Op, Register, Test};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{
    BinaryOperator, Catch, Expression, ExpressionKind as E, Statement, StatementKind as S, SwitchGroup, TypeName,
};
use crate::types::{Type, class};

impl Emitter<'_> {
    pub(crate) fn statement(&mut self, statement: &Statement) -> Compiled<()> {
        let span = statement.span;
        self.known_calls.clear();
        match &statement.kind {
            S::Empty => {}
            S::Local { ty, declarators } => {
                for (name, dimensions, value) in declarators {
                    self.local(ty, *dimensions, name, value.as_ref(), span)?;
                }
            }
            S::Expression(expression) => self.discard(expression)?,
            S::Block(body) => {
                self.push_scope();
                let mark = self.mark();
                for inner in body {
                    self.statement(inner)?;
                }
                self.known_calls.clear();
                self.release(mark);
                self.pop_scope();
            }
            S::If(test, yes, no) => self.if_statement(test, yes, no.as_deref(), span)?,
            S::While(test, body) => self.loop_statement(None, Some(test), &[], body, true, span)?,
            S::DoWhile(body, test) => self.loop_statement(None, Some(test), &[], body, false, span)?,
            S::For { init, test, update, body } => {
                self.push_scope();
                let mark = self.mark();
                for statement in init {
                    self.statement(statement)?;
                }
                self.loop_statement(None, test.as_ref(), update, body, true, span)?;
                self.release(mark);
                self.pop_scope();
            }
            S::ForEach { ty, name, items, body } => self.for_each(None, ty, name, items, body, span)?,
            S::Labelled(label, body) => self.labelled(label, body)?,
            S::Return(value) => self.return_statement(value.as_ref(), span)?,
            S::Break(label) => self.leave(label.as_deref(), true, span)?,
            S::Continue(label) => self.leave(label.as_deref(), false, span)?,
            S::Throw(value) => {
                let mark = self.mark();
                let (from, ty) = self.operand(value)?;
                if !ty.class().is_some_and(|class| self.env.classes.is_subclass(class, class::THROWABLE)) {
                    return Err(Diagnostic::new(value.span, format!("{} cannot be thrown", self.env.show(&ty))));
                }
                self.emit(Op::Throw { from }, span);
                self.release(mark);
            }
            S::Try { body, catches, finally } => self.try_statement(body, catches, finally.as_deref(), span)?,
            S::Switch { on, groups, arrows } => self.switch(on, groups, *arrows, span)?,
            S::Modify { target, calls } => {
                if self.purpose != Purpose::Consequence {
                    return Err(Diagnostic::new(span, "`modify` belongs in a consequence"));
                }
                self.modify(target, calls, span)?;
            }
        }
        Ok(())
    }

    fn local(
        &mut self,
        ty: &TypeName,
        dimensions: u8,
        name: &str,
        value: Option<&Expression>,
        span: Span,
    ) -> Compiled<()> {
        if self.scopes.last().is_some_and(|scope| scope.contains_key(name)) {
            return Err(Diagnostic::new(span, format!("the variable `{name}` is already declared here")));
        }
        let inferred = ty.name == "var" && self.env.classes.find("var").is_none();
        let mut resolved = match (inferred, value) {
            (true, Some(value)) => self.type_of(value)?,
            (true, None) => return Err(Diagnostic::new(span, "`var` needs a value")),
            _ => self.env.resolve(ty)?,
        };
        for _ in 0..dimensions {
            resolved = Type::Array(resolved.into());
        }
        if resolved == Type::Void {
            return Err(Diagnostic::new(ty.span, "a variable cannot be void"));
        }
        let register = self.register(span)?;
        match value {
            Some(value) => self.typed(value, &resolved, register)?,
            None => self.load_constant(super::expression::default_value(&resolved), register, span)?,
        }
        self.bind(name, super::emitter::Local { register, ty: resolved, literal: None, is_fact: false });
        Ok(())
    }

    fn if_statement(&mut self, test: &Expression, yes: &Statement, no: Option<&Statement>, span: Span) -> Compiled<()> {
        let (otherwise, end) = (self.label(), self.label());
        self.push_scope();
        let mark = self.mark();
        self.branch(test, false, otherwise)?;
        self.statement(yes)?;
        if let Some(no) = no {
            self.jump(end, span);
            self.place(otherwise);
            self.statement(no)?;
        } else {
            self.place(otherwise);
        }
        self.place(end);
        self.known_calls.clear();
        // A pattern variable of the test stays in scope after `if (!(x instanceof T t)) return;`.
        let bound = self.scopes.pop().unwrap_or_default();
        if bound.is_empty() {
            self.release(mark);
        } else if let Some(scope) = self.scopes.last_mut() {
            scope.extend(bound);
        }
        Ok(())
    }

    fn loop_statement(
        &mut self,
        label: Option<&str>,
        test: Option<&Expression>,
        update: &[Expression],
        body: &Statement,
        test_first: bool,
        span: Span,
    ) -> Compiled<()> {
        let (start, check, next, end) = (self.label(), self.label(), self.label(), self.label());
        self.enter_loop(label, end, next);
        if test_first {
            self.jump(check, span);
        }
        self.place(start);
        self.statement(body)?;
        self.place(next);
        for expression in update {
            self.known_calls.clear();
            self.discard(expression)?;
        }
        self.known_calls.clear();
        self.place(check);
        match test {
            Some(test) => self.branch(test, true, start)?,
            None => self.jump(start, span),
        }
        self.known_calls.clear();
        self.enclosing.pop();
        self.place(end);
        Ok(())
    }

    fn enter_loop(&mut self, label: Option<&str>, on_break: Label, on_continue: Label) {
        self.enclosing.push(Enclosing {
            label: label.map(str::to_owned),
            on_break,
            on_continue: Some(on_continue),
            finally_depth: self.protected.len(),
        });
    }

    fn for_each(
        &mut self,
        label: Option<&str>,
        ty: &TypeName,
        name: &str,
        items: &Expression,
        body: &Statement,
        span: Span,
    ) -> Compiled<()> {
        self.push_scope();
        let mark = self.mark();
        let source = self.register(span)?;
        let items_type = self.value(items, source)?;
        let element = match &items_type {
            Type::Array(element) => (**element).clone(),
            Type::Class(class, _) if self.env.classes.is_subclass(*class, class::ITERABLE) => items_type.argument(0),
            other => {
                let message = format!("{} cannot be iterated over", self.env.show(other));
                return Err(Diagnostic::new(items.span, message));
            }
        };
        let inferred = ty.name == "var" && self.env.classes.find("var").is_none();
        let resolved = if inferred { element.clone() } else { self.env.resolve(ty)? };
        let variable = self.register(span)?;
        self.bind(
            name,
            super::emitter::Local { register: variable, ty: resolved.clone(), literal: None, is_fact: false },
        );
        let (start, check, end) = (self.label(), self.label(), self.label());
        let (at, state) = (self.register(span)?, self.register(span)?);
        self.enter_loop(label, end, check);
        let is_array = matches!(items_type, Type::Array(_));
        if is_array {
            self.load_constant(Value::Integer(-1), at, span)?;
            self.emit(Op::ArrayLength { to: state, of: source }, span);
        } else {
            self.emit(Op::Iterate { to: at, over: source }, span);
        }
        self.jump(check, span);
        self.place(start);
        if is_array {
            self.emit(Op::ArrayGet { to: variable, of: source, at }, span);
        } else {
            self.emit(Op::Step { to: variable, state: at, over: source }, span);
        }
        let raw = matches!(&items_type, Type::Class(_, arguments) if arguments.is_empty());
        let from = if raw && self.source_is_generic(items) { dynamic() } else { element };
        self.coerce(items, variable, &from, &resolved)?;
        self.statement(body)?;
        self.place(check);
        let target = self.target(start);
        if is_array {
            self.emit(Op::IntStep { to: at, left: at, by: 1 }, span);
            self.emit(Op::JumpInt { test: Test::Less, left: at, right: state, target }, span);
        } else {
            self.emit(Op::JumpMore { state: at, over: source, target }, span);
        }
        self.enclosing.pop();
        self.place(end);
        self.known_calls.clear();
        self.release(mark);
        self.pop_scope();
        Ok(())
    }

    /// Collections whose element type was lost on the way, as in `map.entrySet()` on a raw map.
    fn source_is_generic(&self, items: &Expression) -> bool {
        matches!(items.kind, E::Call { .. })
    }

    fn labelled(&mut self, label: &str, body: &Statement) -> Compiled<()> {
        match &body.kind {
            S::While(test, inner) => self.loop_statement(Some(label), Some(test), &[], inner, true, body.span),
            S::DoWhile(inner, test) => self.loop_statement(Some(label), Some(test), &[], inner, false, body.span),
            S::For { init, test, update, body: inner } => {
                self.push_scope();
                for statement in init {
                    self.statement(statement)?;
                }
                self.loop_statement(Some(label), test.as_ref(), update, inner, true, body.span)?;
                self.pop_scope();
                Ok(())
            }
            S::ForEach { ty, name, items, body: inner } => {
                self.for_each(Some(label), ty, name, items, inner, body.span)
            }
            _ => {
                let end = self.label();
                let finally_depth = self.protected.len();
                let label = Some(label.to_owned());
                self.enclosing.push(Enclosing { label, on_break: end, on_continue: None, finally_depth });
                self.statement(body)?;
                self.enclosing.pop();
                self.place(end);
                Ok(())
            }
        }
    }

    /// `break` and `continue`, through the `finally` blocks between here and there.
    fn leave(&mut self, label: Option<&str>, breaks: bool, span: Span) -> Compiled<()> {
        let floor = self.inlined.last().map_or(0, |inlined| inlined.enclosing);
        let found = self.enclosing[floor..].iter().rev().find(|enclosing| match label {
            Some(label) => enclosing.label.as_deref() == Some(label),
            None => enclosing.label.is_none() && breaks || enclosing.on_continue.is_some(),
        });
        let Some(found) = found else {
            let word = if breaks { "break" } else { "continue" };
            return Err(Diagnostic::new(span, format!("there is nothing to `{word}` here")));
        };
        let target = if breaks { Some(found.on_break) } else { found.on_continue };
        let Some(target) = target else {
            return Err(Diagnostic::new(span, "only loops can be continued"));
        };
        self.run_finally(found.finally_depth)?;
        self.jump(target, span);
        Ok(())
    }

    /// Emits the `finally` blocks that are open above `depth`, innermost first.
    fn run_finally(&mut self, depth: usize) -> Compiled<()> {
        let mut exited = Vec::new();
        while self.protected.len() > depth {
            let Some(mut protected) = self.protected.pop() else {
                break;
            };
            let at = self.position();
            protected.ranges.push((protected.start, at));
            let body = protected.finally.clone();
            exited.push(protected);
            self.push_scope();
            for statement in &body {
                self.statement(statement)?;
            }
            self.pop_scope();
        }
        let at = self.position();
        while let Some(mut protected) = exited.pop() {
            protected.start = at;
            self.protected.push(protected);
        }
        Ok(())
    }

    fn return_statement(&mut self, value: Option<&Expression>, span: Span) -> Compiled<()> {
        let mark = self.mark();
        let (result, returns, depth) = match self.inlined.last() {
            Some(inlined) => (Some(inlined.result), inlined.returns.clone(), inlined.finally_depth),
            None => (None, self.returns.clone(), 0),
        };
        let register = match (value, &returns) {
            (None, Type::Void) => self.register(span)?,
            (None, _) => return Err(Diagnostic::new(span, "a value must be returned")),
            (Some(value), Type::Void) => {
                return Err(Diagnostic::new(value.span, "nothing can be returned here"));
            }
            (Some(value), ty) => {
                // With a `finally` to run the value waits in a register of its own.
                let to = match result {
                    Some(result) if self.protected.len() <= depth => result,
                    _ => self.register(span)?,
                };
                self.typed(value, ty, to)?;
                to
            }
        };
        self.run_finally(depth)?;
        match (result, self.inlined.last().map(|inlined| inlined.end)) {
            (Some(result), Some(end)) => {
                if result != register && value.is_some() {
                    self.emit(Op::Move { to: result, from: register }, span);
                }
                self.jump(end, span);
            }
            _ => {
                if value.is_none() {
                    self.load_constant(Value::Null, register, span)?;
                }
                self.emit(Op::Return { from: register }, span);
            }
        }
        self.release(mark);
        Ok(())
    }

    fn try_statement(
        &mut self,
        body: &[Statement],
        catches: &[Catch],
        finally: Option<&[Statement]>,
        span: Span,
    ) -> Compiled<()> {
        let end = self.label();
        let exception = self.register(span)?;
        if let Some(finally) = finally {
            let start = self.position();
            self.protected.push(Protected { finally: finally.to_vec(), ranges: Vec::new(), start });
        }
        let start = self.position();
        self.scoped(body)?;
        let body_end = self.position();
        self.jump(end, span);
        for catch in catches {
            let target = self.label();
            let mut classes = Vec::new();
            for name in &catch.types {
                match self.env.resolve(name)? {
                    Type::Class(class, _) if self.env.classes.is_subclass(class, class::THROWABLE) => {
                        classes.push(class)
                    }
                    _ => {
                        return Err(Diagnostic::new(name.span, format!("`{}` is not an exception", name.name)));
                    }
                }
            }
            let ty = if classes.len() == 1 { Type::of(classes[0]) } else { Type::of(class::THROWABLE) };
            self.place(target);
            let target = self.target(target);
            self.handlers.push(Handler { start, end: body_end, target, register: exception, classes });
            self.push_scope();
            let local = super::emitter::Local { register: exception, ty, literal: None, is_fact: false };
            self.bind(&catch.name, local);
            self.scoped(&catch.body)?;
            self.pop_scope();
            self.jump(end, span);
        }
        if let Some(finally) = finally {
            let Some(mut protected) = self.protected.pop() else {
                return Ok(());
            };
            let at = self.position();
            protected.ranges.push((protected.start, at));
            let target = self.label();
            self.place(target);
            let target = self.target(target);
            for (start, end) in protected.ranges {
                if start < end {
                    self.handlers.push(Handler { start, end, target, register: exception, classes: Vec::new() });
                }
            }
            self.scoped(finally)?;
            self.emit(Op::Throw { from: exception }, span);
            self.place(end);
            self.scoped(finally)?;
        } else {
            self.place(end);
        }
        Ok(())
    }

    fn scoped(&mut self, body: &[Statement]) -> Compiled<()> {
        self.push_scope();
        let mark = self.mark();
        for statement in body {
            self.statement(statement)?;
        }
        self.known_calls.clear();
        self.release(mark);
        self.pop_scope();
        Ok(())
    }

    fn switch(&mut self, on: &Expression, groups: &[SwitchGroup], arrows: bool, span: Span) -> Compiled<()> {
        let mark = self.mark();
        let subject = self.register(span)?;
        let ty = self.value(on, subject)?;
        let is_enum = ty.class().is_some_and(|class| self.env.classes.get(class).is_enum);
        let kind = match ty.unboxed() {
            Some(unboxed) if unboxed.rank().is_some_and(|rank| rank <= 4) => {
                self.convert(subject, &Type::Int, span);
                Type::Int
            }
            _ if ty.is_class(class::STRING) || is_enum => {
                self.emit(Op::NotNull { on: subject }, span);
                ty.clone()
            }
            _ => {
                return Err(Diagnostic::new(on.span, format!("`switch` does not work on {}", self.env.show(&ty))));
            }
        };
        let end = self.label();
        let labels: Vec<Label> = groups.iter().map(|_| self.label()).collect();
        for (group, label) in groups.iter().zip(&labels) {
            for case in &group.labels {
                self.switch_case(case, subject, &kind, is_enum, *label)?;
            }
        }
        let default = groups.iter().position(|group| group.default);
        self.jump(default.map_or(end, |index| labels[index]), span);
        let finally_depth = self.protected.len();
        self.enclosing.push(Enclosing { label: None, on_break: end, on_continue: None, finally_depth });
        self.push_scope();
        for (group, label) in groups.iter().zip(&labels) {
            self.place(*label);
            for statement in &group.body {
                self.statement(statement)?;
            }
            if arrows {
                self.jump(end, span);
            }
        }
        self.pop_scope();
        self.enclosing.pop();
        self.place(end);
        self.release(mark);
        Ok(())
    }

    fn switch_case(
        &mut self,
        case: &Expression,
        subject: Register,
        kind: &Type,
        is_enum: bool,
        label: Label,
    ) -> Compiled<()> {
        let mark = self.mark();
        let span = case.span;
        let value = self.register(span)?;
        let target = self.target(label);
        if *kind == Type::Int {
            let ty = self.value(case, value)?;
            if ty != Type::Int {
                self.convert(value, &Type::Int, span);
            }
            self.emit(Op::JumpInt { test: Test::Equal, left: subject, right: value, target }, span);
        } else {
            match (&case.kind, kind) {
                (E::Name(name), Type::Class(class, _)) if is_enum => {
                    let constants = &self.env.classes.get(*class).constants;
                    let Some(ordinal) = constants.iter().position(|constant| **constant == **name) else {
                        return Err(Diagnostic::new(span, format!("unknown constant `{name}`")));
                    };
                    self.enum_constant(*class, ordinal, value, span)?;
                }
                _ => self.typed(case, kind, value)?,
            }
            let to = self.register(span)?;
            let which = crate::program::Intrinsic::Equals;
            self.emit(Op::Intrinsic { which, to, first: subject, second: value }, span);
            self.emit(Op::JumpIf { on: to, target }, span);
        }
        self.release(mark);
        Ok(())
    }

    /// A comparison of two expressions made by the compiler itself.
    pub(crate) fn equal_test(left: Expression, right: Expression) -> Expression {
        let span = left.span;
        Expression { kind: E::Binary(BinaryOperator::Equal, Box::new(left), Box::new(right)), span }
    }
}
