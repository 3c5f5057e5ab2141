//! Arithmetic, assignment, concatenation and conditionals.

use super::emitter::{Emitter, Purpose};
use super::expression::join;
use super::names::assigns;
use super::{Compiled, is_dynamic};
use crate::heap::Value;
use crate::program::{Arithmetic, Op, Register};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{BinaryOperator as B, Expression, ExpressionKind as E, Literal, UnaryOperator};
use crate::types::{Type, class};

impl Emitter<'_> {
    pub(super) fn unary(
        &mut self,
        operator: UnaryOperator,
        inner: &Expression,
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        if operator == UnaryOperator::Not {
            let test = Expression { kind: E::Unary(operator, Box::new(inner.clone())), span };
            self.materialise(&test, to)?;
            return Ok(Type::Boolean);
        }
        let from = self.value(inner, to)?;
        let Some(unboxed) = from.unboxed().filter(|t| t.rank().is_some()) else {
            return Err(Diagnostic::new(span, format!("{} is not a number", self.env.show(&from))));
        };
        let promoted = if unboxed.rank() < Some(4) { Type::Int } else { unboxed };
        if from != promoted {
            self.convert(to, &promoted, span);
        }
        match operator {
            UnaryOperator::Minus => self.emit(Op::Negate { to, from: to }, span),
            UnaryOperator::Complement if promoted.rank() <= Some(5) => self.emit(Op::Complement { to, from: to }, span),
            UnaryOperator::Complement => {
                return Err(Diagnostic::new(span, "`~` takes a whole number"));
            }
            _ => {}
        }
        Ok(promoted)
    }

    /// Any binary operator, its value in `to`.
    pub(super) fn binary(
        &mut self,
        whole: &Expression,
        operator: B,
        left: &Expression,
        right: &Expression,
        to: Register,
    ) -> Compiled<Type> {
        use B::{And, Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual, Or};
        if matches!(operator, And | Or | Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual) {
            self.materialise(whole, to)?;
            return Ok(Type::Boolean);
        }
        if operator == B::Add && self.is_concatenation(whole)? {
            return self.concatenation(whole, to);
        }
        let (first, left_type) = self.saved_operand(left, right)?;
        let (second, right_type) = self.operand(right)?;
        self.arithmetic(operator, (first, &left_type), (second, &right_type), to, whole.span)
    }

    /// The left operand, copied if evaluating the right one may change it.
    pub(super) fn saved_operand(&mut self, left: &Expression, right: &Expression) -> Compiled<(Register, Type)> {
        if assigns(right) {
            let to = self.register(left.span)?;
            let ty = self.value(left, to)?;
            return Ok((to, ty));
        }
        self.operand(left)
    }

    /// The type of an expression, found by compiling it and taking the code back.
    pub(crate) fn type_of(&mut self, expression: &Expression) -> Compiled<Type> {
        // Nested conditionals would be compiled again at every level.
        let key = (expression.span.start, expression.span.end);
        let is_conditional = matches!(expression.kind, E::Conditional(..));
        if let Some(known) = self.conditional_types.get(&key).filter(|_| is_conditional) {
            return Ok(known.clone());
        }
        let before = self.checkpoint();
        let result = self.operand(expression);
        self.take_back(before);
        let ty = result?.1;
        if is_conditional {
            self.conditional_types.insert(key, ty.clone());
        }
        Ok(ty)
    }

    fn is_concatenation(&mut self, expression: &Expression) -> Compiled<bool> {
        let E::Binary(B::Add, left, right) = &expression.kind else {
            return Ok(false);
        };
        for side in [right, left] {
            let text = match &side.kind {
                E::Literal(Literal::String(_)) => true,
                E::Literal(_) => false,
                E::Binary(B::Add, ..) => self.is_concatenation(side)?,
                _ => self.type_of(side)?.is_class(class::STRING),
            };
            if text {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn concatenation(&mut self, whole: &Expression, to: Register) -> Compiled<Type> {
        // The left spine down to where the sum is no longer text: `1 + 2 + "a" + b`.
        let mut parts = Vec::new();
        let mut at = whole;
        while let E::Binary(B::Add, left, right) = &at.kind {
            if !self.is_concatenation(at)? {
                break;
            }
            parts.push(&**right);
            at = left;
        }
        parts.push(at);
        parts.reverse();
        let first = self.mark() as Register;
        let last_call = parts.iter().rposition(|part| super::names::calls(part)).unwrap_or(0);
        for (index, part) in parts.iter().enumerate() {
            let register = self.register(part.span)?;
            let ty = self.value(part, register)?;
            if ty == Type::Void {
                return Err(Diagnostic::new(part.span, "this call returns nothing"));
            }
            // A call behind it may change the object, but not the text that it had before.
            if index < last_call && ty.unboxed().is_none() && !ty.is_class(class::STRING) {
                self.emit(Op::TextOrNull { to: register, from: register }, part.span);
            }
        }
        self.emit(Op::Concat { to, first, count: parts.len() as u8 }, whole.span);
        Ok(Type::string())
    }

    /// One arithmetic operation with binary numeric promotion.
    pub(super) fn arithmetic(
        &mut self,
        operator: B,
        left: (Register, &Type),
        right: (Register, &Type),
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        let sides = (left.1.unboxed(), right.1.unboxed());
        if matches!(operator, B::BitAnd | B::BitOr | B::BitXor) && sides == (Some(Type::Boolean), Some(Type::Boolean)) {
            return self.boolean_bits(operator, left, right, to, span);
        }
        if self.purpose == Purpose::Constraint {
            if let Some(result) = self.decimal_arithmetic(operator, left, right, to, span)? {
                return Ok(result);
            }
        }
        let (Some(a), Some(b)) = (numeric(&sides.0), numeric(&sides.1)) else {
            let (l, r) = (self.env.show(left.1), self.env.show(right.1));
            return Err(Diagnostic::new(span, format!("bad operand types for `{}`: {l} and {r}", symbol(operator))));
        };
        let shift = matches!(operator, B::ShiftLeft | B::ShiftRight | B::ShiftRightUnsigned);
        let promoted = if shift { promote(a, Type::Int) } else { promote(a, b.clone()) };
        let whole_only = shift || matches!(operator, B::BitAnd | B::BitOr | B::BitXor);
        if whole_only && promoted.rank() > Some(5) {
            return Err(Diagnostic::new(span, format!("`{}` takes whole numbers", symbol(operator))));
        }
        let first = self.promoted(left, &promoted, span)?;
        let second_type = if shift { promote(b, Type::Int) } else { promoted.clone() };
        let second = self.promoted(right, &second_type, span)?;
        let operator = machine_operator(operator);
        let (left, right) = (first, second);
        let op = match promoted {
            Type::Int if second_type == Type::Long => {
                // The count of a shift may be a long; only its low bits count.
                let count = self.register(span)?;
                self.emit(Op::Convert { to: count, from: right, target: crate::program::Primitive::Int }, span);
                Op::Int { operator, to, left, right: count }
            }
            Type::Int => Op::Int { operator, to, left, right },
            Type::Long => Op::Long { operator, to, left, right },
            Type::Float => Op::Float { operator, to, left, right },
            _ => Op::Double { operator, to, left, right },
        };
        self.emit(op, span);
        Ok(promoted)
    }

    /// The operand as a primitive of the promoted type: its own register if it already is.
    pub(super) fn promoted(&mut self, operand: (Register, &Type), to: &Type, span: Span) -> Compiled<Register> {
        if operand.1 == to {
            return Ok(operand.0);
        }
        let register = self.register(span)?;
        let target = super::expression::primitive(to).unwrap_or(crate::program::Primitive::Int);
        self.emit(Op::Convert { to: register, from: operand.0, target }, span);
        Ok(register)
    }

    fn boolean_bits(
        &mut self,
        operator: B,
        left: (Register, &Type),
        right: (Register, &Type),
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        let name = match operator {
            B::BitAnd => "logicalAnd",
            B::BitOr => "logicalOr",
            _ => "logicalXor",
        };
        let first = self.register(span)?;
        let second = self.register(span)?;
        for (at, from) in [(first, left), (second, right)] {
            self.emit(Op::Move { to: at, from: from.0 }, span);
            if !from.1.is_primitive() {
                self.convert(at, &Type::Boolean, span);
            }
        }
        self.native_by_name(class::BOOLEAN, name, &[Type::Boolean, Type::Boolean], first, to, span)
    }

    /// In constraints `+ - * /` also work on `BigDecimal`.
    fn decimal_arithmetic(
        &mut self,
        operator: B,
        left: (Register, &Type),
        right: (Register, &Type),
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        if !left.1.is_class(class::BIG_DECIMAL) && !right.1.is_class(class::BIG_DECIMAL) {
            return Ok(None);
        }
        let name = match operator {
            B::Add => "add",
            B::Subtract => "subtract",
            B::Multiply => "multiply",
            B::Divide => "divideDecimal128",
            B::Remainder => "remainder",
            _ => return Ok(None),
        };
        let first = self.register(span)?;
        let second = self.register(span)?;
        for (at, from) in [(first, left), (second, right)] {
            self.emit(Op::Move { to: at, from: from.0 }, span);
            if !from.1.is_class(class::BIG_DECIMAL) {
                self.native_by_name(class::BIG_DECIMAL, "coerce", &[Type::object()], at, at, span)?;
            }
        }
        let decimal = Type::of(class::BIG_DECIMAL);
        self.instance_call(&decimal, name, std::slice::from_ref(&decimal), first, to, span)
    }

    /// `x++`, `--x`.
    pub(super) fn step(
        &mut self,
        target: &Expression,
        by: i8,
        prefix: bool,
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        if let E::Name(name) = &target.kind {
            if let Some(local) = self.lookup(name).cloned() {
                if local.ty == Type::Int {
                    self.known_calls.clear();
                    if !prefix {
                        self.emit(Op::Move { to, from: local.register }, span);
                    }
                    self.emit(Op::IntStep { to: local.register, left: local.register, by }, span);
                    if prefix {
                        self.emit(Op::Move { to, from: local.register }, span);
                    }
                    return Ok(Type::Int);
                }
            }
        }
        let one = Expression { kind: E::Literal(Literal::Integer(1)), span };
        let operator = if by > 0 { B::Add } else { B::Subtract };
        if prefix {
            return self.assign(target, Some(operator), &one, to, span);
        }
        let ty = self.value(target, to)?;
        let scratch = self.register(span)?;
        self.assign(target, Some(operator), &one, scratch, span)?;
        Ok(ty)
    }

    /// `target = value` and `target op= value`; the new value is left in `to`.
    pub(super) fn assign(
        &mut self,
        target: &Expression,
        operator: Option<B>,
        value: &Expression,
        to: Register,
        span: Span,
    ) -> Compiled<Type> {
        match &target.kind {
            E::Name(name) => {
                let Some(local) = self.lookup(name).cloned() else {
                    if self.env.globals.contains_key(name) {
                        return Err(Diagnostic::new(span, format!("the global `{name}` cannot be assigned"))
                            .with_hint("change the object it holds instead"));
                    }
                    return Err(self.unknown_name(name, target.span));
                };
                self.assigned_value(target, operator, value, &local.ty, to, span)?;
                self.emit(Op::Move { to: local.register, from: to }, span);
                self.known_calls.clear();
                Ok(local.ty)
            }
            E::Index(array, index) => {
                let (of, ty) = self.operand(array)?;
                let Type::Array(element) = &ty else {
                    return Err(Diagnostic::new(span, format!("{} is not an array", self.env.show(&ty))));
                };
                let at = self.register(span)?;
                self.typed(index, &Type::Int, at)?;
                match operator {
                    None => self.typed(value, element, to)?,
                    Some(operator) => {
                        let old = self.register(span)?;
                        self.emit(Op::ArrayGet { to: old, of, at }, span);
                        self.compound((old, element), operator, value, to, span)?;
                    }
                }
                self.emit(Op::ArraySet { of, at, from: to }, span);
                Ok((**element).clone())
            }
            E::Field { target: object, name, .. } => {
                let (of, ty) = self.operand(object)?;
                let field = ty.class().and_then(|class| self.env.field(class, name));
                let Some((field, field_type)) = field else {
                    return Err(Diagnostic::new(span, format!("{} has no field `{name}`", self.env.show(&ty))));
                };
                self.assigned_value(target, operator, value, &field_type, to, span)?;
                self.emit(Op::SetField { of, field: field as u8, from: to }, span);
                Ok(field_type)
            }
            _ => Err(Diagnostic::new(target.span, "this cannot be assigned")),
        }
    }

    fn assigned_value(
        &mut self,
        target: &Expression,
        operator: Option<B>,
        value: &Expression,
        ty: &Type,
        to: Register,
        span: Span,
    ) -> Compiled<()> {
        match operator {
            None => self.typed(value, ty, to),
            Some(operator) => {
                let old = self.register(span)?;
                self.value(target, old)?;
                self.compound((old, ty), operator, value, to, span)
            }
        }
    }

    /// `old op value`, cast back to the type of `old`.
    fn compound(
        &mut self,
        old: (Register, &Type),
        operator: B,
        value: &Expression,
        to: Register,
        span: Span,
    ) -> Compiled<()> {
        if operator == B::Add && old.1.is_class(class::STRING) {
            let first = self.mark() as Register;
            let (left, right) = (self.register(span)?, self.register(span)?);
            self.emit(Op::Move { to: left, from: old.0 }, span);
            self.value(value, right)?;
            self.emit(Op::Concat { to, first, count: 2 }, span);
            return Ok(());
        }
        let (right, right_type) = self.operand(value)?;
        let result = self.arithmetic(operator, old, (right, &right_type), to, span)?;
        if let Some(back) = old.1.unboxed() {
            if back != result {
                self.convert(to, &back, span);
            }
        }
        Ok(())
    }

    pub(super) fn conditional(
        &mut self,
        test: &Expression,
        yes: &Expression,
        no: &Expression,
        to: Register,
    ) -> Compiled<Type> {
        let (otherwise, end) = (self.label(), self.label());
        let yes_type = self.type_of(yes)?;
        let no_type = self.type_of(no)?;
        let constant =
            |side: &Expression| super::expression::constant_int(side).is_some_and(|v| u16::try_from(v).is_ok());
        // A whole constant that fits takes the other side's type when that is char.
        let ty = match (&yes_type, &no_type) {
            (Type::Char, Type::Int) if constant(no) => Type::Char,
            (Type::Int, Type::Char) if constant(yes) => Type::Char,
            _ => join(self, &yes_type, &no_type),
        };
        self.branch(test, false, otherwise)?;
        let known = self.known_calls.clone();
        self.branch_value(yes, &ty, to)?;
        self.jump(end, yes.span);
        self.place(otherwise);
        self.known_calls.clone_from(&known);
        self.branch_value(no, &ty, to)?;
        self.place(end);
        self.known_calls = known;
        Ok(ty)
    }

    fn branch_value(&mut self, expression: &Expression, ty: &Type, to: Register) -> Compiled<()> {
        let from = self.value(expression, to)?;
        if from == Type::Void {
            return Err(Diagnostic::new(expression.span, "this call returns nothing"));
        }
        if ty.is_primitive() && from != *ty {
            self.convert(to, ty, expression.span);
        }
        Ok(())
    }

    /// A test as a boolean value.
    pub(super) fn materialise(&mut self, test: &Expression, to: Register) -> Compiled<()> {
        let (no, end) = (self.label(), self.label());
        let known = self.known_calls.len();
        self.branch(test, false, no)?;
        self.load_constant(Value::Boolean(true), to, test.span)?;
        self.jump(end, test.span);
        self.place(no);
        self.load_constant(Value::Boolean(false), to, test.span)?;
        self.place(end);
        self.known_calls.truncate(known);
        Ok(())
    }

    /// Whether a type may stand where a boolean is needed.
    pub(super) fn check_boolean(&mut self, ty: &Type, at: Register, span: Span) -> Compiled<()> {
        if *ty == Type::Boolean {
            return Ok(());
        }
        let boxed = ty.is_class(class::BOOLEAN);
        if boxed || is_dynamic(ty) {
            if self.purpose != Purpose::Constraint {
                self.convert(at, &Type::Boolean, span);
            }
            return Ok(());
        }
        Err(Diagnostic::new(span, format!("expected a boolean, found {}", self.env.show(ty))))
    }
}

fn numeric(ty: &Option<Type>) -> Option<Type> {
    ty.clone().filter(|t| t.rank().is_some())
}

/// Binary numeric promotion.
pub(super) fn promote(a: Type, b: Type) -> Type {
    let rank = a.rank().max(b.rank());
    match rank {
        Some(7) => Type::Double,
        Some(6) => Type::Float,
        Some(5) => Type::Long,
        _ => Type::Int,
    }
}

fn machine_operator(operator: B) -> Arithmetic {
    match operator {
        B::Subtract => Arithmetic::Subtract,
        B::Multiply => Arithmetic::Multiply,
        B::Divide => Arithmetic::Divide,
        B::Remainder => Arithmetic::Remainder,
        B::BitAnd => Arithmetic::And,
        B::BitOr => Arithmetic::Or,
        B::BitXor => Arithmetic::Xor,
        B::ShiftLeft => Arithmetic::ShiftLeft,
        B::ShiftRight => Arithmetic::ShiftRight,
        B::ShiftRightUnsigned => Arithmetic::ShiftRightUnsigned,
        _ => Arithmetic::Add,
    }
}

fn symbol(operator: B) -> &'static str {
    match operator {
        B::Or => "||",
        B::And => "&&",
        B::BitOr => "|",
        B::BitXor => "^",
        B::BitAnd => "&",
        B::Equal => "==",
        B::NotEqual => "!=",
        B::Less => "<",
        B::LessEqual => "<=",
        B::Greater => ">",
        B::GreaterEqual => ">=",
        B::ShiftLeft => "<<",
        B::ShiftRight => ">>",
        B::ShiftRightUnsigned => ">>>",
        B::Add => "+",
        B::Subtract => "-",
        B::Multiply => "*",
        B::Divide => "/",
        B::Remainder => "%",
    }
}
