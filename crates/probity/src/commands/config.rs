//! `probity config`: the server's options as they come out of flags, environment and file.

use std::fmt::Write;

use clap::ArgMatches;

use crate::exit::{Outcome, Status};
use crate::options::{self, Origin, Resolved};
use crate::streams;

/// Prints a configuration file that has the same effect, each value with its origin.
pub(crate) fn run(matches: &ArgMatches) -> Outcome {
    let mut text = String::new();
    for option in options::resolved(matches)? {
        write_option(&mut text, &option)?;
    }
    streams::print(&text)?;
    Ok(Status::Done)
}

fn write_option(text: &mut String, option: &Resolved) -> std::fmt::Result {
    let origin = match &option.origin {
        Origin::Flag => "flag".to_owned(),
        Origin::Environment(variable) => format!("environment {variable}"),
        Origin::File(path) => format!("file {}", path.display()),
        Origin::Default => "default".to_owned(),
        Origin::Nowhere => return writeln!(text, "# {} is not set", option.name),
    };
    if option.secret {
        return writeln!(text, "# {} = \"********\"  # {origin}", option.name);
    }
    let values: Vec<String> = option.values.iter().map(|value| literal(value)).collect();
    let values = if option.many { format!("[{}]", values.join(", ")) } else { values.join("") };
    writeln!(text, "{} = {values}  # {origin}", option.name)
}

/// Numbers and truth values as they are, all else as text.
fn literal(value: &str) -> String {
    match value.parse::<toml::Value>() {
        Ok(read @ (toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_))) => read.to_string(),
        _ => toml::Value::String(value.to_owned()).to_string(),
    }
}
