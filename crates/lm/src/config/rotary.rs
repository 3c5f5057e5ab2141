//! Rotary embeddings of `config.json`: `rope_theta` and `rope_scaling` up to version 4 of `transformers`,
//! `rope_parameters` since version 5.

use super::read::Read;
use super::{Architecture, Rotary, Scaling};
use crate::json::{Fields, shortened};
use serde_json::Map;

/// `default_theta` of every architecture here.
const BASE: f64 = 10_000.0;
/// `original_max_position_embeddings` of `Phi3Config` if the file has none.
const PHI3_ORIGINAL: usize = 4_096;

impl Rotary {
    /// Version 5 fills `rope_parameters` with whatever stands outside of it, and `rope_scaling` goes before it.
    pub(super) fn parse(
        fields: Fields<'_>,
        architecture: Architecture,
        head_size: usize,
        positions: usize,
    ) -> Read<Self> {
        let empty = Map::new();
        let parameters = match fields.object("rope_scaling")?.filter(|scaling| !scaling.0.is_empty()) {
            Some(scaling) => scaling,
            None => fields.object("rope_parameters")?.unwrap_or(Fields(&empty)),
        };
        if let Some(kind) =
            ["full_attention", "sliding_attention"].iter().find(|kind| parameters.0.contains_key(**kind))
        {
            return Err(format!(
                "`rope_parameters` differ by kind of layer ({kind}); use a checkpoint where they do not"
            ));
        }
        let base = parameters.number("rope_theta")?.or(fields.number("rope_theta")?).unwrap_or(BASE);
        let part = parameters.number("partial_rotary_factor")?.or(fields.number("partial_rotary_factor")?);
        let dimensions = match part {
            None => head_size,
            Some(part) if part > 0.0 && part <= 1.0 => (head_size as f64 * part) as usize,
            Some(part) => return Err(format!("`partial_rotary_factor` is {part}, not between 0 and 1")),
        };
        let original = original(fields, parameters, architecture)?;
        Ok(Self { base, dimensions, scaling: Scaling::parse(parameters, architecture, positions, original)? })
    }
}

impl Scaling {
    fn parse(
        parameters: Fields<'_>,
        architecture: Architecture,
        positions: usize,
        original: Option<usize>,
    ) -> Read<Self> {
        let kind = parameters.text("rope_type")?.or(parameters.text("type")?).unwrap_or("default");
        let needed = |key| parameters.number(key)?.ok_or_else(|| format!("`rope_scaling` has no `{key}`"));
        match kind {
            "default" => Ok(Self::None),
            "linear" => Ok(Self::Linear { factor: needed("factor")? }),
            "llama3" => Ok(Self::Llama3 {
                factor: needed("factor")?,
                low: needed("low_freq_factor")?,
                high: needed("high_freq_factor")?,
                original: original.ok_or("`rope_scaling` has no `original_max_position_embeddings`")?,
            }),
            "longrope" => Self::long_rope(parameters, positions, original.unwrap_or(positions)),
            // Names of the first releases of Phi-3.
            "su" | "yarn" if architecture == Architecture::Phi3 => {
                Self::long_rope(parameters, positions, original.unwrap_or(positions))
            }
            _ => Err(format!(
                "the rotary scaling is {}; use a checkpoint with default, linear, llama3 or longrope",
                shortened(&kind.into())
            )),
        }
    }

    fn long_rope(parameters: Fields<'_>, positions: usize, original: usize) -> Read<Self> {
        let needed = |key| parameters.numbers(key)?.ok_or_else(|| format!("`rope_scaling` has no `{key}`"));
        let factor = parameters.number("factor")?;
        let attention_factor = match parameters.number("attention_factor")? {
            Some(factor) => factor,
            None => attention_factor(factor.unwrap_or(positions as f64 / original as f64), original),
        };
        Ok(Self::LongRope { short: needed("short_factor")?, long: needed("long_factor")?, original, attention_factor })
    }
}

/// What LongRoPE multiplies sines and cosines by for a context that is `factor` times the original one (Ding et al.
/// 2024).
pub(super) fn attention_factor(factor: f64, original: usize) -> f64 {
    if factor <= 1.0 {
        return 1.0;
    }
    (1.0 + factor.ln() / (original as f64).ln()).sqrt()
}

/// `original_max_position_embeddings` stands outside of the scaling in Phi-3 and inside elsewhere. Releases of
/// `transformers` disagree on which counts if they differ, so they must not.
fn original(fields: Fields<'_>, parameters: Fields<'_>, architecture: Architecture) -> Read<Option<usize>> {
    let key = "original_max_position_embeddings";
    let absent = (architecture == Architecture::Phi3).then_some(PHI3_ORIGINAL);
    let outside = fields.count(key)?.or(absent);
    match (outside, parameters.count(key)?) {
        (Some(outside), Some(inside)) if outside != inside => {
            Err(format!("`{key}` is {inside} in the rotary scaling and {outside} outside of it; make both the same"))
        }
        (outside, inside) => Ok(outside.or(inside)),
    }
}
