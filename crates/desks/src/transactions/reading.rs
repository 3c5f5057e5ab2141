//! A case as the rules read it, whatever its types: what models see of a case is computed from this.
//!
//! Arithmetic is done here (means, ratios, the closest opposite leg), judgement is not: nothing compares with a
//! threshold of a rule. Facts that are missing or mistyped have a value of their own and never fail.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

/// Cases with more transactions are refused by models: leaving some out could change the decision.
pub const MOST_TRANSACTIONS: usize = 256;

/// A case that is too long for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the case has {0} transactions, models take {MOST_TRANSACTIONS}; decide it by rules")]
pub struct TooMany(pub usize);

/// What rules take for true: the Boolean alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    False,
    True,
    /// Missing, or no Boolean.
    Unknown,
}

/// The hour as it is written in a time stamp: characters 11 and 12 as a whole number, without a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hour {
    /// 0 to 23.
    Clock(u8),
    /// A negative number.
    Before,
    /// 24 or more.
    After,
    /// No time stamp, too short a one, or no number there (digits of other scripts included).
    Unknown,
}

/// A transaction.
#[derive(Debug)]
pub(super) struct Leg<'f> {
    pub(super) amount: Option<f64>,
    pub(super) hour: Hour,
    pub(super) channel: Option<Cow<'f, str>>,
    pub(super) direction: Option<Cow<'f, str>>,
    pub(super) country: Option<Cow<'f, str>>,
    /// Counterparties of the case in order of appearance, from 0.
    pub(super) counterparty: Option<usize>,
    /// Difference to the closest amount that went the other way with the same counterparty, as a share of the
    /// larger of both. For money out, money in before it counts; for money in, money out after it.
    pub(super) opposite: Option<f64>,
}

/// A case.
#[derive(Debug)]
pub(super) struct Reading<'f> {
    pub(super) sanctions: Flag,
    pub(super) pep: Flag,
    pub(super) verified: Flag,
    pub(super) segment: Option<Cow<'f, str>>,
    pub(super) home: Option<Cow<'f, str>>,
    pub(super) usual_amount: Option<f64>,
    pub(super) usual_per_day: Option<f64>,
    pub(super) account_age: Option<f64>,
    pub(super) legs: Vec<Leg<'f>>,
    /// How many amounts are numbers.
    pub(super) amounts: usize,
    /// Their mean; 0 where there is none.
    pub(super) mean: f64,
    /// Their mean as a multiple of the person's usual amount; 0 where that is not positive.
    pub(super) mean_to_usual: f64,
}

/// Relative differences below this come from binary fractions, not from money: amounts that are exactly two per
/// cent apart on paper should look it.
const ROUNDING: f64 = 1e-12;

impl<'f> Reading<'f> {
    pub(super) fn of(facts: &'f Value) -> Result<Self, TooMany> {
        let person = facts.get("person").and_then(Value::as_object);
        let items = facts.get("recent_tx").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let maps: Vec<&Map<String, Value>> = items.iter().filter_map(Value::as_object).collect();
        if maps.len() > MOST_TRANSACTIONS {
            return Err(TooMany(maps.len()));
        }
        let legs = legs(&maps);
        let usual_amount = number(person, "avg_tx_amount_90d");
        let amounts = legs.iter().filter(|leg| leg.amount.is_some()).count();
        let sum: f64 = legs.iter().filter_map(|leg| leg.amount).sum();
        let mean = if amounts == 0 { 0.0 } else { sum / amounts as f64 };
        Ok(Self {
            sanctions: flag(person, "sanctions_hit"),
            pep: flag(person, "pep"),
            verified: flag(person, "kyc_verified"),
            segment: text(person, "segment"),
            home: text(person, "home_country"),
            usual_amount,
            usual_per_day: number(person, "avg_tx_per_day_90d"),
            account_age: number(facts.get("account").and_then(Value::as_object), "opened_days_ago"),
            legs,
            amounts,
            mean,
            mean_to_usual: multiple(mean, usual_amount),
        })
    }

    /// The least of the differences to opposite legs.
    pub(super) fn closest_opposite(&self) -> Option<f64> {
        self.legs.iter().filter_map(|leg| leg.opposite).min_by(f64::total_cmp)
    }
}

/// An amount as a multiple of the usual one; 0 where that is not positive.
pub(super) fn multiple(amount: f64, usual: Option<f64>) -> f64 {
    usual.filter(|usual| *usual > 0.0).map_or(0.0, |usual| amount / usual * (1.0 + ROUNDING))
}

fn legs<'f>(maps: &[&'f Map<String, Value>]) -> Vec<Leg<'f>> {
    let mut known: HashMap<Cow<'f, str>, usize> = HashMap::new();
    let mut legs: Vec<Leg<'f>> = Vec::with_capacity(maps.len());
    for map in maps {
        let map = Some(*map);
        let next = known.len();
        let mut leg = Leg {
            amount: number(map, "amount"),
            hour: text(map, "timestamp").map_or(Hour::Unknown, |stamp| hour(&stamp)),
            channel: text(map, "channel"),
            direction: text(map, "direction"),
            country: text(map, "counterparty_country"),
            counterparty: text(map, "counterparty_id").map(|name| *known.entry(name).or_insert(next)),
            opposite: None,
        };
        if leg.direction.as_deref() == Some("out") && leg.counterparty.is_some() {
            for before in legs.iter_mut().filter(|before| before.counterparty == leg.counterparty) {
                let (Some(received), Some(sent)) = (before.amount, leg.amount) else { continue };
                if before.direction.as_deref() == Some("in") {
                    let apart = difference(received, sent);
                    before.opposite = closer(before.opposite, apart);
                    leg.opposite = closer(leg.opposite, apart);
                }
            }
        }
        legs.push(leg);
    }
    legs
}

fn closer(known: Option<f64>, apart: f64) -> Option<f64> {
    Some(known.map_or(apart, |known| known.min(apart)))
}

/// The difference of two amounts as a share of the larger; infinite if that is negative.
fn difference(received: f64, sent: f64) -> f64 {
    let larger = received.max(sent);
    match (received - sent).abs() {
        0.0 if larger >= 0.0 => 0.0,
        apart if larger > 0.0 => apart / larger * (1.0 - ROUNDING),
        _ => f64::INFINITY,
    }
}

fn hour(stamp: &str) -> Hour {
    // Java counts in UTF-16 units; a time stamp has one byte for each.
    let units = || -> Option<String> {
        let units: Vec<u16> = stamp.encode_utf16().skip(11).take(2).collect();
        (units.len() == 2).then(|| String::from_utf16(&units).ok()).flatten()
    };
    let parsed = match stamp.as_bytes().get(11..13) {
        Some(two) if stamp.is_ascii() => std::str::from_utf8(two).ok().and_then(|two| two.parse().ok()),
        _ => units().and_then(|two| two.parse::<i64>().ok()),
    };
    match parsed {
        Some(hour @ 0..=23) => Hour::Clock(hour as u8),
        Some(..0) => Hour::Before,
        Some(_) => Hour::After,
        None => Hour::Unknown,
    }
}

fn flag(map: Option<&Map<String, Value>>, key: &str) -> Flag {
    match map.and_then(|map| map.get(key)) {
        Some(Value::Bool(true)) => Flag::True,
        Some(Value::Bool(false)) => Flag::False,
        _ => Flag::Unknown,
    }
}

fn number(map: Option<&Map<String, Value>>, key: &str) -> Option<f64> {
    map?.get(key)?.as_f64()
}

fn text<'f>(map: Option<&'f Map<String, Value>>, key: &str) -> Option<Cow<'f, str>> {
    match map?.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

/// Equality as of Java's `equalsIgnoreCase`, by which the rules compare channels; `known` is lower-case ASCII.
pub(super) fn same_ignoring_case(text: &str, known: &str) -> bool {
    // Two letters outside of ASCII become an i in one of the cases, one becomes a k.
    let fold = |letter: char| match letter {
        'ı' | 'İ' => 'i',
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    text.chars().map(fold).eq(known.chars())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hours_are_read_as_the_rules_read_them() {
        for (stamp, expected) in [
            ("2026-06-01T04:59:59Z", Hour::Clock(4)),
            ("2026-06-01T23", Hour::Clock(23)),
            ("2026-06-01T2", Hour::Unknown),
            ("2026-06-01T-1:00", Hour::Before),
            ("2026-06-01T+2:00", Hour::Clock(2)),
            ("2026-06-01T24:00", Hour::After),
            ("2026-06-01Tx4:00", Hour::Unknown),
            ("2026–06–01T04:00", Hour::Clock(4)),
            ("😀26-06-01T04:00", Hour::Clock(4)),
            ("", Hour::Unknown),
        ] {
            assert_eq!(hour(stamp), expected, "{stamp}");
        }
    }

    #[test]
    fn opposite_legs_are_those_of_one_counterparty_in_then_out() {
        let leg = |way: &str, amount: f64, id: &str| json!({"direction": way, "amount": amount, "counterparty_id": id});
        let facts = json!({"recent_tx": [
            leg("out", 100.0, "A"), leg("in", 5000.0, "A"), leg("in", 4000.0, "A"), leg("out", 4900.0, "B"),
            leg("out", 4900.0, "A"),
        ]});
        let reading = Reading::of(&facts).expect("few transactions");
        let per_mille: Vec<Option<i64>> =
            reading.legs.iter().map(|leg| leg.opposite.map(|share| (share * 1000.0).round() as i64)).collect();
        assert_eq!(per_mille, [None, Some(20), Some(184), None, Some(20)]);
        let counterparties: Vec<_> = reading.legs.iter().map(|leg| leg.counterparty).collect();
        assert_eq!(counterparties, [Some(0), Some(0), Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn differences_of_amounts_that_are_not_positive_are_those_of_the_rule() {
        assert_eq!(difference(0.0, 0.0), 0.0);
        assert_eq!(difference(-5.0, -5.0), f64::INFINITY);
        assert_eq!(difference(0.0, -5.0), f64::INFINITY);
        assert!(difference(5.0, -5.0) > 1.0);
    }

    #[test]
    fn channels_compare_as_in_java() {
        assert!(same_ignoring_case("WIRE", "wire") && same_ignoring_case("wıre", "wire"));
        assert!(!same_ignoring_case("wires", "wire") && !same_ignoring_case("ẃire", "wire"));
    }
}
