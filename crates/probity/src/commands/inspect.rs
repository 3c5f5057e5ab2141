//! `probity inspect`: is a set of labelled cases fit to train on?

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufRead;
use std::path::PathBuf;

use clap::Args;
use desks::transactions::{OUTCOMES, REASONS};
use serde_json::{Value, json};

use crate::exit::{Outcome, Status};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder with cases.jsonl, or a file of labelled case lines.
    input: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Exit with 1 if anything is out of its band.
    #[arg(long)]
    strict: bool,
}

/// Shares that each outcome should have, in per cent.
const BANDS: [(f64, f64); 4] = [(40.0, 55.0), (25.0, 35.0), (10.0, 20.0), (2.0, 8.0)];

/// What was counted.
#[derive(Default)]
struct Counts {
    cases: u64,
    unreadable: u64,
    outcomes: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    rules: BTreeMap<String, u64>,
    without_reason: u64,
    duplicates: u64,
    contradictions: u64,
    lengths: Vec<usize>,
    transactions: Vec<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let file = super::split::file_of(&arguments.input);
    let mut counts = Counts::default();
    let mut seen = HashMap::new();
    for line in streams::input(Some(&file))?.lines() {
        counts.add(&line?, &mut seen);
    }
    let warnings = counts.warnings();
    if arguments.json {
        streams::print(&format!("{}\n", counts.json(&warnings)))?;
    } else {
        streams::print(&counts.text(&warnings))?;
    }
    Ok(if warnings.is_empty() || !arguments.strict { Status::Done } else { Status::GateFailed })
}

impl Counts {
    fn add(&mut self, line: &str, seen: &mut HashMap<u64, String>) {
        if line.trim().is_empty() {
            return;
        }
        self.cases += 1;
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            self.unreadable += 1;
            return;
        };
        let decision = &value["decision"];
        let outcome = decision["aml_decision"].as_str().unwrap_or("none").to_owned();
        let strings = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let reasons = strings(&decision["reasons"]);
        self.without_reason += u64::from(reasons.is_empty() && outcome != "CLEAR");
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        for rule in strings(&value["fired_rules"]) {
            *self.rules.entry(rule).or_default() += 1;
        }
        let facts = value["facts"].to_string();
        self.lengths.push(facts.len());
        self.transactions.push(value["facts"]["recent_tx"].as_array().map_or(0, Vec::len));
        let mut hasher = DefaultHasher::new();
        facts.hash(&mut hasher);
        if let Some(before) = seen.insert(hasher.finish(), outcome.clone()) {
            self.duplicates += 1;
            self.contradictions += u64::from(before != outcome);
        }
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    fn share(&self, count: u64) -> f64 {
        count as f64 * 100.0 / self.cases.max(1) as f64
    }

    fn warnings(&self) -> Vec<String> {
        let mut list = Vec::new();
        for (outcome, (low, high)) in OUTCOMES.into_iter().zip(BANDS) {
            let share = self.share(self.outcomes.get(outcome).copied().unwrap_or(0));
            if share < low || share > high {
                list.push(format!("{outcome} is {share:.1} % of the cases, outside of {low:.0} to {high:.0} %"));
            }
        }
        for reason in REASONS.into_iter().filter(|reason| !self.reasons.contains_key(*reason)) {
            list.push(format!("the reason {reason} never occurs"));
        }
        for (count, what) in [
            (self.unreadable, "lines are not JSON"),
            (self.without_reason, "cases other than CLEAR have no reason"),
            (self.duplicates, "cases repeat the facts of another"),
            (self.contradictions, "cases contradict another with the same facts"),
        ] {
            if count > 0 {
                list.push(format!("{count} {what}"));
            }
        }
        list
    }

    fn percentiles(values: &[usize]) -> Value {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let at = |share: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(0);
        json!({"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)})
    }

    fn json(&self, warnings: &[String]) -> Value {
        json!({
            "cases": self.cases,
            "unreadable": self.unreadable,
            "outcomes": self.outcomes,
            "reasons": self.reasons,
            "rules": self.rules,
            "without_reason": self.without_reason,
            "duplicates": self.duplicates,
            "contradictions": self.contradictions,
            "facts_bytes": Self::percentiles(&self.lengths),
            "transactions": Self::percentiles(&self.transactions),
            "warnings": warnings,
        })
    }

    fn text(&self, warnings: &[String]) -> String {
        let mut out = format!("{} cases\n", self.cases);
        for (title, counts) in [("outcomes", &self.outcomes), ("reasons", &self.reasons), ("rules", &self.rules)] {
            out += &format!("\n{title}\n");
            for (name, count) in counts {
                out += &format!("  {name:<34}{count:>9}{:>8.2} %\n", self.share(*count));
            }
        }
        for (title, values) in [("facts, bytes", &self.lengths), ("transactions", &self.transactions)] {
            let p = Self::percentiles(values);
            out += &format!("\n{title}: median {}, p90 {}, p99 {}, most {}\n", p["p50"], p["p90"], p["p99"], p["max"]);
        }
        for warning in warnings {
            out += &format!("\nwarning: {warning}");
        }
        out + if warnings.is_empty() { "\nnothing is out of its band\n" } else { "\n" }
    }
}
