//! Probity decides cases and proves how well it decides them.

#![forbid(unsafe_code)]

mod commands;
mod exit;
mod learning;
mod options;
mod streams;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "probity", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate, label, decide and measure 20,000 transaction cases.
    Demo(commands::demo::Arguments),
    /// Check, test, run and explain rule files.
    #[command(subcommand)]
    Rules(commands::rules::Command),
    /// Boosted trees in LightGBM's text format: score, explain, train.
    #[command(subcommand)]
    Trees(commands::trees::Command),
    /// Language models: train, adapt, merge; tokenizers.
    #[command(subcommand)]
    Lm(commands::lm::Command),
    /// Make synthetic cases, labelled by the rules.
    #[command(subcommand)]
    Generate(commands::generate::Command),
    /// Check a set of labelled cases: balance, coverage, duplicates, contradictions.
    Inspect(commands::inspect::Arguments),
    /// Split cases into train, validation and test sets that share no person.
    Split(commands::split::Arguments),
    /// Decide case lines; prints one decision line each.
    Decide(commands::decide::Arguments),
    /// Turn other programs' output into batches.
    #[command(subcommand)]
    Import(commands::alerts::import::Command),
    /// Fetch alert batches.
    #[command(subcommand)]
    Batches(commands::batches::Command),
    /// Write what models see, for other tools.
    #[command(subcommand)]
    Features(commands::alerts::features::Command),
    /// Train a desk's model.
    #[command(subcommand)]
    Train(commands::train::Command),
    /// Find parameters for a desk's model.
    #[command(subcommand)]
    Tune(commands::alerts::tune::Command),
    /// Fit a model's scores to what comes true, and a threshold to a recall.
    Calibrate(commands::calibrate::Arguments),
    /// Deciders one after another, the cheap one first.
    #[command(subcommand)]
    Cascade(commands::cascade::Command),
    /// Measure decisions against the truth, or a model on batches.
    Evaluate(commands::evaluate::Arguments),
    /// Set scorecards side by side.
    Compare(commands::compare::Arguments),
    /// Measure an engine; prints one JSON object.
    #[command(subcommand)]
    Bench(commands::bench::Command),
    /// Check that a running server keeps the contract for alerts.
    Validate(commands::validate::Arguments),
    /// Ask a server whether it is ready; exit code 1 if not.
    Health(commands::health::Arguments),
    /// Answer over HTTP.
    Serve(commands::serve::Arguments),
    /// Print the server's options, as flags, environment and file give them, each with its origin.
    Config(commands::serve::Arguments),
}

fn main() -> ExitCode {
    let (arguments, matches) = match read() {
        Ok(read) => read,
        Err(error) => {
            let Some(usage) = error.downcast_ref::<clap::Error>() else { return exit::code(Err(error)) };
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::from(2) } else { exit::DONE };
        }
    };
    // Messages of faults name the place in our source and nothing of the data.
    std::panic::set_hook(Box::new(|fault| {
        let place = fault.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        streams::complain(&format!("internal fault{place}"));
    }));
    match std::panic::catch_unwind(AssertUnwindSafe(|| run(arguments.command, &matches))) {
        Ok(result) => exit::code(result),
        Err(_) => ExitCode::from(70),
    }
}

fn read() -> anyhow::Result<(Arguments, ArgMatches)> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let matches = options::read(Arguments::command(), &arguments)?;
    Ok((Arguments::from_arg_matches(&matches)?, matches))
}

fn run(command: Command, matches: &ArgMatches) -> exit::Outcome {
    match command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Rules(command) => commands::rules::run(command),
        Command::Trees(command) => commands::trees::run(command),
        Command::Lm(command) => commands::lm::run(command),
        Command::Generate(command) => commands::generate::run(command),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Split(arguments) => commands::split::run(&arguments),
        Command::Decide(arguments) => commands::decide::run(&arguments),
        Command::Import(command) => commands::alerts::import::run(command),
        Command::Batches(command) => commands::batches::run(command),
        Command::Health(arguments) => commands::health::run(&arguments),
        Command::Validate(arguments) => commands::validate::run(&arguments),
        Command::Features(command) => commands::alerts::features::run(command),
        Command::Tune(command) => commands::alerts::tune::run(command),
        Command::Train(command) => commands::train::run(command),
        Command::Calibrate(arguments) => commands::calibrate::run(&arguments),
        Command::Cascade(command) => commands::cascade::run(&command),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Compare(arguments) => commands::compare::run(&arguments),
        Command::Bench(command) => commands::bench::run(command),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Config(_) => matches.subcommand().map_or(Ok(exit::Status::Done), |(_, of)| commands::config::run(of)),
    }
}
