//! `probity cascade fit`: what a cheap decider leaves to a dear one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use evaluate::Tolerance;

use crate::exit::{Outcome, Status, UsageError};
use crate::learning::cascade::{Aim, Chosen, Figures, fit_file};
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
    /// Labelled case lines that neither training, its validation, the calibration of a stage nor the test sees.
    #[arg(long)]
    cases: PathBuf,
    /// Share of the positive cases that must be found.
    #[arg(long, default_value_t = 0.995)]
    recall: f64,
    /// How sure it is to be that this share of new ones is found.
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
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
    let tolerance = Tolerance { recall: arguments.recall, confidence: arguments.confidence };
    tolerance.check().map_err(|problem| UsageError(format!("--{problem}")))?;
    if arguments.false_positives.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return Err(UsageError("--false-positives is a share from 0 to 1".to_owned()).into());
    }
    let desk = super::decide::desk(&arguments.desk)?;
    let aim = Aim { tolerance, false_positive_rate: arguments.false_positives };
    let outcome = fit_file(&arguments.file, &*desk, &arguments.cases, &aim, arguments.threads)?;
    let mut text = String::new();
    for (number, band) in outcome.chosen.bands.iter().enumerate() {
        text += &format!("stage {}: scores from {} to {} go on\n", number + 1, band.low, band.high);
    }
    text += &figures("on the cases that chose the bands", &outcome.fitted);
    text += &match &outcome.expected {
        Some(expected) => figures("on cases that had no part in the choice", expected),
        None => {
            "parts of the cases do not choose as all of them do: what new ones can expect cannot be told\n".to_owned()
        }
    };
    text += &format!("{}\n", standing(&outcome.chosen, &aim));
    streams::print(&format!("{text}written to {}\n", arguments.file.display()))?;
    let keeps = aim.keeps(&outcome.fitted);
    if !keeps {
        streams::note("the bands that were taken instead take more than --false-positives of the others for positive");
    }
    Ok(if outcome.chosen.assured && keeps { Status::Done } else { Status::GateFailed })
}

fn figures(of: &str, figures: &Figures) -> String {
    let Figures { share, recall, false_positive_rate } = figures;
    let percent = 100.0 * share;
    format!(
        "{of}: {percent:.2} % go on from the first stage, recall {recall:.4}, false positives {false_positive_rate:.4}\n"
    )
}

/// Whether new cases will be found with the recall, and why.
fn standing(chosen: &Chosen, aim: &Aim) -> String {
    let Tolerance { recall, confidence } = aim.tolerance;
    let positives = chosen.positives;
    match (chosen.misses, chosen.assured) {
        (Some(misses), true) => format!(
            "recall {recall} is assured with confidence {confidence}: {misses} misses at most of {positives} positive \
             cases that the bands were not drawn up on"
        ),
        (Some(misses), false) => {
            let (within, or_none) = match aim.false_positive_rate {
                Some(_) => (" that keep to --false-positives", ", or none keep to it"),
                None => ("", ""),
            };
            format!(
                "recall {recall} is NOT assured: the safest bands{within} miss more than the {misses} that may be of \
                 {positives} positive cases{or_none}; the bands that were taken instead were fitted to miss the fewest of all"
            )
        }
        (None, _) => {
            let fewest = aim.tolerance.fewest_positives().map(|fewest| format!(", {fewest} are needed"));
            format!(
                "recall {recall} is NOT assured: {positives} positive cases to accept the bands are too few for confidence \
                 {confidence}{}; the bands were fitted to miss the fewest of all",
                fewest.unwrap_or_else(|| ", and so is any number".to_owned())
            )
        }
    }
}
