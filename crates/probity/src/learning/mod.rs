//! Models of a desk: this is where a desk, rules that label and the `lm` engine meet, which do not know each other.
//!
//! `recipe` says what is trained, `labels` and `material` what it learns from, `source` hands that to the trainer,
//! `multihead` and `decoder` are the two kinds of models, `run` goes from recipe to artifact, `calibrating` from scores
//! to probabilities, and [`open`] makes a decider of an artifact. `remote` and `cascade` are the other ways to decide.

mod calibrating;
pub(crate) mod cascade;
mod decoder;
mod labels;
mod material;
mod measure;
mod multihead;
mod parts;
mod progress;
pub(crate) mod recipe;
pub(crate) mod remote;
mod run;
pub(crate) mod serving;
mod source;

use std::path::Path;

use deciders::artifact::{Error, Kind, Manifest};
use decision::{Decider, Desk};
use desks::transactions::Transactions;

pub(crate) use calibrating::{CalibrationSettings, calibrate, standing};
pub(crate) use labels::Labeller;
pub(crate) use material::Origin;
pub(crate) use progress::Watch;
pub(crate) use run::{Learned, Order, learn};

/// The decider of an artifact's folder, to run on some threads.
///
/// # Errors
/// When the folder is no whole artifact of the desk, or one that this program cannot run.
pub(crate) fn open(folder: &Path, desk: &str, threads: usize) -> Result<Box<dyn Decider>, Error> {
    let manifest = Manifest::open(folder, desk)?;
    if desk != Transactions.name() {
        let problem = format!("this program runs no models of the desk `{desk}`");
        return Err(Error::Unfit { path: folder.to_owned(), problem });
    }
    decider(folder, &manifest, threads)
}

/// The decider of a model whose manifest is known.
fn decider(folder: &Path, manifest: &Manifest, threads: usize) -> Result<Box<dyn Decider>, Error> {
    Ok(match manifest.kind {
        Kind::Multihead => {
            Box::new(deciders::multihead::Multihead::open(folder, manifest, multihead::READING, threads)?)
        }
        Kind::Decoder => Box::new(deciders::decoder::Decoder::open(folder, manifest, decoder::READING, threads)?),
    })
}
