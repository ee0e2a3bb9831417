"""Does it help to evaluate a moving average of the weights?

Run:     python -m cnnkit sweep moving_average --profile full
Expect:  about 98% on MNIST from 10,000 images; the average helps most where the learning rate does not fall.
"""

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, Claim
from cnnkit.evidence.experiment import Experiment, at_best_rate, grid
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig

RATES = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8)
MOMENTUM = 0.99  # the average reaches back about 100 updates, a third of an epoch here
DECAY = {"schedule": "exponential", "schedule_args": {"end": 0.01}}
TUNING_SEEDS = (1, 2, 3, 4)  # still too few: 0.4 under the falling rate passes all, and two of eight fresh ones fail


def arms(profile):
    """Raw and averaged weights, under a constant and a falling learning rate."""
    base = RunConfig(dataset="mnist", train_size=10_000, batch_size=32, epochs=5)
    if profile == "smoke":
        base = base.replace(dataset="digits", train_size=600, model="softmax", epochs=2)
    return [base.replace(ema=ema, **decay) for ema in (None, MOMENTUM) for decay in ({}, DECAY)]


def tune(profile, runs):
    """The learning rates for each of the four arms."""
    return grid(arms(profile), *tried(profile))


def tried(profile):
    """Return the learning rates and the seeds that choose among them."""
    return (RATES, TUNING_SEEDS) if profile == "full" else (RATES[2:3], (1,))


def confirm(profile, runs):
    """Each arm at its best learning rate, fresh seeds."""
    return at_best_rate(arms(profile), *tried(profile), runs, FRESH[: 8 if profile == "full" else 2])


def label(runs):
    """Return the arms' names, one a row."""
    average = runs["ema"].notna().map({True: "average", False: "raw"})
    return average + ", " + runs["schedule"].replace({"exponential": "falling rate", "constant": "constant rate"})


def figures(runs, history):
    """The learning rates tried, test accuracy by arm, and validation accuracy over the epochs."""
    runs = runs.assign(arm=label(runs))
    fresh = runs["seed"].isin(FRESH)
    lines = history.merge(runs.loc[fresh, ["run_id", "arm", "seed"]], on="run_id")
    return {
        "tuning": plots.plot_sweep(runs[~fresh], hue="arm"),
        "accuracy": plots.plot_intervals(table(runs), y="arm", metric="test_accuracy"),
        "curves": plots.plot_curves(lines, metric="val_accuracy", hue="arm"),
    }


def table(runs):
    """Test accuracy by arm over fresh seeds."""
    runs = runs.assign(arm=label(runs))
    return store.summarise(runs[runs["seed"].isin(FRESH)], ["arm", "learning_rate"], "test_accuracy")


def answer(runs):
    """Return how much the average gains under each schedule."""
    fresh = runs[runs["seed"].isin(FRESH)].assign(raw=lambda rows: rows["ema"].isna())
    pairs = fresh.pivot(index=["schedule", "seed"], columns="raw", values="test_accuracy")
    gain = 100 * (pairs[False] - pairs[True]).groupby("schedule").mean()
    return (
        f"A moving average of the weights changes test accuracy by {gain['constant']:+.2f} points under a constant "
        f"learning rate and by {gain['exponential']:+.2f} under a falling one."
    )


def _claim(schedule, words):
    return Claim(
        id=f"moving-average-{schedule}",
        ledger=57,
        text=f"A moving average of the weights classifies better than the weights themselves ({words}).",
        source="popular articles; Izmailov et al. 2018 for stochastic weight averaging",
        experiment="moving_average",
        better={"ema": MOMENTUM, "schedule": schedule},
        worse={"ema": None, "schedule": schedule},
        margin=0.001,
    )


EXPERIMENT = Experiment(
    name="moving_average",
    question="Does it help to evaluate a moving average of the weights instead of the last ones?",
    stages=(tune, confirm),
    figures=figures,
    table=table,
    notebook="04_lenet",
    answer=answer,
    claims=(
        _claim("constant", "constant learning rate"),
        _claim("exponential", "learning rate that falls a hundredfold"),
    ),
)
