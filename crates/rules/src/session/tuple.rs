//! Partial matches and the sets in which they wait for a node.

use crate::heap::Value;

/// Index of a tuple.
pub(super) type TupleId = u32;

/// No tuple, no fact.
pub(super) const NONE: u32 = u32::MAX;

/// In which set a tuple waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Staged {
    #[default]
    No,
    Insert,
    Update,
    Delete,
}

/// What caused a change: its number, the rule whose consequence made it, and the recency of its fact.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cause {
    pub(super) number: u32,
    /// The rule plus one; zero outside of rules.
    pub(super) origin: u32,
    pub(super) recency: u32,
}

/// A partial match on the left of a node, or a fact on its right.
#[derive(Debug)]
pub(super) struct Tuple {
    /// The match that this one extends.
    pub(super) left: TupleId,
    /// The right tuple that it extends it with.
    pub(super) right: TupleId,
    pub(super) value: Value,
    pub(super) fact: u32,
    /// The slot of `value`; `u16::MAX` where the tuple adds no fact.
    pub(super) slot: u16,
    pub(super) staged: Staged,
    pub(super) in_memory: bool,
    pub(super) queued: bool,
    pub(super) dead: bool,
    pub(super) cause: Cause,
    /// Tuples that extend this one, as a left parent.
    pub(super) children: Vec<TupleId>,
    /// The same match in sibling segments.
    pub(super) peers: Vec<TupleId>,
    /// The match that this one is a peer of.
    pub(super) original: TupleId,
    /// For `not` and `exists`: the right tuple that decides this one.
    pub(super) blocker: TupleId,
    /// Apart, so that the many tuples that have nothing of it are small.
    rare: Option<Box<Rare>>,
    pub(super) salience: i32,
    /// The named consequence of a branch that this match is for.
    pub(super) terminal: u32,
}

/// What few tuples have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Tuples that extend this one, as a right parent.
    pub(super) right_children: Vec<TupleId>,
    /// The left tuples that this right tuple decides, the latest last.
    pub(super) blocked: Vec<TupleId>,
    /// For groups and accumulates: the right tuples that belong to this left one.
    pub(super) matches: Vec<TupleId>,
    /// Logical facts that the match supports.
    pub(super) beliefs: Vec<u32>,
}

impl Default for Tuple {
    fn default() -> Self {
        Self {
            left: NONE,
            right: NONE,
            value: Value::Null,
            fact: NONE,
            slot: u16::MAX,
            staged: Staged::No,
            in_memory: false,
            queued: false,
            dead: false,
            cause: Cause::default(),
            children: Vec::new(),
            peers: Vec::new(),
            original: NONE,
            blocker: NONE,
            rare: None,
            salience: 0,
            terminal: NONE,
        }
    }
}

impl Tuple {
    /// What few tuples have; nothing of it at first.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Takes the logical facts that the match supports.
    pub(super) fn take_beliefs(&mut self) -> Vec<u32> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.beliefs)).unwrap_or_default()
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.left = NONE;
        self.right = NONE;
        self.fact = NONE;
        self.slot = u16::MAX;
        self.staged = Staged::No;
        self.in_memory = false;
        self.queued = false;
        self.dead = false;
        self.cause = Cause::default();
        self.children.clear();
        self.peers.clear();
        self.original = NONE;
        self.blocker = NONE;
        if let Some(rare) = &mut self.rare {
            rare.right_children.clear();
            rare.blocked.clear();
            rare.matches.clear();
            rare.beliefs.clear();
        }
        self.salience = 0;
        self.terminal = NONE;
    }
}

/// All tuples of a session.
#[derive(Debug, Default)]
pub(super) struct Tuples {
    items: Vec<Tuple>,
    live: usize,
}

impl Tuples {
    #[inline(always)]
    pub(super) fn add(&mut self) -> TupleId {
        match self.items.get_mut(self.live) {
            Some(tuple) => tuple.clear(),
            None => self.items.push(Tuple::default()),
        }
        self.live += 1;
        (self.live - 1) as TupleId
    }

    /// A tuple of one fact.
    #[inline(always)]
    pub(super) fn add_fact(&mut self, fact: u32, value: Value, slot: u16, cause: Cause) -> TupleId {
        let tuple = self.add();
        let data = &mut self.items[tuple as usize];
        data.value = value;
        data.fact = fact;
        data.slot = slot;
        data.cause = cause;
        tuple
    }

    pub(super) fn reset(&mut self) {
        const KEPT: usize = 1 << 16;
        self.items.truncate(KEPT);
        self.live = 0;
    }
}

impl std::ops::Index<TupleId> for Tuples {
    type Output = Tuple;

    fn index(&self, id: TupleId) -> &Tuple {
        &self.items[id as usize]
    }
}

impl std::ops::IndexMut<TupleId> for Tuples {
    fn index_mut(&mut self, id: TupleId) -> &mut Tuple {
        &mut self.items[id as usize]
    }
}

/// Tuples that wait for a node. Each set is a stack: the last in is the first out.
#[derive(Debug, Default)]
pub(super) struct Sets {
    pub(super) insert: Vec<TupleId>,
    pub(super) update: Vec<TupleId>,
    pub(super) delete: Vec<TupleId>,
}

impl Sets {
    pub(super) fn is_empty(&self) -> bool {
        self.insert.is_empty() && self.update.is_empty() && self.delete.is_empty()
    }

    /// Whether nothing but insertions waits.
    pub(super) fn is_new(&self) -> bool {
        self.update.is_empty() && self.delete.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.insert.clear();
        self.update.clear();
        self.delete.clear();
    }

    /// Stages an insertion; true if nothing was staged for insertion before.
    pub(super) fn add_insert(&mut self, tuples: &mut Tuples, id: TupleId) -> bool {
        if tuples[id].staged == Staged::Update {
            return false;
        }
        let was_empty = self.insert.is_empty();
        tuples[id].staged = Staged::Insert;
        self.insert.push(id);
        was_empty
    }

    /// Stages the insertion of a tuple that was staged nowhere before.
    #[inline]
    pub(super) fn add_new(&mut self, tuples: &mut Tuples, id: TupleId) {
        tuples[id].staged = Staged::Insert;
        self.insert.push(id);
    }

    pub(super) fn add_update(&mut self, tuples: &mut Tuples, id: TupleId) {
        if tuples[id].staged == Staged::No {
            tuples[id].staged = Staged::Update;
            self.update.push(id);
        }
    }

    /// Stages a deletion; a tuple whose insertion was still waiting is simply forgotten. True if it was.
    pub(super) fn add_delete(&mut self, tuples: &mut Tuples, id: TupleId) -> bool {
        match tuples[id].staged {
            Staged::Insert => {
                remove(&mut self.insert, id);
                tuples[id].staged = Staged::No;
                return true;
            }
            Staged::Update => {
                remove(&mut self.update, id);
            }
            Staged::Delete => return false,
            Staged::No => {}
        }
        tuples[id].staged = Staged::Delete;
        self.delete.push(id);
        false
    }

    /// Takes a tuple out of the set in which it waits; false if it is not here.
    pub(super) fn unstage(&mut self, tuples: &mut Tuples, id: TupleId) -> bool {
        let list = match tuples[id].staged {
            Staged::Insert => &mut self.insert,
            Staged::Update => &mut self.update,
            Staged::Delete => &mut self.delete,
            Staged::No => return false,
        };
        let found = remove(list, id);
        if found {
            tuples[id].staged = Staged::No;
        }
        found
    }

    /// Appends the other's tuples behind these.
    pub(super) fn add_all(&mut self, other: Sets) {
        for (mine, theirs) in
            [(&mut self.insert, other.insert), (&mut self.update, other.update), (&mut self.delete, other.delete)]
        {
            if mine.is_empty() {
                *mine = theirs;
            } else {
                mine.splice(0..0, theirs);
            }
        }
    }
}

/// Removes one occurrence, searching from the end, where recent ones are.
pub(super) fn remove(list: &mut Vec<TupleId>, id: TupleId) -> bool {
    match list.iter().rposition(|held| *held == id) {
        Some(at) => {
            list.remove(at);
            true
        }
        None => false,
    }
}
