//! Improves finished code: it does the same in fewer operations.
//!
//! Rule files read values through small functions such as `m == null ? null : m.get(k)`. Inlined, they leave
//! copies, tests whose outcome is known, and shapes of several operations for which there is a single one.

use super::Environment;
use super::flow::{self, Kind, Registers, falls_through, incoming, operands, result, set_target, target};
use super::fuse::{fuse, with_constant};
use crate::heap::Value;
use crate::library::Method;
use crate::machine::convert;
use crate::program::{Code, Intrinsic, Op, Register, Test};
use crate::types::class;

/// Rounds of improvement; what more of them would find is not worth the time.
const ROUNDS: usize = 3;

/// Larger code units keep what the shapes leave: what is known of their registers would take much memory.
const LARGEST: usize = 1 << 14;

/// Rewrites a code unit in place.
pub(super) fn optimize(code: &mut Code, env: &mut Environment) {
    let methods = env.library.methods();
    // Jumps to the next operation go first, so that the shapes stand close together.
    remove_empty_jumps(code);
    let is_null = |index: u16| matches!(env.constants.get(usize::from(index)), Some(Value::Null));
    rewrite(code, |rest, at, incoming| shape(rest, at, incoming, &is_null).map(|(op, taken)| (Some(op), taken)));
    if code.ops.len() > LARGEST {
        return thread_jumps(&mut code.ops);
    }
    for _ in 0..ROUNDS {
        let before = code.ops.clone();
        apply_knowledge(code, env, &methods);
        forward_copies(code, &methods);
        join_neighbours(code, &methods);
        remove_dead(code, &methods);
        thread_jumps(&mut code.ops);
        turn_jumps(code);
        remove_empty_jumps(code);
        if code.ops == before {
            break;
        }
    }
    fuse(code, env, &methods);
}

fn remove_empty_jumps(code: &mut Code) {
    rewrite(code, |rest, at, _| match rest {
        [Op::Jump { target }, ..] if *target == at + 1 => Some((None, 1)),
        _ => None,
    });
}

/// Replaces stretches of operations: `replace` says by what, and how many operations it takes.
pub(super) fn rewrite(code: &mut Code, replace: impl Fn(&[Op], u32, &[u32]) -> Option<(Option<Op>, usize)>) {
    let incoming = incoming(code);
    let mut ops = Vec::with_capacity(code.ops.len());
    let mut positions = Vec::with_capacity(code.ops.len());
    let mut moved = vec![0u32; code.ops.len() + 1];
    let mut at = 0;
    while at < code.ops.len() {
        let (op, taken) = replace(&code.ops[at..], at as u32, &incoming).unwrap_or((Some(code.ops[at]), 1));
        moved[at..at + taken].fill(ops.len() as u32);
        if let Some(op) = op {
            ops.push(op);
            positions.push(code.positions[at]);
        }
        at += taken;
    }
    moved[code.ops.len()] = ops.len() as u32;
    for op in &mut ops {
        if let Some(target) = target(*op) {
            set_target(op, moved[target as usize]);
        }
    }
    for (_, target) in code.switches.iter_mut().flat_map(|switch| &mut switch.cases) {
        *target = moved[*target as usize];
    }
    for handler in &mut code.handlers {
        for edge in [&mut handler.start, &mut handler.end, &mut handler.target] {
            *edge = moved[*edge as usize];
        }
    }
    code.ops = ops;
    code.positions = positions;
}

/// Keeps the operations for which `keep` is true.
pub(super) fn retain(code: &mut Code, keep: &[bool]) {
    rewrite(code, |_, at, _| (!keep[at as usize]).then_some((None, 1)));
}

fn thread_jumps(ops: &mut [Op]) {
    for at in 0..ops.len() {
        let mut op = ops[at];
        if let Some(mut target) = target(op) {
            // Bounded, because an empty endless loop jumps to itself.
            for _ in 0..8 {
                match ops.get(target as usize) {
                    Some(Op::Jump { target: further }) if *further > target => target = *further,
                    _ => break,
                }
            }
            set_target(&mut op, target);
            ops[at] = op;
        }
        if let Op::Jump { target } = ops[at] {
            if let returned @ (Op::Return { .. } | Op::ReturnConstant { .. }) = ops[target as usize] {
                ops[at] = returned;
            }
        }
    }
}

/// A test that jumps over a jump becomes the opposite test.
fn turn_jumps(code: &mut Code) {
    rewrite(code, |rest, at, incoming| {
        let [test, Op::Jump { target: far }, ..] = rest else { return None };
        let mut turned = opposite(*test)?;
        if target(turned)? != at + 2 || incoming[at as usize + 1] > 0 {
            return None;
        }
        set_target(&mut turned, *far);
        Some((Some(turned), 2))
    });
}

fn opposite(op: Op) -> Option<Op> {
    Some(match op {
        Op::JumpIf { on, target } => Op::JumpUnless { on, target },
        Op::JumpUnless { on, target } => Op::JumpIf { on, target },
        Op::JumpNull { on, target } => Op::JumpNotNull { on, target },
        Op::JumpNotNull { on, target } => Op::JumpNull { on, target },
        Op::JumpInstance { on, class, target } => Op::JumpNotInstance { on, class, target },
        Op::JumpNotInstance { on, class, target } => Op::JumpInstance { on, class, target },
        Op::JumpEqual { left, right, target } => Op::JumpNotEqual { left, right, target },
        Op::JumpNotEqual { left, right, target } => Op::JumpEqual { left, right, target },
        Op::JumpEqualConstant { on, constant, target } => Op::JumpNotEqualConstant { on, constant, target },
        Op::JumpNotEqualConstant { on, constant, target } => Op::JumpEqualConstant { on, constant, target },
        Op::JumpInt { test, left, right, target } => Op::JumpInt { test: inverse(test), left, right, target },
        Op::JumpLong { test, left, right, target } => Op::JumpLong { test: inverse(test), left, right, target },
        Op::JumpIntConstant { test, left, constant, target } => {
            Op::JumpIntConstant { test: inverse(test), left, constant, target }
        }
        Op::JumpLongConstant { test, left, constant, target } => {
            Op::JumpLongConstant { test: inverse(test), left, constant, target }
        }
        // The negation of a comparison of doubles also holds when either is not a number.
        _ => return None,
    })
}

/// The test that holds when this one does not, for whole numbers.
pub(super) fn inverse(test: Test) -> Test {
    match test {
        Test::Equal => Test::NotEqual,
        Test::NotEqual => Test::Equal,
        Test::Less => Test::GreaterEqual,
        Test::LessEqual => Test::Greater,
        Test::Greater => Test::LessEqual,
        Test::GreaterEqual => Test::Less,
    }
}

/// Uses what is known of values: tests with a known outcome, conversions that change nothing, code that is
/// never reached.
fn apply_knowledge(code: &mut Code, env: &mut Environment, methods: &[&'static Method]) {
    let known = flow::knowledge(code, &env.constants, methods);
    let mut keep = vec![true; code.ops.len()];
    for (at, keep) in keep.iter_mut().enumerate() {
        let Some(here) = known.before(at) else {
            *keep = false;
            continue;
        };
        let of = |register: Register| here[usize::from(register)];
        let constants = &env.constants;
        let op = code.ops[at];
        match op {
            Op::JumpNull { on, target } | Op::JumpNotNull { on, target } => {
                let when_null = matches!(op, Op::JumpNull { .. });
                if of(on).is_null(constants) || of(on).is_present(constants) {
                    let jumps = of(on).is_null(constants) == when_null;
                    decide(&mut code.ops[at], keep, jumps, target);
                }
            }
            Op::JumpIf { on, target } | Op::JumpUnless { on, target } => {
                if let Some(held) = boolean(of(on), constants) {
                    decide(&mut code.ops[at], keep, held == matches!(op, Op::JumpIf { .. }), target);
                }
            }
            Op::Jump { target } => {
                if let Some(further) = known_turn(&code.ops, target, here, constants) {
                    code.ops[at] = Op::Jump { target: further };
                }
            }
            Op::NotNull { on } => *keep = !of(on).is_present(constants),
            Op::Cast { on, class } => *keep = of(on) != Kind::Instance(class),
            Op::Convert { to, from, target } => match of(from) {
                Kind::Constant(index) => {
                    let converted = convert(constants[usize::from(index)], target);
                    if let Some(index) = converted.and_then(|value| env.known_constant(value)) {
                        code.ops[at] = Op::Constant { to, index };
                    }
                }
                kind if kind.is(target, constants) => code.ops[at] = Op::Move { to, from },
                _ => {}
            },
            Op::Move { to, from } => {
                if let Kind::Constant(index) = of(from) {
                    code.ops[at] = Op::Constant { to, index };
                }
                *keep = to != from;
            }
            Op::Return { from } => {
                if let Kind::Constant(index) = of(from) {
                    code.ops[at] = Op::ReturnConstant { index };
                }
            }
            Op::JumpEqual { left, right, target } | Op::JumpNotEqual { left, right, target } => {
                let simple = |kind: Kind| match kind {
                    Kind::Constant(index) => {
                        let value = constants.get(usize::from(index));
                        matches!(value, Some(Value::String(_) | Value::Boolean(_))).then_some(index)
                    }
                    _ => None,
                };
                let found = match (simple(of(left)), simple(of(right))) {
                    (Some(constant), _) => Some((right, constant)),
                    (None, Some(constant)) if of(left).is_present(constants) => Some((left, constant)),
                    _ => None,
                };
                if let Some((on, constant)) = found {
                    code.ops[at] = match op {
                        Op::JumpEqual { .. } => Op::JumpEqualConstant { on, constant, target },
                        _ => Op::JumpNotEqualConstant { on, constant, target },
                    };
                }
            }
            _ => {
                let constant = |register: Register| match of(register) {
                    Kind::Constant(index) => Some((index, constants[usize::from(index)])),
                    _ => None,
                };
                if let Some(with_constant) = with_constant(op, constant) {
                    code.ops[at] = with_constant;
                }
            }
        }
    }
    retain(code, &keep);
}

/// Replaces a test whose outcome is known.
fn decide(op: &mut Op, keep: &mut bool, jumps: bool, target: u32) {
    *op = Op::Jump { target };
    *keep = jumps;
}

fn boolean(kind: Kind, constants: &[Value]) -> Option<bool> {
    match kind {
        Kind::Constant(index) => match constants.get(usize::from(index)) {
            Some(Value::Boolean(held)) => Some(*held),
            _ => None,
        },
        _ => None,
    }
}

/// Where a jump to a test really leads, if its outcome is known at the jump.
fn known_turn(ops: &[Op], target: u32, known: &[Kind], constants: &[Value]) -> Option<u32> {
    let (on, when, far) = match ops.get(target as usize)? {
        Op::JumpIf { on, target } => (*on, true, *target),
        Op::JumpUnless { on, target } => (*on, false, *target),
        _ => return None,
    };
    let held = boolean(known[usize::from(on)], constants)?;
    // Backward jumps count as turns of a loop, and stay as they are.
    let further = if held == when { far } else { target + 1 };
    (further > target).then_some(further)
}

/// Within stretches without entry: lets operations read the register that a value was copied from, and copies
/// what was read before instead of reading it again.
fn forward_copies(code: &mut Code, methods: &[&'static Method]) {
    let entries = incoming(code);
    let mut copies: Vec<(Register, Register)> = Vec::new();
    // Each with the register that holds the result, and those that it depends on.
    let mut readings: Vec<(Op, Register, Registers)> = Vec::new();
    for (at, op) in code.ops.iter_mut().enumerate() {
        if entries[at] > 0 {
            copies.clear();
            readings.clear();
        }
        for operand in operands(op).into_iter().flatten() {
            if let Some((_, from)) = copies.iter().find(|(to, _)| to == operand) {
                *operand = *from;
            }
        }
        let reading = flow::is_reading(*op).then(|| anonymous(*op));
        if let (Some(reading), Some(to)) = (reading, result(op).copied()) {
            if let Some((_, from, _)) = readings.iter().find(|(known, ..)| *known == reading) {
                *op = Op::Move { to, from: *from };
            }
        }
        let (reads, writes) = flow::effects(*op, methods);
        copies.retain(|(to, from)| !writes.contains(*to) && !writes.contains(*from));
        if flow::may_change(*op) {
            // No code assigns to globals.
            readings.retain(|(known, ..)| matches!(known, Op::Global { .. }));
        }
        readings.retain(|(_, held, reads)| !writes.contains(*held) && !writes.meets(reads));
        match (*op, reading) {
            (Op::Move { to, from }, _) if to != from => copies.push((to, from)),
            (Op::Move { .. }, _) | (_, None) => {}
            (_, Some(reading)) => {
                if let Some(to) = result(op).filter(|_| !writes.meets(&reads)) {
                    readings.push((reading, *to, reads));
                }
            }
        }
        if !falls_through(*op) {
            copies.clear();
            readings.clear();
        }
    }
}

/// An operation without its result, and without what does not matter to it.
fn anonymous(op: Op) -> Op {
    let mut op = op;
    if let Some(to) = result(&mut op) {
        *to = 0;
    }
    if let Op::Intrinsic { which: Intrinsic::Size | Intrinsic::Length, first, second, .. } = &mut op {
        *second = *first;
    }
    op
}

/// Joins an operation with the next where one does the work of both and the value between is not needed again.
fn join_neighbours(code: &mut Code, methods: &[&'static Method]) {
    let live = flow::live_after(code, methods);
    let handlers: Vec<(u32, u32)> = code.handlers.iter().map(|handler| (handler.start, handler.end)).collect();
    rewrite(code, |rest, at, incoming| {
        let [first, second, ..] = rest else { return None };
        let behind = at as usize + 1;
        // Both must stand under the same handlers.
        let apart =
            handlers.iter().any(|(start, end)| (*start..*end).contains(&at) != (*start..*end).contains(&(at + 1)));
        if incoming[behind] > 0 || apart {
            return None;
        }
        let unused = |register: Register| !live[behind].contains(register);
        let joined = match (*first, *second) {
            (Op::MapGetSafe { to: held, map, key }, Op::TextOrNull { to, from })
                if held == from && (to == held || unused(held)) =>
            {
                Op::MapText { to, map, key }
            }
            (Op::MapGetSafe { to: held, map, key }, Op::NumberOrNull { to, from })
                if held == from && (to == held || unused(held)) =>
            {
                Op::MapNumber { to, map, key }
            }
            (Op::Intrinsic { which: Intrinsic::Equals, to, first, second }, Op::JumpIf { on, target })
                if on == to && unused(to) =>
            {
                Op::JumpEqual { left: first, right: second, target }
            }
            (Op::Intrinsic { which: Intrinsic::Equals, to, first, second }, Op::JumpUnless { on, target })
                if on == to && unused(to) =>
            {
                Op::JumpNotEqual { left: first, right: second, target }
            }
            (maker, Op::Move { to, from }) if unused(from) => {
                let mut maker = maker;
                let made = result(&mut maker)?;
                if *made != from {
                    return None;
                }
                *made = to;
                maker
            }
            _ => return None,
        };
        Some((Some(joined), 2))
    });
}

/// Removes operations whose result nobody reads and that do nothing else.
fn remove_dead(code: &mut Code, methods: &[&'static Method]) {
    let live = flow::live_after(code, methods);
    let keep: Vec<bool> = code
        .ops
        .iter()
        .zip(&live)
        .map(|(op, live)| {
            let pure = matches!(
                op,
                Op::Move { .. }
                    | Op::Constant { .. }
                    | Op::Global { .. }
                    | Op::MapGetSafe { .. }
                    | Op::MapNumber { .. }
                    | Op::NumberOrNull { .. }
                    | Op::Same { .. }
            );
            !pure || flow::effects(*op, methods).1.meets(live)
        })
        .collect();
    retain(code, &keep);
}

/// A shape that one operation can replace, with the number of operations it takes.
fn shape(rest: &[Op], at: u32, incoming: &[u32], is_null: &impl Fn(u16) -> bool) -> Option<(Op, usize)> {
    let jumps_to = |offset: usize| incoming.get(at as usize + offset).copied().unwrap_or(0);
    let none_into = |offsets: &[usize]| offsets.iter().all(|offset| jumps_to(*offset) == 0);
    match rest {
        // map == null || map.get(k) == null ? null : map.get(k).toString()
        [
            Op::JumpNull { on: map, target: l1 },
            Op::MapGet { to: held, map: m1, key },
            Op::JumpNull { on: h1, target: l2 },
            Op::MapGet { to: h2, map: m2, key: k2, .. },
            Op::Intrinsic { which: Intrinsic::ToString, to, first, .. },
            Op::Jump { target: end },
            Op::Constant { to: t2, index },
            ..,
        ] if (map, map, held, held, held, to) == (m1, m2, h1, h2, first, t2)
            && key == k2
            && (*l1, *l2, *end) == (at + 6, at + 6, at + 7)
            && is_null(*index)
            && jumps_to(6) == 2
            && none_into(&[1, 2, 3, 4, 5]) =>
        {
            Some((Op::MapText { to: *to, map: *map, key: *key }, 7))
        }
        // map == null ? null : map.get(k)
        [
            Op::JumpNull { on: map, target: l1 },
            Op::MapGet { to, map: m1, key },
            Op::Jump { target: end },
            Op::Constant { to: t2, index },
            ..,
        ] if (map, to) == (m1, t2)
            && (*l1, *end) == (at + 3, at + 4)
            && is_null(*index)
            && jumps_to(3) == 1
            && none_into(&[1, 2]) =>
        {
            Some((Op::MapGetSafe { to: *to, map: *map, key: *key }, 4))
        }
        // The same, with the test the other way round.
        [
            Op::JumpNotNull { on: map, target: l1 },
            Op::Constant { to: t2, index },
            Op::Jump { target: end },
            Op::MapGet { to, map: m1, key },
            ..,
        ] if (map, to) == (m1, t2)
            && (*l1, *end) == (at + 3, at + 4)
            && is_null(*index)
            && jumps_to(3) == 1
            && none_into(&[1, 2]) =>
        {
            Some((Op::MapGetSafe { to: *to, map: *map, key: *key }, 4))
        }
        // value instanceof Number ? ((Number) value).doubleValue() : null
        [
            Op::JumpNotInstance { on, class: class::NUMBER, target: l1 },
            Op::Move { to: copy, from },
            Op::Cast { on: cast, class: class::NUMBER },
            Op::Intrinsic { which: Intrinsic::DoubleValue, to, first, .. },
            Op::Jump { target: end },
            Op::Constant { to: t2, index },
            ..,
        ] if (on, copy, copy, to) == (from, cast, first, t2)
            && (*l1, *end) == (at + 5, at + 6)
            && is_null(*index)
            && jumps_to(5) == 1
            && none_into(&[1, 2, 3, 4]) =>
        {
            Some((Op::NumberOrNull { to: *to, from: *on }, 6))
        }
        // value == null ? null : value.toString()
        [
            Op::JumpNull { on, target: l1 },
            Op::Intrinsic { which: Intrinsic::ToString, to, first, .. },
            Op::Jump { target: end },
            Op::Constant { to: t2, index },
            ..,
        ] if (on, to) == (first, t2)
            && (*l1, *end) == (at + 3, at + 4)
            && is_null(*index)
            && jumps_to(3) == 1
            && none_into(&[1, 2]) =>
        {
            Some((Op::TextOrNull { to: *to, from: *on }, 4))
        }
        // The same, with the test the other way round.
        [
            Op::JumpNotNull { on, target: l1 },
            Op::Constant { to: t2, index },
            Op::Jump { target: end },
            Op::Intrinsic { which: Intrinsic::ToString, to, first, .. },
            ..,
        ] if (on, to) == (first, t2)
            && (*l1, *end) == (at + 3, at + 4)
            && is_null(*index)
            && jumps_to(3) == 1
            && none_into(&[1, 2]) =>
        {
            Some((Op::TextOrNull { to: *to, from: *on }, 4))
        }
        _ => None,
    }
}
