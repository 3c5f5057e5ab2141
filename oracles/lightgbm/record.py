#!/usr/bin/env python3
"""record.py OUT_DIR : train small models with LightGBM and record what it answers, as fixtures for the tests of the tree engine.

For each case: NAME.model.txt (as LightGBM saved it), NAME.rows.csv (header = feature names, empty cell = missing, floats
by repr) and NAME.expected.jsonl, one line per row: {"raw": [per class], "score": [per class, transformed],
"contributions": [(features + 1) per class]}. Answers come from the model read back from its file, one thread.
Same seeds, same LightGBM: same bytes. linear_tree has a model only: a reader has to refuse it.
"""
import json
import math
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np

COMMON = dict(verbosity=-1, num_threads=1, deterministic=True, force_row_wise=True, seed=7, learning_rate=0.1,
              num_leaves=9, min_data_in_leaf=5, min_sum_hessian_in_leaf=1e-3)
ZERO = float(np.float32(1e-35))  # LightGBM's zero threshold: |x| <= ZERO is zero
NUMBERS = [math.nan, 0.0, -0.0, math.inf, -math.inf, 1e300, -1e300, 1.7976931348623157e308, 5e-324, -5e-324, 1e-36,
           ZERO, -ZERO, math.nextafter(ZERO, 1.0), math.nextafter(-ZERO, -1.0), 1.0, -1.0, 1e15]
CATEGORIES = [math.nan, 0.0, -0.0, -1.0, -0.5, -1e-40, 0.5, 1.999999, 2.0, 3.7, 31.0, 32.0, 63.0, 64.0, 64.5, 255.0, 256.0, 300.0,
              1023.0, 1024.0, 100000.0, 2147483647.0, 2147483648.0, 4294967299.0, -2147483649.0, 1e300, math.inf, -math.inf]


def thresholds(model, feature):
    """Distinct numeric thresholds of one feature."""
    found = set()

    def walk(node):
        if "split_index" in node:
            if node["split_feature"] == feature and node["decision_type"] == "<=":
                found.add(float(node["threshold"]))
            walk(node["left_child"])
            walk(node["right_child"])

    for tree in model.dump_model()["tree_info"]:
        walk(tree["tree_structure"])
    return sorted(found)


def probe_rows(model, data, cats, rng, count):
    """Rows worth asking about: whole rows of one special value, thresholds and their neighbours, the rest as in training."""
    width = data.shape[1]
    cuts = [thresholds(model, f) for f in range(width)]
    rows = [[value] * width for value in (math.nan, 0.0, -0.0, math.inf, -math.inf)]
    while len(rows) < count:
        row = data[rng.integers(len(data))].copy()
        for f in range(width):
            pick = rng.random()
            if f in cats:
                if pick < 0.4:
                    row[f] = CATEGORIES[rng.integers(len(CATEGORIES))]
            elif pick < 0.3 and cuts[f]:
                cut = cuts[f][rng.integers(len(cuts[f]))]
                row[f] = [cut, cut, math.nextafter(cut, math.inf), math.nextafter(cut, -math.inf)][rng.integers(4)]
            elif pick < 0.5:
                row[f] = NUMBERS[rng.integers(len(NUMBERS))]
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def cell(value):
    return "" if math.isnan(value) else repr(float(value))


def record(out, name, params, data, label, trees=8, cats=(), rows=32, group=None, valid=None, answers=True):
    train = lgb.Dataset(data, label, group=group, categorical_feature=list(cats), free_raw_data=False,
                        feature_name=[f"f{i}" for i in range(data.shape[1])],
                        params={**COMMON, **params})
    stop = {}
    if valid:
        stop = dict(valid_sets=[lgb.Dataset(*valid, reference=train)], callbacks=[lgb.early_stopping(3, verbose=False)])
    path = out / f"{name}.model.txt"
    lgb.train({**COMMON, **params}, train, trees, **stop).save_model(path)
    if not answers:
        print(f"{name}: {path.stat().st_size} bytes, model only")
        return
    model = lgb.Booster(model_file=path)
    ask = probe_rows(model, data, cats, np.random.default_rng(99), rows)
    with open(out / f"{name}.rows.csv", "w") as f:
        f.write(",".join(model.feature_name()) + "\n")
        f.writelines(",".join(map(cell, row)) + "\n" for row in ask)
    raw, score, contrib = (model.predict(ask, num_threads=1, **how).reshape(rows, -1).tolist()
                           for how in ({"raw_score": True}, {}, {"pred_contrib": True}))
    with open(out / f"{name}.expected.jsonl", "w") as f:
        for r, s, c in zip(raw, score, contrib):
            f.write(json.dumps({"raw": r, "score": s, "contributions": c}, allow_nan=False) + "\n")
    cuts = [len(thresholds(model, f)) for f in range(data.shape[1])]
    print(f"{name}: {model.num_trees()} trees, {path.stat().st_size} bytes, thresholds per feature {cuts}")


def numeric(seed, rows=600, width=6, missing=0.15):
    """Normal columns, the last constant; the first two partly missing, and missing tells something; a linear + crossed signal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    x[:, 3] = np.round(x[:, 3] * 2) / 2  # many exact zeros
    x[:, -1] = 1.0
    signal = x[:, 0] + x[:, 1] * x[:, 2] + 0.7 * x[:, 3]
    for f in (0, 1):
        gone = rng.random(rows) < missing
        x[gone, f] = np.nan
        signal = signal + gone * 1.5
    return x, signal, rng


def categorical(seed, sizes, rows=900):
    """One categorical column per entry of sizes (the category values), then two numeric ones; every category has its own effect."""
    rng = np.random.default_rng(seed)
    picks = [rng.integers(len(values), size=rows) for values in sizes]
    x = np.column_stack([np.asarray(v, float)[p] for v, p in zip(sizes, picks)] + [rng.normal(size=rows) for _ in range(2)])
    signal = sum(rng.normal(size=len(v))[p] for v, p in zip(sizes, picks)) + x[:, -1]
    x[rng.random(rows) < 0.05, 0] = np.nan
    return x, signal, rng


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    x, s, rng = numeric(1)
    y = (s + rng.normal(size=len(s)) > 1).astype(float)
    record(out, "binary_nan", dict(objective="binary"), x, y, trees=10)
    record(out, "binary_zero_missing", dict(objective="binary", zero_as_missing=True), x, y)
    record(out, "binary_no_missing", dict(objective="binary", use_missing=False, sigmoid=0.7), x, y)
    record(out, "binary_unbalanced", dict(objective="binary", scale_pos_weight=3.0, boost_from_average=False, feature_fraction=0.7,
                                          bagging_fraction=0.7, bagging_freq=1, lambda_l1=0.1, lambda_l2=1.0), x, y, trees=5)
    record(out, "goss", dict(objective="binary", data_sample_strategy="goss", learning_rate=0.3), x, y, trees=6)
    record(out, "dart", dict(objective="binary", boosting="dart", drop_rate=0.4), x, y, trees=12)
    record(out, "rf", dict(objective="binary", boosting="rf", bagging_fraction=0.6, bagging_freq=1, feature_fraction=0.8), x, y)
    record(out, "cross_entropy", dict(objective="cross_entropy"), x, 1 / (1 + np.exp(-s)))
    record(out, "cross_entropy_lambda", dict(objective="cross_entropy_lambda"), x, 1 / (1 + np.exp(-s)), trees=4)
    record(out, "monotone", dict(objective="binary", monotone_constraints=[1, 0, 0, 1, 0, 0], monotone_constraints_method="advanced"),
           x, y)
    record(out, "stump_binary", dict(objective="binary", min_data_in_leaf=400), x, y, rows=8)
    record(out, "early_stopping", dict(objective="binary", learning_rate=0.5, metric="binary_logloss"), x[:400], y[:400], trees=60,
           valid=(x[400:], y[400:]))

    target = s + 0.3 * rng.normal(size=len(s))
    counts = rng.poisson(np.exp(np.clip(s, -3, 2))).astype(float)
    record(out, "regression", dict(objective="regression"), x, target)
    record(out, "regression_sqrt", dict(objective="regression", reg_sqrt=True), x, np.sign(target) * target**2 * 10)
    record(out, "poisson", dict(objective="poisson"), x, counts)
    record(out, "quantile", dict(objective="quantile", alpha=0.8), x, target, trees=5)
    record(out, "huber", dict(objective="huber", alpha=0.5), x, target, trees=5)
    record(out, "l1", dict(objective="regression_l1"), x, target, trees=3)
    record(out, "gamma", dict(objective="gamma"), x, np.exp(0.5 * target), trees=3)
    record(out, "tweedie", dict(objective="tweedie", tweedie_variance_power=1.3), x, counts, trees=3)
    record(out, "linear_tree", dict(objective="regression", linear_tree=True), x, target, trees=2, answers=False)

    three = np.digitize(s, [0.0, 1.5]).astype(float)
    record(out, "multiclass", dict(objective="multiclass", num_class=3), x, three, trees=4)
    record(out, "multiclassova", dict(objective="multiclassova", num_class=3, sigmoid=1.5), x, three, trees=3)
    rare = np.where(np.arange(len(s)) % 200 == 0, 2.0, (s > 0).astype(float))  # three rows of class 2: too few to split on
    record(out, "stump_multiclass", dict(objective="multiclass", num_class=3, min_data_in_leaf=60, min_sum_hessian_in_leaf=4.0),
           x, rare, trees=4, rows=16)

    docs, relevance, rng = numeric(2, rows=450)
    gain = np.clip(np.round(relevance + 0.5 * rng.normal(size=450)), 0, 4)
    record(out, "lambdarank", dict(objective="lambdarank"), docs, gain, group=[15] * 30)

    x, s, rng = categorical(3, [range(3), range(20)])
    record(out, "categorical_small", dict(objective="binary", cat_smooth=1.0), x, (s > 0).astype(float), cats=(0, 1))
    x, s, rng = categorical(4, [range(90), np.sort(rng.choice(np.arange(5, 1400), 60, replace=False))])
    record(out, "categorical_wide", dict(objective="regression", cat_smooth=1.0, min_data_per_group=5, cat_l2=1.0), x, s, cats=(0, 1))
    record(out, "categorical_zero_missing", dict(objective="regression", cat_smooth=1.0, min_data_per_group=5, zero_as_missing=True),
           x, s, cats=(0, 1), trees=4)

    rng = np.random.default_rng(5)
    x = rng.normal(size=(6000, 3))
    wave = np.sin(60 * x[:, 0]) + 0.1 * np.sin(3 * x[:, 1]) * x[:, 2]
    record(out, "many_thresholds", dict(objective="regression", max_bin=1023, num_leaves=200, min_data_in_leaf=2, min_data_in_bin=1,
                                        learning_rate=0.5), x, wave, trees=2)
    x = rng.uniform(size=(3000, 3))
    stairs, open_rows = np.zeros(3000), np.ones(3000, bool)
    for step in range(60):  # each step takes off the top tenth of one feature's rest: one long path, every feature on it 20 times
        taken = open_rows & (x[:, step % 3] > 0.9 ** (step // 3 + 1))
        stairs[taken] = (-0.93) ** step
        open_rows &= ~taken
    record(out, "deep", dict(objective="regression", num_leaves=64, max_depth=-1, min_data_in_leaf=1, min_sum_hessian_in_leaf=0.0),
           x, stairs, trees=4)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
