//! Cases on the edges of the rules, to learn from: amounts, hours, pairs and means on both sides of where a rule
//! begins to fire, several rules at once, long lists, wrong types.
//!
//! Amounts that are exactly on an edge are sums of quarters, which binary fractions hold: a label never hangs on
//! how the last bit was rounded.

use rand::Rng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use serde_json::{Value, json};

use super::facts::{Facts, Transaction};
use super::scenarios::{BOTH, Draw, RISK, cents, pick};

/// Chance of an edge, and what it does to a case.
type Edge = (f64, fn(&mut Draw<'_>, &mut Facts));

/// In this order, because later edges build on amounts that earlier ones set.
const EDGES: [Edge; 9] = [
    (0.04, many),
    (0.22, mean_amount),
    (0.24, wires),
    (0.24, structuring),
    (0.24, opposite_legs),
    (0.24, hours),
    (0.20, countries),
    (0.10, person),
    (0.08, usual_amount),
];

/// Moves a case onto some edges, none included.
pub(super) fn apply(draw: &mut Draw<'_>, facts: &mut Facts) {
    for (chance, edge) in EDGES {
        if draw.random.random_bool(chance) {
            edge(draw, facts);
        }
    }
}

const NOT_WIRE: [&str; 3] = ["online", "branch", "atm"];

/// An amount at a threshold or beside it.
fn near(draw: &mut Draw<'_>, threshold: f64) -> f64 {
    if draw.random.random_bool(0.12) { threshold } else { beside(draw, threshold) }
}

/// An amount beside a threshold: by a cent, or by up to a thousandth, two or ten per cent.
fn beside(draw: &mut Draw<'_>, threshold: f64) -> f64 {
    let widest = [0.0, 0.001, 0.001, 0.02, 0.02, 0.10, 0.10].choose(&mut draw.random).copied().unwrap_or(0.02);
    let apart = (threshold * widest * draw.between(0.0, 1.0)).max(0.01);
    cents(if draw.random.random_bool(0.5) { threshold + apart } else { threshold - apart })
}

/// Adds ordinary transactions at random places until there are enough.
fn fill(draw: &mut Draw<'_>, facts: &mut Facts, count: usize) {
    while facts.recent_tx.len() < count {
        let amount = draw.amount * draw.between(0.3, 1.7);
        let transaction = draw.transaction(amount, &NOT_WIRE, &BOTH);
        insert(draw, facts, transaction);
    }
}

fn insert(draw: &mut Draw<'_>, facts: &mut Facts, transaction: Transaction) {
    let at = draw.random.random_range(0..=facts.recent_tx.len());
    facts.recent_tx.insert(at, transaction);
}

/// Different places in the list, in any order; fewer than asked for if the list is shorter.
fn places(draw: &mut Draw<'_>, facts: &Facts, count: usize) -> Vec<usize> {
    let all: Vec<usize> = (0..facts.recent_tx.len()).collect();
    all.choose_multiple(&mut draw.random, count).copied().collect()
}

/// A long list.
fn many(draw: &mut Draw<'_>, facts: &mut Facts) {
    let count = draw.random.random_range(8..=40);
    fill(draw, facts, count);
}

/// The mean around five times the usual amount, of two amounts or more.
fn mean_amount(draw: &mut Draw<'_>, facts: &mut Facts) {
    let count = draw.random.random_range(2..=5);
    fill(draw, facts, count);
    if draw.random.random_bool(0.15) {
        let usual = (draw.amount * 4.0).round() / 4.0;
        facts.person.avg_tx_amount_90d = usual;
        facts.recent_tx.iter_mut().for_each(|transaction| transaction.amount = usual * 5.0);
        return;
    }
    let usual = facts.person.avg_tx_amount_90d;
    let wanted = beside(draw, usual * 5.0) * facts.recent_tx.len() as f64;
    let mut left = wanted;
    let (last, others) = match facts.recent_tx.split_last_mut() {
        Some(split) => split,
        None => return,
    };
    for transaction in others {
        transaction.amount = cents(usual * draw.between(3.0, 6.5));
        left -= transaction.amount;
    }
    last.amount = cents(left.max(usual));
}

/// The usual amount around a fifth of the mean, whatever the amounts are.
fn usual_amount(draw: &mut Draw<'_>, facts: &mut Facts) {
    let count = facts.recent_tx.len().max(1) as f64;
    let mean = facts.recent_tx.iter().map(|transaction| transaction.amount).sum::<f64>() / count;
    facts.person.avg_tx_amount_90d = beside(draw, mean / 5.0).max(1.0);
}

/// One to three wires around 10,000, or far from it, and large amounts that are no wires.
fn wires(draw: &mut Draw<'_>, facts: &mut Facts) {
    let count = draw.random.random_range(1..=3);
    fill(draw, facts, count);
    for place in places(draw, facts, count) {
        let amount = match draw.random.random_range(0..10) {
            0..6 => near(draw, 10_000.0),
            6 | 7 => draw.between(10_000.0, 60_000.0),
            8 => draw.between(1_000.0, 10_000.0),
            _ => draw.between(10.0, 1_000.0),
        };
        let channel = match draw.random.random_range(0..20) {
            0..14 => "wire",
            14 => "WIRE",
            15 => "Wire",
            _ => pick(draw.random, &NOT_WIRE),
        };
        let transaction = &mut facts.recent_tx[place];
        transaction.amount = cents(amount);
        transaction.channel = channel.to_owned();
    }
}

/// One to five amounts in or around 8,000 to 10,000, mostly two or three.
fn structuring(draw: &mut Draw<'_>, facts: &mut Facts) {
    let count = [1, 2, 2, 3, 3, 3, 4, 5].choose(&mut draw.random).copied().unwrap_or(3);
    fill(draw, facts, count);
    for place in places(draw, facts, count) {
        let amount = match draw.random.random_range(0..10) {
            0..6 => draw.between(8_000.0, 10_000.0),
            6 | 7 => near(draw, 8_000.0),
            _ => near(draw, 10_000.0),
        };
        let channel = if draw.random.random_bool(0.08) { "wire" } else { pick(draw.random, &NOT_WIRE) };
        let transaction = &mut facts.recent_tx[place];
        transaction.amount = cents(amount);
        transaction.channel = channel.to_owned();
    }
}

/// Money in and out again, around two per cent apart; now and then in the other order, or with somebody else.
fn opposite_legs(draw: &mut Draw<'_>, facts: &mut Facts) {
    let larger = 100.0 * draw.between(0.0, 6.0).exp().round();
    let share = match draw.random.random_range(0..10) {
        0 => 0.02,
        1..4 => draw.between(0.019, 0.021),
        4..8 => draw.between(0.0, 0.04),
        _ => draw.between(0.0, 0.3),
    };
    let smaller = cents(larger * (1.0 - share));
    let (received, sent) = if draw.random.random_bool(0.5) { (larger, smaller) } else { (smaller, larger) };
    let mut legs = [received, sent].map(|amount| draw.transaction(amount, &["online", "branch", "wire"], &["in"]));
    if draw.random.random_bool(0.92) {
        legs[1].direction = "out".to_owned();
    }
    if draw.random.random_bool(0.88) {
        legs[1].counterparty_id = legs[0].counterparty_id.clone();
    }
    if draw.random.random_bool(0.2) {
        legs.swap(0, 1);
    }
    let [first, second] = legs;
    let at = draw.random.random_range(0..=facts.recent_tx.len());
    facts.recent_tx.insert(at, first);
    let behind = draw.random.random_range(at + 1..=facts.recent_tx.len());
    facts.recent_tx.insert(behind, second);
}

/// One to five transactions, or all, around the night's beginning and end; the others at any hour at times.
fn hours(draw: &mut Draw<'_>, facts: &mut Facts) {
    let all = draw.random.random_bool(0.15);
    let count = if all { facts.recent_tx.len() } else { draw.random.random_range(1..=5) };
    fill(draw, facts, count);
    if draw.random.random_bool(0.3) {
        let day: Vec<i8> = (5..23).collect();
        facts.recent_tx.iter_mut().for_each(|transaction| transaction.timestamp = draw.stamp(3, &day));
    }
    for place in places(draw, facts, count) {
        facts.recent_tx[place].timestamp = draw.stamp(3, &[22, 23, 23, 0, 0, 1, 2, 3, 3, 4, 4, 5, 5]);
    }
}

/// One to three counterparties in countries of high risk, in their neighbours by letter, in lower case.
fn countries(draw: &mut Draw<'_>, facts: &mut Facts) {
    let count = draw.random.random_range(1..=3);
    fill(draw, facts, count);
    for place in places(draw, facts, count) {
        facts.recent_tx[place].counterparty_country = match draw.random.random_range(0..20) {
            0..13 => pick(draw.random, &RISK).to_owned(),
            13 => pick(draw.random, &RISK).to_lowercase(),
            _ => (0..2).map(|_| char::from(draw.random.random_range(b'A'..=b'Z'))).collect(),
        };
    }
}

/// Flags of the person.
fn person(draw: &mut Draw<'_>, facts: &mut Facts) {
    facts.person.pep |= draw.random.random_bool(0.6);
    facts.person.sanctions_hit |= draw.random.random_bool(0.3);
    facts.person.kyc_verified &= draw.random.random_bool(0.5);
}

/// Makes a field as wrong as real feeds do.
pub(super) fn malform(facts: &mut Value, random: &mut impl Rng) {
    match random.random_range(0..8) {
        0 => facts["person"]["pep"] = odd_value(random),
        1 => facts["person"]["sanctions_hit"] = odd_value(random),
        2 => facts["person"]["avg_tx_amount_90d"] = odd_value(random),
        _ => {
            let Some(transactions) = facts["recent_tx"].as_array_mut() else { return };
            let Some(transaction) = transactions.choose_mut(random) else { return };
            malform_transaction(transaction, random);
        }
    }
}

fn malform_transaction(transaction: &mut Value, random: &mut impl Rng) {
    const FIELDS: [&str; 6] =
        ["amount", "channel", "timestamp", "counterparty_country", "counterparty_id", "direction"];
    match random.random_range(0..8) {
        0 => transaction["amount"] = json!(transaction["amount"].to_string()),
        1 => {
            let hour = pick(random, &["-1", "+2", "24", "99", "x1"]);
            transaction["timestamp"] = json!(format!("2026-06-01T{hour}:15:00Z"));
        }
        2 => transaction["timestamp"] = json!("2026-06-01"),
        3 => *transaction = Value::Null,
        4 => transaction["direction"] = json!(pick(random, &["IN", "OUT", "credit"])),
        5 => transaction["channel"] = json!(pick(random, &["cash", "card", ""])),
        6 => transaction[pick(random, &FIELDS)] = odd_value(random),
        _ => {
            if let Some(map) = transaction.as_object_mut() {
                map.remove(pick(random, &FIELDS));
            }
        }
    }
}

fn odd_value(random: &mut impl Rng) -> Value {
    [Value::Null, json!("true"), json!(1), json!(0), json!(""), json!("-")].choose(random).cloned().unwrap_or_default()
}
