#!/usr/bin/env python3
"""record_kernels.py OUT_DIR : optimisers, schedules, clipping and rotary frequencies, as OUT_DIR/kernels/*.json, and what an encoder
needs beyond a decoder, as OUT_DIR/kernels/encoder.safetensors.

Numbers in JSON are f32, printed so that they read back as the same f32 (schedules and constants: f64).
"""
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaConfig, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from architectures import quiet

STEPS, SIZE = 5, 16


def optimisers():
    """Five steps on one vector from the same start with the same gradients; the first gradient element is always zero."""
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(SIZE, generator=generator)
    gradients = torch.randn(STEPS, SIZE, generator=generator) * 0.3
    gradients[:, 0] = 0.0
    adamw = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    lion = dict(lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1)
    return {"start": start.tolist(), "gradients": gradients.tolist(), "adamw": adamw | {"after": adamw_steps(start, gradients, adamw)},
            "lion": lion | {"after": lion_steps(start, gradients, **lion)}}


def adamw_steps(start, gradients, options):
    value = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([value], **options)
    after = []
    for gradient in gradients:
        value.grad = gradient.clone()
        optimizer.step()
        after.append(value.detach().tolist())
    return after


def lion_steps(value, gradients, lr, betas, weight_decay):
    """Algorithm 2 of Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms"; sign(0) is 0."""
    momentum, after = torch.zeros_like(value), []
    for gradient in gradients:
        update = torch.sign(betas[0] * momentum + (1 - betas[0]) * gradient)
        value = value - lr * (update + weight_decay * value)
        momentum = betas[1] * momentum + (1 - betas[1]) * gradient
        after.append(value.tolist())
    return after


def schedules():
    """Rate of each optimiser step (the first one is index 0, and the last one total - 1) as a part of the peak rate."""
    made = {"cosine": get_cosine_schedule_with_warmup, "linear": get_linear_schedule_with_warmup}
    cases = []
    for shape, make in made.items():
        for warmup, total in ((0, 10), (4, 20), (1, 7)):
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            schedule = make(optimizer, warmup, total)
            rates = []
            for _ in range(total + 1):
                rates.append(schedule.get_last_lr()[0])
                optimizer.step()
                schedule.step()
            cases.append({"shape": shape, "warmup": warmup, "total": total, "rates": rates})
    return cases


def clipping():
    """clip_grad_norm_ over two tensors together."""
    generator = torch.Generator().manual_seed(6)
    cases = []
    for limit in (1.0, 100.0):
        tensors = [torch.nn.Parameter(torch.zeros(n)) for n in (5, 3)]
        for tensor in tensors:
            tensor.grad = torch.randn(tensor.shape, generator=generator)
        before = [tensor.grad.tolist() for tensor in tensors]
        norm = torch.nn.utils.clip_grad_norm_(tensors, limit).item()
        cases.append({"limit": limit, "gradients": before, "norm": norm, "clipped": [tensor.grad.tolist() for tensor in tensors]})
    return cases


def frequencies():
    """Inverse frequencies of published configurations, which the tiny checkpoints do not have."""
    llama32 = dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=8192)
    cases = []
    for rope in (llama32, llama32 | {"factor": 8.0}, dict(rope_type="linear", rope_theta=10000.0, factor=4.0)):
        config = LlamaConfig(hidden_size=2048, num_attention_heads=32, head_dim=64, max_position_embeddings=131072,
                             rope_parameters=dict(rope))
        values, _ = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu")
        cases.append({"head_size": 64, "rope": rope, "inverse_frequencies": values.tolist()})
    return cases


def bidirectional_attention():
    """Two sequences of 7, of which keys with mask 0 are seen by nobody; 3 heads of 8. Every query has an output."""
    generator = torch.Generator().manual_seed(8)
    parts = {name: torch.randn(2, 3, 7, 8, generator=generator) for name in ("queries", "keys", "values", "grad.output")}
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 0, 0]])
    inputs = [parts[name].requires_grad_() for name in ("queries", "keys", "values")]
    output = F.scaled_dot_product_attention(*inputs, attn_mask=mask[:, None, None, :].bool())
    gradients = torch.autograd.grad(output, inputs, parts["grad.output"])
    parts |= dict(zip(("grad.queries", "grad.keys", "grad.values"), gradients)) | {"output": output, "mask": mask}
    return {f"attention.{name}": tensor for name, tensor in parts.items()}


def gelu():
    """Both forms over a range that reaches saturation; gradients are those of the sum of outputs."""
    x = torch.linspace(-8, 8, 65, requires_grad=True)
    parts = {"gelu.input": x}
    for name, form in (("erf", "none"), ("tanh", "tanh")):
        y = F.gelu(x, approximate=form)
        parts |= {f"gelu.{name}": y, f"gelu.grad.{name}": torch.autograd.grad(y.sum(), x)[0]}
    return parts


def main(out):
    quiet()
    out = out / "kernels"
    out.mkdir(parents=True, exist_ok=True)
    for name, content in (("optimisers", optimisers()), ("schedules", schedules()), ("clipping", clipping()),
                          ("rotary", frequencies())):
        (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    encoder = bidirectional_attention() | gelu()
    save_file({name: tensor.detach().contiguous() for name, tensor in encoder.items()}, out / "encoder.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
