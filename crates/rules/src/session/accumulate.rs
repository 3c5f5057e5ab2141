//! `accumulate` and `collect`.

use super::Session;
use super::evaluate::Results;
use super::tuple::{Sets, Staged, TupleId, remove};
use crate::decimal::{Decimal, Rounding};
use crate::heap::{ListKind, Order, Other, Value};
use crate::machine::Outcome;
use crate::network::{AccumulateNode, Call, Function, FunctionKind, NodeId, Right, Total};

/// What a left tuple has accumulated.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Each right tuple with the values it gave to the functions.
    items: Vec<(TupleId, Vec<Value>)>,
    running: Vec<Running>,
    touched: bool,
}

/// The running result of one function.
#[derive(Clone, Debug)]
enum Running {
    /// Sums that subtract what leaves, as Drools does: the order of additions shows in the last digits.
    Whole(i64),
    Real {
        total: f64,
        count: i64,
    },
    Exact {
        total: Decimal,
        count: i64,
    },
    Count(i64),
    /// Functions that look at all values when the result is asked for.
    All,
    /// The variables of an inline accumulate.
    Variables(Value),
}

impl Session<'_> {
    pub(super) fn accumulate(
        &mut self,
        node: NodeId,
        accumulate: &AccumulateNode,
        left: Sets,
        right: Sets,
        out: &mut Results,
    ) -> Outcome<()> {
        for l in left.delete.iter().rev() {
            self.leave_left(node, *l);
            for r in std::mem::take(&mut self.tuples[*l].rare().matches) {
                remove(&mut self.tuples[r].rare().matches, *l);
            }
            for child in self.tuples[*l].children.clone() {
                self.delete_child(child, out);
            }
        }
        // Lefts whose result must be looked at, the latest last.
        let mut changed: Vec<TupleId> = Vec::new();
        for r in right.delete.iter().rev() {
            self.leave_right(node, *r);
            for l in std::mem::take(&mut self.tuples[*r].rare().matches) {
                self.forget(accumulate, l, *r)?;
                self.touch(l, &mut changed);
            }
        }
        let group = accumulate.right == Right::Subnetwork;
        if !group {
            self.reorder(node, &left, &right);
        }
        for r in right.update.iter().rev() {
            self.tuples[*r].staged = Staged::No;
            self.accumulate_right_update(node, accumulate, *r, &mut changed)?;
        }
        for l in left.update.iter().rev() {
            self.tuples[*l].staged = Staged::No;
            self.accumulate_left_update(node, accumulate, *l)?;
            self.touch(*l, &mut changed);
        }
        let mut fresh: Vec<TupleId> = Vec::new();
        if group {
            self.accumulate_lefts(node, accumulate, &left, &mut fresh)?;
        }
        for r in right.insert.iter().rev() {
            self.enter_right_memory(node, *r);
            if group {
                let l = self.group_start(node, *r);
                if self.tuples[l].in_memory {
                    self.remember(accumulate, l, *r)?;
                    if !fresh.contains(&l) {
                        self.touch(l, &mut changed);
                    }
                }
                continue;
            }
            for l in self.nodes[node as usize].left.clone() {
                if self.fits(accumulate, l, *r)? {
                    self.remember(accumulate, l, *r)?;
                    self.touch(l, &mut changed);
                }
            }
        }
        if !group {
            self.accumulate_lefts(node, accumulate, &left, &mut fresh)?;
        }
        for l in fresh.into_iter().rev().chain(changed.into_iter().rev()) {
            let state = self.tuples[l].salience as usize;
            self.states[state].touched = false;
            self.accumulate_result(node, accumulate, l, out)?;
        }
        Ok(())
    }

    fn accumulate_lefts(
        &mut self,
        node: NodeId,
        accumulate: &AccumulateNode,
        left: &Sets,
        fresh: &mut Vec<TupleId>,
    ) -> Outcome<()> {
        for l in left.insert.iter().rev() {
            self.enter_left_memory(node, *l);
            let running = self.initial(accumulate)?;
            self.states.push(State { items: Vec::new(), running, touched: false });
            // The state's index; left tuples have no salience.
            self.tuples[*l].salience = (self.states.len() - 1) as i32;
            if accumulate.right == Right::Facts {
                for r in self.nodes[node as usize].right.clone() {
                    if self.fits(accumulate, *l, r)? {
                        self.remember(accumulate, *l, r)?;
                    }
                }
            }
            fresh.push(*l);
        }
        Ok(())
    }

    fn touch(&mut self, l: TupleId, changed: &mut Vec<TupleId>) {
        let state = self.tuples[l].salience as usize;
        if !std::mem::replace(&mut self.states[state].touched, true) {
            changed.push(l);
        }
    }

    fn fits(&mut self, accumulate: &AccumulateNode, l: TupleId, r: TupleId) -> Outcome<bool> {
        let value = self.tuples[r].value;
        self.holds(accumulate.test.as_ref(), l, Some(value))
    }

    fn accumulate_right_update(
        &mut self,
        node: NodeId,
        accumulate: &AccumulateNode,
        r: TupleId,
        changed: &mut Vec<TupleId>,
    ) -> Outcome<()> {
        let group = accumulate.right == Right::Subnetwork;
        let lefts = if group { vec![self.group_start(node, r)] } else { self.nodes[node as usize].left.clone() };
        if accumulate.indexed {
            // A fact that changes its bucket leaves the old one before it enters the new one.
            for l in self.tuples[r].rare().matches.clone() {
                if !self.fits(accumulate, l, r)? {
                    self.forget(accumulate, l, r)?;
                    remove(&mut self.tuples[r].rare().matches, l);
                    self.touch(l, changed);
                }
            }
        }
        for l in lefts {
            let held = self.tuples[r].rare().matches.contains(&l);
            if held {
                self.forget(accumulate, l, r)?;
                remove(&mut self.tuples[r].rare().matches, l);
            }
            let open = self.tuples[l].staged != Staged::Update && self.tuples[l].in_memory;
            let fits = open && (group || self.fits(accumulate, l, r)?);
            if fits {
                self.remember(accumulate, l, r)?;
            }
            if held || fits {
                self.touch(l, changed);
            }
        }
        Ok(())
    }

    fn accumulate_left_update(&mut self, node: NodeId, accumulate: &AccumulateNode, l: TupleId) -> Outcome<()> {
        if accumulate.right == Right::Subnetwork {
            return Ok(());
        }
        let held = self.tuples[l].rare().matches.clone();
        for r in self.nodes[node as usize].right.clone() {
            let fits = self.fits(accumulate, l, r)?;
            if held.contains(&r) {
                if !fits || accumulate.uses_left {
                    self.forget(accumulate, l, r)?;
                    remove(&mut self.tuples[r].rare().matches, l);
                }
                if !fits || !accumulate.uses_left {
                    continue;
                }
            }
            if fits {
                self.remember(accumulate, l, r)?;
            }
        }
        Ok(())
    }

    fn initial(&mut self, accumulate: &AccumulateNode) -> Outcome<Vec<Running>> {
        let mut all = Vec::with_capacity(accumulate.functions.len());
        for function in &accumulate.functions {
            all.push(self.initial_of(function)?);
        }
        Ok(all)
    }

    fn initial_of(&mut self, function: &Function) -> Outcome<Running> {
        let exact = || Running::Exact { total: Decimal::from_long(0), count: 0 };
        Ok(match &function.kind {
            FunctionKind::Count => Running::Count(0),
            FunctionKind::Sum(Total::Integer | Total::Long) => Running::Whole(0),
            FunctionKind::Sum(Total::Decimal | Total::BigInteger) => exact(),
            FunctionKind::Sum(Total::Double) => Running::Real { total: 0.0, count: 0 },
            FunctionKind::Average => Running::Real { total: 0.0, count: 0 },
            FunctionKind::Inline { init, .. } => Running::Variables(self.machine.run(*init, &[])?),
            _ => Running::All,
        })
    }

    /// Adds a right tuple to what a left one has accumulated.
    fn remember(&mut self, accumulate: &AccumulateNode, l: TupleId, r: TupleId) -> Outcome<()> {
        let mut values = Vec::with_capacity(accumulate.functions.len());
        for function in &accumulate.functions {
            let value = match &function.argument {
                Some(call) => self.argument(accumulate, call, l, r)?,
                None => Value::Null,
            };
            values.push(value);
        }
        let state = self.tuples[l].salience as usize;
        for (index, function) in accumulate.functions.iter().enumerate() {
            self.add(accumulate, function, state, index, values[index], (l, r))?;
        }
        self.states[state].items.push((r, values));
        self.tuples[l].rare().matches.push(r);
        self.tuples[r].rare().matches.push(l);
        let cause = self.tuples[r].cause;
        self.refresh(l, cause);
        Ok(())
    }

    fn argument(&mut self, accumulate: &AccumulateNode, call: &Call, l: TupleId, r: TupleId) -> Outcome<Value> {
        match accumulate.right {
            Right::Facts => {
                let value = self.tuples[r].value;
                self.call(call, l, Some(value))
            }
            Right::Subnetwork => self.call(call, r, None),
        }
    }

    fn add(
        &mut self,
        accumulate: &AccumulateNode,
        function: &Function,
        state: usize,
        index: usize,
        value: Value,
        (l, r): (TupleId, TupleId),
    ) -> Outcome<()> {
        if let (FunctionKind::Inline { action, .. }, Running::Variables(variables)) =
            (&function.kind, self.states[state].running[index].clone())
        {
            return self.step(accumulate, action.code, &action.slots, variables, (l, r));
        }
        let decimal = self.decimal_of(value);
        let running = &mut self.states[state].running[index];
        match running {
            Running::Count(count) => *count += 1,
            Running::Whole(total) => *total = total.wrapping_add(value.as_long().unwrap_or(0)),
            Running::Real { total, count } => {
                if let Some(double) = value.as_double() {
                    *total += double;
                    *count += 1;
                } else if let Some(decimal) = decimal {
                    // Averages of BigDecimal stay exact.
                    *running = Running::Exact { total: decimal, count: 1 };
                }
            }
            Running::Exact { total, count } => {
                if let Some(decimal) = decimal {
                    *total = total.add(&decimal);
                    *count += 1;
                }
            }
            Running::All | Running::Variables(_) => {}
        }
        Ok(())
    }

    /// One `action` or `reverse` of an inline accumulate: the state is the last argument.
    fn step(
        &mut self,
        accumulate: &AccumulateNode,
        code: u32,
        slots: &[u16],
        variables: Value,
        (l, r): (TupleId, TupleId),
    ) -> Outcome<()> {
        let mut arguments = Vec::new();
        let from = match accumulate.right {
            Right::Facts => {
                arguments.push(self.tuples[r].value);
                l
            }
            Right::Subnetwork => r,
        };
        arguments.extend(slots.iter().map(|slot| self.slot(from, *slot).0));
        arguments.push(variables);
        self.machine.run(code, &arguments)?;
        Ok(())
    }

    fn decimal_of(&self, value: Value) -> Option<Decimal> {
        match value {
            Value::Other(other) => match self.machine.heap.other(other) {
                Other::Decimal(decimal) => Some(decimal.clone()),
                Other::BigInteger(integer) => Some(Decimal::from_integer(integer.clone())),
                _ => None,
            },
            _ => None,
        }
    }

    /// Takes a right tuple out of what a left one has accumulated.
    fn forget(&mut self, accumulate: &AccumulateNode, l: TupleId, r: TupleId) -> Outcome<()> {
        remove(&mut self.tuples[l].rare().matches, r);
        let state = self.tuples[l].salience as usize;
        let Some(at) = self.states[state].items.iter().position(|(held, _)| *held == r) else {
            return Ok(());
        };
        let (_, values) = self.states[state].items.remove(at);
        for (index, function) in accumulate.functions.iter().enumerate() {
            let decimal = self.decimal_of(values[index]);
            match &mut self.states[state].running[index] {
                Running::Count(count) => *count -= 1,
                Running::Whole(total) => *total = total.wrapping_sub(values[index].as_long().unwrap_or(0)),
                Running::Real { total, count } => {
                    if let Some(double) = values[index].as_double() {
                        *total -= double;
                        *count -= 1;
                    }
                }
                Running::Exact { total, count } => {
                    if let Some(decimal) = decimal {
                        *total = total.subtract(&decimal);
                        *count -= 1;
                    }
                }
                Running::All => {}
                Running::Variables(variables) => {
                    let variables = *variables;
                    self.undo(accumulate, function, state, index, variables, (l, r))?;
                }
            }
        }
        Ok(())
    }

    /// Without a `reverse` the rest is accumulated again from the start.
    fn undo(
        &mut self,
        accumulate: &AccumulateNode,
        function: &Function,
        state: usize,
        index: usize,
        variables: Value,
        (l, r): (TupleId, TupleId),
    ) -> Outcome<()> {
        let FunctionKind::Inline { action, reverse, .. } = &function.kind else {
            return Ok(());
        };
        if let Some(reverse) = reverse {
            return self.step(accumulate, reverse.code, &reverse.slots, variables, (l, r));
        }
        self.states[state].running[index] = self.initial_of(function)?;
        let Running::Variables(variables) = self.states[state].running[index] else {
            return Ok(());
        };
        let rest: Vec<TupleId> = self.states[state].items.iter().map(|(held, _)| *held).collect();
        for held in rest {
            self.step(accumulate, action.code, &action.slots, variables, (l, held))?;
        }
        Ok(())
    }

    fn accumulate_result(
        &mut self,
        node: NodeId,
        accumulate: &AccumulateNode,
        l: TupleId,
        out: &mut Results,
    ) -> Outcome<()> {
        let state = self.tuples[l].salience as usize;
        let mut results = Vec::with_capacity(accumulate.functions.len());
        for (index, function) in accumulate.functions.iter().enumerate() {
            results.push(self.result(function, state, index)?);
        }
        let child = self.tuples[l].children.first().copied();
        let value = if accumulate.single {
            results[0]
        } else {
            let kind = ListKind::Array(crate::heap::ArrayKind::Object);
            self.machine.heap.new_array(kind, results)
        };
        let allowed = !value.is_null()
            && (!accumulate.single || self.machine.is_instance(value, accumulate.class))
            && self.holds(accumulate.result_test.as_ref(), l, Some(value))?;
        let cause = self.tuples[l].cause;
        match (allowed, child) {
            (true, Some(child)) => {
                self.tuples[child].value = value;
                self.refresh(child, cause);
                self.update_child(child, out);
            }
            (true, None) => self.insert_drawn(node, l, value, out),
            (false, Some(child)) => self.delete_child(child, out),
            (false, None) => {}
        }
        Ok(())
    }

    fn result(&mut self, function: &Function, state: usize, index: usize) -> Outcome<Value> {
        let values: Vec<Value> = self.states[state].items.iter().map(|(_, values)| values[index]).collect();
        let running = self.states[state].running[index].clone();
        let heap = &mut self.machine.heap;
        Ok(match (&function.kind, running) {
            (_, Running::Count(count)) => Value::Long(count),
            (FunctionKind::Sum(Total::Integer), Running::Whole(total)) => Value::Integer(total as i32),
            (FunctionKind::Sum(_), Running::Whole(total)) => Value::Long(total),
            (FunctionKind::Average, Running::Real { count: 0, .. } | Running::Exact { count: 0, .. }) => Value::Null,
            (FunctionKind::Average, Running::Real { total, count }) => Value::Double(total / count as f64),
            (FunctionKind::Average, Running::Exact { total, count }) => {
                let average = total.divide(&Decimal::from_long(count), total.scale, Rounding::HalfUp);
                heap.new_other(Other::Decimal(average.unwrap_or(total)))
            }
            (_, Running::Real { total, .. }) => Value::Double(total),
            (FunctionKind::Sum(Total::BigInteger), Running::Exact { total, .. }) => {
                heap.new_other(Other::BigInteger(total.to_integer()))
            }
            (_, Running::Exact { total, .. }) => heap.new_other(Other::Decimal(total)),
            (FunctionKind::Variance, _) => Value::Double(variance(&values)),
            (FunctionKind::Deviation, _) => Value::Double(variance(&values).sqrt()),
            (FunctionKind::Minimum, _) => extreme(heap, &values, std::cmp::Ordering::Less),
            (FunctionKind::Maximum, _) => extreme(heap, &values, std::cmp::Ordering::Greater),
            (FunctionKind::CollectList, _) => heap.list_of(ListKind::ArrayList, values),
            (FunctionKind::CollectSet, _) => {
                let set = heap.new_map(Order::Hash { buckets: 0 });
                for value in values {
                    heap.map_put(set, value, Value::Null);
                }
                Value::Set(set)
            }
            (FunctionKind::Inline { result, .. }, Running::Variables(variables)) => {
                self.machine.run(*result, &[variables])?
            }
            _ => Value::Null,
        })
    }
}

/// The variance of a population; not a number where there is none.
fn variance(values: &[Value]) -> f64 {
    let (mut count, mut mean, mut sum) = (0.0, 0.0, 0.0);
    for value in values.iter().filter_map(|value| value.as_double()) {
        count += 1.0;
        let difference = value - mean;
        mean += difference / count;
        sum += difference * (value - mean);
    }
    sum / count
}

/// The least or greatest of the values that are not null.
fn extreme(heap: &crate::heap::Heap, values: &[Value], wanted: std::cmp::Ordering) -> Value {
    let mut found = Value::Null;
    for value in values.iter().copied().filter(|value| !value.is_null()) {
        if found.is_null() || heap.natural_order(value, found) == wanted {
            found = value;
        }
    }
    found
}
