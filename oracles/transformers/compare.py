#!/usr/bin/env python3
"""compare.py PROBITY [SECTION..] [--base DIR --adapter DIR] : hold the product's language models against transformers and peft.

Sections, all by default:
  checkpoints  fresh random checkpoints of each architecture, sharded, stored in fp32, bf16 and fp16, in the layout of transformers 5
               and in that of the published checkpoints: `lm logits` against transformers
  adapters     adapters that peft wrote: `lm logits --adapter`, and what `lm merge` writes, read by transformers
  oddities     checkpoints and adapters with options beyond the common ones: either refused, or the same logits
  given        the adapter of --adapter, written by the product, on the checkpoint of --base: read by peft, and merged

Both sides compute in fp32 from the stored weights. Largest difference of a logit that passes: 1e-4 where weights are stored in
fp32, 5e-4 where they are stored in 16 bits. Merged weights in 16 bits are compared with the sums that peft makes in fp32, rounded to
that type, and pass within 2e-2, because a sum near the middle may round either way. Prints one line per check, `DIFF` where it
fails; exit status 1 if any failed.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config

from architectures import LORA_TARGETS, PHI3_LORA_TARGETS, checkpoint, config, load, logits, published, quiet, tokens

ARCHITECTURES = ["llama", "smollm2", "mistral", "qwen3", "phi3"]
SCALE, VOCABULARY, LAYERS = 4, 512, 3
LENGTHS = (1, 29, 120)  # for phi3 two within the original positions and one beyond, for mistral the same of its window
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-4, torch.float16: 5e-4}
MERGED_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}
failed = []


def check(good, what, detail=""):
    if not good:
        failed.append(what)
    print(f"{'ok  ' if good else 'DIFF'} {what:70} {detail}".rstrip(), flush=True)


class Product:
    """The binary; each call gives its answer, or None with what went wrong."""

    def __init__(self, binary):
        self.binary = binary

    def call(self, *words):
        return subprocess.run([self.binary, "lm", *map(str, words)], capture_output=True, text=True)

    def logits(self, folder, sequence, adapter=None):
        words = ["--adapter", adapter] if adapter else []
        done = self.call("logits", folder, *words, "--tokens", ",".join(map(str, sequence.tolist())))
        if done.returncode:
            return None, done
        try:
            return torch.tensor(json.loads(done.stdout)["logits"]), done
        except (ValueError, KeyError, TypeError) as error:
            done.stderr += f"unreadable output ({error}): {done.stdout[:200]}"
            return None, done

    def merge(self, folder, adapter, out):
        return self.call("merge", folder, "--adapter", adapter, "--out", out)


def failure(done):
    return f"exit {done.returncode}: {done.stderr.strip()[-300:]}"


def refused(done):
    """A proper refusal: no crash, nothing on standard output, a reason."""
    return 0 < done.returncode < 100 and not done.stdout and bool(done.stderr.strip())


def difference(got, want):
    """(largest difference, words); not a number where shapes differ or a value is not finite."""
    if got.shape != want.shape:
        return float("nan"), f"shape {tuple(got.shape)} instead of {tuple(want.shape)}"
    off = (got.double() - want.double()).abs()
    row = int(off.max(1).values.argmax())
    return off.max().item(), f"max diff {off.max().item():.1e} at position {row} of {len(want)}, logits up to {want.abs().max().item():.1f}"


def compare(product, what, folder, model, limit, adapter=None, lengths=LENGTHS, may_refuse=False):
    """The product's logits of a folder against those of a model, for sequences of several lengths."""
    vocabulary = model.config.vocab_size
    for length in lengths:
        sequence = tokens(length, length, vocabulary)
        with torch.no_grad():
            want = logits(model, sequence).float()
        got, done = product.logits(folder, sequence, adapter)
        if got is None:
            good = may_refuse and refused(done)
            check(good, f"{what}: {length} tokens", f"refused: {done.stderr.strip()[-160:]}" if good else failure(done))
        else:
            off, words = difference(got, want)
            check(off <= limit, f"{what}: {length} tokens", words)


def save(folder, name, dtype, seed, shard="200KB", change=None):
    configuration = config(name, SCALE, VOCABULARY, LAYERS)
    for option, value in (change or {}).items():
        setattr(configuration, option, value)
    checkpoint(configuration, seed).to(dtype).save_pretrained(folder, max_shard_size=shard)
    return folder


def checkpoints(product, room):
    for seed, name in enumerate(ARCHITECTURES):
        for dtype, limit in TOLERANCE.items():
            folder = save(room / f"{name}-{dtype}", name, dtype, seed)
            shards = len(list(folder.glob("*.safetensors")))
            compare(product, f"{name}, {shards} shards of {str(dtype)[6:]}", folder, load(folder), limit)
        folder = save(room / f"{name}-one-file", name, torch.float32, seed, shard="1GB")
        model = load(folder)
        path = folder / "config.json"
        path.write_text(json.dumps(published(json.loads(path.read_text()))))
        compare(product, f"{name}, one file, published layout", folder, model, TOLERANCE[torch.float32])


def adapt(folder, out, name, seed, targets=None, **options):
    """Has peft write an adapter with random factors for the checkpoint."""
    targets = targets or (PHI3_LORA_TARGETS if name == "phi3" else LORA_TARGETS)
    lora = LoraConfig(**dict(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM") | options)
    model = get_peft_model(load(folder), lora)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor_name, tensor in model.named_parameters():
            if tensor.requires_grad:  # also magnitudes, biases and copies of whole layers, where the options ask for them
                tensor += torch.randn(tensor.shape, generator=generator) * 0.4 * tensor.shape[-1] ** -0.5
    model.save_pretrained(out, save_embedding_layers=False)
    return out


def peft_model(folder, adapter):
    return PeftModel.from_pretrained(load(folder), adapter).eval()


def stored_type(folder):
    stored = json.loads((folder / "config.json").read_text())
    return getattr(torch, stored.get("dtype") or stored.get("torch_dtype") or "float32")


def compare_adapter(product, what, folder, adapter, room, may_refuse=False):
    adapted = peft_model(folder, adapter)
    compare(product, what, folder, adapted, TOLERANCE[stored_type(folder)], adapter=adapter, may_refuse=may_refuse)
    out = room / f"{adapter.name}-merged"
    done = product.merge(folder, adapter, out)
    if done.returncode:
        good = may_refuse and refused(done)
        return check(good, f"{what}: merge", f"refused: {done.stderr.strip()[-160:]}" if good else failure(done))
    try:
        merged = load(out)
    except Exception as error:  # whatever transformers raises for a folder that it cannot read
        return check(False, f"{what}: transformers reads the merged folder", repr(error)[-300:])
    dtype = stored_type(out)
    reference = adapted.merge_and_unload()
    for parameter in reference.parameters():  # not the rotary frequencies
        parameter.data = parameter.data.to(dtype).float()
    for length in LENGTHS:
        sequence = tokens(length, length, reference.config.vocab_size)
        with torch.no_grad():
            off, words = difference(logits(merged, sequence), logits(reference, sequence))
        check(off <= MERGED_TOLERANCE[dtype], f"{what}: merged, in transformers: {length} tokens", words)
    compare(product, f"{what}: merged, in the product", out, merged, TOLERANCE[dtype])


def adapters(product, room):
    for seed, name in enumerate(ARCHITECTURES, 50):
        for dtype in (torch.float32, torch.bfloat16):
            folder = save(room / f"{name}-base-{dtype}", name, dtype, seed)
            adapter = adapt(folder, room / f"{name}-adapter-{dtype}", name, seed)
            compare_adapter(product, f"{name}, peft adapter on {str(dtype)[6:]}", folder, adapter, room)
        some = ["qkv_proj"] if name == "phi3" else ["q_proj", "v_proj"]
        folder = room / f"{name}-base-{torch.float32}"
        adapter = adapt(folder, room / f"{name}-few", name, seed, targets=some, r=3, lora_alpha=7)
        compare_adapter(product, f"{name}, peft adapter on {'+'.join(some)}", folder, adapter, room)


ODD_CHECKPOINTS = {
    "llama attention_bias": ("llama", dict(attention_bias=True)),
    "llama mlp_bias": ("llama", dict(mlp_bias=True)),
    "llama hidden_act gelu": ("llama", dict(hidden_act="gelu")),
    "llama hidden_act gelu_pytorch_tanh": ("llama", dict(hidden_act="gelu_pytorch_tanh")),
    "llama hidden_act gelu_new": ("llama", dict(hidden_act="gelu_new")),
    "llama hidden_act gelu_fast": ("llama", dict(hidden_act="gelu_fast")),
    "llama hidden_act quick_gelu": ("llama", dict(hidden_act="quick_gelu")),
    "llama head_dim apart from hidden": ("llama", dict(head_dim=48)),
    "llama rope linear": ("llama", dict(rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=4.0))),
    "llama rope dynamic": ("llama", dict(rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, factor=4.0))),
    "llama rope yarn": ("llama", dict(rope_parameters=dict(rope_type="yarn", rope_theta=1e4, factor=4.0,
                                                           original_max_position_embeddings=32))),
    "mistral without window": ("mistral", dict(sliding_window=None)),
    "mistral head_dim apart from hidden": ("mistral", dict(head_dim=24)),
    "qwen3 attention_bias": ("qwen3", dict(attention_bias=True)),
    "qwen3 window in the upper layers": ("qwen3", dict(use_sliding_window=True, sliding_window=8, max_window_layers=1,
                                                       layer_types=["full_attention"] + ["sliding_attention"] * (LAYERS - 1))),
    "qwen3 untied": ("qwen3", dict(tie_word_embeddings=False)),
    "phi3 untied": ("phi3", dict(tie_word_embeddings=False)),
    "phi3 with window": ("phi3", dict(sliding_window=16)),
    "phi3 without longrope": ("phi3", dict(rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.75))),
}
ODD_ADAPTERS = {
    "rslora": dict(use_rslora=True),
    "dora": dict(use_dora=True),
    "rank and alpha patterns": dict(rank_pattern={"q_proj": 3}, alpha_pattern={"v_proj": 5}),
    "two layers alone": dict(layers_to_transform=[0, 2]),
    "targets by expression": dict(targets=r".*\.(q|v)_proj"),
    "all linear": dict(targets="all-linear"),
    "modules_to_save": dict(modules_to_save=["lm_head"]),
    "embedding": dict(targets=["embed_tokens", "q_proj"]),
}


def oddities(product, room):
    for seed, (what, (name, change)) in enumerate(ODD_CHECKPOINTS.items(), 70):
        folder = save(room / f"odd-{seed}", name, torch.float32, seed, change=change)
        compare(product, what, folder, load(folder), 1e-4, may_refuse=True)
    folder = room / "gpt2"
    checkpoint(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=128), 1).save_pretrained(folder)
    got, done = product.logits(folder, tokens(1, 5))
    check(got is None and refused(done), "gpt2 is refused", failure(done))
    folder = save(room / "odd-adapter-base", "llama", torch.float32, 90)
    for seed, (what, options) in enumerate(ODD_ADAPTERS.items(), 91):
        adapter = adapt(folder, room / f"odd-adapter-{seed}", "llama", seed, **options)
        compare_adapter(product, f"llama, peft adapter, {what}", folder, adapter, room, may_refuse=True)


def given(product, room, base, adapter):
    adapted = peft_model(base, adapter)
    plain, sequence = load(base), tokens(5, 29, adapted.config.vocab_size)
    with torch.no_grad():
        moved, _ = difference(logits(adapted, sequence), logits(plain, sequence))
    check(moved > 10 * TOLERANCE[stored_type(base)], "the given adapter changes logits", f"by up to {moved:.1e}")
    compare_adapter(product, "given adapter", base, adapter, room)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probity")
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--adapter", type=Path)
    asked = parser.parse_args()
    known = {"checkpoints": checkpoints, "adapters": adapters, "oddities": oddities}
    if asked.adapter:
        if not asked.base:
            parser.error("--adapter needs --base, the checkpoint it was made for")
        known["given"] = lambda product, room: given(product, room, asked.base, asked.adapter)
    wrong = [section for section in asked.sections if section not in known]
    if wrong:
        parser.error(f"unknown section {wrong[0]}; there are {', '.join(known)}")
    quiet()
    with tempfile.TemporaryDirectory() as room:
        for section in asked.sections or known:
            known[section](Product(asked.probity), Path(room))
    print(f"{len(failed)} checks failed" + "".join(f"\n  {what}" for what in failed))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
