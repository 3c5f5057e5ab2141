//! Improves finished code: jumps that lead to jumps, and the shapes that null-safe reading of maps leaves.
//!
//! Rule files read values through small functions such as `m == null ? null : m.get(k)`; once inlined,
//! each is five operations where one will do.

use crate::heap::Value;
use crate::program::{Code, Handler, Intrinsic, Op};
use crate::types::class;

/// Rewrites a code unit in place; it computes the same.
pub(super) fn optimize(code: &mut Code, constants: &[Value]) {
    // Jumps to the next operation go first, so that the shapes stand close together.
    rewrite(code, |rest, at, _| match rest {
        [Op::Jump { target }, ..] if *target == at + 1 => Some((None, 1)),
        _ => None,
    });
    let is_null = |index: u16| matches!(constants.get(usize::from(index)), Some(Value::Null));
    rewrite(code, |rest, at, incoming| shape(rest, at, incoming, &is_null).map(|(op, taken)| (Some(op), taken)));
    thread_jumps(&mut code.ops);
}

/// Replaces stretches of operations: `replace` says by what, and how many operations it takes.
fn rewrite(code: &mut Code, replace: impl Fn(&[Op], u32, &[u32]) -> Option<(Option<Op>, usize)>) {
    let incoming = incoming(&code.ops, &code.handlers);
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
        if let Some(target) = target_mut(op) {
            *target = moved[*target as usize];
        }
    }
    for handler in &mut code.handlers {
        for edge in [&mut handler.start, &mut handler.end, &mut handler.target] {
            *edge = moved[*edge as usize];
        }
    }
    code.ops = ops;
    code.positions = positions;
}

pub(super) fn target_mut(op: &mut Op) -> Option<&mut u32> {
    match op {
        Op::Jump { target }
        | Op::JumpIf { target, .. }
        | Op::JumpUnless { target, .. }
        | Op::JumpNull { target, .. }
        | Op::JumpNotNull { target, .. }
        | Op::JumpInt { target, .. }
        | Op::JumpLong { target, .. }
        | Op::JumpDouble { target, .. }
        | Op::JumpInstance { target, .. }
        | Op::JumpNotInstance { target, .. } => Some(target),
        _ => None,
    }
}

fn thread_jumps(ops: &mut [Op]) {
    for at in 0..ops.len() {
        let mut op = ops[at];
        if let Some(target) = target_mut(&mut op) {
            // Bounded, because an empty endless loop jumps to itself.
            for _ in 0..8 {
                match ops.get(*target as usize) {
                    Some(Op::Jump { target: further }) if further > target => *target = *further,
                    _ => break,
                }
            }
            ops[at] = op;
        }
    }
}

/// How many jumps lead to each operation.
fn incoming(ops: &[Op], handlers: &[Handler]) -> Vec<u32> {
    let mut counts = vec![0; ops.len() + 2];
    for op in ops {
        let mut op = *op;
        if let Some(target) = target_mut(&mut op) {
            counts[*target as usize] += 1;
        }
    }
    for handler in handlers {
        for edge in [handler.start, handler.end, handler.target] {
            counts[edge as usize] += 1;
        }
    }
    counts
}

/// A shape that one operation can replace, with the number of operations it takes.
fn shape(rest: &[Op], at: u32, incoming: &[u32], is_null: &impl Fn(u16) -> bool) -> Option<(Op, usize)> {
    let jumps_to = |offset: usize| incoming.get(at as usize + offset).copied().unwrap_or(0);
    let none_into = |offsets: &[usize]| offsets.iter().all(|offset| jumps_to(*offset) == 0);
    match rest {
        // map == null || map.get(k) == null ? null : map.get(k).toString()
        [
            Op::JumpNull { on: map, target: l1 },
            Op::MapGet { to: held, map: m1, key, hint },
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
            Some((Op::MapText { to: *to, map: *map, key: *key, hint: *hint }, 7))
        }
        // map == null ? null : map.get(k)
        [
            Op::JumpNull { on: map, target: l1 },
            Op::MapGet { to, map: m1, key, hint },
            Op::Jump { target: end },
            Op::Constant { to: t2, index },
            ..,
        ] if (map, to) == (m1, t2)
            && (*l1, *end) == (at + 3, at + 4)
            && is_null(*index)
            && jumps_to(3) == 1
            && none_into(&[1, 2]) =>
        {
            Some((Op::MapGetSafe { to: *to, map: *map, key: *key, hint: *hint }, 4))
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
        _ => None,
    }
}
