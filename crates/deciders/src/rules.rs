//! A bank's own rule file as a decider.
//!
//! The facts enter the working memory as the bank's Java runner would put them there: every map in
//! `recent_tx` as a `HashMap` with `__type` set to `Transaction`, then the facts themselves. The decision is
//! what the rules leave in the globals `out` (a map) and `fired` (a list).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::rules::{FireError, GlobalKind, LoadError, Name, RuleBase, Session, Value};
use decision::{Case, DecideError, Decider, Decision, Identity, Reason, Worker};

/// A rule file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has errors.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// The rules decider.
#[derive(Clone, Debug)]
pub struct Rules {
    base: Arc<RuleBase>,
    identity: Identity,
    firing_limit: usize,
}

impl Rules {
    /// Compiles the text of a rule file.
    ///
    /// # Errors
    /// When the file has errors.
    pub fn compile(name: &str, source: &str) -> Result<Self, Error> {
        let base = RuleBase::compile(name, source)?;
        let hash = crate::sha256(source.as_bytes());
        let identity = Identity { name: "rules".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), hash };
        Ok(Self { base: Arc::new(base), identity, firing_limit: ::rules::DEFAULT_FIRINGS })
    }

    /// Reads and compiles a rule file.
    ///
    /// # Errors
    /// When the file cannot be read or has errors.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let source = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::compile(&path.display().to_string(), &source)
    }

    /// The compiled file.
    pub fn base(&self) -> &RuleBase {
        &self.base
    }

    /// Firings allowed for one case.
    pub fn set_firing_limit(&mut self, limit: usize) {
        self.firing_limit = limit;
    }

    /// A session with what it takes to run cases one after another.
    pub fn runner(&self) -> Runner<'_> {
        let global = |name: &str, kind: GlobalKind| {
            self.base.globals().iter().position(|global| global.name == name && global.kind == kind)
        };
        let mut session = Session::new(&self.base);
        session.set_firing_limit(self.firing_limit);
        Runner {
            names: Names::new(&mut session),
            session,
            base: &self.base,
            out: global("out", GlobalKind::Map),
            fired: global("fired", GlobalKind::List),
        }
    }
}

impl Decider for Rules {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(self.runner())
    }
}

/// What cases and decisions call their parts.
struct Names {
    facts: Name,
    transactions: Name,
    kind: Name,
    transaction: Name,
    outcome: Name,
    level: Name,
    flags: Name,
}

impl Names {
    fn new(session: &mut Session<'_>) -> Self {
        Self {
            facts: session.name("facts"),
            transactions: session.name("recent_tx"),
            kind: session.name("__type"),
            transaction: session.name("Transaction"),
            outcome: session.name("aml_decision"),
            level: session.name("escalation_level"),
            flags: session.name("flags"),
        }
    }
}

/// Runs cases through the rules on one thread.
pub struct Runner<'r> {
    session: Session<'r>,
    names: Names,
    base: &'r RuleBase,
    out: Option<usize>,
    fired: Option<usize>,
}

impl<'r> Runner<'r> {
    /// Makes a fresh case: empty globals, no facts.
    pub fn begin(&mut self) {
        self.session.reset();
        for (index, global) in self.base.globals().iter().enumerate() {
            let mut memory = self.session.memory();
            let empty = memory.empty(global.kind);
            memory.set_global(index, empty);
        }
    }

    /// The session, for those who look further: traces, coverage.
    pub fn session(&mut self) -> &mut Session<'r> {
        &mut self.session
    }

    /// Reads a JSON text into the session's memory.
    ///
    /// # Errors
    /// Where and why the text is not JSON.
    pub fn read(&mut self, text: &[u8]) -> Result<Value, DecideError> {
        self.session.memory().read_json(text).map_err(|error| DecideError::NotJson(error.to_string()))
    }

    /// Reads a case line; its facts are those under `facts`, or the line itself.
    ///
    /// # Errors
    /// Where and why the text is not JSON.
    pub fn read_case(&mut self, line: &[u8]) -> Result<Value, DecideError> {
        let line = self.read(line)?;
        Ok(self.session.memory().get(line, &mut self.names.facts).unwrap_or(line))
    }

    /// Inserts a case's facts and fires.
    ///
    /// # Errors
    /// When the rules fail on the case, or run past a limit.
    pub fn fire(&mut self, facts: Value) -> Result<(), DecideError> {
        if !self.session.memory().is_map(facts) {
            return Err(DecideError::Unfit("the facts are not a JSON object".to_owned()));
        }
        if let Some(transactions) = self.session.memory().get(facts, &mut self.names.transactions) {
            let mut memory = self.session.memory();
            let count = memory.list_len(transactions).unwrap_or(0);
            let (key, value) = (memory.name(&self.names.kind), memory.name(&self.names.transaction));
            for index in 0..count {
                let mut memory = self.session.memory();
                let Some(item) = memory.list_item(transactions, index).filter(|item| memory.is_map(*item)) else {
                    continue;
                };
                let copy = memory.copy_as_hash_map(item);
                memory.put(copy, key, value);
                self.session.insert(copy);
            }
        }
        self.session.insert(facts);
        self.session.fire().map(|_| ()).map_err(|error: FireError| DecideError::Failed(error.to_string()))
    }

    /// Appends the raw view: `{"decision":{…},"fired_rules":[…]}`.
    pub fn write_raw(&mut self, out: &mut Vec<u8>) {
        let (holder, fired) = (self.out, self.fired);
        let mut memory = self.session.memory();
        let result = holder.map_or(Value::Null, |index| memory.global(index));
        for (prefix, key, missing) in [
            (&br#"{"decision":{"aml_decision":"#[..], &mut self.names.outcome, &br#""CLEAR""#[..]),
            (br#","escalation_level":"#, &mut self.names.level, b"0"),
            (br#","reasons":"#, &mut self.names.flags, b"[]"),
        ] {
            out.extend_from_slice(prefix);
            match memory.get(result, key) {
                Some(value) => memory.write_json(value, out),
                None => out.extend_from_slice(missing),
            }
        }
        out.extend_from_slice(br#"},"fired_rules":"#);
        match fired {
            Some(index) => memory.write_json(memory.global(index), out),
            None => out.extend_from_slice(b"[]"),
        }
        out.push(b'}');
    }

    /// The decision that the rules left.
    pub fn decision(&mut self) -> Decision {
        let holder = self.out;
        let mut memory = self.session.memory();
        let result = holder.map_or(Value::Null, |index| memory.global(index));
        let outcome = memory.get(result, &mut self.names.outcome);
        let level = memory.get(result, &mut self.names.level);
        let flags = memory.get(result, &mut self.names.flags).unwrap_or(Value::Null);
        let reasons = (0..memory.list_len(flags).unwrap_or(0))
            .filter_map(|index| memory.list_item(flags, index))
            .map(|flag| Reason { code: memory.display(flag), ..Reason::default() })
            .collect();
        Decision {
            outcome: outcome.map_or_else(|| "CLEAR".to_owned(), |outcome| memory.display(outcome)),
            level: Some(level.and_then(|level| memory.integer(level)).unwrap_or(0)),
            reasons,
            ..Decision::default()
        }
    }
}

impl Worker for Runner<'_> {
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
        cases
            .iter()
            .map(|case| {
                self.begin();
                let facts = self.read(case.facts.as_bytes())?;
                self.fire(facts)?;
                Ok(self.decision())
            })
            .collect()
    }
}
