//! The stories behind synthetic cases, and the edges that some are moved onto.

use jiff::ToSpan;
use jiff::civil::Date;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::edges;
use super::facts::{Account, Facts, Person, Transaction};
use super::generate::Recipe;

const SAFE: [&str; 14] = ["CA", "US", "GB", "FR", "DE", "MX", "IN", "AE", "ES", "IT", "SE", "NL", "JP", "AU"];
pub(super) const RISK: [&str; 5] = ["RU", "IR", "KP", "AF", "SY"];
const SEGMENTS: [&str; 4] = ["retail", "premier", "student", "small_business"];

/// A scenario's name and what it draws.
type Scenario = (&'static str, fn(&mut Draw<'_>) -> Vec<Transaction>);

const SCENARIOS: [Scenario; 8] = [
    ("normal", normal),
    ("behavior_shift", behavior_shift),
    ("structuring", structuring),
    ("large_wire", large_wire),
    ("round_trip", round_trip),
    ("pep", normal),
    ("odd_hour", odd_hour),
    ("sanctions", normal),
];

pub(super) fn names() -> Vec<&'static str> {
    SCENARIOS.iter().map(|(name, _)| *name).collect()
}

/// What a scenario draws with.
pub(super) struct Draw<'d> {
    pub(super) random: &'d mut dyn rand::RngCore,
    last_day: Date,
    /// The person's usual amount and number a day.
    pub(super) amount: f64,
    per_day: f64,
}

/// Draws a case.
pub(super) fn draw(recipe: &Recipe, last_day: Date, random: &mut impl Rng) -> Value {
    let total: f64 = recipe.scenarios.values().sum();
    let mut at = random.random_range(0.0..total);
    let chosen = SCENARIOS.iter().find(|(name, _)| {
        at -= recipe.scenarios.get(*name).copied().unwrap_or(0.0);
        at < 0.0
    });
    let (name, scenario) = *chosen.unwrap_or(&SCENARIOS[0]);
    let forced = random.random_bool(recipe.unverified);
    let person = Person {
        person_id: format!("P{}", 1000 + random.random_range(0..recipe.persons)),
        segment: pick(random, &SEGMENTS).to_owned(),
        pep: name == "pep",
        sanctions_hit: name == "sanctions" || random.random_bool(recipe.background_sanctions),
        home_country: pick(random, &SAFE).to_owned(),
        kyc_verified: !forced && random.random_bool(0.98),
        avg_tx_amount_90d: cents(random.random_range(25.0..400.0)),
        avg_tx_per_day_90d: cents(random.random_range(0.3..4.5)),
        other: Map::new(),
    };
    let account = Account {
        account_id: format!("A{}", random.random_range(10_000..100_000)),
        opened_days_ago: random.random_range(30..=2000),
        other: Map::new(),
    };
    let mut draw =
        Draw { amount: person.avg_tx_amount_90d, per_day: person.avg_tx_per_day_90d, last_day, random: &mut *random };
    let recent_tx = scenario(&mut draw);
    let mut facts = Facts { person, account, recent_tx, other: Map::new() };
    let on_edge = recipe.edges > 0.0 && draw.random.random_bool(recipe.edges);
    if on_edge {
        edges::apply(&mut draw, &mut facts);
    }
    // A struct of plain fields always serialises.
    let mut facts = serde_json::to_value(facts).unwrap_or_default();
    if random.random_bool(recipe.boundary) {
        move_to_edge(&mut facts, random);
    }
    if on_edge && random.random_bool(recipe.malformed) {
        edges::malform(&mut facts, random);
    }
    facts
}

pub(super) fn pick<'a>(random: &mut (impl Rng + ?Sized), list: &[&'a str]) -> &'a str {
    list.choose(random).copied().unwrap_or_default()
}

pub(super) fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

impl Draw<'_> {
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        self.random.random_range(low..high)
    }

    /// A normal variate (Box and Muller, 1958), as seldom needed as to be drawn one at a time.
    fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let (a, b) = (self.between(f64::MIN_POSITIVE, 1.0), self.between(0.0, std::f64::consts::TAU));
        mean + deviation * (-2.0 * a.ln()).sqrt() * b.cos()
    }

    /// A Poisson variate (Knuth's product of uniforms), at least `least` and at most `most`.
    fn poisson(&mut self, mean: f64, least: usize, most: usize) -> usize {
        let floor = (-mean).exp();
        let (mut count, mut product) = (0, self.between(0.0, 1.0));
        while product > floor && count < most {
            product *= self.between(0.0, 1.0);
            count += 1;
        }
        count.max(least)
    }

    pub(super) fn stamp(&mut self, days_back: i64, hours: &[i8]) -> String {
        let day = self.last_day.saturating_sub(self.random.random_range(0..days_back).days());
        let hour = hours.choose(&mut self.random).copied().unwrap_or(12);
        let (minute, second) = (self.random.random_range(0..60), self.random.random_range(0..60));
        format!("{day}T{hour:02}:{minute:02}:{second:02}Z")
    }

    pub(super) fn transaction(&mut self, amount: f64, channels: &[&str], directions: &[&str]) -> Transaction {
        const DAY: [i8; 9] = [9, 10, 11, 12, 13, 14, 15, 16, 17];
        Transaction {
            tx_id: format!("T{}", self.random.random_range(100_000..1_000_000)),
            timestamp: self.stamp(3, &DAY),
            amount: cents(amount),
            currency: "CAD".to_owned(),
            direction: pick(self.random, directions).to_owned(),
            channel: pick(self.random, channels).to_owned(),
            counterparty_country: pick(self.random, &SAFE).to_owned(),
            counterparty_id: format!("CP{}", self.random.random_range(100..1000)),
            merchant_category: None,
            other: Map::new(),
        }
    }

    /// Now and then a counterparty sits in a country of high risk.
    fn risky(&mut self, chance: f64, transaction: &mut Transaction) {
        if self.random.random_bool(chance) {
            transaction.counterparty_country = pick(self.random, &RISK).to_owned();
        }
    }
}

pub(super) const BOTH: [&str; 2] = ["in", "out"];

fn normal(draw: &mut Draw<'_>) -> Vec<Transaction> {
    let mean = (draw.per_day * draw.between(0.5, 2.0)).max(0.2);
    let count = draw.poisson(mean, 1, 20);
    let usual = draw.amount;
    (0..count)
        .map(|_| {
            let amount = draw.normal(usual, 0.30 * usual).clamp(1.0, 7900.0);
            draw.transaction(amount, &["online", "branch", "atm"], &BOTH)
        })
        .collect()
}

/// More than usual, or far more money than usual: around the five-fold that the rule asks for.
fn behavior_shift(draw: &mut Draw<'_>) -> Vec<Transaction> {
    let spike = draw.random.random_bool(0.5);
    let factor = if spike { draw.between(3.5, 8.0) } else { 1.0 };
    let busier = if spike { 1.0 } else { draw.between(2.0, 4.0) };
    let mean = draw.per_day * draw.between(0.5, 2.0) * busier;
    let count = draw.poisson(mean, 3, 20);
    let amount = draw.amount * factor;
    (0..count)
        .map(|_| {
            let amount = draw.normal(amount, 0.25 * amount).clamp(50.0, 25_000.0);
            let mut transaction = draw.transaction(amount, &["online", "branch"], &BOTH);
            draw.risky(0.02, &mut transaction);
            transaction
        })
        .collect()
}

fn structuring(draw: &mut Draw<'_>) -> Vec<Transaction> {
    let count = draw.random.random_range(2..=6);
    (0..count)
        .map(|_| {
            let amount = draw.between(7900.0, 10_000.0);
            let mut transaction = draw.transaction(amount, &["online", "branch"], &["in"]);
            transaction.counterparty_country = "CA".to_owned();
            transaction
        })
        .collect()
}

fn large_wire(draw: &mut Draw<'_>) -> Vec<Transaction> {
    let count = draw.random.random_range(1..=3);
    (0..count)
        .map(|_| {
            let amount = draw.between(9_500.0, 50_000.0);
            let mut transaction = draw.transaction(amount, &["wire"], &BOTH);
            draw.risky(0.1, &mut transaction);
            transaction
        })
        .collect()
}

fn round_trip(draw: &mut Draw<'_>) -> Vec<Transaction> {
    let amount = cents(draw.between(1500.0, 7000.0));
    let mut received = draw.transaction(amount, &["online"], &["in"]);
    let factor = draw.between(0.97, 1.03);
    let mut sent = draw.transaction(amount * factor, &["online"], &["out"]);
    sent.counterparty_id.clone_from(&received.counterparty_id);
    for transaction in [&mut received, &mut sent] {
        transaction.counterparty_country = "CA".to_owned();
    }
    let mut all = normal(draw);
    all.truncate(3);
    let at = draw.random.random_range(0..=all.len());
    all.insert(at, received);
    let behind = draw.random.random_range(at + 1..=all.len());
    all.insert(behind, sent);
    all
}

fn odd_hour(draw: &mut Draw<'_>) -> Vec<Transaction> {
    let mean = (draw.per_day * draw.between(0.5, 1.5)).max(0.5);
    let count = draw.poisson(mean, 1, 12);
    let factor = if draw.random.random_bool(0.4) { draw.between(0.2, 0.8) } else { draw.between(1.5, 3.0) };
    let amount = draw.amount * factor;
    (0..count)
        .map(|_| {
            let amount = draw.normal(amount, 0.25 * amount).clamp(5.0, 6000.0);
            let mut transaction = draw.transaction(amount, &["online", "atm"], &BOTH);
            transaction.timestamp = draw.stamp(1, &[23, 0, 1, 2, 3, 4, 5]);
            transaction.counterparty_country = "CA".to_owned();
            transaction
        })
        .collect()
}

/// Moves a case onto an edge of a rule, or makes a field as wrong as real feeds do.
fn move_to_edge(facts: &mut Value, random: &mut impl Rng) {
    let edge = random.random_range(0..12);
    let usual = facts["person"]["avg_tx_amount_90d"].as_f64().unwrap_or(100.0);
    let Some(transactions) = facts["recent_tx"].as_array_mut() else { return };
    let count = transactions.len();
    let at = random.random_range(0..count.max(1));
    match edge {
        // Exactly at, or a cent beside, the thresholds.
        0 => {
            transactions[at]["channel"] = json!("wire");
            transactions[at]["amount"] = json!(*[10_000.0, 9_999.99, 10_000.01].choose(random).unwrap_or(&10_000.0));
        }
        1 => {
            for transaction in transactions.iter_mut() {
                transaction["channel"] = json!("online");
                transaction["amount"] = json!(*[8_000.0, 7_999.99, 9_999.99].choose(random).unwrap_or(&8_000.0));
            }
        }
        2 => {
            for transaction in transactions.iter_mut() {
                transaction["amount"] = json!(usual * 5.0);
            }
        }
        3 => {
            let hour = ["22", "23", "00", "04", "05"].choose(random).copied().unwrap_or("04");
            transactions[at]["timestamp"] = json!(format!("2026-06-01T{hour}:00:00Z"));
        }
        // The same flag more than once.
        4 | 5 => {
            let mut copy = transactions[at].clone();
            if edge == 4 {
                copy["counterparty_country"] = json!(pick(random, &RISK));
                transactions[at]["counterparty_country"] = copy["counterparty_country"].clone();
            } else {
                copy["timestamp"] = json!("2026-06-01T02:15:00Z");
                transactions[at]["timestamp"] = json!("2026-06-01T03:15:00Z");
            }
            transactions.push(copy);
        }
        // Exactly two per cent apart.
        6 if count >= 2 => {
            for (index, direction, amount) in [(0, "in", 5_000.0), (1, "out", 4_900.0)] {
                transactions[index]["direction"] = json!(direction);
                transactions[index]["amount"] = json!(amount);
                transactions[index]["counterparty_id"] = json!("CP777");
            }
        }
        // Mistyped.
        7 => transactions[at]["amount"] = json!(format!("{:.2}", usual * 100.0)),
        8 => facts["person"]["pep"] = json!("true"),
        9 => transactions[at]["channel"] = json!("WIRE"),
        // Missing.
        10 => {
            let field = ["channel", "timestamp", "amount", "counterparty_country"].choose(random).copied();
            if let Some(object) = transactions[at].as_object_mut() {
                object.remove(field.unwrap_or("channel"));
            }
        }
        _ => transactions[at]["timestamp"] = Value::Null,
    }
}
