"""Does a larger batch classify better? At equal epochs or equal steps, at one rate or a tuned one: four answers.

Run:     python -m cnnkit sweep batch_size --profile full
Expect:  about 40% (one epoch of 16) to 60% (64 epochs of 1,024); 222 runs, two hours of one core.

`fixed` arms have the rate that was chosen for batches of 64 in the same part. A run of 256 has as many epochs as steps
allow in both parts, so that these share it.
"""

import matplotlib.pyplot as plt
import pandas as pd

from cnnkit import plots
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig, Times, by_split, doubled

IMAGES, STEPS, EPOCHS = 8192, 512, 16
LOWEST = {16: 0.0005, 64: 0.002, 256: 0.004, 1024: 0.008}  # where the grids of learning rates begin
EQUAL = {"epochs": "equal epochs", "steps": "equal steps"}
SAID = "popular articles; against them Keskar et al. 2016, Masters and Luschi 2018 (abstract)"


def batches(base, part, epochs, lowest, rates):
    """Return batch sizes at tuned rates, and at the rate of the second one; `epochs` and `lowest` are dicts by size."""
    small, middle, *_, large = epochs
    arms = {f"{size}, tuned": {"batch_size": size, "epochs": count} for size, count in epochs.items()}
    same = {"learning_rate": Times(f"{middle}, tuned", 1.0)}
    arms |= {f"{size}, fixed": arms[f"{size}, tuned"] | same for size in epochs if size != middle}
    budget = f"{EPOCHS} epochs" if part == "epochs" else f"{STEPS} steps"
    where = f"at {EQUAL[part]} ({budget}; three convolutions, {IMAGES:,} CIFAR-10 images at half their resolution)"
    found = []
    for rate, words in (("tuned", "each at its own rate"), ("fixed", f"all at the rate of {middle}")):
        pair = f"{large}, {rate}", f"{small}, {rate}", SAID
        text = f"A batch of {large:,} classifies better than one of {small} {where}, {words}."
        found.append(Claim(f"larger-batch-{part}-{rate}", text, *pair, ledger=39))
        text = f"A batch of {large:,} has a narrower gap from training to test than one of {small} {where}, {words}."
        found.append(Claim.of_gap(f"larger-batch-gap-{part}-{rate}", text, *pair, ledger=39))
    for word, size in (("small", small), ("large", large)):
        text = f"At the rate of {middle}, a batch of {size:,} is too {word}: it classifies worse {where}."
        found.append(Claim(f"batch-too-{word}-{part}", text, f"{middle}, tuned", f"{size}, fixed", ledger=40))
    return Comparison(
        base,
        by="batch, rate",
        arms=arms,
        rates={f"{size}, tuned": doubled(lowest[size], rates) for size in epochs},
        claims=tuple(found),
        margin=0.01,
        control=f"{middle}, tuned",
        seeds=10,
        longer_seeds=0,  # what equal epochs and equal steps do is the question
    )


SMALL = RunConfig(dataset="halved:digits", train_size=256, model="caffe_quick", optimizer_args={"momentum": 0.9})
BASE = SMALL.replace(dataset="halved:cifar10", train_size=IMAGES, schedule="one_cycle", validate_every=4)
FULL = {
    "epochs": batches(BASE, "epochs", dict.fromkeys(LOWEST, EPOCHS), LOWEST, rates=6),
    "steps": batches(BASE, "steps", {size: STEPS * size // IMAGES for size in LOWEST}, LOWEST | {16: 0.001}, rates=6),
}
SMOKE = {
    "epochs": batches(SMALL, "epochs", {8: 2, 16: 2, 64: 2}, {8: 0.004, 16: 0.008, 64: 0.016}, rates=2),
    "steps": batches(SMALL, "steps", {8: 1, 16: 2, 64: 8}, {8: 0.004, 16: 0.008, 64: 0.016}, rates=2),
}


def cells(found):
    """Return `accuracy` of fresh runs on training and test images: a line each; those of 64 stand for both rates."""
    tables = []
    for part, plan in found.plans.items():
        fresh = plan.of_role("fresh")
        shared = fresh[fresh["arm"] == plan.comparison.control].assign(rate="fixed")
        tables.append(pd.concat([fresh, shared]).assign(part=part))
    return by_split(pd.concat(tables))


def plot_cells(found):
    """Return the four panels: training and test accuracy by batch size."""
    lines = cells(found)
    figure, axes = plt.subplots(2, 2, figsize=(8.6, 6.4), sharex=True, sharey=True, layout="constrained")
    for row, rate in zip(axes, ("fixed", "tuned"), strict=True):
        for ax, part in zip(row, EQUAL, strict=True):
            chosen = lines[(lines["part"] == part) & (lines["rate"] == rate)]
            plots.plot_sweep(chosen, x="batch_size", y="accuracy", hue="images", ax=ax)
            ax.set(title=f"{EQUAL[part]}, {rate} rate", xlabel="", ylabel="")
            if ax is not axes[0, 1]:
                ax.get_legend().remove()
            for text in ax.texts[: None if ax is not axes[1, 0] else 0]:
                text.remove()
    figure.supxlabel("Batch size (images)", fontsize="medium")
    figure.supylabel("Accuracy (%)", fontsize="medium")
    return {"cells": figure}


EXPERIMENT = Experiment(
    name="batch_size",
    question="Does a larger batch classify better, at equal epochs or steps, at a fixed or a tuned rate?",
    full=FULL,
    smoke={part: comparison.small() for part, comparison in SMOKE.items()},
    answer="1,024 against 16, points at equal epochs (fixed, tuned rate) and steps: {larger-batch-epochs-fixed:+.1f}, "
    "{larger-batch-epochs-tuned:+.1f}; {larger-batch-steps-fixed:+.1f}, {larger-batch-steps-tuned:+.1f}.",
    more_figures=plot_cells,
)
