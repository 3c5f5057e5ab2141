//! A working memory with its agenda: facts in, firings out.
//!
//! The order of firings is that of Drools' PHREAK algorithm (Proctor, Fusco et al., Drools 6 and later):
//! facts are staged in stacks, a rule's network is evaluated only when the rule reaches the top of the
//! agenda, and every node hands on its results last in, first out. `evaluate` holds the nodes, `agenda` what
//! fires next.

mod accumulate;
mod agenda;
mod evaluate;
mod existential;
mod facts;
mod fire;
mod query;
mod queue;
mod tuple;

use std::collections::VecDeque;

use self::accumulate::State;
use self::agenda::{Agenda, Item};
use self::facts::{Belief, Entry, Fact, Identities};
use self::tuple::{Cause, NONE, Sets, TupleId, Tuples};
use crate::heap::Value;
use crate::machine::{Limit, Machine, Outcome, Throw};
use crate::network::{Call, Network, Salience};
use crate::rulebase::RuleBase;

/// Firings after which a session stops, unless told otherwise.
pub const DEFAULT_FIRINGS: usize = 100_000;

/// Why a session stopped before it had fired everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FireError {
    /// A condition or consequence threw an exception that it did not catch.
    #[error("{exception} at {file}:{line}:{column}{}", .rule.as_ref().map(|r| format!(" in rule \"{r}\"")).unwrap_or_default())]
    Exception {
        /// Class and message, as Java prints them.
        exception: String,
        /// The rule file.
        file: String,
        /// One-based.
        line: usize,
        /// One-based, in bytes.
        column: usize,
        /// The rule whose consequence threw; nothing for conditions.
        rule: Option<String>,
    },
    /// More rules fired than allowed: most likely rules that wake each other without end.
    #[error("stopped after {limit} firings, the last of rule \"{rule}\": do rules wake each other without end?")]
    Firings {
        /// The limit.
        limit: usize,
        /// The rule that fired last.
        rule: String,
    },
    /// A loop of the rule file ran too long.
    #[error("stopped after {limit} loop turns and calls in one condition or consequence: does a loop never end?")]
    Steps {
        /// The limit.
        limit: u64,
    },
    /// The session's objects outgrew its memory.
    #[error("stopped because the session's objects outgrew its memory limit")]
    Memory,
}

/// The memory of one node.
#[derive(Debug, Default)]
struct NodeMemory {
    left: Vec<TupleId>,
    right: Vec<TupleId>,
    staged_right: Sets,
    /// Facts on the right (for left inputs: on the left); zero keeps rules from being evaluated.
    count: u32,
    /// A `not` without constraints closes its rule while it holds facts.
    closed: bool,
    /// A reactive query whose facts have changed.
    changed: bool,
}

impl NodeMemory {
    fn reset(&mut self) {
        self.left.clear();
        self.right.clear();
        self.staged_right.clear();
        self.count = 0;
        self.closed = false;
        self.changed = false;
    }
}

/// See the module. A session is used for one case after another: [`Session::reset`] keeps its memory.
pub struct Session<'r> {
    base: &'r RuleBase,
    network: &'r Network,
    machine: Machine<'r>,
    facts: Vec<Fact>,
    live_facts: usize,
    tuples: Tuples,
    nodes: Vec<NodeMemory>,
    staged: Vec<Sets>,
    /// Empty sets whose memory is used again.
    spare: Vec<Sets>,
    states: Vec<State>,
    agenda: Agenda,
    queue: VecDeque<Entry>,
    beliefs: Vec<Belief>,
    identities: Identities,
    /// For each activation group: when it last fired, and its members as item and match.
    activation: Vec<(u32, Vec<(u32, TupleId)>)>,
    fired: Vec<u32>,
    recency: u32,
    changes: u32,
    /// The rule whose consequence runs, plus one.
    origin: u32,
    firing: bool,
    started: bool,
    trace: Option<Vec<TraceEntry>>,
    current: TupleId,
    firing_limit: usize,
}

/// One firing, for explanation.
#[derive(Clone, Debug)]
pub struct TraceEntry {
    /// The rule.
    pub rule: String,
    /// The facts it fired on, as text, in the order of its patterns.
    pub facts: Vec<String>,
    /// What it did to the working memory, as text.
    pub actions: Vec<String>,
    /// Globals that it changed, each with its text afterwards.
    pub globals: Vec<(String, String)>,
}

impl<'r> Session<'r> {
    /// An empty session.
    pub fn new(base: &'r RuleBase) -> Self {
        let network = &base.network;
        let mut sharing = vec![0u32; network.terminals.len()];
        for terminal in &network.terminals {
            sharing[terminal.executor as usize] += 1;
        }
        let items = network
            .terminals
            .iter()
            .enumerate()
            .map(|(index, terminal)| {
                let rule = &network.rules[terminal.rule as usize];
                let dynamic = matches!(terminal.salience, Salience::Dynamic(_));
                let salience = if let Salience::Fixed(fixed) = terminal.salience { fixed } else { 0 };
                Item {
                    salience,
                    load_order: terminal.rule,
                    group: rule.group,
                    dynamic,
                    plain: sharing[index] == 1 && !dynamic && rule.is_plain(),
                    eager: dynamic || rule.auto_focus,
                    ..Item::default()
                }
            })
            .collect();
        Self {
            base,
            network,
            machine: Machine::new(&base.program),
            facts: Vec::new(),
            live_facts: 0,
            tuples: Tuples::default(),
            nodes: network.nodes.iter().map(|_| NodeMemory::default()).collect(),
            staged: network.segments.iter().map(|_| Sets::default()).collect(),
            spare: Vec::new(),
            states: Vec::new(),
            agenda: Agenda::new(items, network.groups.len(), |item| network.terminals[item as usize].executor == item),
            queue: VecDeque::new(),
            beliefs: Vec::new(),
            identities: Identities::default(),
            activation: network.activation_groups.iter().map(|_| (0, Vec::new())).collect(),
            fired: Vec::new(),
            recency: 0,
            changes: 0,
            origin: 0,
            firing: false,
            started: false,
            trace: None,
            current: NONE,
            firing_limit: DEFAULT_FIRINGS,
        }
    }

    /// Forgets all facts and matches, and sets all globals to null.
    pub fn reset(&mut self) {
        self.machine.reset();
        self.live_facts = 0;
        self.tuples.reset();
        self.nodes.iter_mut().for_each(NodeMemory::reset);
        self.staged.iter_mut().for_each(Sets::clear);
        self.states.clear();
        self.agenda.reset();
        self.queue.clear();
        self.beliefs.clear();
        self.identities.clear();
        for (recency, members) in &mut self.activation {
            *recency = 0;
            members.clear();
        }
        self.fired.clear();
        self.recency = 0;
        self.changes = 0;
        self.origin = 0;
        self.started = false;
        self.current = NONE;
        if let Some(trace) = &mut self.trace {
            trace.clear();
        }
    }

    /// Stops after this many firings per call of [`Session::fire`].
    pub fn set_firing_limit(&mut self, limit: usize) {
        self.firing_limit = limit;
    }

    /// Limits the loop turns and calls of one condition or consequence.
    pub fn set_step_limit(&mut self, steps: u64) {
        self.machine.set_step_limit(steps);
    }

    /// Limits the memory of the session's objects, in bytes.
    pub fn set_memory_limit(&mut self, bytes: usize) {
        self.machine.heap.set_memory(bytes);
    }

    /// Records every firing from now on.
    pub fn record_trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// The firings recorded since the last reset.
    pub fn trace(&self) -> &[TraceEntry] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Indices of the rules that fired since the last reset, in order.
    pub fn fired(&self) -> &[u32] {
        &self.fired
    }

    /// Names of the rules that fired since the last reset, in order.
    pub fn fired_names(&self) -> impl Iterator<Item = &str> {
        self.fired.iter().map(|rule| self.network.rules[*rule as usize].name.as_str())
    }

    /// A key that the host will read from maps. Names are made before the first facts are: a key that is known
    /// only later is looked up in a longer way.
    pub fn name(&mut self, text: &str) -> crate::memory::Name {
        crate::memory::Name::new(&mut self.machine.heap, text)
    }

    /// The session's objects: for making facts and reading globals.
    pub fn memory(&mut self) -> crate::memory::Memory<'_, 'r> {
        crate::memory::Memory::new(&mut self.machine)
    }

    /// The slots' values, with `this` in front where there is one and an extra value for its slot.
    #[inline]
    fn call(&mut self, call: &Call, tuple: TupleId, this: Option<Value>) -> Outcome<Value> {
        let depth = self.machine.prepare()?;
        let mut register = 0;
        if let Some(this) = this {
            self.machine.pass(depth, register, this);
            register += 1;
        }
        for slot in &call.slots {
            let value = self.slot(tuple, *slot).0;
            self.machine.pass(depth, register, value);
            register += 1;
        }
        self.machine.run_prepared(call.code, depth)
    }

    #[inline(always)]
    fn holds(&mut self, call: Option<&Call>, tuple: TupleId, this: Option<Value>) -> Outcome<bool> {
        let Some(call) = call else { return Ok(true) };
        let first = this.or_else(|| call.slots.first().map(|slot| self.slot(tuple, *slot).0));
        match self.machine.check(call.code, first.unwrap_or_default()) {
            Some(answer) => Ok(answer),
            None => Ok(matches!(self.call(call, tuple, this)?, Value::Boolean(true))),
        }
    }

    /// The value and fact of a slot in a match.
    #[inline(always)]
    fn slot(&self, mut tuple: TupleId, slot: u16) -> (Value, u32) {
        while tuple != NONE {
            let data = &self.tuples[tuple];
            if data.slot == slot {
                return (data.value, data.fact);
            }
            tuple = data.left;
        }
        (Value::Null, NONE)
    }

    fn error(&mut self, thrown: Throw, rule: Option<u32>) -> FireError {
        match thrown {
            Throw::Limit(Limit::Steps(limit)) => FireError::Steps { limit },
            Throw::Limit(Limit::Memory) => FireError::Memory,
            Throw::Exception(exception) => {
                let (line, column) = self.base.program.position(self.machine.thrown_at);
                self.machine.thrown_at = 0;
                FireError::Exception {
                    exception: self.machine.heap.to_text(exception),
                    file: self.base.program.file.clone(),
                    line,
                    column,
                    rule: rule.map(|rule| self.network.rules[rule as usize].name.clone()),
                }
            }
        }
    }

    fn new_cause(&mut self, recency: u32) -> Cause {
        self.changes += 1;
        Cause { number: self.changes, origin: self.origin, recency }
    }
}
