//! Facts entering, changing and leaving: from the alpha tests to the inputs of nodes.

use super::Session;
use super::tuple::{Cause, NONE, Staged, TupleId};
use crate::heap::Value;
use crate::machine::Outcome;
use crate::network::{AlphaTest, Mask, NodeId, NodeKind, Sink, Step};

/// A fact in the working memory.
#[derive(Debug, Default)]
pub(super) struct Fact {
    pub(super) value: Value,
    pub(super) alive: bool,
    pub(super) recency: u32,
    /// Its tuples on the left of paths, on the right of nodes, and in rules of one pattern.
    lefts: Vec<(NodeId, TupleId)>,
    rights: Vec<(NodeId, TupleId)>,
    singles: Vec<(u32, TupleId)>,
    is_initial: bool,
    queries: Vec<NodeId>,
}

/// A change that waits to be carried out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Insert { fact: u32, cause: Cause },
    Update { fact: u32, mask: Mask, cause: Cause },
    Delete { fact: u32, cause: Cause },
    Focus(u16),
    Halt,
}

/// A logical fact and the matches that support it.
#[derive(Debug)]
pub(super) struct Belief {
    pub(super) value: Value,
    /// `NONE` where an equal fact was inserted by other means.
    pub(super) fact: u32,
    pub(super) supports: Vec<TupleId>,
}

/// The fact of each object that has one.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Of maps, which most facts are, by their place in the heap.
    maps: Vec<u32>,
    others: rustc_hash::FxHashMap<(u8, u64), u32>,
}

impl Identities {
    /// The fact that is known for an object, at first this one.
    fn known(&mut self, object: Value, fact: u32) -> &mut u32 {
        let Value::Map(map) = object else { return self.others.entry(object.encode()).or_insert(fact) };
        let map = map as usize;
        if map >= self.maps.len() {
            self.maps.resize(map + 1, NONE);
        }
        let known = &mut self.maps[map];
        if *known == NONE {
            *known = fact;
        }
        known
    }

    pub(super) fn clear(&mut self) {
        self.maps.clear();
        self.others.clear();
    }
}

impl<'r> Session<'r> {
    /// Inserts a fact. It is matched at the next [`Session::fire`].
    pub fn insert(&mut self, value: Value) {
        self.start();
        self.insert_fact(value);
    }

    /// The fact that rules without a first pattern rest on comes before all others.
    pub(super) fn start(&mut self) {
        if self.started {
            return;
        }
        self.started = true;
        let fact = self.new_fact(Value::Null);
        self.facts[fact as usize].is_initial = true;
        let cause = self.new_cause(0);
        self.queue.push_back(Entry::Insert { fact, cause });
    }

    fn new_fact(&mut self, value: Value) -> u32 {
        if self.live_facts == self.facts.len() {
            self.facts.push(Fact::default());
        }
        let fact = &mut self.facts[self.live_facts];
        fact.value = value;
        fact.alive = true;
        fact.lefts.clear();
        fact.rights.clear();
        fact.singles.clear();
        fact.queries.clear();
        fact.is_initial = false;
        self.recency += 1;
        fact.recency = self.recency;
        self.live_facts += 1;
        (self.live_facts - 1) as u32
    }

    /// An object that is a fact already is left as it is.
    pub(super) fn insert_fact(&mut self, value: Value) -> u32 {
        let fact = self.live_facts as u32;
        if value.has_identity() {
            let known = self.identities.known(value, fact);
            if *known != fact && self.facts[*known as usize].alive {
                return *known;
            }
            *known = fact;
        }
        let fact = self.new_fact(value);
        let cause = self.new_cause(self.recency);
        self.queue.push_back(Entry::Insert { fact, cause });
        fact
    }

    pub(super) fn update_fact(&mut self, fact: u32, mask: Mask) {
        if !self.facts[fact as usize].alive {
            return;
        }
        self.recency += 1;
        self.facts[fact as usize].recency = self.recency;
        let cause = self.new_cause(self.recency);
        self.queue.push_back(Entry::Update { fact, mask, cause });
    }

    pub(super) fn delete_fact(&mut self, fact: u32) {
        if !std::mem::take(&mut self.facts[fact as usize].alive) {
            return;
        }
        for belief in &mut self.beliefs {
            if belief.fact == fact {
                belief.supports.clear();
                belief.fact = NONE;
            }
        }
        let cause = self.new_cause(self.facts[fact as usize].recency);
        self.queue.push_back(Entry::Delete { fact, cause });
    }

    /// The fact that holds an object: of the current match if it is there, else any.
    pub(super) fn fact_of(&self, value: Value, tuple: TupleId) -> Option<u32> {
        let mut at = tuple;
        while at != NONE {
            let data = &self.tuples[at];
            if data.fact != NONE && data.value.same_object(value) {
                return Some(data.fact);
            }
            at = data.left;
        }
        let facts = &self.facts[..self.live_facts];
        let found = facts.iter().position(|fact| fact.alive && !fact.is_initial && fact.value.same_object(value));
        found.map(|at| at as u32)
    }

    /// Carries out what waits, in order. What this causes in turn waits for the next call.
    #[inline(always)]
    pub(super) fn flush(&mut self) -> Outcome<()> {
        if self.queue.is_empty() { Ok(()) } else { self.carry_out() }
    }

    #[inline(never)]
    fn carry_out(&mut self) -> Outcome<()> {
        let entries = std::mem::take(&mut self.queue);
        let mut nowhere = Before::default();
        for entry in &entries {
            match *entry {
                Entry::Insert { fact, cause } => self.enter(fact, cause, &mut nowhere)?,
                Entry::Update { fact, mask, cause } => {
                    if self.facts[fact as usize].alive {
                        self.enter_again(fact, mask, cause)?;
                    }
                }
                Entry::Delete { fact, cause } => self.retract(fact, cause)?,
                Entry::Focus(group) => {
                    let recency = self.recency;
                    self.agenda.set_focus(group, recency);
                }
                Entry::Halt => self.firing = false,
            }
        }
        if self.queue.is_empty() {
            let mut entries = entries;
            entries.clear();
            self.queue = entries;
        }
        Ok(())
    }

    /// Brings a fact to all tests.
    fn enter(&mut self, fact: u32, cause: Cause, before: &mut Before) -> Outcome<()> {
        let steps = self.network.steps.as_slice();
        let Fact { value, is_initial, .. } = self.facts[fact as usize];
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            at += 1;
            match *step {
                Step::Test { test, otherwise } => {
                    if !self.passes(test, value, is_initial)? {
                        at = otherwise as usize;
                    }
                }
                Step::Sink(Sink::Left(node)) => self.enter_left(node, fact, cause, before),
                Step::Sink(Sink::Right(node)) => self.enter_right(node, fact, cause, before),
                Step::Sink(Sink::Terminal(terminal, mask)) => self.enter_single(terminal, mask, fact, cause, before)?,
                Step::Sink(Sink::Query(node)) => {
                    self.facts[fact as usize].queries.push(node);
                    self.touch_query(node);
                }
            }
        }
        Ok(())
    }

    fn enter_again(&mut self, fact: u32, mask: Mask, cause: Cause) -> Outcome<()> {
        let data = &mut self.facts[fact as usize];
        let (lefts, rights) = (std::mem::take(&mut data.lefts), std::mem::take(&mut data.rights));
        let (singles, queries) = (std::mem::take(&mut data.singles), std::mem::take(&mut data.queries));
        let mut before = Before { lefts, rights, singles, is_update: true, mask };
        for node in queries {
            self.touch_query(node);
        }
        self.enter(fact, cause, &mut before)?;
        // What the fact no longer matches.
        for (node, tuple) in before.lefts {
            self.delete_left(node, tuple, cause);
        }
        for (node, tuple) in before.rights {
            self.delete_right(node, tuple, cause);
        }
        for (terminal, tuple) in before.singles {
            self.cancel(terminal, tuple);
        }
        Ok(())
    }

    #[inline(always)]
    fn passes(&mut self, test: AlphaTest, value: Value, is_initial: bool) -> Outcome<bool> {
        Ok(match test {
            AlphaTest::Initial => is_initial,
            AlphaTest::Class(class) => !is_initial && self.machine.is_instance(value, class),
            AlphaTest::KeyNull { key, negated } => self.machine.map_key(value, key).is_null() != negated,
            AlphaTest::KeyEquals { key, constant } => {
                let held = *self.machine.map_key(value, key);
                match (held, self.machine.program.constants[usize::from(constant)]) {
                    (Value::Null, wanted) => wanted.is_null(),
                    (Value::String(held), Value::String(wanted)) => self.machine.heap.equal_texts(held, wanted),
                    (held, wanted) => self.machine.heap.equal(held, wanted),
                }
            }
            AlphaTest::Code(code) => match self.machine.check(code, value) {
                Some(answer) => answer,
                None => matches!(self.machine.run(code, &[value])?, Value::Boolean(true)),
            },
        })
    }

    fn enter_left(&mut self, node: NodeId, fact: u32, cause: Cause, before: &mut Before) {
        if before.is_update {
            if let Some(tuple) = before.take_left(node) {
                self.facts[fact as usize].lefts.push((node, tuple));
                if before.mask.concerns(self.network.nodes[node as usize].mask) {
                    self.update_left(node, tuple, cause);
                }
                return;
            }
            if !before.mask.concerns(self.network.nodes[node as usize].mask) {
                return;
            }
        }
        self.insert_left(node, fact, cause);
    }

    #[inline]
    fn insert_left(&mut self, node: NodeId, fact: u32, cause: Cause) {
        let network = self.network;
        let data = &network.nodes[node as usize];
        let slot = data.slot.unwrap_or(u16::MAX);
        self.nodes[node as usize].count += 1;
        let mut first = NONE;
        let value = self.facts[fact as usize].value;
        for segment in &data.left.segments {
            let tuple = self.tuples.add_fact(fact, value, slot, cause);
            if first == NONE {
                first = tuple;
            } else {
                self.tuples[first].peers.push(tuple);
                self.tuples[tuple].original = first;
            }
            self.staged[*segment as usize].add_new(&mut self.tuples, tuple);
        }
        if first != NONE {
            self.facts[fact as usize].lefts.push((node, first));
        }
        match &data.left.terminals {
            Some(terminals) => {
                for terminal in terminals {
                    if !self.agenda.is_waiting(*terminal) {
                        self.agenda.queue(*terminal);
                    }
                }
            }
            None => self.notify(node),
        }
    }

    fn update_left(&mut self, node: NodeId, tuple: TupleId, cause: Cause) {
        self.each_left(node, tuple, |session, segment, tuple| {
            session.tuples[tuple].cause = cause;
            session.staged[segment as usize].add_update(&mut session.tuples, tuple);
        });
        self.notify(node);
    }

    fn delete_left(&mut self, node: NodeId, tuple: TupleId, cause: Cause) {
        self.nodes[node as usize].count -= 1;
        self.each_left(node, tuple, |session, segment, tuple| {
            session.tuples[tuple].cause = cause;
            session.staged[segment as usize].add_delete(&mut session.tuples, tuple);
        });
        self.notify_always(node);
    }

    fn each_left(&mut self, node: NodeId, tuple: TupleId, act: impl Fn(&mut Self, u32, TupleId)) {
        let network = self.network;
        let peers = self.tuples[tuple].peers.clone();
        let all: Vec<TupleId> = std::iter::once(tuple).chain(peers).collect();
        for (index, tuple) in all.into_iter().enumerate() {
            act(self, network.nodes[node as usize].left.segments[index], tuple);
        }
    }

    fn enter_right(&mut self, node: NodeId, fact: u32, cause: Cause, before: &mut Before) {
        let listened = self.network.nodes[node as usize].mask;
        if before.is_update {
            if let Some(tuple) = before.take_right(node) {
                self.facts[fact as usize].rights.push((node, tuple));
                if before.mask.concerns(listened) {
                    self.tuples[tuple].cause = cause;
                    self.nodes[node as usize].staged_right.add_update(&mut self.tuples, tuple);
                    self.notify(node);
                } else {
                    self.reorder_right(node, tuple);
                }
                return;
            }
            if !before.mask.concerns(listened) {
                return;
            }
        }
        let data = &mut self.facts[fact as usize];
        let tuple = self.tuples.add_fact(fact, data.value, u16::MAX, cause);
        data.rights.push((node, tuple));
        let memory = &mut self.nodes[node as usize];
        memory.count += 1;
        memory.staged_right.add_insert(&mut self.tuples, tuple);
        self.notify(node);
    }

    /// A change that does not concern a node still moves the fact to the end of its memory.
    fn reorder_right(&mut self, node: NodeId, tuple: TupleId) {
        if !self.tuples[tuple].in_memory {
            return;
        }
        let memory = &mut self.nodes[node as usize].right;
        super::tuple::remove(memory, tuple);
        memory.push(tuple);
        if let NodeKind::Join { .. } = self.network.nodes[node as usize].kind {
            for child in self.tuples[tuple].rare().right_children.clone() {
                self.move_in_left_children(child);
            }
        }
    }

    /// Moves a tuple to the end of its left parent's children.
    pub(super) fn move_in_left_children(&mut self, child: TupleId) {
        let parent = self.tuples[child].left;
        if parent != NONE {
            let children = &mut self.tuples[parent].children;
            super::tuple::remove(children, child);
            children.push(child);
        }
    }

    fn delete_right(&mut self, node: NodeId, tuple: TupleId, cause: Cause) {
        self.tuples[tuple].cause = cause;
        let memory = &mut self.nodes[node as usize];
        memory.count -= 1;
        memory.staged_right.add_delete(&mut self.tuples, tuple);
        if memory.count == 0 {
            memory.closed = false;
        }
        self.notify_always(node);
    }

    fn enter_single(
        &mut self,
        terminal: u32,
        listened: Mask,
        fact: u32,
        cause: Cause,
        before: &mut Before,
    ) -> Outcome<()> {
        if before.is_update {
            let held = before.singles.iter().position(|(held, _)| *held == terminal);
            if let Some(at) = held {
                let (_, tuple) = before.singles.remove(at);
                self.facts[fact as usize].singles.push((terminal, tuple));
                if before.mask.concerns(listened) {
                    self.tuples[tuple].cause = cause;
                    self.link_single(terminal);
                    self.update_match(terminal, tuple)?;
                }
                return Ok(());
            }
            if !before.mask.concerns(listened) {
                return Ok(());
            }
        }
        let data = &mut self.facts[fact as usize];
        let tuple = self.tuples.add_fact(fact, data.value, 0, cause);
        data.singles.push((terminal, tuple));
        if before.is_update {
            // Drools takes the focus for what is inserted only.
            self.agenda.enqueue(terminal);
        } else if !self.agenda.items[terminal as usize].plain {
            self.link_single(terminal);
        }
        self.insert_match(terminal, tuple)
    }

    fn link_single(&mut self, terminal: u32) {
        self.take_focus(terminal);
        self.agenda.enqueue(terminal);
    }

    fn retract(&mut self, fact: u32, cause: Cause) -> Outcome<()> {
        let data = &mut self.facts[fact as usize];
        let (lefts, rights) = (std::mem::take(&mut data.lefts), std::mem::take(&mut data.rights));
        let (singles, queries) = (std::mem::take(&mut data.singles), std::mem::take(&mut data.queries));
        for (node, tuple) in rights {
            self.delete_right(node, tuple, cause);
        }
        for (node, tuple) in lefts {
            self.delete_left(node, tuple, cause);
        }
        for (terminal, tuple) in singles {
            self.cancel(terminal, tuple);
        }
        for node in queries {
            self.touch_query(node);
        }
        Ok(())
    }

    fn touch_query(&mut self, node: NodeId) {
        self.nodes[node as usize].changed = true;
        self.notify(node);
    }

    /// Queues the rules of a node whose paths have all they need.
    pub(super) fn notify(&mut self, node: NodeId) {
        let network = self.network;
        for path in &network.nodes[node as usize].paths {
            self.notify_path(*path, false);
        }
    }

    /// Deletions are worked off even if a path is no longer complete.
    fn notify_always(&mut self, node: NodeId) {
        let network = self.network;
        for path in &network.nodes[node as usize].paths {
            self.notify_path(*path, true);
        }
    }

    fn notify_path(&mut self, path: u32, always: bool) {
        let network = self.network;
        let data = &network.paths[path as usize];
        match data.terminal {
            Some(terminal) => {
                if !self.agenda.is_waiting(terminal) && (always || self.is_linked(path)) {
                    self.agenda.queue(terminal);
                }
            }
            // A subnetwork wakes the rules of the node it feeds.
            None => {
                if let Some(node) = data.target {
                    for outer in &network.nodes[node as usize].paths {
                        self.notify_path(*outer, always);
                    }
                }
            }
        }
    }

    /// Whether every node that gates a path holds facts.
    pub(super) fn is_linked(&self, path: u32) -> bool {
        self.network.paths[path as usize].gates.iter().all(|node| {
            let memory = &self.nodes[*node as usize];
            match self.network.nodes[*node as usize].kind {
                NodeKind::Not { .. } => !memory.closed,
                _ => memory.count > 0,
            }
        })
    }

    /// Whether a tuple waits to be deleted or has been.
    pub(super) fn is_going(&self, tuple: TupleId) -> bool {
        self.tuples[tuple].staged == Staged::Delete
    }
}

/// Where an updated fact was before; a new one was nowhere.
#[derive(Default)]
struct Before {
    lefts: Vec<(NodeId, TupleId)>,
    rights: Vec<(NodeId, TupleId)>,
    singles: Vec<(u32, TupleId)>,
    is_update: bool,
    mask: Mask,
}

impl Before {
    fn take_left(&mut self, node: NodeId) -> Option<TupleId> {
        let at = self.lefts.iter().position(|(held, _)| *held == node)?;
        Some(self.lefts.remove(at).1)
    }

    fn take_right(&mut self, node: NodeId) -> Option<TupleId> {
        let at = self.rights.iter().position(|(held, _)| *held == node)?;
        Some(self.rights.remove(at).1)
    }
}
