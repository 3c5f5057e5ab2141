//! The linear layers of a block under the names that `transformers` gives them.

use super::{Architecture, Config};

/// A linear layer of every block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Name within the block: `self_attn.q_proj`.
    pub path: &'static str,
    /// Rows of the weight.
    pub outputs: usize,
    /// Columns of the weight.
    pub inputs: usize,
}

impl Projection {
    /// The last part of the name, by which adapters choose their targets: `q_proj`.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Name of the weight in a checkpoint: `model.layers.3.self_attn.q_proj.weight`.
    pub fn weight_name(&self, layer: usize) -> String {
        format!("model.layers.{layer}.{}.weight", self.path)
    }
}

impl Config {
    /// The linear layers of a block, in the order of the computation.
    pub fn projections(&self) -> Vec<Projection> {
        let query = self.heads * self.head_size;
        let key_value = self.key_value_heads * self.head_size;
        let layer = |path, outputs, inputs| Projection { path, outputs, inputs };
        let output = layer("self_attn.o_proj", self.hidden, query);
        let down = layer("mlp.down_proj", self.hidden, self.intermediate);
        match self.architecture {
            Architecture::Phi3 => vec![
                layer("self_attn.qkv_proj", query + 2 * key_value, self.hidden),
                output,
                layer("mlp.gate_up_proj", 2 * self.intermediate, self.hidden),
                down,
            ],
            Architecture::Llama | Architecture::Mistral | Architecture::Qwen3 => vec![
                layer("self_attn.q_proj", query, self.hidden),
                layer("self_attn.k_proj", key_value, self.hidden),
                layer("self_attn.v_proj", key_value, self.hidden),
                output,
                layer("mlp.gate_proj", self.intermediate, self.hidden),
                layer("mlp.up_proj", self.intermediate, self.hidden),
                down,
            ],
        }
    }
}
