#!/usr/bin/env python3
"""bench.py DIR [SECTION..] : make the benchmark set in DIR and print LightGBM's own figures on it as JSON.

Data (seeded): train.csv with a `label` column, test.csv with features only, truth.csv with the labels of test.csv; the same
with the prefix category_, rank_ (and a `query` column), multi_, reg_.
Models: TASK.model.txt, with TASK.expected.jsonl over the test rows (contributions for the first 256).
Sections, all of them by default: data, models, score, train. Times are medians; `cpu` is the process's CPU time, `wall` the
clock's. Run it on a quiet machine: the load average stands in the result.
"""
import json
import os
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd

from common import EXPLAINED, TASKS, group_sizes, quality, read, write_expected

ONE = dict(verbosity=-1, num_threads=1, deterministic=True, force_row_wise=True, seed=7)
MODES = {"deterministic_1": ONE, "deterministic_2": {**ONE, "num_threads": 2},
         "default_1": dict(verbosity=-1, num_threads=1), "default_2": dict(verbosity=-1, num_threads=2)}


def save(directory, data, features, label, train_rows, query=None):
    features = features.copy()
    cut = slice(0, train_rows), slice(train_rows, None)
    truth = {"label": label} if query is None else {"label": label, "query": query}
    pd.concat([pd.DataFrame(truth), features], axis=1)[cut[0]].to_csv(directory / f"{data}train.csv", index=False)
    features[cut[1]].to_csv(directory / f"{data}test.csv", index=False)
    pd.DataFrame(truth)[cut[1]].to_csv(directory / f"{data}truth.csv", index=False)


def columns(rng, rows, width):
    """Numeric columns of several shapes (normal, amounts, counts, flags, uniform), six decimals."""
    x = rng.normal(size=(rows, width))
    for f in range(width):
        shape = f % 5
        if shape == 1:
            x[:, f] = np.exp(1.2 * x[:, f] + 3)
        elif shape == 2:
            x[:, f] = rng.poisson(3, rows)
        elif shape == 3:
            x[:, f] = x[:, f] > 0.8
        elif shape == 4:
            x[:, f] = rng.uniform(0, 100, rows)
    return np.round(x, 6)


def make_data(directory):
    rng = np.random.default_rng(2024)
    rows, width = 120_000, 60
    x = columns(rng, rows, width)
    z = (x - x.mean(0)) / x.std(0)
    weights = rng.normal(size=width) * (rng.random(width) < 0.5)
    signal = z @ weights * 0.22 + 0.5 * np.tanh(z[:, 0] * z[:, 5]) + 0.5 * (z[:, 4] > 0.5) * (z[:, 9] > 0) - 0.4 * (z[:, 10] ** 2 > 2)
    for f in range(20, 30):  # ten columns with missing values; missing says a little
        gone = rng.random(rows) < rng.uniform(0.05, 0.4)
        x[gone, f] = np.nan
        signal = signal + 0.3 * gone * rng.normal()
    signal, flip = 1.5 * signal, rng.logistic(size=rows)
    names = [f"c{i}" for i in range(width)]
    label = (signal + flip > np.quantile(signal + flip, 0.88)).astype(int)
    save(directory, "", pd.DataFrame(x, columns=names), label, 100_000)

    for f, size in zip((57, 58, 59), (20, 50, 100)):  # the same rows with three columns of categories
        code = np.minimum(rng.geometric(4 / size, rows) - 1, size - 1)
        signal = signal + 0.6 * rng.normal(size=size)[code]
        x[:, f] = code
    label = (signal + flip > np.quantile(signal + flip, 0.88)).astype(int)
    save(directory, "category_", pd.DataFrame(x, columns=names), label, 100_000)

    rows, docs = 2500 * 20, 20
    x = columns(rng, rows, 30)
    z = (x - x.mean(0)) / x.std(0)
    merit = z @ (rng.normal(size=30) * 0.3) + 0.5 * z[:, 0] * z[:, 1] + rng.normal(size=rows) + rng.normal(size=rows // docs).repeat(docs)
    grade = np.digitize(merit, np.quantile(merit, [0.6, 0.8, 0.92, 0.98]))
    save(directory, "rank_", pd.DataFrame(x, columns=[f"c{i}" for i in range(30)]), grade, 2000 * docs, np.arange(rows) // docs)

    rows = 25_000
    x = columns(rng, rows, 20)
    z = (x - x.mean(0)) / x.std(0)
    x[rng.random(rows) < 0.2, 3] = np.nan
    value = z @ rng.normal(size=20) + 2 * np.sin(2 * z[:, 0]) * z[:, 4] + rng.normal(size=rows)
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(20)])
    save(directory, "reg_", frame, np.round(value, 6), 20_000)
    save(directory, "multi_", frame, np.digitize(value, np.quantile(value, [0.4, 0.7, 0.9])), 20_000)


def dataset(directory, task, part="train"):
    data, params = TASKS[task]
    x, y, query = read(directory, data, part)
    return x, y, query, params


def train(loaded, extra):
    """(model, binning seconds, boosting seconds), each as (wall, cpu)."""
    x, y, query, params = loaded
    params = {**params, **extra}
    # the name: form is for files; the Python interface wants the list
    cats = params.pop("categorical_feature", "name:")[5:]
    start = time.perf_counter(), time.process_time()
    data = lgb.Dataset(x, y, group=None if query is None else group_sizes(query), params=params,
                       categorical_feature=cats.split(",") if cats else []).construct()
    middle = time.perf_counter(), time.process_time()
    model = lgb.train(params, data)
    end = time.perf_counter(), time.process_time()
    return model, np.subtract(middle, start), np.subtract(end, middle)


def rate(call, rows, repeats=5):
    walls, cpus = [], []
    call()
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"rows": rows, "rows_per_s_wall": round(rows / statistics.median(walls), 1),
            "rows_per_s_cpu": round(rows / statistics.median(cpus), 1)}


def latency(model, x, count, **how):
    """Microseconds per one-row call: mean, p50, p99."""
    times = []
    for i in range(count):
        row = x[i:i + 1]
        start = time.perf_counter()
        model.predict(row, num_threads=1, **how)
        times.append((time.perf_counter() - start) * 1e6)
    return {"calls": count, "mean": round(statistics.mean(times), 1), "p50": round(statistics.median(times), 1),
            "p99": round(sorted(times)[int(count * 0.99)], 1)}


def main(directory, sections):
    directory.mkdir(parents=True, exist_ok=True)
    result = {"lightgbm": lgb.__version__, "machine": platform.machine(), "cores": os.cpu_count(), "load_before": os.getloadavg()}
    if "data" in sections:
        make_data(directory)
    if "models" in sections:
        for task in TASKS:
            train(dataset(directory, task), ONE)[0].save_model(directory / f"{task}.model.txt")
            model = lgb.Booster(model_file=directory / f"{task}.model.txt")
            x, y, query, _ = dataset(directory, task, "test")
            x = x.to_numpy()
            score = model.predict(x, num_threads=1)
            write_expected(directory / f"{task}.expected.jsonl", model.predict(x, raw_score=True, num_threads=1), score,
                           model.predict(x[:EXPLAINED], pred_contrib=True, num_threads=1))
            result[f"quality_{task}"] = quality(task, y, score, query)
    if "score" in sections:
        for task, explained, singles in (("A", 500, 200), ("B", 100, 60), ("C", 500, 200)):
            model = lgb.Booster(model_file=directory / f"{task}.model.txt")
            x = np.ascontiguousarray(dataset(directory, task, "test")[0])
            result[f"score_{task}"] = {
                "score": rate(lambda: model.predict(x, num_threads=1), len(x)),
                "contrib": rate(lambda: model.predict(x[:explained], pred_contrib=True, num_threads=1), explained),
                "single_score_us": latency(model, x, 3000), "single_contrib_us": latency(model, x, singles, pred_contrib=True),
                "load_average": os.getloadavg()[0]}
    if "train" in sections:
        for task, repeats in (("A", 3), ("C", 3), ("rank", 3), ("B", 1)):
            loaded = dataset(directory, task)
            for mode, extra in MODES.items():
                runs = [train(loaded, extra)[1:] for _ in range(repeats)]
                wall, cpu = np.median([[bins, boost] for bins, boost in runs], axis=0).T.round(3).tolist()
                result[f"train_{task}_{mode}"] = {"bin_wall": wall[0], "boost_wall": wall[1], "bin_cpu": cpu[0], "boost_cpu": cpu[1],
                                                  "load_average": os.getloadavg()[0]}
    result["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result["load_after"] = os.getloadavg()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:] or ["data", "models", "score", "train"])
