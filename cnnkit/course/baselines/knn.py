"""Exact nearest neighbours on raw pixels, by L1 and L2: what the distance between two images says about them.

Run:     python -m cnnkit sweep knn --profile full
Expect:  38.6% (L1) and 35.4% (L2) on CIFAR-10 with one neighbour; about an hour of one core.

A line of `trials.csv` says how many images their k nearest neighbours, by scikit-learn, name rightly. `val`: validation
images, whose neighbours are training images. `test`: test images, and neighbours are all others.
"""

import itertools
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from cnnkit import data
from cnnkit.evidence.experiment import Trials
from cnnkit.lab import store
from cnnkit.lab.provenance import provenance
from cnnkit.plots import style

MOST = 20  # neighbours
METRICS = {"l1": "manhattan", "l2": "euclidean"}
SETS = {"full": (("mnist", None), ("cifar10", None)), "smoke": (("digits", None), ("shapes", 500))}
PRINTED = [  # accuracies to three decimals
    ("cifar10", "l1", 1, 0.386, "Karpathy, CS231n notes, image classification"),
    ("cifar10", "l2", 1, 0.354, "Karpathy, CS231n notes, image classification"),
    ("mnist", "l2", 3, 0.950, "LeCun et al. 1998, sec. III.C.3"),
]
PUBLISHED = pd.DataFrame(PRINTED, columns=["dataset", "metric", "k", "published", "source"])


def count_right(images, references, labels, reference_labels, metric):
    """Return how many images their k nearest references name rightly, an integer array `(20,)` for k from 1 to 20.

    `images` and `references` are uint8 arrays `(n, ...)` and `(m, ...)`, labels integers, `metric` is `"l1"` or `"l2"`.
    The commonest class among k wins; of equal ones that whose members are nearer.
    """
    flat = [pixels.reshape(len(pixels), -1).astype("float32") for pixels in (images, references)]
    search = NearestNeighbors(n_neighbors=MOST, algorithm="brute", metric=METRICS[metric]).fit(flat[1])
    near = reference_labels[search.kneighbors(flat[0], return_distance=False)]
    votes = np.eye(reference_labels.max() + 1)[near] * (1 + 0.001 / np.arange(1, MOST + 1))[:, None]
    return (votes.cumsum(axis=1).argmax(axis=2) == labels[:, None]).sum(axis=0)


def run(profile, client, refresh):
    """Count for every data set, metric and split, keeping each as soon as it is there."""
    path, parts = store.results_dir(profile) / "knn" / "trials.csv", {}
    if path.exists() and not refresh:
        trials = store.read_trials("knn", store.results_dir(profile))
        parts = dict(list(trials.groupby(["dataset", "metric", "split"], sort=False)))
    for (name, size), metric, split in itertools.product(SETS[profile], METRICS, ("val", "test")):
        if (name, metric, split) not in parts:
            parts[name, metric, split] = _count(data.load_dataset(name, train_size=size), name, metric, split)
            table = pd.concat(parts.values(), ignore_index=True)
            store.write_atomically(path, table.to_csv(index=False, lineterminator="\n"))
    return pd.concat(parts.values(), ignore_index=True)


def _count(dataset, name, metric, split):
    x, y = dataset.x_train, dataset.y_train
    if split == "test":
        x, y = np.concatenate([x, dataset.x_val]), np.concatenate([y, dataset.y_val])
    images, labels = (getattr(dataset, f"{what}_{split}") for what in "xy")
    begun = time.perf_counter()
    right = count_right(images, x, labels, y, metric)
    line = {"dataset": name, "metric": metric, "split": split, "k": range(1, MOST + 1), "correct": right}
    line |= {"images": len(labels), "references": len(x), "seconds": round(time.perf_counter() - begun, 3)}
    return pd.DataFrame(line | {"data_sha256": dataset.sha256, "commit": provenance()["commit"]})


def accuracies(found):
    """Return one line a data set, metric, split and k: `accuracy` with its Wilson 95% interval `low, high`."""
    trials = found.trials
    counts = trials[["correct", "images"]].to_numpy()
    intervals = [stats.binomtest(*both).proportion_ci(method="wilson") for both in counts]
    ends = pd.DataFrame(intervals, columns=["low", "high"], index=trials.index)
    return trials.assign(accuracy=trials["correct"] / trials["images"]).join(ends)


def tabulate(found):
    """Return test accuracy with one neighbour, with as many as validation chose, and with as many as were published."""
    lines, arm = accuracies(found), ["dataset", "metric", "k"]
    val, test = (lines[lines["split"] == split] for split in ("val", "test"))
    best = val.loc[val.groupby(["dataset", "metric"])["correct"].idxmax(), arm]  # of equal ones the smallest k
    test = test.merge(best.assign(note="best k on validation"), how="left", on=arm).fillna({"note": ""})
    test = test.merge(PUBLISHED[[*arm, "published"]], how="left", on=arm)
    table = test[(test["k"] == 1) | (test["note"] != "") | test["published"].notna()].reset_index(drop=True)
    table["published_accuracy"] = [f"{100 * p:g}" if p == p else "" for p in table["published"]]
    table.attrs["metric"] = "test_accuracy"
    table = table.rename(columns={"accuracy": "mean", "images": "n"})
    table["metric"] = table["metric"].str.upper()
    return table[[*arm, "mean", "low", "high", "n", "published_accuracy", "note"]]


def draw(found):
    """Return test accuracy against k with Wilson intervals, a figure a data set, published figures as stars."""
    lines, drawn = accuracies(found).query("split == 'test'"), {}
    lines = lines.assign(Distance=lines["metric"].str.upper(), **100 * lines[["accuracy", "low", "high"]])
    for name, part in lines.groupby("dataset"):
        _, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
        look = {"hue": "Distance", "style": "Distance", "markers": True, "palette": "colorblind"}
        drawn[name] = sns.lineplot(part, x="k", y="accuracy", ax=ax, **look)
        for (_, one), colour in zip(part.groupby("Distance"), sns.color_palette("colorblind"), strict=False):
            ax.fill_between(one["k"], one["low"], one["high"], color=colour, alpha=0.15, linewidth=0)
        printed = PUBLISHED[PUBLISHED["dataset"] == name]
        ax.plot(printed["k"], 100 * printed["published"], "*", color="0.2", ms=12, label="published", zorder=4)
        told = f"Accuracy on the test set of {name} (%)"
        ax.set(xlabel="k, neighbours that vote", ylabel=told, xticks=[1, 5, 10, 15, 20])
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        style.add_caption(ax, "bands: 95% Wilson intervals of a share of these test images")
        sns.despine(ax=ax)
    return drawn


def decide(found):
    """Return verdicts on what is published: the same figure, rounded, or not."""
    rows = []
    for line in PUBLISHED.merge(accuracies(found).query("split == 'test'"), on=["dataset", "metric", "k"]).itertuples():
        many, where = "s" * (line.k > 1), f"on raw pixels of {line.dataset}"
        text = f"{line.k} nearest neighbour{many} by {line.metric.upper()} {where}: {line.published:.1%}."
        row = {"id": f"knn-{line.dataset}-{line.metric}-{line.k}", "ledger": 59, "text": text, "source": line.source}
        row |= {"effect": 100 * line.accuracy, "low": 100 * line.low, "high": 100 * line.high, "n": line.images}
        row["verdict"] = "TRUE" if round(line.accuracy, 3) == line.published else "FALSE"
        rows.append(row | {"experiment": "knn", "unit": "% of test images right", "reason": "counted, all images"})
    return rows


def answer(found):
    """Return the accuracies of one neighbour."""
    first = accuracies(found).query("split == 'test' and k == 1").set_index(["dataset", "metric"])["accuracy"]
    words = [f"{name} {first[name, 'l1']:.1%} (L1), {first[name, 'l2']:.1%} (L2)" for name in first.index.levels[0]]
    return f"One neighbour: {'; '.join(words)}."


EXPERIMENT = Trials(
    name="knn",
    question="How far does the distance between raw pixels go, by L1 and L2, with 1 to 20 neighbours?",
    run=run,
    tabulate=tabulate,
    draw=draw,
    decide=decide,
    answer=answer,
)
