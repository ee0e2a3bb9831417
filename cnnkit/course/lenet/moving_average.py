"""Does it help to evaluate a moving average of the weights?

Run:     python -m cnnkit sweep moving_average --profile full
Expect:  about 98% on MNIST from 10,000 images; a quarter of an hour of one core.
Before:  0.1 compared runs at separately tuned rates; two of eight collapsed at 0.4, chosen over 0.2 by 0.06 points, and
         entered the interval as zeros. It was redesigned on the seeds it was judged by: hence block 2. Average and last
         weights are now read from one run, so that nothing else differs; their difference cannot be planned from tuning
         runs' scores, so that ten seeds are set.
"""

from cnnkit import plots
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig
from cnnkit.lab import store

MARGIN = 0.002
MOMENTUM = 0.99  # the average reaches back about 100 updates, two thirds of an epoch here
ARMS = {"constant rate": {}, "falling rate": {"schedule": "cosine"}}
METRIC = ("test_accuracy", "raw_test_accuracy")
TEXT = "A moving average of the weights classifies better than the last weights"
SOURCE = "popular articles; Izmailov et al. 2018 for stochastic weight averaging"

weights = Comparison(
    RunConfig(dataset="mnist", train_size=10_000, batch_size=64, epochs=15, ema=MOMENTUM),
    by="rate",
    arms=ARMS,
    rates=(0.02, 0.04, 0.08, 0.16, 0.32),
    claims=tuple(
        Claim(f"moving-average-{schedule}", f"{TEXT} ({arm}).", arm, arm, SOURCE, MARGIN, METRIC, ledger=57)
        for schedule, arm in zip(("constant", "cosine"), ARMS, strict=True)
    ),
    control="falling rate",
    block=2,
    seeds=10,
    level=0.98,
)


def plot_gain(found):
    """Return what the average gains over the last weights of the same run, by rate."""
    fresh = found.plans[""].of_role("fresh")
    gains = fresh.assign(gain=fresh["test_accuracy"] - fresh["raw_test_accuracy"])
    table = store.summarise(gains, "arm", "gain").rename(columns={"mean": "effect"}).assign(margin=MARGIN)
    return {"gain": plots.plot_intervals(table, y="arm", x="effect", metric="test_accuracy", reference=0)}


def answer(found):
    """Return how much the average gains where it gains most."""
    fresh = found.plans[""].of_role("fresh")
    gain = 100 * (fresh["test_accuracy"] - fresh["raw_test_accuracy"]).groupby(fresh["arm"]).mean()
    return f"Averaged weights gain at most {gain.max():+.2f} points over the last ones ({gain.idxmax()})."


EXPERIMENT = Experiment(
    name="moving_average",
    question="Does it help to evaluate a moving average of the weights instead of the last ones?",
    full=weights,
    smoke=weights.small(2, 2, dataset="digits", train_size=None, batch_size=32, epochs=3),
    answer=answer,
    more_figures=plot_gain,
)
