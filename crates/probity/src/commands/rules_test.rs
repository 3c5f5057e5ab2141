//! `probity rules test`: the cases that lie beside rule files.

use std::path::{Path, PathBuf};

use anyhow::Context;
use deciders::rules::Rules;
use serde_json::Value;

use crate::exit::{InputError, Outcome, Status};
use crate::streams;

pub(crate) fn run(paths: &[PathBuf]) -> Outcome {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        let cases = file.with_extension("cases.jsonl");
        if !cases.exists() {
            streams::note(&format!("{}: no cases ({} is missing)", file.display(), cases.display()));
            continue;
        }
        let (good, bad) = test(file, &cases)?;
        passed += good;
        failed += bad;
    }
    if passed + failed == 0 {
        return Err(InputError("no test cases found".to_owned()).into());
    }
    streams::print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(if failed == 0 { Status::Done } else { Status::GateFailed })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        if !path.exists() {
            return Err(InputError(format!("{} does not exist", path.display())).into());
        }
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(|| format!("failed to read {}", path.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "drl") {
            files.push(path);
        }
    }
    Ok(())
}

fn test(file: &Path, cases: &Path) -> anyhow::Result<(usize, usize)> {
    let rules = Rules::load(file)?;
    let text = std::fs::read_to_string(cases).with_context(|| format!("failed to read {}", cases.display()))?;
    let mut worker = super::rules::raw_worker(&rules);
    let (mut passed, mut failed) = (0, 0);
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let expected: Value =
            serde_json::from_str(line).map_err(|error| InputError(format!("{}:{number}: {error}", cases.display())))?;
        let mut out = Vec::new();
        worker.answer(number as u64, decision::lines::Line::Text(line.as_bytes()), &mut out);
        let found: Value = serde_json::from_slice(&out).context("the raw view is not JSON")?;
        if ["decision", "fired_rules", "error"].iter().all(|key| expected.get(key).is_none()) {
            let message =
                format!("{}:{number}: the case expects nothing; give `decision` or `fired_rules`", cases.display());
            return Err(InputError(message).into());
        }
        let different: Vec<&str> = ["decision", "fired_rules", "error"]
            .into_iter()
            .filter(|key| expected.get(key).is_some_and(|wanted| found.get(key) != Some(wanted)))
            .collect();
        let unexpected = found.get("error").is_some() && expected.get("error").is_none();
        if different.is_empty() && !unexpected {
            passed += 1;
            continue;
        }
        failed += 1;
        let name = expected.get("name").and_then(Value::as_str).unwrap_or("case");
        let mut report = format!("{}:{number}: {name}", cases.display());
        for key in different.into_iter().chain(unexpected.then_some("error")) {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            report += &format!(
                "\n  {key}: expected {}\n  {:width$}  found    {}",
                show(expected.get(key)),
                "",
                show(found.get(key)),
                width = key.len()
            );
        }
        streams::complain(&report);
    }
    Ok((passed, failed))
}
