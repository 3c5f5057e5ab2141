"""Answers of llama.cpp, through its C interface: continuous batching, as its server does it.

So many sequences are open at a time; each step decodes the next token of all of them and the whole prompt of those that have
just begun. Tokens that the grammar forces are not asked for but read with the next step, together.
"""
import ctypes
import tempfile
from pathlib import Path

import llama_cpp as llama
import llguidance.numpy as masks
import numpy as np

import gguf_model

KEYS = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 1}  # enum ggml_type of the cache


class Sequence:
    def __init__(self, place, number, prompt, matcher):
        self.place, self.number, self.matcher = place, number, matcher
        self.unread, self.length, self.answer = list(prompt), 0, []

    def take(self, tokens):
        self.answer += tokens
        self.unread += tokens


class Peer:
    def __init__(self, folder, dtype, threads, cases, forced=True, **_):
        llama.llama_backend_init()
        self.log = llama.llama_log_callback(lambda level, text, data: None)
        llama.llama_log_set(self.log, None)
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "model.gguf"
            gguf_model.write(folder, path, dtype)
            options = llama.llama_model_default_params()
            options.use_mmap = False
            self.model = llama.llama_model_load_from_file(str(path).encode(), options)
        if not self.model:
            raise SystemExit("llama.cpp does not load the model")
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.positions = llama.llama_model_n_ctx_train(self.model)
        self.dtype, self.threads, self.forced, self.most, self.end = dtype, threads, forced, cases.most, cases.end[0]

    def context(self, sequences):
        options = llama.llama_context_default_params()
        options.n_ctx = sequences * self.positions
        options.n_batch = options.n_ubatch = 2048
        options.n_seq_max = sequences
        options.n_threads = options.n_threads_batch = self.threads
        options.type_k = options.type_v = KEYS[self.dtype]
        options.no_perf = True
        context = llama.llama_init_from_model(self.model, options)
        if not context:
            raise SystemExit("llama.cpp makes no context")
        return context

    def answer(self, prompts, grammar, batch):
        """Tokens of the answer to each prompt, in order."""
        context = self.context(batch)
        memory = llama.llama_get_memory(context)
        room = llama.llama_batch_init(4096, 0, 1)
        answers, waiting, free, live = [None] * len(prompts), list(range(len(prompts)))[::-1], list(range(batch)), []
        while waiting or live:
            while waiting and free:
                place = waiting.pop()
                live.append(Sequence(place, free.pop(), prompts[place], grammar.matcher()))
            self.step(context, room, live)
            for sequence in [sequence for sequence in live if self.is_over(sequence)]:
                answers[sequence.place] = sequence.answer
                llama.llama_memory_seq_rm(memory, sequence.number, -1, -1)
                free.append(sequence.number)
                live.remove(sequence)
        llama.llama_batch_free(room)
        llama.llama_free(context)
        return answers

    def is_over(self, sequence):
        return sequence.matcher.is_stopped() or len(sequence.answer) >= self.most

    def step(self, context, room, live):
        """Reads what is unread of all sequences, and adds at least a token to each."""
        asked = []
        count = 0
        for sequence in live:
            for token in sequence.unread:
                room.token[count], room.pos[count] = token, sequence.length
                room.n_seq_id[count], room.seq_id[count][0], room.logits[count] = 1, sequence.number, 0
                sequence.length += 1
                count += 1
            room.logits[count - 1] = 1
            asked.append(count - 1)
            sequence.unread = []
        room.n_tokens = count
        if llama.llama_decode(context, room) != 0:
            raise SystemExit("llama.cpp fails to decode")
        bits = np.zeros((len(live), (self.vocabulary + 31) // 32), dtype=np.int32)
        for row, sequence in enumerate(live):
            masks.fill_next_token_bitmask(sequence.matcher, bits, row)
        allowed = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :self.vocabulary]
        rows = [np.ctypeslib.as_array(llama.llama_get_logits_ith(context, place), (self.vocabulary,)) for place in asked]
        chosen = np.where(allowed, np.stack(rows), -np.inf).argmax(1).tolist()
        for sequence, token in zip(live, chosen):
            sequence.matcher.consume_token(token)
            if token == self.end:
                continue
            sequence.take([token])
            if self.forced:
                more = sequence.matcher.compute_ff_tokens()
                if more:
                    sequence.matcher.consume_tokens(more)
                    sequence.take([token for token in more if token != self.end])
