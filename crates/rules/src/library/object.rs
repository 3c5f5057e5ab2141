//! `Object`, `Objects`, `Class`, enums, exceptions, `System`, iterators, optionals and atomics.

use std::sync::Arc;

use super::Table;
use crate::heap::{ClassName, Other, Throwable, Value};
use crate::machine::{Machine, Outcome};
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    table.add(class::OBJECT, "String toString()", to_string);
    table.add(class::OBJECT, "boolean equals(Object)", |m, a| Ok(Value::Boolean(m.heap.equal(a[0], a[1]))));
    table.add(class::OBJECT, "int hashCode()", |m, a| Ok(Value::Integer(m.heap.hash(a[0]))));
    table.add(class::OBJECT, "Class getClass()", |m, a| {
        let name = m.heap.class_name(a[0]);
        Ok(m.heap.new_other(Other::Class(name)))
    });
    table.add(class::OBJECT, "static ? at(Object, Object)", element_at);
    table.add(class::COMPARABLE, "int compareTo(Object)", compare_to);
    table.add(class::CLASS, "static Class of(String, String)", |m, a| {
        let (simple, full) = (m.heap.to_text(a[0]).into(), m.heap.to_text(a[1]).into());
        Ok(m.heap.new_other(Other::Class(ClassName { simple, full })))
    });
    table.add(class::CLASS, "String getSimpleName()", |m, a| class_text(m, a, |name| name.simple.clone()));
    table.add(class::CLASS, "String getName()", |m, a| class_text(m, a, |name| name.full.clone()));

    table.add(class::ENUM, "static Object constant(int, int)", |m, a| {
        Ok(enum_constant(m, int(a[0]) as u16, int(a[1]) as u8))
    });
    table.add(class::ENUM, "static Object[] valuesOf(int)", enum_values);
    table.add(class::ENUM, "static Object named(int, String)", enum_named);
    table.add(class::ENUM, "String name()", to_string);
    table.add(class::ENUM, "int ordinal()", |m, a| {
        Ok(Value::Integer(match a[0] {
            Value::Other(other) => match m.heap.other(other) {
                Other::Constant { ordinal, .. } => i32::from(*ordinal),
                _ => 0,
            },
            Value::Instance(instance) => int(m.heap.instance(instance).fields[1]),
            _ => 0,
        }))
    });

    table.add(class::OBJECTS, "static boolean equals(Object, Object)", |m, a| {
        Ok(Value::Boolean(m.heap.equal(a[0], a[1])))
    });
    table.add(class::OBJECTS, "static int hashCode(Object)", |m, a| Ok(Value::Integer(m.heap.hash(a[0]))));
    table.add(class::OBJECTS, "static boolean isNull(Object)", |_, a| Ok(Value::Boolean(a[0].is_null())));
    table.add(class::OBJECTS, "static boolean nonNull(Object)", |_, a| Ok(Value::Boolean(!a[0].is_null())));
    table.add(class::OBJECTS, "static String toString(Object)", to_string);
    table.add(class::OBJECTS, "static String toString(Object, String)", |m, a| {
        if a[0].is_null() { Ok(a[1]) } else { to_string(m, a) }
    });
    table.add(class::OBJECTS, "static A0 requireNonNull(Object)", |m, a| {
        if a[0].is_null() { Err(m.exception(class::NULL_POINTER, None)) } else { Ok(a[0]) }
    });
    table.add(class::OBJECTS, "static A0 requireNonNull(Object, String)", |m, a| {
        let message = m.heap.to_text(a[1]);
        if a[0].is_null() { Err(m.exception(class::NULL_POINTER, Some(&message))) } else { Ok(a[0]) }
    });
    table.add(class::OBJECTS, "static A0 requireNonNullElse(Object, Object)", |_, a| {
        Ok(if a[0].is_null() { a[1] } else { a[0] })
    });

    table.add(class::SYSTEM, "static long currentTimeMillis()", |_, _| {
        Ok(Value::Long(jiff::Timestamp::now().as_millisecond()))
    });
    table.add(class::SYSTEM, "static long nanoTime()", |_, _| {
        Ok(Value::Long(jiff::Timestamp::now().as_nanosecond() as i64))
    });
    table.add(class::SYSTEM, "static String lineSeparator()", |m, _| Ok(m.heap.new_string(b"\n")));
    register_output(table);

    table.add(
        class::THROWABLE,
        "String getMessage()",
        |m, a| Ok(throwable(m, a[0]).map_or(Value::Null, |t| t.message)),
    );
    table.add(class::THROWABLE, "String getLocalizedMessage()", |m, a| {
        Ok(throwable(m, a[0]).map_or(Value::Null, |t| t.message))
    });
    table.add(class::THROWABLE, "Throwable getCause()", |m, a| Ok(throwable(m, a[0]).map_or(Value::Null, |t| t.cause)));
    table.add(class::THROWABLE, "void printStackTrace()", |_, _| Ok(Value::Null));
    register_exceptions(table);

    table.add(class::ITERATOR, "boolean hasNext()", has_next);
    table.add(class::ITERATOR, "T0 next()", next);
    table.add(class::ITERATOR, "void remove()", remove_current);
    table.add(class::ITERABLE, "Iterator<T0> iterator()", iterate);
    table.add(class::ITERABLE, "void forEach(Function<T0>)", |m, a| {
        for item in m.heap.elements(a[0]).unwrap_or_default() {
            m.call(a[1], &[item])?;
        }
        Ok(Value::Null)
    });

    table.add(class::OPTIONAL, "static Optional<A0> of(Object)", |m, a| Ok(m.heap.new_other(Other::Optional(a[0]))));
    table.add(class::OPTIONAL, "static Optional<A0> ofNullable(Object)", |m, a| {
        Ok(m.heap.new_other(Other::Optional(a[0])))
    });
    table.add(class::OPTIONAL, "static Optional empty()", |m, _| Ok(m.heap.new_other(Other::Optional(Value::Null))));
    table.add(class::OPTIONAL, "boolean isPresent()", |m, a| Ok(Value::Boolean(!optional(m, a[0]).is_null())));
    table.add(class::OPTIONAL, "boolean isEmpty()", |m, a| Ok(Value::Boolean(optional(m, a[0]).is_null())));
    table.add(class::OPTIONAL, "T0 get()", optional_get);
    table.add(class::OPTIONAL, "T0 getAsInt()", optional_get);
    table.add(class::OPTIONAL, "T0 getAsLong()", optional_get);
    table.add(class::OPTIONAL, "T0 getAsDouble()", optional_get);
    table.add(class::OPTIONAL, "T0 orElse(Object)", |m, a| {
        Ok(Some(optional(m, a[0])).filter(|v| !v.is_null()).unwrap_or(a[1]))
    });
    table.add(class::OPTIONAL, "Optional<R> map(Function<T0>)", |m, a| {
        let value = optional(m, a[0]);
        let mapped = if value.is_null() { value } else { m.call(a[1], &[value])? };
        Ok(m.heap.new_other(Other::Optional(mapped)))
    });

    for (class, is_long) in [(class::ATOMIC_INTEGER, false), (class::ATOMIC_LONG, true)] {
        let new = if is_long { "static AtomicLong new(long)" } else { "static AtomicInteger new(int)" };
        table.add(class, new, |m, a| Ok(m.heap.new_other(Other::Atomic(a[0]))));
        let none = if is_long { "static AtomicLong new()" } else { "static AtomicInteger new()" };
        if is_long {
            table.add(class, none, |m, _| Ok(m.heap.new_other(Other::Atomic(Value::Long(0)))));
            table.add(class, "long get()", |m, a| Ok(atomic(m, a[0], 0).1));
            table.add(class, "long incrementAndGet()", |m, a| Ok(atomic(m, a[0], 1).1));
            table.add(class, "long decrementAndGet()", |m, a| Ok(atomic(m, a[0], -1).1));
            table.add(class, "long getAndIncrement()", |m, a| Ok(atomic(m, a[0], 1).0));
            table.add(class, "long addAndGet(long)", |m, a| Ok(atomic(m, a[0], a[1].as_long().unwrap_or(0)).1));
        } else {
            table.add(class, none, |m, _| Ok(m.heap.new_other(Other::Atomic(Value::Integer(0)))));
            table.add(class, "int get()", |m, a| Ok(atomic(m, a[0], 0).1));
            table.add(class, "int incrementAndGet()", |m, a| Ok(atomic(m, a[0], 1).1));
            table.add(class, "int decrementAndGet()", |m, a| Ok(atomic(m, a[0], -1).1));
            table.add(class, "int getAndIncrement()", |m, a| Ok(atomic(m, a[0], 1).0));
            table.add(class, "int addAndGet(int)", |m, a| Ok(atomic(m, a[0], a[1].as_long().unwrap_or(0)).1));
        }
    }
}

/// Constructors of the exceptions that rule files may throw; each knows its class by its own function.
fn register_exceptions(table: &mut Table) {
    macro_rules! exceptions {
        ($($class:ident),*) => {$(
            table.add(class::$class, "static Throwable new()", |m, _| make(m, class::$class, Value::Null, Value::Null));
            table.add(class::$class, "static Throwable new(String)", |m, a| make(m, class::$class, a[0], Value::Null));
            table.add(class::$class, "static Throwable new(String, Throwable)", |m, a| make(m, class::$class, a[0], a[1]));
            table.add(class::$class, "static Throwable new(Throwable)", |m, a| {
                let message = if a[0].is_null() { Value::Null } else { to_string(m, a)? };
                make(m, class::$class, message, a[0])
            });
        )*};
    }
    exceptions!(
        THROWABLE,
        EXCEPTION,
        RUNTIME_EXCEPTION,
        ARITHMETIC_EXCEPTION,
        ILLEGAL_ARGUMENT,
        ILLEGAL_STATE,
        NUMBER_FORMAT,
        INDEX_OUT_OF_BOUNDS,
        NULL_POINTER,
        UNSUPPORTED_OPERATION,
        NO_SUCH_ELEMENT,
        CLASS_CAST
    );
}

fn make(machine: &mut Machine<'_>, class: u16, message: Value, cause: Value) -> Outcome<Value> {
    Ok(machine.heap.new_other(Other::Throwable(Throwable { class, message, cause })))
}

pub(super) fn int(value: Value) -> i32 {
    match value {
        Value::Character(unit) => unit.into(),
        other => other.as_long().unwrap_or(0) as i32,
    }
}

pub(super) fn to_string(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    match arguments[0] {
        Value::String(_) => Ok(arguments[0]),
        value => Ok(machine.heap.build(|writer| writer.push_value(value))),
    }
}

/// `this["a"]["b"]` on a value whose type is known only now.
fn element_at(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    match (arguments[0], arguments[1]) {
        (Value::Map(map), key) => Ok(machine.heap.map_get(map, key).unwrap_or(Value::Null)),
        (Value::List(list) | Value::Array(list), index) => {
            let at = int(index);
            match machine.heap.list(list).items.get(at as usize) {
                Some(item) => Ok(*item),
                None => Err(machine.exception(class::INDEX_OUT_OF_BOUNDS, Some(&format!("Index {at} out of bounds")))),
            }
        }
        (Value::Null, _) => Err(machine.null_pointer("cannot read an element of null")),
        _ => Err(machine.exception(class::CLASS_CAST, Some("the value has no elements"))),
    }
}

pub(super) fn compare_to(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let natural = crate::heap::Comparator::Natural;
    machine.compare_with(&natural, arguments[0], arguments[1]).map(Value::Integer)
}

fn class_text(machine: &mut Machine<'_>, arguments: &[Value], text: impl Fn(&ClassName) -> Arc<str>) -> Outcome<Value> {
    let name = match arguments[0] {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Class(name) => text(name),
            _ => "".into(),
        },
        _ => "".into(),
    };
    Ok(machine.heap.new_string(name.as_bytes()))
}

/// `System.out` and `System.err` take what they are given and drop it: standard output holds decision
/// lines alone, and what rules print is mostly the data of a case.
fn register_output(table: &mut Table) {
    let c = class::PRINT_STREAM;
    for signature in ["static java.io.PrintStream out()", "static java.io.PrintStream err()"] {
        table.add(class::SYSTEM, signature, |m, _| {
            let name = ClassName { simple: "PrintStream".into(), full: "java.io.PrintStream".into() };
            Ok(m.heap.new_other(Other::Class(name)))
        });
    }
    for signature in ["void println()", "void println(Object)", "void print(Object)", "void flush()"] {
        table.add(c, signature, |_, _| Ok(Value::Null));
    }
    for signature in ["this printf(String, Object...)", "this format(String, Object...)"] {
        table.add(c, signature, |m, a| {
            super::format::format(m, &a[1..])?;
            Ok(a[0])
        });
    }
}

fn enum_constant(machine: &mut Machine<'_>, class: u16, ordinal: u8) -> Value {
    let info = &machine.program.classes[usize::from(class)];
    if !info.is_declared {
        return machine.heap.new_other(Other::Constant { class, ordinal });
    }
    if let Some(made) = machine.constants.get(&(class, ordinal)) {
        return *made;
    }
    let name = info.constants[usize::from(ordinal)].clone();
    let name = machine.heap.new_string(name.as_bytes());
    let constant = machine.heap.new_instance(class, &[name, Value::Integer(ordinal.into())]);
    machine.constants.insert((class, ordinal), constant);
    constant
}

fn enum_values(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let class = int(arguments[0]) as u16;
    let count = machine.program.classes[usize::from(class)].constants.len();
    let values: Vec<Value> = (0..count).map(|ordinal| enum_constant(machine, class, ordinal as u8)).collect();
    let kind = crate::heap::ListKind::Array(crate::heap::ArrayKind::Object);
    Ok(machine.heap.new_array(kind, values))
}

fn enum_named(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let class = int(arguments[0]) as u16;
    let name = machine.heap.to_text(arguments[1]);
    let info = &machine.program.classes[usize::from(class)];
    match info.constants.iter().position(|constant| **constant == *name) {
        Some(ordinal) => Ok(enum_constant(machine, class, ordinal as u8)),
        None => {
            let message = format!("No enum constant {}.{name}", info.name);
            Err(machine.exception(class::ILLEGAL_ARGUMENT, Some(&message)))
        }
    }
}

fn throwable<'m>(machine: &'m Machine<'_>, value: Value) -> Option<&'m Throwable> {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Throwable(throwable) => Some(throwable),
            _ => None,
        },
        _ => None,
    }
}

fn changes(machine: &Machine<'_>, over: Value) -> (u32, usize) {
    match over {
        Value::List(list) => (machine.heap.list(list).changes, machine.heap.list(list).items.len()),
        Value::Map(map) | Value::Set(map) => (machine.heap.map(map).changes, machine.heap.map(map).entries.len()),
        _ => (0, 0),
    }
}

/// `over.iterator()`, with the collection as the only argument.
pub(crate) fn iterate(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let over = arguments[0];
    let Some(items) = machine.heap.elements(over) else {
        return Err(if over.is_null() {
            machine.null_pointer("cannot iterate over null")
        } else {
            machine.exception(class::CLASS_CAST, Some("the value cannot be iterated over"))
        });
    };
    let (changes, _) = changes(machine, over);
    Ok(machine.heap.new_other(Other::Iterator { items: Arc::new(items), at: 0, over, changes }))
}

/// `iterator.hasNext()`.
pub(crate) fn has_next(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let Value::Other(other) = arguments[0] else {
        return Err(machine.null_pointer("the iterator is null"));
    };
    let Other::Iterator { items, at, over, .. } = machine.heap.other(other) else {
        return Ok(Value::Boolean(false));
    };
    // A list's iterator ends when its position is the list's size, even if the list has changed.
    let end = match over {
        Value::List(list) => machine.heap.list(*list).items.len(),
        _ => items.len(),
    };
    Ok(Value::Boolean(*at != end))
}

/// `iterator.next()`.
pub(crate) fn next(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let Value::Other(other) = arguments[0] else {
        return Err(machine.null_pointer("the iterator is null"));
    };
    let Other::Iterator { items, at, over, changes: seen } = machine.heap.other(other) else {
        return Ok(Value::Null);
    };
    let (item, over, seen) = (items.get(*at).copied(), *over, *seen);
    if changes(machine, over).0 != seen {
        return Err(machine.exception(class::CONCURRENT_MODIFICATION, None));
    }
    let Some(item) = item else {
        return Err(machine.exception(class::NO_SUCH_ELEMENT, None));
    };
    if let Other::Iterator { at, .. } = machine.heap.other_mut(other) {
        *at += 1;
    }
    Ok(item)
}

fn remove_current(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let Value::Other(other) = arguments[0] else {
        return Err(machine.null_pointer("the iterator is null"));
    };
    let Other::Iterator { items, at, over, changes: seen } = machine.heap.other(other) else {
        return Ok(Value::Null);
    };
    let seen = *seen;
    let (at, over, items) = (*at, *over, items.clone());
    if at == 0 {
        return Err(machine.exception(class::ILLEGAL_STATE, None));
    }
    if changes(machine, over).0 != seen {
        return Err(machine.exception(class::CONCURRENT_MODIFICATION, None));
    }
    if matches!(over, Value::List(list) if machine.heap.is_fixed(list)) {
        return Err(machine.exception(class::UNSUPPORTED_OPERATION, None));
    }
    match over {
        Value::List(list) => {
            let data = machine.heap.list_mut(list);
            data.items.remove(at - 1);
            data.changes += 1;
        }
        Value::Set(set) => {
            machine.heap.map_remove(set, items[at - 1]);
        }
        _ => return Err(machine.exception(class::UNSUPPORTED_OPERATION, None)),
    }
    let (now, _) = changes(machine, over);
    if let Other::Iterator { items, at, changes, .. } = machine.heap.other_mut(other) {
        if matches!(over, Value::List(_)) {
            let mut rest = (**items).clone();
            rest.remove(*at - 1);
            *items = Arc::new(rest);
            *at -= 1;
        }
        *changes = now;
    }
    Ok(Value::Null)
}

fn optional(machine: &Machine<'_>, value: Value) -> Value {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Optional(inner) => *inner,
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

fn optional_get(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let value = optional(machine, arguments[0]);
    if value.is_null() { Err(machine.exception(class::NO_SUCH_ELEMENT, Some("No value present"))) } else { Ok(value) }
}

/// The value before and after adding `by`.
fn atomic(machine: &mut Machine<'_>, value: Value, by: i64) -> (Value, Value) {
    let Value::Other(other) = value else {
        return (Value::Null, Value::Null);
    };
    let Other::Atomic(held) = machine.heap.other_mut(other) else {
        return (Value::Null, Value::Null);
    };
    let before = *held;
    *held = match before {
        Value::Long(v) => Value::Long(v.wrapping_add(by)),
        Value::Integer(v) => Value::Integer(v.wrapping_add(by as i32)),
        same => same,
    };
    (before, *held)
}
