//! Expressions other than operators and calls: names, fields, literals, casts, creation.

use super::emitter::{Emitter, Local, Purpose};
use super::{Compiled, dynamic, is_dynamic};
use crate::heap::Value;
use crate::program::{Op, Primitive, Register};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{Expression, ExpressionKind as E, Literal, TypeName};
use crate::syntax::dotted;
use crate::types::{Type, class};

impl Emitter<'_> {
    /// Compiles an expression and returns where its value is: a variable's own register, or a fresh one.
    pub(crate) fn operand(&mut self, expression: &Expression) -> Compiled<(Register, Type)> {
        match &expression.kind {
            E::Name(name) => {
                if let Some(local) = self.visible(name) {
                    if local.literal.is_none() {
                        return Ok((local.register, local.ty.clone()));
                    }
                }
            }
            E::This => {
                if let Some((register, ty)) = &self.this {
                    return Ok((*register, ty.clone()));
                }
            }
            E::Bind(_, inner) => return self.operand(inner),
            _ => {}
        }
        let to = self.register(expression.span)?;
        let ty = self.value(expression, to)?;
        Ok((to, ty))
    }

    /// A variable, unless a property of the pattern's fact hides it.
    fn visible(&self, name: &str) -> Option<&Local> {
        if self.purpose == Purpose::Constraint {
            if let Some((_, Type::Class(class, _))) = &self.this {
                if self.env.field(*class, name).is_some() && self.lookup(name).is_none_or(|l| !l.is_fact) {
                    return None;
                }
            }
        }
        self.lookup(name)
    }

    /// Compiles an expression into `to` and returns its type.
    pub(crate) fn value(&mut self, expression: &Expression, to: Register) -> Compiled<Type> {
        let mark = self.mark();
        let span = expression.span;
        let ty = match &expression.kind {
            E::Literal(literal) => self.literal(literal, to, span)?,
            E::Name(name) => self.name(name, to, span)?,
            E::This => match self.this.clone() {
                Some((from, ty)) => {
                    self.emit(Op::Move { to, from }, span);
                    ty
                }
                None => return Err(Diagnostic::new(span, "`this` has no meaning here")),
            },
            E::Field { target, name, null_safe } => self.field(expression, target, name, *null_safe, to)?,
            E::Index(target, index) => self.index(target, index, to, span)?,
            E::Call { target, name, arguments, null_safe } => {
                self.call(expression, target.as_deref(), name, arguments, *null_safe, to)?
            }
            E::New { ty, arguments } => self.creation(ty, arguments, to, span)?,
            E::NewArray { element, sizes, dimensions, items } => {
                let mut ty = self.env.resolve(element)?;
                for _ in 0..*dimensions {
                    ty = Type::Array(ty.into());
                }
                match items {
                    Some(items) => self.array_items(items, &ty, to, span)?,
                    None => self.array_sized(sizes, &ty, to, span)?,
                }
                ty
            }
            E::Items(items) if self.purpose == Purpose::Constraint => self.list_literal(items, to, span)?,
            E::Items(_) => {
                return Err(Diagnostic::new(span, "an array initialiser needs `new Type[]` here"));
            }
            E::Unary(operator, inner) => self.unary(*operator, inner, to, span)?,
            E::Step { target, by, prefix } => self.step(target, *by, *prefix, to, span)?,
            E::Binary(operator, left, right) => self.binary(expression, *operator, left, right, to)?,
            E::Assign { target, operator, value } => self.assign(target, *operator, value, to, span)?,
            E::Conditional(test, yes, no) => self.conditional(test, yes, no, to)?,
            E::Cast(ty, inner) => self.cast(ty, inner, to)?,
            E::InstanceOf(..) | E::Relation { .. } => {
                self.materialise(expression, to)?;
                Type::Boolean
            }
            E::Lambda { .. } | E::MethodReference(..) => {
                return Err(Diagnostic::new(span, "a lambda can only be an argument of a method that takes one"));
            }
            E::ClassLiteral(name) => {
                let ty = self.env.resolve(name)?;
                let (simple, full) = match &ty {
                    Type::Class(class, _) => {
                        let info = self.env.classes.get(*class);
                        (info.simple.to_string(), info.name.to_string())
                    }
                    other => (self.env.show(other), self.env.show(other)),
                };
                self.class_literal(&simple, &full, to, span)?
            }
            E::Bind(_, inner) => self.value(inner, to)?,
        };
        self.release(mark);
        Ok(ty)
    }

    /// Compiles an expression into `to` as a value of `target`, converting as an assignment does.
    pub(crate) fn typed(&mut self, expression: &Expression, target: &Type, to: Register) -> Compiled<()> {
        if let (E::Items(items), Type::Array(_)) = (&expression.kind, target) {
            let mark = self.mark();
            self.array_items(items, target, to, expression.span)?;
            self.release(mark);
            return Ok(());
        }
        let from = self.value(expression, to)?;
        self.coerce(expression, to, &from, target)
    }

    /// Converts the value in `at` from one type to another, in place, as an assignment does.
    pub(crate) fn coerce(&mut self, source: &Expression, at: Register, from: &Type, to: &Type) -> Compiled<()> {
        let span = source.span;
        if from == to {
            return Ok(());
        }
        let fails = |emitter: &Self| {
            let (from, to) = (emitter.env.show(from), emitter.env.show(to));
            Diagnostic::new(span, format!("incompatible types: {from} cannot be converted to {to}"))
        };
        if to.is_primitive() {
            let Some(unboxed) = from.unboxed() else {
                if is_dynamic(from) {
                    self.convert(at, to, span);
                    return Ok(());
                }
                return Err(fails(self));
            };
            let widens = match (unboxed.rank(), to.rank()) {
                (Some(a), Some(b)) => {
                    a <= b && !(unboxed != *to && *to == Type::Char) || self.narrows_constant(source, to)
                }
                _ => unboxed == *to,
            };
            if !widens {
                return Err(fails(self));
            }
            if unboxed != *to || !from.is_primitive() {
                self.convert(at, to, span);
            }
            return Ok(());
        }
        if from.is_primitive() {
            if let Some(target) = to.unboxed() {
                if target != *from && self.narrows_constant(source, &target) {
                    self.convert(at, &target, span);
                    return Ok(());
                }
            }
            let boxed = from.boxed();
            return if self.env.is_assignable(&boxed, to) || is_dynamic(to) { Ok(()) } else { Err(fails(self)) };
        }
        if *from == Type::Void {
            return Err(Diagnostic::new(span, "this call returns nothing"));
        }
        if self.env.is_assignable(from, to) {
            return Ok(());
        }
        if is_dynamic(from) {
            if let Type::Class(class, _) = to {
                self.emit(Op::Cast { on: at, class: *class }, span);
            }
            return Ok(());
        }
        // DRL takes a single-quoted character for a string.
        Err(fails(self))
    }

    /// An int literal may be assigned to a smaller type that holds it.
    fn narrows_constant(&self, source: &Expression, to: &Type) -> bool {
        let value = match constant_int(source) {
            Some(value) => value,
            None => return false,
        };
        match to {
            Type::Byte => i8::try_from(value).is_ok(),
            Type::Short => i16::try_from(value).is_ok(),
            Type::Char => u16::try_from(value).is_ok(),
            _ => false,
        }
    }

    pub(crate) fn convert(&mut self, at: Register, to: &Type, span: Span) {
        let Some(target) = primitive(to) else { return };
        self.emit(Op::Convert { to: at, from: at, target }, span);
    }

    fn literal(&mut self, literal: &Literal, to: Register, span: Span) -> Compiled<Type> {
        let (value, ty) = match literal {
            Literal::Null => (Value::Null, Type::Null),
            Literal::Boolean(v) => (Value::Boolean(*v), Type::Boolean),
            Literal::Integer(v) => (Value::Integer(*v), Type::Int),
            Literal::Long(v) => (Value::Long(*v), Type::Long),
            Literal::Float(v) => (Value::Float(*v), Type::Float),
            Literal::Double(v) => (Value::Double(*v), Type::Double),
            Literal::Character(v) => (Value::Character(*v), Type::Char),
            Literal::String(text) => (Value::String(self.env.text.intern(text)), Type::string()),
            Literal::BigDecimal(digits) => {
                return self.big_literal(class::BIG_DECIMAL, digits, to, span);
            }
            Literal::BigInteger(digits) => {
                return self.big_literal(class::BIG_INTEGER, digits, to, span);
            }
        };
        self.load_constant(value, to, span)?;
        Ok(ty)
    }

    fn big_literal(&mut self, class: u16, digits: &str, to: Register, span: Span) -> Compiled<Type> {
        let first = self.register(span)?;
        let text = self.env.text.intern(digits.as_bytes());
        self.load_constant(Value::String(text), first, span)?;
        self.native_by_name(class, "new", &[Type::string()], first, to, span)
    }

    fn class_literal(&mut self, simple: &str, full: &str, to: Register, span: Span) -> Compiled<Type> {
        let first = self.register(span)?;
        let second = self.register(span)?;
        for (register, name) in [(first, simple), (second, full)] {
            let text = self.env.text.intern(name.as_bytes());
            self.load_constant(Value::String(text), register, span)?;
        }
        self.native_by_name(class::CLASS, "of", &[Type::string(), Type::string()], first, to, span)
    }

    fn name(&mut self, name: &str, to: Register, span: Span) -> Compiled<Type> {
        if let Some(local) = self.visible(name).cloned() {
            if let Some(literal) = &local.literal {
                self.literal(literal, to, span)?;
                return Ok(local.ty);
            }
            self.emit(Op::Move { to, from: local.register }, span);
            return Ok(local.ty);
        }
        if let Some((this, ty)) = self.this.clone() {
            if let Some(result) = self.property(this, &ty, name, to, span)? {
                return Ok(result);
            }
        }
        if let Some((index, ty)) = self.env.globals.get(name).cloned() {
            self.emit(Op::Global { to, index }, span);
            return Ok(ty);
        }
        Err(self.unknown_name(name, span))
    }

    pub(crate) fn unknown_name(&self, name: &str, span: Span) -> Diagnostic {
        let error = match &self.this {
            Some((_, ty)) => Diagnostic::new(
                span,
                format!("`{name}` is neither a property of {} nor a variable in scope", self.env.show(ty)),
            ),
            None => Diagnostic::new(span, format!("unknown variable `{name}`")),
        };
        match &self.this {
            Some((_, ty)) if ty.class().is_some_and(|c| self.env.classes.is_subclass(c, class::MAP)) => {
                error.with_hint(format!("a value of a map is written this[\"{name}\"]"))
            }
            _ => error,
        }
    }

    /// A property of an object as DRL reads it: a field, a getter, or a method without arguments.
    pub(crate) fn property(
        &mut self,
        of: Register,
        ty: &Type,
        name: &str,
        to: Register,
        span: Span,
    ) -> Compiled<Option<Type>> {
        let Type::Class(class, _) = ty else {
            if matches!(ty, Type::Array(_)) && name == "length" {
                self.emit(Op::ArrayLength { to, of }, span);
                return Ok(Some(Type::Int));
            }
            return Ok(None);
        };
        if let Some((field, ty)) = self.env.field(*class, name) {
            self.emit(Op::GetField { to, of, field: field as u8 }, span);
            return Ok(Some(ty));
        }
        let capital = capitalise(name);
        for method in [format!("get{capital}"), format!("is{capital}"), name.to_owned()] {
            let mark = self.mark();
            let first = self.register(span)?;
            self.emit(Op::Move { to: first, from: of }, span);
            if let Some(result) = self.instance_call(ty, &method, &[], first, to, span)? {
                self.release(mark);
                return Ok(Some(result));
            }
            self.ops_pop();
            self.release(mark);
        }
        Ok(None)
    }

    fn field(
        &mut self,
        whole: &Expression,
        target: &Expression,
        name: &str,
        null_safe: bool,
        to: Register,
    ) -> Compiled<Type> {
        let span = whole.span;
        if let Some(class) = self.as_class(target) {
            return self.static_field(class, name, to, span);
        }
        let (of, ty) = self.operand(target)?;
        let end = self.label();
        if null_safe {
            self.load_constant(Value::Null, to, span)?;
            let target = self.target(end);
            self.emit(Op::JumpNull { on: of, target }, span);
        }
        let result = match self.property(of, &ty, name, to, span)? {
            Some(result) => result,
            None => {
                let message = format!("{} has no property `{name}`", self.env.show(&ty));
                return Err(Diagnostic::new(span, message));
            }
        };
        self.place(end);
        Ok(if null_safe { result.boxed() } else { result })
    }

    /// The class that an expression names, if it names one and no variable hides it.
    pub(crate) fn as_class(&self, expression: &Expression) -> Option<u16> {
        let name = dotted(expression)?;
        let first = name.split('.').next().unwrap_or(&name);
        if self.lookup(first).is_some() || self.env.globals.contains_key(first) {
            return None;
        }
        self.env.classes.find(&name)
    }

    fn static_field(&mut self, of: u16, name: &str, to: Register, span: Span) -> Compiled<Type> {
        let info = self.env.classes.get(of);
        if info.is_enum {
            if let Some(ordinal) = info.constants.iter().position(|constant| &**constant == name) {
                return self.enum_constant(of, ordinal, to, span);
            }
        }
        let (value, ty) = match (of, name) {
            (class::INTEGER, "MAX_VALUE") => (Value::Integer(i32::MAX), Type::Int),
            (class::INTEGER, "MIN_VALUE") => (Value::Integer(i32::MIN), Type::Int),
            (class::LONG, "MAX_VALUE") => (Value::Long(i64::MAX), Type::Long),
            (class::LONG, "MIN_VALUE") => (Value::Long(i64::MIN), Type::Long),
            (class::SHORT, "MAX_VALUE") => (Value::Short(i16::MAX), Type::Short),
            (class::SHORT, "MIN_VALUE") => (Value::Short(i16::MIN), Type::Short),
            (class::BYTE, "MAX_VALUE") => (Value::Byte(i8::MAX), Type::Byte),
            (class::BYTE, "MIN_VALUE") => (Value::Byte(i8::MIN), Type::Byte),
            (class::DOUBLE, "MAX_VALUE") => (Value::Double(f64::MAX), Type::Double),
            (class::DOUBLE, "MIN_VALUE") => (Value::Double(f64::from_bits(1)), Type::Double),
            (class::DOUBLE, "NaN") => (Value::Double(f64::NAN), Type::Double),
            (class::DOUBLE, "POSITIVE_INFINITY") => (Value::Double(f64::INFINITY), Type::Double),
            (class::DOUBLE, "NEGATIVE_INFINITY") => (Value::Double(f64::NEG_INFINITY), Type::Double),
            (class::FLOAT, "MAX_VALUE") => (Value::Float(f32::MAX), Type::Float),
            (class::MATH, "PI") => (Value::Double(std::f64::consts::PI), Type::Double),
            (class::MATH, "E") => (Value::Double(std::f64::consts::E), Type::Double),
            (class::BOOLEAN, "TRUE") => (Value::Boolean(true), Type::of(class::BOOLEAN)),
            (class::BOOLEAN, "FALSE") => (Value::Boolean(false), Type::of(class::BOOLEAN)),
            (class::BIG_DECIMAL, "ZERO" | "ONE" | "TEN") | (class::BIG_INTEGER, "ZERO" | "ONE" | "TWO" | "TEN") => {
                let digits = match name {
                    "ZERO" => "0",
                    "ONE" => "1",
                    "TWO" => "2",
                    _ => "10",
                };
                return self.big_literal(of, digits, to, span);
            }
            (class::BIG_DECIMAL, rounding) if rounding.starts_with("ROUND_") => {
                let at = crate::decimal::ROUNDINGS.iter().position(|(n, _)| *n == &rounding[6..]);
                match at {
                    Some(ordinal) => {
                        return self.enum_constant(class::ROUNDING_MODE, ordinal, to, span);
                    }
                    None => {
                        return Err(Diagnostic::new(span, format!("BigDecimal has no `{name}`")));
                    }
                }
            }
            (class::SYSTEM, "out" | "err")
            | (class::LOCAL_TIME, "MIDNIGHT" | "MIN")
            | (class::DURATION, "ZERO")
            | (class::STRING, "CASE_INSENSITIVE_ORDER")
            | (
                class::FORMATTER,
                "ISO_LOCAL_DATE" | "ISO_DATE" | "ISO_LOCAL_DATE_TIME" | "ISO_DATE_TIME" | "BASIC_ISO_DATE",
            ) => {
                let first = self.register(span)?;
                return self.native_by_name(of, name, &[], first, to, span);
            }
            _ => {
                let message = format!("{} has no constant `{name}`", self.env.classes.get(of).simple);
                return Err(Diagnostic::new(span, message));
            }
        };
        self.load_constant(value, to, span)?;
        Ok(ty)
    }

    pub(crate) fn enum_constant(&mut self, of: u16, ordinal: usize, to: Register, span: Span) -> Compiled<Type> {
        let first = self.register(span)?;
        let second = self.register(span)?;
        self.load_constant(Value::Integer(of.into()), first, span)?;
        self.load_constant(Value::Integer(ordinal as i32), second, span)?;
        self.native_by_name(class::ENUM, "constant", &[Type::Int, Type::Int], first, to, span)?;
        Ok(Type::of(of))
    }

    fn index(&mut self, target: &Expression, index: &Expression, to: Register, span: Span) -> Compiled<Type> {
        let (of, ty) = self.operand(target)?;
        if let Type::Array(element) = &ty {
            let at = self.register(span)?;
            self.typed(index, &Type::Int, at)?;
            self.emit(Op::ArrayGet { to, of, at }, span);
            return Ok((**element).clone());
        }
        if self.purpose == Purpose::Function {
            return Err(Diagnostic::new(span, format!("{} is not an array", self.env.show(&ty))));
        }
        let class = ty.class().unwrap_or(class::OBJECT);
        if self.env.classes.is_subclass(class, class::MAP) {
            self.map_get(of, &ty, index, to, span)?;
            return Ok(if ty.argument(1) == Type::object() { Type::object() } else { ty.argument(1) });
        }
        if self.env.classes.is_subclass(class, class::LIST) {
            let first = self.register(span)?;
            let second = self.register(span)?;
            self.emit(Op::Move { to: first, from: of }, span);
            self.typed(index, &Type::Int, second)?;
            let which = crate::program::Intrinsic::ListGet;
            self.emit(Op::Intrinsic { which, to, first, second }, span);
            return Ok(ty.argument(0));
        }
        if class == class::OBJECT {
            // `this["a"]["b"]`: what stands in a map is known only when it is read.
            let first = self.register(span)?;
            let second = self.register(span)?;
            self.emit(Op::Move { to: first, from: of }, span);
            self.value(index, second)?;
            return self.native_by_name(class::OBJECT, "at", &[Type::object(), Type::object()], first, to, span);
        }
        Err(Diagnostic::new(span, format!("{} has no elements to index", self.env.show(&ty))))
    }

    /// `map.get(key)`, with the fast form for keys that are literals.
    pub(crate) fn map_get(
        &mut self,
        map: Register,
        _ty: &Type,
        key: &Expression,
        to: Register,
        span: Span,
    ) -> Compiled<()> {
        if let Some(Literal::String(text)) = self.literal_of(key) {
            let key = self.env.text_constant(&text, span)?;
            self.emit(Op::MapGet { to, map, key }, span);
            return Ok(());
        }
        let (second, _) = self.operand(key)?;
        let which = crate::program::Intrinsic::MapGet;
        self.emit(Op::Intrinsic { which, to, first: map, second }, span);
        Ok(())
    }

    /// The literal that an expression is or stands for.
    pub(crate) fn literal_of(&self, expression: &Expression) -> Option<Literal> {
        match &expression.kind {
            E::Literal(literal) => Some(literal.clone()),
            E::Name(name) => self.visible(name).and_then(|local| local.literal.clone()),
            _ => None,
        }
    }

    fn array_items(&mut self, items: &[Expression], ty: &Type, to: Register, span: Span) -> Compiled<()> {
        let Type::Array(element) = ty else {
            return Err(Diagnostic::new(span, "an array initialiser needs an array type"));
        };
        if items.len() > 200 {
            return Err(Diagnostic::new(span, "an array initialiser takes at most 200 elements")
                .with_hint("put the values into a list or set once, or split the array"));
        }
        let first = self.mark() as Register;
        for _ in items {
            self.register(span)?;
        }
        for (index, item) in items.iter().enumerate() {
            self.typed(item, element, first + index as Register)?;
        }
        self.emit(Op::NewArray { to, first, count: items.len() as u8, kind: kind_of(element) }, span);
        Ok(())
    }

    fn array_sized(&mut self, sizes: &[Expression], ty: &Type, to: Register, span: Span) -> Compiled<()> {
        let first = self.mark() as Register;
        for _ in sizes {
            self.register(span)?;
        }
        let mut element = ty.clone();
        for (index, size) in sizes.iter().enumerate() {
            self.typed(size, &Type::Int, first + index as Register)?;
            if let Type::Array(inner) = &element {
                element = (**inner).clone();
            }
        }
        self.emit(Op::NewArraySized { to, first, count: sizes.len() as u8, kind: kind_of(&element) }, span);
        Ok(())
    }

    /// `[a, b]` in a constraint.
    fn list_literal(&mut self, items: &[Expression], to: Register, span: Span) -> Compiled<Type> {
        let first = self.register(span)?;
        self.array_items(items, &Type::Array(Type::object().into()), first, span)?;
        let array = Type::Array(Type::object().into());
        self.native_by_name(class::ARRAYS, "list", &[array], first, to, span)
    }

    fn cast(&mut self, name: &TypeName, inner: &Expression, to: Register) -> Compiled<Type> {
        let target = self.env.resolve(name)?;
        let from = self.value(inner, to)?;
        let span = inner.span;
        let fails = |emitter: &Self| {
            let (from, to) = (emitter.env.show(&from), emitter.env.show(&target));
            Diagnostic::new(span, format!("incompatible types: {from} cannot be cast to {to}"))
        };
        if target.is_primitive() {
            match from.unboxed() {
                Some(unboxed) if (unboxed == Type::Boolean) == (target == Type::Boolean) => {
                    if from != target {
                        self.convert(to, &target, span);
                    }
                }
                None if from.is_class(class::OBJECT)
                    || from.is_class(class::NUMBER)
                    || from.is_class(class::COMPARABLE) =>
                {
                    // `(int) object` is a cast to Integer and an unboxing.
                    if let Type::Class(class, _) = target.boxed() {
                        self.emit(Op::Cast { on: to, class }, span);
                    }
                    self.convert(to, &target, span);
                }
                _ => return Err(fails(self)),
            }
            return Ok(target);
        }
        if from.is_primitive() {
            if !self.env.is_assignable(&from.boxed(), &target) {
                return Err(fails(self));
            }
            return Ok(target);
        }
        if let (Type::Class(to_class, _), Type::Class(from_class, _)) = (&target, &from) {
            let related = self.env.classes.is_subclass(*to_class, *from_class)
                || self.env.classes.is_subclass(*from_class, *to_class)
                || !self.env.classes.get(*from_class).is_declared && !is_final(*from_class) && !is_final(*to_class);
            if !related {
                return Err(fails(self));
            }
        }
        if let Type::Class(class, _) = &target {
            if !self.env.is_assignable(&from, &target) {
                self.emit(Op::Cast { on: to, class: *class }, span);
            }
        }
        Ok(target)
    }

    fn creation(&mut self, name: &TypeName, arguments: &[Expression], to: Register, span: Span) -> Compiled<Type> {
        let ty = self.env.resolve(name)?;
        let Type::Class(class, _) = &ty else {
            return Err(Diagnostic::new(span, format!("{} cannot be created with `new`", self.env.show(&ty))));
        };
        if self.env.classes.get(*class).is_declared {
            return self.declared_creation(*class, arguments, to, span);
        }
        self.constructor(&ty, arguments, to, span)
    }

    /// `new T()`, `new T(all fields)` and `new T(key fields)`.
    fn declared_creation(&mut self, class: u16, arguments: &[Expression], to: Register, span: Span) -> Compiled<Type> {
        let info = self.env.classes.get(class);
        if info.is_enum {
            return Err(Diagnostic::new(span, format!("{} is an enum", info.simple)));
        }
        let fields = info.fields.clone();
        let keys: Vec<usize> = (0..fields.len()).filter(|i| fields[*i].key).collect();
        let given: Vec<usize> = if arguments.is_empty() {
            Vec::new()
        } else if arguments.len() == fields.len() {
            (0..fields.len()).collect()
        } else if arguments.len() == keys.len() {
            keys
        } else {
            let message = format!("{} has {} fields, {} given", info.simple, fields.len(), arguments.len());
            return Err(Diagnostic::new(span, message).with_hint("give all fields, the key fields, or none"));
        };
        let first = self.mark() as Register;
        for _ in &fields {
            self.register(span)?;
        }
        for (index, field) in fields.iter().enumerate() {
            let at = first + index as Register;
            if let Some(position) = given.iter().position(|g| *g == index) {
                self.typed(&arguments[position], &field.ty, at)?;
            } else if let Some(initial) = self.env.initials.get(&(class, index)).cloned() {
                self.typed(&initial, &field.ty, at)?;
            } else {
                self.load_constant(default_value(&field.ty), at, span)?;
            }
        }
        self.emit(Op::New { to, first, class }, span);
        Ok(Type::of(class))
    }

    fn ops_pop(&mut self) {
        self.ops.pop();
        self.pop_position();
    }
}

fn is_final(class: u16) -> bool {
    matches!(
        class,
        class::STRING
            | class::INTEGER
            | class::LONG
            | class::DOUBLE
            | class::FLOAT
            | class::BOOLEAN
            | class::SHORT
            | class::BYTE
            | class::CHARACTER
            | class::LOCAL_DATE
            | class::LOCAL_DATE_TIME
    )
}

pub(crate) fn default_value(ty: &Type) -> Value {
    match ty {
        Type::Boolean => Value::Boolean(false),
        Type::Char => Value::Character(0),
        Type::Byte => Value::Byte(0),
        Type::Short => Value::Short(0),
        Type::Int => Value::Integer(0),
        Type::Long => Value::Long(0),
        Type::Float => Value::Float(0.0),
        Type::Double => Value::Double(0.0),
        _ => Value::Null,
    }
}

pub(super) fn constant_int(expression: &Expression) -> Option<i32> {
    use crate::syntax::ast::UnaryOperator;
    match &expression.kind {
        E::Literal(Literal::Integer(value)) => Some(*value),
        E::Literal(Literal::Character(unit)) => Some(i32::from(*unit)),
        E::Unary(UnaryOperator::Minus, inner) => constant_int(inner).map(i32::wrapping_neg),
        _ => None,
    }
}

pub(super) fn capitalise(name: &str) -> String {
    let mut characters = name.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().collect::<String>() + characters.as_str(),
        None => String::new(),
    }
}

/// The conversion target of a primitive type.
pub(crate) fn primitive(ty: &Type) -> Option<Primitive> {
    Some(match ty {
        Type::Boolean => Primitive::Boolean,
        Type::Char => Primitive::Char,
        Type::Byte => Primitive::Byte,
        Type::Short => Primitive::Short,
        Type::Int => Primitive::Int,
        Type::Long => Primitive::Long,
        Type::Float => Primitive::Float,
        Type::Double => Primitive::Double,
        _ => return None,
    })
}

/// Element kinds as the machine numbers them.
fn kind_of(element: &Type) -> u8 {
    match element {
        Type::Boolean => 0,
        Type::Char => 1,
        Type::Byte => 2,
        Type::Short => 3,
        Type::Int => 4,
        Type::Long => 5,
        Type::Float => 6,
        Type::Double => 7,
        Type::Class(class::STRING, _) => 8,
        _ => 9,
    }
}

/// The common type of two branches of a conditional.
pub(super) fn join(emitter: &Emitter<'_>, yes: &Type, no: &Type) -> Type {
    if yes == no {
        return yes.clone();
    }
    if let (Some(a), Some(b)) = (yes.unboxed(), no.unboxed()) {
        if let (Some(x), Some(y)) = (a.rank(), b.rank()) {
            if a == b {
                return a;
            }
            // Two small types stay small only together; anything else is promoted.
            return if x <= 4 && y <= 4 {
                Type::Int
            } else if x > y {
                a
            } else {
                b
            };
        }
        if a == b {
            return a;
        }
    }
    let (yes, no) = (yes.boxed(), no.boxed());
    if yes == Type::Null {
        return no;
    }
    if no == Type::Null || emitter.env.is_assignable(&no, &yes) {
        return yes;
    }
    if emitter.env.is_assignable(&yes, &no) {
        return no;
    }
    dynamic()
}
