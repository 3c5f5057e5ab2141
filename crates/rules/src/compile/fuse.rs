//! Operations that do the work of several, where code holds what they do.

use super::Environment;
use super::flow::{self, falls_through, incoming};
use super::optimize::{retain, rewrite};
use crate::heap::{Text, Value};
use crate::library::Method;
use crate::program::{Arithmetic, Code, Intrinsic, Near, Op, Register, Switch, Test};
use crate::types::class;

/// So many tests of one string against constants, one behind the other, become a switch.
const SWITCHED: usize = 3;

/// The operation with one of its operands in it, where that is known to be a constant; with the constant comes its
/// index.
pub(super) fn with_constant(op: Op, constant: impl Fn(Register) -> Option<(u16, Value)>) -> Option<Op> {
    let compared = |test: Test, left: Register, right: Register| match (constant(left), constant(right)) {
        (_, Some((index, value))) => Some((test, left, index, value)),
        (Some((index, value)), None) => Some((mirrored(test), right, index, value)),
        (None, None) => None,
    };
    Some(match op {
        Op::JumpInt { test, left, right, target } => match compared(test, left, right)? {
            (test, left, constant, Value::Integer(_)) => {
                Op::JumpIntConstant { test, left, constant, target: near(target)? }
            }
            _ => return None,
        },
        Op::JumpLong { test, left, right, target } => match compared(test, left, right)? {
            (test, left, constant, Value::Long(_)) => {
                Op::JumpLongConstant { test, left, constant, target: near(target)? }
            }
            _ => return None,
        },
        Op::JumpDouble { test, left, right, target } => match compared(test, left, right)? {
            (test, left, constant, Value::Double(_)) => {
                Op::JumpDoubleConstant { test, left, constant, target: near(target)? }
            }
            _ => return None,
        },
        Op::Int { operator: Arithmetic::Add, to, left, right } => match constant(right)? {
            (_, Value::Integer(by)) => Op::IntStep { to, left, by: i8::try_from(by).ok()? },
            _ => return None,
        },
        Op::MapPut { map, key, from, to } => match constant(key)? {
            (key, Value::String(_)) => Op::MapPutKey { map, from, to, key },
            _ => return None,
        },
        Op::Intrinsic { which: Intrinsic::ListAdd, to, first, second } => {
            Op::ListAddConstant { to, list: first, constant: constant(second)?.0 }
        }
        _ => return None,
    })
}

fn near(target: u32) -> Option<Near> {
    Near::try_from(target).ok()
}

/// The test that holds with its sides exchanged.
fn mirrored(test: Test) -> Test {
    match test {
        Test::Equal | Test::NotEqual => test,
        Test::Less => Test::Greater,
        Test::LessEqual => Test::GreaterEqual,
        Test::Greater => Test::Less,
        Test::GreaterEqual => Test::LessEqual,
    }
}

/// The last step of improvement: what is known of registers is not followed through all that comes of it.
pub(super) fn fuse(code: &mut Code, env: &Environment, methods: &[&'static Method]) {
    test_early(code, methods);
    fuse_neighbours(code, methods);
    fuse_iterators(code);
    drop_results(code, methods);
    for op in &mut code.ops {
        if let Op::Native { to, first, method } = *op {
            if let Some(which) = methods[usize::from(method)].brief {
                *op = Op::Brief { which, to, first, method };
            }
        }
    }
    collect_switches(code, env);
}

/// A test for null goes before what is read behind the value that it tests, where that is not read if it is null:
/// so it stands behind its value.
fn test_early(code: &mut Code, methods: &[&'static Method]) {
    let is_late = |pair: &[Op]| matches!(pair, [Op::MapText { .. } | Op::MapNumber { .. }, Op::JumpNull { .. }]);
    if !code.ops.windows(2).any(is_late) {
        return;
    }
    let incoming = incoming(code);
    let live = flow::live_before(code, methods);
    for (at, incoming) in incoming.iter().take(code.ops.len()).enumerate().skip(1) {
        let (Op::MapText { to, .. } | Op::MapNumber { to, .. }) = code.ops[at - 1] else { continue };
        let Op::JumpNull { on, target } = code.ops[at] else { continue };
        if on != to && *incoming == 0 && !live[target as usize].contains(to) {
            code.ops.swap(at - 1, at);
            code.positions.swap(at - 1, at);
        }
    }
}

fn fuse_neighbours(code: &mut Code, methods: &[&'static Method]) {
    // What is fused stands where the first of both stood; these two cannot throw, what follows them may.
    for at in 1..code.ops.len() {
        if let Op::Constant { .. } | Op::Global { .. } = code.ops[at - 1] {
            code.positions[at - 1] = code.positions[at];
        }
    }
    let live = flow::live_after(code, methods);
    rewrite(code, |rest, at, incoming| {
        let [first, second, ..] = rest else { return None };
        let behind = at as usize + 1;
        if incoming[behind] > 0 {
            return None;
        }
        let unused = |register: Register| !live[behind].contains(register);
        let fused = match (*first, *second) {
            (Op::MapText { to, map, key }, Op::JumpNull { on, target }) if on == to => {
                Op::MapTextElse { to, map, key, target: near(target)? }
            }
            (Op::MapNumber { to, map, key }, Op::JumpNull { on, target }) if on == to => {
                Op::MapNumberElse { to, map, key, target: near(target)? }
            }
            (Op::MapText { to, map, key }, Op::JumpNotEqualConstant { on, constant, target })
                if on == to && unused(to) =>
            {
                Op::JumpNotKeyText { map, key, constant, target: near(target)? }
            }
            (
                Op::Intrinsic { which: Intrinsic::ListGet, to, first: list, second: at },
                Op::JumpNotInstance { on, class: class::MAP, target },
            ) if on == to => Op::ListMapElse { to, list, at, target: near(target)? },
            (Op::Constant { to: constant, index }, Op::MapPutKey { map, from, to, key })
                if constant == from && map != from && unused(from) && unused(to) =>
            {
                Op::MapSetConstant { map, key, constant: index }
            }
            (Op::Global { to: global, index }, Op::ListAddConstant { to, list, constant })
                if global == list && unused(list) && unused(to) =>
            {
                Op::GlobalAddConstant { global: index, constant }
            }
            // Of the two only the first can throw: an int is there.
            (
                Op::Intrinsic { which: Intrinsic::Size, to, first: list, .. },
                Op::JumpInt { test, left, right, target },
            ) if right == to && left != to && unused(to) => Op::JumpSize { test, left, list, target: near(target)? },
            _ => return None,
        };
        Some((Some(fused), 2))
    });
}

/// What stood under a key before is not kept where nobody reads it.
fn drop_results(code: &mut Code, methods: &[&'static Method]) {
    if !code.ops.iter().any(|op| matches!(op, Op::MapPutKey { .. })) {
        return;
    }
    let live = flow::live_after(code, methods);
    for (op, live) in code.ops.iter_mut().zip(live) {
        if let Op::MapPutKey { map, from, to, key } = *op {
            if !live.contains(to) {
                *op = Op::MapSetKey { map, from, key };
            }
        }
    }
}

/// The test at the end of a loop takes the next element itself, where its jump alone leads to what takes it.
fn fuse_iterators(code: &mut Code) {
    if !code.ops.iter().any(|op| matches!(op, Op::JumpMore { .. })) {
        return;
    }
    let incoming = incoming(code);
    let mut keep = vec![true; code.ops.len()];
    for at in 0..code.ops.len() {
        let Op::JumpMore { state, over, target } = code.ops[at] else { continue };
        let place = target as usize;
        let Op::Step { to, state: stepped, over: stepped_over } = code.ops[place] else { continue };
        let alone = incoming[place] == 1 && place > 0 && !falls_through(code.ops[place - 1]);
        // An exception finds the same handlers in both places.
        let handled = |at: usize| code.handlers.iter().map(move |h| (h.start..h.end).contains(&(at as u32)));
        if let (true, Some(target)) = (alone && (state, over) == (stepped, stepped_over), near(target + 1)) {
            if handled(at).eq(handled(place)) {
                code.ops[at] = Op::Next { to, state, over, target };
                keep[place] = false;
                // What is no map most loops pass over.
                let behind = place + 1;
                if let (Op::JumpNotInstance { on, class: class::MAP, target: passed }, Some(target)) =
                    (code.ops[behind], target.checked_add(1))
                {
                    if on == to && passed as usize == at && incoming[behind] == 0 {
                        code.ops[at] = Op::NextMap { to, state, over, target };
                        keep[behind] = false;
                    }
                }
            }
        }
    }
    retain(code, &keep);
}

/// Makes a switch of tests that stand one behind the other, as a `switch` on strings leaves them.
fn collect_switches(code: &mut Code, env: &Environment) {
    if !code.ops.iter().any(|op| matches!(op, Op::JumpEqualConstant { .. })) {
        return;
    }
    let incoming = incoming(code);
    let mut keep = vec![true; code.ops.len()];
    let mut at = 0;
    while at < code.ops.len() {
        let Op::JumpEqualConstant { on: subject, .. } = code.ops[at] else {
            at += 1;
            continue;
        };
        let tests = code.ops[at..].iter().zip(&incoming[at..]).enumerate();
        let cases: Vec<(Text, u32)> = tests
            .map_while(|(index, (op, incoming))| match *op {
                Op::JumpEqualConstant { on, constant, target } if on == subject && (index == 0 || *incoming == 0) => {
                    match env.constants[usize::from(constant)] {
                        Value::String(text) => Some((text, target)),
                        _ => None,
                    }
                }
                _ => None,
            })
            .collect();
        let end = at + cases.len().max(1);
        if let (true, Ok(table)) = (cases.len() >= SWITCHED, u16::try_from(code.switches.len())) {
            code.ops[at] = Op::Switch { on: subject, table };
            keep[at + 1..end].fill(false);
            let bits = cases.iter().fold(0, |bits, (text, _)| bits | Switch::bit(env.text.bytes(*text)));
            code.switches.push(Switch { bits, cases });
        }
        at = end;
    }
    retain(code, &keep);
}

#[cfg(test)]
mod tests {
    use crate::RuleBase;
    use crate::compile::differential::fire;

    /// Loops over lists that hold more than maps, one of which changes its list, and two that read in another order than
    /// they test.
    const SOURCE: &str = r#"import java.util.*;
global java.util.List log;
global java.util.Map state;
function String text(Map m, String k) { Object v = m == null ? null : m.get(k); return v == null ? null : v.toString(); }
function Double number(Map m, String k) {
    Object v = m == null ? null : m.get(k);
    return v instanceof Number ? ((Number) v).doubleValue() : null;
}
function int each(List list) {
    int count = 0;
    for (Object item : list) {
        if (!(item instanceof Map)) continue;
        count += 1;
    }
    return count;
}
function int indexed(List list) {
    int count = 0;
    for (int i = 0; i < list.size(); i++) {
        if (!(list.get(i) instanceof Map)) continue;
        Map map = (Map) list.get(i);
        String name = text(map, "a");
        Double amount = number(map, "b");
        if (name == null || amount == null) continue;
        count += name.length();
    }
    return count;
}
function String changing(List list) {
    int count = 0;
    try {
        for (Object item : list) {
            if (!(item instanceof Map)) continue;
            count += 1;
            if (text((Map) item, "a") == null) list.remove(0);
        }
    } catch (ConcurrentModificationException e) {
        return "changed after " + count;
    }
    return "" + count;
}
rule R when $m : Map(this["list"] != null) then
    List list = (List) $m.get("list");
    log.add(each(list));
    log.add(indexed(list));
    log.add(list.size() > 2 ? indexed((List) ((Map) list.get(2)).get("list")) : -1);
    log.add(changing(list));
    log.add(each(list));
end
rule S salience -1 when $m : Map(this["list"] != null) then
    state.put("level", 2);
    state.put("list", $m.get("list"));
    log.add("done");
end
"#;

    #[test]
    fn fused_loops_do_what_their_parts_do() {
        let fused = RuleBase::compile("r.drl", SOURCE).expect("it loads");
        let plain = RuleBase::compile_plainly("r.drl", SOURCE).expect("it loads");
        for operation in ["NextMap", "ListMapElse", "MapTextElse", "MapSetConstant", "MapSetKey", "GlobalAddConstant"] {
            assert!(fused.listing().contains(operation), "no {operation} in\n{}", fused.listing());
            assert!(!plain.listing().contains(operation));
        }
        let items = [
            "1",
            "null",
            r#""x""#,
            r#"{"a":"xy","b":1}"#,
            r#"{"b":2}"#,
            r#"{"a":"z"}"#,
            r#"{"list":[{"a":"q","b":2},7]}"#,
        ];
        let mut seen = std::collections::BTreeSet::new();
        for a in items {
            for b in items {
                for c in items {
                    for list in
                        [format!("[{a},{b},{c}]"), format!("[{a},{b},{c},{a},{b}]"), format!("[{a}]"), "[]".to_owned()]
                    {
                        let facts = format!(r#"[{{"list":{list}}}]"#);
                        for globals in 0..3 {
                            let expected = fire(&plain, facts.as_bytes(), globals);
                            assert_eq!(
                                fire(&fused, facts.as_bytes(), globals),
                                expected,
                                "{facts} with {globals} globals"
                            );
                            seen.insert(expected);
                        }
                    }
                }
            }
        }
        assert!(seen.iter().any(|result| result.globals[0].contains("changed after 1")));
        assert!(seen.iter().any(|result| result.error.is_some()) && seen.len() > 50, "{}", seen.len());
    }
}
