//! The memory of a session: every object that rules see, in pools that are reused case after case.
//!
//! Nothing is freed within a case; [`Heap::reset`] forgets everything at its end and keeps the
//! allocations. Text begins with the program's constants, which survive a reset.

mod display;
mod equality;
mod keys;
mod map;
mod other;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use equality::order_doubles;
pub(crate) use keys::{Key, Succession};
pub(crate) use map::{Entry, MapData, Order, buckets_for, buckets_for_copy, buckets_for_set};
pub(crate) use other::{ArrayKind, ClassName, Comparator, ListKind, Other, Throwable};
pub(crate) use value::Text;
pub use value::Value;

/// Bytes of text and objects a session may hold before it is stopped.
pub(crate) const DEFAULT_MEMORY: usize = 512 << 20;

/// A list or an array.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListData {
    pub(crate) kind: ListKind,
    pub(crate) items: Vec<Value>,
    /// Counts structural changes, for `ConcurrentModificationException`.
    pub(crate) changes: u32,
}

/// An instance of a declared type.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceData {
    pub(crate) class: u16,
    pub(crate) fields: Vec<Value>,
}

/// The constants of a program: each distinct text once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constants {
    text: Vec<u8>,
    symbols: rustc_hash::FxHashMap<Box<[u8]>, Text>,
}

impl Constants {
    pub(crate) fn bytes(&self, text: Text) -> &[u8] {
        let start = text.offset() as usize;
        &self.text[start..start + text.bytes_len()]
    }

    /// The text's canonical place.
    pub(crate) fn intern(&mut self, text: &[u8]) -> Text {
        if let Some(found) = self.symbols.get(text) {
            return *found;
        }
        let place = Text::new(self.text.len(), text);
        self.text.extend_from_slice(text);
        // Distinct empty texts would share an offset with their neighbour.
        if text.is_empty() {
            self.text.push(0);
        }
        self.symbols.insert(text.into(), place);
        place
    }
}

/// A pool of objects that are reset, not dropped.
#[derive(Debug)]
struct Pool<T> {
    items: Vec<T>,
    live: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { items: Vec::new(), live: 0 }
    }
}

impl<T: Default> Pool<T> {
    fn take(&mut self, prepare: impl FnOnce(&mut T)) -> u32 {
        if self.live == self.items.len() {
            self.items.push(T::default());
        }
        prepare(&mut self.items[self.live]);
        self.live += 1;
        (self.live - 1) as u32
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Heap {
    constants: Arc<Constants>,
    /// Where canonical text ends: the program's constants, then the keys learned from what was read.
    canonical_end: usize,
    program_end: usize,
    learned_end: usize,
    learned: rustc_hash::FxHashMap<Box<[u8]>, Text>,
    expectations: keys::Expectations,
    text: Vec<u8>,
    lists: Pool<ListData>,
    maps: Pool<MapData>,
    instances: Pool<InstanceData>,
    others: Vec<Other>,
    /// Names of declared classes and their key fields, for `toString`, `equals` and `hashCode`.
    pub(crate) classes: Arc<Vec<crate::types::ClassInfo>>,
    memory: usize,
    /// Elements of lists, arrays and maps made in this case, roughly: for the memory limit alone.
    pub(crate) elements: usize,
}

impl Heap {
    pub(crate) fn new(constants: Arc<Constants>, classes: Arc<Vec<crate::types::ClassInfo>>) -> Self {
        let mut text = constants.text.clone();
        let learned_end = text.len();
        text.resize(learned_end + keys::LEARNED_BYTES, 0);
        Self {
            canonical_end: text.len(),
            program_end: learned_end,
            learned_end,
            learned: rustc_hash::FxHashMap::default(),
            expectations: keys::Expectations::default(),
            constants,
            text,
            lists: Pool::default(),
            maps: Pool::default(),
            instances: Pool::default(),
            others: Vec::new(),
            classes,
            memory: DEFAULT_MEMORY,
            elements: 0,
        }
    }

    /// Forgets all objects; keeps their memory unless a case took an unusual amount of it.
    pub(crate) fn reset(&mut self) {
        const KEPT: usize = 1 << 20;
        self.text.truncate(self.canonical_end);
        if self.text.capacity() > self.canonical_end + 64 * KEPT {
            self.text.shrink_to(self.canonical_end + KEPT);
        }
        if self.lists.items.len() > KEPT / 8 {
            self.lists.items.clear();
        }
        if self.maps.items.len() > KEPT / 8 {
            self.maps.items.clear();
        }
        if self.instances.items.len() > KEPT / 8 {
            self.instances.items.clear();
        }
        self.lists.live = 0;
        self.maps.live = 0;
        self.instances.live = 0;
        self.others.clear();
        self.elements = 0;
    }

    /// Whether the session has outgrown its limit.
    pub(crate) fn is_full(&self) -> bool {
        let objects = self.lists.live + self.maps.live + self.instances.live + self.others.len();
        self.text.len() + objects * 96 + self.elements * 16 > self.memory
    }

    /// Limits the session's memory, in bytes.
    pub(crate) fn set_memory(&mut self, bytes: usize) {
        self.memory = bytes.min(1 << 31);
    }

    pub(crate) fn bytes(&self, text: Text) -> &[u8] {
        let start = text.offset() as usize;
        &self.text[start..start + text.bytes_len()]
    }

    /// The bytes behind a value that is a string.
    pub(crate) fn string(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::String(text) => Some(self.bytes(text)),
            _ => None,
        }
    }

    pub(crate) fn new_text(&mut self, bytes: &[u8]) -> Text {
        let place = Text::new(self.text.len(), bytes);
        self.text.extend_from_slice(bytes);
        place
    }

    /// A part of an ASCII text as a part of the same bytes, where the ends are within and the text is this case's:
    /// what begins within canonical text counts as canonical, which a part of it is not.
    #[inline]
    pub(crate) fn part(&self, text: Text, start: i32, end: i32) -> Option<Text> {
        let within = 0 <= start && start <= end && end as usize <= text.bytes_len();
        (within && text.is_ascii() && !self.is_constant(text)).then(|| text.slice_ascii(start as usize, end as usize))
    }

    /// Copies a text that strings will be parts of; returns where it begins.
    pub(crate) fn hold(&mut self, bytes: &[u8]) -> usize {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        start
    }

    pub(crate) fn new_string(&mut self, bytes: &[u8]) -> Value {
        Value::String(self.new_text(bytes))
    }

    /// Builds a string in place at the end of the text.
    pub(crate) fn build(&mut self, write: impl FnOnce(&mut TextWriter<'_>)) -> Value {
        let mut writer = TextWriter { start: self.text.len(), heap: self };
        write(&mut writer);
        let start = writer.start;
        Value::String(Text::new(start, &self.text[start..]))
    }

    /// A string key as its canonical text where there is one; other keys as they are.
    fn canonical(&self, key: Value) -> Value {
        match key {
            Value::String(text) if !self.is_constant(text) => match self.symbol(self.bytes(text)) {
                Some(found) => Value::String(found),
                None => key,
            },
            _ => key,
        }
    }

    /// Whether a text outlives the case: it is canonical.
    pub(crate) fn is_constant(&self, text: Text) -> bool {
        (text.offset() as usize) < self.canonical_end
    }

    pub(crate) fn new_list(&mut self, kind: ListKind) -> u32 {
        self.lists.take(|list| {
            list.kind = kind;
            list.items.clear();
            list.changes = 0;
        })
    }

    /// A list value with these items.
    pub(crate) fn list_of(&mut self, kind: ListKind, items: impl IntoIterator<Item = Value>) -> Value {
        let list = self.new_list(kind);
        self.list_mut(list).items.extend(items);
        self.elements += self.list(list).items.len();
        Value::List(list)
    }

    pub(crate) fn new_array(&mut self, kind: ListKind, items: impl IntoIterator<Item = Value>) -> Value {
        let list = self.new_list(kind);
        self.list_mut(list).items.extend(items);
        self.elements += self.list(list).items.len();
        Value::Array(list)
    }

    pub(crate) fn list(&self, list: u32) -> &ListData {
        &self.lists.items[list as usize]
    }

    pub(crate) fn list_mut(&mut self, list: u32) -> &mut ListData {
        &mut self.lists.items[list as usize]
    }

    /// `list.add(item)`.
    pub(crate) fn list_add(&mut self, list: u32, item: Value) {
        self.elements += 1;
        let list = self.list_mut(list);
        list.items.push(item);
        list.changes = list.changes.wrapping_add(1);
    }

    pub(crate) fn new_map(&mut self, order: Order) -> u32 {
        self.maps.take(|map| {
            map.clear();
            map.order = order;
            map.changes = 0;
        })
    }

    pub(crate) fn map(&self, map: u32) -> &MapData {
        &self.maps.items[map as usize]
    }

    pub(crate) fn map_mut(&mut self, map: u32) -> &mut MapData {
        &mut self.maps.items[map as usize]
    }

    /// A copy of a map with another iteration order.
    pub(crate) fn copy_map(&mut self, from: u32, order: Order) -> u32 {
        let to = self.new_map(order);
        let natural = matches!(self.map(from).order, Order::Linked | Order::Frozen);
        if natural && order != Order::Tree && self.map(from).index.is_none() {
            let (source, target) = pair(&mut self.maps.items, from as usize, to as usize);
            target.entries.extend_from_slice(&source.entries);
            target.present = source.present;
            return to;
        }
        for entry in self.iterate(from) {
            self.map_put(to, entry.key, entry.value);
        }
        to
    }

    pub(crate) fn iterate(&self, map: u32) -> Vec<Entry> {
        self.map(map).iterate(|key| self.hash(key))
    }

    pub(crate) fn new_instance(&mut self, class: u16, fields: &[Value]) -> Value {
        Value::Instance(self.instances.take(|instance| {
            instance.class = class;
            instance.fields.clear();
            instance.fields.extend_from_slice(fields);
        }))
    }

    pub(crate) fn instance(&self, instance: u32) -> &InstanceData {
        &self.instances.items[instance as usize]
    }

    pub(crate) fn instance_mut(&mut self, instance: u32) -> &mut InstanceData {
        &mut self.instances.items[instance as usize]
    }

    pub(crate) fn new_other(&mut self, other: Other) -> Value {
        self.others.push(other);
        Value::Other((self.others.len() - 1) as u32)
    }

    pub(crate) fn other(&self, other: u32) -> &Other {
        &self.others[other as usize]
    }

    pub(crate) fn other_mut(&mut self, other: u32) -> &mut Other {
        &mut self.others[other as usize]
    }

    fn bit(text: Text) -> u64 {
        1 << (text.offset().wrapping_mul(0x9e37_79b1) >> 26)
    }

    /// The value of a key, or null.
    #[inline(always)]
    pub(crate) fn find_key(&self, map: u32, key: &mut Key) -> &Value {
        match self.map(map).entries.get(key.place as usize) {
            Some(Entry { key: Value::String(text), value }) if *text == key.text => value,
            _ => self.search_key(map, key),
        }
    }

    #[inline(never)]
    fn search_key(&self, map: u32, key: &mut Key) -> &Value {
        let data = self.map(map);
        if data.present & Self::bit(key.text) == 0 {
            return &Value::Null;
        }
        let is_key = |entry: &Entry| matches!(entry.key, Value::String(text) if text == key.text);
        match data.entries.iter().position(is_key) {
            Some(at) => {
                key.place = at as u32;
                &data.entries[at].value
            }
            None => &Value::Null,
        }
    }

    /// The position of `key` in a map's entries.
    pub(crate) fn map_find(&self, map: u32, key: Value) -> Option<usize> {
        let data = self.map(map);
        let key = self.canonical(key);
        if data.order == Order::Tree {
            return data.entries.binary_search_by(|entry| self.natural_order(entry.key, key)).ok();
        }
        if let Value::String(text) = key {
            if self.is_constant(text) {
                let named = (text.offset() as usize) < self.program_end;
                let absent = data.present & Self::bit(text) == 0;
                if named && absent {
                    return None;
                }
                // A learned key may stand here under another place, from before it was learned.
                if named && data.index.is_none() {
                    return data.entries.iter().position(|e| matches!(e.key, Value::String(t) if t == text));
                }
            }
        }
        if let Some(index) = &data.index {
            let found = index.get(&self.hash(key))?;
            return found.iter().map(|at| *at as usize).find(|at| self.equal(data.entries[*at].key, key));
        }
        data.entries.iter().position(|entry| self.equal(entry.key, key))
    }

    pub(crate) fn map_get(&self, map: u32, key: Value) -> Option<Value> {
        self.map_find(map, key).map(|at| self.map(map).entries[at].value)
    }

    /// Whether a map may be changed and refuses no key.
    pub(crate) fn takes_any_key(&self, map: u32) -> bool {
        matches!(self.map(map).order, Order::Linked | Order::Hash { .. })
    }

    /// Puts, and returns what stood there before.
    pub(crate) fn map_put(&mut self, map: u32, key: Value, value: Value) -> Option<Value> {
        if let Value::String(text) = key {
            if (text.offset() as usize) < self.program_end && self.is_scanned(map) {
                return self.map_put_named(map, text, value);
            }
        }
        if let Some(at) = self.map_find(map, key) {
            return Some(std::mem::replace(&mut self.map_mut(map).entries[at].value, value));
        }
        self.map_append(map, key, value);
        None
    }

    /// Puts under a key of the program, in a map that refuses none.
    #[inline]
    pub(crate) fn map_put_key(&mut self, map: u32, key: &mut Key, value: Value) -> Option<Value> {
        match self.maps.items[map as usize].entries.get_mut(key.place as usize) {
            Some(Entry { key: Value::String(text), value: held }) if *text == key.text => {
                Some(std::mem::replace(held, value))
            }
            _ => self.map_put(map, Value::String(key.text), value),
        }
    }

    /// Whether keys that the program names are found in a map by their place, and new ones stand last.
    fn is_scanned(&self, map: u32) -> bool {
        let data = self.map(map);
        data.index.is_none() && data.order != Order::Tree && data.entries.len() < map::SCANNED
    }

    /// Puts under a key of the program.
    fn map_put_named(&mut self, map: u32, key: Text, value: Value) -> Option<Value> {
        let data = &mut self.maps.items[map as usize];
        let bit = Self::bit(key);
        if data.present & bit != 0 {
            let is_key = |entry: &&mut Entry| matches!(entry.key, Value::String(text) if text == key);
            if let Some(entry) = data.entries.iter_mut().find(is_key) {
                return Some(std::mem::replace(&mut entry.value, value));
            }
        }
        data.present |= bit;
        data.entries.push(Entry { key: Value::String(key), value });
        data.changes = data.changes.wrapping_add(1);
        data.grow();
        self.elements += 2;
        None
    }

    /// Puts under a key that is canonical already, as readers make them.
    #[inline(always)]
    pub(crate) fn map_put_text(&mut self, map: u32, key: Text, value: Value) {
        let constant = self.is_constant(key);
        let data = &mut self.maps.items[map as usize];
        if constant && data.present & Self::bit(key) == 0 && data.index.is_none() && data.entries.len() < map::SCANNED {
            data.present |= Self::bit(key);
            data.entries.push(Entry { key: Value::String(key), value });
            data.changes = data.changes.wrapping_add(1);
            return;
        }
        self.map_put(map, Value::String(key), value);
    }

    /// Adds a key that is known to be absent.
    fn map_append(&mut self, map: u32, key: Value, value: Value) {
        let key = self.canonical(key);
        let bit = match key {
            Value::String(text) if self.is_constant(text) => Self::bit(text),
            _ => 0,
        };
        let data = self.map(map);
        let at = match data.order {
            Order::Tree => data.entries.binary_search_by(|e| self.natural_order(e.key, key)).unwrap_or_else(|at| at),
            _ => data.entries.len(),
        };
        let hash = if data.index.is_some() { self.hash(key) } else { 0 };
        self.elements += 2;
        let data = self.map_mut(map);
        data.present |= bit;
        data.entries.insert(at, Entry { key, value });
        data.changes = data.changes.wrapping_add(1);
        data.grow();
        if let Some(index) = &mut data.index {
            index.entry(hash).or_default().push(at as u32);
        } else if data.entries.len() > map::SCANNED && data.order != Order::Tree {
            self.reindex(map);
        }
    }

    fn reindex(&mut self, map: u32) {
        let mut index = HashMap::<i32, Vec<u32>>::new();
        for (at, entry) in self.map(map).entries.iter().enumerate() {
            index.entry(self.hash(entry.key)).or_default().push(at as u32);
        }
        self.map_mut(map).index = Some(index);
    }

    /// Removes, and returns what stood there.
    pub(crate) fn map_remove(&mut self, map: u32, key: Value) -> Option<Value> {
        let at = self.map_find(map, key)?;
        let data = self.map_mut(map);
        let removed = data.entries.remove(at);
        data.changes = data.changes.wrapping_add(1);
        if data.index.take().is_some() {
            self.reindex(map);
        }
        Some(removed.value)
    }

    /// Empties a map.
    pub(crate) fn map_clear(&mut self, map: u32) {
        self.map_mut(map).clear();
    }

    /// The elements of a collection, array or set in iteration order.
    pub(crate) fn elements(&self, value: Value) -> Option<Vec<Value>> {
        Some(match value {
            Value::List(list) | Value::Array(list) => self.list(list).items.clone(),
            Value::Set(set) => self.iterate(set).into_iter().map(|entry| entry.key).collect(),
            _ => return None,
        })
    }
}

fn pair<T>(items: &mut [T], first: usize, second: usize) -> (&T, &mut T) {
    if first < second {
        let (left, right) = items.split_at_mut(second);
        (&left[first], &mut right[0])
    } else {
        let (left, right) = items.split_at_mut(first);
        (&right[0], &mut left[second])
    }
}

/// Appends to the text that [`Heap::build`] makes.
pub(crate) struct TextWriter<'a> {
    heap: &'a mut Heap,
    start: usize,
}

impl TextWriter<'_> {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // A low surrogate joins a high one that ends what was written so far.
        if let [0xed, 0xb0..=0xbf, _, ..] = bytes {
            if self.heap.text.len() >= self.start + 3 {
                let mut tail = self.heap.text.split_off(self.start);
                for unit in crate::text::units(bytes) {
                    crate::text::push_unit(&mut tail, unit);
                }
                self.heap.text.extend(tail);
                return;
            }
        }
        self.heap.text.extend_from_slice(bytes);
    }

    /// Appends `String.valueOf(value)`.
    pub(crate) fn push_value(&mut self, value: Value) {
        match value {
            Value::String(text) if text.is_ascii() => {
                let start = text.offset() as usize;
                self.heap.text.extend_from_within(start..start + text.bytes_len());
            }
            _ => {
                let mut text = Vec::new();
                self.heap.display(value, &mut text);
                self.push(&text);
            }
        }
    }
}
