"""Should the learning rate fall? Seven schedules at equal steps; and low, high, and high then low.

Run:     python -m cnnkit sweep schedules --profile full
Expect:  about 58% on CIFAR-10 for LeNet-5 from 20,000 images; two hours of one core.
Before:  0.1 trained for five epochs; its one SUPPORTED schedule was the only one with a warm-up, so that is an arm now,
         and losses of "low, high, high then low" were running means, whose sign an evaluation reversed.
"""

from cnnkit import plots
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig

SCHEDULES = {
    "step": "in two steps",
    "exponential": "exponentially",
    "polynomial": "linearly",
    "cosine": "as a cosine",
    "one_cycle": "after a rise, one cycle",
}
LOW, HIGH, BOTH = 0.002, 0.02, "high then low after half"
BASE = RunConfig(dataset="cifar10", train_size=20_000, optimizer_args={"momentum": 0.9}, batch_size=64, epochs=12)


def _decay_claim(schedule, words):
    return Claim(
        f"decay-{schedule.replace('_', '-')}",
        f"A learning rate that falls ({words}) classifies better than a constant one after equal steps.",
        better=schedule,
        worse="constant",
        source="popular articles; He et al. 2015, Loshchilov and Hutter 2016, Smith 2018 use such schedules",
        margin=0.01,
        ledger=44,
    )


def _trap_claim(id, better, worse, one, other):
    source = "ours, after Smith et al. 2018" if better == BOTH else "popular articles"
    how = {"metric": "train_loss", "lower_is_better": True, "margin": 0.02, "ledger": 43}
    return Claim(id, f"{one} ends at a lower training loss than {other}.", better, worse, source, **how)


schedules = Comparison(
    BASE,
    by="schedule",
    arms={"constant": {}, "warmup": {"schedule": "warmup"}, **{name: {"schedule": name} for name in SCHEDULES}},
    rates=(0.0025, 0.005, 0.01, 0.02, 0.04, 0.08),
    claims=tuple(_decay_claim(*pair) for pair in SCHEDULES.items()),
    control="one_cycle",
    block=2,
    looks=2,
)

traps = Comparison(
    BASE,
    by="rate",
    arms={
        "low": {"learning_rate": LOW},
        "high": {"learning_rate": HIGH},
        BOTH: {"learning_rate": HIGH, "schedule": "step", "schedule_args": {"at": [0.5], "drop": LOW / HIGH}},
    },
    claims=(
        _trap_claim("low-avoids-traps", "low", "high", "A low rate", "a high one, which falls into local minima"),
        _trap_claim("high-then-low", BOTH, "low", "High, then low", "low throughout"),
        _trap_claim("drop-settles", BOTH, "high", "High, then low", "high throughout"),
    ),
    block=2,
    seeds=8,
    longer_seeds=0,  # where the loss stands after these epochs is the question
)


def plot_losses(found):
    """Return the losses of low, high, and high then low over the epochs."""
    plan = next(plan for plan in found.plans.values() if plan.comparison.by == "rate")
    lines = plan.history.merge(plan.of_role("fresh")[["run_id", "arm", "seed"]], on="run_id")
    return {"low_high": plots.plot_curves(lines, metric="loss", hue="arm")}


def answer(found):
    """Return the best schedule beside the constant rate."""
    levels = found.table().query("part != 'traps'").set_index("schedule")["mean"]
    best = levels.idxmax()
    gain = 100 * (levels[best] - levels["constant"])
    return f"At equal steps the best schedule, {best.replace('_', '-')}, gains {gain:+.1f} points over a constant rate."


SMALL = {"dataset": "digits", "train_size": 700, "model": "mlp", "epochs": 2, "batch_size": 32}

EXPERIMENT = Experiment(
    name="schedules",
    question="Should the learning rate fall during training, and how?",
    full={"schedules": schedules, "traps": traps},
    smoke={"schedules": schedules.small(seeds=2, **SMALL), "traps": traps.small(2, 2, **SMALL)},
    answer=answer,
    more_figures=plot_losses,
)
