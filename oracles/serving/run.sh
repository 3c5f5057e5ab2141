#!/bin/sh
# run.sh PROBITY ARTIFACT CASES [PROMPTS]: the same prompts, 16 in flight on 2 threads, by Probity, transformers and llama.cpp, one
# after another; a JSON line each, and a table on standard error. The fastest of three runs counts for all. On a quiet machine.
set -eu
[ $# -ge 3 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
probity=$(realpath "$1") artifact=$(realpath "$2") cases=$(realpath "$3") prompts=${4:-512}
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'status=$?; [ $status = 0 ] || cat "$work/log" >&2; rm -rf "$work"' EXIT

ours() {
    for _ in 1 2 3; do
        "$probity" bench generate "$artifact" --cases "$cases" --limit "$prompts" --concurrency 16 --threads 2 --rounds 1 "$@" 2>>"$work/log"
    done | tee -a "$work/ours"
}
theirs() { venv/bin/python peers.py "$artifact/model" "$work/answers" --batch 16 --threads 2 "$@" 2>>"$work/log" | tee -a "$work/theirs"; }

ours --dtype f32 --write-answers "$work/answers"
ours --dtype bf16
for dtype in f32 bf16; do
    theirs --engine transformers --mode generate --dtype $dtype
    theirs --engine transformers --mode loop --dtype $dtype
    theirs --engine llama.cpp --dtype $dtype
done
theirs --engine llama.cpp --dtype q8_0

venv/bin/python - "$work/ours" "$work/theirs" >&2 <<'END'
import json, sys
ours, theirs = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
best = {}
for run in ours:
    rate = run["levels"][0]["requests_per_second"]
    best[run["precision"]] = max(rate, best.get(run["precision"], 0))
rows = [(f"probity {dtype}", rate, None) for dtype, rate in best.items()]
rows += [(f"{run['engine']} {run['mode']} {run['dtype']}", run["decisions_per_second"], run["equal_decisions"]) for run in theirs]
for name, rate, equal in sorted(rows, key=lambda row: -row[1]):
    print(f"{name:<28}{rate:>10.1f} decisions/s" + ("" if equal is None else f"   {equal:.4f} decisions as probity's in fp32"))
print(f"{max(best.values()) / max(run['decisions_per_second'] for run in theirs):.2f} times the best of the others")
END
