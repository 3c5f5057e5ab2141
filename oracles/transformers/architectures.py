"""Random checkpoints of the architectures that the engine loads, small or larger, and what transformers says of them."""
import logging
import os
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"  # before the imports: nothing here is to be fetched
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says which optional kernels it lacks

import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Phi3Config, Qwen3Config

IGNORED = -100
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PHI3_LORA_TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]

GELU = {"llama_gelu": "gelu", "llama_gelu_tanh": "gelu_pytorch_tanh"}


def longrope(pairs):
    """Factors of longrope, one for each pair of turned dimensions, small enough to matter within 40 positions."""
    return dict(rope_type="longrope", rope_theta=1000.0, partial_rotary_factor=0.75,
                short_factor=[1.0 + 0.1 * i for i in range(pairs)], long_factor=[1.5 + 0.7 * i for i in range(pairs)])


def config(name, scale=1, vocabulary=96, layers=2):
    """The configuration of a test architecture; widths are multiplied by scale, so that 4 gives hidden 128 to 256."""
    common = dict(vocab_size=vocabulary, num_hidden_layers=layers, bos_token_id=1, eos_token_id=2, pad_token_id=None, attention_dropout=0.0)
    if name in GELU:
        return LlamaConfig(**common, hidden_size=16 * scale, intermediate_size=24 * scale, num_attention_heads=2,
                           num_key_value_heads=1, hidden_act=GELU[name], tie_word_embeddings=True, rms_norm_eps=1e-5,
                           max_position_embeddings=128, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    if name in ("llama", "llama64"):  # the second one for NF4, whose blocks hold 64 weights
        hidden, inner = (64, 64) if name == "llama64" else (32, 56)
        return LlamaConfig(**common, hidden_size=hidden * scale, intermediate_size=inner * scale, num_attention_heads=4,
                           num_key_value_heads=2, tie_word_embeddings=False, rms_norm_eps=1e-5, max_position_embeddings=256,
                           rope_parameters=dict(LLAMA3))
    if name == "smollm2":
        return LlamaConfig(**common, hidden_size=36 * scale, intermediate_size=48 * scale, num_attention_heads=3,
                           num_key_value_heads=1, tie_word_embeddings=True, rms_norm_eps=1e-5, max_position_embeddings=128,
                           rope_parameters=dict(rope_type="default", rope_theta=100000.0))
    if name == "mistral":
        return MistralConfig(**common, hidden_size=32 * scale, intermediate_size=56 * scale, num_attention_heads=4,
                             num_key_value_heads=2, sliding_window=8, tie_word_embeddings=False, rms_norm_eps=1e-5,
                             max_position_embeddings=128, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    if name == "qwen3":
        return Qwen3Config(**common, hidden_size=32 * scale, intermediate_size=56 * scale, num_attention_heads=4,
                           num_key_value_heads=2, head_dim=12 * scale, tie_word_embeddings=True, rms_norm_eps=1e-6,
                           max_position_embeddings=128, rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    if name in ("phi3", "phi3_long"):  # head 8: 6 dimensions turned, 3 pairs
        return Phi3Config(**common, hidden_size=32 * scale, intermediate_size=40 * scale, num_attention_heads=4,
                          num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=1e-5, max_position_embeddings=128,
                          original_max_position_embeddings=32, rope_parameters=longrope(3 * scale))
    raise ValueError(name)


LENGTHS = {"llama": 36, "llama64": 32, "llama_gelu": 24, "llama_gelu_tanh": 24, "smollm2": 28, "mistral": 30, "qwen3": 32, "phi3": 26, "phi3_long": 40}


def published(layout):
    """A config.json in the layout of the checkpoints on the hub: rope_theta and rope_scaling at the top."""
    layout = dict(layout)
    rope = dict(layout.pop("rope_parameters"))
    layout["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:
        layout["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    if rope["rope_type"] == "longrope":  # as Phi-3 and Phi-4-mini have it
        layout["original_max_position_embeddings"] = rope.pop("original_max_position_embeddings")
        layout["rope_scaling"] = {"type": "longrope", "short_factor": rope["short_factor"], "long_factor": rope["long_factor"]}
    else:
        layout["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    layout["torch_dtype"] = layout.pop("dtype")
    return layout


def checkpoint(configuration, seed):
    """A model with random weights whose logits are a few units wide and whose norms are not all one."""
    model = AutoModelForCausalLM.from_config(configuration, attn_implementation="eager", dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif "embed_tokens" in name:
                tensor.normal_(0, 2.0 * tensor.shape[1] ** -0.5, generator=generator)
            else:
                tensor.normal_(0, 1.3 * tensor.shape[1] ** -0.5, generator=generator)
    return model


def load(folder, dtype=torch.float32, **options):
    """A checkpoint folder as transformers reads it, for exact comparison: eager attention, computing in dtype."""
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=dtype, **options).eval()


def tokens(seed, length, vocabulary=96):
    return torch.randint(3, vocabulary, (length,), generator=torch.Generator().manual_seed(seed))


def targets(sequence, seed):
    """For each position the token that follows, or IGNORED: always at the end, at the first quarter and at one in five."""
    following = torch.cat([sequence[1:], torch.tensor([IGNORED])])
    skipped = torch.rand(len(sequence), generator=torch.Generator().manual_seed(seed)) < 0.2
    skipped[:len(sequence) // 4] = True
    return torch.where(skipped, IGNORED, following)


def mean_loss(logits, wanted):
    return F.cross_entropy(logits.float(), wanted, ignore_index=IGNORED)


def logits(model, sequence):
    return model(sequence[None], use_cache=False).logits[0]


def quiet():
    """The same bytes each time, and no chatter."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
