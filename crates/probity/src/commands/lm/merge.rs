//! `probity lm merge`: an adapter added to its checkpoint.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::failed;
use crate::exit::{Outcome, Status};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The checkpoint's folder.
    folder: PathBuf,
    /// The adapter's folder.
    #[arg(long)]
    adapter: PathBuf,
    /// The folder to write: weights, config.json and the checkpoint's tokenizer.
    #[arg(long)]
    out: PathBuf,
    /// How weights are stored; as in the checkpoint if not given. Sums are computed in fp32.
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    F16,
}

impl From<Dtype> for lm::Dtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::Bf16,
            Dtype::F16 => Self::F16,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { folder, adapter, out, dtype } = arguments;
    let dtype = lm::merge(folder, adapter, out, dtype.map(Into::into)).map_err(failed("merge"))?;
    streams::print(&format!("{}\n", json!({"out": out, "dtype": dtype.torch_name()})))?;
    Ok(Status::Done)
}
