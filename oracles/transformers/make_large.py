#!/usr/bin/env python3
"""make_large.py DIR [--layers N] [--seed N] : write a checkpoint of Llama 3.2 1B's shape with random bf16 weights (2.5 GB).

1.24 billion parameters at the 16 layers of the original: the embedding in one shard, four layers in each of the others, an index,
tied embeddings, config.json in the layout of the published checkpoint, and a tokenizer.json of single bytes, so that it can be
trained. Matrices are drawn from a normal distribution of standard deviation 0.02, norms are one. Only one shard is in memory at a
time.
"""
import argparse
import json
import resource
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HIDDEN, INNER, HEADS, KEY_VALUE_HEADS, HEAD, VOCABULARY = 2048, 8192, 32, 8, 64, 128256
LAYERS_IN_SHARD = 4
BEGINNING, END, END_OF_TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"


def layer_shapes(layer):
    key_value, queries = KEY_VALUE_HEADS * HEAD, HEADS * HEAD
    shapes = {"self_attn.q_proj": (queries, HIDDEN), "self_attn.k_proj": (key_value, HIDDEN), "self_attn.v_proj": (key_value, HIDDEN),
              "self_attn.o_proj": (HIDDEN, queries), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
              "mlp.down_proj": (HIDDEN, INNER), "input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,)}
    return {f"model.layers.{layer}.{name}.weight": shape for name, shape in shapes.items()}


def shards(layers):
    """Shapes by tensor name, shard by shard."""
    yield {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    for first in range(0, layers, LAYERS_IN_SHARD):
        last = min(first + LAYERS_IN_SHARD, layers)
        shapes = {name: shape for layer in range(first, last) for name, shape in layer_shapes(layer).items()}
        yield shapes | ({"model.norm.weight": (HIDDEN,)} if last == layers else {})


def random_tensor(shape, generator):
    tensor = torch.ones(shape, dtype=torch.bfloat16)
    return tensor.normal_(0, 0.02, generator=generator) if len(shape) == 2 else tensor


def write_weights(folder, layers, seed):
    """Returns the number of parameters."""
    generator = torch.Generator().manual_seed(seed)
    parts = list(shards(layers))
    where, parameters = {}, 0
    for number, shapes in enumerate(parts, 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file({name: random_tensor(shape, generator) for name, shape in shapes.items()}, folder / file, {"format": "pt"})
        where |= dict.fromkeys(shapes, file)
        parameters += sum(torch.Size(shape).numel() for shape in shapes.values())
    index = {"metadata": {"total_size": 2 * parameters}, "weight_map": dict(sorted(where.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return parameters


def write_tokenizer(folder):
    """256 byte tokens without merges and three special ones; returns the ids of the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [BEGINNING, END, END_OF_TURN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": BEGINNING, "eos_token": END_OF_TURN, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return [tokenizer.token_to_id(token) for token in special]


def write_config(folder, layers, beginning, ends):
    config = dict(
        architectures=["LlamaForCausalLM"], attention_bias=False, attention_dropout=0.0, bos_token_id=beginning, eos_token_id=ends,
        head_dim=HEAD, hidden_act="silu", hidden_size=HIDDEN, initializer_range=0.02, intermediate_size=INNER,
        max_position_embeddings=131072, mlp_bias=False, model_type="llama", num_attention_heads=HEADS, num_hidden_layers=layers,
        num_key_value_heads=KEY_VALUE_HEADS, rms_norm_eps=1e-5, rope_theta=500000.0, tie_word_embeddings=True, torch_dtype="bfloat16",
        rope_scaling=dict(factor=32.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=8192,
                          rope_type="llama3"),
        use_cache=True, vocab_size=VOCABULARY)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    beginning, *ends = write_tokenizer(asked.folder)
    write_config(asked.folder, asked.layers, beginning, ends)
    parameters = write_weights(asked.folder, asked.layers, asked.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"parameters": parameters, "bytes": 2 * parameters, "peak_rss_mib": peak}))


if __name__ == "__main__":
    main()
