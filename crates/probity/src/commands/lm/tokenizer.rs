//! `probity lm tokenizer`: train, encode, decode.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use decision::lines::{Answer, Line, MAXIMUM_LINE, answer_lines};
use jiff::civil::Date;
use lm::text::{ChatTemplate, Line as DataLine, Record, Tokenizer, TrainingOptions, Turns};
use serde_json::{Value, json};

use crate::commands::rules::report;
use crate::exit::{InputError, Outcome, Status, UsageError};
use crate::streams;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Learn a tokenizer (byte-level byte-pair encoding) from lines of text; prints one JSON object.
    Train(Train),
    /// Print the tokens of each line of standard input as a JSON list of numbers.
    Encode {
        /// The folder of the tokenizer.
        folder: PathBuf,
        /// Add the tokens that the tokenizer puts around a text.
        #[arg(long)]
        special: bool,
        #[command(flatten)]
        threads: Threads,
    },
    /// Print the text of each JSON list of numbers of standard input as a JSON string.
    Decode {
        /// The folder of the tokenizer.
        folder: PathBuf,
        /// Leave out special tokens.
        #[arg(long)]
        skip_special: bool,
        #[command(flatten)]
        threads: Threads,
    },
    /// Print the text that the chat template makes of the conversation of each line (`messages` of `role` and
    /// `content`), and which bytes of it the assistant says, as JSON objects.
    Render {
        /// The folder of the tokenizer.
        folder: PathBuf,
        /// End the text where the assistant's next turn begins, as for an answer.
        #[arg(long)]
        prompt: bool,
        /// Take the assistant's last turn alone for said, as templates need that write earlier turns otherwise.
        #[arg(long)]
        last: bool,
        /// The day that templates take for today, such as 2025-01-31; they never see the clock.
        #[arg(long)]
        date: Option<Date>,
        #[command(flatten)]
        threads: Threads,
    },
}

#[derive(Args)]
pub(crate) struct Train {
    /// Files of text; `-` reads standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Lines are JSON objects as models learn from (`prompt` and `completion`, `messages`, `text`, or `instruction`,
    /// `input`, `output`): learn from their texts.
    #[arg(long)]
    records: bool,
    /// Tokens, at most; the 256 bytes, special and whole ones included.
    #[arg(long)]
    vocabulary: usize,
    /// A string that is always one token, such as `"decision":`; can be repeated.
    #[arg(long, value_name = "STRING")]
    whole: Vec<String>,
    /// A special token beside `<|endoftext|>`, `<|im_start|>` and `<|im_end|>`; can be repeated.
    #[arg(long, value_name = "STRING")]
    special: Vec<String>,
    /// Make each digit a token of its own.
    #[arg(long)]
    digits: bool,
    /// The folder to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Threads {
    /// Threads; the output is the same for any number.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = 1)]
    threads: usize,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Train(arguments) => train(arguments),
        Command::Encode { folder, special, threads } => {
            let tokenizer = open(&folder)?;
            answer(threads, |line| {
                let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8 text".to_owned())?;
                Ok(json!(tokenizer.encode(text, special).map_err(|error| error.to_string())?))
            })
        }
        Command::Decode { folder, skip_special, threads } => {
            let tokenizer = open(&folder)?;
            answer(threads, |line| {
                let tokens: Vec<u32> = serde_json::from_slice(line)
                    .map_err(|error| format!("the line is not a list of numbers (column {})", error.column()))?;
                Ok(json!(tokenizer.decode(&tokens, skip_special).map_err(|error| error.to_string())?))
            })
        }
        Command::Render { folder, prompt, last, date, threads } => {
            let template = ChatTemplate::new(&open(&folder)?, date).map_err(|error| InputError(error.to_string()))?;
            let turns = if last { Turns::Last } else { Turns::All };
            answer(threads, |line| render(&template, line, prompt, turns))
        }
    }
}

fn render(template: &ChatTemplate, line: &[u8], prompt: bool, turns: Turns) -> Result<Value, String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8 text".to_owned())?;
    let Record::Conversation(messages) = DataLine::parse(line, true)?.record else {
        return Err("the line has no `messages`".to_owned());
    };
    if prompt {
        let text = template.render(&messages, true).map_err(|error| error.to_string())?;
        return Ok(json!({"text": text}));
    }
    let rendered = template.completions(&messages, turns).map_err(|error| error.to_string())?;
    let completions: Vec<_> = rendered.completions.iter().map(|span| [span.start, span.end]).collect();
    Ok(json!({"text": rendered.text, "completions": completions}))
}

fn open(folder: &Path) -> anyhow::Result<Tokenizer> {
    Tokenizer::open(folder).map_err(|error| InputError(format!("failed to open the tokenizer: {error}")).into())
}

fn train(arguments: Train) -> Outcome {
    let Train { files, records, vocabulary, whole, special, digits, out } = arguments;
    let mut failure = None;
    let lines = files.iter().flat_map(|path| texts(path, records));
    let lines = lines.map_while(|line| line.map_err(|error| failure = Some(error)).ok());
    let options = TrainingOptions { vocabulary, special, whole, digits };
    let trained = Tokenizer::train(lines, &options);
    if let Some(failure) = failure {
        return Err(failure);
    }
    // Nothing of a text can be wrong here: every byte is a token.
    let tokenizer = trained.map_err(|error| UsageError(format!("failed to train: {error}")))?;
    tokenizer.save(&out).map_err(|error| InputError(format!("failed to save the tokenizer: {error}")))?;
    if tokenizer.vocabulary() < vocabulary {
        streams::note(&format!("only {} tokens: no other pair stands twice in the text", tokenizer.vocabulary()));
    }
    streams::print(&format!("{}\n", json!({"vocabulary": tokenizer.vocabulary(), "out": out})))?;
    Ok(Status::Done)
}

/// The texts of a file: its lines, or what the records in them say.
fn texts(path: &Path, records: bool) -> Box<dyn Iterator<Item = anyhow::Result<String>>> {
    let input = match streams::input(Some(path)) {
        Ok(input) => input,
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let path = path.to_owned();
    let lines = input.lines().enumerate().map(move |(index, line)| {
        let line = line.with_context(|| format!("failed to read {}:{}", path.display(), index + 1))?;
        if !records {
            return Ok(vec![line]);
        }
        if line.trim().is_empty() {
            return Ok(Vec::new());
        }
        let parsed = DataLine::parse(&line, true)
            .map_err(|problem| InputError(format!("{}:{}: {problem}", path.display(), index + 1)))?;
        Ok(parsed.record.into_texts())
    });
    Box::new(lines.flat_map(|texts: anyhow::Result<Vec<String>>| match texts {
        Ok(texts) => texts.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }))
}

/// Answers each line of standard input with a line: a value, or the line's number and what is wrong with it.
fn answer(threads: Threads, value: impl Fn(&[u8]) -> Result<Value, String> + Sync) -> Outcome {
    let worker = || -> Box<dyn Answer + '_> {
        Box::new(|number: u64, line: Line<'_>, out: &mut Vec<u8>| {
            let answer = match line {
                Line::TooLong => Err(format!("the line is longer than {MAXIMUM_LINE} bytes")),
                Line::Text(text) => value(text),
            };
            let failed = answer.is_err();
            let answer = answer.unwrap_or_else(|error| json!({"line": number, "error": error}));
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(out, &answer);
            !failed
        })
    };
    let mut output = streams::output();
    let summary = answer_lines(streams::input(None)?, &mut output, threads.threads, &worker)?;
    output.flush()?;
    Ok(report(summary))
}
