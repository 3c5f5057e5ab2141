//! `hidden_act` under the names of `transformers`.

use super::read::Read;
use crate::json::{Fields, shortened};
use crate::kernel::Activation;

/// Names and what they compute (`ACT2FN`). Several stand for one function, the first of them is written: `gelu_new` and
/// `gelu_fast` are the approximation by tanh, written out in Python.
const NAMES: [(&str, Activation); 6] = [
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
];

impl Activation {
    /// What a configuration says; silu if it says nothing.
    pub(super) fn parse(fields: Fields<'_>) -> Read<Self> {
        let Some(name) = fields.text("hidden_act")? else { return Ok(Self::default()) };
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, activation)| *activation).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            format!("`hidden_act` is {}; use a checkpoint with one of {names}", shortened(&name.into()))
        })
    }

    /// Its name in `config.json`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
        }
    }
}
