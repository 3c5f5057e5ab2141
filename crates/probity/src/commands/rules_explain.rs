//! `probity rules explain`: what fired on which fact and what it changed, and which rules never fired.

use std::io::{BufRead, Write};
use std::path::Path;

use deciders::rules::Rules;
use serde_json::json;

use crate::exit::{Outcome, Status};
use crate::streams;

pub(crate) fn run(file: &Path, cases: Option<&Path>, coverage_only: bool) -> Outcome {
    let rules = Rules::load(file)?;
    let mut runner = rules.runner();
    runner.session().record_trace();
    let mut firings = vec![0u64; rules.base().rule_names().len()];
    let mut reached = firings.clone();
    let (mut lines, mut failed) = (0u64, 0u64);
    let mut out = streams::output();
    for (index, line) in streams::input(cases)?.split(b'\n').enumerate() {
        let line = line?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        lines += 1;
        runner.begin();
        let result = runner.read_case(&line).and_then(|facts| runner.fire(facts));
        failed += u64::from(result.is_err());
        let mut seen = vec![false; firings.len()];
        for rule in runner.session().fired() {
            firings[*rule as usize] += 1;
            seen[*rule as usize] = true;
        }
        for (count, seen) in reached.iter_mut().zip(seen) {
            *count += u64::from(seen);
        }
        if !coverage_only {
            write_case(&mut out, index + 1, &mut runner, result.err().map(|error| error.to_string()))?;
        }
    }
    let coverage: Vec<_> = rules
        .base()
        .rule_names()
        .enumerate()
        .map(|(index, name)| {
            json!({"rule": name, "line": rules.base().rule_line(index), "firings": firings[index], "cases": reached[index]})
        })
        .collect();
    let never: Vec<&str> =
        rules.base().rule_names().enumerate().filter(|(index, _)| firings[*index] == 0).map(|(_, name)| name).collect();
    let summary = json!({"cases": lines, "failed": failed, "coverage": coverage, "never_fired": never});
    writeln!(out, "{summary}")?;
    out.flush()?;
    Ok(if failed == 0 { Status::Done } else { Status::UnusableInput })
}

fn write_case(
    out: &mut impl Write,
    number: usize,
    runner: &mut deciders::rules::Runner<'_>,
    error: Option<String>,
) -> anyhow::Result<()> {
    let firings: Vec<_> = runner
        .session()
        .trace()
        .iter()
        .map(|entry| {
            let globals: serde_json::Map<_, _> =
                entry.globals.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
            json!({"rule": entry.rule, "facts": entry.facts, "actions": entry.actions, "globals": globals})
        })
        .collect();
    let mut line = json!({"line": number, "firings": firings});
    if let Some(error) = error {
        line["error"] = json!(error);
    }
    writeln!(out, "{line}")?;
    Ok(())
}
