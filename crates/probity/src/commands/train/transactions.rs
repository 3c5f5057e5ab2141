//! `probity train transactions`: a model that decides as the rules do, or as labelled lines say.

use std::path::PathBuf;

use clap::Args;
use lm::train::Ending;

use crate::exit::{Outcome, Status};
use crate::learning::recipe::Script;
use crate::learning::{Learned, Order, Origin, learn};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// What to train: `multihead`, `decoder`, or a recipe of your own.
    #[arg(long)]
    recipe: String,
    /// Override a value of the recipe: KEY.PATH=VALUE, as often as needed.
    #[arg(long)]
    set: Vec<String>,
    /// Learn from labelled lines: a folder with train.jsonl and validation.jsonl. Without it, cases are drawn without
    /// end and labelled by the rules.
    #[arg(long, conflicts_with = "rules")]
    data: Option<PathBuf>,
    /// The rules that label drawn cases; the shipped ones if left out.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// The artifact's folder.
    #[arg(long)]
    out: PathBuf,
    /// Go on with a run that was interrupted; the result is as if it had not been.
    #[arg(long)]
    resume: bool,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    let origin = match arguments.data {
        Some(folder) => Origin::Folder(folder),
        None => Origin::Drawn(super::super::decide::rules(arguments.rules.as_deref())?),
    };
    let order = Order {
        script: Script::find(&arguments.recipe)?,
        overrides: arguments.set,
        origin,
        out: arguments.out,
        resume: arguments.resume,
    };
    let Learned { summary, scorecards } = learn(&order)?;
    if summary.ending == Ending::Interrupted {
        streams::note(&format!("saved at step {}; the same command with --resume goes on", summary.steps));
        return Ok(Status::Interrupted);
    }
    if summary.ending == Ending::Gate {
        let failed = summary.phases.last().map(|phase| phase.name.as_str()).unwrap_or_default();
        let folder = order.out.display();
        streams::note(&format!(
            "phase {failed:?} did not pass its gate after {} steps: {folder} keeps the run, and is no artifact",
            summary.steps
        ));
        return Ok(Status::GateFailed);
    }
    let mut text = format!(
        "{}: {} steps in {:.0} s, {:.0} {} a second\n",
        order.script.kind.name(),
        summary.steps,
        summary.seconds,
        summary.items_per_second,
        order.script.items()
    );
    for card in &scorecards {
        text += &format!(
            "{}: accuracy {:.4}, reasons F1 {:.4}, {} of {} answers invalid, {:.0} cases a second\n",
            card.set,
            card.accuracy.value,
            card.reasons_f1.value,
            card.invalid,
            card.cases,
            card.throughput.unwrap_or_default()
        );
    }
    let folder = order.out.display();
    text += &format!("written to {folder}: manifest.json, model, scorecard.json, report.html\n");
    streams::print(&text)?;
    Ok(Status::Done)
}
