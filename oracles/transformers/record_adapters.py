#!/usr/bin/env python3
"""record_adapters.py OUT_DIR : LoRA and QLoRA adapters on the checkpoints that record.py wrote there, and what peft makes of them.

README.md says what is in each file. Computed in fp32 with eager attention on one thread.
"""
import shutil
import sys
from pathlib import Path

import bitsandbytes
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from architectures import LENGTHS, LORA_TARGETS, PHI3_LORA_TARGETS, checkpoint, config, load, logits, mean_loss, quiet, targets, tokens
from nf4 import bitsandbytes_quantised, disagreement
from record import save

STEP = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)


def adapted(model, name, seed):
    """The model with a LoRA adapter whose second factor is not zero, as it would be after some training."""
    wanted = PHI3_LORA_TARGETS if name == "phi3" else LORA_TARGETS
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=wanted, bias="none", task_type="CAUSAL_LM")
    model.name_or_path = f"tiny-{name}"
    model = get_peft_model(model, lora)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for factor in adapter_tensors(model).values():
            factor.normal_(0, 0.6 * factor.shape[1] ** -0.5, generator=generator)
    return model.eval()


def adapter_tensors(model):
    """Trained tensors under the names of adapter_model.safetensors."""
    return {name.replace(".default", ""): tensor for name, tensor in model.named_parameters() if tensor.requires_grad}


def save_adapter(model, folder):
    model.peft_config["default"].target_modules = sorted(model.peft_config["default"].target_modules)  # a set, in any order
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    stored = load_file(folder / "adapter_model.safetensors")
    assert all(torch.equal(stored[name], tensor) for name, tensor in adapter_tensors(model).items())
    assert len(stored) == len(adapter_tensors(model))


def one_step(model, sequence, wanted):
    """Logits, loss, gradients, and the adapter after one step of AdamW."""
    answer = logits(model, sequence)
    loss = mean_loss(answer, wanted)
    loss.backward()
    factors = adapter_tensors(model)
    parts = dict(logits=answer.detach().clone(), loss=loss.detach().clone())
    parts |= {f"grad.{name}": tensor.grad.clone() for name, tensor in factors.items()}
    torch.optim.AdamW(factors.values(), **STEP).step()
    return parts | {f"stepped.{name}": tensor.detach().clone() for name, tensor in factors.items()}


def record_lora(out, name, seed):
    folder = out / name / "adapter"
    shutil.rmtree(folder, ignore_errors=True)
    model = adapted(load(out / name), name, seed)
    save_adapter(model, folder)
    sequence = tokens(seed, LENGTHS[name])
    wanted = targets(sequence, seed)
    merged = adapted(load(out / name), name, seed).merge_and_unload()
    with torch.no_grad():
        merged_logits = logits(merged, sequence)
    parts = one_step(model, sequence, wanted)
    print(f"{name}: loss {parts['loss'].item():.4f}, merged off by {(merged_logits - parts['logits']).abs().max().item():.1e}")
    save(folder / "expected.safetensors", tokens=sequence, targets=wanted, merged_logits=merged_logits, **parts)


def quantised(model):
    """Replaces every weight that LoRA adapts by what NF4 keeps of it, and returns (its parts, values) by tensor name."""
    kept = {}
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] in LORA_TARGETS:
            assert disagreement(module.weight.detach())[:2] == (0, 0), name
            kept[f"{name}.weight"] = bitsandbytes_quantised(module.weight.detach())
            module.weight.data = kept[f"{name}.weight"][1]
    return kept


def check_linear4bit(folder, sequence, wanted, parts):
    """bitsandbytes' own layer with compute dtype fp32, below the same adapter, has to agree. In training mode: when it only infers,
    it computes in bf16 on processors that can."""
    model = load(folder)
    for name, module in list(model.named_modules()):
        if name.rsplit(".", 1)[-1] in LORA_TARGETS:
            layer = bitsandbytes.nn.Linear4bit(module.in_features, module.out_features, bias=False, compute_dtype=torch.float32,
                                               compress_statistics=True, quant_type="nf4")
            layer.weight = bitsandbytes.nn.Params4bit(module.weight.data, requires_grad=False, quant_type="nf4",
                                                      compress_statistics=True)
            parent, child = name.rsplit(".", 1)
            setattr(model.get_submodule(parent), child, layer.to("cpu"))
    model = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True).train()
    theirs = one_step(model, sequence, wanted)
    off = {name: (theirs[name] - tensor).abs().max().item() for name, tensor in parts.items() if not name.startswith("stepped.")}
    print(f"Linear4bit off by {off['logits']:.1e} in logits, {max(off.values()):.1e} in all")
    assert max(off.values()) < 1e-4


def record_qlora(out, seed):
    name = "llama64"
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    checkpoint(config(name), seed).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    base = load(folder)
    kept = quantised(base)
    model = adapted(base, name, seed)
    save_adapter(model, folder / "adapter")
    sequence = tokens(seed, LENGTHS[name])
    wanted = targets(sequence, seed)
    parts = one_step(model, sequence, wanted)
    check_linear4bit(folder, sequence, wanted, parts)
    shown = "model.layers.0.self_attn.q_proj.weight"
    parts |= {f"nf4.{part}": tensor for part, tensor in kept[shown][0].items()} | {"nf4.dequantised": kept[shown][1]}
    with torch.no_grad():
        plain = logits(PeftModel.from_pretrained(load(folder), folder / "adapter").eval(), sequence)
    print(f"{name}: loss {parts['loss'].item():.4f}; NF4 moves logits by up to {(plain - parts['logits']).abs().max().item():.2f}")
    save(folder / "adapter" / "expected.safetensors", tokens=sequence, targets=wanted, **parts)


def record_nf4(out):
    """Three tensors of awkward sizes: 264 blocks (two nested ones), a block cut short, and a block of zeros."""
    generator = torch.Generator().manual_seed(3)
    tensors = {"many": torch.randn(264, 64, generator=generator), "short": torch.randn(7, 30, generator=generator),
               "zeros": torch.cat([torch.zeros(1, 64), torch.randn(2, 64, generator=generator)])}
    parts = {}
    for name, weights in tensors.items():
        assert disagreement(weights)[:2] == (0, 0), name
        kept, values = bitsandbytes_quantised(weights)
        parts |= {f"{name}.weights": weights, f"{name}.dequantised": values}
        parts |= {f"{name}.{part}": tensor for part, tensor in kept.items() if part not in ("codes", "nested_codes")}
    save(out / "kernels" / "nf4.safetensors", codes=kept["codes"], nested_codes=kept["nested_codes"], **parts)


def main(out):
    quiet()
    (out / "kernels").mkdir(exist_ok=True)
    for seed, name in enumerate(("llama", "qwen3", "phi3"), 41):
        record_lora(out, name, seed)
    record_qlora(out, 45)  # a seed whose every weight bitsandbytes quantises as the definition says, see nf4.py
    record_nf4(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
