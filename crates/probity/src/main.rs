//! Probity decides cases and proves how well it decides them.

mod commands;
mod exit;
mod streams;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "probity", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check, test, run and explain rule files.
    #[command(subcommand)]
    Rules(commands::rules::Command),
    /// Measure an engine; prints one JSON object.
    #[command(subcommand)]
    Bench(commands::bench::Command),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { exit::DONE };
        }
    };
    let result = match arguments.command {
        Command::Rules(command) => commands::rules::run(command),
        Command::Bench(command) => commands::bench::run(command),
    };
    exit::code(result)
}
