//! Follows the code of a condition, and makes questions about one map of it where that is all that it does.

use super::flow::target;
use crate::check::{Check, Checks, Choice, Next, Place, Question};
use crate::heap::Value;
use crate::program::{Brief, Code, Intrinsic, Op, Register, Relate, Switch};
use crate::types::class;

/// So many questions and switches a condition may be made into: it branches at each.
const MOST: usize = 24;

/// What a register is known to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Nothing,
    Fact,
    Null,
    Boolean(bool),
    Constant(u16),
    /// What stands at a place.
    Value(Place),
    /// Its text, or null.
    Text(Place),
    /// It as a double, or null.
    Number(Place),
    /// The length of the text.
    Length(Place),
    /// These characters of the text, which are a small number.
    Part(Place, u8, u8),
    /// The number that they are.
    Digits(Place, u8, u8),
}

/// Where the code goes on, and what is known there.
#[derive(Clone)]
struct State {
    at: usize,
    registers: Vec<Known>,
    /// What was asked about last.
    value: Option<Place>,
    /// The digits that were asked about last.
    digits: Option<(Place, u8, u8)>,
    /// What has been asked that has no second answer.
    settled: Vec<(Place, Question)>,
}

impl State {
    fn held(&self, register: Register) -> Known {
        self.registers[usize::from(register)]
    }

    /// The state somewhere else.
    fn to(&self, at: impl Into<usize>) -> Self {
        Self { at: at.into(), ..self.clone() }
    }

    /// The state with something in a register.
    fn with(mut self, register: Register, known: Known) -> Self {
        self.registers[usize::from(register)] = known;
        self
    }
}

/// The code as questions about the fact in its first register; nothing if it does anything else.
pub(super) fn checks(code: &Code, constants: &[Value]) -> Option<Checks> {
    let mut registers = vec![Known::Nothing; usize::from(Register::MAX) + 1];
    registers[0] = Known::Fact;
    let state = State { at: 0, registers, value: None, digits: None, settled: Vec::new() };
    let mut follower = Follower { code, constants, checks: Vec::new(), choices: Vec::new() };
    let first = follower.follow(state)?;
    // What is read and not asked about could still throw.
    let answers_at_once = matches!(code.ops[0], Op::ReturnConstant { .. });
    let asks = !matches!(first, Next::Answer(_));
    (asks || answers_at_once).then_some(Checks { first, checks: follower.checks, choices: follower.choices })
}

struct Follower<'c> {
    code: &'c Code,
    constants: &'c [Value],
    checks: Vec<Check>,
    choices: Vec<Choice>,
}

impl Follower<'_> {
    /// What the operations from one on come to.
    fn follow(&mut self, mut state: State) -> Option<Next> {
        loop {
            let op = *self.code.ops.get(state.at)?;
            // Loops are left to the code.
            if target(op).is_some_and(|target| target as usize <= state.at) {
                return None;
            }
            match op {
                Op::Jump { target } => {
                    state.at = target as usize;
                    continue;
                }
                Op::ReturnConstant { index } => return self.answer(Known::Constant(index)),
                Op::Return { from } => return self.answer(state.held(from)),
                _ => {}
            }
            let Some((to, known)) = self.read(op, &state) else { return self.branch(op, state) };
            state = state.to(state.at + 1).with(to, known);
            if let Some((place, question)) = required(op, known) {
                return self.require(place, question, state);
            }
        }
    }

    fn answer(&self, known: Known) -> Option<Next> {
        match known {
            Known::Boolean(answer) => Some(Next::Answer(answer)),
            _ => match self.constant(known)? {
                Value::Boolean(answer) => Some(Next::Answer(answer)),
                _ => None,
            },
        }
    }

    fn constant(&self, known: Known) -> Option<Value> {
        match known {
            Known::Constant(index) => Some(self.constants[usize::from(index)]),
            _ => None,
        }
    }

    /// What an operation that only reads leaves in a register.
    fn read(&self, op: Op, state: &State) -> Option<(Register, Known)> {
        let held = |register: Register| state.held(register);
        let whole = |register: Register| match self.constant(held(register))? {
            Value::Integer(whole) => u8::try_from(whole).ok(),
            _ => None,
        };
        Some(match op {
            Op::Constant { to, index } => (to, Known::Constant(index)),
            Op::Move { to, from } => (to, held(from)),
            Op::MapGet { to, map, key } | Op::MapGetSafe { to, map, key } => (to, Known::Value(place(held(map), key)?)),
            Op::MapText { to, map, key } => (to, Known::Text(place(held(map), key)?)),
            Op::MapNumber { to, map, key } => (to, Known::Number(place(held(map), key)?)),
            Op::TextOrNull { to, from } => match held(from) {
                Known::Value(place) => (to, Known::Text(place)),
                _ => return None,
            },
            Op::NumberOrNull { to, from } => match held(from) {
                Known::Value(place) => (to, Known::Number(place)),
                _ => return None,
            },
            Op::Intrinsic { which: Intrinsic::Length, to, first, .. } => (to, Known::Length(text(held(first))?)),
            Op::Brief { which: Brief::Substring, to, first, .. } => {
                let (start, end) = (whole(first.checked_add(1)?)?, whole(first.checked_add(2)?)?);
                (to, Known::Part(text(held(first))?, start, end))
            }
            Op::Brief { which: Brief::ParseInt | Brief::ParseLong, to, first, .. } => match held(first) {
                Known::Part(place, start, end) => (to, Known::Digits(place, start, end)),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// What an operation comes to that goes on in one of two ways, or throws.
    fn branch(&mut self, op: Op, state: State) -> Option<Next> {
        let next = state.to(state.at + 1);
        let far = |target: u32| state.to(target as usize);
        let near = |target: u16| state.to(target);
        match op {
            Op::JumpIf { on, target } => self.choose(state.held(on), far(target), next),
            Op::JumpUnless { on, target } => self.choose(state.held(on), next, far(target)),
            Op::JumpNull { on, target } => self.null(state.held(on), far(target), next),
            Op::JumpNotNull { on, target } => self.null(state.held(on), next, far(target)),
            Op::JumpEqualConstant { on, constant, target } => {
                let (place, question) = self.equals(state.held(on), Known::Constant(constant))?;
                self.ask(place, question, far(target), next)
            }
            Op::JumpNotEqualConstant { on, constant, target } => {
                let (place, question) = self.equals(state.held(on), Known::Constant(constant))?;
                self.ask(place, question, next, far(target))
            }
            Op::JumpNotKeyText { map, key, constant, target } => {
                let text = Known::Text(place(state.held(map), key)?);
                let (place, question) = self.equals(text, Known::Constant(constant))?;
                self.ask(place, question, next, near(target))
            }
            Op::MapTextElse { to, map, key, target } => {
                let place = place(state.held(map), key)?;
                let (null, text) = (near(target).with(to, Known::Null), next.with(to, Known::Text(place)));
                self.ask(place, Question::NullText, null, text)
            }
            Op::MapNumberElse { to, map, key, target } => {
                let place = place(state.held(map), key)?;
                let (null, number) = (near(target).with(to, Known::Null), next.with(to, Known::Number(place)));
                self.ask(place, Question::NullNumber, null, number)
            }
            Op::JumpDoubleConstant { left, target, .. }
            | Op::JumpIntConstant { left, target, .. }
            | Op::JumpLongConstant { left, target, .. } => {
                let (place, question) = self.ordered(op, state.held(left), state.digits)?;
                self.ask(place, question, near(target), next)
            }
            Op::Cast { on, class: class::MAP } => match state.held(on) {
                Known::Value(place) => self.require(place, Question::Map, next),
                _ => None,
            },
            Op::Switch { on, table } => self.switch(text(state.held(on))?, usize::from(table), next),
            _ => {
                let (to, place, question) = self.compared(op, &state)?;
                let (yes, no) = (next.clone().with(to, Known::Boolean(true)), next.with(to, Known::Boolean(false)));
                self.ask(place, question, yes, no)
            }
        }
    }

    /// What a comparison of a number with a constant asks.
    fn ordered(&self, op: Op, held: Known, digits: Option<(Place, u8, u8)>) -> Option<(Place, Question)> {
        let (test, constant) = match op {
            Op::JumpDoubleConstant { test, constant, .. }
            | Op::JumpIntConstant { test, constant, .. }
            | Op::JumpLongConstant { test, constant, .. } => (test, self.constants[usize::from(constant)]),
            _ => return None,
        };
        match (held, constant) {
            (Known::Number(place), Value::Double(other)) => Some((place, Question::Number { test, other })),
            (Known::Length(place), Value::Integer(other)) => Some((place, Question::Length { test, other })),
            (Known::Digits(place, start, end), constant) if digits == Some((place, start, end)) => {
                Some((place, Question::Whole { test, other: constant.as_long()? }))
            }
            _ => None,
        }
    }

    /// What an operation asks that leaves the answer in a register.
    fn compared(&self, op: Op, state: &State) -> Option<(Register, Place, Question)> {
        let held = |register: Register| state.held(register);
        match op {
            Op::Intrinsic { which: Intrinsic::EqualsIgnoreCase, to, first, second } => {
                let Value::String(wanted) = self.constant(held(first))? else { return None };
                let place = text(held(second))?;
                wanted.is_ascii().then_some((to, place, Question::EqualsIgnoreCase(wanted)))
            }
            Op::Intrinsic { which: Intrinsic::Equals, to, first, second } => {
                let (place, question) = self.equals(held(second), held(first))?;
                Some((to, place, question))
            }
            Op::Relate { relation: Relate::Equals, to, left, right } => {
                let (place, question) = self.equals(held(left), held(right))?;
                Some((to, place, question))
            }
            Op::Relate { relation: Relate::Order(test), to, left, right } => {
                let (Known::Number(place) | Known::Value(place)) = held(left) else { return None };
                let other = match self.constant(held(right))? {
                    Value::Double(double) => double,
                    Value::Integer(whole) => whole.into(),
                    _ => return None,
                };
                Some((to, place, Question::Ordered { test, other }))
            }
            _ => None,
        }
    }

    fn equals(&self, held: Known, wanted: Known) -> Option<(Place, Question)> {
        match (held, self.constant(wanted)?) {
            (Known::Value(place) | Known::Text(place), Value::String(text)) => Some((place, Question::Equals(text))),
            (Known::Value(place), Value::Boolean(wanted)) => Some((place, Question::Boolean(wanted))),
            _ => None,
        }
    }

    /// Goes on in one of two ways by a boolean.
    fn choose(&mut self, held: Known, yes: State, no: State) -> Option<Next> {
        if let Known::Value(place) = held {
            return self.ask(place, Question::Boolean(true), yes, no);
        }
        match self.answer(held)? {
            Next::Answer(true) => self.follow(yes),
            _ => self.follow(no),
        }
    }

    /// Goes on in one of two ways by whether a value is null.
    fn null(&mut self, held: Known, yes: State, no: State) -> Option<Next> {
        let (place, question) = match held {
            Known::Value(place) => (place, Question::Null),
            Known::Text(place) => (place, Question::NullText),
            Known::Number(place) => (place, Question::NullNumber),
            Known::Null => return self.follow(yes),
            _ => return None,
        };
        self.ask(place, question, yes, no)
    }

    /// A question with what follows each answer.
    fn ask(&mut self, place: Place, question: Question, yes: State, no: State) -> Option<Next> {
        let at = self.begin(place, question, &yes)?;
        self.checks[at].yes = self.follow(State { value: Some(place), ..yes })?;
        self.checks[at].no = self.follow(State { value: Some(place), ..no })?;
        Some(Next::Check(at as u16))
    }

    /// A question that has one answer or none.
    fn require(&mut self, place: Place, question: Question, mut state: State) -> Option<Next> {
        let is_current = match question {
            Question::Digits { start, end } => state.digits.replace((place, start, end)) == Some((place, start, end)),
            _ => true,
        };
        if is_current && state.settled.contains(&(place, question)) {
            return self.follow(state);
        }
        let at = self.begin(place, question, &state)?;
        state.settled.push((place, question));
        self.checks[at].yes = self.follow(State { value: Some(place), ..state })?;
        Some(Next::Check(at as u16))
    }

    fn begin(&mut self, place: Place, question: Question, state: &State) -> Option<usize> {
        let at = self.checks.len();
        let read = (state.value != Some(place)).then_some(place);
        let unanswered = Next::Answer(false);
        self.checks.push(Check { place: read, question, yes: unanswered, no: unanswered });
        (at + self.choices.len() < MOST).then_some(at)
    }

    fn switch(&mut self, place: Place, table: usize, next: State) -> Option<Next> {
        let at = self.choices.len();
        if at + self.checks.len() >= MOST {
            return None;
        }
        let source = &self.code.switches[table];
        let read = (next.value != Some(place)).then_some(place);
        let mut switch = Switch { bits: source.bits, cases: Vec::new() };
        self.choices.push(Choice {
            place: read,
            switch: switch.clone(),
            cases: Vec::new(),
            otherwise: Next::Answer(false),
        });
        let next = State { value: Some(place), ..next };
        let (mut targets, mut cases) = (Vec::new(), Vec::new());
        for (text, target) in &source.cases {
            let known = targets.iter().position(|known| known == target);
            let case = known.unwrap_or(cases.len());
            if known.is_none() {
                if (*target as usize) < next.at {
                    return None;
                }
                cases.push(self.follow(next.to(*target as usize))?);
                targets.push(*target);
            }
            switch.cases.push((*text, case as u32));
        }
        let otherwise = self.follow(next)?;
        self.choices[at] = Choice { place: read, switch, cases, otherwise };
        Some(Next::Switch(at as u16))
    }
}

/// Where a key of what a register holds stands; a map within the fact's maps is as deep as it goes.
fn place(map: Known, key: u16) -> Option<Place> {
    match map {
        Known::Fact => Some(Place::Key(key)),
        Known::Value(Place::Key(outer)) => Some(Place::Inner(outer, key)),
        _ => None,
    }
}

fn text(held: Known) -> Option<Place> {
    match held {
        Known::Value(place) | Known::Text(place) => Some(place),
        _ => None,
    }
}

/// What must be so for an operation that reads not to throw.
fn required(op: Op, read: Known) -> Option<(Place, Question)> {
    match (op, read) {
        (Op::MapGet { .. }, Known::Value(Place::Inner(outer, _))) => Some((Place::Key(outer), Question::Map)),
        (Op::Intrinsic { .. }, Known::Length(place)) => Some((place, Question::Text)),
        (Op::Brief { .. }, Known::Part(place, start, end)) => Some((place, Question::Digits { start, end })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::RuleBase;
    use crate::compile::differential::fire;

    const FUNCTIONS: &str = r#"import java.util.*;
function String text(Map m, String k) { Object v = m == null ? null : m.get(k); return v == null ? null : v.toString(); }
function Double number(Map m, String k) {
    Object v = m == null ? null : m.get(k);
    return v instanceof Number ? ((Number) v).doubleValue() : null;
}
function boolean isTrue(Map m, String k) { return Boolean.TRUE.equals(m.get(k)); }
function boolean night(Map m) {
    String t = text(m, "v");
    if (t == null || t.length() < 4) return false;
    try {
        long hour = Long.parseLong(t.substring(2, 4));
        return hour <= 4 || hour > 22;
    } catch (NumberFormatException e) {
        return true;
    }
}
function boolean among(String s) {
    if (s == null) return false;
    switch (s) { case "a": case "wire": case "x": return true; default: return false; }
}
"#;

    /// Conditions, and whether any of it is made into questions.
    const CONDITIONS: [(&str, bool); 20] = [
        (r#"Map(text(this, "v") == "wire")"#, true),
        (r#"Map("wire".equalsIgnoreCase(text(this, "v")))"#, true),
        (r#"Map(text(this, "v") != null, text(this, "v").equalsIgnoreCase("wire"))"#, true),
        (r#"Map(number(this, "v") != null && number(this, "v") >= 0.0)"#, true),
        (r#"Map(number(this, "v") < 12.5)"#, true),
        (r#"Map(this["v"] > 10)"#, true),
        (r#"Map(this["v"] <= 0.0)"#, true),
        (r#"Map(this["v"] == "wire" || this["w"] == "wire")"#, true),
        (r#"Map(this["w"] != null && this["v"] == true)"#, true),
        (r#"$m : Map() eval(isTrue($m, "v"))"#, true),
        (r#"$m : Map() eval(isTrue((Map) $m.get("w"), "v"))"#, true),
        (r#"$m : Map() eval(night($m))"#, true),
        (r#"$m : Map() eval(among(text($m, "v")))"#, true),
        (r#"$m : Map() eval(among(text((Map) $m.get("w"), "v")))"#, true),
        (r#"$m : Map() eval(!isTrue($m, "v") && text($m, "w") == null)"#, true),
        (r#"$m : Map() eval(((String) $m.get("v")).length() > 3)"#, false),
        (r#"Map(this["v"] == 10)"#, false),
        (r#"Map(this["v"] contains "wire")"#, false),
        (r#"eval(true)"#, true),
        (r#"$m : Map() eval($m.get("v") == null)"#, true),
    ];

    const VALUES: [&str; 21] = [
        "null",
        "true",
        "false",
        "0",
        "-0.0",
        "0.0",
        "10",
        "12.5",
        "11",
        "3000000000",
        "1e300",
        r#""wire""#,
        r#""WIRE""#,
        r#""""#,
        r#""ab03x""#,
        r#""ab23""#,
        r#""abéé""#,
        r#""abxy""#,
        "[1]",
        r#"{"v":true}"#,
        r#"{"v":"x"}"#,
    ];

    #[test]
    fn questions_say_what_the_code_says() {
        for (condition, is_asked) in CONDITIONS {
            let source = format!("{FUNCTIONS}\nrule R when {condition} then end");
            let asked = RuleBase::compile("r.drl", &source).expect(condition);
            let plain = RuleBase::compile_plainly("r.drl", &source).expect(condition);
            assert_eq!(asked.listing().contains("as questions"), is_asked, "{condition}\n{}", asked.listing());
            for v in VALUES {
                for w in VALUES {
                    for facts in
                        [format!(r#"[{{"v":{v},"w":{w}}}]"#), format!(r#"[{{"w":{w}}}]"#), format!(r#"[{{"v":{v}}}]"#)]
                    {
                        assert_eq!(
                            fire(&asked, facts.as_bytes(), 0),
                            fire(&plain, facts.as_bytes(), 0),
                            "{condition} on {facts}"
                        );
                    }
                }
            }
        }
    }
}
