//! The fire loop, matches at their terminals, and what consequences do.

use super::facts::{Belief, Entry};
use super::tuple::{Cause, NONE, Sets, TupleId};
use super::{FireError, Session, TraceEntry};
use crate::heap::Value;
use crate::machine::{Action, Outcome, Throw};
use crate::network::Salience;

impl Session<'_> {
    /// Fires until nothing is left to fire.
    ///
    /// # Errors
    /// See [`FireError`]. What fired before the error has happened: globals keep its effects.
    pub fn fire(&mut self) -> Result<usize, FireError> {
        let limit = self.firing_limit;
        let fired = self.fire_up_to(limit)?;
        let more = !self.queue.is_empty()
            || self.agenda.items.iter().any(|item| item.waiting > 0 || item.dirty && item.queued);
        if fired >= limit && more {
            let rule = self.fired.last().map(|rule| self.network.rules[*rule as usize].name.clone());
            return Err(FireError::Firings { limit, rule: rule.unwrap_or_default() });
        }
        Ok(fired)
    }

    /// Fires at most `limit` times.
    ///
    /// # Errors
    /// As [`Session::fire`], except that reaching the limit is none.
    pub fn fire_up_to(&mut self, limit: usize) -> Result<usize, FireError> {
        self.start();
        self.firing = true;
        let mut count = 0;
        let result = self.fire_loop(limit, &mut count);
        self.firing = false;
        match result {
            Ok(()) => Ok(count),
            Err((thrown, rule)) => Err(self.error(thrown, rule)),
        }
    }

    fn fire_loop(&mut self, limit: usize, count: &mut usize) -> Result<(), (Throw, Option<u32>)> {
        let outside = |thrown| (thrown, None);
        while self.firing && *count < limit {
            self.flush().map_err(outside)?;
            if !self.firing {
                break;
            }
            self.evaluate_eager().map_err(outside)?;
            let recency = self.recency;
            let Some(group) = self.agenda.next_focus(recency) else {
                if self.queue.is_empty() {
                    break;
                }
                continue;
            };
            if let Some(item) = self.agenda.first(group) {
                self.fire_item(item, limit, count)?;
            }
        }
        let main = &mut self.agenda.groups[0];
        if self.agenda.focus.is_empty() {
            main.active = false;
        }
        Ok(())
    }

    /// Evaluates rules with a dynamic salience or auto-focus, which cannot wait for their turn.
    #[inline(always)]
    fn evaluate_eager(&mut self) -> Outcome<()> {
        if self.agenda.eager.is_empty() { Ok(()) } else { self.evaluate_all_eager() }
    }

    #[inline(never)]
    fn evaluate_all_eager(&mut self) -> Outcome<()> {
        while let Some(item) = self.agenda.eager.pop_front() {
            self.agenda.items[item as usize].dirty = false;
            self.evaluate(item)?;
        }
        Ok(())
    }

    fn evaluate_if_dirty(&mut self, item: u32) -> Outcome<()> {
        if std::mem::take(&mut self.agenda.items[item as usize].dirty) {
            self.evaluate(item)?;
        }
        Ok(())
    }

    fn fire_item(&mut self, item: u32, limit: usize, count: &mut usize) -> Result<(), (Throw, Option<u32>)> {
        let outside = |thrown| (thrown, None);
        self.evaluate_if_dirty(item).map_err(outside)?;
        while let Some(tuple) = self.agenda.items[item as usize].pop(&mut self.tuples) {
            let mut terminal = item;
            if !self.agenda.items[item as usize].plain {
                self.dynamic_salience_changed(item);
                terminal = self.terminal_of(item, tuple);
                if !self.is_effective(self.network.terminals[terminal as usize].rule) {
                    continue;
                }
            }
            let rule = self.network.terminals[terminal as usize].rule;
            self.fire_match(terminal, tuple).map_err(|thrown| (thrown, Some(rule)))?;
            *count += 1;
            self.flush().map_err(outside)?;
            if !self.firing || *count >= limit {
                break;
            }
            self.evaluate_eager().map_err(outside)?;
            if self.agenda.gives_way(item) {
                break;
            }
            self.evaluate_if_dirty(item).map_err(outside)?;
        }
        let data = &self.agenda.items[item as usize];
        if !data.dirty && data.waiting == 0 {
            self.agenda.dequeue(item);
        }
        Ok(())
    }

    /// The consequence of a match: named ones of branches share the main one's item.
    fn terminal_of(&self, item: u32, tuple: TupleId) -> u32 {
        match self.tuples[tuple].terminal {
            NONE => item,
            terminal => terminal,
        }
    }

    fn is_effective(&self, rule: u32) -> bool {
        let rule = &self.network.rules[rule as usize];
        if rule.effective.is_none() && rule.expires.is_none() {
            return rule.enabled;
        }
        let now = jiff::Timestamp::now().as_millisecond();
        rule.enabled && rule.effective.is_none_or(|from| from <= now) && rule.expires.is_none_or(|to| now < to)
    }

    fn dynamic_salience_changed(&mut self, item: u32) {
        let data = &self.agenda.items[item as usize];
        if !data.dynamic {
            return;
        }
        let best = data.best(&self.tuples);
        if data.waiting > 0 && best != data.salience {
            self.agenda.dequeue(item);
            self.agenda.items[item as usize].salience = best;
            self.agenda.enqueue(item);
        }
    }

    fn fire_match(&mut self, terminal: u32, tuple: TupleId) -> Outcome<()> {
        let network = self.network;
        let data = &network.terminals[terminal as usize];
        let rule = &network.rules[data.rule as usize];
        if let Some(group) = rule.activation_group {
            self.clear_activation_group(group, tuple);
        }
        self.fired.push(data.rule);
        self.origin = data.rule + 1;
        self.current = tuple;
        let before = self.trace.is_some().then(|| self.globals_as_text());
        let earlier = self.tuples[tuple].take_beliefs();
        let result = self.call(&data.consequence, tuple, None);
        if let Some(before) = before {
            let actions = self.machine.actions.clone();
            self.record(data.rule, tuple, &actions, &before);
        }
        if result.is_err() {
            self.machine.actions.clear();
        }
        result?;
        if !self.machine.actions.is_empty() {
            self.act_all(tuple);
        }
        // Logical facts of an earlier firing of this match that it did not repeat.
        for belief in earlier {
            if !self.tuples[tuple].rare().beliefs.contains(&belief) {
                self.withdraw(belief, tuple);
            }
        }
        self.origin = 0;
        self.current = NONE;
        Ok(())
    }

    /// Does what the consequence of a match asked for.
    fn act_all(&mut self, tuple: TupleId) {
        let mut actions = std::mem::take(&mut self.machine.actions);
        for action in &actions {
            self.act(*action, tuple);
        }
        actions.clear();
        self.machine.actions = actions;
    }

    fn act(&mut self, action: Action, tuple: TupleId) {
        match action {
            Action::Insert { fact, logical: false } => {
                self.replace_belief(fact);
                self.insert_fact(fact);
            }
            Action::Insert { fact, logical: true } => self.insert_logical(fact, tuple),
            Action::Update { fact, mask } => {
                if let Some(fact) = self.fact_of(fact, tuple) {
                    let mask = self.machine.program.masks[usize::from(mask)];
                    self.update_fact(fact, mask);
                }
            }
            Action::Delete { fact } => {
                if let Some(fact) = self.fact_of(fact, tuple) {
                    self.delete_fact(fact);
                }
            }
            Action::Halt => self.queue.push_back(Entry::Halt),
            Action::Focus(name) => {
                let name = self.machine.heap.to_text(name);
                if let Some(group) = self.network.groups.iter().position(|group| *group == name) {
                    self.queue.push_back(Entry::Focus(group as u16));
                }
            }
        }
    }

    fn belief_of(&self, value: Value) -> Option<u32> {
        let found = self
            .beliefs
            .iter()
            .position(|belief| !belief.supports.is_empty() && self.machine.heap.equal(belief.value, value));
        found.map(|at| at as u32)
    }

    fn insert_logical(&mut self, value: Value, tuple: TupleId) {
        if let Some(belief) = self.belief_of(value) {
            if !self.beliefs[belief as usize].supports.contains(&tuple) {
                self.beliefs[belief as usize].supports.push(tuple);
            }
            self.tuples[tuple].rare().beliefs.push(belief);
            return;
        }
        let stated =
            self.facts[..self.live_facts].iter().any(|fact| fact.alive && self.machine.heap.equal(fact.value, value));
        let fact = if stated { NONE } else { self.insert_fact(value) };
        self.beliefs.push(Belief { value, fact, supports: vec![tuple] });
        self.tuples[tuple].rare().beliefs.push((self.beliefs.len() - 1) as u32);
    }

    /// A stated fact takes the place of an equal logical one.
    fn replace_belief(&mut self, value: Value) {
        if let Some(belief) = self.belief_of(value) {
            let fact = std::mem::replace(&mut self.beliefs[belief as usize].fact, NONE);
            if fact != NONE {
                self.delete_fact(fact);
            }
        }
    }

    fn withdraw(&mut self, belief: u32, tuple: TupleId) {
        let data = &mut self.beliefs[belief as usize];
        super::tuple::remove(&mut data.supports, tuple);
        if data.supports.is_empty() && data.fact != NONE {
            let fact = std::mem::replace(&mut data.fact, NONE);
            self.delete_fact(fact);
        }
    }

    fn clear_activation_group(&mut self, group: u16, fired: TupleId) {
        let (recency, members) = &mut self.activation[usize::from(group)];
        *recency = self.recency;
        for (item, tuple) in std::mem::take(members) {
            if tuple != fired && self.tuples[tuple].queued {
                self.remove_from_item(item, tuple);
            }
        }
    }

    fn remove_from_item(&mut self, item: u32, tuple: TupleId) {
        self.agenda.items[item as usize].remove(&mut self.tuples, tuple);
        self.dynamic_salience_changed(item);
    }

    /// Hands the results of a path to its consequence.
    pub(super) fn terminate(&mut self, terminal: u32, sets: &Sets) -> Outcome<()> {
        for tuple in sets.delete.iter().rev() {
            self.tuples[*tuple].staged = super::tuple::Staged::No;
            self.cancel(terminal, *tuple);
        }
        if !sets.update.is_empty() {
            self.take_focus(terminal);
        }
        for tuple in sets.update.iter().rev() {
            self.tuples[*tuple].staged = super::tuple::Staged::No;
            self.update_match(terminal, *tuple)?;
        }
        self.end_new(terminal, &sets.insert)
    }

    /// Hands new matches to their consequence.
    pub(super) fn end_new(&mut self, terminal: u32, matches: &[TupleId]) -> Outcome<()> {
        if matches.is_empty() {
            return Ok(());
        }
        self.take_focus(terminal);
        for tuple in matches.iter().rev() {
            self.tuples[*tuple].staged = super::tuple::Staged::No;
            self.insert_match(terminal, *tuple)?;
        }
        Ok(())
    }

    /// Gives the focus to the group of a rule that takes it by itself.
    pub(super) fn take_focus(&mut self, terminal: u32) {
        let rule = &self.network.rules[self.network.terminals[terminal as usize].rule as usize];
        if rule.auto_focus && !self.agenda.groups[usize::from(rule.group)].active {
            let recency = self.recency;
            self.agenda.set_focus(rule.group, recency);
        }
    }

    /// The latest change among a match's facts.
    fn latest_cause(&self, mut tuple: TupleId) -> Cause {
        let mut latest = Cause::default();
        while tuple != NONE {
            let cause = self.tuples[tuple].cause;
            if cause.number > latest.number {
                latest = cause;
            }
            tuple = self.tuples[tuple].left;
        }
        latest
    }

    /// Whether no-loop or lock-on-active keeps a match from firing.
    fn is_blocked(&self, terminal: u32, tuple: TupleId) -> bool {
        let data = &self.network.terminals[terminal as usize];
        let rule = &self.network.rules[data.rule as usize];
        if !rule.no_loop && !rule.lock_on_active {
            return false;
        }
        let cause = self.latest_cause(tuple);
        if rule.no_loop && cause.origin == data.rule + 1 {
            return true;
        }
        let group = &self.agenda.groups[usize::from(rule.group)];
        rule.lock_on_active && group.active && group.activated_at < cause.recency
    }

    #[inline]
    pub(super) fn insert_match(&mut self, terminal: u32, tuple: TupleId) -> Outcome<()> {
        let item = &mut self.agenda.items[terminal as usize];
        if !item.plain {
            return self.insert_special_match(terminal, tuple);
        }
        item.push(&mut self.tuples, tuple);
        self.agenda.enqueue(terminal);
        Ok(())
    }

    fn insert_special_match(&mut self, terminal: u32, tuple: TupleId) -> Outcome<()> {
        let network = self.network;
        let data = &network.terminals[terminal as usize];
        // Matches carry their item and, for named consequences of branches, their terminal.
        if data.executor != terminal {
            self.tuples[tuple].terminal = terminal;
        }
        if self.is_blocked(terminal, tuple) {
            return Ok(());
        }
        self.queue_match(terminal, tuple)?;
        if let Some(group) = network.rules[data.rule as usize].activation_group {
            let cause = self.latest_cause(tuple);
            let (cleared, members) = &mut self.activation[usize::from(group)];
            if *cleared == 0 || *cleared < cause.recency {
                members.push((data.executor, tuple));
            }
        }
        Ok(())
    }

    fn queue_match(&mut self, terminal: u32, tuple: TupleId) -> Outcome<()> {
        let network = self.network;
        let data = &network.terminals[terminal as usize];
        if let Salience::Dynamic(call) = &data.salience {
            let salience = self.call(call, tuple, None)?;
            self.tuples[tuple].salience = salience.as_double().map_or(0, |value| value as i32);
        }
        let item = data.executor;
        let entry = &mut self.agenda.items[item as usize];
        let before = entry.best(&self.tuples);
        entry.push(&mut self.tuples, tuple);
        if entry.dynamic {
            let after = entry.best(&self.tuples);
            if before != after || entry.salience != after {
                self.agenda.dequeue(item);
                self.agenda.items[item as usize].salience = after;
            }
        }
        self.agenda.enqueue(item);
        Ok(())
    }

    pub(super) fn update_match(&mut self, terminal: u32, tuple: TupleId) -> Outcome<()> {
        if self.tuples[tuple].queued || self.is_blocked(terminal, tuple) {
            return Ok(());
        }
        self.queue_match(terminal, tuple)
    }

    /// A match is no more: it will not fire, and what it alone supported goes.
    pub(super) fn cancel(&mut self, terminal: u32, tuple: TupleId) {
        for belief in self.tuples[tuple].take_beliefs() {
            self.withdraw(belief, tuple);
        }
        if self.tuples[tuple].queued {
            let item = self.network.terminals[terminal as usize].executor;
            self.remove_from_item(item, tuple);
        }
    }

    fn globals_as_text(&self) -> Vec<String> {
        self.machine.globals.iter().map(|value| self.machine.heap.to_text(*value)).collect()
    }

    fn record(&mut self, rule: u32, tuple: TupleId, actions: &[Action], before: &[String]) {
        let mut facts = Vec::new();
        let mut at = tuple;
        while at != NONE {
            let data = &self.tuples[at];
            if data.slot != u16::MAX {
                facts.push(self.machine.heap.to_text(data.value));
            }
            at = data.left;
        }
        facts.reverse();
        let text = |value: Value| self.machine.heap.to_text(value);
        let actions = actions
            .iter()
            .map(|action| match action {
                Action::Insert { fact, logical: false } => format!("insert {}", text(*fact)),
                Action::Insert { fact, .. } => format!("insertLogical {}", text(*fact)),
                Action::Update { fact, .. } => format!("update {}", text(*fact)),
                Action::Delete { fact } => format!("delete {}", text(*fact)),
                Action::Halt => "halt".to_owned(),
                Action::Focus(group) => format!("setFocus {}", text(*group)),
            })
            .collect();
        let after = self.globals_as_text();
        let names = &self.base.program.global_names;
        let globals = (0..after.len())
            .filter(|at| after[*at] != before[*at])
            .map(|at| (names[at].clone(), after[at].clone()))
            .collect();
        let rule = self.network.rules[rule as usize].name.clone();
        if let Some(trace) = &mut self.trace {
            trace.push(TraceEntry { rule, facts, actions, globals });
        }
    }
}
