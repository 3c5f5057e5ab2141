//! A session's objects, for those who make facts and read globals.

use crate::heap::{Heap, Key, ListKind, Order, Value};
use crate::json::{self, JsonError};
use crate::machine::Machine;
use crate::rulebase::GlobalKind;

/// A key that a host reads from maps of case after case; see [`Session::name`](crate::Session::name).
#[derive(Clone, Debug)]
pub struct Name {
    /// The key by its place, if it is canonical.
    key: Option<Key>,
    text: String,
}

impl Name {
    pub(crate) fn new(heap: &mut Heap, text: &str) -> Self {
        let place = heap.key_text(text.as_bytes());
        let key = heap.is_constant(place).then(|| Key::new(Value::String(place)));
        Self { key, text: text.to_owned() }
    }
}

/// Access to a session's objects. Values are valid until the session is reset.
pub struct Memory<'m, 'r> {
    machine: &'m mut Machine<'r>,
}

impl<'m, 'r> Memory<'m, 'r> {
    pub(crate) fn new(machine: &'m mut Machine<'r>) -> Self {
        Self { machine }
    }

    /// Reads a JSON text: objects become `LinkedHashMap`, arrays `ArrayList`.
    ///
    /// # Errors
    /// Where and why the text is not JSON.
    pub fn read_json(&mut self, text: &[u8]) -> Result<Value, JsonError> {
        json::read(&mut self.machine.heap, text)
    }

    /// Appends a value as JSON.
    pub fn write_json(&self, value: Value, out: &mut Vec<u8>) {
        json::write(&self.machine.heap, value, out);
    }

    /// A new string.
    pub fn string(&mut self, text: &str) -> Value {
        // Nothing is learned here: a key that became canonical now would miss its own earlier uses.
        match self.machine.heap.symbol(text.as_bytes()) {
            Some(known) => Value::String(known),
            None => self.machine.heap.new_string(text.as_bytes()),
        }
    }

    /// An empty collection of the kind a global asks for; null for other kinds.
    pub fn empty(&mut self, kind: GlobalKind) -> Value {
        let heap = &mut self.machine.heap;
        match kind {
            GlobalKind::List => heap.list_of(ListKind::ArrayList, []),
            GlobalKind::Map => Value::Map(heap.new_map(Order::Linked)),
            GlobalKind::Set => Value::Set(heap.new_map(Order::Linked)),
            GlobalKind::Other => Value::Null,
        }
    }

    /// Sets a global by its index in [`RuleBase::globals`](crate::RuleBase::globals).
    pub fn set_global(&mut self, global: usize, value: Value) {
        self.machine.globals[global] = value;
    }

    /// A global's value.
    pub fn global(&self, global: usize) -> Value {
        self.machine.globals[global]
    }

    /// A copy of a map as a `HashMap`; null for anything else.
    pub fn copy_as_hash_map(&mut self, value: Value) -> Value {
        match value {
            Value::Map(map) => {
                let heap = &mut self.machine.heap;
                let buckets = crate::heap::buckets_for_copy(heap.map(map).entries.len());
                Value::Map(heap.copy_map(map, Order::Hash { buckets }))
            }
            _ => Value::Null,
        }
    }

    /// Puts into a map.
    pub fn put(&mut self, map: Value, key: Value, value: Value) {
        if let Value::Map(map) = map {
            self.machine.heap.map_put(map, key, value);
        }
    }

    /// The value of a key, if the value is a map and has it.
    pub fn get(&mut self, map: Value, key: &mut Name) -> Option<Value> {
        let Value::Map(map) = map else { return None };
        if let Some(key) = &mut key.key {
            let found = *self.machine.heap.find_key(map, key);
            if !found.is_null() {
                return Some(found);
            }
        }
        let key = self.name(key);
        self.machine.heap.map_get(map, key)
    }

    /// A name as a string.
    pub fn name(&mut self, name: &Name) -> Value {
        match name.key {
            Some(key) => key.text(),
            None => self.string(&name.text),
        }
    }

    /// The number of elements of a list, if the value is one.
    pub fn list_len(&self, value: Value) -> Option<usize> {
        match value {
            Value::List(list) => Some(self.machine.heap.list(list).items.len()),
            _ => None,
        }
    }

    /// An element of a list.
    pub fn list_item(&self, value: Value, index: usize) -> Option<Value> {
        match value {
            Value::List(list) => self.machine.heap.list(list).items.get(index).copied(),
            _ => None,
        }
    }

    /// Whether the value is a map.
    pub fn is_map(&self, value: Value) -> bool {
        matches!(value, Value::Map(_))
    }

    /// The text of a string; nothing for other values. Unpaired surrogates become `?`.
    pub fn text(&self, value: Value) -> Option<std::borrow::Cow<'_, str>> {
        self.machine.heap.string(value).map(crate::text::to_utf8)
    }

    /// The value as a whole number, if it is one.
    pub fn integer(&self, value: Value) -> Option<i64> {
        value.as_long()
    }

    /// `String.valueOf(value)`.
    pub fn display(&self, value: Value) -> String {
        self.machine.heap.to_text(value)
    }
}
