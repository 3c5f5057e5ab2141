//! Queries called from conditions: the facts are searched when a match asks.

use super::Session;
use super::evaluate::Results;
use super::tuple::{Sets, Staged, TupleId};
use crate::heap::{ArrayKind, ListKind, Value};
use crate::machine::{Limit, Outcome, Throw};
use crate::network::{NodeId, QueryArgument, QueryNode, QueryStep};

/// Recursive queries go no deeper.
const MAXIMUM_DEPTH: usize = 256;

type Row = Vec<Option<Value>>;

impl Session<'_> {
    pub(super) fn query(&mut self, node: NodeId, query: &QueryNode, left: Sets, out: &mut Results) -> Outcome<()> {
        for l in left.delete.iter().rev() {
            self.leave_left(node, *l);
            for child in self.tuples[*l].children.clone() {
                self.delete_child(child, out);
            }
        }
        let changed = std::mem::take(&mut self.nodes[node as usize].changed);
        let again: Vec<TupleId> =
            if changed { self.nodes[node as usize].left.clone() } else { left.update.iter().rev().copied().collect() };
        for l in again {
            let is_update = self.tuples[l].staged == Staged::Update;
            self.tuples[l].staged = Staged::No;
            self.query_again(node, query, l, is_update, out)?;
        }
        for l in left.insert.iter().rev() {
            self.enter_left_memory(node, *l);
            for row in self.rows_for(query, *l)? {
                self.insert_drawn(node, *l, row, out);
            }
        }
        Ok(())
    }

    /// Compares the rows of now with those of before.
    fn query_again(
        &mut self,
        node: NodeId,
        query: &QueryNode,
        l: TupleId,
        is_update: bool,
        out: &mut Results,
    ) -> Outcome<()> {
        let cause = self.tuples[l].cause;
        let mut old = self.tuples[l].children.clone();
        for row in self.rows_for(query, l)? {
            let known = old.iter().position(|child| self.same_row(self.tuples[*child].value, row));
            match known {
                Some(at) => {
                    let child = old.remove(at);
                    if is_update {
                        self.refresh(child, cause);
                        self.update_child(child, out);
                    }
                }
                None => self.insert_drawn(node, l, row, out),
            }
        }
        for child in old {
            self.delete_child(child, out);
        }
        Ok(())
    }

    fn same_row(&self, left: Value, right: Value) -> bool {
        match (self.machine.heap.elements(left), self.machine.heap.elements(right)) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| self.machine.heap.equal(*x, *y)),
            _ => false,
        }
    }

    /// The rows that a query yields for a match: each an array of the parameters' values.
    fn rows_for(&mut self, query: &QueryNode, l: TupleId) -> Outcome<Vec<Value>> {
        let mut given = Vec::new();
        for argument in &query.arguments {
            given.push(match argument {
                Some(call) => Some(self.call(call, l, None)?),
                None => None,
            });
        }
        let mut rows = Vec::new();
        self.search(query.query, given, 0, &mut rows)?;
        let kind = ListKind::Array(ArrayKind::Object);
        Ok(rows
            .into_iter()
            .map(|row| self.machine.heap.new_array(kind, row.into_iter().map(Option::unwrap_or_default)))
            .collect())
    }

    /// All solutions of a query for these arguments, alternatives in order.
    fn search(&mut self, query: u32, given: Row, depth: usize, rows: &mut Vec<Row>) -> Outcome<()> {
        if depth > MAXIMUM_DEPTH {
            return Err(Throw::Limit(Limit::Steps(MAXIMUM_DEPTH as u64)));
        }
        let network = self.network;
        let plan = &network.queries[query as usize];
        for branch in &plan.branches {
            let mut start = given.clone();
            start.resize(plan.variables, None);
            let mut found = Vec::new();
            self.steps(branch, start, depth, &mut found)?;
            rows.extend(found.into_iter().map(|mut row| {
                row.truncate(plan.parameters);
                row
            }));
        }
        Ok(())
    }

    fn steps(&mut self, steps: &[QueryStep], row: Row, depth: usize, found: &mut Vec<Row>) -> Outcome<()> {
        let Some((step, rest)) = steps.split_first() else {
            found.push(row);
            return Ok(());
        };
        match step {
            QueryStep::Pattern { class, tests, binds, fact } => {
                for at in 0..self.live_facts {
                    let value = self.facts[at].value;
                    if !self.facts[at].alive || value.is_null() || !self.machine.is_instance(value, *class) {
                        continue;
                    }
                    let mut next = row.clone();
                    if self.unify(value, binds, *fact, &mut next)? && self.all_hold(value, tests, &next)? {
                        self.steps(rest, next, depth, found)?;
                    }
                }
            }
            QueryStep::Eval { code } => {
                if self.all_hold(Value::Null, std::slice::from_ref(code), &row)? {
                    self.steps(rest, row, depth, found)?;
                }
            }
            QueryStep::Call { query, arguments } => {
                let mut given = Vec::new();
                for argument in arguments {
                    given.push(match argument {
                        QueryArgument::Variable(variable) => row[usize::from(*variable)],
                        QueryArgument::Value(code) => Some(self.query_value(*code, Value::Null, &row)?),
                    });
                }
                let mut answers = Vec::new();
                self.search(*query, given, depth + 1, &mut answers)?;
                for answer in answers {
                    let mut next = row.clone();
                    for (argument, value) in arguments.iter().zip(answer) {
                        if let QueryArgument::Variable(variable) = argument {
                            next[usize::from(*variable)] = value;
                        }
                    }
                    self.steps(rest, next, depth, found)?;
                }
            }
            QueryStep::Not(inner) | QueryStep::Exists(inner) => {
                let mut some = Vec::new();
                self.steps(inner, row.clone(), depth, &mut some)?;
                if some.is_empty() == matches!(step, QueryStep::Not(_)) {
                    self.steps(rest, row, depth, found)?;
                }
            }
        }
        Ok(())
    }

    fn query_value(&mut self, code: u32, this: Value, row: &Row) -> Outcome<Value> {
        let mut arguments = vec![this];
        arguments.extend(row.iter().map(|value| value.unwrap_or_default()));
        self.machine.run(code, &arguments)
    }

    fn all_hold(&mut self, this: Value, tests: &[u32], row: &Row) -> Outcome<bool> {
        for test in tests {
            if !matches!(self.query_value(*test, this, row)?, Value::Boolean(true)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Variables take the values of the fact, or must already have them.
    fn unify(&mut self, fact: Value, binds: &[(u16, u32)], whole: Option<u16>, row: &mut Row) -> Outcome<bool> {
        let mut pairs = Vec::new();
        if let Some(variable) = whole {
            pairs.push((variable, fact));
        }
        for (variable, code) in binds {
            pairs.push((*variable, self.query_value(*code, fact, row)?));
        }
        for (variable, value) in pairs {
            match row[usize::from(variable)] {
                Some(held) if !self.machine.heap.equal(held, value) => return Ok(false),
                Some(_) => {}
                None => row[usize::from(variable)] = Some(value),
            }
        }
        Ok(true)
    }
}
