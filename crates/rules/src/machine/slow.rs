//! Operations that are rare or do much, and the rare cases of others: apart from the loop, so that it stays small.

use super::{Action, Limit, Machine, Outcome, Throw, convert, numbers};
use crate::heap::{Other, Value};
use crate::program::{Intrinsic, Op, Register};
use crate::types::class;

impl Machine<'_> {
    /// Operations that are rare or do much: apart from the loop, so that its own stay small.
    #[inline(never)]
    pub(super) fn slow(&mut self, op: Op, depth: usize) -> Outcome<()> {
        let program = self.program;
        macro_rules! get {
            ($register:expr) => {
                self.stack.frame(depth).get($register)
            };
        }
        macro_rules! set {
            ($register:expr, $value:expr) => {{
                let value = $value;
                self.stack.frame(depth).set($register, value);
            }};
        }
        match op {
            Op::Long { operator, to, left, right } => {
                if let (Value::Long(a), Some(b)) = (get!(left), get!(right).as_long()) {
                    match numbers::long(operator, a, b) {
                        Some(value) => set!(to, Value::Long(value)),
                        None => return Err(self.exception(class::ARITHMETIC_EXCEPTION, Some("/ by zero"))),
                    }
                }
            }
            Op::Float { operator, to, left, right } => {
                if let (Value::Float(a), Value::Float(b)) = (get!(left), get!(right)) {
                    set!(to, Value::Float(numbers::float(operator, a, b)));
                }
            }
            Op::Negate { to, from } => set!(to, numbers::negate(get!(from))),
            Op::Complement { to, from } => set!(to, numbers::complement(get!(from))),
            Op::Same { to, left, right } => {
                set!(to, Value::Boolean(get!(left).same_reference(get!(right))))
            }
            Op::Lambda { to, first, count, function } => {
                let captured = self.stack.frame(depth).range(first, usize::from(count)).collect();
                let lambda = Other::Lambda { code: function.into(), captured };
                set!(to, self.heap.new_other(lambda));
            }
            Op::Concat { to, first, count } => {
                let frame = self.stack.frame(depth);
                let text = self.heap.build(|writer| {
                    for value in frame.range(first, usize::from(count)) {
                        writer.push_value(value);
                    }
                });
                if self.heap.is_full() {
                    return Err(Throw::Limit(Limit::Memory));
                }
                set!(to, text);
            }
            Op::SetField { of, field, from } => match get!(of) {
                Value::Instance(instance) => {
                    let value = get!(from);
                    self.heap.instance_mut(instance).fields[usize::from(field)] = value;
                }
                _ => return Err(self.null_pointer("cannot write a field of null")),
            },
            Op::New { to, first, class } => {
                let count = program.classes[usize::from(class)].fields.len();
                let fields: Vec<Value> = self.stack.frame(depth).range(first, count).collect();
                let instance = self.heap.new_instance(class, &fields);
                set!(to, instance);
            }
            Op::NewArray { to, first, count, kind } => {
                let items = self.stack.frame(depth).range(first, usize::from(count));
                let array = self.heap.new_array(numbers::array_kind(kind), items);
                set!(to, array);
            }
            Op::NewArraySized { to, first, count, kind } => {
                let sizes: Vec<Value> = self.stack.frame(depth).range(first, usize::from(count)).collect();
                let array = self.array_sized(&sizes, kind);
                set!(to, array?);
            }
            Op::ArraySet { of, at: index, from } => {
                let (array, index, value) = (get!(of), get!(index), get!(from));
                let (list, index) = self.array_place(array, index)?;
                self.heap.list_mut(list).items[index] = value;
            }
            Op::Relate { relation, to, left, right } => {
                let (left, right) = (get!(left), get!(right));
                let result = self.relate(relation, left, right)?;
                set!(to, Value::Boolean(result));
            }
            Op::Insert { from, logical } => {
                let fact = get!(from);
                if fact.is_null() {
                    return Err(self.null_pointer("cannot insert null"));
                }
                self.actions.push(Action::Insert { fact, logical });
            }
            Op::Update { fact, mask } => {
                let fact = get!(fact);
                self.actions.push(Action::Update { fact, mask });
            }
            Op::Delete { fact } => {
                let fact = get!(fact);
                self.actions.push(Action::Delete { fact });
            }
            Op::Halt => self.actions.push(Action::Halt),
            Op::Focus { from } => {
                let group = get!(from);
                self.actions.push(Action::Focus(group));
            }
            _ => {}
        }
        Ok(())
    }

    // What follows reads its operands itself: read ahead, they would slow down the usual cases as well.

    #[inline(never)]
    pub(super) fn is_instance_in(&mut self, depth: usize, on: Register, class: u16) -> bool {
        let value = self.stack.frame(depth).get(on);
        !value.is_null() && self.is_instance(value, class)
    }

    #[inline(never)]
    pub(super) fn size_in(&mut self, depth: usize, collection: Register) -> Outcome<i32> {
        let collection = self.stack.frame(depth).get(collection);
        let size = self.intrinsic(Intrinsic::Size, collection, collection)?;
        Ok(size.as_long().unwrap_or(0) as i32)
    }

    #[inline(never)]
    pub(super) fn has_next(&mut self, depth: usize, iterator: Register) -> Outcome<bool> {
        let iterator = self.stack.frame(depth).get(iterator);
        Ok(matches!(crate::library::has_next(self, &[iterator])?, Value::Boolean(true)))
    }

    #[inline(never)]
    pub(super) fn next(&mut self, depth: usize, to: Register, iterator: Register) -> Outcome<()> {
        let iterator = self.stack.frame(depth).get(iterator);
        let item = crate::library::next(self, &[iterator])?;
        self.stack.frame(depth).set(to, item);
        Ok(())
    }

    #[inline(never)]
    pub(super) fn intrinsic_in(
        &mut self,
        depth: usize,
        which: Intrinsic,
        to: Register,
        first: Register,
        second: Register,
    ) -> Outcome<()> {
        let frame = self.stack.frame(depth);
        let (first, second) = (frame.get(first), frame.get(second));
        let result = self.intrinsic(which, first, second)?;
        self.stack.frame(depth).set(to, result);
        Ok(())
    }

    /// Calls a method of the library.
    #[inline(never)]
    pub(super) fn native(&mut self, method: u16, depth: usize, first: Register) -> Outcome<Value> {
        let method = self.program.methods[usize::from(method)];
        macro_rules! run_on {
            ($count:literal) => {{
                let arguments: [Value; $count] = self.stack.frame(depth).several(first);
                (method.run)(self, &arguments)
            }};
        }
        let result = match method.arguments {
            0 => (method.run)(self, &[]),
            1 => run_on!(1),
            2 => run_on!(2),
            3 => run_on!(3),
            count => {
                let all: Vec<Value> = self.stack.frame(depth).range(first, usize::from(count)).collect();
                (method.run)(self, &all)
            }
        };
        if self.heap.is_full() {
            return Err(Throw::Limit(Limit::Memory));
        }
        result
    }

    #[inline(never)]
    pub(super) fn map_put(&mut self, map: Value, key: Value, value: Value) -> Outcome<Value> {
        let Value::Map(map) = map else {
            return Err(self.null_pointer("cannot put into null"));
        };
        match self.heap.map(map).order {
            crate::heap::Order::Frozen => Err(self.exception(class::UNSUPPORTED_OPERATION, None)),
            crate::heap::Order::Tree if key.is_null() => Err(self.null_pointer("a tree map takes no null key")),
            _ => Ok(self.heap.map_put(map, key, value).unwrap_or(Value::Null)),
        }
    }

    pub(super) fn array_place(&mut self, array: Value, index: Value) -> Outcome<(u32, usize)> {
        let Value::Array(list) = array else {
            return Err(self.null_pointer("cannot use a null array"));
        };
        let length = self.heap.list(list).items.len();
        let at = index.as_long().or(match index {
            Value::Character(unit) => Some(unit.into()),
            _ => None,
        });
        let at = at.unwrap_or(-1);
        if at < 0 || at as usize >= length {
            let message = format!("Index {at} out of bounds for length {length}");
            return Err(self.exception(class::ARRAY_INDEX, Some(&message)));
        }
        Ok((list, at as usize))
    }

    fn array_sized(&mut self, sizes: &[Value], kind: u8) -> Outcome<Value> {
        let Some((first, rest)) = sizes.split_first() else {
            return Ok(Value::Null);
        };
        let size = first.as_long().unwrap_or(0);
        if size < 0 {
            return Err(self.exception(class::NEGATIVE_SIZE, Some(&size.to_string())));
        }
        if size as usize * size_of::<Value>() > crate::heap::DEFAULT_MEMORY || self.heap.is_full() {
            return Err(Throw::Limit(Limit::Memory));
        }
        let mut items = Vec::with_capacity(size as usize);
        for _ in 0..size {
            items.push(if rest.is_empty() { numbers::default_of(kind) } else { self.array_sized(rest, kind)? });
        }
        let kind = if rest.is_empty() { numbers::array_kind(kind) } else { numbers::array_kind(u8::MAX) };
        Ok(self.heap.new_array(kind, items))
    }

    #[inline(never)]
    pub(super) fn intrinsic(&mut self, which: Intrinsic, first: Value, second: Value) -> Outcome<Value> {
        Ok(match (which, first, second) {
            (Intrinsic::Size, Value::List(list), _) => Value::Integer(self.heap.list(list).items.len() as i32),
            (Intrinsic::Size, Value::Map(map) | Value::Set(map), _) => {
                Value::Integer(self.heap.map(map).entries.len() as i32)
            }
            (Intrinsic::ListGet, Value::List(list), Value::Integer(at)) => {
                let items = &self.heap.list(list).items;
                match items.get(at as usize) {
                    Some(item) => *item,
                    None => {
                        let message = format!("Index {at} out of bounds for length {}", items.len());
                        return Err(self.exception(class::INDEX_OUT_OF_BOUNDS, Some(&message)));
                    }
                }
            }
            (Intrinsic::Length, Value::String(text), _) => Value::Integer(if text.is_ascii() {
                text.bytes_len() as i32
            } else {
                crate::text::units(self.heap.bytes(text)).count() as i32
            }),
            (Intrinsic::CharAt, Value::String(text), Value::Integer(at)) => {
                let bytes = self.heap.bytes(text);
                let unit = match text.is_ascii() {
                    true => bytes.get(at as usize).map(|byte| u16::from(*byte)),
                    false => crate::text::units(bytes).nth(at.max(-1) as u32 as usize),
                };
                match unit {
                    Some(unit) => Value::Character(unit),
                    None => {
                        let message = format!("String index out of range: {at}");
                        return Err(self.exception(class::STRING_INDEX, Some(&message)));
                    }
                }
            }
            (Intrinsic::Equals, Value::Null, _) => {
                return Err(self.null_pointer("cannot call equals on null"));
            }
            (Intrinsic::Equals, a, b) => Value::Boolean(self.heap.equal(a, b)),
            (Intrinsic::EqualsIgnoreCase, Value::String(a), b) => {
                let equal = match b {
                    Value::String(b) if a.is_ascii() && b.is_ascii() => {
                        self.heap.bytes(a).eq_ignore_ascii_case(self.heap.bytes(b))
                    }
                    Value::String(b) => crate::library::equals_ignore_case(self.heap.bytes(a), self.heap.bytes(b)),
                    _ => false,
                };
                Value::Boolean(equal)
            }
            (Intrinsic::MapGet, Value::Map(map), key) => self.heap.map_get(map, key).unwrap_or(Value::Null),
            (Intrinsic::MapContains, Value::Map(map), key) => Value::Boolean(self.heap.map_find(map, key).is_some()),
            (Intrinsic::DoubleValue, value, _) if value.as_double().is_some() => {
                Value::Double(value.as_double().unwrap_or(f64::NAN))
            }
            (Intrinsic::IntValue, Value::Integer(_), _) => first,
            (Intrinsic::IntValue, value, _) if value.as_double().is_some() => {
                convert(value, crate::program::Primitive::Int).unwrap_or(Value::Null)
            }
            (Intrinsic::LongValue, value, _) if value.as_double().is_some() => {
                convert(value, crate::program::Primitive::Long).unwrap_or(Value::Null)
            }
            (Intrinsic::DoubleValue | Intrinsic::IntValue | Intrinsic::LongValue, Value::Other(_), _) => {
                return self.big_value(which, first);
            }
            (Intrinsic::ToString, Value::String(_), _) => first,
            (Intrinsic::ToString, Value::Null, _) => {
                return Err(self.null_pointer("cannot call toString on null"));
            }
            (Intrinsic::ToString, value, _) => self.heap.build(|writer| writer.push_value(value)),
            (Intrinsic::ListAdd, Value::List(list), item) => {
                if self.heap.is_fixed(list) {
                    return Err(self.exception(class::UNSUPPORTED_OPERATION, None));
                }
                self.heap.list_add(list, item);
                Value::Boolean(true)
            }
            (Intrinsic::AbsoluteDouble, Value::Double(a), _) => Value::Double(a.abs()),
            (Intrinsic::MaximumDouble, Value::Double(a), Value::Double(b)) => Value::Double(numbers::maximum(a, b)),
            (Intrinsic::MinimumDouble, Value::Double(a), Value::Double(b)) => Value::Double(numbers::minimum(a, b)),
            (Intrinsic::MaximumInt, Value::Integer(a), Value::Integer(b)) => Value::Integer(a.max(b)),
            (Intrinsic::MinimumInt, Value::Integer(a), Value::Integer(b)) => Value::Integer(a.min(b)),
            _ => return Err(self.null_pointer("cannot call a method of null")),
        })
    }

    fn big_value(&mut self, which: Intrinsic, value: Value) -> Outcome<Value> {
        let Some(double) = crate::library::number_to_double(&self.heap, value) else {
            return Err(self.class_cast(value, class::NUMBER));
        };
        let whole = crate::library::number_to_long(&self.heap, value).unwrap_or(0);
        Ok(match which {
            Intrinsic::DoubleValue => Value::Double(double),
            Intrinsic::IntValue => Value::Integer(whole as i32),
            _ => Value::Long(whole),
        })
    }
}
