//! How `==` and the order operators compare in constraints, by the static types of their sides.

use super::emitter::{Emitter, Label};
use super::operators::promote;
use super::{Compiled, is_dynamic};
use crate::heap::Value;
use crate::program::{Op, Register, Relate, Test};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{Expression, ExpressionKind as E, Literal};
use crate::types::{Type, class};

impl Emitter<'_> {
    /// `==` in a constraint is equality of values: `equals`, but numbers of known types by value.
    pub(super) fn constraint_equality(
        &mut self,
        left: &Expression,
        right: &Expression,
        when: bool,
        label: Label,
        span: Span,
    ) -> Compiled<()> {
        if self.compares_whole_map(left, right) || self.compares_whole_map(right, left) {
            // What Drools 8 does: it reads the name on the right as a key, which no map has.
            if !when {
                self.jump(label, span);
            }
            return Ok(());
        }
        let (first, left_type) = self.saved_operand(left, right)?;
        let (second, right_type) = self.operand(right)?;
        if left_type.is_primitive() && right_type.is_primitive() && left_type.is_numeric() && right_type.is_numeric() {
            if let (Some(a), Some(b)) = (left_type.unboxed(), right_type.unboxed()) {
                let promoted =
                    if promote(a.clone(), b.clone()).rank() <= Some(5) { promote(a, b) } else { Type::Double };
                let left = self.promoted((first, &left_type), &promoted, span)?;
                let right = self.promoted((second, &right_type), &promoted, span)?;
                let (test, target) = (if when { Test::Equal } else { Test::NotEqual }, self.target(label));
                self.emit(
                    match promoted {
                        Type::Int => Op::JumpInt { test, left, right, target },
                        Type::Long => Op::JumpLong { test, left, right, target },
                        _ => Op::JumpDouble { test, left, right, target },
                    },
                    span,
                );
                return Ok(());
            }
        }
        let first = self.constraint_side(first, &left_type, &right_type, left)?;
        let second = self.constraint_side(second, &right_type, &left_type, right)?;
        let number = |ty: &Type| {
            ty.is_numeric() || matches!(ty.class(), Some(class::NUMBER | class::BIG_DECIMAL | class::BIG_INTEGER))
        };
        let coerced = number(&left_type) && number(&right_type)
            || number(&left_type) && right_type.is_class(class::STRING)
            || number(&right_type) && left_type.is_class(class::STRING);
        let relation = if coerced { Relate::EqualsCoerced } else { Relate::Equals };
        self.jump_relate(relation, first, second, when, label, span)
    }

    /// `this == $other` in a pattern on maps.
    fn compares_whole_map(&self, left: &Expression, right: &Expression) -> bool {
        let is_map = |ty: &Type| ty.class().is_some_and(|class| self.env.classes.is_subclass(class, class::MAP));
        matches!(left.kind, E::This)
            && self.this.as_ref().is_some_and(|(_, ty)| is_map(ty))
            && matches!(&right.kind, E::Name(name) if self.lookup(name).is_some_and(|local| local.is_fact))
    }

    /// One side of a comparison, a literal among them turned into the type of the other side.
    pub(super) fn constraint_side(
        &mut self,
        at: Register,
        ty: &Type,
        other: &Type,
        source: &Expression,
    ) -> Compiled<Register> {
        let Some(literal) = self.literal_of(source) else {
            return Ok(at);
        };
        let span = source.span;
        let text = match &literal {
            Literal::Character(unit) if !other.is_class(class::CHARACTER) && *other != Type::Char => {
                crate::text::from_units([*unit])
            }
            // A number compared with a string is compared as text.
            Literal::Integer(value) if other.is_class(class::STRING) => value.to_string().into_bytes(),
            Literal::Long(value) if other.is_class(class::STRING) => value.to_string().into_bytes(),
            Literal::Double(value) if other.is_class(class::STRING) => {
                let mut text = Vec::new();
                crate::text::push_double(&mut text, *value);
                text
            }
            Literal::Boolean(value) if other.is_class(class::STRING) => value.to_string().into_bytes(),
            _ => return Ok(at),
        };
        let _ = ty;
        let register = self.register(span)?;
        let constant = Value::String(self.env.text.intern(&text));
        self.load_constant(constant, register, span)?;
        Ok(register)
    }

    /// Orders need numbers, comparable values or values whose types only running code knows.
    pub(super) fn check_comparable(&self, left: &Type, right: &Type, span: Span) -> Compiled<()> {
        for ty in [left, right] {
            let fits = match ty {
                Type::Class(class, _) => {
                    *class == class::OBJECT
                        || *class == class::NUMBER
                        || is_dynamic(ty)
                        || self.env.classes.is_subclass(*class, class::COMPARABLE)
                }
                Type::Null | Type::Void | Type::Array(_) | Type::Boolean => false,
                _ => true,
            };
            if !fits {
                return Err(Diagnostic::new(span, format!("{} cannot be ordered", self.env.show(ty))));
            }
        }
        Ok(())
    }
}
