//! `probity calibrate`: scores that say how often they come true.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use deciders::calibration::Method;

use crate::exit::{Outcome, Status, UsageError};
use crate::learning::{CalibrationSettings, calibrate, standing};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The desk, for example `transactions`.
    desk: String,
    /// The artifact's folder; its manifest takes the calibration, in the place of one that it has.
    #[arg(long = "with")]
    with: PathBuf,
    /// Labelled case lines that neither training, its validation nor the test sees.
    #[arg(long)]
    cases: PathBuf,
    /// How the curve is fitted.
    #[arg(long, value_enum, default_value_t = Fit::Isotonic)]
    method: Fit,
    /// Share of the positive cases that the threshold is to find.
    #[arg(long, default_value_t = CalibrationSettings::default().recall)]
    recall: f64,
    /// How sure it is to be that the threshold finds that share of new ones.
    #[arg(long, default_value_t = CalibrationSettings::default().confidence)]
    confidence: f64,
    /// Threads; the result is the same for any number.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = super::generate::threads())]
    threads: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Fit {
    /// Whatever rises: needs some hundred cases of each kind.
    Isotonic,
    /// One number: for few cases.
    Temperature,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let desk = super::decide::desk(&arguments.desk)?;
    let method = match arguments.method {
        Fit::Isotonic => Method::Isotonic,
        Fit::Temperature => Method::Temperature,
    };
    let settings = CalibrationSettings { method, recall: arguments.recall, confidence: arguments.confidence };
    settings.check().map_err(UsageError)?;
    let fitted = calibrate(&arguments.with, desk.name(), &arguments.cases, &settings, arguments.threads)?;
    streams::print(&format!(
        "{} cases, {} of them positive\ncalibration error {:.4} before, {:.4} after\n\
         threshold {} for a recall of {}; on cases it was not fitted to: recall {:.4}, false positives {:.4}\n\
         {}\nwritten to {}\n",
        fitted.cases,
        fitted.positives,
        fitted.error_before,
        fitted.error_after,
        fitted.threshold,
        fitted.recall,
        fitted.reached,
        fitted.false_positive_rate,
        standing(&fitted),
        arguments.with.join("manifest.json").display()
    ))?;
    Ok(Status::Done)
}
