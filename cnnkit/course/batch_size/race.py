"""How long until a target loss, from batches of 8 to all images at once: counted in epochs, in steps and in seconds.

Run:     python -m cnnkit sweep race --profile full
Expect:  from four or five epochs of batches of 8 to about a hundred of all; 130 runs, 50 minutes of one core.

Every batch size has the constant rate that is soonest at the target, from a grid of its own. The target is a training
loss, evaluated after every epoch: who converges fastest is the question, and a validation loss has a floor that a large
batch at a constant rate may never pass. A small batch's time is rounded up to the next epoch. Seconds are of training
alone, on one thread: train it on a machine that does nothing else.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator

from cnnkit import plots
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig, doubled
from cnnkit.plots import style

UNITS = ("epochs", "steps", "seconds")
SHALLUE = "Shallue et al. 2018 (abstract)"
SAID = (  # id, sentence, the sooner arm, the later one, counted in, who says it
    ("mini-batch-seconds", "Batches of 128 are sooner at a target loss than all images at once, in seconds",
     "128", "all", "seconds", "popular articles"),
    ("mini-batch-epochs", "Batches of 128 need fewer epochs to a target loss than all images at once",
     "128", "all", "epochs", f"popular articles; {SHALLUE}"),
    ("full-batch-steps", "All images at once need at least a fifth fewer steps to a target loss than batches of 128",
     "all", "128", "steps", f"popular articles; {SHALLUE}"),
    ("tiny-batch-epochs", "Batches of 8 need fewer epochs to a target loss than batches of 128",
     "8", "128", "epochs", "popular articles: a larger batch needs more epochs"),
    ("tiny-batch-seconds", "Batches of 128 are sooner at a target loss than batches of 8, in seconds",
     "128", "8", "seconds", "popular articles: tens to hundreds are soonest"),
)  # fmt: skip
MARGINS = {"full-batch-steps": 1.25}  # its steps are counted singly, those of 128 rounded up to an epoch's 16


def race(base, target, epochs, lowest, rates):
    """Return batch sizes, each with its most epochs and `rates` learning rates, by their time to the target.

    Args:
        epochs, lowest: Dicts by batch size, of which the last is all images: most epochs, and the lowest learning rate.
    """
    arms = dict(zip([*map(str, epochs)][:-1] + ["all"], epochs, strict=True))
    where = f"(LeNet-5, {base.train_size:,} {base.dataset.upper()} images, momentum 0.9, each at its soonest rate)"
    how = {"target": target, "ratio": True, "ledger": 38}
    return Comparison(
        base,
        by="batch",
        arms={arm: {"batch_size": size, "epochs": epochs[size]} for arm, size in arms.items()},
        rates={arm: doubled(lowest[size], rates) for arm, size in arms.items()},
        claims=tuple(
            Claim(id, f"{text} {where}.", better, worse, source, MARGINS.get(id, 1.0), metric=unit, **how)
            for id, text, better, worse, unit, source in SAID
        ),
        control="128",
        score=target,
        seeds=8,
        longer_seeds=0,  # the time until then is the question
    )


full = race(
    RunConfig(dataset="mnist", train_size=2048, optimizer_args={"momentum": 0.9}, log_training=True, validate_every=10),
    target=("train_eval_loss", 0.05),
    epochs={8: 10, 32: 12, 128: 18, 512: 40, 2048: 160},
    lowest={8: 0.0005, 32: 0.00125, 128: 0.0025, 512: 0.005, 2048: 0.01},
    rates=6,
)
smoke = race(
    RunConfig(dataset="digits", train_size=512, optimizer_args={"momentum": 0.9}, log_training=True),
    target=("train_eval_loss", 2.0),
    epochs={8: 2, 128: 5, 512: 16},
    lowest={8: 0.01, 128: 0.02, 512: 0.02},
    rates=2,
)


def times(found):
    """Return one line a fresh run: `arm, batch_size, seed`, its `epochs, steps, seconds` to the target, and `reached`.

    A run that never got there has those of its end.
    """
    plan = found.plans[""]
    fresh = plan.of_role("fresh")
    first, end = (
        {unit: claims.times_to(target, fresh, plan.history, unit) for unit in UNITS}
        for target in (plan.comparison.score, None)
    )
    columns = {unit: first[unit].fillna(end[unit]) for unit in UNITS}
    return fresh[["arm", "batch_size", "seed"]].assign(**columns, reached=first["epochs"].notna())


def plot_times(found):
    """Return epochs, steps and seconds to the target by batch size; dotted: steps that fall as 1 / batch size."""
    lines = times(found)
    if not lines["reached"].any():
        return {}
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
    late = lines[~lines["reached"]]
    for ax, unit in zip(axes, UNITS, strict=True):
        plots.plot_sweep(lines[lines["reached"]], x="batch_size", y=unit, ax=ax)
        if len(late):
            ax.plot(late["batch_size"], late[unit], "^", color="C3", label="not there at its end")
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
        for text in ax.texts[ax is axes[1] :]:  # one caption is enough
            text.remove()
    sizes, steps = np.sort(lines["batch_size"].unique()), lines.groupby("batch_size")["steps"].median()
    axes[1].plot(sizes, steps.iloc[0] * sizes[0] / sizes, ":", color="0.35", label="perfect scaling")
    axes[1].legend(frameon=False)
    column, level = found.plans[""].comparison.score
    figure.suptitle(f"{style.label(column)}: {level:g}", fontsize="medium")
    return {"times": figure}


def answer(found):
    """Return the batch size that is soonest by each count."""
    means = times(found).query("reached").groupby("arm")[[*UNITS]].mean()
    if means.empty:
        return "No batch size reached the target."
    return f"Soonest in {', '.join(f'{unit}: {means[unit].idxmin()}' for unit in UNITS)}."


EXPERIMENT = Experiment(
    name="race",
    question="Which batch size is soonest at a target loss, counted in epochs, in steps and in seconds?",
    full=full,
    smoke=smoke.small(2, 2),
    answer=answer,
    more_figures=plot_times,
)
