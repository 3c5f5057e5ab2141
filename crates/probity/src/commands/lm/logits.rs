//! `probity lm logits`: what a checkpoint answers to tokens, number by number.

use std::path::PathBuf;

use clap::Args;
use lm::{Decoder, Method, Tokens};
use serde::Serialize;

use super::{Precision, failed};
use crate::exit::{Outcome, Status};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The checkpoint's folder.
    folder: PathBuf,
    /// The folder of an adapter of it.
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// The tokens, one sequence.
    #[arg(long, value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// In what products run.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Precision,
}

#[derive(Serialize)]
struct Answer<'a> {
    logits: Vec<&'a [f32]>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let precision = arguments.dtype.into();
    let decoder = match &arguments.adapter {
        Some(adapter) => Decoder::open_adapted(&arguments.folder, adapter, precision),
        None => Decoder::open(&arguments.folder, precision, &Method::None, 0),
    };
    let mut decoder = decoder.map_err(failed("open the model"))?;
    let tokens = arguments.tokens.clone();
    let batch = Tokens { starts: vec![0, tokens.len()], tokens, targets: Vec::new() };
    let logits = decoder.logits(&batch).map_err(failed("compute logits"))?;
    // As f32, a number is printed with the fewest digits that give it back.
    let answer = Answer { logits: logits.chunks(decoder.config().vocabulary).collect() };
    streams::print(&format!("{}\n", serde_json::to_string(&answer)?))?;
    Ok(Status::Done)
}
