//! `adapter_config.json`.

use super::AdapterConfig;
use crate::config::{Config, Projection};
use crate::json::{self, Fields, shortened};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::path::Path;

/// Fields that say how the adapter came to be or where it is from, or that others repeat; none of them changes what it
/// computes. Every other field must be empty, so that what later releases of `peft` add is refused, not ignored.
const WITHOUT_EFFECT: [&str; 19] = [
    "auto_mapping",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    // Read below.
    "base_model_name_or_path",
    "lora_alpha",
    "lora_dropout",
    "r",
    "target_modules",
    "use_rslora",
];

/// Names of linear layers in any architecture. `peft` ignores targets that a model does not have.
const PROJECTIONS: [&str; 9] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv_proj", "gate_up_proj"];

impl AdapterConfig {
    /// Reads `adapter_config.json` of an adapter folder. `all-linear` becomes the names of the model's linear layers.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file; [`Error::Configuration`] if it describes something else than LoRA on
    /// linear layers of all blocks with one rank, or does not fit the model.
    pub fn read(folder: &Path, model: &Config) -> Result<Self> {
        let path = folder.join("adapter_config.json");
        let object = json::read_object(&path)?;
        parse(Fields(&object), model)
            .map_err(|problem| Error::Configuration { path: path.clone(), problem })?
            .checked(model, &path)
    }

    /// What stands in `adapter_config.json`.
    pub fn to_json(&self) -> Value {
        // Some readers, vLLM among them, take whole numbers only.
        let whole = self.alpha.fract() == 0.0 && self.alpha.abs() < 1e15;
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base,
            "r": self.rank,
            "lora_alpha": if whole { json!(self.alpha as i64) } else { json!(self.alpha) },
            "lora_dropout": self.dropout,
            "use_rslora": self.rank_stabilised,
            "target_modules": self.targets,
            "bias": "none",
            "fan_in_fan_out": false,
            "use_dora": false,
            "modules_to_save": null,
            "rank_pattern": {},
            "alpha_pattern": {},
            "layers_to_transform": null,
            "init_lora_weights": true,
            "inference_mode": true,
        })
    }
}

fn parse(fields: Fields<'_>, model: &Config) -> std::result::Result<AdapterConfig, String> {
    refuse_what_differs(fields)?;
    let rank = fields.count("r")?.ok_or("has no `r`, the rank")?;
    Ok(AdapterConfig {
        base: fields.text("base_model_name_or_path")?.map(str::to_owned),
        rank,
        // The defaults of `LoraConfig`.
        alpha: fields.number("lora_alpha")?.unwrap_or(8.0),
        dropout: fields.number("lora_dropout")?.unwrap_or(0.0),
        rank_stabilised: fields.flag("use_rslora")?.unwrap_or(false),
        targets: targets(fields, model)?,
    })
}

fn refuse_what_differs(fields: Fields<'_>) -> std::result::Result<(), String> {
    for (key, value) in fields.0 {
        let fine = match key.as_str() {
            "peft_type" => value == "LORA",
            "task_type" => value.is_null() || value == "CAUSAL_LM",
            "bias" => value == "none",
            // The other ways to begin change the weights of the model too.
            "init_lora_weights" => {
                matches!(value, Value::Null | Value::Bool(_))
                    || ["gaussian", "orthogonal", "eva"].iter().any(|way| value == way)
            }
            key => WITHOUT_EFFECT.contains(&key) || is_empty(value),
        };
        if !fine {
            let value = shortened(value);
            return Err(format!(
                "`{key}` is {value}, which is not supported; train a plain LoRA adapter on linear layers"
            ));
        }
    }
    match fields.value("peft_type") {
        Some(_) => Ok(()),
        None => Err("has no `peft_type`; a folder that `peft` saved an adapter in is needed".into()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// Names of the model's linear layers that the file asks for, in the model's order.
fn targets(fields: Fields<'_>, model: &Config) -> std::result::Result<Vec<String>, String> {
    let projections = model.projections();
    let asked = match fields.value("target_modules") {
        Some(Value::String(all)) if all.eq_ignore_ascii_case("all-linear") => {
            return Ok(projections.iter().map(|projection| projection.name().to_owned()).collect());
        }
        Some(Value::String(_)) => {
            return Err("`target_modules` is a pattern; list the names of the linear layers instead".into());
        }
        _ => fields.texts("target_modules")?.ok_or("has no `target_modules`")?,
    };
    let is = |asked: &str, projection: &Projection| asked == projection.name() || asked == projection.path;
    let known =
        |asked: &&str| PROJECTIONS.contains(asked) || projections.iter().any(|projection| is(asked, projection));
    if let Some(other) = asked.iter().find(|asked| !known(asked)) {
        return Err(format!(
            "`target_modules` has \"{}\"; only linear layers of all blocks can be adapted",
            other.escape_debug()
        ));
    }
    let chosen = projections.iter().filter(|projection| asked.iter().any(|asked| is(asked, projection)));
    Ok(chosen.map(|projection| projection.name().to_owned()).collect())
}
