#!/usr/bin/env python3
"""bench.py [--model 8m|30m] [--mode eager|compile] [--dtype f32|bf16] [--steps N] [--warmup N] [--threads N]

PyTorch's speed in training a small Llama from scratch, as one JSON object: full steps (forward, backward, AdamW) of 16 sequences
of 256 tokens, cross-entropy over all 4,096 tokens. The module is as lean as PyTorch allows: fused projections, F.rms_norm,
scaled_dot_product_attention with is_causal, fused AdamW. bf16 means autocast with fp32 weights. Run it on a quiet machine: the
load average before the run stands in the result.
"""
import argparse
import json
import os
import platform
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

BATCH, LENGTH, VOCABULARY = 16, 256, 4096
MODELS = {"8m": dict(width=256, layers=6, heads=4, inner=688), "30m": dict(width=512, layers=8, heads=8, inner=1376)}


def rotary(length, head, base=10000.0):
    """Cosines and sines [length, head], the two halves of a head alike."""
    angles = torch.outer(torch.arange(length).float(), base ** (-torch.arange(0, head, 2).float() / head))
    return torch.cat([angles.cos(), angles.cos()], -1), torch.cat([-angles.sin(), angles.sin()], -1)


def turned(x, cosine, sine):
    low, high = x.chunk(2, -1)
    return x * cosine + torch.cat([high, low], -1) * sine


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, 1e-5)


class Block(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.before_attention, self.before_feed_forward = Norm(width), Norm(width)
        self.query_key_value, self.output = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate_up, self.down = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)

    def attention(self, x, cosine, sine):
        batch, length, width = x.shape
        query, key, value = self.query_key_value(x).view(batch, length, 3, self.heads, self.head).permute(2, 0, 3, 1, 4)
        query, key = turned(query, cosine, sine).to(value.dtype), turned(key, cosine, sine).to(value.dtype)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(seen.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x, cosine, sine):
        x = x + self.attention(self.before_attention(x), cosine, sine)
        gate, up = self.gate_up(self.before_feed_forward(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self, width, layers, heads, inner):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.norm, self.head = Norm(width), nn.Linear(width, VOCABULARY, bias=False)
        cosine, sine = rotary(LENGTH, width // heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        return F.cross_entropy(self.head(self.norm(x)).view(-1, VOCABULARY), targets.view(-1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="8m")
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them; the first one compiles")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()

    load_average = os.getloadavg()[0]
    torch.set_num_threads(asked.threads)
    torch.manual_seed(7)
    model = Llama(**MODELS[asked.model])
    parameters = sum(weight.numel() for weight in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    loss_of = torch.compile(model) if asked.mode == "compile" else model
    tokens = torch.randint(VOCABULARY, (asked.warmup + asked.steps, BATCH, LENGTH + 1))
    seconds, losses = [], []
    for rows in tokens:
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=asked.dtype == "bf16"):
            loss = loss_of(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    step = statistics.median(seconds[asked.warmup:])
    print(json.dumps({
        "tokens_per_second": round(BATCH * LENGTH / step, 1), "step_seconds": round(step, 4),
        "fastest_step_seconds": round(min(seconds[asked.warmup:]), 4),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "model": asked.model, "parameters": parameters, "mode": asked.mode, "dtype": asked.dtype, "threads": asked.threads,
        "steps": asked.steps, "first_loss": round(losses[0], 4), "last_loss": round(losses[-1], 4),
        "torch": torch.__version__, "python": platform.python_version(), "load_average_before": round(load_average, 2)}))


if __name__ == "__main__":
    main()
