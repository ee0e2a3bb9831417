"""Who finds good hyperparameters with the fewest epochs: chance, a Gaussian process, or early judgement?

Run:     python -m cnnkit search                  (smoke: digits, offline, one training seed)
         python -m cnnkit search --profile full   (10,000 MNIST images; about three hours of one core)
Score:   of a trial, the mean over three training seeds of the validation score, itself a mean over two epochs.
Before:  0.1 gave the oracles of all three algorithms one seed, so that they shared most proposals and were equal by
         construction; each has a stream of its own now. And it took the best of twenty trials, each by the best epoch
         of one training seed: that is a maximum over noise, not the quality of a setting.
"""

import numpy as np
import pandas as pd

from cnnkit import plots
from cnnkit.evidence.experiment import RunConfig, Trials
from cnnkit.lab import store
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
TRAINING_SEEDS = {"smoke": (1,), "full": (1, 2, 3)}
BUDGET = {"smoke": 27, "full": 540}  # epochs a search: full is 20 whole trials of three runs
SEARCH_SEEDS = {"smoke": (1, 2), "full": (1, 2, 3, 4, 5)}


def run(profile, client, refresh):
    """Every algorithm over the same space, with the same budget, from the same search seeds."""
    how = {"experiment": "search", "base": BASE[profile], "seeds": TRAINING_SEEDS[profile]}
    how |= {"client": client, "refresh": refresh}
    searches = [(algorithm, seed) for seed in SEARCH_SEEDS[profile] for algorithm in ALGORITHMS]
    tables = [run_search(SPACE, algorithm, BUDGET[profile], seed=seed, **how) for algorithm, seed in searches]
    return pd.concat(tables, ignore_index=True)


def best_so_far(trials):
    """Return the best validation score of each search after each tenth of the budget."""
    spent = np.linspace(0, trials["spent"].max(), 11).round().astype(int)
    best = trials.pivot(index="spent", columns=["algorithm", "search_seed"], values="best").ffill()
    best = best.reindex(spent, method="ffill").rename_axis(index="epochs", columns=["algorithm", "seed"])
    return best.unstack().rename("val_score").reset_index().dropna()


def draw(found):
    """Return the best score found against the epochs spent, and where in the space it lies."""
    how = {"x": "epochs", "y": "val_score", "hue": "algorithm", "log_x": False, "error": True}
    best = plots.plot_sweep(best_so_far(found.trials), **how)
    best.set(xlabel="Epochs spent by the search", ylabel="Validation error of the best so far (%)")
    if (errors := 1 - best_so_far(found.trials)["val_score"]).max() > (top := 4 * errors.min()):
        best.set_ylim(0.8 * errors.min(), top)
        best.text(0.02, 0.98, f"▲ up to {errors.max():.0%}", transform=best.transAxes, va="top", fontsize="small")
    return {"best_so_far": best, "settings": plots.plot_trials(found.trials, list(SPACE))}


def tabulate(found):
    """Return the best validation score by algorithm over search seeds; trials with those lost or repeated."""
    trials = found.trials.assign(lost=found.trials["score"].isna())
    counted = {"trials": ("trial", "size"), "lost": ("lost", "sum"), "repeated": ("repeated", "sum")}
    final = trials.groupby(["algorithm", "search_seed"], as_index=False).agg(val_score=("best", "last"), **counted)
    summary = store.summarise(final, "algorithm", "val_score")
    table = summary.merge(final.groupby("algorithm")[list(counted)].sum(), on="algorithm")
    table.attrs = summary.attrs  # what was averaged
    return table.sort_values("mean", ascending=False, ignore_index=True)


def answer(found):
    """Return the best validation scores by algorithm."""
    return f"{', '.join(f'{one.algorithm} {one.mean:.1%}' for one in tabulate(found).itertuples())} (validation score)."


EXPERIMENT = Trials(
    name="search",
    question="At an equal budget of epochs, which search finds the best setting: random, Bayesian or Hyperband?",
    run=run,
    tabulate=tabulate,
    draw=draw,
    answer=answer,
    seeds=TRAINING_SEEDS,
)
