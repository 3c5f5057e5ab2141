"""What bench.py and compare.py share: the benchmark tasks, their data, the quality figures."""
import json

import numpy as np
import pandas as pd

# Task: prefix of its data files, LightGBM parameters (also what the product is given). A, B, C are the facts of the speed comparison.
TASKS = {
    "A": ("", dict(objective="binary", num_iterations=300, num_leaves=31, learning_rate=0.05)),
    "B": ("", dict(objective="binary", num_iterations=1000, num_leaves=63, learning_rate=0.05)),
    "C": ("category_", dict(objective="binary", num_iterations=300, num_leaves=31, learning_rate=0.05,
                           categorical_feature="name:c57,c58,c59")),
    "rank": ("rank_", dict(objective="lambdarank", num_iterations=200, num_leaves=31, learning_rate=0.05)),
    "multi": ("multi_", dict(objective="multiclass", num_class=4, num_iterations=60, num_leaves=31, learning_rate=0.1)),
    "reg": ("reg_", dict(objective="regression", num_iterations=200, num_leaves=31, learning_rate=0.1)),
}
EXPLAINED = 256  # rows of each test set whose contributions are recorded


def read(directory, data, part):
    """(features, labels, queries or None) of DATAtrain.csv, or of DATAtest.csv + DATAtruth.csv."""
    frame = pd.read_csv(directory / f"{data}{part}.csv")
    truth = pd.read_csv(directory / f"{data}truth.csv") if part == "test" else frame
    features = frame.drop(columns=["label", "query"], errors="ignore").astype(np.float64)
    return features, truth["label"].to_numpy(float), truth["query"].to_numpy() if "query" in truth else None


def group_sizes(queries):
    """Lengths of the runs of equal query values."""
    edges = np.flatnonzero(np.diff(queries)) + 1
    return np.diff(np.concatenate(([0], edges, [len(queries)])))


def auc(label, score):
    ranks = pd.Series(score).rank().to_numpy()
    positive = label > 0
    p, n = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))


def ndcg(label, score, queries, at):
    """Mean over queries, gain 2^label - 1, ties in the order given; a query without any gain counts 1 (as in LightGBM)."""
    total, sizes, start = 0.0, group_sizes(queries), 0
    discount = 1 / np.log2(np.arange(at) + 2)
    for size in sizes:
        gain, s = 2.0 ** label[start:start + size] - 1, score[start:start + size]
        start += size
        best = np.sort(gain)[::-1][:at] @ discount[:min(at, size)]
        got = gain[np.argsort(-s, kind="stable")][:at] @ discount[:min(at, size)]
        total += got / best if best > 0 else 1.0
    return float(total / len(sizes))


def quality(task, label, score, queries):
    """The held-out figures of one task; score as LightGBM's predict gives it."""
    kind = TASKS[task][0]
    if kind == "rank_":
        return {f"ndcg@{k}": ndcg(label, score, queries, k) for k in (5, 10, 20)}
    if kind == "multi_":
        chosen = score[np.arange(len(label)), label.astype(int)]
        return {"logloss": float(-np.log(np.clip(chosen, 1e-15, 1)).mean()), "accuracy": float((score.argmax(1) == label).mean())}
    if kind == "reg_":
        return {"rmse": float(np.sqrt(np.mean((score - label) ** 2)))}
    return {"auc": auc(label, score)}


def write_expected(path, raw, score, contributions):
    """One JSON line per row, as record.py writes them; contributions for the first rows only."""
    rows = len(raw)
    raw, score = raw.reshape(rows, -1).tolist(), score.reshape(rows, -1).tolist()
    with open(path, "w") as f:
        for i in range(rows):
            line = {"raw": raw[i], "score": score[i]}
            if i < len(contributions):
                line["contributions"] = contributions[i].tolist()
            f.write(json.dumps(line, allow_nan=False) + "\n")
