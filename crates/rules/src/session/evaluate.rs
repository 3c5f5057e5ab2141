//! Evaluation of a rule's path: nodes in order, each handing its results to the next.

use super::Session;
use super::tuple::{Cause, NONE, Sets, Staged, TupleId, remove};
use crate::heap::Value;
use crate::machine::Outcome;
use crate::network::{Call, Conditions, NodeId, NodeKind, Right};

impl Session<'_> {
    /// Evaluates what changed on the path of a terminal.
    pub(super) fn evaluate(&mut self, terminal: u32) -> Outcome<()> {
        let network = self.network;
        let Some(path) = network.terminals[terminal as usize].path else {
            return Ok(());
        };
        let data = &network.paths[path as usize];
        if let Some(conditions) = &data.conditions {
            if self.staged[conditions.segment as usize].is_new() {
                return self.test_matches(conditions, terminal);
            }
        }
        self.run_path(path, data.first.0, data.first.1)
    }

    /// Evaluates conditions on new matches, and hands those that meet them to the terminal.
    fn test_matches(&mut self, conditions: &Conditions, terminal: u32) -> Outcome<()> {
        let mut matches = std::mem::take(&mut self.staged[conditions.segment as usize].insert);
        for test in &conditions.tests {
            // Last in, first out, like every node.
            matches.reverse();
            let mut kept = 0;
            for index in 0..matches.len() {
                let left = matches[index];
                self.tuples[left].staged = Staged::No;
                if self.holds(Some(test), left, None)? {
                    matches[kept] = self.child(NO_SLOT, left, NONE);
                    kept += 1;
                }
            }
            matches.truncate(kept);
        }
        self.end_new(terminal, &matches)?;
        // The set keeps its memory.
        matches.clear();
        self.staged[conditions.segment as usize].insert = matches;
        Ok(())
    }

    /// Runs a path from a node of one of its segments to its end.
    fn run_path(&mut self, path: u32, segment: usize, node: usize) -> Outcome<()> {
        // Paths run within paths, so each takes sets of its own, which keep their memory.
        let (mut sets, out) = (self.fresh_sets(), self.fresh_sets());
        let mut out = Results { sets: out, pending: None };
        let result = self.run_segments(path, segment, node, &mut sets, &mut out);
        self.recycle(sets);
        self.recycle(out.sets);
        result
    }

    /// The same; `sets` and `out` are empty, and what they hold in the end is of no use.
    fn run_segments(
        &mut self,
        path: u32,
        first_segment: usize,
        first_node: usize,
        sets: &mut Sets,
        out: &mut Results,
    ) -> Outcome<()> {
        let network = self.network;
        let mut skipped = first_node;
        for segment in network.paths[path as usize].segments.iter().skip(first_segment) {
            let data = &network.segments[*segment as usize];
            std::mem::swap(sets, &mut self.staged[*segment as usize]);
            for (index, node) in data.nodes.iter().enumerate() {
                if index < skipped {
                    continue;
                }
                let tip = index + 1 == data.nodes.len();
                match &network.nodes[*node as usize].kind {
                    NodeKind::Terminal { terminal } => return self.terminate(*terminal, sets),
                    NodeKind::RightInput { target } => {
                        self.hand_over(*target, sets);
                        return Ok(());
                    }
                    _ => {}
                }
                out.pending = tip.then(|| data.children.first().copied()).flatten();
                self.run_node(*node, sets, out)?;
                if tip {
                    self.hand_down(&data.children, std::mem::take(sets));
                }
            }
            skipped = 0;
        }
        Ok(())
    }

    /// Gives a segment's results to the segments behind it. The first takes them as they are, behind what
    /// waits there; each other one gets copies in reverse, in front.
    fn hand_down(&mut self, children: &[u32], sets: Sets) {
        for tuple in sets.delete.iter().rev() {
            for (index, sibling) in children.iter().enumerate().skip(1) {
                if let Some(peer) = self.tuples[*tuple].peers.get(index - 1).copied() {
                    self.staged[*sibling as usize].add_delete(&mut self.tuples, peer);
                }
            }
        }
        for tuple in sets.update.iter().rev() {
            self.hand_to_siblings(children, *tuple, true);
        }
        for tuple in sets.insert.iter().rev() {
            self.hand_to_siblings(children, *tuple, false);
        }
        if let Some(first) = children.first() {
            self.staged[*first as usize].add_all(sets);
        }
    }

    fn hand_to_siblings(&mut self, children: &[u32], tuple: TupleId, is_update: bool) {
        for (index, sibling) in children.iter().enumerate().skip(1) {
            let known = self.tuples[tuple].peers.get(index - 1).copied();
            let peer = known.unwrap_or_else(|| self.peer(tuple));
            self.tuples[peer].cause = self.tuples[tuple].cause;
            self.tuples[peer].value = self.tuples[tuple].value;
            let staged = &mut self.staged[*sibling as usize];
            if known.is_none() {
                staged.add_insert(&mut self.tuples, peer);
            } else if is_update {
                staged.add_update(&mut self.tuples, peer);
            } else {
                // The match came back: it is new to the sibling unless it never left.
                let was = self.tuples[peer].staged;
                staged.unstage(&mut self.tuples, peer);
                if was == Staged::Update || was == Staged::Delete {
                    staged.add_update(&mut self.tuples, peer);
                } else {
                    staged.add_insert(&mut self.tuples, peer);
                }
            }
        }
    }

    fn peer(&mut self, tuple: TupleId) -> TupleId {
        let peer = self.tuples.add();
        let (left, right, value, fact, slot) = {
            let data = &self.tuples[tuple];
            (data.left, data.right, data.value, data.fact, data.slot)
        };
        let data = &mut self.tuples[peer];
        data.left = left;
        data.right = right;
        data.value = value;
        data.fact = fact;
        data.slot = slot;
        data.original = tuple;
        self.tuples[tuple].peers.push(peer);
        peer
    }

    /// The end of a subnetwork: its results wait on the right of the node it feeds.
    fn hand_over(&mut self, target: NodeId, sets: &Sets) {
        let staged = &mut self.nodes[target as usize].staged_right;
        for tuple in sets.insert.iter().rev() {
            self.tuples[*tuple].staged = Staged::No;
            staged.add_insert(&mut self.tuples, *tuple);
        }
        for tuple in sets.delete.iter().rev() {
            self.tuples[*tuple].staged = Staged::No;
            staged.unstage(&mut self.tuples, *tuple);
            staged.add_delete(&mut self.tuples, *tuple);
        }
        for tuple in sets.update.iter().rev() {
            self.tuples[*tuple].staged = Staged::No;
            staged.add_update(&mut self.tuples, *tuple);
        }
    }

    /// Evaluates a node on what came from the left and waits on the right: `sets` holds what came, and then what
    /// it makes of it; `out` is empty before and after.
    fn run_node(&mut self, node: NodeId, sets: &mut Sets, out: &mut Results) -> Outcome<()> {
        let network = self.network;
        let kind = &network.nodes[node as usize].kind;
        if let NodeKind::Not { right: Right::Subnetwork, .. } | NodeKind::Exists { right: Right::Subnetwork, .. } = kind
        {
            self.run_subnetwork(node)?;
        }
        if let NodeKind::Accumulate(accumulate) = kind {
            if accumulate.right == Right::Subnetwork {
                self.run_subnetwork(node)?;
            }
        }
        let memory = &mut self.nodes[node as usize];
        if sets.is_empty() && memory.staged_right.is_empty() && !memory.changed {
            return Ok(());
        }
        if let NodeKind::Eval { test } = kind {
            self.eval(test, sets, out)?;
            std::mem::swap(sets, &mut out.sets);
            out.sets.clear();
            return Ok(());
        }
        let right = std::mem::take(&mut memory.staged_right);
        let left = std::mem::take(sets);
        match kind {
            NodeKind::Left | NodeKind::Eval { .. } | NodeKind::Terminal { .. } | NodeKind::RightInput { .. } => {
                *sets = left;
                return Ok(());
            }
            NodeKind::Join { test } => self.join(node, test.as_ref(), left, right, out)?,
            NodeKind::Not { test, right: Right::Facts } => {
                self.existential(node, test.as_ref(), true, left, right, out)?;
            }
            NodeKind::Exists { test, right: Right::Facts } => {
                self.existential(node, test.as_ref(), false, left, right, out)?;
            }
            NodeKind::Not { .. } => self.existential_group(node, true, left, right, out),
            NodeKind::Exists { .. } => self.existential_group(node, false, left, right, out),
            NodeKind::Accumulate(accumulate) => self.accumulate(node, accumulate, left, right, out)?,
            NodeKind::From(from) => self.from(node, from, left, out)?,
            NodeKind::Branch(arms) => self.branch(arms, left, out)?,
            NodeKind::Query(query) => self.query(node, query, left, out)?,
        }
        *sets = std::mem::take(&mut out.sets);
        Ok(())
    }

    /// Empty sets, from those that were used before if there are any.
    fn fresh_sets(&mut self) -> Sets {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps sets that are no longer needed for their memory.
    fn recycle(&mut self, mut sets: Sets) {
        sets.clear();
        self.spare.push(sets);
    }

    fn run_subnetwork(&mut self, node: NodeId) -> Outcome<()> {
        let network = self.network;
        match network.groups_of.get(&node) {
            Some(group) => self.run_path(group.path, group.segment, 0),
            None => Ok(()),
        }
    }

    /// A match that extends `left`, with a right tuple where there is one.
    pub(super) fn child(&mut self, node: NodeId, left: TupleId, right: TupleId) -> TupleId {
        let child = self.tuples.add();
        let (mut value, mut fact, mut cause) = (Value::Null, NONE, self.tuples[left].cause);
        if right != NONE {
            let data = &mut self.tuples[right];
            data.rare().right_children.push(child);
            (value, fact) = (data.value, data.fact);
            if data.cause.number > cause.number {
                cause = data.cause;
            }
        }
        let slot = self.network.nodes.get(node as usize).and_then(|node| node.slot);
        let data = &mut self.tuples[child];
        data.left = left;
        data.right = right;
        data.cause = cause;
        if let (Some(slot), true) = (slot, right != NONE) {
            data.slot = slot;
            data.value = value;
            data.fact = fact;
        }
        self.tuples[left].children.push(child);
        child
    }

    pub(super) fn insert_child(&mut self, node: NodeId, left: TupleId, right: TupleId, out: &mut Results) -> TupleId {
        let child = self.child(node, left, right);
        out.sets.add_insert(&mut self.tuples, child);
        child
    }

    /// Propagates an update of a match that is there already.
    pub(super) fn update_child(&mut self, child: TupleId, out: &mut Results) {
        match self.tuples[child].staged {
            Staged::Insert => {
                self.unstage(child, out);
                out.sets.add_insert(&mut self.tuples, child);
            }
            Staged::Update => {
                self.unstage(child, out);
                out.sets.add_update(&mut self.tuples, child);
            }
            _ => out.sets.add_update(&mut self.tuples, child),
        }
    }

    /// Removes a match and propagates that.
    pub(super) fn delete_child(&mut self, child: TupleId, out: &mut Results) {
        let (left, right) = (self.tuples[child].left, self.tuples[child].right);
        if left != NONE {
            remove(&mut self.tuples[left].children, child);
        }
        if right != NONE {
            remove(&mut self.tuples[right].rare().right_children, child);
        }
        self.tuples[child].dead = true;
        let was_new = self.tuples[child].staged == Staged::Insert;
        self.unstage(child, out);
        if !was_new || !self.tuples[child].peers.is_empty() {
            out.sets.add_delete(&mut self.tuples, child);
        }
    }

    fn unstage(&mut self, child: TupleId, out: &mut Results) {
        if !out.sets.unstage(&mut self.tuples, child) {
            if let Some(segment) = out.pending {
                self.staged[segment as usize].unstage(&mut self.tuples, child);
            }
        }
    }

    fn joined(&mut self, test: Option<&Call>, left: TupleId, right: TupleId) -> Outcome<bool> {
        let value = self.tuples[right].value;
        self.holds(test, left, Some(value))
    }

    fn join(&mut self, node: NodeId, test: Option<&Call>, left: Sets, right: Sets, out: &mut Results) -> Outcome<()> {
        for r in right.delete.iter().rev() {
            self.leave_right(node, *r);
            for child in self.tuples[*r].rare().right_children.clone() {
                self.delete_child(child, out);
            }
        }
        for l in left.delete.iter().rev() {
            self.leave_left(node, *l);
            for child in self.tuples[*l].children.clone() {
                self.delete_child(child, out);
            }
        }
        self.reorder(node, &left, &right);
        for r in right.update.iter().rev() {
            self.join_right_update(node, test, *r, out)?;
            self.tuples[*r].staged = Staged::No;
        }
        for l in left.update.iter().rev() {
            self.join_left_update(node, test, *l, out)?;
            self.tuples[*l].staged = Staged::No;
        }
        for r in right.insert.iter().rev() {
            self.enter_right_memory(node, *r);
            for at in 0..self.nodes[node as usize].left.len() {
                let l = self.nodes[node as usize].left[at];
                if self.tuples[l].staged != Staged::Update && self.joined(test, l, *r)? {
                    self.insert_child(node, l, *r, out);
                }
            }
        }
        for l in left.insert.iter().rev() {
            self.enter_left_memory(node, *l);
            for at in 0..self.nodes[node as usize].right.len() {
                let r = self.nodes[node as usize].right[at];
                if self.joined(test, *l, r)? {
                    self.insert_child(node, *l, r, out);
                }
            }
        }
        Ok(())
    }

    pub(super) fn enter_left_memory(&mut self, node: NodeId, tuple: TupleId) {
        let data = &mut self.tuples[tuple];
        data.staged = Staged::No;
        data.in_memory = true;
        self.nodes[node as usize].left.push(tuple);
    }

    pub(super) fn enter_right_memory(&mut self, node: NodeId, tuple: TupleId) {
        let data = &mut self.tuples[tuple];
        data.staged = Staged::No;
        data.in_memory = true;
        self.nodes[node as usize].right.push(tuple);
    }

    pub(super) fn leave_left(&mut self, node: NodeId, tuple: TupleId) {
        if std::mem::take(&mut self.tuples[tuple].in_memory) {
            remove(&mut self.nodes[node as usize].left, tuple);
        }
        self.tuples[tuple].staged = Staged::No;
    }

    pub(super) fn leave_right(&mut self, node: NodeId, tuple: TupleId) {
        if std::mem::take(&mut self.tuples[tuple].in_memory) {
            remove(&mut self.nodes[node as usize].right, tuple);
        }
        self.tuples[tuple].staged = Staged::No;
    }

    /// Updated tuples move to the end of their memories, and their children with them.
    pub(super) fn reorder(&mut self, node: NodeId, left: &Sets, right: &Sets) {
        for r in right.update.iter().rev() {
            if self.tuples[*r].in_memory {
                let memory = &mut self.nodes[node as usize].right;
                remove(memory, *r);
                memory.push(*r);
                for child in self.tuples[*r].rare().right_children.clone() {
                    self.move_in_left_children(child);
                }
            }
        }
        let updated: Vec<TupleId> = left.update.iter().rev().copied().filter(|l| self.tuples[*l].in_memory).collect();
        for l in &updated {
            remove(&mut self.nodes[node as usize].left, *l);
        }
        for l in updated {
            self.nodes[node as usize].left.push(l);
            for child in self.tuples[l].children.clone() {
                self.move_in_right_children(child);
            }
        }
    }

    fn move_in_right_children(&mut self, child: TupleId) {
        let parent = self.tuples[child].right;
        if parent != NONE {
            let children = &mut self.tuples[parent].rare().right_children;
            remove(children, child);
            children.push(child);
        }
    }

    fn join_right_update(&mut self, node: NodeId, test: Option<&Call>, r: TupleId, out: &mut Results) -> Outcome<()> {
        let old = std::mem::take(&mut self.tuples[r].rare().right_children);
        let cause = self.tuples[r].cause;
        let lefts = self.nodes[node as usize].left.clone();
        let mut kept = Vec::new();
        for l in lefts {
            if self.tuples[l].staged == Staged::Update {
                continue;
            }
            let known = old.iter().copied().find(|child| self.tuples[*child].left == l);
            match (self.joined(test, l, r)?, known) {
                (true, Some(child)) => {
                    self.refresh(child, cause);
                    self.update_child(child, out);
                    self.move_in_left_children(child);
                    kept.push(child);
                }
                (true, None) => {
                    let child = self.insert_child(node, l, r, out);
                    self.tuples[r].rare().right_children.pop();
                    kept.push(child);
                }
                (false, Some(child)) => self.delete_child(child, out),
                (false, None) => {}
            }
        }
        // Matches with lefts that are themselves updated are looked at from there.
        for child in old {
            if !kept.contains(&child) && !self.tuples[child].dead {
                kept.push(child);
            }
        }
        self.tuples[r].rare().right_children = kept;
        Ok(())
    }

    fn join_left_update(&mut self, node: NodeId, test: Option<&Call>, l: TupleId, out: &mut Results) -> Outcome<()> {
        let old = std::mem::take(&mut self.tuples[l].children);
        let cause = self.tuples[l].cause;
        let rights = self.nodes[node as usize].right.clone();
        let mut kept = Vec::new();
        for r in rights {
            let known = old.iter().copied().find(|child| self.tuples[*child].right == r);
            match (self.joined(test, l, r)?, known) {
                (true, Some(child)) => {
                    self.refresh(child, cause);
                    self.update_child(child, out);
                    self.move_in_right_children(child);
                    kept.push(child);
                }
                (true, None) => {
                    let child = self.insert_child(node, l, r, out);
                    self.tuples[l].children.pop();
                    kept.push(child);
                }
                (false, Some(child)) => self.delete_child(child, out),
                (false, None) => {}
            }
        }
        for child in old {
            if !kept.contains(&child) && !self.tuples[child].dead {
                self.delete_child(child, out);
            }
        }
        self.tuples[l].children = kept;
        Ok(())
    }

    pub(super) fn refresh(&mut self, child: TupleId, cause: Cause) {
        if cause.number > self.tuples[child].cause.number {
            self.tuples[child].cause = cause;
        }
    }

    fn eval(&mut self, test: &Call, left: &Sets, out: &mut Results) -> Outcome<()> {
        for l in left.delete.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            for child in self.tuples[*l].children.clone() {
                self.delete_child(child, out);
            }
        }
        for l in left.update.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            let child = self.tuples[*l].children.first().copied();
            match (self.holds(Some(test), *l, None)?, child) {
                (true, Some(child)) => {
                    let cause = self.tuples[*l].cause;
                    self.refresh(child, cause);
                    self.update_child(child, out);
                }
                (true, None) => {
                    self.insert_child(NO_SLOT, *l, NONE, out);
                }
                (false, Some(child)) => self.delete_child(child, out),
                (false, None) => {}
            }
        }
        for l in left.insert.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            if self.holds(Some(test), *l, None)? {
                self.insert_child(NO_SLOT, *l, NONE, out);
            }
        }
        Ok(())
    }

    fn branch(&mut self, arms: &[crate::network::BranchArm], left: Sets, out: &mut Results) -> Outcome<()> {
        for l in left.delete.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            self.leave_branch(*l, out);
        }
        for l in left.update.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            self.leave_branch(*l, out);
            self.enter_branch(arms, *l, out)?;
        }
        for l in left.insert.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            self.enter_branch(arms, *l, out)?;
        }
        Ok(())
    }

    /// Named matches are kept among `matches`, the main one among the children.
    fn leave_branch(&mut self, l: TupleId, out: &mut Results) {
        for named in std::mem::take(&mut self.tuples[l].rare().matches) {
            let terminal = self.tuples[named].terminal;
            self.cancel(terminal, named);
        }
        for child in self.tuples[l].children.clone() {
            self.delete_child(child, out);
        }
    }

    fn enter_branch(&mut self, arms: &[crate::network::BranchArm], l: TupleId, out: &mut Results) -> Outcome<()> {
        let this = self.nearest_value(l);
        for arm in arms {
            if let Some(test) = &arm.test {
                if !self.holds(Some(test), l, Some(this))? {
                    continue;
                }
            }
            let named = self.tuples.add();
            self.tuples[named].left = l;
            self.tuples[named].cause = self.tuples[l].cause;
            self.tuples[named].terminal = arm.terminal;
            self.tuples[l].rare().matches.push(named);
            self.insert_match(arm.terminal, named)?;
            if arm.breaks {
                return Ok(());
            }
            break;
        }
        self.insert_child(NO_SLOT, l, NONE, out);
        Ok(())
    }

    /// The fact of the last pattern in a match.
    fn nearest_value(&self, mut tuple: TupleId) -> Value {
        while tuple != NONE {
            let data = &self.tuples[tuple];
            if data.slot != u16::MAX {
                return data.value;
            }
            tuple = data.left;
        }
        Value::Null
    }

    fn from(&mut self, node: NodeId, from: &crate::network::FromNode, left: Sets, out: &mut Results) -> Outcome<()> {
        for l in left.delete.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            for child in self.tuples[*l].children.clone() {
                self.delete_child(child, out);
            }
        }
        for l in left.update.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            let cause = self.tuples[*l].cause;
            let mut old = self.tuples[*l].children.clone();
            for value in self.drawn(from, *l)? {
                let known = old.iter().position(|child| self.machine.heap.equal(self.tuples[*child].value, value));
                match known {
                    Some(at) => {
                        let child = old.remove(at);
                        self.refresh(child, cause);
                        self.update_child(child, out);
                    }
                    None => self.insert_drawn(node, *l, value, out),
                }
            }
            for child in old {
                self.delete_child(child, out);
            }
        }
        for l in left.insert.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            for value in self.drawn(from, *l)? {
                self.insert_drawn(node, *l, value, out);
            }
        }
        Ok(())
    }

    pub(super) fn insert_drawn(&mut self, node: NodeId, l: TupleId, value: Value, out: &mut Results) {
        let child = self.child(node, l, NONE);
        self.tuples[child].value = value;
        self.tuples[child].slot = self.network.nodes[node as usize].slot.unwrap_or(u16::MAX);
        out.sets.add_insert(&mut self.tuples, child);
    }

    /// What a `from` yields for a match, of the right type and past its constraints.
    fn drawn(&mut self, from: &crate::network::FromNode, l: TupleId) -> Outcome<Vec<Value>> {
        let source = self.call(&from.source, l, None)?;
        let all = match self.machine.heap.elements(source) {
            Some(all) => all,
            None if source.is_null() => Vec::new(),
            None => vec![source],
        };
        let mut kept = Vec::new();
        for value in all {
            if !value.is_null()
                && self.machine.is_instance(value, from.class)
                && self.holds(from.test.as_ref(), l, Some(value))?
            {
                kept.push(value);
            }
        }
        Ok(kept)
    }
}

/// Nodes without a fact of their own pass no slot on.
pub(super) const NO_SLOT: NodeId = NodeId::MAX;

/// What a node hands on.
pub(super) struct Results {
    pub(super) sets: Sets,
    /// The first segment behind a tip: what still waits there may be taken back.
    pub(super) pending: Option<u32>,
}
