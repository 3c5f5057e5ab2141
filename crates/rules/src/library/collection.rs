//! Lists, sets, arrays and `Collections`.

use super::Table;
use super::object::int;
use crate::heap::{Comparator, ListKind, Order, Other, Value, buckets_for, buckets_for_set};
use crate::machine::{Machine, Outcome, Throw};
use crate::program::Brief;
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    register_collection(table);
    register_list(table);
    register_set(table);
    register_statics(table);
}

fn register_collection(table: &mut Table) {
    let c = class::COLLECTION;
    table.add(c, "int size()", |m, a| Ok(Value::Integer(size(m, a[0]) as i32)));
    table.add(c, "boolean isEmpty()", |m, a| Ok(Value::Boolean(size(m, a[0]) == 0)));
    table.add(c, "boolean contains(Object)", |m, a| Ok(Value::Boolean(contains(m, a[0], a[1]))));
    table.add(c, "boolean containsAll(Collection)", |m, a| {
        let all = items(m, a[1])?;
        Ok(Value::Boolean(all.into_iter().all(|item| contains(m, a[0], item))))
    });
    table.add(c, "boolean add(Object)", |m, a| add(m, a[0], a[1]));
    table.add(c, "boolean addAll(Collection)", |m, a| {
        let mut changed = false;
        for item in items(m, a[1])? {
            changed |= matches!(add(m, a[0], item)?, Value::Boolean(true));
        }
        Ok(Value::Boolean(changed))
    });
    table.add(c, "boolean remove(Object)", |m, a| remove(m, a[0], a[1]));
    table.add(c, "boolean removeAll(Collection)", |m, a| {
        let gone = items(m, a[1])?;
        retain(m, a[0], |m, item| Ok(!gone.iter().any(|other| m.heap.equal(*other, item))))
    });
    table.add(c, "boolean retainAll(Collection)", |m, a| {
        let kept = items(m, a[1])?;
        retain(m, a[0], |m, item| Ok(kept.iter().any(|other| m.heap.equal(*other, item))))
    });
    table.add(c, "boolean removeIf(Function<T0>)", |m, a| {
        let test = a[1];
        retain(m, a[0], |m, item| Ok(!matches!(m.call(test, &[item])?, Value::Boolean(true))))
    });
    table.add(c, "void clear()", clear);
    table.add(c, "Object[] toArray()", |m, a| {
        let all = items(m, a[0])?;
        Ok(m.heap.new_array(ListKind::Array(crate::heap::ArrayKind::Object), all))
    });
    table.add(c, "A0[] toArray(Object[])", |m, a| {
        let all = items(m, a[0])?;
        let kind = match a[1] {
            Value::Array(list) => m.heap.list(list).kind,
            _ => ListKind::Array(crate::heap::ArrayKind::Object),
        };
        Ok(m.heap.new_array(kind, all))
    });
}

fn register_list(table: &mut Table) {
    let c = class::LIST;
    table.add(c, "T0 get(int)", |m, a| {
        let (list, at) = place(m, a[0], a[1])?;
        Ok(m.heap.list(list).items[at])
    });
    table.add(c, "T0 set(int, Object)", |m, a| {
        let (list, at) = place(m, a[0], a[1])?;
        if m.heap.list(list).kind == ListKind::Frozen {
            return Err(unsupported(m));
        }
        Ok(std::mem::replace(&mut m.heap.list_mut(list).items[at], a[2]))
    });
    table.add(c, "void add(int, Object)", |m, a| {
        let list = open_list(m, a[0])?;
        let (at, length) = (int(a[1]), m.heap.list(list).items.len());
        if at < 0 || at as usize > length {
            return Err(m.exception(class::INDEX_OUT_OF_BOUNDS, Some(&format!("Index: {at}, Size: {length}"))));
        }
        let data = m.heap.list_mut(list);
        data.items.insert(at as usize, a[2]);
        data.changes += 1;
        Ok(Value::Null)
    });
    table.add(c, "boolean addAll(int, Collection)", |m, a| {
        let list = open_list(m, a[0])?;
        let (at, all, length) = (int(a[1]), items(m, a[2])?, m.heap.list(list).items.len());
        if at < 0 || at as usize > length {
            return Err(m.exception(class::INDEX_OUT_OF_BOUNDS, Some(&format!("Index: {at}, Size: {length}"))));
        }
        let changed = !all.is_empty();
        let data = m.heap.list_mut(list);
        data.items.splice(at as usize..at as usize, all);
        data.changes += 1;
        Ok(Value::Boolean(changed))
    });
    table.add(c, "T0 remove(int)", |m, a| {
        let list = open_list(m, a[0])?;
        let (_, at) = place(m, a[0], a[1])?;
        let data = m.heap.list_mut(list);
        data.changes += 1;
        Ok(data.items.remove(at))
    });
    table.add(c, "int indexOf(Object)", |m, a| Ok(position(m, a[0], a[1], false)));
    table.add(c, "int lastIndexOf(Object)", |m, a| Ok(position(m, a[0], a[1], true)));
    table.add(c, "List<T0> subList(int, int)", |m, a| {
        let all = items(m, a[0])?;
        let (start, end) = (int(a[1]), int(a[2]));
        if start < 0 || end as usize > all.len() || start > end {
            let message = if start < 0 {
                format!("fromIndex = {start}")
            } else if end as usize > all.len() {
                format!("toIndex = {end}")
            } else {
                format!("fromIndex({start}) > toIndex({end})")
            };
            let class = if start > end && start >= 0 { class::ILLEGAL_ARGUMENT } else { class::INDEX_OUT_OF_BOUNDS };
            return Err(m.exception(class, Some(&message)));
        }
        // A copy: writing through a view is refused rather than lost.
        Ok(m.frozen_list(all[start as usize..end as usize].iter().copied()))
    });
    table.add(c, "void sort(Comparator<T0,T0>)", |m, a| sort(m, a[0], a[1]));
    table.add(c, "void replaceAll(Function<T0>)", |m, a| {
        let list = open_list(m, a[0])?;
        for at in 0..m.heap.list(list).items.len() {
            let Some(item) = m.heap.list(list).items.get(at).copied() else { break };
            let new = m.call(a[1], &[item])?;
            if let Some(place) = m.heap.list_mut(list).items.get_mut(at) {
                *place = new;
            }
        }
        Ok(Value::Null)
    });
    table.add(c, "static List<A0> of(Object...)", |m, a| {
        let all = items(m, a[0])?;
        if all.iter().any(|item| item.is_null()) {
            return Err(m.exception(class::NULL_POINTER, None));
        }
        Ok(m.frozen_list(all))
    });
    table.add(c, "static List<A0> copyOf(Collection)", |m, a| {
        let all = items(m, a[0])?;
        Ok(m.frozen_list(all))
    });
    for (class, linked) in [(class::ARRAY_LIST, false), (class::VECTOR, false), (class::LINKED_LIST, true)] {
        let none: super::Native = if linked {
            |m, _| Ok(m.heap.list_of(ListKind::LinkedList, []))
        } else {
            |m, _| Ok(m.heap.list_of(ListKind::ArrayList, []))
        };
        let copy: super::Native = if linked {
            |m, a| {
                let all = items(m, a[0])?;
                Ok(m.heap.list_of(ListKind::LinkedList, all))
            }
        } else {
            |m, a| {
                let all = items(m, a[0])?;
                Ok(m.heap.list_of(ListKind::ArrayList, all))
            }
        };
        table.add(class, "static List new()", none);
        if !linked {
            table.often(Brief::NewList);
        }
        table.add(class, "static List new(Collection)", copy);
        if !linked {
            table.add(class, "static List new(int)", |m, a| {
                if int(a[0]) < 0 {
                    let message = format!("Illegal Capacity: {}", int(a[0]));
                    return Err(m.exception(class::ILLEGAL_ARGUMENT, Some(&message)));
                }
                Ok(m.heap.list_of(ListKind::ArrayList, []))
            });
        }
    }
    let c = class::DEQUE;
    table.add(c, "T0 getFirst()", |m, a| end(m, a[0], true, false, true));
    table.add(c, "T0 getLast()", |m, a| end(m, a[0], false, false, true));
    table.add(c, "T0 removeFirst()", |m, a| end(m, a[0], true, true, true));
    table.add(c, "T0 removeLast()", |m, a| end(m, a[0], false, true, true));
    table.add(c, "T0 peekFirst()", |m, a| end(m, a[0], true, false, false));
    table.add(c, "T0 peekLast()", |m, a| end(m, a[0], false, false, false));
    table.add(c, "T0 pollFirst()", |m, a| end(m, a[0], true, true, false));
    table.add(c, "T0 pollLast()", |m, a| end(m, a[0], false, true, false));
    table.add(c, "T0 pop()", |m, a| end(m, a[0], true, true, true));
    table.add(c, "void addLast(Object)", |m, a| add(m, a[0], a[1]));
    for signature in ["void addFirst(Object)", "void push(Object)"] {
        table.add(c, signature, |m, a| {
            let list = open_list(m, a[0])?;
            m.heap.list_mut(list).items.insert(0, a[1]);
            Ok(Value::Null)
        });
    }
    table.add(class::QUEUE, "T0 peek()", |m, a| end(m, a[0], true, false, false));
    table.add(class::QUEUE, "T0 poll()", |m, a| end(m, a[0], true, true, false));
    table.add(class::QUEUE, "boolean offer(Object)", |m, a| add(m, a[0], a[1]));
}

fn register_set(table: &mut Table) {
    table.add(class::HASH_SET, "static Set new()", |m, _| Ok(Value::Set(m.heap.new_map(Order::Hash { buckets: 0 }))));
    table.add(class::HASH_SET, "static Set new(int)", |m, a| {
        Ok(Value::Set(m.heap.new_map(Order::Hash { buckets: buckets_for(int(a[0])) })))
    });
    table.add(class::HASH_SET, "static Set new(Collection)", |m, a| {
        let all = items(m, a[0])?;
        let order = Order::Hash { buckets: buckets_for_set(all.len()) };
        Ok(set_of(m, order, all))
    });
    table.add(class::LINKED_HASH_SET, "static Set new()", |m, _| Ok(Value::Set(m.heap.new_map(Order::Linked))));
    table.add(class::LINKED_HASH_SET, "static Set new(Collection)", |m, a| {
        let all = items(m, a[0])?;
        Ok(set_of(m, Order::Linked, all))
    });
    table.add(class::TREE_SET, "static Set new()", |m, _| Ok(Value::Set(m.heap.new_map(Order::Tree))));
    table.add(class::TREE_SET, "static Set new(Collection)", |m, a| {
        let all = items(m, a[0])?;
        Ok(set_of(m, Order::Tree, all))
    });
    table.add(class::SET, "static Set<A0> of(Object...)", |m, a| {
        let all = items(m, a[0])?;
        Ok(set_of(m, Order::Frozen, all))
    });
    for (signature, first) in [("T0 first()", true), ("T0 last()", false)] {
        let run: super::Native = if first { |m, a| extreme(m, a[0], true) } else { |m, a| extreme(m, a[0], false) };
        table.add(class::SORTED_SET, signature, run);
    }
}

fn register_statics(table: &mut Table) {
    let c = class::ARRAYS;
    table.add(c, "static List<A0> asList(Object...)", |m, a| {
        let all = items(m, a[0])?;
        Ok(m.heap.list_of(ListKind::Fixed, all))
    });
    table.add(c, "static List list(Object[])", |m, a| {
        let all = items(m, a[0])?;
        Ok(m.heap.list_of(ListKind::ArrayList, all))
    });
    for element in ["int[]", "long[]", "double[]", "char[]", "Object[]"] {
        let (to_text, sort_array, stream): (&'static str, &'static str, &'static str) = match element {
            "int[]" => {
                ("static String toString(int[])", "static void sort(int[])", "static Stream<Integer> stream(int[])")
            }
            "long[]" => {
                ("static String toString(long[])", "static void sort(long[])", "static Stream<Long> stream(long[])")
            }
            "double[]" => (
                "static String toString(double[])",
                "static void sort(double[])",
                "static Stream<Double> stream(double[])",
            ),
            "char[]" => (
                "static String toString(char[])",
                "static void sort(char[])",
                "static Stream<Character> stream(char[])",
            ),
            _ => {
                ("static String toString(Object[])", "static void sort(Object[])", "static Stream<A0> stream(Object[])")
            }
        };
        table.add(c, to_text, |m, a| {
            let all = items(m, a[0])?;
            let list = m.heap.list_of(ListKind::ArrayList, all);
            super::object::to_string(m, &[list])
        });
        table.add(c, sort_array, |m, a| sort(m, a[0], Value::Null));
        table.add(c, stream, |m, a| {
            let all = items(m, a[0])?;
            Ok(m.heap.new_other(Other::Stream(all.into())))
        });
    }
    for signature in [
        "static int[] copyOf(int[], int)",
        "static long[] copyOf(long[], int)",
        "static double[] copyOf(double[], int)",
        "static A0[] copyOf(Object[], int)",
    ] {
        table.add(c, signature, |m, a| {
            let mut all = items(m, a[0])?;
            let filler = match all.first() {
                Some(Value::Integer(_)) => Value::Integer(0),
                Some(Value::Long(_)) => Value::Long(0),
                Some(Value::Double(_)) => Value::Double(0.0),
                _ => Value::Null,
            };
            all.resize(int(a[1]).clamp(0, 10_000_000) as usize, filler);
            let Value::Array(list) = a[0] else { return Err(m.null_pointer("the array is null")) };
            let kind = m.heap.list(list).kind;
            Ok(m.heap.new_array(kind, all))
        });
    }
    for signature in [
        "static void fill(int[], int)",
        "static void fill(long[], long)",
        "static void fill(double[], double)",
        "static void fill(boolean[], boolean)",
        "static void fill(Object[], Object)",
    ] {
        table.add(c, signature, |m, a| {
            let Value::Array(list) = a[0] else { return Err(m.null_pointer("the array is null")) };
            m.heap.list_mut(list).items.fill(a[1]);
            Ok(Value::Null)
        });
    }
    table.add(c, "static boolean equals(Object[], Object[])", |m, a| {
        let (x, y) = (items(m, a[0])?, items(m, a[1])?);
        Ok(Value::Boolean(x.len() == y.len() && x.iter().zip(&y).all(|(p, q)| m.heap.equal(*p, *q))))
    });
    let c = class::COLLECTIONS;
    table.add(c, "static void sort(List)", |m, a| sort(m, a[0], Value::Null));
    table.add(c, "static void sort(List, Comparator)", |m, a| sort(m, a[0], a[1]));
    table.add(c, "static void swap(List, int, int)", |m, a| {
        let ((list, first), (_, second)) = (place(m, a[0], a[1])?, place(m, a[0], a[2])?);
        m.heap.list_mut(list).items.swap(first, second);
        Ok(Value::Null)
    });
    table.add(c, "static List<A0> nCopies(int, Object)", |m, a| {
        let count = int(a[0]).max(0) as usize;
        if count > 10_000_000 {
            return Err(Throw::Limit(crate::machine::Limit::Memory));
        }
        Ok(m.frozen_list(std::iter::repeat_n(a[1], count)))
    });
    table.add(c, "static boolean addAll(Collection, Object...)", |m, a| {
        let mut changed = false;
        for item in items(m, a[1])? {
            changed |= matches!(add(m, a[0], item)?, Value::Boolean(true));
        }
        Ok(Value::Boolean(changed))
    });
    table.add(c, "static void reverse(List)", |m, a| {
        let list = open_list(m, a[0])?;
        m.heap.list_mut(list).items.reverse();
        Ok(Value::Null)
    });
    table.add(c, "static ? max(Collection)", |m, a| best(m, a[0], Value::Null, true));
    table.add(c, "static ? min(Collection)", |m, a| best(m, a[0], Value::Null, false));
    table.add(c, "static ? max(Collection, Comparator)", |m, a| best(m, a[0], a[1], true));
    table.add(c, "static ? min(Collection, Comparator)", |m, a| best(m, a[0], a[1], false));
    table.add(c, "static int frequency(Collection, Object)", |m, a| {
        let all = items(m, a[0])?;
        Ok(Value::Integer(all.iter().filter(|item| m.heap.equal(**item, a[1])).count() as i32))
    });
    table.add(c, "static boolean disjoint(Collection, Collection)", |m, a| {
        let all = items(m, a[0])?;
        Ok(Value::Boolean(!all.into_iter().any(|item| contains(m, a[1], item))))
    });
    table.add(c, "static List emptyList()", |m, _| Ok(m.frozen_list([])));
    table.add(c, "static List<A0> singletonList(Object)", |m, a| Ok(m.frozen_list([a[0]])));
    table.add(c, "static Set emptySet()", |m, _| Ok(set_of(m, Order::Frozen, Vec::new())));
    table.add(c, "static Set<A0> singleton(Object)", |m, a| Ok(set_of(m, Order::Frozen, vec![a[0]])));
    table.add(c, "static Map emptyMap()", |m, _| Ok(Value::Map(m.heap.new_map(Order::Frozen))));
    table.add(c, "static List unmodifiableList(List)", |m, a| {
        let all = items(m, a[0])?;
        Ok(m.frozen_list(all))
    });
    table.add(c, "static Collection unmodifiableCollection(Collection)", |m, a| {
        let all = items(m, a[0])?;
        Ok(m.frozen_list(all))
    });
    table.add(c, "static Set unmodifiableSet(Set)", |m, a| {
        let all = items(m, a[0])?;
        Ok(set_of(m, Order::Frozen, all))
    });
    table.add(c, "static Map unmodifiableMap(Map)", |m, a| match a[0] {
        Value::Map(map) => Ok(Value::Map(m.heap.copy_map(map, Order::Frozen))),
        _ => Err(m.null_pointer("the map is null")),
    });
    table.add(c, "static Comparator reverseOrder()", |m, _| {
        Ok(m.heap.new_other(Other::Comparator(Comparator::Reverse)))
    });
    let c = class::COMPARATOR;
    table.add(c, "static Comparator naturalOrder()", |m, _| {
        Ok(m.heap.new_other(Other::Comparator(Comparator::Natural)))
    });
    table.add(c, "static Comparator reverseOrder()", |m, _| {
        Ok(m.heap.new_other(Other::Comparator(Comparator::Reverse)))
    });
    for signature in [
        "static Comparator comparing(Function)",
        "static Comparator comparingInt(Function)",
        "static Comparator comparingLong(Function)",
        "static Comparator comparingDouble(Function)",
    ] {
        table.add(c, signature, |m, a| Ok(m.heap.new_other(Other::Comparator(Comparator::Key(a[0])))));
    }
    table.add(c, "Comparator reversed()", |m, a| Ok(m.heap.new_other(Other::Comparator(Comparator::Reversed(a[0])))));
    table.add(c, "Comparator thenComparing(Comparator)", |m, a| {
        let next = match a[1] {
            Value::Other(other) if matches!(m.heap.other(other), Other::Comparator(_)) => a[1],
            function => m.heap.new_other(Other::Comparator(Comparator::Key(function))),
        };
        Ok(m.heap.new_other(Other::Comparator(Comparator::Then(a[0], next))))
    });
    table.add(c, "int compare(Object, Object)", |m, a| m.call(a[0], &[a[1], a[2]]));
}

/// The elements of what should be a collection or an array.
pub(super) fn items(machine: &mut Machine<'_>, value: Value) -> Outcome<Vec<Value>> {
    match machine.heap.elements(value) {
        Some(all) => Ok(all),
        None if value.is_null() => Err(machine.null_pointer("the collection is null")),
        None => Err(machine.exception(class::CLASS_CAST, Some("the value is not a collection"))),
    }
}

pub(super) fn unsupported(machine: &mut Machine<'_>) -> Throw {
    machine.exception(class::UNSUPPORTED_OPERATION, None)
}

pub(super) fn set_of(machine: &mut Machine<'_>, order: Order, items: Vec<Value>) -> Value {
    // Filled while open, frozen afterwards.
    let set = machine.heap.new_map(if order == Order::Frozen { Order::Linked } else { order });
    for item in items {
        machine.heap.map_put(set, item, Value::Null);
    }
    machine.heap.map_mut(set).order = match order {
        Order::Frozen => Order::Frozen,
        _ => machine.heap.map(set).order,
    };
    Value::Set(set)
}

fn size(machine: &Machine<'_>, value: Value) -> usize {
    match value {
        Value::List(list) | Value::Array(list) => machine.heap.list(list).items.len(),
        Value::Set(map) | Value::Map(map) => machine.heap.map(map).entries.len(),
        _ => 0,
    }
}

fn contains(machine: &Machine<'_>, holder: Value, item: Value) -> bool {
    match holder {
        Value::Set(set) => machine.heap.map_find(set, item).is_some(),
        Value::List(list) => machine.heap.list(list).items.iter().any(|held| machine.heap.equal(*held, item)),
        _ => false,
    }
}

/// The list behind a value, if its size may change.
fn open_list(machine: &mut Machine<'_>, value: Value) -> Outcome<u32> {
    match value {
        Value::List(list) if machine.heap.is_fixed(list) => Err(unsupported(machine)),
        Value::List(list) => Ok(list),
        _ => Err(machine.null_pointer("the list is null")),
    }
}

fn open_set(machine: &mut Machine<'_>, set: u32) -> Outcome<()> {
    if machine.heap.map(set).order == Order::Frozen { Err(unsupported(machine)) } else { Ok(()) }
}

fn add(machine: &mut Machine<'_>, holder: Value, item: Value) -> Outcome<Value> {
    if let Value::Set(set) = holder {
        open_set(machine, set)?;
        if machine.heap.map(set).order == Order::Tree && item.is_null() {
            return Err(machine.exception(class::NULL_POINTER, None));
        }
        let new = machine.heap.map_find(set, item).is_none();
        if new {
            machine.heap.map_put(set, item, Value::Null);
        }
        return Ok(Value::Boolean(new));
    }
    let list = open_list(machine, holder)?;
    let data = machine.heap.list_mut(list);
    data.items.push(item);
    data.changes = data.changes.wrapping_add(1);
    Ok(Value::Boolean(true))
}

fn remove(machine: &mut Machine<'_>, holder: Value, item: Value) -> Outcome<Value> {
    if let Value::Set(set) = holder {
        open_set(machine, set)?;
        return Ok(Value::Boolean(machine.heap.map_remove(set, item).is_some()));
    }
    let list = open_list(machine, holder)?;
    let at = machine.heap.list(list).items.iter().position(|held| machine.heap.equal(*held, item));
    if let Some(at) = at {
        let data = machine.heap.list_mut(list);
        data.items.remove(at);
        data.changes += 1;
    }
    Ok(Value::Boolean(at.is_some()))
}

fn retain(
    machine: &mut Machine<'_>,
    holder: Value,
    mut keep: impl FnMut(&mut Machine<'_>, Value) -> Outcome<bool>,
) -> Outcome<Value> {
    let mut changed = false;
    match holder {
        Value::Set(set) => {
            open_set(machine, set)?;
            for item in items(machine, holder)? {
                if !keep(machine, item)? {
                    machine.heap.map_remove(set, item);
                    changed = true;
                }
            }
        }
        _ => {
            let list = open_list(machine, holder)?;
            let mut kept = Vec::new();
            for item in items(machine, holder)? {
                if keep(machine, item)? {
                    kept.push(item);
                } else {
                    changed = true;
                }
            }
            let data = machine.heap.list_mut(list);
            data.items = kept;
            data.changes += u32::from(changed);
        }
    }
    Ok(Value::Boolean(changed))
}

fn clear(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    match arguments[0] {
        Value::Set(set) => {
            open_set(machine, set)?;
            machine.heap.map_clear(set);
        }
        list => {
            let list = open_list(machine, list)?;
            let data = machine.heap.list_mut(list);
            data.items.clear();
            data.changes += 1;
        }
    }
    Ok(Value::Null)
}

fn place(machine: &mut Machine<'_>, list: Value, index: Value) -> Outcome<(u32, usize)> {
    let Value::List(list) = list else {
        return Err(machine.null_pointer("the list is null"));
    };
    let (at, length) = (int(index), machine.heap.list(list).items.len());
    if at < 0 || at as usize >= length {
        let message = match machine.heap.list(list).kind {
            ListKind::LinkedList => format!("Index: {at}, Size: {length}"),
            _ => format!("Index {at} out of bounds for length {length}"),
        };
        let class = match machine.heap.list(list).kind {
            ListKind::Fixed | ListKind::Frozen => class::ARRAY_INDEX,
            _ => class::INDEX_OUT_OF_BOUNDS,
        };
        return Err(machine.exception(class, Some(&message)));
    }
    Ok((list, at as usize))
}

fn position(machine: &Machine<'_>, list: Value, item: Value, last: bool) -> Value {
    let Value::List(list) = list else {
        return Value::Integer(-1);
    };
    let items = &machine.heap.list(list).items;
    let equal = |held: &Value| machine.heap.equal(*held, item);
    let at = if last { items.iter().rposition(equal) } else { items.iter().position(equal) };
    Value::Integer(at.map_or(-1, |at| at as i32))
}

/// The first or last element, kept or removed; an empty list gives null or an exception.
fn end(machine: &mut Machine<'_>, list: Value, first: bool, take: bool, strict: bool) -> Outcome<Value> {
    let list = open_list(machine, list)?;
    let data = machine.heap.list_mut(list);
    if data.items.is_empty() {
        return if strict { Err(machine.exception(class::NO_SUCH_ELEMENT, None)) } else { Ok(Value::Null) };
    }
    let at = if first { 0 } else { data.items.len() - 1 };
    if take {
        data.changes += 1;
        return Ok(data.items.remove(at));
    }
    Ok(data.items[at])
}

fn extreme(machine: &mut Machine<'_>, set: Value, first: bool) -> Outcome<Value> {
    let all = items(machine, set)?;
    match if first { all.first() } else { all.last() } {
        Some(item) => Ok(*item),
        None => Err(machine.exception(class::NO_SUCH_ELEMENT, None)),
    }
}

/// Merge sort with a comparator that may throw. Stable, as Java's is.
pub(super) fn sorted(machine: &mut Machine<'_>, items: Vec<Value>, comparator: Value) -> Outcome<Vec<Value>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let mut left = items;
    let right = left.split_off(left.len() / 2);
    let left = sorted(machine, left, comparator)?;
    let right = sorted(machine, right, comparator)?;
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut a, mut b) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let order = order(machine, *x, *y, comparator)?;
        merged.extend(if order <= 0 { a.next() } else { b.next() });
    }
    merged.extend(a);
    merged.extend(b);
    Ok(merged)
}

fn order(machine: &mut Machine<'_>, left: Value, right: Value, comparator: Value) -> Outcome<i32> {
    if comparator.is_null() {
        return machine.compare_with(&Comparator::Natural, left, right);
    }
    Ok(int(machine.call(comparator, &[left, right])?))
}

fn sort(machine: &mut Machine<'_>, list: Value, comparator: Value) -> Outcome<Value> {
    let all = items(machine, list)?;
    let sorted = sorted(machine, all, comparator)?;
    let (Value::List(list) | Value::Array(list)) = list else {
        return Err(unsupported(machine));
    };
    if machine.heap.list(list).kind == ListKind::Frozen {
        return Err(unsupported(machine));
    }
    machine.heap.list_mut(list).items = sorted;
    Ok(Value::Null)
}

/// The greatest or least element; of equal ones the first.
pub(super) fn best(machine: &mut Machine<'_>, holder: Value, comparator: Value, greatest: bool) -> Outcome<Value> {
    let mut all = items(machine, holder)?.into_iter();
    let Some(mut found) = all.next() else {
        return Err(machine.exception(class::NO_SUCH_ELEMENT, None));
    };
    for item in all {
        let order = order(machine, item, found, comparator)?;
        if if greatest { order > 0 } else { order < 0 } {
            found = item;
        }
    }
    Ok(found)
}
