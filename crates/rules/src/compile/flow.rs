//! How values flow through finished code: what operations read and write, which registers are still read
//! later, and what is known of each before an operation.

use crate::heap::Value;
use crate::library::Method;
use crate::program::{Code, Intrinsic, Near, Op, Primitive, Register};

/// A set of registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers([u64; 4]);

impl Registers {
    pub(super) fn contains(&self, register: Register) -> bool {
        self.0[usize::from(register / 64)] >> (register % 64) & 1 == 1
    }

    fn add(&mut self, register: Register) {
        self.0[usize::from(register / 64)] |= 1 << (register % 64);
    }

    fn add_range(&mut self, first: Register, count: u8) {
        (0..count).for_each(|index| self.add(first.saturating_add(index)));
    }

    fn add_all_from(&mut self, first: Register) {
        (first..=Register::MAX).for_each(|register| self.add(register));
    }

    fn add_set(&mut self, other: &Registers) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    fn remove_set(&mut self, other: &Registers) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine &= !theirs);
    }

    fn each(&self, mut act: impl FnMut(Register)) {
        for (index, word) in self.0.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                act((index * 64) as Register + rest.trailing_zeros() as Register);
                rest &= rest - 1;
            }
        }
    }

    pub(super) fn meets(&self, other: &Registers) -> bool {
        self.0.iter().zip(other.0).any(|(mine, theirs)| mine & theirs != 0)
    }
}

/// What an operation reads, where it can be told to read something else.
pub(super) fn operands(op: &mut Op) -> [Option<&mut Register>; 3] {
    match op {
        Op::Move { from, .. }
        | Op::Negate { from, .. }
        | Op::Complement { from, .. }
        | Op::Convert { from, .. }
        | Op::NumberOrNull { from, .. }
        | Op::TextOrNull { from, .. }
        | Op::Return { from }
        | Op::Throw { from }
        | Op::Insert { from, .. }
        | Op::Focus { from } => [Some(from), None, None],
        Op::JumpIf { on, .. }
        | Op::JumpUnless { on, .. }
        | Op::JumpNull { on, .. }
        | Op::JumpNotNull { on, .. }
        | Op::JumpInstance { on, .. }
        | Op::JumpNotInstance { on, .. }
        | Op::JumpEqualConstant { on, .. }
        | Op::JumpNotEqualConstant { on, .. }
        | Op::Switch { on, .. }
        | Op::Cast { on, .. }
        | Op::NotNull { on } => [Some(on), None, None],
        Op::JumpInt { left, right, .. }
        | Op::JumpLong { left, right, .. }
        | Op::JumpDouble { left, right, .. }
        | Op::JumpEqual { left, right, .. }
        | Op::JumpNotEqual { left, right, .. }
        | Op::Int { left, right, .. }
        | Op::Long { left, right, .. }
        | Op::Float { left, right, .. }
        | Op::Double { left, right, .. }
        | Op::Same { left, right, .. }
        | Op::Relate { left, right, .. } => [Some(left), Some(right), None],
        Op::IntStep { left, .. }
        | Op::JumpIntConstant { left, .. }
        | Op::JumpLongConstant { left, .. }
        | Op::JumpDoubleConstant { left, .. } => [Some(left), None, None],
        Op::JumpSize { left, list, .. } => [Some(left), Some(list), None],
        Op::ListMapElse { list, at, .. } => [Some(list), Some(at), None],
        Op::MapGet { map, .. }
        | Op::MapGetSafe { map, .. }
        | Op::MapText { map, .. }
        | Op::MapNumber { map, .. }
        | Op::MapTextElse { map, .. }
        | Op::MapNumberElse { map, .. }
        | Op::JumpNotKeyText { map, .. } => [Some(map), None, None],
        Op::MapPutKey { map, from, .. } | Op::MapSetKey { map, from, .. } => [Some(map), Some(from), None],
        Op::MapSetConstant { map, .. } => [Some(map), None, None],
        Op::ListAddConstant { list, .. } => [Some(list), None, None],
        Op::MapPut { map, key, from, .. } => [Some(map), Some(key), Some(from)],
        Op::Intrinsic { first, second, .. } => [Some(first), Some(second), None],
        Op::GetField { of, .. } | Op::ArrayLength { of, .. } => [Some(of), None, None],
        Op::SetField { of, from, .. } => [Some(of), Some(from), None],
        Op::ArrayGet { of, at, .. } => [Some(of), Some(at), None],
        Op::ArraySet { of, at, from } => [Some(of), Some(at), Some(from)],
        Op::Iterate { over, .. } => [Some(over), None, None],
        // These name the first of several registers, a register that they also write, or none.
        Op::Constant { .. }
        | Op::Global { .. }
        | Op::GlobalAddConstant { .. }
        | Op::Jump { .. }
        | Op::JumpMore { .. }
        | Op::Next { .. }
        | Op::NextMap { .. }
        | Op::Step { .. }
        | Op::Native { .. }
        | Op::Brief { .. }
        | Op::Call { .. }
        | Op::Lambda { .. }
        | Op::ReturnConstant { .. }
        | Op::Concat { .. }
        | Op::New { .. }
        | Op::NewArray { .. }
        | Op::NewArraySized { .. }
        | Op::Update { .. }
        | Op::Delete { .. }
        | Op::Halt => [None, None, None],
    }
}

/// The register that an operation writes, where it can be told to write another.
pub(super) fn result(op: &mut Op) -> Option<&mut Register> {
    match op {
        Op::Move { to, .. }
        | Op::Constant { to, .. }
        | Op::Global { to, .. }
        | Op::Int { to, .. }
        | Op::Long { to, .. }
        | Op::Float { to, .. }
        | Op::Double { to, .. }
        | Op::IntStep { to, .. }
        | Op::Negate { to, .. }
        | Op::Complement { to, .. }
        | Op::Convert { to, .. }
        | Op::Same { to, .. }
        | Op::MapGet { to, .. }
        | Op::MapGetSafe { to, .. }
        | Op::MapText { to, .. }
        | Op::MapNumber { to, .. }
        | Op::MapTextElse { to, .. }
        | Op::MapNumberElse { to, .. }
        | Op::NumberOrNull { to, .. }
        | Op::TextOrNull { to, .. }
        | Op::MapPut { to, .. }
        | Op::MapPutKey { to, .. }
        | Op::ListAddConstant { to, .. }
        | Op::Intrinsic { to, .. }
        | Op::Native { to, .. }
        | Op::Brief { to, .. }
        | Op::Call { to, .. }
        | Op::Lambda { to, .. }
        | Op::Concat { to, .. }
        | Op::GetField { to, .. }
        | Op::New { to, .. }
        | Op::NewArray { to, .. }
        | Op::NewArraySized { to, .. }
        | Op::ArrayGet { to, .. }
        | Op::ArrayLength { to, .. }
        | Op::Relate { to, .. }
        | Op::Iterate { to, .. }
        | Op::Step { to, .. }
        | Op::Next { to, .. }
        | Op::NextMap { to, .. }
        | Op::ListMapElse { to, .. } => Some(to),
        _ => None,
    }
}

/// What an operation reads and writes.
pub(super) fn effects(op: Op, methods: &[&'static Method]) -> (Registers, Registers) {
    let mut op = op;
    let (mut reads, mut writes) = (Registers::default(), Registers::default());
    operands(&mut op).into_iter().flatten().for_each(|register| reads.add(*register));
    if let Some(to) = result(&mut op) {
        writes.add(*to);
    }
    match op {
        Op::Native { first, method, .. } | Op::Brief { first, method, .. } => {
            reads.add_range(first, methods[usize::from(method)].arguments)
        }
        // More than the call does: its arguments are read, what lies above them is given up.
        Op::Call { first, .. } => {
            reads.add_all_from(first);
            writes.add_all_from(first);
        }
        Op::New { first, .. } => reads.add_all_from(first),
        Op::Lambda { first, count, .. }
        | Op::Concat { first, count, .. }
        | Op::NewArray { first, count, .. }
        | Op::NewArraySized { first, count, .. } => reads.add_range(first, count),
        Op::Update { fact, .. } | Op::Delete { fact } => reads.add(fact),
        Op::Step { state, over, .. } | Op::Next { state, over, .. } | Op::NextMap { state, over, .. } => {
            reads.add(state);
            reads.add(over);
            writes.add(state);
        }
        Op::JumpMore { state, over, .. } => {
            reads.add(state);
            reads.add(over);
        }
        _ => {}
    }
    (reads, writes)
}

/// Where an operation jumps to.
pub(super) fn target(op: Op) -> Option<u32> {
    let mut op = op;
    match target_field(&mut op)? {
        Field::Far(target) => Some(*target),
        Field::Near(target) => Some((*target).into()),
    }
}

/// Lets an operation jump to another place. Units with near targets never grow.
pub(super) fn set_target(op: &mut Op, to: u32) {
    match target_field(op) {
        Some(Field::Far(target)) => *target = to,
        Some(Field::Near(target)) => *target = to as Near,
        None => {}
    }
}

enum Field<'o> {
    Far(&'o mut u32),
    Near(&'o mut Near),
}

fn target_field(op: &mut Op) -> Option<Field<'_>> {
    match op {
        Op::JumpIntConstant { target, .. }
        | Op::JumpLongConstant { target, .. }
        | Op::JumpDoubleConstant { target, .. }
        | Op::JumpSize { target, .. }
        | Op::MapTextElse { target, .. }
        | Op::MapNumberElse { target, .. }
        | Op::JumpNotKeyText { target, .. }
        | Op::ListMapElse { target, .. }
        | Op::Next { target, .. }
        | Op::NextMap { target, .. } => Some(Field::Near(target)),
        Op::Jump { target }
        | Op::JumpIf { target, .. }
        | Op::JumpUnless { target, .. }
        | Op::JumpNull { target, .. }
        | Op::JumpNotNull { target, .. }
        | Op::JumpInt { target, .. }
        | Op::JumpLong { target, .. }
        | Op::JumpDouble { target, .. }
        | Op::JumpInstance { target, .. }
        | Op::JumpNotInstance { target, .. }
        | Op::JumpEqual { target, .. }
        | Op::JumpNotEqual { target, .. }
        | Op::JumpEqualConstant { target, .. }
        | Op::JumpNotEqualConstant { target, .. }
        | Op::JumpMore { target, .. } => Some(Field::Far(target)),
        _ => None,
    }
}

/// Whether an operation only reads objects, so that it has the same result until something is changed.
pub(super) fn is_reading(op: Op) -> bool {
    use Intrinsic as I;
    match op {
        Op::Global { .. } | Op::MapGet { .. } | Op::MapGetSafe { .. } | Op::MapNumber { .. } | Op::GetField { .. } => {
            true
        }
        Op::Intrinsic { which, .. } => matches!(which, I::Size | I::ListGet | I::Length | I::MapContains),
        _ => false,
    }
}

/// Whether an operation may change an object.
pub(super) fn may_change(op: Op) -> bool {
    match op {
        Op::Intrinsic { which, .. } => which == Intrinsic::ListAdd,
        Op::MapPut { .. }
        | Op::MapPutKey { .. }
        | Op::MapSetKey { .. }
        | Op::MapSetConstant { .. }
        | Op::ListAddConstant { .. }
        | Op::GlobalAddConstant { .. }
        | Op::Native { .. }
        | Op::Brief { .. }
        | Op::Call { .. }
        | Op::SetField { .. }
        | Op::ArraySet { .. }
        | Op::Step { .. }
        | Op::Next { .. }
        | Op::NextMap { .. } => true,
        _ => false,
    }
}

/// Whether the operation behind this one may come next.
pub(super) fn falls_through(op: Op) -> bool {
    !matches!(op, Op::Jump { .. } | Op::Return { .. } | Op::ReturnConstant { .. } | Op::Throw { .. })
}

/// How many jumps and handlers lead to each operation.
pub(super) fn incoming(code: &Code) -> Vec<u32> {
    let mut counts = vec![0; code.ops.len() + 2];
    let cases = code.switches.iter().flat_map(|switch| &switch.cases).map(|(_, target)| *target);
    for target in code.ops.iter().filter_map(|op| target(*op)).chain(cases) {
        counts[target as usize] += 1;
    }
    for handler in &code.handlers {
        for edge in [handler.start, handler.end, handler.target] {
            counts[edge as usize] += 1;
        }
    }
    counts
}

/// The registers that are read after each operation before they are written again.
pub(super) fn live_after(code: &Code, methods: &[&'static Method]) -> Vec<Registers> {
    liveness(code, methods).1
}

/// The registers that are read at each operation or later before they are written again.
pub(super) fn live_before(code: &Code, methods: &[&'static Method]) -> Vec<Registers> {
    liveness(code, methods).0
}

fn liveness(code: &Code, methods: &[&'static Method]) -> (Vec<Registers>, Vec<Registers>) {
    let count = code.ops.len();
    let effects: Vec<_> = code.ops.iter().map(|op| effects(*op, methods)).collect();
    let mut before = vec![Registers::default(); count + 1];
    let mut after = vec![Registers::default(); count];
    // Without loops and handlers, one sweep from the end sees everything.
    let straight = code.handlers.is_empty()
        && code.ops.iter().enumerate().all(|(at, op)| target(*op).is_none_or(|target| target as usize > at));
    loop {
        let mut changed = false;
        for at in (0..count).rev() {
            let op = code.ops[at];
            let mut live = Registers::default();
            if falls_through(op) {
                live.add_set(&before[at + 1]);
            }
            if let Some(target) = target(op) {
                live.add_set(&before[target as usize]);
            }
            // What a handler reads must be there whether or not the operation comes to write.
            let mut handled = Registers::default();
            for handler in code.handlers.iter().filter(|handler| (handler.start..handler.end).contains(&(at as u32))) {
                let mut needed = before[handler.target as usize];
                let mut caught = Registers::default();
                caught.add(handler.register);
                needed.remove_set(&caught);
                handled.add_set(&needed);
            }
            live.add_set(&handled);
            after[at] = live;
            live.remove_set(&effects[at].1);
            live.add_set(&effects[at].0);
            live.add_set(&handled);
            changed |= live != before[at];
            before[at] = live;
        }
        if !changed || straight {
            return (before, after);
        }
    }
}

/// What is known of a register's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Null,
    /// Not null.
    Present,
    /// The constant of this index.
    Constant(u16),
    Boolean,
    Integer,
    Long,
    Double,
    DoubleOrNull,
    /// An object that was found to be an instance of a class.
    Instance(u16),
}

impl Kind {
    /// Without the exact constant.
    fn widened(self, constants: &[Value]) -> Self {
        match self {
            Kind::Constant(index) => match constants.get(usize::from(index)) {
                Some(Value::Null) => Kind::Null,
                Some(Value::Boolean(_)) => Kind::Boolean,
                Some(Value::Integer(_)) => Kind::Integer,
                Some(Value::Long(_)) => Kind::Long,
                Some(Value::Double(_)) => Kind::Double,
                Some(_) => Kind::Present,
                None => Kind::Any,
            },
            other => other,
        }
    }

    /// What is known where two paths meet.
    fn meet(self, other: Self, constants: &[Value]) -> Self {
        if self == other {
            return self;
        }
        let (a, b) = (self.widened(constants), other.widened(constants));
        let is_double = |kind| matches!(kind, Kind::Double | Kind::DoubleOrNull);
        match (a, b) {
            _ if a == b => a,
            _ if (is_double(a) || a == Kind::Null) && (is_double(b) || b == Kind::Null) => Kind::DoubleOrNull,
            _ if a.is_present(constants) && b.is_present(constants) => Kind::Present,
            _ => Kind::Any,
        }
    }

    pub(super) fn is_present(self, constants: &[Value]) -> bool {
        !matches!(self.widened(constants), Kind::Any | Kind::Null | Kind::DoubleOrNull)
    }

    pub(super) fn is_null(self, constants: &[Value]) -> bool {
        self.widened(constants) == Kind::Null
    }

    /// The same, once it is known not to be null.
    fn present(self) -> Self {
        match self {
            Kind::Any | Kind::Null => Kind::Present,
            Kind::DoubleOrNull => Kind::Double,
            other => other,
        }
    }

    /// The same, once a test has found an instance of a class.
    fn instance(self, class: u16) -> Self {
        match self {
            Kind::Any | Kind::Null | Kind::Present => Kind::Instance(class),
            other => other.present(),
        }
    }

    /// Whether converting such a value to a type leaves it as it is.
    pub(super) fn is(self, target: Primitive, constants: &[Value]) -> bool {
        matches!(
            (self.widened(constants), target),
            (Kind::Boolean, Primitive::Boolean)
                | (Kind::Integer, Primitive::Int)
                | (Kind::Long, Primitive::Long)
                | (Kind::Double, Primitive::Double)
        )
    }
}

fn kind_of_result(op: Op, known: &[Kind]) -> Kind {
    match op {
        Op::Move { from, .. } => known[usize::from(from)],
        Op::Constant { index, .. } => Kind::Constant(index),
        Op::Convert { target, .. } => match target {
            Primitive::Boolean => Kind::Boolean,
            Primitive::Int => Kind::Integer,
            Primitive::Long => Kind::Long,
            Primitive::Double => Kind::Double,
            _ => Kind::Present,
        },
        Op::Int { .. } | Op::IntStep { .. } | Op::ArrayLength { .. } => Kind::Integer,
        Op::Long { .. } => Kind::Long,
        Op::Double { .. } => Kind::Double,
        Op::NumberOrNull { .. } | Op::MapNumber { .. } => Kind::DoubleOrNull,
        Op::Same { .. } | Op::Relate { .. } => Kind::Boolean,
        Op::Intrinsic { which, .. } => match which {
            Intrinsic::Size
            | Intrinsic::Length
            | Intrinsic::IntValue
            | Intrinsic::MaximumInt
            | Intrinsic::MinimumInt => Kind::Integer,
            Intrinsic::LongValue => Kind::Long,
            Intrinsic::DoubleValue
            | Intrinsic::AbsoluteDouble
            | Intrinsic::MaximumDouble
            | Intrinsic::MinimumDouble => Kind::Double,
            Intrinsic::Equals | Intrinsic::EqualsIgnoreCase | Intrinsic::MapContains | Intrinsic::ListAdd => {
                Kind::Boolean
            }
            Intrinsic::ToString | Intrinsic::CharAt => Kind::Present,
            Intrinsic::ListGet | Intrinsic::MapGet => Kind::Any,
        },
        Op::New { .. } | Op::NewArray { .. } | Op::NewArraySized { .. } | Op::Concat { .. } | Op::Lambda { .. } => {
            Kind::Present
        }
        _ => Kind::Any,
    }
}

/// What is known of all registers before each operation.
pub(super) struct Knowledge {
    registers: usize,
    /// A row of registers for each operation.
    kinds: Vec<Kind>,
    reached: Vec<bool>,
}

impl Knowledge {
    /// What is known before an operation; nothing if it is never reached.
    pub(super) fn before(&self, at: usize) -> Option<&[Kind]> {
        let start = at * self.registers;
        self.reached[at].then(|| &self.kinds[start..start + self.registers])
    }

    /// Takes note of what is known where control comes to an operation; true if that is news there.
    fn reach(&mut self, at: usize, kinds: &[Kind], constants: &[Value]) -> bool {
        let start = at * self.registers;
        let held = &mut self.kinds[start..start + self.registers];
        if !std::mem::replace(&mut self.reached[at], true) {
            held.copy_from_slice(kinds);
            return true;
        }
        let mut changed = false;
        for (held, kind) in held.iter_mut().zip(kinds) {
            let met = held.meet(*kind, constants);
            changed |= met != *held;
            *held = met;
        }
        changed
    }
}

/// Brings what is known of all registers from before an operation to after it.
fn follow(op: Op, known: &mut [Kind], effects: &(Registers, Registers)) {
    let made = result(&mut op.clone()).map(|to| (usize::from(*to), kind_of_result(op, known)));
    effects.1.each(|register| {
        if let Some(kind) = known.get_mut(usize::from(register)) {
            *kind = Kind::Any;
        }
    });
    if let Some((to, kind)) = made {
        known[to] = kind;
    }
    match op {
        Op::NotNull { on } | Op::JumpNull { on, .. } => {
            known[usize::from(on)] = known[usize::from(on)].present();
        }
        Op::JumpNotInstance { on, class, .. } => {
            known[usize::from(on)] = known[usize::from(on)].instance(class);
        }
        Op::JumpNotNull { on, .. } => known[usize::from(on)] = Kind::Null,
        _ => {}
    }
}

/// What is known of the register that an operation tests, where it jumps.
fn known_at_jump(op: Op, before: Option<Kind>) -> Option<(Register, Kind)> {
    match op {
        Op::JumpNull { on, .. } => Some((on, Kind::Null)),
        Op::JumpNotNull { on, .. } => Some((on, before?.present())),
        Op::JumpInstance { on, class, .. } => Some((on, before?.instance(class))),
        Op::JumpNotInstance { on, .. } => Some((on, before?)),
        _ => None,
    }
}

/// Follows what is known of registers through a code unit.
pub(super) fn knowledge(code: &Code, constants: &[Value], methods: &[&'static Method]) -> Knowledge {
    let count = code.ops.len();
    let registers = usize::from(Register::MAX).min(usize::from(code.registers)) + 1;
    let effects: Vec<_> = code.ops.iter().map(|op| effects(*op, methods)).collect();
    let mut knowledge = Knowledge { registers, kinds: vec![Kind::Any; registers * count], reached: vec![false; count] };
    let mut here = vec![Kind::Any; registers];
    knowledge.reach(0, &here, constants);
    let mut waiting: Vec<usize> = vec![0];
    // Anything may have happened before an exception.
    for handler in &code.handlers {
        knowledge.reach(handler.target as usize, &here, constants);
        waiting.push(handler.target as usize);
    }
    while let Some(mut at) = waiting.pop() {
        // On through the operations behind, as far as there is news.
        loop {
            here.copy_from_slice(&knowledge.kinds[at * registers..(at + 1) * registers]);
            let mut op = code.ops[at];
            let tested = operands(&mut op).into_iter().flatten().next().map(|register| here[usize::from(*register)]);
            follow(op, &mut here, &effects[at]);
            let special = known_at_jump(op, tested);
            if let Some(target) = target(op) {
                let target = target as usize;
                let next = special.map(|(on, kind)| std::mem::replace(&mut here[usize::from(on)], kind));
                if knowledge.reach(target, &here, constants) {
                    waiting.push(target);
                }
                if let (Some((on, _)), Some(kind)) = (special, next) {
                    here[usize::from(on)] = kind;
                }
            }
            if !falls_through(op) || !knowledge.reach(at + 1, &here, constants) {
                break;
            }
            at += 1;
        }
    }
    knowledge
}
