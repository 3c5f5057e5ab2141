//! The ways to decide, one file per engine. A decider knows facts as JSON and desks not at all.

#![forbid(unsafe_code)]

pub mod artifact;
mod batch;
pub mod calibration;
pub mod cascade;
pub mod decoder;
pub mod multihead;
pub mod outcomes;
pub mod paths;
pub mod reading;
pub mod remote;
pub mod rules;
pub mod trees;

use decision::{Case, DecideError};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Where in an artifact's folder the files of the model are.
pub const MODEL: &str = "model";

/// What names a content, such as what a decider decides with: SHA-256 as `sha256sum` writes it.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The facts of a case, which are an object.
fn facts(case: &Case<'_>) -> Result<Value, DecideError> {
    let facts: Value = serde_json::from_str(case.facts).map_err(|error| DecideError::NotJson(error.to_string()))?;
    if facts.is_object() { Ok(facts) } else { Err(DecideError::Unfit("the facts are not a JSON object".to_owned())) }
}
