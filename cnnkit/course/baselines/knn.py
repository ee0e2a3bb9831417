"""Exact nearest neighbours on raw pixels, by L1 and L2: what the distance between two images says about them.

Run:     python -m cnnkit sweep knn --profile full
Expect:  38.6% (L1) and 35.4% (L2) on CIFAR-10 with one neighbour, 96.3% (L1) and 96.9% (L2) on MNIST; 18 minutes of
         one core.

No network is trained: a row is a `Block` of a thousand images and how many of them their k nearest neighbours name
rightly, for every k from 1 to 20. It is the same on every machine, see `cnnkit.neighbours`.
"""

import dataclasses
import hashlib
import json
import time

import numpy as np
import pandas as pd
from scipy import stats

from cnnkit import data
from cnnkit.evidence.experiment import Experiment
from cnnkit.lab.provenance import provenance
from cnnkit.lab.training import Run
from cnnkit.neighbours import DISTANCES, nearest, vote
from cnnkit.plots.style import add_caption, add_legend, groups, label, new_axes

MOST = 20  # neighbours
IMAGES = 1000  # in a block
VALIDATION = {"mnist": 6, "cifar10": 5, "digits": 1, "shapes": 1}  # blocks; a test set of more than one has ten
# Accuracies as printed, with their decimals. Wilder's is printed without k; that it is 1 is what our rows say.
PUBLISHED = pd.DataFrame(
    [
        ("cifar10", "l1", 1, 0.386, 3, "Karpathy, CS231n notes, image classification"),
        ("cifar10", "l2", 1, 0.354, 3, "Karpathy, CS231n notes, image classification"),
        ("mnist", "l2", 1, 0.9691, 4, "LeCun's page on MNIST, after Wilder"),
        ("mnist", "l2", 3, 0.950, 3, "LeCun et al. 1998, sec. III.C.3"),
    ],
    columns=["dataset", "metric", "k", "published", "decimals", "source"],
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A thousand images, and whom to ask about them: everything that decides a row.

    Args:
        dataset: A name of `data.list_datasets()`.
        metric: `"l1"` or `"l2"`.
        split: `"val"`: validation images, whose neighbours are training images. `"test"`: test images, and neighbours
            are all others, of training and validation.
        block: Integer from 0, which thousand of the split.
        train_size: Training images; None for all.
        seed: Integer, decides which images are for validation.
    Raises:
        ValueError: If dataset, metric or split is unknown.
    """

    dataset: str
    metric: str
    split: str
    block: int = 0
    train_size: int | None = None
    seed: int = 1
    model: str = "knn"

    NUMBERS = ("block", "images", "references", "train_seconds")  # columns that hold numbers

    def __post_init__(self):
        data.check_name(self.dataset)
        if self.metric not in DISTANCES or self.split not in ("val", "test"):
            raise ValueError(
                f"Expected a metric out of {', '.join(DISTANCES)} and a split out of val, test. "
                f"Received: metric={self.metric!r}, split={self.split!r}."
            )

    @property
    def run_id(self):
        """The first 12 hex digits of the sha256 of its fields."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def to_row(self):
        """Return the fields as the columns of a row."""
        return dataclasses.asdict(self)

    @classmethod
    def from_row(cls, row):
        """Return the block that a row of `runs.csv` (a mapping) was made from."""
        fields = {
            field.name: None if pd.isna(row[field.name]) else row[field.name] for field in dataclasses.fields(cls)
        }
        whole = {name: int(fields[name]) for name in ("block", "train_size", "seed") if fields[name] is not None}
        return cls(**fields | whole)

    def fingerprint(self):
        """Return what a row made now would say of its data."""
        return {"data_sha256": data.dataset_sha256(self.dataset, train_size=self.train_size, seed=self.seed)}

    def compute(self):
        """Find the neighbours and count the right votes; return a `Run` without a model, its history empty."""
        dataset = data.load_dataset(self.dataset, train_size=self.train_size, seed=self.seed)
        x, y = dataset.x_train, dataset.y_train
        if self.split == "test":
            x, y = np.concatenate([x, dataset.x_val]), np.concatenate([y, dataset.y_val])
        mine = slice(self.block * IMAGES, (self.block + 1) * IMAGES)
        queries, labels = (getattr(dataset, f"{name}_{self.split}")[mine] for name in "xy")
        begun = time.perf_counter()
        _, places = nearest(queries, x, self.metric, MOST)
        right = (vote(y[places], dataset.num_classes) == labels[:, None]).sum(axis=0)
        row = {
            "run_id": self.run_id,
            **self.to_row(),
            "status": "completed",
            "error": None,
            "images": len(queries),
            "references": len(x),
            "correct": json.dumps(right.tolist()),
            "train_seconds": round(time.perf_counter() - begun, 3),  # it all falls due when it is asked
            "data_sha256": dataset.sha256,
            **provenance(),
        }
        return Run(self, row, pd.DataFrame(), None)

    @staticmethod
    def problem(row):
        """Return what of a row cannot be, or None."""
        counts = json.loads(row["correct"]) if row["status"] == "completed" else [0] * MOST
        if len(counts) != MOST or not all(isinstance(c, int) and 0 <= c <= row["images"] for c in counts):
            return f"correct is {row['correct']}, not {MOST} counts of {row['images']} images"
        return None


def blocks(profile, runs):
    """Every block of validation and test images, by both metrics."""
    names = ("mnist", "cifar10") if profile == "full" else ("digits", "shapes")
    size = None if profile == "full" else 500  # of 4,500 shapes and 1,294 digits
    return [
        Block(dataset, metric, split, block, size)
        for dataset in names
        for metric in DISTANCES
        for split, count in (("val", VALIDATION[dataset]), ("test", 10 if profile == "full" else 1))
        for block in range(count)
    ]


def by_k(runs):
    """Return one line a data set, metric, split and k: `correct` of `images`, `accuracy`, Wilson 95% interval."""
    lines = runs.assign(correct=runs["correct"].map(json.loads)).explode("correct")
    lines["k"] = lines.groupby("run_id").cumcount() + 1
    sums = lines.astype({"correct": int}).groupby(["dataset", "metric", "split", "k"])[["correct", "images"]].sum()
    intervals = [
        stats.binomtest(right, images).proportion_ci(method="wilson")
        for right, images in zip(sums["correct"], sums["images"], strict=True)
    ]
    low, high = ([getattr(interval, end) for interval in intervals] for end in ("low", "high"))
    return sums.assign(accuracy=sums["correct"] / sums["images"], low=low, high=high).reset_index()


def chosen(runs):
    """Return a Series of the best k on validation by data set and metric; of equal ones the smallest."""
    val = by_k(runs).query("split == 'val'")
    return val.loc[val.groupby(["dataset", "metric"])["correct"].idxmax()].set_index(["dataset", "metric"])["k"]


def table(runs):
    """Test accuracy with one neighbour, with as many as validation chose, and with those of published figures."""
    test = by_k(runs).query("split == 'test'").merge(PUBLISHED, how="left", on=["dataset", "metric", "k"])
    winners = chosen(runs)
    best = np.array([winners[line.dataset, line.metric] == line.k for line in test.itertuples()])
    test["note"] = np.where(best, "best k on validation", "")
    test = test[(test["k"] == 1) | best | test["published"].notna()]
    summary = test.rename(columns={"accuracy": "mean", "images": "n", "published": "published_accuracy"})
    summary = summary[["dataset", "metric", "k", "mean", "low", "high", "n", "published_accuracy", "note"]]
    summary["published_accuracy"] = [f"{100 * p:g}" if p == p else "" for p in summary["published_accuracy"]]
    summary.attrs["metric"] = "test_accuracy"
    return summary.reset_index(drop=True)


def plot_neighbours(runs, dataset, *, ax=None):
    """Plot test accuracy against the number of neighbours by metric, validation dashed, published figures as stars."""
    lines = by_k(runs).query("dataset == @dataset")
    ax = new_axes(ax)
    parts = groups(lines, "metric")
    for metric, (part, style) in parts.items():
        test, val = (part[part["split"] == split] for split in ("test", "val"))
        ax.plot(test["k"], 100 * test["accuracy"], **style | {"linestyle": "-"})
        ax.fill_between(test["k"], 100 * test["low"], 100 * test["high"], color=style["color"], alpha=0.15, linewidth=0)
        ax.plot(val["k"], 100 * val["accuracy"], "--", color=style["color"], linewidth=1)
        printed = PUBLISHED[(PUBLISHED["dataset"] == dataset) & (PUBLISHED["metric"] == metric)]
        ax.plot(printed["k"], 100 * printed["published"], "*", color=style["color"], ms=14, mec="k", mew=0.6, zorder=4)
    ax.set(xlabel="k, neighbours that vote", ylabel=label("accuracy"), title=dataset, xticks=range(1, MOST + 1, 2))
    ax.grid(color="0.92")
    ax.spines[["top", "right"]].set_visible(False)
    add_legend(ax, parts, "metric", linestyle="-")
    count = lines.loc[lines["split"] == "test", "images"].iloc[0]
    stars = ["★ published"] * bool((PUBLISHED["dataset"] == dataset).any())
    add_caption(
        ax, "; ".join([f"test solid, with Wilson 95% interval, n = {count:,} images; validation dashed", *stars])
    )
    return ax


def figures(runs, history):
    """Accuracy against k, a figure a data set."""
    return {dataset: plot_neighbours(runs, dataset) for dataset in sorted(set(runs["dataset"]))}


def counted(runs, history):
    """Return the verdicts on what is published, as `facts.check` gives them: the same figure, rounded, or not."""
    test = by_k(runs).query("split == 'test'")
    rows = []
    for line in PUBLISHED.merge(test, on=["dataset", "metric", "k"]).itertuples():
        percent = f"{100 * line.published:.{line.decimals - 2}f}%"
        text = (
            f"{line.k} nearest neighbour{'s' * (line.k > 1)} by {line.metric.upper()} on raw pixels of {line.dataset}:"
        )
        right = round(line.accuracy, line.decimals) == line.published
        name = f"knn-{line.dataset}-{line.metric}-{line.k}"
        rows.append(_fact(name, f"{text} {percent} right.", line.source, line, 100 * line.accuracy, right))
    if ("cifar10", "l1") in (best := chosen(runs)):
        k = best["cifar10", "l1"]
        line = test[(test["dataset"] == "cifar10") & (test["metric"] == "l1") & (test["k"] == k)].iloc[0]
        text = "On CIFAR-10 a vote of about seven neighbours (L1) is the best."
        fact = _fact("knn-cifar10-seven", text, PUBLISHED["source"][0], line, k, 6 <= k <= 8)
        rows.append(fact | {"unit": "neighbours", "low": np.nan, "high": np.nan})
    return rows


def _fact(name, text, source, line, figure, holds):
    interval = {"low": 100 * line.low, "high": 100 * line.high, "n": line.images, "margin": np.nan}
    words = {"id": name, "ledger": 59, "text": text, "source": source, "experiment": "knn", "unit": "% of test images"}
    verdict = {"effect": float(figure), "verdict": "TRUE" if holds else "FALSE", "reason": "computed, all images"}
    return words | interval | verdict


def answer(runs):
    """One sentence for the front page."""
    first = by_k(runs).query("split == 'test' and k == 1").set_index(["dataset", "metric"])["accuracy"]
    words = [f"{name} {first[name, 'l1']:.1%} (L1) and {first[name, 'l2']:.1%} (L2)" for name in first.index.levels[0]]
    return f"One nearest neighbour on raw pixels names right: {', '.join(words)}."


EXPERIMENT = Experiment(
    name="knn",
    question="How far does the distance between raw pixels go, by L1 and L2, with 1 to 20 neighbours?",
    stages=(blocks,),
    figures=figures,
    table=table,
    notebook="02_baselines",
    answer=answer,
    config=Block,
    counted=counted,
)
