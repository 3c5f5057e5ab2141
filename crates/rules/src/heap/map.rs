//! Maps and sets with Java's three iteration orders.

use super::value::Value;

/// How a map iterates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Order {
    /// `LinkedHashMap`: insertion order.
    #[default]
    Linked,
    /// `HashMap`: by bucket; the number of buckets is kept as Java would have it.
    Hash { buckets: u32 },
    /// `TreeMap`: by key.
    Tree,
    /// Made by `Map.of`, `Collections.unmodifiableMap` and views: iterates as inserted, refuses changes.
    Frozen,
}

/// One key with its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Value,
    pub(crate) value: Value,
}

/// Storage of a map; a set uses the keys alone. Entries stand in insertion order, or sorted for trees.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapData {
    pub(crate) order: Order,
    pub(crate) entries: Vec<Entry>,
    /// One bit for each canonical key, by offset: a clear bit means the key is absent.
    pub(crate) present: u64,
    /// From hash to entry positions, once the map is large.
    pub(crate) index: Option<std::collections::HashMap<i32, Vec<u32>>>,
    /// Counts structural changes, for `ConcurrentModificationException`.
    pub(crate) changes: u32,
}

/// Above this many entries lookups go through an index.
pub(super) const SCANNED: usize = 16;

impl MapData {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.present = 0;
        self.index = None;
        self.changes = self.changes.wrapping_add(1);
    }

    /// Keeps the bucket count as `java.util.HashMap` would after an insertion.
    pub(super) fn grow(&mut self) {
        if let Order::Hash { buckets } = &mut self.order {
            if *buckets == 0 {
                *buckets = 16;
            }
            if self.entries.len() as u64 * 4 > u64::from(*buckets) * 3 {
                *buckets *= 2;
            }
        }
    }

    /// The entries in iteration order.
    pub(crate) fn iterate(&self, hash: impl Fn(Value) -> i32) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        if let Order::Hash { buckets } = self.order {
            let mask = buckets.max(1) - 1;
            // Within a bucket the order is that of insertion: growing splits buckets stably.
            entries.sort_by_cached_key(|entry| {
                let hash = hash(entry.key) as u32;
                (hash ^ hash >> 16) & mask
            });
        }
        entries
    }
}

/// The bucket count of `new HashMap<>(capacity)`.
pub(crate) fn buckets_for(capacity: i32) -> u32 {
    (capacity.max(1) as u32).next_power_of_two()
}

/// The bucket count of a `HashMap` copied from `size` entries.
pub(crate) fn buckets_for_copy(size: usize) -> u32 {
    if size == 0 { 0 } else { buckets_for((size as f32 / 0.75 + 1.0) as i32) }
}

/// The bucket count of a `HashSet` made from a collection of `size` elements.
pub(crate) fn buckets_for_set(size: usize) -> u32 {
    buckets_for(((size as f32 / 0.75) as i32 + 1).max(16))
}
