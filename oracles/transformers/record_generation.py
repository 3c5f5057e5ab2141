#!/usr/bin/env python3
"""record_generation.py OUT_DIR : greedy answers of transformers on the checkpoints that record.py wrote there.

Writes generation.json: for each checkpoint prompts, what `generate(do_sample=False)` answers to each alone, in fp32 with
eager attention on one thread, and the sum of the natural logarithms of the chosen tokens' probabilities.
"""
import json
import sys
from pathlib import Path

import torch

from architectures import load, quiet, tokens
from record import NAMES

NEW = 24  # tokens of an answer at most
LENGTHS = [1, 5, 12, 20, 30]  # of prompts: answers pass mistral's window of 8 and phi3's 32 original positions


def answer(model, prompt, end):
    made = model.generate(prompt[None], attention_mask=torch.ones_like(prompt)[None], do_sample=False, max_new_tokens=NEW,
                          eos_token_id=end, pad_token_id=0, return_dict_in_generate=True, output_logits=True)
    new = made.sequences[0, len(prompt):]
    chosen = [row[0].double().log_softmax(-1)[token].item() for row, token in zip(made.logits, new)]
    ended = new[-1].item() == end
    return dict(prompt=prompt.tolist(), tokens=new[:-1].tolist() if ended else new.tolist(), ended=ended,
                log_probability=sum(chosen))


def record_checkpoint(folder, seed):
    model = load(folder)
    prompts = [tokens(seed + length, length) for length in LENGTHS]
    free = answer(model, prompts[1], None)["tokens"]
    end = free[len(free) // 2]  # a token that does end an answer
    answers = [answer(model, prompt, end) for prompt in prompts]
    assert any(one["ended"] for one in answers) and not all(one["ended"] for one in answers), folder
    return dict(end=end, answers=answers)


def main(out):
    quiet()
    recorded = {name: record_checkpoint(out / name, 300 + 50 * number) for number, name in enumerate(NAMES)}
    (out / "generation.json").write_text(json.dumps(dict(most=NEW, checkpoints=recorded), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
