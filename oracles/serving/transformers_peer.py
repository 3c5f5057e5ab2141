"""Answers of transformers, so many prompts at a time.

Two ways. `generate` is the library's own call with its cache and a logits processor. `loop` calls the same model with the same
cache but chooses tokens itself, without what `generate` does around every step; it is the faster one for small models. In both,
prompts of like length share a batch, so that little is padded, and a batch goes on until its longest answer ends.
"""
import llguidance.torch as masks
import torch
from llguidance import LLExecutor
from transformers import AutoModelForCausalLM, DynamicCache, LogitsProcessor


class Masks:
    """One matcher and one row of the mask for each answer of a batch."""

    def __init__(self, grammar, count, threads):
        self.matchers = [grammar.matcher() for _ in range(count)]
        self.bits = masks.allocate_token_bitmask(count, grammar.vocabulary)
        self.executor = LLExecutor(num_threads=threads)

    def apply(self, logits):
        masks.fill_next_token_bitmask_par(self.executor, [(m, row) for row, m in enumerate(self.matchers)], self.bits)
        masks.apply_token_bitmask_inplace(logits, self.bits)
        return logits

    def accept(self, tokens):
        for matcher, token in zip(self.matchers, tokens):
            if not matcher.is_stopped():
                matcher.consume_token(token)


class Held(LogitsProcessor):
    """Holds `generate` to the grammar."""

    def __init__(self, masks_of_batch, width):
        self.masks, self.width = masks_of_batch, width

    def __call__(self, tokens, scores):
        if tokens.shape[1] > self.width:
            self.masks.accept(tokens[:, -1].tolist())
        return self.masks.apply(scores.float())


class Peer:
    def __init__(self, folder, dtype, threads, mode, cases, **_):
        torch.set_num_threads(threads)
        self.threads, self.mode, self.most, self.end = threads, mode, cases.most, cases.end[0]
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, {"f32": "float32", "bf16": "bfloat16"}[dtype]))
        self.model.eval()
        self.vocabulary = self.model.config.vocab_size

    @torch.inference_mode()
    def answer(self, prompts, grammar, batch):
        """Tokens of the answer to each prompt, in order."""
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        answers = [None] * len(prompts)
        for start in range(0, len(order), batch):
            places = order[start:start + batch]
            for place, tokens in zip(places, self.answer_batch([prompts[place] for place in places], grammar)):
                answers[place] = tokens
        return answers

    def answer_batch(self, prompts, grammar):
        width = max(map(len, prompts))
        tokens = torch.tensor([[self.end] * (width - len(prompt)) + prompt for prompt in prompts])
        seen = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        held = Masks(grammar, len(prompts), self.threads)
        if self.mode == "generate":
            out = self.model.generate(
                input_ids=tokens, attention_mask=seen, max_new_tokens=self.most, do_sample=False, use_cache=True,
                eos_token_id=self.end, pad_token_id=self.end, logits_processor=[Held(held, width)])
            rows = out[:, width:].tolist()
        else:
            rows = self.loop(tokens, seen, held)
        return [row[:row.index(self.end)] if self.end in row else row for row in rows]

    def loop(self, tokens, seen, held):
        cache, place = DynamicCache(config=self.model.config), (seen.cumsum(1) - 1).clamp(min=0)
        seen = torch.cat([seen, torch.ones(len(tokens), self.most, dtype=seen.dtype)], 1)
        rows, length = [], tokens.shape[1]
        for step in range(self.most):
            out = self.model(input_ids=tokens, attention_mask=seen[:, :length + step], position_ids=place, past_key_values=cache,
                             use_cache=True, logits_to_keep=1)
            chosen = held.apply(out.logits[:, -1].float()).argmax(-1)
            rows.append(chosen.tolist())
            held.accept(rows[-1])
            if all(matcher.is_stopped() for matcher in held.matchers):
                break
            tokens, place = chosen[:, None], place[:, -1:] + 1
        return [list(row) for row in zip(*rows)]
