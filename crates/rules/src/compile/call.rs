//! Calls: functions of the rule file, methods of the library, accessors of declared types, and what a
//! consequence asks of the engine.

use super::emitter::{Emitter, Inlined, Local, Purpose};
use super::expression::capitalise;
use super::names::{assigned_names, decapitalise, names_in_expression, names_in_statements, property_of_setter};
use super::{Compiled, Inlining, Signature, dynamic};
use crate::library::{Found, Query};
use crate::network::Mask;
use crate::program::{Intrinsic, Op, Register};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{Expression, ExpressionKind as E, LambdaBody, Statement, StatementKind};
use crate::syntax::dotted;
use crate::types::{Type, class};

/// Inlining goes no deeper than this, and not where registers run short.
const INLINE_DEPTH: usize = 4;
const INLINE_REGISTERS: usize = 120;
/// Nor a large function where more than these are taken.
const FEW_REGISTERS: usize = 32;

impl Emitter<'_> {
    pub(super) fn call(
        &mut self,
        whole: &Expression,
        target: Option<&Expression>,
        name: &str,
        arguments: &[Expression],
        null_safe: bool,
        to: Register,
    ) -> Compiled<Type> {
        let span = whole.span;
        let Some(target) = target else {
            return self.plain_call(name, arguments, to, span);
        };
        if self.purpose == Purpose::Consequence {
            if let Some(ty) = self.engine_call(target, name, arguments, to, span)? {
                return Ok(ty);
            }
        }
        if let Some(class) = self.as_class(target) {
            return self.static_call(class, name, arguments, to, span);
        }
        if !null_safe {
            return self.method_call(target, name, arguments, to, span);
        }
        let end = self.label();
        let (on, _) = self.operand(target)?;
        self.load_constant(crate::heap::Value::Null, to, span)?;
        let label = self.target(end);
        self.emit(Op::JumpNull { on, target: label }, span);
        let ty = self.method_call(target, name, arguments, to, span)?;
        self.place(end);
        Ok(ty.boxed())
    }

    /// `f(…)`: a function, a method of `this`, or an action.
    fn plain_call(&mut self, name: &str, arguments: &[Expression], to: Register, span: Span) -> Compiled<Type> {
        if self.purpose == Purpose::Consequence && self.action(name, arguments, span)? {
            return Ok(Type::Void);
        }
        if let Some(candidates) = self.env.functions.get(name) {
            let fitting: Vec<Signature> =
                candidates.iter().filter(|s| s.parameters.len() == arguments.len()).cloned().collect();
            return match &fitting[..] {
                [] => {
                    let wanted = candidates[0].parameters.len();
                    let message = format!("`{name}` takes {wanted} arguments, {} given", arguments.len());
                    Err(Diagnostic::new(span, message))
                }
                [one] => self.function_call(one, arguments, to, span),
                several => {
                    let chosen = self.overload(several, arguments)?;
                    self.function_call(&several[chosen], arguments, to, span)
                }
            };
        }
        if let Some((register, ty)) = self.this.clone() {
            let receiver = Expression { kind: E::This, span };
            let known = self.library_knows(&ty, name);
            if known {
                let _ = register;
                return self.method_call(&receiver, name, arguments, to, span);
            }
        }
        Err(Diagnostic::new(span, format!("unknown function `{name}`")))
    }

    fn library_knows(&self, ty: &Type, name: &str) -> bool {
        let Some(class) = ty.class() else {
            return false;
        };
        self.accessor(class, name).is_some() || self.env.library.has_method(&self.env.classes, class, name)
    }

    fn overload(&mut self, candidates: &[Signature], arguments: &[Expression]) -> Compiled<usize> {
        let mut types = Vec::new();
        for argument in arguments {
            types.push(self.type_of(argument)?);
        }
        let exact = candidates.iter().position(|s| s.parameters.iter().zip(&types).all(|((_, p), t)| p == t));
        let loose = || {
            candidates.iter().position(|s| {
                s.parameters.iter().zip(&types).all(|((_, p), t)| {
                    self.env.is_assignable(&t.boxed(), &p.boxed()) || t.is_numeric() && p.is_primitive()
                })
            })
        };
        Ok(exact.or_else(loose).unwrap_or(0))
    }

    fn function_call(
        &mut self,
        signature: &Signature,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        let pure = self.purpose == Purpose::Constraint && signature.pure;
        let key = if pure { self.call_key(&signature.body.name, arguments) } else { None };
        if let Some(key) = &key {
            if let Some((_, from, ty)) = self.known_calls.iter().find(|(known, _, _)| known == key).cloned() {
                self.emit(Op::Move { to, from }, span);
                return Ok(ty);
            }
        }
        let inlined = match signature.inlined {
            Inlining::Nowhere => false,
            Inlining::Once => self.inline_depth == 0 && self.mark() < FEW_REGISTERS,
            Inlining::Everywhere => self.inline_depth < INLINE_DEPTH && self.mark() < INLINE_REGISTERS,
        };
        if inlined {
            self.inline(signature, arguments, to, span)?;
        } else {
            let first = self.mark() as Register;
            for _ in arguments {
                self.register(span)?;
            }
            for (index, (argument, (_, ty))) in arguments.iter().zip(&signature.parameters).enumerate() {
                self.typed(argument, ty, first + index as Register)?;
            }
            self.emit(Op::Call { to, first, function: signature.code as u16 }, span);
        }
        if let Some(key) = key {
            // The result keeps a register of its own: `to` belongs to the caller.
            let copy = self.register(span)?;
            self.emit(Op::Move { to: copy, from: to }, span);
            self.known_calls.push((key, copy, signature.returns.clone()));
        }
        Ok(signature.returns.clone())
    }

    /// A text for a call whose arguments are all variables or literals.
    fn call_key(&self, name: &str, arguments: &[Expression]) -> Option<String> {
        let mut key = format!("{name}/{}", self.inline_depth);
        for argument in arguments {
            match &argument.kind {
                E::Name(variable) => key += &format!(",{}", self.lookup(variable)?.register),
                E::This => key += ",this",
                E::Literal(literal) => key += &format!(",{literal:?}"),
                _ => return None,
            }
        }
        Some(key)
    }

    /// The body of a small function in place of a call to it.
    fn inline(&mut self, signature: &Signature, arguments: &[Expression], to: Register, span: Span) -> Compiled<()> {
        let assigned = assigned_names(&signature.body.body);
        // An argument that is a variable has the value from before the arguments behind it.
        let changing = arguments.iter().any(super::names::assigns);
        let mut bound = Vec::new();
        for (argument, (name, ty)) in arguments.iter().zip(&signature.parameters) {
            let constant = !assigned.contains(name);
            let literal = self.literal_of(argument).filter(|_| constant && !ty.is_primitive());
            if literal.is_some() {
                bound.push((name, Local { register: 0, ty: ty.clone(), literal, is_fact: false }));
                continue;
            }
            if constant && !changing {
                let before = self.checkpoint();
                let (register, from) = self.operand(argument)?;
                if from == *ty || from.is_reference() && ty.is_reference() && self.env.is_assignable(&from, ty) {
                    bound.push((name, Local { register, ty: ty.clone(), literal: None, is_fact: false }));
                    continue;
                }
                self.take_back(before);
            }
            let register = self.register(span)?;
            self.typed(argument, ty, register)?;
            bound.push((name, Local { register, ty: ty.clone(), literal: None, is_fact: false }));
        }
        let scopes = std::mem::replace(&mut self.scopes, vec![Default::default()]);
        for (name, local) in bound {
            self.bind(name, local);
        }
        let this = self.this.take();
        let purpose = std::mem::replace(&mut self.purpose, Purpose::Function);
        let known = std::mem::take(&mut self.known_calls);
        let mark = self.mark();
        // Registers of remembered calls outlive the body.
        let kept = known.iter().map(|(_, register, _)| usize::from(*register) + 1).max().unwrap_or(0);
        if kept > mark {
            self.keep_through((kept - 1) as Register);
        }
        let end = self.label();
        let (enclosing, finally_depth) = (self.enclosing.len(), self.protected.len());
        self.inlined.push(Inlined { result: to, end, returns: signature.returns.clone(), enclosing, finally_depth });
        self.inline_depth += 1;
        let body = signature.body.clone();
        for statement in &body.body {
            self.statement(statement)?;
        }
        self.inline_depth -= 1;
        self.inlined.pop();
        self.place(end);
        self.known_calls = known;
        self.purpose = purpose;
        self.this = this;
        self.scopes = scopes;
        Ok(())
    }

    fn static_call(
        &mut self,
        of: u16,
        name: &str,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        if of == class::MATH && matches!(name, "abs" | "max" | "min") {
            if let Some(ty) = self.math_intrinsic(name, arguments, to, span)? {
                return Ok(ty);
            }
        }
        let info = self.env.classes.get(of);
        if info.is_enum && matches!((name, arguments.len()), ("valueOf", 1) | ("values", 0)) {
            return self.enum_call(of, name, arguments, to, span);
        }
        let receiver = Type::of(of);
        match self.library_call(None, &receiver, name, arguments, to, span)? {
            Some(ty) => Ok(ty),
            None => {
                let shown = self.env.show(&receiver);
                Err(Diagnostic::new(span, format!("{shown} has no static method `{name}` for these arguments")))
            }
        }
    }

    fn enum_call(&mut self, of: u16, name: &str, arguments: &[Expression], to: Register, span: Span) -> Compiled<Type> {
        let first = self.register(span)?;
        self.load_constant(crate::heap::Value::Integer(of.into()), first, span)?;
        if name == "values" {
            self.native_by_name(class::ENUM, "valuesOf", &[Type::Int], first, to, span)?;
            return Ok(Type::Array(Type::of(of).into()));
        }
        let second = self.register(span)?;
        self.typed(&arguments[0], &Type::string(), second)?;
        self.native_by_name(class::ENUM, "named", &[Type::Int, Type::string()], first, to, span)?;
        Ok(Type::of(of))
    }

    fn math_intrinsic(
        &mut self,
        name: &str,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        let mut types = Vec::new();
        for argument in arguments {
            types.push(self.type_of(argument)?.unboxed());
        }
        let rank = types.iter().map(|ty| ty.as_ref().and_then(Type::rank)).max().flatten();
        let which = match (name, arguments.len(), rank) {
            ("abs", 1, Some(7)) => Intrinsic::AbsoluteDouble,
            ("max", 2, Some(7)) => Intrinsic::MaximumDouble,
            ("min", 2, Some(7)) => Intrinsic::MinimumDouble,
            ("max", 2, Some(1..=4)) => Intrinsic::MaximumInt,
            ("min", 2, Some(1..=4)) => Intrinsic::MinimumInt,
            _ => return Ok(None),
        };
        if types.iter().any(|ty| ty.as_ref().and_then(Type::rank).is_none()) {
            return Ok(None);
        }
        let ty = if rank == Some(7) { Type::Double } else { Type::Int };
        let first = self.math_operand(&arguments[0], &ty)?;
        let second = if arguments.len() > 1 { self.math_operand(&arguments[1], &ty)? } else { first };
        self.emit(Op::Intrinsic { which, to, first, second }, span);
        Ok(Some(ty))
    }

    fn math_operand(&mut self, argument: &Expression, ty: &Type) -> Compiled<Register> {
        let (register, from) = self.operand(argument)?;
        self.promoted((register, &from), ty, argument.span)
    }

    /// `receiver.name(arguments)`.
    fn method_call(
        &mut self,
        receiver: &Expression,
        name: &str,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        let (on, ty) = match arguments.iter().any(super::names::assigns) {
            true => {
                let copy = self.register(receiver.span)?;
                let ty = self.value(receiver, copy)?;
                (copy, ty)
            }
            false => self.operand(receiver)?,
        };
        if ty.is_primitive() {
            if self.purpose == Purpose::Function {
                return Err(Diagnostic::new(span, format!("{} has no methods", self.env.show(&ty))));
            }
        } else if let Some(result) = self.intrinsic_call(on, &ty, name, arguments, to, span)? {
            return Ok(result);
        }
        let ty = ty.boxed();
        if let Some(result) = self.accessor_call(on, &ty, name, arguments, to, span)? {
            return Ok(result);
        }
        match self.library_call(Some(on), &ty, name, arguments, to, span)? {
            Some(result) => Ok(result),
            None => {
                let mut shown = Vec::new();
                for argument in arguments {
                    shown.push(match argument.kind {
                        E::Lambda { .. } | E::MethodReference(..) => "lambda".to_owned(),
                        _ => {
                            let ty = self.type_of(argument)?;
                            self.env.show(&ty)
                        }
                    });
                }
                let message = format!("{} has no method {name}({})", self.env.show(&ty), shown.join(", "));
                let error = Diagnostic::new(span, message);
                let vague = ty.is_class(class::OBJECT);
                Err(if vague { error.with_hint("cast the value to its type first") } else { error })
            }
        }
    }

    fn intrinsic_call(
        &mut self,
        on: Register,
        ty: &Type,
        name: &str,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        let Some(of) = ty.class() else {
            return Ok(None);
        };
        let is = |emitter: &Self, class: u16| emitter.env.classes.is_subclass(of, class);
        let boxed_number = ty.is_numeric() || of == class::NUMBER;
        let (which, result) = match (name, arguments.len()) {
            ("size", 0) if is(self, class::COLLECTION) || is(self, class::MAP) => (Intrinsic::Size, Type::Int),
            ("length", 0) if of == class::STRING => (Intrinsic::Length, Type::Int),
            ("toString", 0) if !self.env.classes.get(of).is_declared => (Intrinsic::ToString, Type::string()),
            ("doubleValue", 0) if boxed_number => (Intrinsic::DoubleValue, Type::Double),
            ("intValue", 0) if boxed_number => (Intrinsic::IntValue, Type::Int),
            ("longValue", 0) if boxed_number => (Intrinsic::LongValue, Type::Long),
            ("get", 1) if is(self, class::MAP) => {
                self.map_get(on, ty, &arguments[0], to, span)?;
                return Ok(Some(ty.argument(1)));
            }
            ("containsKey", 1) if is(self, class::MAP) => (Intrinsic::MapContains, Type::Boolean),
            ("put", 2) if is(self, class::MAP) => {
                let (key, _) = self.saved_operand(&arguments[0], &arguments[1])?;
                let from = self.register(span)?;
                self.typed(&arguments[1], &Type::object(), from)?;
                self.emit(Op::MapPut { map: on, key, from, to }, span);
                return Ok(Some(ty.argument(1)));
            }
            ("equals", 1) => (Intrinsic::Equals, Type::Boolean),
            ("get", 1) if is(self, class::LIST) => {
                let second = self.int_operand(&arguments[0])?;
                self.emit(Op::Intrinsic { which: Intrinsic::ListGet, to, first: on, second }, span);
                return Ok(Some(ty.argument(0)));
            }
            ("charAt", 1) if of == class::STRING => {
                let second = self.int_operand(&arguments[0])?;
                self.emit(Op::Intrinsic { which: Intrinsic::CharAt, to, first: on, second }, span);
                return Ok(Some(Type::Char));
            }
            ("equalsIgnoreCase", 1) if of == class::STRING => {
                let second = self.register(span)?;
                self.typed(&arguments[0], &Type::string(), second)?;
                self.emit(Op::Intrinsic { which: Intrinsic::EqualsIgnoreCase, to, first: on, second }, span);
                return Ok(Some(Type::Boolean));
            }
            ("add", 1) if is(self, class::LIST) => (Intrinsic::ListAdd, Type::Boolean),
            _ => return Ok(None),
        };
        let second = match arguments.first() {
            // Boxing is no operation here: any value will do, but there must be one.
            Some(argument) => {
                let (register, ty) = self.operand(argument)?;
                if ty == Type::Void {
                    return Err(Diagnostic::new(argument.span, "this call returns nothing"));
                }
                register
            }
            None => on,
        };
        self.emit(Op::Intrinsic { which, to, first: on, second }, span);
        Ok(Some(result))
    }

    /// An int argument: a variable's own register where it is one.
    fn int_operand(&mut self, argument: &Expression) -> Compiled<Register> {
        if self.type_of(argument)? == Type::Int {
            return Ok(self.operand(argument)?.0);
        }
        let register = self.register(argument.span)?;
        self.typed(argument, &Type::Int, register)?;
        Ok(register)
    }

    /// The field that a getter or setter of a declared type is for, and whether it sets.
    fn accessor(&self, class: u16, name: &str) -> Option<(usize, Type, bool)> {
        let info = self.env.classes.get(class);
        if !info.is_declared {
            return None;
        }
        if let Some(property) = property_of_setter(name) {
            let found = self.env.field(class, &property).or_else(|| self.env.field(class, &name[3..]))?;
            return Some((found.0, found.1, true));
        }
        let rest = name.strip_prefix("get").or_else(|| name.strip_prefix("is"))?;
        if rest.is_empty() || capitalise(rest) != rest {
            return None;
        }
        let (at, ty) = self.env.field(class, &decapitalise(rest)).or_else(|| {
            let lower = rest.chars().next()?.to_lowercase().collect::<String>() + &rest[1..];
            self.env.field(class, &lower)
        })?;
        Some((at, ty, false))
    }

    fn accessor_call(
        &mut self,
        on: Register,
        ty: &Type,
        name: &str,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        let Some((field, field_type, sets)) = ty.class().and_then(|class| self.accessor(class, name)) else {
            return Ok(None);
        };
        let field = field as u8;
        match (sets, arguments) {
            (true, [value]) => {
                let from = self.register(span)?;
                self.typed(value, &field_type, from)?;
                self.emit(Op::SetField { of: on, field, from }, span);
                Ok(Some(Type::Void))
            }
            (false, []) => {
                self.emit(Op::GetField { to, of: on, field }, span);
                Ok(Some(field_type))
            }
            _ => Ok(None),
        }
    }

    /// Compiles arguments, picks the method that takes them, converts them and calls it.
    fn library_call(
        &mut self,
        receiver: Option<Register>,
        of: &Type,
        name: &str,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        let first = self.mark() as Register;
        let offset = usize::from(receiver.is_some());
        for _ in 0..arguments.len() + offset {
            self.register(span)?;
        }
        if let Some(from) = receiver {
            self.emit(Op::Move { to: first, from }, span);
        }
        let mut types = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let at = first + (index + offset) as Register;
            types.push(match &argument.kind {
                E::Lambda { .. } | E::MethodReference(..) => Type::of(class::FUNCTION),
                _ => self.value(argument, at)?,
            });
        }
        let query = Query { of: of.clone(), name, arguments: &types, is_static: receiver.is_none() };
        let Some(mut found) = self.env.library.find(self.env, &query) else {
            return Ok(None);
        };
        for (index, argument) in arguments.iter().enumerate() {
            let at = first + (index + offset) as Register;
            if matches!(argument.kind, E::Lambda { .. } | E::MethodReference(..)) {
                let parameters = found.lambda_parameters(index);
                let result = self.lambda(argument, &parameters, at)?;
                found.lambda_result(&result);
            }
        }
        self.finish_call(found, arguments, &types, first, offset, to, span)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of library_call, split for length")]
    fn finish_call(
        &mut self,
        found: Found,
        arguments: &[Expression],
        types: &[Type],
        first: Register,
        offset: usize,
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        for (index, (argument, ty)) in arguments.iter().zip(types).enumerate() {
            let Some(wanted) = found.parameter(index) else {
                continue;
            };
            if !wanted.is_class(class::FUNCTION) && !wanted.is_class(class::COMPARATOR) {
                self.coerce(argument, first + (index + offset) as Register, ty, &wanted)?;
            }
        }
        if let Some(fixed) = found.packed_from() {
            let packed = first + (fixed + offset) as Register;
            let count = (arguments.len() - fixed) as u8;
            if count == 0 {
                self.register(span)?;
            }
            self.emit(Op::NewArray { to: packed, first: packed, count, kind: 9 }, span);
        }
        self.emit(Op::Native { to, first, method: found.index }, span);
        Ok(Some(found.returns()))
    }

    /// Calls a library method whose arguments already stand in consecutive registers.
    pub(super) fn native_by_name(
        &mut self,
        of: u16,
        name: &str,
        types: &[Type],
        first: Register,
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        let query = Query { of: Type::of(of), name, arguments: types, is_static: true };
        match self.env.library.find(self.env, &query) {
            Some(found) => {
                self.emit(Op::Native { to, first, method: found.index }, span);
                Ok(found.returns())
            }
            None => Err(Diagnostic::new(span, format!("the engine lacks {}.{name}", self.env.classes.get(of).simple))),
        }
    }

    /// A method on a receiver that stands in `first`, with its arguments behind it.
    pub(super) fn instance_call(
        &mut self,
        of: &Type,
        name: &str,
        types: &[Type],
        first: Register,
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        if types.is_empty() && name == "toString" {
            return Ok(None);
        }
        let query = Query { of: of.clone(), name, arguments: types, is_static: false };
        let Some(found) = self.env.library.find(self.env, &query) else {
            return Ok(None);
        };
        self.emit(Op::Native { to, first, method: found.index }, span);
        Ok(Some(found.returns()))
    }

    pub(super) fn constructor(
        &mut self,
        ty: &Type,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        match self.library_call(None, ty, "new", arguments, to, span)? {
            Some(_) => Ok(ty.clone()),
            None => {
                let message = format!("{} cannot be created with these arguments", self.env.show(ty));
                Err(Diagnostic::new(span, message))
            }
        }
    }

    /// Compiles a lambda into a function of its own; returns the type of its result.
    fn lambda(&mut self, expression: &Expression, parameters: &[Type], to: Register) -> Compiled<Type> {
        let span = expression.span;
        let (names, body) = match &expression.kind {
            E::Lambda { parameters: names, body } => (names.clone(), body.clone()),
            E::MethodReference(target, method) => self.method_reference(target, method, parameters.len(), span),
            _ => return Err(Diagnostic::new(span, "expected a lambda")),
        };
        let used = match &*body {
            LambdaBody::Expression(inner) => names_in_expression(inner),
            LambdaBody::Block(statements) => names_in_statements(statements),
        };
        let captured: Vec<(String, Local)> = used
            .into_iter()
            .filter(|name| !names.contains(name))
            .filter_map(|name| self.lookup(&name).cloned().map(|local| (name, local)))
            .collect();
        let first = self.mark() as Register;
        let purpose = if self.purpose == Purpose::Consequence { Purpose::Function } else { self.purpose };
        let mut count = 0;
        for (_, local) in captured.iter().filter(|(_, local)| local.literal.is_none()) {
            let register = self.register(span)?;
            self.emit(Op::Move { to: register, from: local.register }, span);
            count += 1;
        }
        let mut inner = Emitter::new(self.env, purpose);
        for (name, local) in &captured {
            match local.literal {
                Some(_) => inner.bind(name, local.clone()),
                None => {
                    inner.declare(name, local.ty.clone(), span)?;
                }
            }
        }
        for (index, name) in names.iter().enumerate() {
            inner.declare(name, parameters.get(index).cloned().unwrap_or_else(dynamic), span)?;
        }
        inner.returns = dynamic();
        let result = match &*body {
            LambdaBody::Expression(value) => {
                let register = inner.register(span)?;
                let ty = inner.value(value, register)?;
                inner.emit(Op::Return { from: register }, span);
                ty
            }
            LambdaBody::Block(statements) => {
                for statement in statements {
                    inner.statement(statement)?;
                }
                dynamic()
            }
        };
        let code = inner.finish("lambda", span)?;
        let function = self.env.add_code(code) as u16;
        self.emit(Op::Lambda { to, first, count, function }, span);
        Ok(result.boxed())
    }

    /// `Type::method` as a lambda that calls it.
    fn method_reference(
        &self,
        target: &Expression,
        method: &str,
        arity: usize,
        span: Span,
    ) -> (Vec<String>, Box<LambdaBody>) {
        let arity = arity.max(1);
        let names: Vec<String> = (0..arity).map(|index| format!("argument {index}")).collect();
        let name = |index: usize| Expression { kind: E::Name(names[index].clone()), span };
        let class = self.as_class(target);
        let is_static = class.is_some_and(|class| self.env.library.has_static(class, method));
        let all = (0..arity).map(name);
        let kind = if method == "new" {
            let ty = crate::syntax::ast::TypeName {
                name: dotted(target).unwrap_or_default(),
                arguments: Vec::new(),
                dimensions: 0,
                span,
            };
            E::New { ty, arguments: Vec::new() }
        } else if is_static || class.is_none() {
            let target = Some(Box::new(target.clone()));
            E::Call { target, name: method.to_owned(), arguments: all.collect(), null_safe: false }
        } else {
            // The first parameter is the receiver.
            let class_name = crate::syntax::ast::TypeName {
                name: dotted(target).unwrap_or_default(),
                arguments: Vec::new(),
                dimensions: 0,
                span,
            };
            let receiver = Expression { kind: E::Cast(class_name, Box::new(name(0))), span };
            let arguments = (1..arity).map(name).collect();
            E::Call { target: Some(Box::new(receiver)), name: method.to_owned(), arguments, null_safe: false }
        };
        (names, Box::new(LambdaBody::Expression(Expression { kind, span })))
    }

    /// `insert`, `update`, `delete` and the like; false if the name is none of them.
    fn action(&mut self, name: &str, arguments: &[Expression], span: Span) -> Compiled<bool> {
        match (name, arguments) {
            ("insert" | "insertLogical", [fact, ..]) if arguments.len() == 1 => {
                let from = self.register(span)?;
                self.typed(fact, &Type::object(), from)?;
                self.emit(Op::Insert { from, logical: name == "insertLogical" }, span);
            }
            ("update", [fact]) => {
                let (register, ty) = self.operand(fact)?;
                let mask = match &fact.kind {
                    E::Name(name) => self.setters.get(name).cloned(),
                    _ => None,
                };
                let mask = self.mask(&ty, mask.as_deref());
                let mask = self.env.mask_index(mask);
                self.emit(Op::Update { fact: register, mask }, span);
            }
            ("delete" | "retract", [fact]) => {
                let (fact, _) = self.operand(fact)?;
                self.emit(Op::Delete { fact }, span);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The properties that setters changed; all of them when nothing is known.
    pub(super) fn mask(&self, ty: &Type, properties: Option<&[String]>) -> Mask {
        let Some(of) = ty.class().filter(|class| self.env.classes.get(*class).is_declared) else {
            return Mask::ALL;
        };
        if self.env.classes.get(of).class_reactive {
            return Mask::ALL;
        }
        let Some(properties) = properties else {
            return Mask::ALL;
        };
        let mut mask = Mask::NONE;
        for property in properties {
            match self.env.field(of, property) {
                Some((field, _)) => mask.set(field),
                None => return Mask::ALL,
            }
        }
        mask
    }

    /// What a consequence says through `drools` and `kcontext`.
    fn engine_call(
        &mut self,
        target: &Expression,
        name: &str,
        arguments: &[Expression],
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        let Some(path) = engine_path(target) else {
            return Ok(None);
        };
        if self.lookup(path.split('.').next().unwrap_or("")).is_some() {
            return Ok(None);
        }
        let path = path.replace("getKnowledgeRuntime", "getKieRuntime").replace("getWorkingMemory", "getKieRuntime");
        let tail = path.split_once('.').map_or("", |(_, tail)| tail);
        match (tail, name) {
            ("" | "getKieRuntime", "halt") => self.emit(Op::Halt, span),
            ("" | "getKieRuntime", "insert" | "insertLogical" | "update" | "delete" | "retract") => {
                self.action(name, arguments, span)?;
            }
            ("" | "getKieRuntime", "setFocus") if arguments.len() == 1 => {
                let (from, _) = self.operand(&arguments[0])?;
                self.emit(Op::Focus { from }, span);
            }
            ("getKieRuntime.getAgenda.getAgendaGroup", "setFocus") => {
                if let E::Call { arguments, .. } = &target.kind {
                    let (from, _) = self.operand(&arguments[0])?;
                    self.emit(Op::Focus { from }, span);
                }
            }
            ("getRule" | "getMatch.getRule", "getName" | "getId") => {
                let text = self.rule_name.clone();
                return self.constant_text(&text, to, span);
            }
            ("getRule" | "getMatch.getRule", "getPackageName" | "getPackage") => {
                let text = self.env.package.clone();
                return self.constant_text(&text, to, span);
            }
            (_, "getRule" | "getKieRuntime" | "getAgenda" | "getMatch" | "getKnowledgeRuntime") => {
                return Ok(None);
            }
            _ => {
                return Err(Diagnostic::new(span, format!("`{path}.{name}` is not supported"))
                    .with_hint("supported: halt, setFocus, getRule().getName(), insert, update, delete"));
            }
        }
        Ok(Some(Type::Void))
    }

    fn constant_text(&mut self, text: &str, to: Register, span: Span) -> Compiled<Option<Type>> {
        let index = self.env.text_constant(text.as_bytes(), span)?;
        self.emit(Op::Constant { to, index }, span);
        Ok(Some(Type::string()))
    }

    /// `modify($x) { … }`: the calls, then an update with the properties they set.
    pub(super) fn modify(&mut self, target: &Expression, calls: &[Expression], span: Span) -> Compiled<()> {
        let mark = self.mark();
        let (fact, ty) = self.operand(target)?;
        let mut properties: Vec<String> = match &target.kind {
            E::Name(name) => self.setters.get(name).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut all = ty.class().is_none_or(|class| !self.env.classes.get(class).is_declared);
        for call in calls {
            let scratch = self.register(call.span)?;
            match &call.kind {
                E::Call { target: None, name, arguments, .. } => {
                    match property_of_setter(name) {
                        Some(property) => properties.push(property),
                        None => all = true,
                    }
                    let kind = E::Call {
                        target: Some(Box::new(target.clone())),
                        name: name.clone(),
                        arguments: arguments.clone(),
                        null_safe: false,
                    };
                    self.value(&Expression { kind, span: call.span }, scratch)?;
                }
                E::Assign { target: field, operator, value } => {
                    let E::Name(name) = &field.kind else {
                        return Err(Diagnostic::new(call.span, "expected a setter or an assignment to a property"));
                    };
                    properties.push(name.clone());
                    let object = Box::new(target.clone());
                    let kind = E::Field { target: object, name: name.clone(), null_safe: false };
                    let field = Expression { kind, span: field.span };
                    self.assign(&field, *operator, value, scratch, call.span)?;
                }
                _ => return Err(Diagnostic::new(call.span, "expected a call of a setter")),
            }
        }
        let mask = if all { Mask::ALL } else { self.mask(&ty, Some(&properties)) };
        let mask = self.env.mask_index(mask);
        self.emit(Op::Update { fact, mask }, span);
        self.release(mark);
        Ok(())
    }

    /// An expression whose value nobody reads.
    pub(super) fn discard(&mut self, expression: &Expression) -> Compiled<()> {
        let mark = self.mark();
        let valid = matches!(expression.kind, E::Call { .. } | E::Assign { .. } | E::Step { .. } | E::New { .. });
        if !valid {
            return Err(Diagnostic::new(expression.span, "not a statement"));
        }
        let to = self.register(expression.span)?;
        self.value(expression, to)?;
        self.release(mark);
        Ok(())
    }

    /// Compiles statements, reporting each error and going on with the next statement.
    pub(crate) fn block(&mut self, statements: &[Statement]) {
        for statement in statements {
            if let Err(error) = self.statement(statement) {
                self.env.report(error);
                // A name that could not be declared would be reported again wherever it is used.
                if let StatementKind::Local { ty, declarators } = &statement.kind {
                    let ty = self.env.resolve(ty).unwrap_or_else(|_| dynamic());
                    for (name, _, _) in declarators {
                        if self.lookup(name).is_none() {
                            let _ = self.declare(name, ty.clone(), statement.span);
                        }
                    }
                }
            }
        }
    }
}

/// `drools.a().b()` as `drools.a.b`.
fn engine_path(expression: &Expression) -> Option<String> {
    match &expression.kind {
        E::Name(name) if name == "drools" || name == "kcontext" => Some(name.clone()),
        E::Call { target: Some(target), name, .. } => Some(format!("{}.{name}", engine_path(target)?)),
        E::Field { target, name, .. } => Some(format!("{}.get{}", engine_path(target)?, capitalise(name))),
        _ => None,
    }
}
