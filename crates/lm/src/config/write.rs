//! `config.json` as both versions 4 and 5 of `transformers` read it.

use super::rotary::attention_factor;
use super::{Architecture, Config, Rotary, Scaling};
use crate::checkpoint::Dtype;
use crate::replacement::replace;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

impl Config {
    /// Writes `config.json` into a checkpoint folder, replacing what is there only when the new file is complete.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the numbers do not fit each other ([`Config::check`]), [`Error::Io`] if the file
    /// cannot be written.
    pub fn write(&self, folder: &Path, dtype: Dtype) -> Result<()> {
        let path = folder.join("config.json");
        self.check().map_err(|problem| Error::Configuration { path: path.clone(), problem })?;
        replace(&path, format!("{:#}\n", self.to_json(dtype)).as_bytes())
    }

    /// What stands in `config.json` for weights of a type. [`Config::read`] makes the same configuration of it.
    pub fn to_json(&self, dtype: Dtype) -> Value {
        let (model_type, class) = match self.architecture {
            Architecture::Llama => ("llama", "LlamaForCausalLM"),
            Architecture::Mistral => ("mistral", "MistralForCausalLM"),
            Architecture::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            Architecture::Phi3 => ("phi3", "Phi3ForCausalLM"),
        };
        let mut object = json!({
            "architectures": [class],
            "model_type": model_type,
            "torch_dtype": dtype.torch_name(),
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "head_dim": self.head_size,
            "hidden_act": self.activation.name(),
            "max_position_embeddings": self.positions,
            "rms_norm_eps": shortest(self.norm_epsilon),
            "tie_word_embeddings": self.tied,
            "attention_bias": false,
            "mlp_bias": false,
            "bos_token_id": self.beginning,
            "eos_token_id": match self.end.as_slice() {
                [] => Value::Null,
                [token] => json!(token),
                tokens => json!(tokens),
            },
            // Phi-3's default lies outside of small vocabularies.
            "pad_token_id": null,
        });
        if let Value::Object(object) = &mut object {
            self.write_window(object);
            self.rotary.write(object, self);
        }
        object
    }

    fn write_window(&self, object: &mut Map<String, Value>) {
        if self.architecture != Architecture::Llama {
            object.insert("sliding_window".into(), json!(self.sliding_window));
        }
        if self.architecture == Architecture::Qwen3 {
            let kind = if self.sliding_window.is_some() { "sliding_attention" } else { "full_attention" };
            object.insert("use_sliding_window".into(), json!(self.sliding_window.is_some()));
            let first = if self.sliding_window.is_some() { 0 } else { self.layers };
            object.insert("max_window_layers".into(), json!(first));
            object.insert("layer_types".into(), json!(vec![kind; self.layers]));
        }
    }
}

impl Rotary {
    /// Version 5 moves `rope_theta`, `rope_scaling` and `partial_rotary_factor` into `rope_parameters` by itself.
    fn write(&self, object: &mut Map<String, Value>, config: &Config) {
        object.insert("rope_theta".into(), json!(self.base));
        if config.architecture == Architecture::Phi3 {
            let part = part(self.dimensions, config.head_size);
            object.insert("partial_rotary_factor".into(), json!(part));
            let original = match self.scaling {
                Scaling::LongRope { original, .. } => original,
                _ => config.positions,
            };
            object.insert("original_max_position_embeddings".into(), json!(original));
        }
        object.insert("rope_scaling".into(), self.scaling.to_json(config));
    }
}

impl Scaling {
    fn to_json(&self, config: &Config) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            Self::Llama3 { factor, low, high, original } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }),
            Self::LongRope { short, long, original, attention_factor: factor } => {
                // Version 4 takes exactly these three fields for Phi-3, under `type`.
                let mut scaling = json!({ "type": "longrope", "short_factor": short, "long_factor": long });
                let implied = attention_factor(config.positions as f64 / *original as f64, *original);
                if *factor != implied {
                    scaling["attention_factor"] = json!(factor);
                }
                if config.architecture != Architecture::Phi3 {
                    scaling["original_max_position_embeddings"] = json!(original);
                }
                scaling
            }
        }
    }
}

/// The share of a head's dimensions that gives their number when it is multiplied and truncated.
fn part(dimensions: usize, head_size: usize) -> f64 {
    let part = dimensions as f64 / head_size as f64;
    if (head_size as f64 * part) as usize == dimensions { part } else { part.next_up() }
}

/// The shortest decimal that is this number in single precision.
fn shortest(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
