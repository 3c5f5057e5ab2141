#!/usr/bin/env python3
"""compare.py PROBITY DIR [SECTION..] : run the product's tree commands and compare with LightGBM.

DIR is what bench.py made. Sections, all by default: fixtures (this repository's recorded cases), bench (bench.py's models over
its test rows), train (both train the same tasks; LightGBM reads the product's models back). Or name single tasks: A B C rank ..
Raw and transformed scores have to have equal bits, contributions may differ by less than 1e-12. Prints one line per check,
`DIFF` where it fails; exit status 1 if any failed.
"""
import json
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np

from bench import ONE, dataset
from bench import train as lightgbm_train
from common import EXPLAINED, TASKS, quality

FIXTURES = Path(__file__).resolve().parents[2] / "crates/trees/tests/fixtures"
failed = []


def check(good, what, detail=""):
    if not good:
        failed.append(what)
    print(f"{'ok  ' if good else 'DIFF'} {what} {detail}".rstrip(), flush=True)


def numbers(value):
    """Flatten a number or (nested) array; null stands for NaN."""
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [float("nan") if value is None else float(value)]


def bits(values):
    return struct.pack(f"<{len(values)}d", *values)


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Product:
    def __init__(self, binary):
        self.binary = binary

    def call(self, *words):
        """(the finished process, (wall seconds, CPU seconds))"""
        start, spent = time.perf_counter(), children_cpu()
        done = subprocess.run([self.binary, "trees", *map(str, words)], capture_output=True, text=True)
        return done, (time.perf_counter() - start, children_cpu() - spent)

    def lines(self, what, *words):
        """Output lines of one predict call, or None (reported) when it fails."""
        done, seconds = self.call("predict", *words)
        if done.returncode:
            check(False, what, f"exit {done.returncode}: {done.stderr.strip()[-500:]}")
            return None, seconds
        return done.stdout.splitlines(), seconds

    def predict(self, what, *words):
        """Per row ({"score": [..], "contributions": [..]})."""
        text, seconds = self.lines(what, *words)
        if text is None:
            return None, seconds
        try:
            return [{k: numbers(v) for k, v in json.loads(line).items()} for line in text], seconds
        except (ValueError, TypeError, AttributeError) as error:
            check(False, what, f"unreadable output ({error}): {text[0][:200] if text else 'nothing'}")
            return None, seconds


def same_bits(what, got, want):
    """Compare two lists of rows bit by bit; show the first three differences."""
    if got is None:
        return
    if len(got) != len(want):
        return check(False, what, f"{len(got)} rows instead of {len(want)}")
    wrong = [i for i, (g, w) in enumerate(zip(got, want)) if bits(g) != bits(w)]
    shown = "; ".join(f"row {i}: {got[i]} instead of {want[i]}" for i in wrong[:3])
    check(not wrong, what, f"{len(want)} rows" + (f", {len(wrong)} differ: {shown}" if wrong else ""))


def near(what, got, want, limit=1e-12):
    if got is None:
        return
    if len(got) != len(want) or any(len(g) != len(w) for g, w in zip(got, want)):
        return check(False, what, f"shape {len(got)} x {len(got[0]) if got else 0} instead of {len(want)} x {len(want[0])}")
    off = np.abs(np.array(got) - np.array(want))
    worst = np.unravel_index(off.argmax(), off.shape)
    detail = f"{len(want)} rows, max diff {off.max():.2e}"
    if not off.max() < limit:
        detail += f" at row {worst[0]} column {worst[1]}: {got[worst[0]][worst[1]]!r} instead of {want[worst[0]][worst[1]]!r}"
    check(off.max() < limit, what, detail)  # NaN fails too


def key(rows, name):
    return None if rows is None else [row.get(name, []) for row in rows]


def expected(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def compare_predict(product, name, model, rows, want, tmp):
    """Scores, raw scores, contributions, thread counts and single rows of one model against the recorded answers."""
    got, seconds = product.predict(f"{name} score", model, rows)
    same_bits(f"{name} score", key(got, "score"), [w["score"] for w in want])
    got, _ = product.predict(f"{name} raw", model, rows, "--raw")
    same_bits(f"{name} raw", key(got, "score"), [w["raw"] for w in want])
    explained = [w for w in want if "contributions" in w]
    text = Path(rows).read_text().splitlines()
    head = tmp / "head.csv"
    head.write_text("\n".join(text[:len(explained) + 1]) + "\n")
    got, _ = product.predict(f"{name} contributions", model, head, "--raw", "--contrib")
    same_bits(f"{name} raw beside contributions", key(got, "score"), [w["raw"] for w in explained])
    near(f"{name} contributions", key(got, "contributions"), [w["contributions"] for w in explained])
    one, _ = product.lines(f"{name} one thread", model, head, "--contrib", "--threads", 1)
    two, _ = product.lines(f"{name} two threads", model, head, "--contrib", "--threads", 2)
    if one and two:
        check(one == two, f"{name} same output with 1 and 2 threads")
        picks = range(0, len(explained), max(1, len(explained) // 4))
        alone = tmp / "alone.csv"
        wrong = []
        for i in picks:
            alone.write_text(f"{text[0]}\n{text[i + 1]}\n")
            wrong += [i] * (product.lines(f"{name} row {i} alone", model, alone, "--contrib")[0] != [one[i]])
        check(not wrong, f"{name} a row alone answers as in the batch", f"wrong rows {wrong}" if wrong else "")
    return seconds


def fixtures(product, tmp):
    for model in sorted(FIXTURES.glob("*.model.txt")):
        name = model.name.removesuffix(".model.txt")
        rows = FIXTURES / f"{name}.rows.csv"
        if rows.exists():
            compare_predict(product, name, model, rows, expected(FIXTURES / f"{name}.expected.jsonl"), tmp)
        else:  # a model that has to be refused
            rows = tmp / "any.csv"
            rows.write_text("f0,f1,f2,f3,f4,f5\n0,0,0,0,0,0\n")
            done, _ = product.call("predict", model, rows)
            check(done.returncode not in (0, 101) and not done.stdout and done.returncode > 0, f"{name} is refused",
                  f"exit {done.returncode}: {done.stderr.strip()[-300:]}")


def bench_models(product, directory, tasks, tmp):
    for task in tasks:
        rows = directory / f"{TASKS[task][0]}test.csv"
        seconds = compare_predict(product, f"bench {task}", directory / f"{task}.model.txt", rows,
                                  expected(directory / f"{task}.expected.jsonl"), tmp)
        print(f"     bench {task}: whole command over the test rows {seconds[0]:.2f} s, CPU {seconds[1]:.2f} s")


def trees(path):
    """A model's trees: field name -> numbers."""
    texts = re.split(r"\nTree=\d+\n", Path(path).read_text().split("\nend of trees")[0])[1:]
    fields = [dict(line.split("=", 1) for line in text.splitlines() if "=" in line) for text in texts]
    return [{k: [float(n) for n in v.split()] for k, v in tree.items()} for tree in fields]


STRUCTURE = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "cat_boundaries", "cat_threshold", "leaf_count")


def likeness(a, b):
    """How far two models are the same: equal trees, equal splits, and what sets the first different tree apart."""
    splits = [all(s.get(k) == t.get(k) for k in STRUCTURE) for s, t in zip(a, b)]
    values = [s["leaf_value"] == t["leaf_value"] for s, t in zip(a, b)]
    text = f"{sum(splits)} of {len(a)} trees have the same splits, {sum(x and y for x, y in zip(splits, values))} also the same leaf values"
    off = [abs(u - v) for s, t, same in zip(a, b, splits) if same for u, v in zip(s["leaf_value"], t["leaf_value"])]
    text += f" (max diff {max(off):.1e})" if off else ""
    if not all(splits):
        i = splits.index(False)
        k = next(k for k in STRUCTURE if a[i].get(k) != b[i].get(k))
        n = next((n for n, (u, v) in enumerate(zip(a[i].get(k, []), b[i].get(k, []))) if u != v), "length")
        node = n if isinstance(n, int) and n < len(a[i]["split_gain"]) else 0
        text += f"; first other: tree {i} {k}[{n}], split gain {a[i]['split_gain'][node]!r} and {b[i]['split_gain'][node]!r}"
    return text


def train(product, directory, tasks, tmp):
    for task in tasks:
        data, params = TASKS[task]
        theirs, ours = directory / f"{task}.lightgbm.txt", directory / f"{task}.product.txt"
        bins_and_boost = lightgbm_train(dataset(directory, task), ONE)
        bins_and_boost[0].save_model(theirs)
        words = ",".join(f"{k}={v}" for k, v in params.items())
        if any("," in str(v) for v in params.values()):  # a value with commas needs the file form
            words = tmp / "params.txt"
            words.write_text("".join(f"{k}={v}\n" for k, v in params.items()))
        group = ["--group", "query"] if data == "rank_" else []
        ours.unlink(missing_ok=True)
        done, seconds = product.call("train", "--data", directory / f"{data}train.csv", "--label", "label", *group,
                                     "--params", words, "--out", ours)
        if done.returncode or not ours.exists():
            check(False, f"train {task}", f"exit {done.returncode}: {done.stderr.strip()[-500:]}")
            continue
        x, label, query, _ = dataset(directory, task, "test")
        x = x.to_numpy()
        try:
            back = lgb.Booster(model_file=ours)
        except lgb.basic.LightGBMError as error:
            check(False, f"train {task}: LightGBM reads the product's model", str(error))
            continue
        rows = directory / f"{data}test.csv"
        loaded = {how: back.predict(x[:n], num_threads=1, **words).reshape(min(n, len(x)), -1).tolist()
                  for how, n, words in (("score", len(x), {}), ("raw", len(x), {"raw_score": True}),
                                        ("contributions", EXPLAINED, {"pred_contrib": True}))}
        want = [{"score": s, "raw": r} for s, r in zip(loaded["score"], loaded["raw"])]
        for w, c in zip(want, loaded["contributions"]):
            w["contributions"] = c
        compare_predict(product, f"train {task}: the product's model in LightGBM:", ours, rows, want, tmp)
        check(back.num_trees() == lgb.Booster(model_file=theirs).num_trees(), f"train {task}: number of trees", str(back.num_trees()))
        print(f"     train {task}: {likeness(trees(theirs), trees(ours))}")
        figures = {"lightgbm": lgb.Booster(model_file=theirs), "product": back}
        for who, model in figures.items():
            print(f"     train {task}: {who:8}", json.dumps(quality(task, label, model.predict(x, num_threads=1), query)))
        print(f"     train {task}: seconds: lightgbm, one thread, bins {bins_and_boost[1][0]:.2f} + boosting {bins_and_boost[2][0]:.2f}"
              f" (in memory), product {seconds[0]:.2f}, CPU {seconds[1]:.2f} (whole command, with reading the file)")


def main(binary, directory, chosen):
    product = Product(binary)
    tasks = [t for t in chosen if t in TASKS] or list(TASKS)
    sections = [s for s in chosen if s not in TASKS] or ["fixtures", "bench", "train"]
    with tempfile.TemporaryDirectory() as tmp:
        if "fixtures" in sections:
            fixtures(product, Path(tmp))
        if "bench" in sections:
            bench_models(product, directory, tasks, Path(tmp))
        if "train" in sections:
            train(product, directory, tasks, Path(tmp))
    print(f"{len(failed)} checks failed" + "".join(f"\n  {what}" for what in failed))
    return bool(failed)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
