//! Maps and their entries.

use super::Table;
use super::collection::{set_of, unsupported};
use super::object::int;
use crate::heap::{Order, Other, Value, buckets_for, buckets_for_copy};
use crate::machine::{Machine, Outcome};
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    let c = class::MAP;
    table.add(c, "T1 get(Object)", |m, a| {
        let map = map(m, a[0])?;
        Ok(m.heap.map_get(map, a[1]).unwrap_or(Value::Null))
    });
    table.add(c, "T1 put(Object, Object)", |m, a| put(m, a[0], a[1], a[2]));
    table.add(c, "int size()", |m, a| {
        let map = map(m, a[0])?;
        Ok(Value::Integer(m.heap.map(map).entries.len() as i32))
    });
    table.add(c, "boolean isEmpty()", |m, a| {
        let map = map(m, a[0])?;
        Ok(Value::Boolean(m.heap.map(map).entries.is_empty()))
    });
    table.add(c, "boolean containsKey(Object)", |m, a| {
        let map = map(m, a[0])?;
        Ok(Value::Boolean(m.heap.map_find(map, a[1]).is_some()))
    });
    table.add(c, "boolean containsValue(Object)", |m, a| {
        let map = map(m, a[0])?;
        Ok(Value::Boolean(m.heap.map(map).entries.iter().any(|entry| m.heap.equal(entry.value, a[1]))))
    });
    table.add(c, "T1 getOrDefault(Object, Object)", |m, a| {
        let map = map(m, a[0])?;
        Ok(m.heap.map_get(map, a[1]).unwrap_or(a[2]))
    });
    table.add(c, "T1 putIfAbsent(Object, Object)", |m, a| {
        let map = map(m, a[0])?;
        match m.heap.map_get(map, a[1]) {
            Some(held) if !held.is_null() => Ok(held),
            _ => put(m, a[0], a[1], a[2]),
        }
    });
    table.add(c, "T1 remove(Object)", |m, a| {
        let map = open(m, a[0])?;
        Ok(m.heap.map_remove(map, a[1]).unwrap_or(Value::Null))
    });
    table.add(c, "void clear()", |m, a| {
        let map = open(m, a[0])?;
        m.heap.map_clear(map);
        Ok(Value::Null)
    });
    table.add(c, "void putAll(Map)", |m, a| {
        let from = map(m, a[1])?;
        for entry in m.heap.iterate(from) {
            put(m, a[0], entry.key, entry.value)?;
        }
        Ok(Value::Null)
    });
    table.add(c, "T1 replace(Object, Object)", |m, a| {
        let map = open(m, a[0])?;
        if m.heap.map_find(map, a[1]).is_none() { Ok(Value::Null) } else { put(m, a[0], a[1], a[2]) }
    });
    register_functions(table);
    register_views(table);
    register_constructors(table);
    table.add(class::ENTRY, "T0 getKey()", |m, a| Ok(entry(m, a[0]).0));
    table.add(class::ENTRY, "T1 getValue()", |m, a| Ok(entry(m, a[0]).1));
    table.add(class::ENTRY, "T1 setValue(Object)", |m, a| {
        let Value::Other(other) = a[0] else {
            return Err(m.null_pointer("the entry is null"));
        };
        let Other::Entry { map, key, value } = m.heap.other_mut(other) else {
            return Ok(Value::Null);
        };
        let (map, key, old) = (*map, *key, std::mem::replace(value, a[1]));
        m.heap.map_put(map, key, a[1]);
        Ok(old)
    });
}

fn register_functions(table: &mut Table) {
    let c = class::MAP;
    table.add(c, "void forEach(Function<T0,T1>)", |m, a| {
        let map = map(m, a[0])?;
        for entry in m.heap.iterate(map) {
            m.call(a[1], &[entry.key, entry.value])?;
        }
        Ok(Value::Null)
    });
    table.add(c, "void replaceAll(Function<T0,T1>)", |m, a| {
        let map = open(m, a[0])?;
        for entry in m.heap.iterate(map) {
            let value = m.call(a[1], &[entry.key, entry.value])?;
            m.heap.map_put(map, entry.key, value);
        }
        Ok(Value::Null)
    });
    table.add(c, "T1 computeIfAbsent(Object, Function<T0>)", |m, a| {
        let map = open(m, a[0])?;
        if let Some(held) = m.heap.map_get(map, a[1]).filter(|held| !held.is_null()) {
            return Ok(held);
        }
        let value = m.call(a[2], &[a[1]])?;
        if !value.is_null() {
            put(m, a[0], a[1], value)?;
        }
        Ok(value)
    });
    table.add(c, "T1 computeIfPresent(Object, Function<T0,T1>)", |m, a| {
        let map = open(m, a[0])?;
        let Some(held) = m.heap.map_get(map, a[1]).filter(|held| !held.is_null()) else {
            return Ok(Value::Null);
        };
        let value = m.call(a[2], &[a[1], held])?;
        store(m, a[0], a[1], value)
    });
    table.add(c, "T1 compute(Object, Function<T0,T1>)", |m, a| {
        let map = open(m, a[0])?;
        let held = m.heap.map_get(map, a[1]).unwrap_or(Value::Null);
        let value = m.call(a[2], &[a[1], held])?;
        store(m, a[0], a[1], value)
    });
    table.add(c, "T1 merge(Object, Object, Function<T1,T1>)", |m, a| {
        let map = open(m, a[0])?;
        let held = m.heap.map_get(map, a[1]).unwrap_or(Value::Null);
        let value = if held.is_null() { a[2] } else { m.call(a[3], &[held, a[2]])? };
        store(m, a[0], a[1], value)
    });
}

/// Puts a value, or removes the key when the value is null.
fn store(machine: &mut Machine<'_>, target: Value, key: Value, value: Value) -> Outcome<Value> {
    if value.is_null() {
        let map = open(machine, target)?;
        machine.heap.map_remove(map, key);
    } else {
        put(machine, target, key, value)?;
    }
    Ok(value)
}

fn register_views(table: &mut Table) {
    let c = class::MAP;
    table.add(c, "Set<T0> keySet()", |m, a| {
        let map = map(m, a[0])?;
        let keys = m.heap.iterate(map).into_iter().map(|entry| entry.key).collect();
        Ok(set_of(m, Order::Frozen, keys))
    });
    table.add(c, "Collection<T1> values()", |m, a| {
        let map = map(m, a[0])?;
        let values: Vec<Value> = m.heap.iterate(map).into_iter().map(|entry| entry.value).collect();
        Ok(m.frozen_list(values))
    });
    table.add(c, "Set<Entry<T0,T1>> entrySet()", |m, a| {
        let map = map(m, a[0])?;
        let entries = m.heap.iterate(map);
        let entries = entries
            .into_iter()
            .map(|entry| m.heap.new_other(Other::Entry { map, key: entry.key, value: entry.value }))
            .collect();
        Ok(set_of(m, Order::Frozen, entries))
    });
    table.add(class::SORTED_MAP, "T0 firstKey()", |m, a| edge(m, a[0], true));
    table.add(class::SORTED_MAP, "T0 lastKey()", |m, a| edge(m, a[0], false));
    table.add(c, "static Map of()", |m, _| Ok(Value::Map(m.heap.new_map(Order::Frozen))));
    table.add(c, "static Map of(Object, Object)", of);
    table.add(c, "static Map of(Object, Object, Object, Object)", of);
    table.add(c, "static Map of(Object, Object, Object, Object, Object, Object)", of);
}

fn of(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let map = machine.heap.new_map(Order::Linked);
    for pair in arguments.chunks(2) {
        machine.heap.map_put(map, pair[0], pair[1]);
    }
    machine.heap.map_mut(map).order = Order::Frozen;
    Ok(Value::Map(map))
}

fn edge(machine: &mut Machine<'_>, value: Value, first: bool) -> Outcome<Value> {
    let map = map(machine, value)?;
    let entries = &machine.heap.map(map).entries;
    match if first { entries.first() } else { entries.last() } {
        Some(entry) => Ok(entry.key),
        None => Err(machine.exception(class::NO_SUCH_ELEMENT, None)),
    }
}

fn register_constructors(table: &mut Table) {
    table.add(class::HASH_MAP, "static Map new()", |m, _| Ok(Value::Map(m.heap.new_map(Order::Hash { buckets: 0 }))));
    table.add(class::HASH_MAP, "static Map new(int)", |m, a| {
        Ok(Value::Map(m.heap.new_map(Order::Hash { buckets: buckets_for(int(a[0])) })))
    });
    table.add(class::HASH_MAP, "static Map new(Map)", |m, a| {
        let from = map(m, a[0])?;
        let buckets = buckets_for_copy(m.heap.map(from).entries.len());
        Ok(Value::Map(m.heap.copy_map(from, Order::Hash { buckets })))
    });
    table.add(class::LINKED_HASH_MAP, "static Map new()", |m, _| Ok(Value::Map(m.heap.new_map(Order::Linked))));
    table.add(class::LINKED_HASH_MAP, "static Map new(Map)", |m, a| {
        let from = map(m, a[0])?;
        Ok(Value::Map(m.heap.copy_map(from, Order::Linked)))
    });
    table.add(class::TREE_MAP, "static Map new()", |m, _| Ok(Value::Map(m.heap.new_map(Order::Tree))));
    table.add(class::TREE_MAP, "static Map new(Map)", |m, a| {
        let from = map(m, a[0])?;
        Ok(Value::Map(m.heap.copy_map(from, Order::Tree)))
    });
}

fn map(machine: &mut Machine<'_>, value: Value) -> Outcome<u32> {
    match value {
        Value::Map(map) => Ok(map),
        _ => Err(machine.null_pointer("the map is null")),
    }
}

/// The map behind a value, if it may be changed.
fn open(machine: &mut Machine<'_>, value: Value) -> Outcome<u32> {
    let map = map(machine, value)?;
    if machine.heap.map(map).order == Order::Frozen { Err(unsupported(machine)) } else { Ok(map) }
}

fn put(machine: &mut Machine<'_>, target: Value, key: Value, value: Value) -> Outcome<Value> {
    let map = open(machine, target)?;
    if machine.heap.map(map).order == Order::Tree && key.is_null() {
        return Err(machine.exception(class::NULL_POINTER, None));
    }
    Ok(machine.heap.map_put(map, key, value).unwrap_or(Value::Null))
}

fn entry(machine: &Machine<'_>, value: Value) -> (Value, Value) {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Entry { key, value, .. } => (*key, *value),
            _ => (Value::Null, Value::Null),
        },
        _ => (Value::Null, Value::Null),
    }
}
