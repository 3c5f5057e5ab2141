//! Runs compiled code: a register machine with Java's arithmetic, exceptions and null semantics.

mod check;
mod numbers;
mod relate;
mod slow;
mod stack;

pub(crate) use numbers::{convert, maximum, minimum};

use crate::heap::{Heap, Key, ListKind, Other, Throwable, Value};
use crate::program::{Brief, Code, Intrinsic, Op, Program, Register};
use crate::types::class;
use stack::Stack;

/// Java's own default stack holds some thousand frames of this kind.
const MAXIMUM_CALLS: u32 = 700;

/// Loop turns and calls that one firing or condition may take.
pub(crate) const DEFAULT_STEPS: u64 = 50_000_000;

/// Why running code stopped early.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Throw {
    /// A Java exception, which the rule file may catch.
    Exception(Value),
    /// A limit of the session, which it may not.
    Limit(Limit),
}

/// What a session may not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Loop turns and calls within one condition or consequence.
    Steps(u64),
    /// Memory of one session.
    Memory,
}

pub(crate) type Outcome<T> = Result<T, Throw>;

/// What a consequence asks of the working memory; carried out when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Insert { fact: Value, logical: bool },
    Update { fact: Value, mask: u16 },
    Delete { fact: Value },
    Halt,
    Focus(Value),
}

/// The registers, the heap and the globals of a session.
#[derive(Debug)]
pub(crate) struct Machine<'p> {
    pub(crate) program: &'p Program,
    pub(crate) heap: Heap,
    pub(crate) globals: Vec<Value>,
    pub(crate) actions: Vec<Action>,
    stack: Stack,
    /// The constants as keys of maps.
    keys: Vec<Key>,
    steps: u64,
    step_limit: u64,
    calls: u32,
    /// Source offset where the last uncaught exception came from.
    pub(crate) thrown_at: u32,
    pub(crate) patterns: std::collections::HashMap<Vec<u8>, std::sync::Arc<fancy_regex::Regex>>,
    /// The constants of declared enumerations, made once per case: `==` compares objects.
    pub(crate) constants: rustc_hash::FxHashMap<(u16, u8), Value>,
}

impl<'p> Machine<'p> {
    pub(crate) fn new(program: &'p Program) -> Self {
        Self {
            program,
            heap: Heap::new(program.text.clone(), program.classes.clone()),
            globals: vec![Value::Null; program.global_names.len()],
            actions: Vec::new(),
            stack: Stack::default(),
            keys: program.constants.iter().map(|constant| Key::new(*constant)).collect(),
            steps: DEFAULT_STEPS,
            step_limit: DEFAULT_STEPS,
            calls: 0,
            thrown_at: 0,
            patterns: std::collections::HashMap::new(),
            constants: rustc_hash::FxHashMap::default(),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.heap.reset();
        self.constants.clear();
        self.actions.clear();
        self.globals.fill(Value::Null);
        // Patterns made from case data must not pile up.
        if self.patterns.len() > 256 {
            self.patterns.clear();
        }
    }

    pub(crate) fn set_step_limit(&mut self, steps: u64) {
        self.step_limit = steps;
    }

    /// Runs code of the program on `arguments`.
    pub(crate) fn run(&mut self, code: u32, arguments: &[Value]) -> Outcome<Value> {
        let depth = self.prepare()?;
        for (register, argument) in (0..=Register::MAX).zip(arguments) {
            self.pass(depth, register, *argument);
        }
        self.run_prepared(code, depth)
    }

    /// Makes a frame for code that is run next, and returns its depth.
    #[inline]
    pub(crate) fn prepare(&mut self) -> Outcome<usize> {
        if self.calls == 0 {
            self.steps = self.step_limit;
            return Ok(0);
        }
        self.reserve()
    }

    /// Puts an argument into a prepared frame.
    #[inline]
    pub(crate) fn pass(&mut self, depth: usize, register: Register, argument: Value) {
        self.stack.frame(depth).set(register, argument);
    }

    /// Runs code of the program on a prepared frame.
    #[inline]
    pub(crate) fn run_prepared(&mut self, code: u32, depth: usize) -> Outcome<Value> {
        let program = self.program;
        self.enter(&program.codes[code as usize], depth)
    }

    /// Makes room for the frame of a call and returns its depth.
    #[inline]
    fn reserve(&mut self) -> Outcome<usize> {
        if self.calls >= MAXIMUM_CALLS {
            return Err(self.exception(class::STACK_OVERFLOW, None));
        }
        self.stack.reserve(self.calls as usize);
        Ok(self.calls as usize)
    }

    #[inline]
    fn enter(&mut self, code: &'p Code, depth: usize) -> Outcome<Value> {
        self.calls += 1;
        let mut at = 0;
        let mut result = self.execute(code, depth, &mut at);
        while let Err(Throw::Exception(exception)) = result {
            if !self.recover(code, depth, &mut at, exception) {
                break;
            }
            result = self.execute(code, depth, &mut at);
        }
        self.calls -= 1;
        result
    }

    /// Goes on at the handler of an exception, if there is one.
    #[cold]
    fn recover(&mut self, code: &'p Code, depth: usize, at: &mut usize, exception: Value) -> bool {
        match self.handler(code, *at as u32, exception) {
            Some(handler) => {
                self.stack.frame(depth).set(handler.register, exception);
                *at = handler.target as usize;
                true
            }
            None => {
                if self.thrown_at == 0 {
                    self.thrown_at = code.positions.get(*at).copied().unwrap_or(0);
                }
                false
            }
        }
    }

    fn handler(&mut self, code: &'p Code, at: u32, exception: Value) -> Option<&'p crate::program::Handler> {
        let class = self.heap.class_of(exception);
        let program = self.program;
        let found = code.handlers.iter().find(|handler| {
            (handler.start..handler.end).contains(&at)
                && (handler.classes.is_empty() || handler.classes.iter().any(|c| program.is_subclass(class, *c)))
        });
        if found.is_some() {
            self.thrown_at = 0;
        }
        found
    }

    /// Counts a loop turn or call against the limits.
    fn step(&mut self) -> Outcome<()> {
        self.steps = self.steps.wrapping_sub(1);
        if self.steps & 0xfff == 0 { self.check_limits() } else { Ok(()) }
    }

    /// Whether a limit was reached; asked whenever the steps left are a multiple of 4,096.
    #[cold]
    fn check_limits(&self) -> Outcome<()> {
        if self.steps == 0 {
            return Err(Throw::Limit(Limit::Steps(self.step_limit)));
        }
        if self.heap.is_full() {
            return Err(Throw::Limit(Limit::Memory));
        }
        Ok(())
    }

    /// Runs a function whose arguments lie in another frame.
    fn call_function(&mut self, code: &'p Code, from: usize, first: Register) -> Outcome<Value> {
        self.step()?;
        let depth = self.reserve()?;
        self.stack.hand_over(from, first, code.parameters, depth);
        self.enter(code, depth)
    }

    /// An exception of a class, with a message or without.
    #[cold]
    pub(crate) fn exception(&mut self, class: u16, message: Option<&str>) -> Throw {
        let message = match message {
            Some(text) => self.heap.new_string(text.as_bytes()),
            None => Value::Null,
        };
        let throwable = Throwable { class, message, cause: Value::Null };
        Throw::Exception(self.heap.new_other(Other::Throwable(throwable)))
    }

    #[cold]
    pub(crate) fn null_pointer(&mut self, what: &str) -> Throw {
        self.exception(class::NULL_POINTER, Some(what))
    }

    /// Calls a lambda, a comparator included.
    pub(crate) fn call(&mut self, function: Value, arguments: &[Value]) -> Outcome<Value> {
        self.step()?;
        let Value::Other(other) = function else {
            return Err(self.null_pointer("a function is null"));
        };
        match self.heap.other(other) {
            Other::Lambda { code, captured } => {
                let (code, captured) = (*code, captured.clone());
                let mut all = captured.to_vec();
                all.extend_from_slice(arguments);
                self.run(code, &all)
            }
            Other::Comparator(comparator) => {
                let comparator = comparator.clone();
                if self.calls >= MAXIMUM_CALLS {
                    return Err(self.exception(class::STACK_OVERFLOW, None));
                }
                self.calls += 1;
                let order = self.compare_with(&comparator, arguments[0], arguments[1]);
                self.calls -= 1;
                order.map(Value::Integer)
            }
            _ => Err(self.exception(class::CLASS_CAST, Some("the value is not a function"))),
        }
    }

    /// The value of a key of a map; null for what is no map.
    #[inline]
    pub(crate) fn map_key(&mut self, map: Value, key: u16) -> &Value {
        let Value::Map(map) = map else { return &Value::Null };
        self.heap.find_key(map, &mut self.keys[usize::from(key)])
    }

    #[cold]
    pub(super) fn class_cast(&mut self, value: Value, class: u16) -> Throw {
        let from = self.heap.class_name(value).full;
        let to = self.program.classes[class as usize].name.clone();
        let mut message = format!("class {from} cannot be cast to class {to}");
        let declared = |class: u16| self.program.classes[usize::from(class)].is_declared;
        if !declared(self.heap.class_of(value)) && !declared(class) {
            message += &format!(" ({from} and {to} are in module java.base of loader 'bootstrap')");
        }
        self.exception(class::CLASS_CAST, Some(&message))
    }

    /// Whether a value that is not null is an instance of a class.
    pub(crate) fn is_instance(&self, value: Value, class: u16) -> bool {
        self.program.is_instance(&self.heap, value, class)
    }

    fn execute(&mut self, code: &'p Code, depth: usize, at: &mut usize) -> Outcome<Value> {
        let ops = code.ops.as_slice();
        let program = self.program;
        let (constants, encoded) = (program.constants.as_slice(), program.encoded.as_slice());
        let mut pc = *at;
        let mut frame = self.stack.frame(depth);
        macro_rules! get {
            ($register:expr) => {
                frame.get($register)
            };
        }
        macro_rules! set {
            ($register:expr, $value:expr) => {{
                let value = $value;
                frame.set($register, value);
            }};
        }
        // Errors leave the position behind for the search of a handler.
        macro_rules! fail {
            ($thrown:expr) => {{
                // The operation's own place: the next one's is ready.
                *at = pc - 1;
                return Err($thrown);
            }};
        }
        // What needs the whole machine may move the frame.
        macro_rules! attempt {
            ($result:expr) => {{
                let result = $result;
                frame = self.stack.frame(depth);
                match result {
                    Ok(value) => value,
                    Err(thrown) => fail!(thrown),
                }
            }};
        }
        // A jump back is another turn of a loop.
        macro_rules! count_turn {
            ($target:expr) => {
                if ($target as usize) < pc {
                    self.steps = self.steps.wrapping_sub(1);
                    if self.steps & 0xfff == 0 {
                        attempt!(self.check_limits());
                    }
                }
            };
        }
        macro_rules! jump {
            ($target:expr) => {{
                count_turn!($target);
                pc = $target as usize;
                continue;
            }};
        }
        macro_rules! map_key_or_null {
            ($map:expr, $key:expr) => {
                match frame.map($map) {
                    Some(map) => self.heap.find_key(map, &mut self.keys[usize::from($key)]),
                    None => &Value::Null,
                }
            };
        }
        macro_rules! instance {
            ($on:expr, $class:expr) => {{
                // The common tests need no look at the object.
                let certain = match $class {
                    class::MAP => frame.map($on).is_some(),
                    class::LIST => frame.list($on).is_some(),
                    class::STRING => frame.string($on).is_some(),
                    class::INTEGER => frame.integer($on).is_some(),
                    _ => false,
                };
                certain || {
                    let is_instance = self.is_instance_in(depth, $on, $class);
                    frame = self.stack.frame(depth);
                    is_instance
                }
            }};
        }
        macro_rules! set_number {
            ($to:expr, $value:expr) => {
                match *$value {
                    Value::Double(double) => set!($to, Value::Double(double)),
                    Value::Integer(whole) => set!($to, Value::Double(f64::from(whole))),
                    other => match crate::library::number_to_double(&self.heap, other) {
                        Some(double) => set!($to, Value::Double(double)),
                        None => set!($to, Value::Null),
                    },
                }
            };
        }
        macro_rules! equal {
            ($left:expr, $right:expr) => {
                if let (Some(left), Some(right)) = (frame.string($left), frame.string($right)) {
                    self.heap.equal_texts(left, right)
                } else if frame.is_null($left) {
                    fail!(self.null_pointer("cannot call equals on null"))
                } else {
                    self.heap.equal(get!($left), get!($right))
                }
            };
        }
        macro_rules! equal_constant {
            ($on:expr, $constant:expr) => {
                match constants[usize::from($constant)] {
                    Value::String(right) => frame.string($on).is_some_and(|left| self.heap.equal_texts(left, right)),
                    Value::Boolean(right) => frame.boolean($on) == Some(right),
                    _ => false,
                }
            };
        }
        macro_rules! compare {
            ($kind:ident, $test:expr, $left:expr, $right:expr, $target:expr) => {
                if let (Some(a), Some(b)) = (frame.$kind($left), frame.$kind($right)) {
                    if $test.holds(a, b) {
                        jump!($target);
                    }
                } else {
                    fail!(self.null_pointer("cannot unbox null"))
                }
            };
        }
        // The second side is a constant.
        macro_rules! compare_constant {
            ($kind:ident, $variant:ident, $test:expr, $left:expr, $constant:expr, $target:expr) => {
                if let Some(a) = frame.$kind($left) {
                    if let Value::$variant(b) = constants[usize::from($constant)] {
                        if $test.holds(a, b) {
                            jump!($target);
                        }
                    }
                } else {
                    fail!(self.null_pointer("cannot unbox null"))
                }
            };
        }
        macro_rules! has_next {
            ($state:expr, $over:expr) => {
                match (frame.long($state), frame.list($over)) {
                    // The iterator ends when its place is the list's size, even if the list has changed.
                    (Some(held), Some(list)) => list_iterator(held).0 != self.heap.list(list).items.len(),
                    _ => attempt!(self.has_next(depth, $state)),
                }
            };
        }
        macro_rules! next {
            ($to:expr, $state:expr, $over:expr) => {
                match (frame.long($state), frame.list($over)) {
                    (Some(held), Some(list)) => {
                        let (place, changes) = list_iterator(held);
                        let data = self.heap.list(list);
                        if data.changes != changes {
                            fail!(self.exception(class::CONCURRENT_MODIFICATION, None));
                        }
                        let Some(item) = data.items.get(place) else {
                            fail!(self.exception(class::NO_SUCH_ELEMENT, None));
                        };
                        frame.set_read($to, item);
                        set!($state, Value::Long(held + (1 << 32)));
                    }
                    _ => attempt!(self.next(depth, $to, $state)),
                }
            };
        }
        loop {
            let op = ops[pc];
            pc += 1;
            match op {
                Op::Move { to, from } => frame.copy(from, to),
                Op::Constant { to, index } => {
                    let (tag, bits) = encoded[usize::from(index)];
                    frame.put(to, tag, bits);
                }
                Op::Global { to, index } => frame.set_read(to, &self.globals[usize::from(index)]),
                Op::Jump { target } => jump!(target),
                Op::JumpIf { on, target } => {
                    if matches!(get!(on), Value::Boolean(true)) {
                        jump!(target);
                    }
                }
                Op::JumpUnless { on, target } => {
                    if !matches!(get!(on), Value::Boolean(true)) {
                        jump!(target);
                    }
                }
                Op::JumpNull { on, target } => {
                    if get!(on).is_null() {
                        jump!(target);
                    }
                }
                Op::JumpNotNull { on, target } => {
                    if !get!(on).is_null() {
                        jump!(target);
                    }
                }
                Op::JumpInt { test, left, right, target } => compare!(integer, test, left, right, target),
                Op::JumpLong { test, left, right, target } => compare!(long, test, left, right, target),
                Op::JumpDouble { test, left, right, target } => compare!(double, test, left, right, target),
                Op::JumpIntConstant { test, left, constant, target } => {
                    compare_constant!(integer, Integer, test, left, constant, target)
                }
                Op::JumpLongConstant { test, left, constant, target } => {
                    compare_constant!(long, Long, test, left, constant, target)
                }
                Op::JumpDoubleConstant { test, left, constant, target } => {
                    compare_constant!(double, Double, test, left, constant, target)
                }
                Op::JumpSize { test, left, list, target } => {
                    let size = match frame.list(list) {
                        Some(list) => self.heap.list(list).items.len() as i32,
                        None => attempt!(self.size_in(depth, list)),
                    };
                    if frame.integer(left).is_some_and(|left| test.holds(left, size)) {
                        jump!(target);
                    }
                }
                Op::Switch { on, table } => {
                    if let Some(text) = frame.string(on) {
                        if let Some(target) = code.switches[usize::from(table)].find(&self.heap, text) {
                            jump!(target);
                        }
                    }
                }
                Op::JumpEqual { left, right, target } => {
                    if equal!(left, right) {
                        jump!(target);
                    }
                }
                Op::JumpNotEqual { left, right, target } => {
                    if !equal!(left, right) {
                        jump!(target);
                    }
                }
                Op::JumpEqualConstant { on, constant, target } => {
                    if equal_constant!(on, constant) {
                        jump!(target);
                    }
                }
                Op::JumpNotEqualConstant { on, constant, target } => {
                    if !equal_constant!(on, constant) {
                        jump!(target);
                    }
                }
                Op::JumpInstance { on, class, target } => {
                    if instance!(on, class) {
                        jump!(target);
                    }
                }
                Op::JumpNotInstance { on, class, target } => {
                    if !instance!(on, class) {
                        jump!(target);
                    }
                }
                Op::Int { operator, to, left, right } => {
                    if let (Value::Integer(a), Value::Integer(b)) = (get!(left), get!(right)) {
                        match numbers::int(operator, a, b) {
                            Some(value) => set!(to, Value::Integer(value)),
                            None => fail!(self.exception(class::ARITHMETIC_EXCEPTION, Some("/ by zero"))),
                        }
                    }
                }
                Op::Double { operator, to, left, right } => {
                    if let (Value::Double(a), Value::Double(b)) = (get!(left), get!(right)) {
                        set!(to, Value::Double(numbers::double(operator, a, b)));
                    }
                }
                Op::IntStep { to, left, by } => {
                    if let Value::Integer(value) = get!(left) {
                        set!(to, Value::Integer(value.wrapping_add(by.into())));
                    }
                }
                Op::Convert { to, from, target } => {
                    let value = get!(from);
                    match convert(value, target) {
                        Some(converted) => set!(to, converted),
                        None if value.is_null() => {
                            fail!(self.null_pointer("cannot unbox null"))
                        }
                        None => fail!(self.class_cast(value, numbers::boxed(target))),
                    }
                }
                Op::Cast { on, class } => {
                    if !frame.is_null(on) && !instance!(on, class) {
                        let value = get!(on);
                        fail!(self.class_cast(value, class));
                    }
                }
                Op::MapGet { to, map, key } => {
                    if frame.map(map).is_none() {
                        fail!(self.null_pointer("cannot read a key of null"));
                    }
                    frame.set_read(to, map_key_or_null!(map, key));
                }
                Op::MapGetSafe { to, map, key } => frame.set_read(to, map_key_or_null!(map, key)),
                Op::MapText { to, map, key } => match *map_key_or_null!(map, key) {
                    Value::String(text) => set!(to, Value::String(text)),
                    Value::Null => set!(to, Value::Null),
                    other => set!(to, self.heap.build(|writer| writer.push_value(other))),
                },
                Op::MapNumber { to, map, key } => {
                    let value = map_key_or_null!(map, key);
                    set_number!(to, value);
                }
                Op::MapTextElse { to, map, key, target } => match *map_key_or_null!(map, key) {
                    Value::String(text) => set!(to, Value::String(text)),
                    Value::Null => {
                        set!(to, Value::Null);
                        jump!(target);
                    }
                    other => set!(to, self.heap.build(|writer| writer.push_value(other))),
                },
                Op::MapNumberElse { to, map, key, target } => {
                    let value = map_key_or_null!(map, key);
                    set_number!(to, value);
                    if frame.is_null(to) {
                        jump!(target);
                    }
                }
                Op::JumpNotKeyText { map, key, constant, target } => {
                    let text = match *map_key_or_null!(map, key) {
                        Value::String(text) => Some(text),
                        Value::Null => None,
                        other => match self.heap.build(|writer| writer.push_value(other)) {
                            Value::String(text) => Some(text),
                            _ => None,
                        },
                    };
                    let wanted = match constants[usize::from(constant)] {
                        Value::String(wanted) => wanted,
                        _ => jump!(target),
                    };
                    if !text.is_some_and(|text| self.heap.equal_texts(text, wanted)) {
                        jump!(target);
                    }
                }
                Op::TextOrNull { to, from } => match get!(from) {
                    Value::String(_) | Value::Null => {
                        frame.copy(from, to);
                    }
                    other => set!(to, self.heap.build(|writer| writer.push_value(other))),
                },
                Op::NumberOrNull { to, from } => {
                    let value = get!(from);
                    set_number!(to, &value);
                }
                Op::Intrinsic { which, to, first, second } => {
                    // The common cases in place: through memory a result would be written and read in
                    // different widths.
                    macro_rules! done {
                        ($value:expr) => {{
                            set!(to, $value);
                            continue;
                        }};
                    }
                    match which {
                        Intrinsic::Size => {
                            if let Some(list) = frame.list(first) {
                                done!(Value::Integer(self.heap.list(list).items.len() as i32));
                            }
                        }
                        Intrinsic::ListGet => {
                            if let (Some(list), Some(at)) = (frame.list(first), frame.integer(second)) {
                                if let Some(item) = self.heap.list(list).items.get(at as usize) {
                                    frame.set_read(to, item);
                                    continue;
                                }
                            }
                        }
                        Intrinsic::ListAdd => {
                            if let Some(list) = frame.list(first).filter(|list| !self.heap.is_fixed(*list)) {
                                let item = get!(second);
                                self.heap.list_add(list, item);
                                done!(Value::Boolean(true));
                            }
                        }
                        Intrinsic::Length => {
                            if let Some(text) = frame.string(first).filter(|text| text.is_ascii()) {
                                done!(Value::Integer(text.bytes_len() as i32));
                            }
                        }
                        Intrinsic::ToString => {
                            if let Some(text) = frame.string(first) {
                                done!(Value::String(text));
                            }
                        }
                        Intrinsic::Equals => {
                            let equal = equal!(first, second);
                            done!(Value::Boolean(equal));
                        }
                        Intrinsic::EqualsIgnoreCase => {
                            if let (Some(left), Some(right)) = (frame.string(first), frame.string(second)) {
                                if left.is_ascii() && right.is_ascii() {
                                    let equal = left.bytes_len() == right.bytes_len()
                                        && self.heap.bytes(left).eq_ignore_ascii_case(self.heap.bytes(right));
                                    done!(Value::Boolean(equal));
                                }
                            }
                        }
                        Intrinsic::DoubleValue => {
                            if let Some(double) = frame.double(first) {
                                done!(Value::Double(double));
                            }
                        }
                        Intrinsic::IntValue => {
                            if let Some(whole) = frame.integer(first) {
                                done!(Value::Integer(whole));
                            }
                        }
                        Intrinsic::MaximumInt => {
                            if let (Some(left), Some(right)) = (frame.integer(first), frame.integer(second)) {
                                done!(Value::Integer(left.max(right)));
                            }
                        }
                        Intrinsic::AbsoluteDouble => {
                            if let Some(double) = frame.double(first) {
                                done!(Value::Double(double.abs()));
                            }
                        }
                        _ => {}
                    }
                    attempt!(self.intrinsic_in(depth, which, to, first, second));
                }
                Op::MapPut { map, key, from, to } => match frame.map(map) {
                    Some(map) if self.heap.takes_any_key(map) => {
                        let (key, value) = (get!(key), get!(from));
                        set!(to, self.heap.map_put(map, key, value).unwrap_or(Value::Null));
                    }
                    _ => {
                        let (map, key, value) = (get!(map), get!(key), get!(from));
                        set!(to, attempt!(self.map_put(map, key, value)));
                    }
                },
                Op::MapPutKey { map, from, to, key } => match frame.map(map) {
                    Some(map) if self.heap.takes_any_key(map) => {
                        let (key, value) = (&mut self.keys[usize::from(key)], get!(from));
                        set!(to, self.heap.map_put_key(map, key, value).unwrap_or(Value::Null));
                    }
                    _ => {
                        let (map, value) = (get!(map), get!(from));
                        set!(to, attempt!(self.map_put(map, constants[usize::from(key)], value)));
                    }
                },
                Op::MapSetKey { map, from, key } => match frame.map(map) {
                    Some(map) if self.heap.takes_any_key(map) => {
                        let (key, value) = (&mut self.keys[usize::from(key)], get!(from));
                        self.heap.map_put_key(map, key, value);
                    }
                    _ => {
                        let (map, value) = (get!(map), get!(from));
                        attempt!(self.map_put(map, constants[usize::from(key)], value));
                    }
                },
                Op::MapSetConstant { map, key, constant } => {
                    let value = constants[usize::from(constant)];
                    match frame.map(map) {
                        Some(map) if self.heap.takes_any_key(map) => {
                            self.heap.map_put_key(map, &mut self.keys[usize::from(key)], value);
                        }
                        _ => {
                            let map = get!(map);
                            attempt!(self.map_put(map, constants[usize::from(key)], value));
                        }
                    }
                }
                Op::GlobalAddConstant { global, constant } => {
                    let item = constants[usize::from(constant)];
                    match self.globals[usize::from(global)] {
                        Value::List(list) if !self.heap.is_fixed(list) => self.heap.list_add(list, item),
                        list => {
                            attempt!(self.intrinsic(Intrinsic::ListAdd, list, item));
                        }
                    }
                }
                Op::ListAddConstant { to, list, constant } => {
                    let item = constants[usize::from(constant)];
                    match frame.list(list).filter(|list| !self.heap.is_fixed(*list)) {
                        Some(list) => self.heap.list_add(list, item),
                        None => {
                            let list = get!(list);
                            attempt!(self.intrinsic(Intrinsic::ListAdd, list, item));
                        }
                    }
                    set!(to, Value::Boolean(true));
                }
                Op::Call { to, first, function } => {
                    let callee = &program.codes[usize::from(function)];
                    set!(to, attempt!(self.call_function(callee, depth, first)));
                }
                Op::Return { from } => return Ok(get!(from)),
                Op::ReturnConstant { index } => return Ok(constants[usize::from(index)]),
                Op::Iterate { to, over } => match get!(over) {
                    Value::List(list) => set!(to, Value::Long(self.heap.list(list).changes.into())),
                    over => set!(to, attempt!(crate::library::iterate(self, &[over]))),
                },
                Op::Step { to, state, over } => next!(to, state, over),
                Op::JumpMore { state, over, target } => {
                    if has_next!(state, over) {
                        jump!(target);
                    }
                }
                Op::Next { to, state, over, target } => {
                    if has_next!(state, over) {
                        count_turn!(target);
                        next!(to, state, over);
                        pc = usize::from(target);
                    }
                }
                Op::NextMap { to, state, over, target } => {
                    while has_next!(state, over) {
                        count_turn!(target);
                        next!(to, state, over);
                        if instance!(to, class::MAP) {
                            pc = usize::from(target);
                            break;
                        }
                    }
                }
                Op::ListMapElse { to, list, at: index, target } => {
                    let item = match (frame.list(list), frame.integer(index)) {
                        (Some(list), Some(index)) => self.heap.list(list).items.get(index as usize),
                        _ => None,
                    };
                    match item {
                        Some(item) => frame.set_read(to, item),
                        None => attempt!(self.intrinsic_in(depth, Intrinsic::ListGet, to, list, index)),
                    }
                    if !instance!(to, class::MAP) {
                        jump!(target);
                    }
                }
                Op::Throw { from } => {
                    let value = get!(from);
                    fail!(match value {
                        Value::Null => self.null_pointer("cannot throw null"),
                        _ => Throw::Exception(value),
                    });
                }
                Op::GetField { to, of, field } => match get!(of) {
                    Value::Instance(instance) => {
                        set!(to, self.heap.instance(instance).fields[usize::from(field)])
                    }
                    _ => fail!(self.null_pointer("cannot read a field of null")),
                },
                Op::ArrayGet { to, of, at: index } => {
                    let (array, index) = (get!(of), get!(index));
                    let (list, index) = attempt!(self.array_place(array, index));
                    set!(to, self.heap.list(list).items[index]);
                }
                Op::ArrayLength { to, of } => match get!(of) {
                    Value::Array(list) => {
                        set!(to, Value::Integer(self.heap.list(list).items.len() as i32))
                    }
                    _ => fail!(self.null_pointer("cannot read the length of a null array")),
                },
                Op::NotNull { on } => {
                    if get!(on).is_null() {
                        fail!(self.null_pointer("cannot call a method of null"));
                    }
                }
                Op::Brief { which, to, first, method } => {
                    let second = first.wrapping_add(1);
                    match which {
                        Brief::NewList if !self.heap.is_full() => {
                            let list = self.heap.new_list(ListKind::ArrayList);
                            set!(to, Value::List(list));
                        }
                        Brief::Substring => {
                            let text = frame.string(first);
                            let ends = (frame.integer(second), frame.integer(first.wrapping_add(2)));
                            let part = text
                                .zip(ends.0.zip(ends.1))
                                .and_then(|(text, (start, end))| self.heap.part(text, start, end));
                            match part {
                                Some(part) => set!(to, Value::String(part)),
                                None => set!(to, attempt!(self.native(method, depth, first))),
                            }
                        }
                        Brief::ParseInt | Brief::ParseLong => {
                            let text = frame.string(first);
                            match text.and_then(|text| crate::library::few_digits(self.heap.bytes(text))) {
                                Some(number) if which == Brief::ParseInt => set!(to, Value::Integer(number)),
                                Some(number) => set!(to, Value::Long(number.into())),
                                None => set!(to, attempt!(self.native(method, depth, first))),
                            }
                        }
                        Brief::NewList => set!(to, attempt!(self.native(method, depth, first))),
                    }
                }
                Op::Native { to, first, method } => set!(to, attempt!(self.native(method, depth, first))),
                // All by name: a case for what is left would make every operation pass a test of its range.
                other @ (Op::Long { .. }
                | Op::Float { .. }
                | Op::Negate { .. }
                | Op::Complement { .. }
                | Op::Same { .. }
                | Op::Lambda { .. }
                | Op::Concat { .. }
                | Op::SetField { .. }
                | Op::New { .. }
                | Op::NewArray { .. }
                | Op::NewArraySized { .. }
                | Op::ArraySet { .. }
                | Op::Relate { .. }
                | Op::Insert { .. }
                | Op::Update { .. }
                | Op::Delete { .. }
                | Op::Halt
                | Op::Focus { .. }) => attempt!(self.slow(other, depth)),
            }
        }
    }

    /// The register of nothing: natives that return nothing yield null.
    pub(crate) fn frozen_list(&mut self, items: impl IntoIterator<Item = Value>) -> Value {
        self.heap.list_of(ListKind::Frozen, items)
    }
}

/// Place and count of changes in what [`Op::Iterate`] makes of a list.
fn list_iterator(state: i64) -> (usize, u32) {
    ((state >> 32) as usize, state as u32)
}

/// No frame has more registers than an operation can name.
pub(crate) const MAXIMUM_REGISTERS: usize = Register::MAX as usize;
