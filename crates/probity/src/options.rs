//! Options in layers: a flag counts before the environment, the environment before the file, the file before
//! the default.
//!
//! The file's values become the options' defaults before the command line is read, so that one reader and one
//! set of checks serves all four.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use server::Settings;

use crate::exit::UsageError;

/// The commands that have the server's options, and the option that names their file.
const LAYERED: [&str; 2] = ["serve", "config"];
const FILE: &str = "config";

/// Where a value comes from.
pub(crate) enum Origin {
    Flag,
    Environment(String),
    File(PathBuf),
    Default,
    Nowhere,
}

/// One option as it was resolved.
pub(crate) struct Resolved {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    pub(crate) many: bool,
    pub(crate) secret: bool,
    pub(crate) origin: Origin,
}

/// Reads the command line, and the configuration file that it names.
///
/// # Errors
/// What clap has to say, or what is wrong with the file.
pub(crate) fn read(mut command: Command, arguments: &[OsString]) -> anyhow::Result<ArgMatches> {
    let matches = command.clone().try_get_matches_from(arguments)?;
    let Some((name, inner)) = matches.subcommand().filter(|(name, _)| LAYERED.contains(name)) else {
        return Ok(matches);
    };
    let Some(path) = inner.get_one::<PathBuf>(FILE) else { return Ok(matches) };
    let defaults = read_file(path)?;
    command = command.mut_subcommand(name, |mut command| {
        for (name, values) in defaults {
            command = command.mut_arg(name, |argument| argument.default_values(values));
        }
        command
    });
    Ok(command.try_get_matches_from(arguments)?)
}

/// A file's keys with their values as text, checked one by one.
fn read_file(path: &Path) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let place = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {place}"))?;
    let table: toml::Table = text.parse().map_err(|error| UsageError(format!("{place}: {error}")))?;
    let options = Settings::augment_args(Command::new(FILE).no_binary_name(true)).mut_args(|option| option.env(None));
    let mut defaults = Vec::new();
    for (key, value) in table {
        let wrong = |what: String| UsageError(format!("{place}: `{key}`: {what}"));
        let option = options.get_arguments().find(|option| option.get_id().as_str() == key);
        let option = option.ok_or_else(|| wrong("there is no such option".to_owned()))?;
        let values = texts(&value).ok_or_else(|| wrong("takes a text, a number, true, false or a list".to_owned()))?;
        check(&options, option, &values).map_err(wrong)?;
        defaults.push((key.clone(), values));
    }
    Ok(defaults)
}

fn texts(value: &toml::Value) -> Option<Vec<String>> {
    Some(match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Integer(number) => vec![number.to_string()],
        toml::Value::Float(number) => vec![number.to_string()],
        toml::Value::Boolean(truth) => vec![truth.to_string()],
        toml::Value::Array(list) => {
            let mut all = Vec::new();
            for value in list {
                all.extend(texts(value).filter(|_| !value.is_array())?);
            }
            all
        }
        toml::Value::Table(_) | toml::Value::Datetime(_) => return None,
    })
}

/// Whether an option takes the values; says why not.
fn check(options: &Command, option: &Arg, values: &[String]) -> Result<(), String> {
    if !is_many(option) && values.len() != 1 {
        return Err("takes one value".to_owned());
    }
    if matches!(option.get_action(), ArgAction::SetTrue) {
        let truth = ["true", "false"].contains(&values[0].as_str());
        return if truth { Ok(()) } else { Err("takes true or false".to_owned()) };
    }
    let name = option.get_long().unwrap_or_default();
    let flags = values.iter().map(|value| format!("--{name}={value}"));
    match options.clone().try_get_matches_from(flags) {
        Ok(_) => Ok(()),
        // The rest is about the command line, which is not where the value stands.
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Err(line.replace(&format!(" for '--{name} <{}>'", value_name(option)), ""))
        }
    }
}

fn value_name(option: &Arg) -> &str {
    option.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str())
}

fn is_many(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Append)
}

/// The server's options of a command that was read by [`read`], each with its origin.
///
/// # Errors
/// When the file cannot be read a second time.
pub(crate) fn resolved(matches: &ArgMatches) -> anyhow::Result<Vec<Resolved>> {
    let file = matches.get_one::<PathBuf>(FILE);
    let keys = file.map(|path| read_file(path)).transpose()?.unwrap_or_default();
    let options = Settings::augment_args(Command::new(FILE));
    let mut list = Vec::new();
    for option in options.get_arguments() {
        let name = option.get_id().as_str();
        let in_file = file.filter(|_| keys.iter().any(|(key, _)| key == name));
        let origin = match (matches.value_source(name), in_file) {
            (Some(ValueSource::CommandLine), _) => Origin::Flag,
            (Some(ValueSource::EnvVariable), _) => {
                Origin::Environment(option.get_env().unwrap_or_default().to_string_lossy().into_owned())
            }
            (Some(_), Some(path)) => Origin::File(path.clone()),
            (Some(_), None) => Origin::Default,
            (None, _) => Origin::Nowhere,
        };
        let raw = matches.get_raw(name).into_iter().flatten();
        list.push(Resolved {
            name: name.to_owned(),
            values: raw.map(|value| value.to_string_lossy().into_owned()).collect(),
            many: is_many(option),
            secret: option.is_hide_env_values_set(),
            origin,
        });
    }
    Ok(list)
}
