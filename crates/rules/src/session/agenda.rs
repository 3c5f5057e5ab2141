//! What fires next: groups, items of rules, and the matches that wait in each.

use std::collections::VecDeque;

use super::queue::{self, Queue, compare};
use super::tuple::{TupleId, Tuples};

/// The matches of one consequence that wait to fire.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) salience: i32,
    /// Order of the rule in its file.
    pub(super) load_order: u32,
    pub(super) group: u16,
    /// Its place in the order of its group, where that never changes.
    pub(super) rank: u32,
    /// Matches in firing order, for rules of fixed salience. May hold tuples that are no longer queued.
    pub(super) list: VecDeque<TupleId>,
    /// Nothing but the order of rules decides when a match fires, and that it does: no attribute has a say, and no
    /// named consequence shares the item.
    pub(super) plain: bool,
    /// A heap of matches, for dynamic salience.
    pub(super) heap: Vec<TupleId>,
    pub(super) dynamic: bool,
    /// The rule's network has news.
    pub(super) dirty: bool,
    /// How many matches are queued.
    pub(super) waiting: usize,
    /// Whether it is in its group's queue.
    pub(super) queued: bool,
    pub(super) eager: bool,
}

impl Item {
    pub(super) fn push(&mut self, tuples: &mut Tuples, tuple: TupleId) {
        tuples[tuple].queued = true;
        self.waiting += 1;
        if self.dynamic {
            queue::push(&mut self.heap, tuple, &|a, b| tuples[a].salience.cmp(&tuples[b].salience));
        } else {
            self.list.push_back(tuple);
        }
    }

    /// The next match, taken off.
    pub(super) fn pop(&mut self, tuples: &mut Tuples) -> Option<TupleId> {
        if self.dynamic {
            let first = *self.heap.first()?;
            self.take_from_heap(tuples, 0);
            tuples[first].queued = false;
            self.waiting -= 1;
            return Some(first);
        }
        while let Some(tuple) = self.list.pop_front() {
            if tuples[tuple].queued {
                tuples[tuple].queued = false;
                self.waiting -= 1;
                return Some(tuple);
            }
        }
        None
    }

    pub(super) fn remove(&mut self, tuples: &mut Tuples, tuple: TupleId) {
        if !std::mem::take(&mut tuples[tuple].queued) {
            return;
        }
        self.waiting -= 1;
        if self.dynamic {
            if let Some(at) = self.heap.iter().position(|held| *held == tuple) {
                self.take_from_heap(tuples, at);
            }
        } else if let Some(at) = self.list.iter().position(|held| *held == tuple) {
            self.list.remove(at);
        }
    }

    fn take_from_heap(&mut self, tuples: &Tuples, at: usize) {
        queue::remove_at(&mut self.heap, at, &|a, b| tuples[a].salience.cmp(&tuples[b].salience));
    }

    /// The salience that the item has by its best match.
    pub(super) fn best(&self, tuples: &Tuples) -> i32 {
        self.heap.first().map_or(0, |tuple| tuples[*tuple].salience)
    }

    fn reset(&mut self) {
        self.list.clear();
        self.heap.clear();
        self.dirty = false;
        self.waiting = 0;
        self.queued = false;
        if self.dynamic {
            self.salience = 0;
        }
    }
}

/// A group's items and its place on the focus stack.
#[derive(Debug)]
pub(super) struct Group {
    queue: Queue,
    pub(super) active: bool,
    pub(super) activated_at: u32,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Agenda {
    pub(super) items: Vec<Item>,
    pub(super) groups: Vec<Group>,
    /// Groups that were given the focus, the latest last; MAIN lies under all.
    pub(super) focus: Vec<u16>,
    /// Items whose network is evaluated after every firing.
    pub(super) eager: VecDeque<u32>,
}

impl Agenda {
    /// The agenda of these items; `fires` tells those that have matches of their own.
    pub(super) fn new(items: Vec<Item>, groups: usize, fires: impl Fn(u32) -> bool) -> Self {
        let mut items = items;
        let mut members = vec![Vec::new(); groups];
        for (index, item) in (0..).zip(&items) {
            if fires(index) {
                members[usize::from(item.group)].push(index);
            }
        }
        let group = |members| Group { queue: Queue::new(members, &mut items), active: false, activated_at: 0 };
        let groups = members.into_iter().map(group).collect();
        Self { items, groups, focus: Vec::new(), eager: VecDeque::new() }
    }

    pub(super) fn reset(&mut self) {
        self.items.iter_mut().for_each(Item::reset);
        for group in &mut self.groups {
            group.queue.clear();
            group.active = false;
            group.activated_at = 0;
        }
        self.focus.clear();
        self.eager.clear();
    }

    /// Puts an item into its group, if it is not there, and marks its network as changed.
    pub(super) fn queue(&mut self, item: u32) {
        let data = &mut self.items[item as usize];
        data.dirty = true;
        if data.eager && !self.eager.contains(&item) {
            self.eager.push_back(item);
        }
        self.enqueue(item);
    }

    /// Whether [`Agenda::queue`] would change nothing.
    pub(super) fn is_waiting(&self, item: u32) -> bool {
        let data = &self.items[item as usize];
        data.queued && data.dirty && !data.eager
    }

    #[inline(always)]
    pub(super) fn enqueue(&mut self, item: u32) {
        if !self.items[item as usize].queued {
            self.enqueue_new(item);
        }
    }

    #[inline(never)]
    fn enqueue_new(&mut self, item: u32) {
        let data = &mut self.items[item as usize];
        data.queued = true;
        let group = usize::from(data.group);
        self.groups[group].queue.push(item, &self.items);
    }

    pub(super) fn dequeue(&mut self, item: u32) {
        if !std::mem::take(&mut self.items[item as usize].queued) {
            return;
        }
        let group = usize::from(self.items[item as usize].group);
        self.groups[group].queue.remove(item, &self.items);
    }

    /// The first item of a group.
    pub(super) fn first(&self, group: u16) -> Option<u32> {
        self.groups[usize::from(group)].queue.first()
    }

    /// The group that has the focus.
    pub(super) fn focused(&self) -> u16 {
        self.focus.last().copied().unwrap_or(0)
    }

    /// The group to fire from next; groups that ran empty lose the focus.
    pub(super) fn next_focus(&mut self, recency: u32) -> Option<u16> {
        loop {
            let top = self.focused();
            if self.first(top).is_some() {
                let group = &mut self.groups[usize::from(top)];
                if !group.active {
                    group.active = true;
                    group.activated_at = recency;
                }
                return Some(top);
            }
            self.focus.pop()?;
            self.groups[usize::from(top)].active = false;
        }
    }

    pub(super) fn set_focus(&mut self, group: u16, recency: u32) {
        let top = self.focused();
        if top == group {
            return;
        }
        self.groups[usize::from(top)].active = false;
        self.focus.push(group);
        self.groups[usize::from(group)].active = true;
        self.groups[usize::from(group)].activated_at = recency;
    }

    /// Whether the next item of the focused group goes before `item`, or is of another group.
    pub(super) fn gives_way(&self, item: u32) -> bool {
        let Some(next) = self.first(self.focused()) else {
            return false;
        };
        if next == item {
            return false;
        }
        self.items[next as usize].group != self.items[item as usize].group
            || compare(&self.items, item, next) == std::cmp::Ordering::Less
    }
}
