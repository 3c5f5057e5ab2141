//! `probity demo`: the main job from end to end, in the folder of your choice.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use deciders::rules::Rules;
use decision::lines::decide_lines;
use decision::{Decider, Desk};
use desks::transactions::{POSITIVE, RECIPE, RULES, Recipe, Transactions};
use evaluate::{Scorecard, Settings, compare, report, table};
use lm::train::Ending;

use super::decide::Timed;
use super::generate::Plan;
use crate::exit::{Outcome, Status, UsageError};
use crate::learning::{self, Order, Origin, recipe};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to write.
    #[arg(long, default_value = "probity-demo")]
    out: PathBuf,
    /// How many cases.
    #[arg(long, default_value_t = 20_000)]
    cases: u64,
    /// Steps that a model is trained for on labels of the rules: the default takes about a minute on two cores; 0 for
    /// no model.
    #[arg(long, default_value_t = 600)]
    steps: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let out = &arguments.out;
    let rules = super::decide::rules(None)?;
    generate(arguments, &rules)?;
    let card = measure(&rules, out, ["decisions.jsonl", "timings.json", "scorecard.json", "report.html"])?;
    streams::print(&table::render(&card))?;
    streams::print(
        "\nThe truth here is what these very rules said, so they are right throughout; a model or another rule file is not.\n",
    )?;
    if arguments.steps > 0 {
        let Some(model) = learn(arguments, rules)? else { return Ok(Status::Interrupted) };
        let files = ["model-decisions.jsonl", "model-timings.json", "model-scorecard.json", "model-report.html"];
        let learned = measure(&*model, out, files)?;
        side_by_side(&[card, learned], out)?;
    }
    farewell(arguments)?;
    Ok(Status::Done)
}

/// Draws the cases, labels them, and sets some aside to test on.
fn generate(arguments: &Arguments, rules: &Rules) -> anyhow::Result<()> {
    let out = &arguments.out;
    let start = Instant::now();
    let threads = super::generate::threads();
    let plan = Plan { recipe: Recipe::read(RECIPE)?, seed: 42, cases: arguments.cases, threads };
    if plan.write(rules, out)? > 0 || arguments.cases < 100 {
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
    ))
}

/// Decides the test set on one thread and writes decisions, times, scorecard and report.
fn measure(decider: &dyn Decider, out: &Path, files: [&str; 4]) -> anyhow::Result<Scorecard> {
    let [decisions, timings, scorecard, page] = files.map(|name| out.join(name));
    let timed = Timed { inner: decider, nanoseconds: Mutex::default() };
    let test = out.join("test.jsonl");
    let input = BufReader::new(File::open(&test)?);
    let mut output = BufWriter::new(File::create(&decisions)?);
    let start = Instant::now();
    decide_lines(&Transactions, &timed, input, &mut output, 1)?;
    let seconds = start.elapsed().as_secs_f64();
    timed.write(&timings, seconds)?;
    let settings = Settings {
        set: "test.jsonl".to_owned(),
        outcomes: Transactions.outcomes().iter().map(|outcome| (*outcome).to_owned()).collect(),
        positive: POSITIVE.map(str::to_owned).to_vec(),
        timings: timed.nanoseconds.lock().ok().map(|nanoseconds| (nanoseconds.clone(), seconds)),
        ..Settings::default()
    };
    let card = super::evaluate::score(&Transactions, &test, Some(&decisions), &settings)?;
    super::evaluate::write(&card, Some(&scorecard), Some(&page))?;
    Ok(card)
}

/// Trains a model on cases that are drawn and labelled as it learns; the test set is not among them. None if whoever
/// watches had enough of it.
fn learn(arguments: &Arguments, rules: Rules) -> anyhow::Result<Option<Box<dyn Decider>>> {
    let out = arguments.out.join("demo-model");
    // What an earlier demo left there.
    if out.join("recipe.json").exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("failed to remove {}", out.display()))?;
    }
    let steps = arguments.steps;
    let overrides = [
        format!("steps={steps}"),
        format!("schedule.warmup={}", steps.min(50)),
        format!("checkpoint.every={}", steps.div_ceil(4)),
        "cases.validation=512".to_owned(),
    ];
    streams::print(&format!("\ntraining a model on what the rules say of fresh cases, {steps} steps\n"))?;
    let order = Order {
        script: recipe::Script::find("multihead")?,
        overrides: overrides.to_vec(),
        origin: Origin::Drawn(rules),
        out: out.clone(),
        resume: false,
    };
    let learned = learning::learn(&order)?;
    if learned.summary.ending == Ending::Interrupted {
        return Ok(None);
    }
    streams::print(&format!("trained in {:.0} s\n\n", learned.summary.seconds))?;
    Ok(Some(learning::open(&out, Transactions.name(), 1)?))
}

/// Shows rules and model beside each other.
fn side_by_side(cards: &[Scorecard], out: &Path) -> anyhow::Result<()> {
    let names = ["rules".to_owned(), "model".to_owned()];
    let rows = compare::rows(cards);
    streams::write_file(&out.join("comparison.html"), report::comparison_html(&names, &rows, &[]).as_bytes())?;
    streams::print(&compare::render(&names, &rows))
}

fn farewell(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = arguments.out.display();
    let program = std::env::args().next().unwrap_or_else(|| "probity".to_owned());
    let model = match arguments.steps {
        0 => String::new(),
        _ => format!(
            "\nThe comparison is {folder}/comparison.html, how training went {folder}/demo-model/report.html. The model \
             decides as rules do:\n\n  {program} decide transactions --with {folder}/demo-model {folder}/test.jsonl\n"
        ),
    };
    streams::print(&format!(
        "{model}\nThe report is {folder}/report.html. Now change a threshold in {folder}/transactions.drl and see what it does:\n\
         \n  {program} decide transactions --with rules={folder}/transactions.drl {folder}/test.jsonl > mine.jsonl\n\
         \x20 {program} evaluate transactions --truth {folder}/test.jsonl --decisions mine.jsonl\n"
    ))
}
