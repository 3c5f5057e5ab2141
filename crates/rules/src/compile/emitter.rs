//! Registers, scopes, labels and exception ranges of one code unit.

use std::collections::HashMap;

use super::{Compiled, Environment};
use crate::heap::Value;
use crate::program::{Code, Handler, Op, Register};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{Literal, Statement};
use crate::types::Type;

/// What a code unit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A function, or the parts of an inline accumulate: plain Java.
    Function,
    /// A constraint or other expression of the left-hand side: DRL's comparison semantics.
    Constraint,
    /// The right-hand side of a rule.
    Consequence,
}

/// A variable in scope.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) register: Register,
    pub(crate) ty: Type,
    /// The literal that an inlined parameter stands for.
    pub(crate) literal: Option<Literal>,
    /// Whether it names a fact of the match, which consequences may update and delete.
    pub(crate) is_fact: bool,
}

/// A jump target that may not be placed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(u32);

/// An enclosing loop, switch or labelled statement.
pub(crate) struct Enclosing {
    pub(crate) label: Option<String>,
    pub(crate) on_break: Label,
    pub(crate) on_continue: Option<Label>,
    /// How many `finally` blocks were open when it began.
    pub(crate) finally_depth: usize,
}

/// An open `try` with a `finally`.
pub(crate) struct Protected {
    pub(crate) finally: Vec<Statement>,
    /// Operations that its handler covers: what is emitted for an exit through it is left out.
    pub(crate) ranges: Vec<(u32, u32)>,
    pub(crate) start: u32,
}

/// How far a code unit had come.
pub(crate) struct Checkpoint {
    ops: usize,
    handlers: usize,
    mark: usize,
    known_calls: Vec<(String, Register, Type)>,
}

/// Where `return` goes in an inlined body.
pub(crate) struct Inlined {
    pub(crate) result: Register,
    pub(crate) end: Label,
    pub(crate) returns: Type,
    pub(crate) enclosing: usize,
    pub(crate) finally_depth: usize,
}

/// Compiles one code unit.
pub(crate) struct Emitter<'e> {
    pub(crate) env: &'e mut Environment,
    pub(crate) purpose: Purpose,
    pub(crate) ops: Vec<Op>,
    positions: Vec<u32>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) scopes: Vec<HashMap<String, Local>>,
    /// `this` of the pattern whose constraint is compiled.
    pub(crate) this: Option<(Register, Type)>,
    pub(crate) returns: Type,
    pub(crate) enclosing: Vec<Enclosing>,
    pub(crate) inlined: Vec<Inlined>,
    pub(crate) protected: Vec<Protected>,
    pub(crate) inline_depth: usize,
    /// Names that the running function is inlined into, to stop recursion.
    pub(crate) rule_name: String,
    /// Properties set on each fact in the consequence, for `update`.
    pub(crate) setters: HashMap<String, Vec<String>>,
    /// Results of pure calls already made on every path to here: text of the call, register and type.
    pub(crate) known_calls: Vec<(String, Register, Type)>,
    /// Types of conditional expressions already compiled, by span.
    pub(super) conditional_types: HashMap<(u32, u32), Type>,
    labels: Vec<Option<u32>>,
    next: usize,
    high: usize,
}

impl<'e> Emitter<'e> {
    pub(crate) fn new(env: &'e mut Environment, purpose: Purpose) -> Self {
        Self {
            env,
            purpose,
            ops: Vec::new(),
            positions: Vec::new(),
            handlers: Vec::new(),
            scopes: vec![HashMap::new()],
            this: None,
            returns: Type::Void,
            enclosing: Vec::new(),
            inlined: Vec::new(),
            protected: Vec::new(),
            inline_depth: 0,
            rule_name: String::new(),
            setters: HashMap::new(),
            known_calls: Vec::new(),
            conditional_types: HashMap::new(),
            labels: Vec::new(),
            next: 0,
            high: 0,
        }
    }

    pub(crate) fn emit(&mut self, op: Op, span: Span) {
        self.ops.push(op);
        self.positions.push(span.start);
    }

    /// Takes back everything from an operation on.
    pub(crate) fn truncate(&mut self, ops: usize) {
        self.ops.truncate(ops);
        self.positions.truncate(ops);
    }

    /// How far the code has come, for [`Emitter::take_back`].
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            ops: self.ops.len(),
            handlers: self.handlers.len(),
            mark: self.mark(),
            known_calls: self.known_calls.clone(),
        }
    }

    /// Takes back everything that was emitted since.
    pub(crate) fn take_back(&mut self, to: Checkpoint) {
        self.truncate(to.ops);
        self.handlers.truncate(to.handlers);
        self.release(to.mark);
        self.known_calls = to.known_calls;
    }

    pub(crate) fn pop_position(&mut self) {
        self.positions.pop();
    }

    pub(crate) fn position(&self) -> u32 {
        self.ops.len() as u32
    }

    /// A fresh register above all in use.
    pub(crate) fn register(&mut self, span: Span) -> Compiled<Register> {
        if self.next >= crate::machine::MAXIMUM_REGISTERS {
            return Err(Diagnostic::new(span, "too many variables and nested expressions in one place")
                .with_hint("split the code into functions"));
        }
        let register = self.next as Register;
        self.next += 1;
        self.high = self.high.max(self.next);
        Ok(register)
    }

    /// The first free register; everything from it on is released by [`Emitter::release`].
    pub(crate) fn mark(&self) -> usize {
        self.next
    }

    pub(crate) fn release(&mut self, mark: usize) {
        // Registers that hold results of known calls stay taken while those are remembered.
        let kept = self.known_calls.iter().map(|(_, register, _)| usize::from(*register) + 1).max();
        self.next = mark.max(kept.unwrap_or(0));
    }

    /// Keeps a register that would otherwise be released.
    pub(crate) fn keep_through(&mut self, register: Register) {
        self.next = self.next.max(usize::from(register) + 1);
    }

    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label((self.labels.len() - 1) as u32)
    }

    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0 as usize] = Some(self.position());
    }

    /// The label as an operation's target, until [`Emitter::finish`] replaces it.
    pub(crate) fn target(&self, label: Label) -> u32 {
        label.0
    }

    pub(crate) fn jump(&mut self, label: Label, span: Span) {
        self.emit(Op::Jump { target: label.0 }, span);
    }

    pub(crate) fn push_scope(&mut self) {
        self.scopes.push(HashMap::new());
    }

    pub(crate) fn pop_scope(&mut self) {
        self.scopes.pop();
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<&Local> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    /// Declares a variable in the innermost scope.
    pub(crate) fn declare(&mut self, name: &str, ty: Type, span: Span) -> Compiled<Register> {
        let register = self.register(span)?;
        self.bind(name, Local { register, ty, literal: None, is_fact: false });
        Ok(register)
    }

    pub(crate) fn bind(&mut self, name: &str, local: Local) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), local);
        }
    }

    pub(crate) fn load_constant(&mut self, value: Value, to: Register, span: Span) -> Compiled<()> {
        let index = self.env.constant(value, span)?;
        self.emit(Op::Constant { to, index }, span);
        Ok(())
    }

    /// Resolves labels and returns the code.
    pub(crate) fn finish(mut self, name: &str, span: Span) -> Compiled<Code> {
        let null = self.env.constant(Value::Null, span)?;
        let register = self.register(span)?;
        self.emit(Op::Constant { to: register, index: null }, span);
        self.emit(Op::Return { from: register }, span);
        let labels = std::mem::take(&mut self.labels);
        let resolve = |label: u32| labels[label as usize].unwrap_or(0);
        for op in &mut self.ops {
            if let Some(label) = super::flow::target(*op) {
                super::flow::set_target(op, resolve(label));
            }
        }
        let mut handlers = std::mem::take(&mut self.handlers);
        for handler in &mut handlers {
            handler.target = resolve(handler.target);
        }
        let mut code = Code {
            name: name.into(),
            ops: self.ops,
            positions: self.positions,
            handlers,
            switches: Vec::new(),
            registers: self.high as u16,
            parameters: 0,
            checks: None,
        };
        if !self.env.is_plain {
            super::optimize::optimize(&mut code, self.env);
            if self.purpose == Purpose::Constraint {
                code.checks = super::check::checks(&code, &self.env.constants);
            }
        }
        Ok(code)
    }
}
