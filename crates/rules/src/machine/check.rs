//! Answers the questions that conditions were made into.

use std::cmp::Ordering;

use super::Machine;
use crate::check::{Next, Place, Question};
use crate::heap::{Text, Value};
use crate::library::few_digits;

impl Machine<'_> {
    /// What a condition says of the fact that it takes first; nothing where its code must say it.
    #[inline]
    pub(crate) fn check(&mut self, code: u32, fact: Value) -> Option<bool> {
        let program = self.program;
        let checks = program.codes[code as usize].checks.as_ref()?;
        let (mut value, mut whole) = (Value::Null, 0);
        let mut next = checks.first;
        loop {
            next = match next {
                Next::Answer(answer) => return Some(answer),
                Next::Check(at) => {
                    let check = &checks.checks[usize::from(at)];
                    if let Some(place) = check.place {
                        value = self.at(place, fact)?;
                    }
                    if self.answer(check.question, value, &mut whole)? { check.yes } else { check.no }
                }
                Next::Switch(at) => {
                    let choice = &checks.choices[usize::from(at)];
                    if let Some(place) = choice.place {
                        value = self.at(place, fact)?;
                    }
                    match value {
                        Value::String(text) => match choice.switch.find(&self.heap, text) {
                            Some(case) => choice.cases[case as usize],
                            None => choice.otherwise,
                        },
                        Value::Null => choice.otherwise,
                        _ => return None,
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn at(&mut self, place: Place, fact: Value) -> Option<Value> {
        let Value::Map(map) = fact else { return None };
        match place {
            Place::Key(key) => Some(*self.heap.find_key(map, &mut self.keys[usize::from(key)])),
            Place::Inner(outer, inner) => {
                let Value::Map(map) = *self.heap.find_key(map, &mut self.keys[usize::from(outer)]) else { return None };
                Some(*self.heap.find_key(map, &mut self.keys[usize::from(inner)]))
            }
        }
    }

    #[inline(always)]
    fn answer(&self, question: Question, value: Value, whole: &mut i32) -> Option<bool> {
        Some(match question {
            Question::Map => return matches!(value, Value::Map(_)).then_some(true),
            Question::Text => return ascii(value).map(|_| true),
            Question::Digits { start, end } => {
                let part = self.heap.bytes(ascii(value)?).get(usize::from(start)..usize::from(end))?;
                *whole = few_digits(part)?;
                true
            }
            Question::Null => value.is_null(),
            Question::NullText => match value {
                Value::String(_) => false,
                Value::Null => true,
                _ => return None,
            },
            Question::NullNumber => match value {
                Value::Double(_) | Value::Integer(_) => false,
                Value::Null => true,
                _ => return None,
            },
            Question::Boolean(wanted) => matches!(value, Value::Boolean(held) if held == wanted),
            Question::Equals(wanted) => match value {
                Value::String(text) => self.heap.equal_texts(text, wanted),
                Value::Null => false,
                _ => return None,
            },
            Question::EqualsIgnoreCase(wanted) => match value {
                Value::Null => false,
                _ => {
                    let text = ascii(value)?;
                    text.bytes_len() == wanted.bytes_len()
                        && self.heap.bytes(text).eq_ignore_ascii_case(self.heap.bytes(wanted))
                }
            },
            Question::Number { test, other } => test.holds(number(value)?, other),
            Question::Ordered { test, other } => match value {
                Value::Null => false,
                _ => test.holds_ordering(order(number(value)?, other)?),
            },
            Question::Length { test, other } => test.holds(ascii(value)?.bytes_len() as i32, other),
            Question::Whole { test, other } => test.holds(i64::from(*whole), other),
        })
    }
}

#[inline(always)]
fn ascii(value: Value) -> Option<Text> {
    match value {
        Value::String(text) if text.is_ascii() => Some(text),
        _ => None,
    }
}

#[inline(always)]
fn number(value: Value) -> Option<f64> {
    match value {
        Value::Double(double) => Some(double),
        Value::Integer(whole) => Some(f64::from(whole)),
        _ => None,
    }
}

/// How two numbers stand to each other where all orders agree: there are others for zeros and for what is no number.
fn order(left: f64, right: f64) -> Option<Ordering> {
    let order = left.partial_cmp(&right)?;
    (order != Ordering::Equal || left.to_bits() == right.to_bits()).then_some(order)
}
