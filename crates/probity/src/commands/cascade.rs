//! `probity cascade fit`: what a cheap decider leaves to a dear one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::exit::{Outcome, Status, UsageError};
use crate::learning::cascade::{Aim, Figures, fit_file};
use crate::streams;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Fit the bands of scores that go on, and write them into the file.
    Fit(Arguments),
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// The cascade's file: `[[stage]]` with `with` and `cost`, the cheapest first.
    file: PathBuf,
    /// Labelled case lines that neither training nor the test sees.
    #[arg(long)]
    cases: PathBuf,
    /// Share of the positive cases that must be found.
    #[arg(long, default_value_t = 0.995)]
    recall: f64,
    /// Share of the other cases that may be taken for positive; any if left out.
    #[arg(long)]
    false_positives: Option<f64>,
    /// The desk.
    #[arg(long, default_value = "transactions")]
    desk: String,
    /// Threads; the result is the same for any number.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = super::generate::threads())]
    threads: usize,
}

pub(crate) fn run(command: &Command) -> Outcome {
    let Command::Fit(arguments) = command;
    let shares = [Some(arguments.recall), arguments.false_positives];
    if !shares.iter().flatten().all(|share| (0.0..=1.0).contains(share)) {
        return Err(UsageError("--recall and --false-positives are shares from 0 to 1".to_owned()).into());
    }
    let desk = super::decide::desk(&arguments.desk)?;
    let aim = Aim { recall: arguments.recall, false_positive_rate: arguments.false_positives };
    let outcome = fit_file(&arguments.file, &*desk, &arguments.cases, &aim, arguments.threads)?;
    let mut text = String::new();
    for (number, fitted) in outcome.fitted.iter().enumerate() {
        text += &format!(
            "stage {}: scores from {} to {} go on: on the cases it was fitted to {:.2} % of them, recall {:.4}, false \
             positives {:.4}\n",
            number + 1,
            fitted.band.low,
            fitted.band.high,
            100.0 * fitted.share,
            fitted.recall,
            fitted.false_positive_rate
        );
    }
    text += &match outcome.expected {
        Some(Figures { share, recall, false_positive_rate }) => format!(
            "on cases it was not fitted to: {:.2} % go on from the first stage, recall {recall:.4}, false positives \
             {false_positive_rate:.4}\n",
            100.0 * share
        ),
        None => "positive cases are too few to tell what new cases can expect\n".to_owned(),
    };
    streams::print(&format!("{text}written to {}\n", arguments.file.display()))?;
    let reached = outcome.fitted.first().is_some_and(|first| {
        first.recall >= aim.recall && aim.false_positive_rate.is_none_or(|rate| first.false_positive_rate <= rate)
    });
    if !reached {
        streams::note("no band reaches what was asked for; the one with the best recall was taken");
    }
    Ok(if reached { Status::Done } else { Status::GateFailed })
}
