"""Decay, L2 and a moving average on a two-layer network: which of the three earns its place?

Run:     python -m cnnkit sweep remedies --profile full
Expect:  94% to 97% on MNIST from 10,000 images; the average gains most, where the rate does not fall.
"""

import itertools

import pandas as pd

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, Claim
from cnnkit.evidence.experiment import Experiment, at_best_rate, grid
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig

MARGIN = 0.001  # a tenth of a percentage point
RATES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
TUNING_SEEDS = (1, 2)
PLAIN = {"schedule": "constant", "ema": None, "model_args": {}}
REMEDIES = {
    "decay": {"schedule": "exponential", "schedule_args": {"end": 0.01}},
    "L2": {"model_args": {"l2": 1e-4}},
    "average": {"ema": 0.99},
}


def arms(profile):
    """All eight combinations of the three, on one hidden layer of 512 units and 10,000 images."""
    base = RunConfig(dataset="mnist", train_size=10_000, model="mlp", batch_size=64, epochs=6)
    if profile == "smoke":
        base = base.replace(dataset="digits", train_size=500, epochs=1)
    corners = itertools.product((False, True), repeat=len(REMEDIES))
    return [base.replace(**_fields(itertools.compress(REMEDIES, corner))) for corner in corners]


def _fields(names):
    fields = {}
    for name in names:
        fields |= REMEDIES[name]
    return fields


def tried(profile):
    """Return the learning rates and the seeds that choose among them."""
    return (RATES, TUNING_SEEDS) if profile == "full" else (RATES[2:3], (1,))


def tune(profile, runs):
    """Each of the eight arms at its own learning rates."""
    return grid(arms(profile), *tried(profile))


def confirm(profile, runs):
    """Each arm at its best learning rate, fresh seeds."""
    return at_best_rate(arms(profile), *tried(profile), runs, FRESH[: 8 if profile == "full" else 2])


def switches(runs):
    """Return a frame of the three remedies, True where a row has them."""
    return pd.DataFrame(
        {
            "decay": runs["schedule"] == "exponential",
            "L2": runs["model_args"] != "{}",
            "average": runs["ema"].notna(),
        }
    )


def label(runs):
    """Return the remedies of each row, in words."""
    return [", ".join(itertools.compress(REMEDIES, row)) or "none" for row in switches(runs).to_numpy()]


def effects(runs):
    """Return the main effects and interactions of the 2³ factorial on test accuracy, one a line, with intervals.

    A remedy's effect is the mean of the four arms with it minus that of the four without; the interaction of two is
    half of how much the one's effect changes when the other is there. Each seed gives one value of each, hence n; a
    seed of which a run diverged gives none.
    """
    fresh = runs[runs["seed"].isin(FRESH)]
    signs = switches(fresh) * 2 - 1
    columns = {}
    for names in itertools.chain.from_iterable(itertools.combinations(REMEDIES, size) for size in (1, 2, 3)):
        # Four arms have the sign +1 and four -1: the signed sum over 4 is the difference of their means.
        columns[" × ".join(names)] = (
            (signs[list(names)].prod(axis=1) * fresh["test_accuracy"] / 4).groupby(fresh["seed"]).sum(min_count=8)
        )
    by_seed = pd.DataFrame(columns).melt(var_name="effect of", value_name="effect")
    summary = store.summarise(by_seed, "effect of", "effect").rename(columns={"mean": "effect"})
    return summary.set_index("effect of").loc[list(columns)].reset_index().assign(margin=MARGIN)


def figures(runs, history):
    """The learning rates tried, test accuracy of the eight combinations, and the effects of the factorial."""
    runs = runs.assign(remedies=label(runs))
    return {
        "tuning": plots.plot_sweep(runs[~runs["seed"].isin(FRESH)], hue="remedies"),
        "accuracy": plots.plot_intervals(table(runs).sort_values("mean"), y="remedies", metric="test_accuracy"),
        "effects": plots.plot_intervals(effects(runs), y="effect of", x="effect", metric="test_accuracy", reference=0),
    }


def table(runs):
    """Test accuracy by combination over fresh seeds."""
    runs = runs.assign(remedies=label(runs))
    return store.summarise(runs[runs["seed"].isin(FRESH)], ["remedies", "learning_rate"], "test_accuracy")


def answer(runs):
    """Return the main effect of each remedy."""
    lines = effects(runs).set_index("effect of")
    words = [f"{name} {100 * lines.loc[name, 'effect']:+.2f}" for name in REMEDIES]
    return f"On a two-layer network, in points of test accuracy: {', '.join(words)}."


def _claim(id, text, names):
    return Claim(
        id=id,
        ledger=58,
        text=text,
        source="popular articles, after a textbook's MNIST example",
        experiment="remedies",
        better=PLAIN | _fields(names),
        worse=PLAIN,
        margin=MARGIN,
    )


EXPERIMENT = Experiment(
    name="remedies",
    question="Of learning-rate decay, L2 and a moving average, which improves a two-layer network on MNIST?",
    stages=(tune, confirm),
    figures=figures,
    table=table,
    notebook="04_lenet",
    answer=answer,
    claims=(
        _claim(
            "remedy-decay", "Exponential decay of the learning rate improves a two-layer network on MNIST.", ["decay"]
        ),
        _claim("remedy-l2", "L2 regularization improves a two-layer network on MNIST.", ["L2"]),
        _claim("remedy-average", "A moving average of the weights improves a two-layer network on MNIST.", ["average"]),
        _claim("remedies-all", "Decay, L2 and moving average together improve it.", list(REMEDIES)),
    ),
)
