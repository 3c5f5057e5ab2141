#!/usr/bin/env python3
"""peers.py MODEL_DIR ANSWERS.json [--engine transformers|llama.cpp] [--mode generate|loop] [--dtype f32|bf16|f16|q8_0] [--batch N]

Decisions a second of another engine on the prompts that `probity bench generate --write-answers` wrote, with the same model, the
same schema and so many prompts in flight; and how far its answers agree. One JSON object. Run it on a quiet machine.
"""
import argparse
import json
import os
import resource
import time

from cases import Cases, Grammar, agreement


def engine(name):
    if name == "transformers":
        from transformers_peer import Peer
    else:
        from llama_cpp_peer import Peer
    return Peer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("answers")
    parser.add_argument("--engine", choices=["transformers", "llama.cpp"], default="transformers")
    parser.add_argument("--mode", choices=["generate", "loop"], default="loop", help="of transformers")
    parser.add_argument("--dtype", choices=["f32", "bf16", "f16", "q8_0"], default="f32", help="the last two of llama.cpp only")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None, help="the first so many prompts")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts")
    asked = parser.parse_args()
    if asked.engine == "transformers" and asked.dtype not in ("f32", "bf16"):
        parser.error("transformers runs in f32 or bf16")

    load_average = os.getloadavg()[0]
    cases = Cases(asked.answers, asked.limit)
    peer = engine(asked.engine)(asked.model, dtype=asked.dtype, threads=asked.threads, mode=asked.mode, cases=cases)
    grammar = Grammar(asked.model, cases, peer.vocabulary)
    peer.answer(cases.tokens[:asked.batch], grammar, asked.batch)
    seconds = []
    for _ in range(asked.rounds):
        start = time.perf_counter()
        answers = peer.answer(cases.tokens, grammar, asked.batch)
        seconds.append(time.perf_counter() - start)
    texts = [grammar.text(tokens) for tokens in answers]
    print(json.dumps({
        "engine": asked.engine, "mode": asked.mode if asked.engine == "transformers" else "batched", "dtype": asked.dtype,
        "concurrency": asked.batch, "threads": asked.threads, "cases": len(texts), "seconds": round(min(seconds), 3),
        "decisions_per_second": round(len(texts) / min(seconds), 2),
        "prompt_tokens": sum(map(len, cases.tokens)), "output_tokens": sum(map(len, answers)),
        **agreement(cases, texts), "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "load_average_before": round(load_average, 2)}))


if __name__ == "__main__":
    main()
