//! Streams, evaluated eagerly: the elements are few and functions of a rule file have no side effects
//! that laziness would hide.

use std::sync::Arc;

use super::Table;
use super::collection::{best, items, set_of, sorted};
use super::number::number_to_double;
use super::object::int;
use super::string::display;
use crate::heap::{ListKind, Order, Other, Value};
use crate::machine::{Machine, Outcome};
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    table.add(class::COLLECTION, "Stream<T0> stream()", |m, a| {
        let all = items(m, a[0])?;
        Ok(stream(m, all))
    });
    let c = class::STREAM;
    table.add(c, "static Stream<A0> of(Object...)", |m, a| {
        let all = items(m, a[0])?;
        Ok(stream(m, all))
    });
    table.add(c, "static Stream<Integer> range(int, int)", |m, a| {
        let all = (int(a[0])..int(a[1])).take(10_000_000).map(Value::Integer).collect();
        Ok(stream(m, all))
    });
    table.add(c, "this filter(Function<T0>)", |m, a| {
        let mut kept = Vec::new();
        for item in elements(m, a[0]).iter() {
            if truth(m.call(a[1], &[*item])?) {
                kept.push(*item);
            }
        }
        Ok(stream(m, kept))
    });
    table.add(c, "Stream<R> map(Function<T0>)", mapped);
    table.add(c, "Stream<R> mapToObj(Function<T0>)", mapped);
    table.add(c, "Stream<Integer> mapToInt(Function<T0>)", |m, a| converted(m, a, crate::program::Primitive::Int));
    table.add(c, "Stream<Long> mapToLong(Function<T0>)", |m, a| converted(m, a, crate::program::Primitive::Long));
    table.add(c, "Stream<Double> mapToDouble(Function<T0>)", |m, a| converted(m, a, crate::program::Primitive::Double));
    table.add(c, "this boxed()", |_, a| Ok(a[0]));
    table.add(c, "this distinct()", |m, a| {
        let all = elements(m, a[0]).to_vec();
        let set = set_of(m, Order::Linked, all);
        let all = items(m, set)?;
        Ok(stream(m, all))
    });
    table.add(c, "this sorted()", |m, a| {
        let all = elements(m, a[0]).to_vec();
        let all = sorted(m, all, Value::Null)?;
        Ok(stream(m, all))
    });
    table.add(c, "this sorted(Comparator<T0,T0>)", |m, a| {
        let all = elements(m, a[0]).to_vec();
        let all = sorted(m, all, a[1])?;
        Ok(stream(m, all))
    });
    table.add(c, "this limit(long)", |m, a| {
        let all = elements(m, a[0]).iter().copied().take(a[1].as_long().unwrap_or(0).max(0) as usize).collect();
        Ok(stream(m, all))
    });
    table.add(c, "this skip(long)", |m, a| {
        let all = elements(m, a[0]).iter().copied().skip(a[1].as_long().unwrap_or(0).max(0) as usize).collect();
        Ok(stream(m, all))
    });
    table.add(c, "void forEach(Function<T0>)", |m, a| {
        for item in elements(m, a[0]).iter() {
            m.call(a[1], &[*item])?;
        }
        Ok(Value::Null)
    });
    table.add(c, "long count()", |m, a| Ok(Value::Long(elements(m, a[0]).len() as i64)));
    table.add(c, "boolean anyMatch(Function<T0>)", |m, a| found(m, a, true).map(Value::Boolean));
    table.add(c, "boolean allMatch(Function<T0>)", |m, a| found(m, a, false).map(|any| Value::Boolean(!any)));
    table.add(c, "boolean noneMatch(Function<T0>)", |m, a| found(m, a, true).map(|any| Value::Boolean(!any)));
    table.add(c, "Optional<T0> findFirst()", |m, a| {
        let first = elements(m, a[0]).first().copied().unwrap_or(Value::Null);
        Ok(m.heap.new_other(Other::Optional(first)))
    });
    for (signature, greatest) in
        [("Optional<T0> max(Comparator<T0,T0>)", true), ("Optional<T0> min(Comparator<T0,T0>)", false)]
    {
        let run: super::Native =
            if greatest { |m, a| optional_best(m, a, true) } else { |m, a| optional_best(m, a, false) };
        table.add(c, signature, run);
    }
    table.add(c, "Optional<T0> max()", |m, a| optional_best(m, &[a[0], Value::Null], true));
    table.add(c, "Optional<T0> min()", |m, a| optional_best(m, &[a[0], Value::Null], false));
    table.add(c, "T0 sum()", sum);
    table.add(c, "Optional<Double> average()", |m, a| {
        let all = elements(m, a[0]);
        if all.is_empty() {
            return Ok(m.heap.new_other(Other::Optional(Value::Null)));
        }
        let total: f64 = all.iter().filter_map(|item| number_to_double(&m.heap, *item)).sum();
        Ok(m.heap.new_other(Other::Optional(Value::Double(total / all.len() as f64))))
    });
    table.add(c, "T0 reduce(Object, Function<T0,T0>)", |m, a| {
        let mut held = a[1];
        for item in elements(m, a[0]).iter() {
            held = m.call(a[2], &[held, *item])?;
        }
        Ok(held)
    });
    table.add(c, "List<T0> toList()", |m, a| {
        let all = elements(m, a[0]).to_vec();
        Ok(m.frozen_list(all))
    });
    table.add(c, "Object[] toArray()", |m, a| {
        let all = elements(m, a[0]).to_vec();
        Ok(m.heap.new_array(ListKind::Array(crate::heap::ArrayKind::Object), all))
    });
    table.add(c, "? collect(Object)", collect);
    let c = class::COLLECTORS;
    table.add(c, "static Object toList()", |m, _| Ok(m.heap.new_string(b"list")));
    table.add(c, "static Object toSet()", |m, _| Ok(m.heap.new_string(b"set")));
    table.add(c, "static Object counting()", |m, _| Ok(m.heap.new_string(b"count")));
    table.add(c, "static Object joining()", |m, _| Ok(m.heap.new_string(b"join")));
    table.add(c, "static Object joining(CharSequence)", |m, a| {
        let mut text = b"join".to_vec();
        text.extend(display(m, a[0])?);
        Ok(m.heap.new_string(&text))
    });
}

fn stream(machine: &mut Machine<'_>, items: Vec<Value>) -> Value {
    machine.heap.new_other(Other::Stream(items.into()))
}

fn elements(machine: &Machine<'_>, value: Value) -> Arc<Vec<Value>> {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Stream(items) => items.clone(),
            _ => Arc::default(),
        },
        _ => Arc::default(),
    }
}

fn truth(value: Value) -> bool {
    matches!(value, Value::Boolean(true))
}

fn mapped(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let mut all = Vec::new();
    for item in elements(machine, arguments[0]).iter() {
        all.push(machine.call(arguments[1], &[*item])?);
    }
    Ok(stream(machine, all))
}

fn converted(machine: &mut Machine<'_>, arguments: &[Value], target: crate::program::Primitive) -> Outcome<Value> {
    let mut all = Vec::new();
    for item in elements(machine, arguments[0]).iter() {
        let value = machine.call(arguments[1], &[*item])?;
        match crate::machine::convert(value, target) {
            Some(value) => all.push(value),
            None => return Err(machine.null_pointer("the function returned no number")),
        }
    }
    Ok(stream(machine, all))
}

/// Whether some element gives `wanted`.
fn found(machine: &mut Machine<'_>, arguments: &[Value], wanted: bool) -> Outcome<bool> {
    for item in elements(machine, arguments[0]).iter() {
        if truth(machine.call(arguments[1], &[*item])?) == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn optional_best(machine: &mut Machine<'_>, arguments: &[Value], greatest: bool) -> Outcome<Value> {
    let all = elements(machine, arguments[0]).to_vec();
    let found = if all.is_empty() {
        Value::Null
    } else {
        let list = machine.frozen_list(all);
        best(machine, list, arguments[1], greatest)?
    };
    Ok(machine.heap.new_other(Other::Optional(found)))
}

fn sum(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let all = elements(machine, arguments[0]);
    Ok(match all.first() {
        Some(Value::Double(_) | Value::Float(_)) => Value::Double(all.iter().filter_map(|item| item.as_double()).sum()),
        Some(Value::Long(_)) => Value::Long(all.iter().filter_map(|item| item.as_long()).fold(0, i64::wrapping_add)),
        _ => Value::Integer(
            all.iter().filter_map(|item| item.as_long()).fold(0, |sum: i32, v| sum.wrapping_add(v as i32)),
        ),
    })
}

fn collect(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let all = elements(machine, arguments[0]).to_vec();
    let how = display(machine, arguments[1])?;
    Ok(match how.as_slice() {
        b"list" => machine.heap.list_of(ListKind::ArrayList, all),
        b"set" => set_of(machine, Order::Hash { buckets: 0 }, all),
        b"count" => Value::Long(all.len() as i64),
        [b'j', b'o', b'i', b'n', separator @ ..] => {
            let mut text = Vec::new();
            for (index, item) in all.into_iter().enumerate() {
                if index > 0 {
                    text.extend_from_slice(separator);
                }
                machine.heap.display(item, &mut text);
            }
            machine.heap.new_string(&text)
        }
        _ => return Err(machine.exception(class::CLASS_CAST, Some("the value is not a collector"))),
    })
}
