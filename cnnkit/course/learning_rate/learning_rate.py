"""How big a step? Twelve learning rates, three optimizers and two networks; and the batch size beside the rate.

Run:     python -m cnnkit sweep learning_rate --profile full
Expect:  about 97% on MNIST in five epochs of 10,000 images, about 43% on CIFAR-10 in two.
"""

import numpy as np
import pandas as pd

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, Claim, best_settings
from cnnkit.evidence.experiment import Experiment, at_best_rate, grid
from cnnkit.lab.config import RunConfig

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
OPTIMIZERS = {
    "SGD": {"optimizer": "sgd"},
    "momentum 0.9": {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9}},
    "Adam": {"optimizer": "adam"},
}
BATCH_SIZES = (16, 64, 256, 1024)
TUNING_SEEDS = (1, 2, 3)
TOO_SMALL, TOO_BIG = 0.01, 100.0  # times the best rate
MARK = "#d55e00"  # a red that stands out from both ends of viridis


def lenet5_base(profile):
    """LeNet-5 on 10,000 MNIST images, five epochs."""
    if profile == "smoke":
        return RunConfig(dataset="digits", batch_size=64, epochs=2)
    return RunConfig(dataset="mnist", train_size=10_000, batch_size=64, epochs=5)


def caffe_base(profile):
    """Three convolutions on 10,000 CIFAR-10 images, two epochs; in smoke one of 200 digits."""
    if profile == "smoke":
        return RunConfig(dataset="digits", train_size=200, model="caffe_quick", batch_size=64, epochs=1)
    return RunConfig(dataset="cifar10", train_size=10_000, model="caffe_quick", batch_size=64, epochs=2)


def arms(base):
    """A network under each optimizer."""
    return [base.replace(**optimizer) for optimizer in OPTIMIZERS.values()]


def sweep_lenet5(profile, runs):
    """Twelve learning rates for each optimizer, three seeds."""
    full = profile == "full"
    return grid(arms(lenet5_base(profile)), RATES if full else RATES[4:9:4], TUNING_SEEDS if full else (1,))


def batches(profile, runs):
    """Learning rate against batch size at equal epochs: LeNet-5, plain SGD."""
    full = profile == "full"
    base = [lenet5_base(profile).replace(batch_size=size) for size in (BATCH_SIZES if full else BATCH_SIZES[1:3])]
    return grid(base, RATES[4:] if full else RATES[6::2], TUNING_SEEDS[:2] if full else (1,))


def confirm(profile, runs):
    """Plain SGD at its best rate, at a hundredth and at a hundred times that; fresh seeds."""
    full = profile == "full"
    tried = (RATES, TUNING_SEEDS) if full else (RATES[4:9:4], (1,))
    best = at_best_rate([lenet5_base(profile)], *tried, runs, FRESH[: 5 if full else 2])
    return [config.replace(learning_rate=config.learning_rate * f) for config in best for f in (1, TOO_SMALL, TOO_BIG)]


def sweep_caffe_quick(profile, runs):
    """The same sweep for three convolutions on CIFAR-10."""
    full = profile == "full"
    return grid(arms(caffe_base(profile)), RATES if full else RATES[4:9:4], TUNING_SEEDS if full else (1,))


def optimizer_names(runs):
    """Return the optimizer of each row, in words."""
    momentum = runs["optimizer_args"].str.contains("momentum")
    return runs["optimizer"].map({"sgd": "SGD", "adam": "Adam"}).mask(momentum, "momentum 0.9")


def sweeps(runs):
    """Return the tuning rows of both networks at batch size 64, LeNet-5 first."""
    tuning = runs[~runs["seed"].isin(FRESH) & (runs["batch_size"] == 64)].assign(optimizer=optimizer_names)
    return {model: tuning[tuning["model"] == model] for model in ("lenet5_modern", "caffe_quick")}


def batch_grid(runs):
    """Return the rows of the batch-size grid: plain SGD on LeNet-5, the rates that every batch size has."""
    rows = runs[~runs["seed"].isin(FRESH) & (runs["model"] == "lenet5_modern") & (optimizer_names(runs) == "SGD")]
    shared = rows.groupby("learning_rate")["batch_size"].transform("nunique")
    return rows[shared == shared.max()]


def best_by_batch(runs):
    """Return one line a batch size: its best learning rate on validation, and whether it is at the grid's edge."""
    best = {size: best_settings(rows) for size, rows in batch_grid(runs).groupby("batch_size")}
    return pd.DataFrame.from_dict(best, orient="index").rename_axis("batch_size").reset_index()


def by_factor(runs):
    """Return the fresh rows of `confirm`, named in `rate`: the best rate, a hundredth and a hundred times that."""
    fresh = runs[runs["seed"].isin(FRESH)]
    tried, words = sorted(fresh["learning_rate"].unique()), ("best / 100", "best", "best × 100")
    names = {rate: f"{rate:g} ({word})" for rate, word in zip(tried, words, strict=True)}
    return fresh.assign(rate=pd.Categorical(fresh["learning_rate"].map(names), names.values()))


def basin(runs, width=0.01):
    """Measure how forgiving a sweep is.

    Args:
        runs: DataFrame, the tuning rows of one network, `optimizer` in words.
        width: Float, accuracy lost against the best that still counts as good.
    Returns:
        DataFrame: by optimizer the best learning rate, its mean validation accuracy, the lowest and highest rate tried
        whose mean is within `width` of it, and `decades` between them.
    """
    means = runs.groupby(["optimizer", "learning_rate"])["val_accuracy"].mean().reset_index()
    best = means.loc[means.groupby("optimizer")["val_accuracy"].idxmax()].set_index("optimizer")
    good = means[means["val_accuracy"] >= means["optimizer"].map(best["val_accuracy"]) - width]
    span = good.groupby("optimizer")["learning_rate"].agg(lowest="min", highest="max")
    return best.join(span).assign(decades=np.log10(span["highest"] / span["lowest"])).reset_index()


def figures(runs, history):
    """Validation accuracy against learning rate for both networks, over epochs, and against rate and batch size."""
    by_network = sweeps(runs)
    lines = history.merge(by_factor(runs)[["run_id", "rate", "seed"]], on="run_id")
    return {
        "sweep_lenet5": plots.plot_sweep(by_network["lenet5_modern"], hue="optimizer", chance=0.1),
        "sweep_caffe_quick": plots.plot_sweep(by_network["caffe_quick"], hue="optimizer", chance=0.1),
        "too_small_too_big": plots.plot_curves(lines, metric="accuracy", hue="rate"),
        "batch_size": plot_batch_grid(runs),
    }


def plot_batch_grid(runs):
    """Plot accuracy by rate and batch size, a ring at each size's best rate, and a line of rates in proportion to it.

    Args:
        runs: DataFrame, the experiment's rows.
    Returns:
        `matplotlib.axes.Axes`. The line's constant is the geometric mean of best rate / batch size.
    """
    cells, best = batch_grid(runs), best_by_batch(runs)
    ax = plots.plot_heatmap(cells, x="learning_rate", y="batch_size")
    ax.autoscale(False)
    sizes = np.array([cells["batch_size"].min(), cells["batch_size"].max()])
    constant = np.exp(np.log(best["learning_rate"] / best["batch_size"]).mean())
    line = {"color": MARK, "linestyle": "--", "linewidth": 1.5}
    ax.plot(_places(constant * sizes, cells["learning_rate"]), _places(sizes, cells["batch_size"]), **line)
    ring = {"marker": "o", "markersize": 26, "mfc": "none", "mec": MARK, "mew": 2, "linestyle": ""}
    ax.plot(*(_places(best[name], cells[name]) for name in ("learning_rate", "batch_size")), **ring)
    ax.set_title("ring: the best rate; dashed: rate ∝ batch size", fontsize="small", loc="left")
    return ax


def _places(values, grid):
    """Return where values stand on a heat map's axis, whose cells are one wide and evenly spaced on a log scale."""
    low, high = np.log(grid.min()), np.log(grid.max())
    return 0.5 + (np.log(values) - low) / (high - low) * (grid.nunique() - 1)


def table(runs):
    """The best rate of each network and optimizer, and the rates within one point of it."""
    return pd.concat([basin(rows).assign(model=model) for model, rows in sweeps(runs).items()])[
        ["model", "optimizer", "learning_rate", "val_accuracy", "lowest", "highest", "decades"]
    ]


def answer(runs):
    """Return the best rate of each optimizer and how wide its good rates are, for LeNet-5."""
    lines = basin(sweeps(runs)["lenet5_modern"]).set_index("optimizer").loc[list(OPTIMIZERS)]
    words = [f"{name} {line.learning_rate:g} ({line.decades:.1f})" for name, line in lines.iterrows()]
    return (
        f"It decides between chance and {lines['val_accuracy'].max():.1%}. Best for LeNet-5 on MNIST, and in brackets "
        f"how many decades stay within a point of it: {', '.join(words)}."
    )


def _claim(id, text, factor):
    plain = {"model": "lenet5_modern", "optimizer": "sgd", "optimizer_args": {}, "batch_size": 64}
    return Claim(
        id=id,
        ledger=42,
        text=text,
        source="popular articles; Goodfellow et al. 2016, sec. 11.4.1",
        experiment="learning_rate",
        better=plain,
        worse=plain,
        factor=factor,
        margin=0.001,
    )


EXPERIMENT = Experiment(
    name="learning_rate",
    question="How does accuracy depend on the learning rate, the optimizer and the batch size?",
    stages=(sweep_lenet5, batches, confirm, sweep_caffe_quick),
    figures=figures,
    table=table,
    notebook="07_learning_rate",
    answer=answer,
    claims=(
        _claim(
            "rate-too-small", "A learning rate a hundred times too small classifies worse after equal steps.", TOO_SMALL
        ),
        _claim("rate-too-big", "A learning rate a hundred times too big classifies worse: it diverges.", TOO_BIG),
    ),
)
