"""The families at CIFAR size: at equal epochs, and at equal multiply-adds.

Run:     python -m cnnkit sweep families --profile full
Expect:  about 65% on 10,000 images of CIFAR-10 at half their resolution, flipped and shifted; 3½ hours of one core.

All are batch-normalized, also those whose papers were not, or one would compare that. Each has 20 epochs, or as many as
make its training cost what 20 epochs of GoogLeNet's plan do; its rate is then the one it had. Whole pictures cost four
times as much, and 15 epochs of them were far from enough (`precision`: the small VGG gains 3.9 points in 30).
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from cnnkit import anatomy, models, plots
from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, Times, doubled

NETWORKS = {
    "Caffe quick": {"model": "caffe_quick", "model_args": {"batch_norm": True}},
    "AlexNet": {"model": "alexnet_small", "model_args": {"batch_norm": True}},
    "VGG": {"model": "vgg_small"},
    "GoogLeNet": {"model": "inception_small"},
    "ResNet-20": {"model": "resnet20"},
    "SqueezeNet": {"model": "squeezenet_small"},
    "MobileNet": {"model": "mobilenet_small"},
}
BASE = RunConfig(dataset="halved:cifar10", train_size=10_000, batch_size=64, epochs=20, validate_every=10, **ONE_CYCLE)
BASE = BASE.replace(augmentation="flip+shift")
# 20 epochs of GoogLeNet's 4.9 million multiply-adds, in epochs of 3.1, 7.3, 9.7, 10.1, 8.4 and 4.1 million.
SAME_COST = {"Caffe quick": 32, "AlexNet": 13, "VGG": 10, "ResNet-20": 10, "SqueezeNet": 12, "MobileNet": 24}
LOW = 0.0125  # where the grids begin
IANDOLA = "popular articles; Iandola et al. 2016"
CLAIMS = (
    Claim("squeezenet-epochs", "At equal epochs SqueezeNet's plan is no worse than AlexNet's, a ninth of its size",
          "SqueezeNet, epochs", "AlexNet, epochs", IANDOLA, margin=-0.01, ledger=61),
    Claim("squeezenet-macs", "At equal multiply-adds (20 epochs of GoogLeNet's) SqueezeNet's is no worse than "
          "AlexNet's", "SqueezeNet, multiply-adds", "AlexNet, multiply-adds", IANDOLA, margin=-0.01, ledger=61),
    Claim("vgg-beats-alexnet", "VGG's plan beats AlexNet's at equal epochs", "VGG, epochs", "AlexNet, epochs", "ours"),
    Claim("googlenet-beats-vgg", "GoogLeNet's modules beat VGG's plan at equal epochs and half its multiply-adds",
          "GoogLeNet, epochs", "VGG, epochs", "ours"),
    Claim("mobilenet-macs", "At equal multiply-adds (20 epochs of GoogLeNet's) MobileNet's plan beats ResNet-20",
          "MobileNet, multiply-adds", "ResNet-20, multiply-adds", "ours"),
)  # fmt: skip


def compare(names, same_cost, claims):
    """Compare the networks of these names at 20 epochs, and those in `same_cost`, a dict to epochs, with as many."""
    arms = {f"{name}, epochs": NETWORKS[name] for name in names}
    for name, epochs in same_cost.items():
        same_rate = Times(f"{name}, epochs", 1.0)
        arms[f"{name}, multiply-adds"] = NETWORKS[name] | {"epochs": epochs, "learning_rate": same_rate}
    return Comparison(
        BASE,
        by="network, budget",
        arms=arms,
        rates={f"{name}, epochs": doubled(LOW if name in ("Caffe quick", "AlexNet") else 4 * LOW, 5) for name in names},
        claims=claims,
        where="(10,000 CIFAR-10 images at half their resolution, flipped and shifted)",
        margin=0.01,
        control="ResNet-20, epochs",
        tuned_with={"train_size": 4_000, "epochs": 8},
        seeds=8,
    )


SMALL = {"dataset": "digits", "train_size": 500, "batch_size": 32, "epochs": 1, "augmentation": None}


def sizes(name):
    """Return the trainable parameters and the multiply-adds of a network on pictures of 16×16×3."""
    fields = NETWORKS[name]
    model = models.sketch_model(fields["model"], (16, 16, 3), 10, **fields.get("model_args", {}))
    return sum(math.prod(weight.shape) for weight in model.trainable_weights), anatomy.totals(model).macs


def costs(found):
    """Return the table of `Findings` with `macs` a picture, `work` of a training in multiply-adds, core-`seconds`."""
    plan, lines = found.plans[""], found.table()
    arm = lines["network"] + ", " + lines["budget"]
    seconds = plan.of_role("fresh").groupby("arm")["train_seconds"].mean()
    macs = lines["network"].map({name: sizes(name)[1] for name in NETWORKS})
    work = 3 * macs * lines["epochs"] * plan.comparison.base.train_size  # forward, and twice that backward
    return lines.assign(macs=macs, work=work, seconds=arm.map(seconds))


def plot_pareto(found):
    """Return accuracy against parameters, multiply-adds and seconds, all networks that none beats in both joined."""
    lines = costs(found)
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), sharey=True, layout="constrained")
    labels = {"num_params": "Parameters", "work": "Multiply-adds of the training", "seconds": "Seconds of one core"}
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        for (budget, part), marker in zip(lines.groupby("budget", sort=False), "os", strict=False):
            bars = 100 * np.abs(part[["low", "high"]].sub(part["mean"], axis=0).T)
            ax.errorbar(part[column], 100 * part["mean"], yerr=bars, fmt=marker, capsize=2, label=f"equal {budget}")
        best = lines.sort_values(column)
        best = best[best["mean"] >= best["mean"].cummax()]
        ax.step(best[column], 100 * best["mean"], where="post", color="0.6", linewidth=1, zorder=0)
        for line in lines[lines["budget"] == "epochs"].itertuples():
            where = {"xytext": (4, -9), "textcoords": "offset points", "fontsize": 7}
            ax.annotate(line.network, (getattr(line, column), 100 * line.mean), **where)
        ax.set(xscale="log", xlabel=label)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(x=0.25)
    axes[0].set_ylabel(plots.style.label("test_accuracy"))
    axes[0].legend(frameon=False)
    sns.despine(figure)
    return {"pareto": figure}


def answer(found):
    """Return the best network, at whichever budget."""
    best = found.table().sort_values("mean").iloc[-1]
    return f"{best['network']} is best, {best['mean']:.1%}, with {best['num_params']:,.0f} parameters."


EXPERIMENT = Experiment(
    name="families",
    question="What are the families of networks worth at CIFAR size, at equal epochs and at equal multiply-adds?",
    full=compare(NETWORKS, SAME_COST, CLAIMS),
    smoke=compare(("AlexNet", "VGG", "ResNet-20"), {}, ()).small(**SMALL),
    answer=answer,
    more_figures=plot_pareto,
)
