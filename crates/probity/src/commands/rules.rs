//! `probity rules`: check, test, fire, run, explain.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use deciders::rules::Rules;
use decision::lines::{Answer, Line, MAXIMUM_LINE, Summary, answer_lines};

use crate::exit::{InputError, Outcome, Status};
use crate::streams;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Report everything that is wrong with rule files.
    Check {
        /// Rule files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Run the test cases that lie beside rule files.
    ///
    /// Cases of NAME.drl stand in NAME.cases.jsonl: lines with `facts`, and `decision` or `fired_rules` as the
    /// raw view has them.
    Test {
        /// Rule files, or folders to walk.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Insert a JSON array of facts from standard input, in order, and fire.
    Fire {
        /// The rule file.
        file: PathBuf,
        /// Stop after this many firings.
        #[arg(long, default_value_t = rules::DEFAULT_FIRINGS)]
        max_firings: usize,
    },
    /// Run transaction cases from standard input; prints the raw view, one line per case.
    Run(Run),
    /// Show which rules fire on each case and what they change, and which never fire.
    Explain {
        /// The rule file.
        file: PathBuf,
        /// Case lines; standard input if left out.
        cases: Option<PathBuf>,
        /// Print only how often each rule fired.
        #[arg(long)]
        coverage: bool,
    },
}

#[derive(Args)]
pub(crate) struct Run {
    /// The rule file.
    file: PathBuf,
    /// Threads; the output is the same for any number.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = 1)]
    threads: usize,
    /// Firings allowed for one case.
    #[arg(long, default_value_t = rules::DEFAULT_FIRINGS)]
    max_firings: usize,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Check { files } => check(&files),
        Command::Test { paths } => super::rules_test::run(&paths),
        Command::Fire { file, max_firings } => fire(&file, max_firings),
        Command::Run(arguments) => run_cases(&arguments),
        Command::Explain { file, cases, coverage } => super::rules_explain::run(&file, cases.as_deref(), coverage),
    }
}

fn check(files: &[PathBuf]) -> Outcome {
    let mut failed = false;
    for file in files {
        match Rules::load(file) {
            Ok(rules) => {
                streams::note(&format!("{}: {} rules, no errors", file.display(), rules.base().rule_names().len()))
            }
            Err(error) => {
                failed = true;
                streams::complain(&error.to_string());
            }
        }
    }
    Ok(if failed { Status::UnusableInput } else { Status::Done })
}

fn fire(file: &Path, max_firings: usize) -> Outcome {
    let rules = Rules::load(file)?;
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let mut runner = rules.runner();
    runner.begin();
    let session = runner.session();
    let facts = session
        .memory()
        .read_json(&text)
        .map_err(|error| InputError(format!("failed to read facts from standard input: {error}")))?;
    let Some(count) = session.memory().list_len(facts) else {
        return Err(InputError("the facts are not a JSON array".to_owned()).into());
    };
    for index in 0..count {
        if let Some(fact) = session.memory().list_item(facts, index).filter(|fact| !fact.is_null()) {
            session.insert(fact);
        }
    }
    let result = session.fire_up_to(max_firings);
    let mut out = br#"{"fired_rules":"#.to_vec();
    let fired: Vec<&str> = session.fired_names().collect();
    serde_json::to_writer(&mut out, &fired)?;
    out.extend_from_slice(br#","globals":{"#);
    for (index, global) in rules.base().globals().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, &global.name)?;
        out.push(b':');
        let memory = session.memory();
        memory.write_json(memory.global(index), &mut out);
    }
    out.extend_from_slice(b"}");
    if let Err(error) = &result {
        out.extend_from_slice(br#","error":"#);
        serde_json::to_writer(&mut out, &error.to_string())?;
    }
    out.extend_from_slice(b"}\n");
    streams::print(&String::from_utf8_lossy(&out))?;
    match result {
        Ok(count) => {
            if count >= max_firings {
                streams::note(&format!("stopped after {count} firings"));
            }
            Ok(Status::Done)
        }
        Err(_) => {
            // The output says why; the words may hold values of the facts.
            streams::complain("the rules failed; see `error` in the output");
            Ok(Status::UnusableInput)
        }
    }
}

fn run_cases(arguments: &Run) -> Outcome {
    let mut rules = Rules::load(&arguments.file)?;
    rules.set_firing_limit(arguments.max_firings);
    let mut output = streams::output();
    let worker = || raw_worker(&rules);
    let summary = answer_lines(streams::input(None)?, &mut output, arguments.threads, &worker)?;
    Ok(report(summary))
}

/// Says how many lines were answered with an error.
pub(crate) fn report(summary: Summary) -> Status {
    if summary.failed == 0 {
        return Status::Done;
    }
    streams::note(&format!("{} of {} lines answered with an error", summary.failed, summary.lines));
    Status::UnusableInput
}

/// Answers case lines with the raw view.
pub(crate) fn raw_worker(rules: &Rules) -> Box<dyn Answer + '_> {
    let mut runner = rules.runner();
    Box::new(move |number: u64, line: Line<'_>, out: &mut Vec<u8>| {
        let start = out.len();
        let result = match line {
            Line::TooLong => Err(format!("the line is longer than {MAXIMUM_LINE} bytes")),
            Line::Text(text) => raw_line(&mut runner, text).map_err(|error| error.to_string()),
        };
        match result {
            Ok(()) => {
                runner.write_raw(out);
                true
            }
            Err(error) => {
                out.truncate(start);
                // Writing to memory cannot fail.
                let _ = serde_json::to_writer(out, &serde_json::json!({"line": number, "error": error}));
                false
            }
        }
    })
}

fn raw_line(runner: &mut deciders::rules::Runner<'_>, text: &[u8]) -> Result<(), decision::DecideError> {
    runner.begin();
    let facts = runner.read_case(text)?;
    runner.fire(facts)
}
