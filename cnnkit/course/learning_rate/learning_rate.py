"""How big a step? Learning rates of three optimizers on two networks, a quarter and four times too much, batch sizes.

Run:     python -m cnnkit sweep learning_rate --profile full
Expect:  about 98% on MNIST from 10,000 images, about 57% on CIFAR-10 from 5,000; two hours of one core.
Before:  0.1 compared rates a hundred times too small and too big, which can hardly fail, at constant rates and ended on
         a small last batch; its heat map compared equal epochs. Now a factor of four, full batches and equal steps.
         When 8 of 20 fresh runs on MNIST had collapsed at four times the best rate, a claim on collapse was added for
         CIFAR-10, of which no fresh run had been trained.
"""

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from cnnkit import plots
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig, Times, doubled

OPTIMIZERS = {
    "SGD": {"optimizer": "sgd"},
    "momentum 0.9": {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9}},
    "Adam": {"optimizer": "adam"},
}
SCAN = {"SGD": 0.01, "momentum 0.9": 0.001, "Adam": 0.0001}  # where the grids begin
FACTORS = {"a quarter": 0.25, "fourfold": 4.0}
MARK = "#d55e00"  # a red that stands out from both ends of viridis


def optimizers(base, count, margin, where, collapse=()):
    """Each optimizer over `count` learning rates a factor of 2 apart, and momentum a factor of 4 beside its best."""
    best = "momentum 0.9, best"
    arms = {f"{name}, best": fields for name, fields in OPTIMIZERS.items()}
    for words, factor in FACTORS.items():
        arms[f"momentum 0.9, {words}"] = arms[best] | {"learning_rate": Times(best, factor)}

    def claim(id, text, worse, **how):
        said = "popular articles; Goodfellow et al. 2016, sec. 11.4.1"
        how = {"margin": margin, "ledger": 42, "source": said} | how
        return Claim(f"{id}-{base.dataset}", f"{text} {where}.", best, worse, **how)

    return Comparison(
        base,
        by="optimizer, rate",
        arms=arms,
        rates={f"{name}, best": doubled(first, count) for name, first in SCAN.items()},
        claims=(
            claim("rate-too-small", "A learning rate four times too small classifies worse", "momentum 0.9, a quarter"),
            claim("rate-too-big", "A learning rate four times too big classifies worse", "momentum 0.9, fourfold"),
            *(claim(*c, "momentum 0.9, fourfold", metric="collapsed", margin=0.1, source="ours") for c in collapse),
        ),
        control=best,
        block=2,
    )


lenet = optimizers(
    RunConfig(dataset="mnist", train_size=10_000, batch_size=64, epochs=10, schedule="cosine"),
    count=10,
    margin=0.002,
    where="(LeNet-5, 10,000 MNIST images)",
)
caffe = optimizers(
    RunConfig(dataset="cifar10", train_size=5_000, model="caffe_quick", batch_size=64, epochs=12, schedule="cosine"),
    count=7,
    margin=0.01,
    where="(three convolutions, 5,000 CIFAR-10 images)",
    collapse=[("rate-collapses", "At a learning rate four times too big more runs collapse")],
)
STEPS, IMAGES = 512, 8192
batches = Comparison(
    RunConfig(dataset="mnist", train_size=IMAGES, schedule="cosine"),
    by="batch",
    arms={str(size): {"batch_size": size, "epochs": STEPS * size // IMAGES} for size in (16, 64, 256, 1024)},
    rates=(0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    tuning_seeds=(1, 2, 3, 4),
    control="64",
    longer_seeds=0,  # equal steps are the question
)


def basin(tuning, width=0.01):
    """Measure how forgiving a sweep is: which rates lose at most `width` of accuracy against the best.

    Args:
        tuning: DataFrame of tuning rows, with `arm`.
    Returns:
        DataFrame: by arm the best `learning_rate` and its mean `val_score`, the `lowest` and `highest` rate tried whose
        mean is within `width` of it, and `decades` between them.
    """
    means = tuning.groupby(["arm", "learning_rate"])["val_score"].mean().reset_index()
    best = means.loc[means.groupby("arm")["val_score"].idxmax()].set_index("arm")
    good = means[means["val_score"] >= means["arm"].map(best["val_score"]) - width]
    span = good.groupby("arm")["learning_rate"].agg(lowest="min", highest="max")
    return best.join(span).assign(decades=np.log10(span["highest"] / span["lowest"])).reset_index()


def plot_batches(found):
    """Return accuracy by rate and batch size, with the chosen rates, and rates in proportion through their mean."""
    if "batches" not in found.plans:
        return {}
    plan = found.plans["batches"]
    cells, best = plan.of_role("tuning"), pd.DataFrame(plan.choices).T["learning_rate"].astype(float)
    sizes, rates = np.sort(cells["batch_size"].unique()), np.sort(cells["learning_rate"].unique())
    best.index = best.index.astype(int)
    ax = plots.plot_heatmap(cells, x="learning_rate", y="batch_size", values="val_score")
    constant = np.exp(np.log(best / best.index).mean())
    for size, rate in best.items():
        row, column = np.searchsorted(sizes, size), np.searchsorted(rates, 0.999 * rate)
        ax.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=MARK, linewidth=2, clip_on=False, zorder=3))
        place = 0.5 + np.log(constant * size / rates[0]) / np.log(rates[1] / rates[0])  # cells are evenly spaced in log
        marker = "<" if place < 0 else ">" if place > len(rates) else "^"
        ax.plot(np.clip(place, 0, len(rates)), row + 0.09, marker, color=MARK, mec="w", mew=0.7, ms=7, clip_on=False)
    ax.set_title("framed: the chosen rate; ▲: rate ∝ batch size (▶: beyond the grid)", fontsize="small", loc="left")
    return {"batch_size": ax}


def answer(found):
    """Return how far apart the rates may be that are good for the most forgiving optimizer of LeNet-5."""
    wide = basin(found.plans["mnist"].of_role("tuning")).set_index("arm")["decades"]
    name = wide.idxmax().removesuffix(", best")
    apart = f"{10 ** wide.max():.0f}-fold apart (the next: {10 ** wide.nlargest(2).iloc[-1]:.0f}-fold)"
    return f"{name} forgives most: rates {apart} lie within a point of its best."


EXPERIMENT = Experiment(
    name="learning_rate",
    question="How does accuracy depend on the learning rate, the optimizer and the batch size?",
    full={"mnist": lenet, "cifar10": caffe, "batches": batches},
    smoke={"digits": lenet.small(2, 2, dataset="digits", train_size=700, batch_size=32, epochs=3)},
    answer=answer,
    more_figures=plot_batches,
)
