"""Decoupled weight decay and the learning rate: is 0 to 0.0001 the range, and does the best one depend on the rate?

Run:     python -m cnnkit sweep weight_decay --profile full
Expect:  about 42% alone on 3,000 images of CIFAR-10 at half their resolution; 35 minutes of one core.

Keras takes rate · decay of every weight away at a step, past the momentum. Papers' decays go through it, and with 0.9
are ten times as strong: their 0.0001 is 0.001 here. In 1,500 steps of a one-cycle rate of at most 0.02, which add up to
15, a decay of 0.1 by itself leaves exp(-1.5) = 22% of a weight: the grid goes beyond. Tuning runs are the heat map.
"""

from cnnkit import plots
from cnnkit.course.regularization._recipe import BASE, COMMON, RATES, SMALL, BestOf
from cnnkit.evidence.experiment import Claim, Experiment

RANGES = {"none": (0,), "in range": (0.0001, 0.001), "above": (0.01, 0.03, 0.1, 0.3, 1.0)}


def _arm(decay):
    return {"optimizer_args": {"momentum": 0.9, "weight_decay": float(decay)}} if decay else {}


decays = BestOf(
    BASE,
    by="range, decay",
    arms={f"{name}, {decay:g}": _arm(decay) for name, values in RANGES.items() for decay in values},
    groups=("above",),
    rates=RATES,
    ledger=52,
    claims=(
        Claim("decay-above-range", "A weight decay above 0.001, a paper's 0.0001, classifies better than one of 0.001",
              "above, best", "in range, 0.001", "ours; popular articles say that it is between 0 and 0.0001"),
        Claim("decay-paper-range", "A weight decay of 0.001, as strong as a paper's 0.0001, buys less than a point",
              "none, 0", "in range, 0.001", "ours", margin=-0.01),
        Claim("decay-improves", "Weight decay at its best strength improves accuracy", "above, best", "none, 0"),
        Claim.of_gap("decay-gap", "Weight decay at its best strength narrows the gap", "above, best", "none, 0"),
    ),
    control="above, 0.1",
    seeds=10,
    **COMMON,
)  # fmt: skip


def plot_map(found):
    """Return the validation accuracy of the tuning runs by decay and rate."""
    cells = found.plans[""].of_role("tuning").astype({"decay": float})
    ax = plots.plot_heatmap(cells, x="learning_rate", y="decay", values="val_score")
    ax.set_ylabel("Weight decay")
    return {"map": ax}


few = {arm: decays.arms[arm] for arm in ("in range, 0.001", "above, 0.1")}
EXPERIMENT = Experiment(
    name="weight_decay",
    question="How much decoupled weight decay, and does that depend on the learning rate?",
    full=decays,
    smoke=BestOf(BASE, "range, decay", few, RATES, decays.claims[:1], groups=("above",), **COMMON).small(**SMALL),
    answer="The best weight decay gains {decay-improves:+.1f} points over none, {decay-above-range:+.1f} over 0.001.",
    more_figures=plot_map,
)
