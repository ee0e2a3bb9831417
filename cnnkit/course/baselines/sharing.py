"""Dense, locally connected and convolutional networks of equal parameter counts, and the same with permuted pixels.

Run:     python -m cnnkit sweep sharing --profile full
Expect:  on CIFAR-10 about 50% for the convolution, 49% locally connected, 37% dense, 39% softmax, and on permuted
         pixels 46%, 46%, 36% and 39%; an hour of one core.

If windows help because neighbouring pixels belong together, and shared weights because a pattern may lie anywhere, then
both must help less once the pixels stand in another order: a dense network cannot tell the two problems apart. What a
convolution keeps of its lead then is no locality; sharing also buys many units for few weights.
"""

import matplotlib.pyplot as plt
import numpy as np

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, Claim
from cnnkit.evidence.experiment import Experiment, at_best_rate, grid
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig
from cnnkit.plots.wording import tell_accuracy

# Widths for equal counts: 98,675, 98,682 and 98,691 parameters on CIFAR-10 (defaults), 54,900, 54,862 and 54,936 on
# MNIST's images; softmax cannot have so many, and is the floor: 30,730 and 7,850.
WIDTHS = {
    "cifar10": {"flat_softmax": {}, "dense_net": {}, "local_net": {}, "conv_net": {}},
    "mnist": {
        "flat_softmax": {},
        "dense_net": {"units": [64, 62]},
        "local_net": {"filters": [8, 12]},
        "conv_net": {"filters": [16, 138]},
    },
}
NAMES = {"flat_softmax": "softmax", "dense_net": "dense", "local_net": "local", "conv_net": "convolution"}
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # on CIFAR-10 a local network wants thirty times a dense one's
TUNING_SEEDS = (1, 2)
MARGINS = {"cifar10": 0.01, "mnist": 0.001}


def arms(profile):
    """Four networks, plain and permuted: SGD with momentum, batches of 64, ten epochs, a cosine for the rate."""
    base = RunConfig(train_size=10_000, optimizer_args={"momentum": 0.9}, schedule="cosine", batch_size=64, epochs=10)
    if profile == "smoke":
        base = base.replace(train_size=None, batch_size=32, epochs=4)
    return [
        base.replace(dataset=dataset, model=model, model_args=widths | ({"permuted": True} if permuted else {}))
        for dataset in (("cifar10", "mnist") if profile == "full" else ("digits",))
        for model, widths in WIDTHS["mnist" if profile == "smoke" else dataset].items()
        for permuted in (False, True)
    ]


def tried(profile):
    """Return the learning rates that every arm tries, and the seeds that choose among them."""
    return (RATES, TUNING_SEEDS) if profile == "full" else (RATES[2:3], (1,))


def tune(profile, runs):
    """Each arm at its own rates."""
    return grid(arms(profile), *tried(profile))


def confirm(profile, runs):
    """Each arm at its best rate with fresh seeds."""
    return at_best_rate(arms(profile), *tried(profile), runs, FRESH[: 5 if profile == "full" else 2])


def label(runs):
    """Add what the figures speak of: `network`, `pixels` (plain or permuted) and both together, `arm`."""
    permuted = runs["model_args"].str.contains('"permuted": true', regex=False)
    runs = runs.assign(network=runs["model"].map(NAMES), pixels=np.where(permuted, "permuted", "plain"))
    return runs.assign(arm=runs["network"] + ", " + runs["pixels"])


def figures(runs, history):
    """The rates tried and test accuracy, a figure a data set each."""
    drawn = {}
    for dataset, part in runs.groupby("dataset"):
        drawn[f"tuning_{dataset}"] = plot_tuning(part)
        drawn[f"accuracy_{dataset}"] = plot_accuracy(part)
    return drawn


def plot_tuning(runs):
    """Return a Figure of the learning rates that the networks tried on one data set, plain and permuted."""
    tuning = label(runs[~runs["seed"].isin(FRESH)])
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for ax, pixels in zip(axes, ("plain", "permuted"), strict=True):
        plots.plot_sweep(tuning[tuning["pixels"] == pixels], hue="network", ax=ax)
        ax.set_title(f"{tuning['dataset'].iloc[0]}, {pixels}", loc="right", fontsize="medium")
    axes[0].get_legend().remove()
    return figure


def plot_accuracy(runs, *, ax=None):
    """Plot the test accuracy of every network on one data set, plain and permuted."""
    order = list(NAMES.values())
    summary = table(runs).sort_values("pixels", ascending=False, kind="stable")  # plain before permuted
    summary = summary.sort_values("network", key=lambda names: names.map(order.index), kind="stable")
    summary["arm"] = summary["network"] + ", " + summary["pixels"]
    ax = plots.plot_intervals(summary, y="arm", metric="test_accuracy", hue="pixels", ax=ax)
    ax.set_title(summary["dataset"].iloc[0], loc="right", fontsize="medium")
    return ax


def table(runs):
    """Test accuracy by network and order of pixels over fresh seeds."""
    fresh = label(runs[runs["seed"].isin(FRESH)])
    by = ["dataset", "network", "pixels", "num_params", "learning_rate"]
    return store.summarise(fresh, by, "test_accuracy")


def answer(runs):
    """One sentence for the front page."""
    parts = []
    for dataset, lines in table(runs).groupby("dataset"):
        plain, permuted = (lines[lines["pixels"] == pixels].set_index("network") for pixels in ("plain", "permuted"))
        names = ["convolution", "local", "dense"]
        words = ", ".join(f"{name} {tell_accuracy(plain.loc[name])}" for name in names)
        cost = 100 * (plain["mean"] - permuted["mean"])[names]
        parts.append(f"{dataset} {words}, and permuting the pixels costs {', '.join(f'{c:.1f}' for c in cost)} points")
    return f"At equal parameter counts: {'; '.join(parts)}."


def _arm(dataset, model, permuted=False):
    return {
        "dataset": dataset,
        "model": model,
        "model_args": WIDTHS[dataset][model] | ({"permuted": True} if permuted else {}),
    }


def _claims(dataset):
    conv, local, dense = (_arm(dataset, model) for model in ("conv_net", "local_net", "dense_net"))
    mixed_conv, mixed_dense = (_arm(dataset, model, True) for model in ("conv_net", "dense_net"))
    where = f"On {dataset}, 10,000 images, equal parameters:"
    sentences = {
        "sharing": (f"{where} shared weights (convolution) beat local connections without sharing.", conv, local),
        "locality": (f"{where} local connections beat dense ones.", local, dense),
        "order": (f"{where} a convolution does better on pixels in place than on permuted ones.", conv, mixed_conv),
        "permuted": (f"{where} a convolution beats a dense network on permuted pixels.", mixed_conv, mixed_dense),
    }
    return [
        Claim(
            id=f"{name}-{dataset}",
            ledger=77,
            text=text,
            source="popular articles, after LeCun 1989 and Zhang et al. 2017",
            experiment="sharing",
            better=better,
            worse=worse,
            margin=MARGINS[dataset],
        )
        for name, (text, better, worse) in sentences.items()
    ]


EXPERIMENT = Experiment(
    name="sharing",
    question="At equal parameter counts, do local connections and shared weights help, and do they on permuted pixels?",
    stages=(tune, confirm),
    figures=figures,
    table=table,
    notebook="02_baselines",
    answer=answer,
    claims=(*_claims("cifar10"), *_claims("mnist")),
)
