"""A small Llama in Hugging Face layout as a GGUF file for llama.cpp.

The tokenizer is there because llama.cpp asks for one; prompts come as token numbers, so it is never used.
"""
import json
from pathlib import Path

import gguf
import numpy as np
from safetensors import safe_open

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}
TYPES = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16, "f16": gguf.GGMLQuantizationType.F16,
         "q8_0": gguf.GGMLQuantizationType.Q8_0}


def interleaved(weights, heads):
    """Rows of queries or keys with the two halves of each head's rotation side by side, as llama.cpp rotates."""
    rows, columns = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def name_of(name):
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in fixed:
        return fixed[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def write(folder, path, dtype):
    """Matrices in the given type, norms in fp32."""
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "llama" or config.get("rope_scaling"):
        raise SystemExit("only plain Llama models are converted here")
    heads, pairs = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(pairs)
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    tokens = {number: token for token, number in vocabulary["model"]["vocab"].items()}
    tokens |= {token["id"]: token["content"] for token in vocabulary["added_tokens"]}
    end = config["eos_token_id"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([tokens.get(number, f"[{number}]") for number in range(config["vocab_size"])])
    writer.add_token_types([gguf.TokenType.CONTROL if number == end else gguf.TokenType.NORMAL for number in range(config["vocab_size"])])
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in vocabulary["model"]["merges"]])
    writer.add_eos_token_id(end)
    writer.add_bos_token_id(end)
    writer.add_add_bos_token(False)
    with safe_open(folder / "model.safetensors", "np") as file:
        for name in file.keys():
            if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            weights = file.get_tensor(name).astype(np.float32)
            if "q_proj" in name or "k_proj" in name:
                weights = interleaved(weights, heads if "q_proj" in name else pairs)
            kind = TYPES[dtype] if weights.ndim == 2 else gguf.GGMLQuantizationType.F32
            data = weights if kind == gguf.GGMLQuantizationType.F32 else gguf.quants.quantize(weights, kind)
            writer.add_tensor(name_of(name), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
