//! `probity demo`: the main job from end to end, in the folder of your choice.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use clap::Args;
use decision::Desk;
use decision::lines::decide_lines;
use desks::transactions::{RECIPE, RULES, Recipe, Transactions};
use evaluate::{Settings, table};

use super::decide::Timed;
use super::generate::Plan;
use crate::exit::{Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to write.
    #[arg(long, default_value = "probity-demo")]
    out: PathBuf,
    /// How many cases.
    #[arg(long, default_value_t = 20_000)]
    cases: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let out = &arguments.out;
    let threads = super::generate::threads();
    let start = Instant::now();
    let rules = super::decide::rules(None)?;
    let plan = Plan { recipe: Recipe::read(RECIPE)?, seed: 42, cases: arguments.cases, threads };
    if plan.write(&rules, out)? > 0 || arguments.cases < 100 {
        return Err(UsageError("the demo needs at least 100 cases, and quotas that can be filled".to_owned()).into());
    }
    streams::write_file(&out.join("transactions.drl"), RULES.as_bytes())?;
    let counts = super::split::split(&out.join("cases.jsonl"), out, [80, 10, 10], 42)?;
    streams::print(&format!(
        "generated and labelled {} cases in {:.1} s: {} to train, {} to validate, {} to test\n\n",
        arguments.cases,
        start.elapsed().as_secs_f64(),
        counts[0],
        counts[1],
        counts[2]
    ))?;
    let timed = Timed { inner: &rules, nanoseconds: Mutex::default() };
    let input = BufReader::new(File::open(out.join("test.jsonl"))?);
    let mut decisions = BufWriter::new(File::create(out.join("decisions.jsonl"))?);
    let start = Instant::now();
    decide_lines(&Transactions, &timed, input, &mut decisions, 1)?;
    let seconds = start.elapsed().as_secs_f64();
    timed.write(&out.join("timings.json"), seconds)?;
    let settings = Settings {
        set: "test.jsonl".to_owned(),
        outcomes: Transactions.outcomes().iter().map(|outcome| (*outcome).to_owned()).collect(),
        positive: vec!["SAR".to_owned(), "BLOCK".to_owned()],
        timings: timed.nanoseconds.lock().ok().map(|nanoseconds| (nanoseconds.clone(), seconds)),
        ..Settings::default()
    };
    let card =
        super::evaluate::score(&Transactions, &out.join("test.jsonl"), Some(&out.join("decisions.jsonl")), &settings)?;
    super::evaluate::write(&card, Some(&out.join("scorecard.json")), Some(&out.join("report.html")))?;
    streams::print(&table::render(&card))?;
    let folder = out.display();
    let program = std::env::args().next().unwrap_or_else(|| "probity".to_owned());
    streams::print(&format!(
        "\nThe truth here is what these very rules said, so they are right throughout; a model or another rule file is not.\n\
         The report is {folder}/report.html. Now change a threshold in {folder}/transactions.drl and see what it does:\n\
         \n  {program} decide transactions --with rules={folder}/transactions.drl {folder}/test.jsonl > mine.jsonl\n\
         \x20 {program} evaluate transactions --truth {folder}/test.jsonl --decisions mine.jsonl\n"
    ))?;
    Ok(Status::Done)
}
