//! `config.json` of `transformers`, versions 4 and 5.

use super::defaults::Defaults;
use super::{Architecture, Config, Rotary};
use crate::json::{self, Fields};
use crate::kernel::Activation;
use crate::{Error, Result};
use std::path::Path;

/// What a part of a file says, or words about what is wrong with it.
pub(super) type Read<T> = std::result::Result<T, String>;

impl Config {
    /// Reads `config.json` of a checkpoint folder, and the tokens that end a generation from
    /// `generation_config.json` if it names any, because there chat models list the end of a turn.
    ///
    /// Fields that are left out have the values that `transformers` gives them.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no `config.json`; [`Error::Configuration`] if it describes a model that this crate
    /// does not run exactly (another architecture, biases, quantised weights, experts, layers of different kinds,
    /// other rotary scalings), or if its numbers make no sense.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let object = json::read_object(&path)?;
        let mut config =
            parse(Fields(&object)).map_err(|problem| Error::Configuration { path: path.clone(), problem })?;
        let path = folder.join("generation_config.json");
        if path.exists() {
            let object = json::read_object(&path)?;
            let end = Fields(&object).tokens("eos_token_id");
            if let Some(end) = end.map_err(|problem| Error::Configuration { path, problem })? {
                config.end = end;
            }
        }
        Ok(config)
    }
}

fn parse(fields: Fields<'_>) -> Read<Config> {
    let architecture = architecture(fields)?;
    refuse_what_differs(fields)?;
    let defaults = Defaults::of(architecture);
    let hidden = fields.count("hidden_size")?.unwrap_or(defaults.hidden);
    let layers = fields.count("num_hidden_layers")?.unwrap_or(defaults.layers);
    let heads = fields.count("num_attention_heads")?.unwrap_or(defaults.heads);
    let head_size = match fields.count("head_dim")?.or(defaults.head_size) {
        Some(size) => size,
        None => hidden.checked_div(heads).ok_or("`num_attention_heads` is 0")?,
    };
    let positions = fields.count("max_position_embeddings")?.unwrap_or(defaults.positions);
    let config = Config {
        architecture,
        vocabulary: fields.count("vocab_size")?.unwrap_or(defaults.vocabulary),
        hidden,
        layers,
        heads,
        key_value_heads: key_value_heads(fields, defaults.key_value_heads, heads)?,
        head_size,
        intermediate: fields.count("intermediate_size")?.unwrap_or(defaults.intermediate),
        activation: Activation::parse(fields)?,
        norm_epsilon: fields.number("rms_norm_eps")?.unwrap_or(defaults.norm_epsilon) as f32,
        tied: fields.flag("tie_word_embeddings")?.unwrap_or(false),
        sliding_window: sliding_window(fields, architecture, layers, defaults.sliding_window)?,
        query_key_norm: architecture == Architecture::Qwen3,
        positions,
        rotary: Rotary::parse(fields, architecture, head_size, positions)?,
        beginning: tokens(fields, "bos_token_id", defaults.beginning)?.first().copied(),
        end: tokens(fields, "eos_token_id", defaults.end)?,
    };
    config.check()?;
    Ok(config)
}

fn architecture(fields: Fields<'_>) -> Read<Architecture> {
    match fields.text("model_type")? {
        Some("llama") => Ok(Architecture::Llama),
        Some("mistral") => Ok(Architecture::Mistral),
        Some("qwen3") => Ok(Architecture::Qwen3),
        Some("phi3") => Ok(Architecture::Phi3),
        Some(other) => Err(format!(
            "`model_type` is \"{}\"; use a checkpoint of llama, mistral, qwen3 or phi3",
            other.chars().take(40).collect::<String>()
        )),
        None => Err("has no `model_type`; a checkpoint folder of `transformers` is needed".into()),
    }
}

/// Refuses what would change the arithmetic of the block.
fn refuse_what_differs(fields: Fields<'_>) -> Read<()> {
    if fields.value("quantization_config").is_some() {
        return Err("`quantization_config` says that the weights are quantised already; \
                    use the original checkpoint, QLoRA quantises it when it loads"
            .into());
    }
    for key in ["attention_bias", "mlp_bias", "lm_head_bias"] {
        if fields.flag(key)? == Some(true) {
            return Err(format!("`{key}` is true; use a checkpoint whose projections have no biases"));
        }
    }
    for key in ["num_local_experts", "num_experts", "n_routed_experts"] {
        if fields.count(key)?.unwrap_or(0) > 0 {
            return Err(format!("`{key}` says that this is a mixture of experts; use a dense checkpoint"));
        }
    }
    Ok(())
}

fn key_value_heads(fields: Fields<'_>, absent: Option<usize>, heads: usize) -> Read<usize> {
    let key = "num_key_value_heads";
    let absent = absent.filter(|_| !fields.is_null(key)).unwrap_or(heads);
    Ok(fields.count(key)?.unwrap_or(absent))
}

fn tokens(fields: Fields<'_>, key: &str, absent: Option<u32>) -> Read<Vec<u32>> {
    let absent = absent.filter(|_| !fields.is_null(key));
    Ok(fields.tokens(key)?.unwrap_or_else(|| absent.into_iter().collect()))
}

/// The window that all layers share, or none.
fn sliding_window(
    fields: Fields<'_>,
    architecture: Architecture,
    layers: usize,
    absent: Option<usize>,
) -> Read<Option<usize>> {
    let key = "sliding_window";
    let window = fields.count(key)?.or(absent.filter(|_| !fields.is_null(key)));
    let kind = LayerKind::shared(fields.texts("layer_types")?, layers)?;
    match architecture {
        Architecture::Llama if kind == Some(LayerKind::Sliding) => {
            Err("`layer_types` says sliding_attention, which llama does not have".into())
        }
        Architecture::Llama => Ok(None),
        Architecture::Mistral | Architecture::Phi3 => Ok(window),
        Architecture::Qwen3 => {
            let window = window.filter(|_| fields.value("use_sliding_window").is_some_and(|value| value == true));
            let first = fields.count("max_window_layers")?.unwrap_or(28);
            match (kind, window) {
                (None, Some(_)) if first > 0 && first < layers => Err(MIXED.into()),
                (None, window) => Ok(window.filter(|_| first == 0)),
                (Some(LayerKind::Full), _) => Ok(None),
                (Some(LayerKind::Sliding), Some(window)) => Ok(Some(window)),
                (Some(LayerKind::Sliding), None) => Err("`layer_types` says sliding_attention, but \
                    `use_sliding_window` and `sliding_window` give no window"
                    .into()),
            }
        }
    }
}

const MIXED: &str = "some layers have sliding_attention and others full_attention; \
                     use a checkpoint whose layers are all of one kind";

#[derive(Clone, Copy, PartialEq)]
enum LayerKind {
    Full,
    Sliding,
}

impl LayerKind {
    /// What all layers are, if `layer_types` is there.
    fn shared(types: Option<Vec<&str>>, layers: usize) -> Read<Option<Self>> {
        let Some(types) = types else { return Ok(None) };
        if types.len() != layers {
            return Err(format!("`layer_types` lists {} layers, not {layers}", types.len()));
        }
        let kinds = types.iter().map(|name| match *name {
            "full_attention" => Ok(Self::Full),
            "sliding_attention" => Ok(Self::Sliding),
            other => {
                Err(format!("`layer_types` has \"{}\"; use a checkpoint with full_attention", other.escape_debug()))
            }
        });
        let kinds = kinds.collect::<Read<Vec<_>>>()?;
        match kinds.windows(2).any(|pair| pair[0] != pair[1]) {
            true => Err(MIXED.into()),
            false => Ok(kinds.first().copied()),
        }
    }
}
