//! Tests compiled to jumps: no boolean is made where only the flow of control matters.

use super::emitter::{Emitter, Label, Purpose};
use super::operators::promote;
use super::optimize::inverse;
use super::{Compiled, is_dynamic};
use crate::program::{Op, Register, Relate, Test};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{BinaryOperator as B, Expression, ExpressionKind as E, Literal, Relation, UnaryOperator};
use crate::types::{Type, class};

impl Emitter<'_> {
    /// Jumps to `label` if `test` is `when`, else goes on.
    pub(crate) fn branch(&mut self, test: &Expression, when: bool, label: Label) -> Compiled<()> {
        let mark = self.mark();
        let span = test.span;
        match &test.kind {
            E::Unary(UnaryOperator::Not, inner) => self.branch(inner, !when, label)?,
            E::Literal(Literal::Boolean(value)) => {
                if *value == when {
                    self.jump(label, span);
                }
            }
            E::Binary(operator @ (B::And | B::Or), left, right) => {
                // `a && b` falls through to b when a holds; the other value of a decides alone.
                let decides = *operator == B::Or;
                if decides == when {
                    self.branch(left, when, label)?;
                    let known = self.known_calls.len();
                    self.branch(right, when, label)?;
                    self.known_calls.truncate(known);
                } else {
                    let skip = self.label();
                    self.branch(left, decides, skip)?;
                    let known = self.known_calls.len();
                    self.branch(right, when, label)?;
                    self.known_calls.truncate(known);
                    self.place(skip);
                }
            }
            E::Binary(B::Equal, left, right) => self.equality(left, right, when, label, span)?,
            E::Binary(B::NotEqual, left, right) => self.equality(left, right, !when, label, span)?,
            E::Binary(B::Less, left, right) => self.order(Test::Less, left, right, when, label, span)?,
            E::Binary(B::LessEqual, left, right) => self.order(Test::LessEqual, left, right, when, label, span)?,
            E::Binary(B::Greater, left, right) => self.order(Test::Greater, left, right, when, label, span)?,
            E::Binary(B::GreaterEqual, left, right) => {
                self.order(Test::GreaterEqual, left, right, when, label, span)?
            }
            E::Relation { relation, negated, left, right } => {
                self.relation(*relation, left, right, when != *negated, label, span)?;
            }
            E::InstanceOf(inner, name, binding) => {
                let ty = self.env.resolve(name)?;
                let (on, from) = self.operand(inner)?;
                if from.is_primitive() {
                    return Err(Diagnostic::new(span, "a primitive value is no instance of a class"));
                }
                let Type::Class(class, _) = ty else {
                    return Err(Diagnostic::new(name.span, "instanceof takes a class"));
                };
                if let Some(binding) = binding {
                    // The variable is only read where the test holds; a wrong value elsewhere is never seen.
                    let register = self.declare(binding, Type::of(class), span)?;
                    self.emit(Op::Move { to: register, from: on }, span);
                    let target = self.target(label);
                    self.emit(
                        if when {
                            Op::JumpInstance { on, class, target }
                        } else {
                            Op::JumpNotInstance { on, class, target }
                        },
                        span,
                    );
                    self.keep_through(register);
                    return Ok(());
                }
                let target = self.target(label);
                self.emit(
                    if when {
                        Op::JumpInstance { on, class, target }
                    } else {
                        Op::JumpNotInstance { on, class, target }
                    },
                    span,
                );
            }
            _ => {
                let (on, ty) = self.operand(test)?;
                self.check_boolean(&ty, on, span)?;
                self.jump_boolean(on, when, label, span);
            }
        }
        self.release(mark);
        Ok(())
    }

    fn jump_boolean(&mut self, on: Register, when: bool, label: Label, span: Span) {
        let target = self.target(label);
        self.emit(if when { Op::JumpIf { on, target } } else { Op::JumpUnless { on, target } }, span);
    }

    fn equality(
        &mut self,
        left: &Expression,
        right: &Expression,
        when: bool,
        label: Label,
        span: Span,
    ) -> Compiled<()> {
        for (a, b) in [(left, right), (right, left)] {
            if matches!(b.kind, E::Literal(Literal::Null)) {
                let (on, ty) = self.operand(a)?;
                if ty.is_primitive() {
                    if self.purpose != Purpose::Constraint {
                        return Err(Diagnostic::new(span, format!("{} cannot be null", self.env.show(&ty))));
                    }
                    if !when {
                        self.jump(label, span);
                    }
                    return Ok(());
                }
                let target = self.target(label);
                self.emit(if when { Op::JumpNull { on, target } } else { Op::JumpNotNull { on, target } }, span);
                return Ok(());
            }
        }
        if self.purpose == Purpose::Constraint {
            return self.constraint_equality(left, right, when, label, span);
        }
        let (first, left_type) = self.saved_operand(left, right)?;
        let (second, right_type) = self.operand(right)?;
        if left_type.is_primitive() || right_type.is_primitive() {
            return self.primitive_equality((first, &left_type), (second, &right_type), when, label, span);
        }
        // One variable compared with itself is the same object whatever its value.
        if first == second {
            if when {
                self.jump(label, span);
            }
            return Ok(());
        }
        let related = self.env.is_assignable(&left_type, &right_type)
            || self.env.is_assignable(&right_type, &left_type)
            || self.may_be_interface(&left_type)
            || self.may_be_interface(&right_type);
        if !related {
            let (l, r) = (self.env.show(&left_type), self.env.show(&right_type));
            return Err(Diagnostic::new(span, format!("{l} and {r} can never be the same object")));
        }
        let to = self.register(span)?;
        self.emit(Op::Same { to, left: first, right: second }, span);
        self.jump_boolean(to, when, label, span);
        Ok(())
    }

    fn may_be_interface(&self, ty: &Type) -> bool {
        matches!(
            ty.class(),
            Some(
                class::OBJECT
                    | class::COMPARABLE
                    | class::CHAR_SEQUENCE
                    | class::COLLECTION
                    | class::LIST
                    | class::SET
                    | class::MAP
                    | class::ITERABLE
            )
        )
    }

    fn primitive_equality(
        &mut self,
        left: (Register, &Type),
        right: (Register, &Type),
        when: bool,
        label: Label,
        span: Span,
    ) -> Compiled<()> {
        let unboxed = |ty: &Type| ty.unboxed().or(if is_dynamic(ty) { Some(Type::Null) } else { None });
        let (Some(a), Some(b)) = (unboxed(left.1), unboxed(right.1)) else {
            // `object == 5` boxes the number and compares references.
            let boxable =
                |ty: &Type| ty.is_class(class::OBJECT) || ty.is_class(class::NUMBER) || ty.is_class(class::COMPARABLE);
            if boxable(left.1) || boxable(right.1) {
                let to = self.register(span)?;
                self.emit(Op::Same { to, left: left.0, right: right.0 }, span);
                self.jump_boolean(to, when, label, span);
                return Ok(());
            }
            let (l, r) = (self.env.show(left.1), self.env.show(right.1));
            return Err(Diagnostic::new(span, format!("{l} and {r} cannot be compared with `==`")));
        };
        if a == Type::Boolean || b == Type::Boolean {
            if a != b {
                return Err(Diagnostic::new(span, "a boolean can only be compared with a boolean"));
            }
            let (first, second) = (self.promoted(left, &a, span)?, self.promoted(right, &a, span)?);
            let to = self.register(span)?;
            self.emit(Op::Same { to, left: first, right: second }, span);
            self.jump_boolean(to, when, label, span);
            return Ok(());
        }
        let test = if when { Test::Equal } else { Test::NotEqual };
        self.numeric_jump(test, left, right, promote(a, b), label, span)
    }

    /// Jumps when a comparison of two numbers, promoted to a common type, holds.
    fn numeric_jump(
        &mut self,
        test: Test,
        left: (Register, &Type),
        right: (Register, &Type),
        promoted: Type,
        label: Label,
        span: Span,
    ) -> Compiled<()> {
        // Floats compare as the doubles they are.
        let promoted = if promoted == Type::Float { Type::Double } else { promoted };
        let first = self.promoted(left, &promoted, span)?;
        let second = self.promoted(right, &promoted, span)?;
        let (left, right, target) = (first, second, self.target(label));
        self.emit(
            match promoted {
                Type::Int => Op::JumpInt { test, left, right, target },
                Type::Long => Op::JumpLong { test, left, right, target },
                _ => Op::JumpDouble { test, left, right, target },
            },
            span,
        );
        Ok(())
    }

    fn order(
        &mut self,
        test: Test,
        left: &Expression,
        right: &Expression,
        when: bool,
        label: Label,
        span: Span,
    ) -> Compiled<()> {
        let (first, left_type) = self.saved_operand(left, right)?;
        let (second, right_type) = self.operand(right)?;
        let numeric = left_type.is_numeric() && right_type.is_numeric();
        let primitive = left_type.is_primitive() && right_type.is_primitive();
        if numeric && (primitive || self.purpose != Purpose::Constraint) {
            let (Some(a), Some(b)) = (left_type.unboxed(), right_type.unboxed()) else {
                return Err(Diagnostic::new(span, "expected numbers"));
            };
            let promoted = promote(a, b);
            if when {
                return self.numeric_jump(test, (first, &left_type), (second, &right_type), promoted, label, span);
            }
            if promoted.rank() <= Some(5) {
                let inverse = inverse(test);
                return self.numeric_jump(inverse, (first, &left_type), (second, &right_type), promoted, label, span);
            }
            // The negation of a comparison also holds when either side is not a number.
            let skip = self.label();
            self.numeric_jump(test, (first, &left_type), (second, &right_type), promoted, skip, span)?;
            self.jump(label, span);
            self.place(skip);
            return Ok(());
        }
        if self.purpose == Purpose::Constraint {
            let first = self.constraint_side(first, &left_type, &right_type, left)?;
            let second = self.constraint_side(second, &right_type, &left_type, right)?;
            self.check_comparable(&left_type, &right_type, span)?;
            return self.jump_relate(Relate::Order(test), first, second, when, label, span);
        }
        let (l, r) = (self.env.show(&left_type), self.env.show(&right_type));
        Err(Diagnostic::new(span, format!("{l} and {r} cannot be ordered")).with_hint("use compareTo"))
    }

    pub(super) fn jump_relate(
        &mut self,
        relation: Relate,
        left: Register,
        right: Register,
        when: bool,
        label: Label,
        span: Span,
    ) -> Compiled<()> {
        let to = self.register(span)?;
        self.emit(Op::Relate { relation, to, left, right }, span);
        self.jump_boolean(to, when, label, span);
        Ok(())
    }

    fn relation(
        &mut self,
        relation: Relation,
        left: &Expression,
        right: &[Expression],
        when: bool,
        label: Label,
        span: Span,
    ) -> Compiled<()> {
        let relate = match relation {
            Relation::In => {
                // `a in (b, c)` is `a == b || a == c`.
                let mut test = Expression { kind: E::Literal(Literal::Boolean(false)), span };
                for item in right.iter().rev() {
                    let kind = E::Binary(B::Equal, Box::new(left.clone()), Box::new(item.clone()));
                    let equal = Expression { kind, span: item.span };
                    test = Expression { kind: E::Binary(B::Or, Box::new(equal), Box::new(test)), span };
                }
                return self.branch(&test, when, label);
            }
            Relation::Contains => Relate::Contains,
            Relation::MemberOf => Relate::MemberOf,
            Relation::Matches => Relate::Matches,
            Relation::SoundsLike => Relate::SoundsLike,
            Relation::StartsWith => Relate::StartsWith,
            Relation::EndsWith => Relate::EndsWith,
            Relation::Length => Relate::Length,
        };
        if relation == Relation::Matches {
            if let Some(Literal::String(pattern)) = right.first().and_then(|r| self.literal_of(r)) {
                if let Err(error) = fancy_regex::Regex::new(&crate::text::to_utf8(&pattern)) {
                    return Err(Diagnostic::new(right[0].span, format!("bad regular expression: {error}")));
                }
            }
        }
        let (first, _) = self.saved_operand(left, &right[0])?;
        let string = Type::string();
        let (second, second_type) = self.operand(&right[0])?;
        let second = match relation {
            // A character literal stands for the text of one character.
            Relation::Length => second,
            Relation::Contains | Relation::MemberOf => {
                self.constraint_side(second, &second_type, &Type::object(), &right[0])?
            }
            _ => self.constraint_side(second, &second_type, &string, &right[0])?,
        };
        self.jump_relate(relate, first, second, when, label, span)
    }
}
