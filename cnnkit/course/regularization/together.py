"""Dropout, altered pictures and weight decay together: do they add up?

Run:     python -m cnnkit sweep together --profile full
Expect:  about 42% with none of them on 3,000 images of CIFAR-10 at half their resolution; 50 minutes of one core.

All eight sets of three remedies, 80 epochs each: what slows a network down needs more of them. The decay is the one
that validates best in `weight_decay`. Where two remedies do the same work, what one buys falls when the other is
there, so what each buys in every company comes before means.
"""

import functools

import pandas as pd

from cnnkit import plots
from cnnkit.course.lenet.remedies import corners, effects, name
from cnnkit.course.regularization._recipe import BASE, COMMON, RATES, SMALL, drop
from cnnkit.evidence.experiment import Claim, Comparison, Experiment
from cnnkit.lab import store

REMEDIES = {
    "dropout": drop(conv_dropout=0.25, dense_dropout=0.5),
    "pictures": {"augmentation": "flip+shift"},
    "decay": {"optimizer_args": {"momentum": 0.9, "weight_decay": 0.1}},
}
ARMS = {name(some): {k: v for one in some for k, v in REMEDIES[one].items()} for some in corners(REMEDIES)}
factorial = Comparison(
    BASE.replace(epochs=80),
    by="remedies",
    arms=ARMS,
    rates=RATES,
    ledger=56,
    claims=(
        Claim("together-beats-pictures", "Dropout, altered pictures and weight decay together beat altered pictures",
              name(REMEDIES), "pictures"),
        Claim("dropout-beside-pictures", "Dropout buys less where pictures are altered", "dropout", "none", "ours",
              beside=("dropout + pictures", "pictures"), ledger=49),
        Claim("decay-beside-pictures", "Weight decay buys less where pictures are altered", "decay", "none", "ours",
              beside=("pictures + decay", "pictures"), ledger=52),
        Claim("decay-beside-dropout", "Weight decay buys less where there is dropout", "decay", "none", "ours",
              beside=("dropout + decay", "dropout"), ledger=52),
        Claim.of_gap("together-gap", "All three together narrow the gap more than altered pictures alone",
                     name(REMEDIES), "pictures", "ours"),
    ),
    control=name(REMEDIES),
    tuned_with={"epochs": 20},
    seeds=8,
    **COMMON,
)  # fmt: skip
main_effects = functools.partial(effects, remedies=tuple(REMEDIES), margin=COMMON["margin"])


def simple_effects(found):
    """Return what each remedy buys beside each set of the others: `effect of, beside, effect, low, high, n, margin`."""
    fresh = found.plans[""].of_role("fresh").query("not collapsed")
    scores = fresh.pivot(index="seed", columns="arm", values="test_accuracy").reindex(columns=[*ARMS]).dropna()
    lines = []
    for one in REMEDIES:
        for others in corners([other for other in REMEDIES if other != one]):
            both = name([each for each in REMEDIES if each in (one, *others)])
            lines.append((one, name(others), *store.student_interval(scores[both] - scores[name(others)])))
    table = pd.DataFrame(lines, columns=["effect of", "beside", "effect", "low", "high"])
    return table.assign(n=len(scores), margin=COMMON["margin"])


def plot_effects(found):
    """Return what each remedy buys in each company, with intervals."""
    table = simple_effects(found)
    table["effect of"] += ", beside " + table["beside"]
    return {"effects": plots.plot_intervals(table, y="effect of", x="effect", metric="test_accuracy", reference=0)}


EXPERIMENT = Experiment(
    name="together",
    question="Do dropout, altered pictures and weight decay add up?",
    full=factorial,
    smoke=factorial.small(arms=("none", "decay"), **SMALL),
    answer="All three against altered pictures alone: {together-beats-pictures:+.1f} points; dropout buys "
    "{dropout-beside-pictures:.1f} less beside them.",
    more_figures=plot_effects,
)
