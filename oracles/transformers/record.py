#!/usr/bin/env python3
"""record.py OUT_DIR : write tiny random checkpoints and what PyTorch, transformers and peft make of them, as fixtures.

README.md says what is in each file. Same versions, same processor: same bytes. Everything is computed in fp32 with eager
attention on one thread.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from architectures import IGNORED, LENGTHS, checkpoint, config, load, logits, mean_loss, published, quiet, targets, tokens

NAMES = ["llama", "smollm2", "mistral", "qwen3", "phi3", "phi3_long", "llama_gelu", "llama_gelu_tanh"]
PACKED = {"llama": (17, 12), "mistral": (11, 19), "phi3_long": (37, 9)}  # lengths of two sequences that do not see each other


def save(path, **tensors):
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size} bytes")


def gradients(model):
    return {f"grad.{name}": tensor.grad for name, tensor in model.named_parameters()}


def check_loss(model, sequence, wanted, loss):
    """transformers' own loss, which shifts by itself, has to be ours."""
    labels = torch.cat([torch.tensor([IGNORED]), wanted[:-1]])
    theirs = model(sequence[None], labels=labels[None], use_cache=False).loss
    assert torch.allclose(theirs, loss, atol=1e-6), (theirs, loss)


def record_sequence(model, folder, length, seed):
    sequence = tokens(seed, length)
    wanted = targets(sequence, seed)
    model.zero_grad()
    answer = logits(model, sequence)
    loss = mean_loss(answer, wanted)
    loss.backward()
    check_loss(model, sequence, wanted, loss)
    frequencies = model.model.rotary_emb.inv_freq.clone()
    factor = torch.tensor(float(model.model.rotary_emb.attention_scaling))
    print(f"{folder.name}: loss {loss.item():.4f}, logits {answer.min().item():.2f} to {answer.max().item():.2f}")
    save(folder / "expected.safetensors", tokens=sequence, targets=wanted, logits=answer, loss=loss, **gradients(model),
         **{"rotary.inverse_frequencies": frequencies, "rotary.attention_factor": factor})


def record_packed(model, folder, lengths, seed):
    """Two sequences, each computed alone; the loss is the mean over the counted tokens of both."""
    sequences = [tokens(seed + i, length) for i, length in enumerate(lengths)]
    wanted = [targets(sequence, seed + i) for i, sequence in enumerate(sequences)]
    model.zero_grad()
    answers = torch.cat([logits(model, sequence) for sequence in sequences])
    loss = mean_loss(answers, torch.cat(wanted))
    loss.backward()
    save(folder / "packed.safetensors", tokens=torch.cat(sequences), lengths=torch.tensor(lengths), targets=torch.cat(wanted),
         logits=answers, loss=loss, **gradients(model))


def record_checkpoint(out, name, seed):
    folder = out / name
    model = checkpoint(config(name), seed)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    record_sequence(model, folder, LENGTHS[name], seed + 100)
    if name in PACKED:
        record_packed(model, folder, PACKED[name], seed + 200)
    record_published_layout(folder)


def record_published_layout(folder):
    """config.published.json: the same model as config.json; transformers has to answer the same with it."""
    other = folder / "published"
    other.mkdir()
    text = json.dumps(published(json.loads((folder / "config.json").read_text())), indent=2, sort_keys=True) + "\n"
    (other / "config.json").write_text(text)
    shutil.copy(folder / "model.safetensors", other)
    sequence = tokens(1, LENGTHS[folder.name])
    assert torch.equal(logits(load(other), sequence), logits(load(folder), sequence)), folder
    shutil.rmtree(other)
    (folder / "config.published.json").write_text(text)


def record_stored_halves(out):
    """The llama checkpoint stored in 16 bits, bf16 in several shards; its logits are computed in fp32 from those weights."""
    for name, dtype, shard in (("llama_bf16", torch.bfloat16, "20KB"), ("llama_fp16", torch.float16, "1GB")):
        folder = out / name
        load(out / "llama", dtype).save_pretrained(folder, max_shard_size=shard)
        (folder / "generation_config.json").unlink(missing_ok=True)
        sequence = tokens(31, 24)
        save(folder / "expected.safetensors", tokens=sequence, logits=logits(load(folder), sequence))


def main(out):
    quiet()
    out.mkdir(parents=True, exist_ok=True)
    for name in NAMES + ["llama_bf16", "llama_fp16"]:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in NAMES:
        record_checkpoint(out, name, 7 if name.startswith("phi3") else 10 + NAMES.index(name))
    record_stored_halves(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
