"""Who finds good hyperparameters with the fewest epochs: chance, a Gaussian process, or early judgement?

Run:     python -m cnnkit search                  (smoke: digits, offline)
         python -m cnnkit search --profile full   (10,000 MNIST images; about an hour of one core)
Before:  0.1 gave all three algorithms one stream of proposals, so that they shared most of their runs and were equal by
         construction; each has its own now.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from cnnkit import plots
from cnnkit.evidence.experiment import Trials
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig
from cnnkit.lab.search import ALGORITHMS, Range, run_search

SPACE = {
    "learning_rate": Range(0.001, 3.0, log=True),
    "optimizer_args.momentum": Range(0.1, 0.99),
    "batch_size": [32, 64, 128, 256],
    "schedule": ["constant", "exponential", "cosine"],
}
BASE = {
    "smoke": RunConfig(dataset="digits", train_size=500, model="mlp", model_args={"units": [32]}, epochs=3),
    "full": RunConfig(dataset="mnist", train_size=10_000, model="mlp", model_args={"units": [128]}, epochs=9),
}
BUDGET = {"smoke": 27, "full": 180}  # epochs a search: full is 20 whole trials
SEEDS = {"smoke": (1, 2), "full": (1, 2, 3, 4, 5)}


def run(profile, client, refresh):
    """Every algorithm over the same space, with the same budget, from the same search seeds."""
    base, budget = BASE[profile], BUDGET[profile]
    how = {"experiment": "search", "base": base, "client": client, "refresh": refresh}
    searches = [(algorithm, seed) for seed in SEEDS[profile] for algorithm in ALGORITHMS]
    return pd.concat(
        [run_search(SPACE, algorithm, budget, seed=seed, **how) for algorithm, seed in searches], ignore_index=True
    )


def best_so_far(trials):
    """Return the best validation accuracy of each search after each tenth of the budget."""
    budget, curves = trials["spent"].max(), []
    for (algorithm, seed), search in trials.groupby(["algorithm", "search_seed"]):
        spent = np.linspace(0, budget, 11).round().astype(int)
        best = search.set_index("spent")["best"].reindex(spent, method="ffill")
        curves.append(pd.DataFrame({"algorithm": algorithm, "seed": seed, "epochs": spent, "best_val_accuracy": best}))
    return pd.concat(curves, ignore_index=True).dropna()


def plot_settings(trials):
    """Draw the validation accuracy of every whole trial against each hyperparameter."""
    whole = trials[trials["epochs"] == trials["epochs"].max()].drop_duplicates(["algorithm", "run_id"])
    whole = whole.assign(accuracy=100 * whole["score"])
    figure, axes = plt.subplots(1, len(SPACE), figsize=(12, 3.6), sharey=True, layout="constrained")
    look = {"hue": "algorithm", "hue_order": sorted(ALGORITHMS), "palette": "colorblind", "alpha": 0.7}
    for ax, (name, values) in zip(axes, SPACE.items(), strict=True):
        if isinstance(values, Range):
            sns.scatterplot(whole, x=name, y="accuracy", ax=ax, style="algorithm", legend=ax is axes[0], **look)
            ax.set_xscale("log" if values.log else "linear")
        else:  # jitter would be drawn anew in every figure
            sns.stripplot(whole, x=name, y="accuracy", ax=ax, dodge=True, jitter=False, legend=False, **look)
        ax.set(xlabel=name.split(".")[-1].replace("_", " ").capitalize(), ylabel="Validation accuracy (%)")
        sns.despine(ax=ax)
    handles, names = axes[0].get_legend_handles_labels()
    axes[0].get_legend().remove()
    figure.legend(handles, names, loc="outside right center", frameon=False)
    lost, epochs = whole["score"].isna().sum(), whole["epochs"].max()
    words = f"{len(whole)} trials of {epochs} epochs; {lost} of them diverged or failed, and are not drawn"
    figure.suptitle(words, fontsize=8, color="0.35")
    return figure


def draw(found):
    """Return the best accuracy found against the epochs spent, and where in the space it lies."""
    best = plots.plot_sweep(best_so_far(found.trials), x="epochs", y="best_val_accuracy", hue="algorithm", log_x=False)
    best.set(xlabel="Epochs spent by the search", ylabel="Best validation accuracy so far (%)")
    return {"best_so_far": best, "settings": plot_settings(found.trials)}


def tabulate(found):
    """Return the best validation accuracy by algorithm over search seeds; trials with those lost or repeated."""
    trials = found.trials.assign(lost=found.trials["score"].isna())
    counts = trials.groupby("algorithm").agg(
        trials=("trial", "size"), lost=("lost", "sum"), repeated=("repeated", "sum")
    )
    final = trials.groupby(["algorithm", "search_seed"], as_index=False).agg(best_val_accuracy=("best", "last"))
    summary = store.summarise(final, "algorithm", "best_val_accuracy")
    joined = summary.merge(counts, on="algorithm").sort_values("mean", ascending=False, ignore_index=True)
    joined.attrs = summary.attrs  # what was averaged
    return joined


def answer(found):
    """Return the best validation accuracies by algorithm."""
    table = tabulate(found)
    return f"{', '.join(f'{line.algorithm} {line.mean:.1%}' for line in table.itertuples())} (validation)."


EXPERIMENT = Trials(
    name="search",
    question="At an equal budget of epochs, which search finds the best setting: random, Bayesian or Hyperband?",
    run=run,
    tabulate=tabulate,
    draw=draw,
    answer=answer,
)
