"""Should the learning rate fall? Six schedules at equal steps; and low, high, and high then low.

Run:     python -m cnnkit sweep schedules --profile full
Expect:  about 45% on CIFAR-10 for LeNet-5 after five epochs of 10,000 images.
"""

import pandas as pd

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, Claim
from cnnkit.evidence.experiment import Experiment, at_best_rate, grid
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig
from cnnkit.plots.wording import tell_accuracy

SCHEDULES = ("constant", "step", "exponential", "polynomial", "cosine", "one_cycle")
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
LOW, HIGH = 0.002, 0.02
SEEDS = FRESH[:5]
# These five left every claim on decay open. They planned the number that decides, and are not among it.
MORE_SEEDS = FRESH[5:20]
RECIPE = {"optimizer_args": {"momentum": 0.9}, "batch_size": 64}
DROP = {"schedule": "step", "schedule_args": {"at": [0.5]}}  # half way, HIGH falls to LOW


def base(profile):
    """LeNet-5 with momentum on 10,000 CIFAR-10 images, five epochs; in smoke a small dense network on 700 digits."""
    if profile == "smoke":
        return RunConfig(dataset="digits", train_size=700, model="mlp", epochs=4, **RECIPE)
    return RunConfig(dataset="cifar10", train_size=10_000, epochs=5, **RECIPE)


def arms(profile):
    """One arm a schedule."""
    return [base(profile).replace(schedule=schedule) for schedule in SCHEDULES]


def rates(profile):
    return RATES if profile == "full" else RATES[2:3]


def tuning_seeds(profile):
    return (1, 2) if profile == "full" else (1,)


def tune(profile, runs):
    """Each schedule has its own learning rate."""
    return grid(arms(profile), rates(profile), tuning_seeds(profile))


def confirm(profile, runs):
    """Every schedule at its best rate; constant low, constant high, and high that drops to low. Fresh seeds."""
    seeds, more = (SEEDS, MORE_SEEDS) if profile == "full" else (SEEDS[:2], MORE_SEEDS[:2])
    best = at_best_rate(arms(profile), rates(profile), tuning_seeds(profile), runs, more)
    return [*best, *grid([base(profile)], [LOW, HIGH], seeds), *grid([base(profile).replace(**DROP)], [HIGH], seeds)]


def three_rates(runs):
    """Return the fresh rows of the low, the high and the falling rate, named in `rate`."""
    fresh = runs[runs["seed"].isin(FRESH)]
    drop = fresh["schedule_args"].str.contains("at")
    constant = fresh["schedule"] == "constant"
    names = {f"low, {LOW:g}": constant & (fresh["learning_rate"] == LOW)}
    names |= {f"high, {HIGH:g}": constant & (fresh["learning_rate"] == HIGH), "high, then low after half": drop}
    return pd.concat([fresh[rows].assign(rate=name) for name, rows in names.items()])


def by_schedule(runs):
    """Return the fresh rows of the six schedules, each at its best rate."""
    fresh = runs[runs["seed"].isin(FRESH) & (runs["schedule_args"] == "{}")]
    fixed = (fresh["schedule"] == "constant") & fresh["learning_rate"].isin([LOW, HIGH])
    return fresh[~fixed]


def figures(runs, history):
    """Tuning, accuracy by schedule, and the curves of low, high, and high then low."""
    best_first = table(runs).sort_values("mean", ascending=False)
    lines = history.merge(three_rates(runs)[["run_id", "rate", "seed"]], on="run_id")
    return {
        "tuning": plots.plot_sweep(runs[~runs["seed"].isin(FRESH)], hue="schedule", chance=0.1),
        "accuracy": plots.plot_intervals(best_first, y="schedule", metric="test_accuracy"),
        "low_high": plots.plot_curves(lines, metric="loss", hue="rate"),
    }


def table(runs):
    """Test accuracy by schedule over fresh seeds."""
    return store.summarise(by_schedule(runs), ["schedule", "learning_rate"], "test_accuracy")


def answer(runs):
    """Return the best schedule beside the constant rate, each at its best rate."""
    lines = table(runs).set_index("schedule")
    best = lines["mean"].idxmax()
    return (
        f"On CIFAR-10 after equal steps the constant rate reaches {tell_accuracy(lines.loc['constant'])}, the best "
        f"schedule, {best.replace('_', '-')}, {tell_accuracy(lines.loc[best])}."
    )


def _decay_claim(schedule, words):
    return Claim(
        id=f"decay-{schedule.replace('_', '-')}",
        ledger=44,
        text=f"A learning rate that falls ({words}) classifies better than a constant one after equal steps.",
        source="popular articles; He et al. 2015, Loshchilov and Hutter 2016, Smith 2018 use such schedules",
        experiment="schedules",
        better={"schedule": schedule, "schedule_args": {}},
        worse={"schedule": "constant", "schedule_args": {}},
        margin=0.01,
    )


def _trap_claim(id, text, better, worse):
    return Claim(
        id=id,
        ledger=43,
        text=text,
        source="popular articles (high rates are said to fall into local minima); Smith 2018 for annealing",
        experiment="schedules",
        better=better,
        worse=worse,
        metric="train_loss",
        lower_is_better=True,
        margin=0.02,
        tuned=None,
    )


_low = {"schedule": "constant", "learning_rate": LOW}
_high = {"schedule": "constant", "learning_rate": HIGH}
_falling = {**DROP, "learning_rate": HIGH}

EXPERIMENT = Experiment(
    name="schedules",
    question="Should the learning rate fall during training, and how?",
    stages=(tune, confirm),
    figures=figures,
    table=table,
    notebook="07_learning_rate",
    answer=answer,
    claims=(
        _decay_claim("step", "in two steps"),
        _decay_claim("exponential", "exponentially"),
        _decay_claim("polynomial", "linearly"),
        _decay_claim("cosine", "as a cosine"),
        _decay_claim("one_cycle", "after a rise, one cycle"),
        _trap_claim(
            "low-avoids-traps",
            "A low rate ends at a lower training loss than a high one, which falls into local minima.",
            _low,
            _high,
        ),
        _trap_claim(
            "high-then-low", "High, then low ends at a lower training loss than low throughout.", _falling, _low
        ),
        _trap_claim(
            "drop-settles", "High, then low ends at a lower training loss than high throughout.", _falling, _high
        ),
    ),
)
