//! `not` and `exists`.
//!
//! A left tuple that some right tuple decides is kept with that right tuple, its blocker; the others wait
//! in the node's left memory.

use super::Session;
use super::evaluate::{NO_SLOT, Results};
use super::tuple::{NONE, Sets, Staged, TupleId, remove};
use crate::machine::Outcome;
use crate::network::{Call, NodeId};

impl Session<'_> {
    /// `not P` or `exists P` over one pattern.
    pub(super) fn existential(
        &mut self,
        node: NodeId,
        test: Option<&Call>,
        negated: bool,
        left: Sets,
        right: Sets,
        out: &mut Results,
    ) -> Outcome<()> {
        for l in left.delete.iter().rev() {
            self.leave_left(node, *l);
            self.unblock(*l);
            for child in self.tuples[*l].children.clone() {
                self.delete_child(child, out);
            }
        }
        let updated: Vec<TupleId> = left.update.iter().rev().copied().filter(|l| self.tuples[*l].in_memory).collect();
        for l in &updated {
            remove(&mut self.nodes[node as usize].left, *l);
        }
        self.nodes[node as usize].left.extend(updated);
        let reconsidered = self.reorder_deciders(node, &right);
        for r in right.insert.iter().rev() {
            self.enter_right_memory(node, *r);
            self.decide_free(node, test, negated, *r, out)?;
        }
        if negated && test.is_none() && !self.nodes[node as usize].right.is_empty() && !right.insert.is_empty() {
            self.nodes[node as usize].closed = true;
        }
        for (r, held) in reconsidered {
            self.decide_free(node, test, negated, r, out)?;
            for l in held {
                self.reconsider(node, test, negated, l, out)?;
            }
            self.tuples[r].staged = Staged::No;
        }
        for r in right.delete.iter().rev() {
            self.leave_right(node, *r);
            let held = std::mem::take(&mut self.tuples[*r].rare().blocked);
            for l in held.into_iter().rev() {
                self.tuples[l].blocker = NONE;
                if self.tuples[l].staged != Staged::Update {
                    self.reconsider(node, test, negated, l, out)?;
                }
            }
        }
        for l in left.update.iter().rev() {
            self.existential_update(node, test, negated, *l, out)?;
        }
        for l in left.insert.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            match self.find_blocker(node, test, *l)? {
                Some(r) => {
                    self.block(*l, r);
                    if !negated {
                        let child = self.insert_child(NO_SLOT, *l, NONE, out);
                        let cause = self.tuples[r].cause;
                        self.refresh(child, cause);
                    }
                }
                None => {
                    self.enter_left_memory(node, *l);
                    if negated {
                        self.insert_child(NO_SLOT, *l, NONE, out);
                    }
                }
            }
        }
        Ok(())
    }

    /// Updated right tuples go to the end; the lefts they decide are looked at again.
    fn reorder_deciders(&mut self, node: NodeId, right: &Sets) -> Vec<(TupleId, Vec<TupleId>)> {
        let mut reconsidered = Vec::new();
        for r in right.update.iter().rev() {
            if !self.tuples[*r].in_memory {
                continue;
            }
            let memory = &mut self.nodes[node as usize].right;
            remove(memory, *r);
            memory.push(*r);
            let mut held = std::mem::take(&mut self.tuples[*r].rare().blocked);
            held.reverse();
            for l in &held {
                self.tuples[*l].blocker = NONE;
            }
            reconsidered.push((*r, held));
        }
        reconsidered
    }

    fn find_blocker(&mut self, node: NodeId, test: Option<&Call>, l: TupleId) -> Outcome<Option<TupleId>> {
        for at in 0..self.nodes[node as usize].right.len() {
            let r = self.nodes[node as usize].right[at];
            let value = self.tuples[r].value;
            if !self.is_going(r) && self.holds(test, l, Some(value))? {
                return Ok(Some(r));
            }
        }
        Ok(None)
    }

    fn block(&mut self, l: TupleId, r: TupleId) {
        self.tuples[l].blocker = r;
        self.tuples[r].rare().blocked.push(l);
    }

    fn unblock(&mut self, l: TupleId) {
        let r = std::mem::replace(&mut self.tuples[l].blocker, NONE);
        if r != NONE {
            remove(&mut self.tuples[r].rare().blocked, l);
        }
    }

    /// A right tuple decides those lefts that none decided before.
    fn decide_free(
        &mut self,
        node: NodeId,
        test: Option<&Call>,
        negated: bool,
        r: TupleId,
        out: &mut Results,
    ) -> Outcome<()> {
        for l in self.nodes[node as usize].left.clone() {
            let value = self.tuples[r].value;
            if self.tuples[l].staged == Staged::Update || !self.holds(test, l, Some(value))? {
                continue;
            }
            self.block(l, r);
            self.tuples[l].in_memory = false;
            remove(&mut self.nodes[node as usize].left, l);
            if negated {
                for child in self.tuples[l].children.clone() {
                    self.delete_child(child, out);
                }
            } else {
                let child = self.insert_child(NO_SLOT, l, NONE, out);
                let cause = self.tuples[r].cause;
                self.refresh(child, cause);
            }
        }
        Ok(())
    }

    /// A left whose blocker may be gone looks for another.
    fn reconsider(
        &mut self,
        node: NodeId,
        test: Option<&Call>,
        negated: bool,
        l: TupleId,
        out: &mut Results,
    ) -> Outcome<()> {
        if self.tuples[l].staged == Staged::Update {
            return Ok(());
        }
        if let Some(r) = self.find_blocker(node, test, l)? {
            self.block(l, r);
            return Ok(());
        }
        self.enter_left_memory(node, l);
        if negated {
            self.insert_child(NO_SLOT, l, NONE, out);
        } else {
            for child in self.tuples[l].children.clone() {
                self.delete_child(child, out);
            }
        }
        Ok(())
    }

    fn existential_update(
        &mut self,
        node: NodeId,
        test: Option<&Call>,
        negated: bool,
        l: TupleId,
        out: &mut Results,
    ) -> Outcome<()> {
        self.tuples[l].staged = Staged::No;
        let cause = self.tuples[l].cause;
        let blocker = self.tuples[l].blocker;
        let mut still = false;
        if blocker == NONE {
            self.leave_left(node, l);
        } else {
            let value = self.tuples[blocker].value;
            still = self.holds(test, l, Some(value))?;
            if !still {
                self.unblock(l);
            }
        }
        if !still {
            if let Some(r) = self.find_blocker(node, test, l)? {
                self.block(l, r);
                still = true;
            }
        }
        let child = self.tuples[l].children.first().copied();
        if !still {
            self.enter_left_memory(node, l);
        }
        // `not` propagates the undecided, `exists` the decided.
        match (still != negated, child) {
            (true, Some(child)) => {
                self.refresh(child, cause);
                self.update_child(child, out);
            }
            (true, None) => {
                self.insert_child(NO_SLOT, l, NONE, out);
            }
            (false, Some(child)) => self.delete_child(child, out),
            (false, None) => {}
        }
        Ok(())
    }

    /// `not (…)` and `exists (…)` over a group: the right tuples extend the left one they belong to.
    pub(super) fn existential_group(
        &mut self,
        node: NodeId,
        negated: bool,
        left: Sets,
        right: Sets,
        out: &mut Results,
    ) {
        for l in left.delete.iter().rev() {
            self.leave_left(node, *l);
            for child in self.tuples[*l].children.clone() {
                self.delete_child(child, out);
            }
        }
        for r in right.insert.iter().rev() {
            self.tuples[*r].staged = Staged::No;
            let l = self.group_start(node, *r);
            self.tuples[l].rare().matches.push(*r);
            if self.tuples[l].rare().matches.len() > 1 {
                continue;
            }
            if negated {
                self.delete_group_child(l, out);
            } else if self.tuples[l].in_memory {
                self.insert_group_child(l, out);
            }
        }
        for l in left.insert.iter().rev() {
            self.enter_left_memory(node, *l);
            let some = !self.tuples[*l].rare().matches.is_empty();
            if some != negated {
                self.insert_group_child(*l, out);
            }
        }
        for r in right.update.iter().rev() {
            self.tuples[*r].staged = Staged::No;
        }
        for r in right.delete.iter().rev() {
            self.tuples[*r].staged = Staged::No;
            let l = self.group_start(node, *r);
            if !remove(&mut self.tuples[l].rare().matches, *r) || !self.tuples[l].rare().matches.is_empty() {
                continue;
            }
            if !self.tuples[l].in_memory {
                continue;
            }
            if negated {
                self.insert_group_child(l, out);
            } else {
                self.delete_group_child(l, out);
            }
        }
        for l in left.update.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            let child = self.tuples[*l].children.first().copied();
            if let Some(child) = child {
                if self.tuples[child].staged == Staged::No {
                    let cause = self.tuples[*l].cause;
                    self.refresh(child, cause);
                    self.update_child(child, out);
                }
            }
        }
    }

    /// The match of the main path that a subnetwork's match extends.
    ///
    /// The subnetwork and the main path are sibling segments, so each match stands in both: as itself in
    /// the first, as a peer in the others.
    pub(super) fn group_start(&self, node: NodeId, right: TupleId) -> TupleId {
        let Some(group) = self.network.groups_of.get(&node) else {
            return right;
        };
        let mut at = right;
        for _ in 0..group.depth {
            at = self.tuples[at].left;
        }
        let original = match self.tuples[at].original {
            NONE => at,
            original => original,
        };
        match group.child {
            0 => original,
            index => self.tuples[original].peers.get(index - 1).copied().unwrap_or(original),
        }
    }

    fn insert_group_child(&mut self, l: TupleId, out: &mut Results) {
        self.insert_child(NO_SLOT, l, NONE, out);
    }

    fn delete_group_child(&mut self, l: TupleId, out: &mut Results) {
        for child in self.tuples[l].children.clone() {
            self.delete_child(child, out);
        }
    }
}
