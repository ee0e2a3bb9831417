"""One linear layer on the pixels, taught by softmax cross-entropy or by the multiclass hinge: does the loss matter?

Run:     python -m cnnkit sweep linear --profile full
Expect:  about 92.5% on MNIST and 40% on CIFAR-10 with either; nine minutes of one core.

The scores are the same affine function of the pixels; only what is asked of them differs. The hinge is content once the
right class leads every other by 1; cross-entropy never is.
"""

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, Claim
from cnnkit.evidence.experiment import Experiment, at_best_rate, grid
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig
from cnnkit.plots.wording import tell_accuracy

LOSSES = ("crossentropy", "hinge")
SEEDS = FRESH[:5]
# The hinge adds up to nine wrong classes, so its gradient is larger and its rates are smaller.
RATES = {
    ("mnist", "crossentropy"): (0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    ("mnist", "hinge"): (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ("cifar10", "crossentropy"): (0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    ("cifar10", "hinge"): (0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    ("digits", "crossentropy"): (0.2, 0.5),
    ("digits", "hinge"): (0.02, 0.05),
}
MARGINS = {"mnist": 0.001, "cifar10": 0.005}


def arms(profile):
    """Both losses on all training images: plain SGD, batches of 128, five epochs, a rate that falls as a cosine."""
    datasets, size = (("mnist", "cifar10"), 128) if profile == "full" else (("digits",), 32)
    base = RunConfig(model="softmax", batch_size=size, epochs=5, schedule="cosine")
    return [base.replace(dataset=dataset, loss=loss) for dataset in datasets for loss in LOSSES]


def tune(profile, runs):
    """Each loss at its own rates on each data set."""
    return [config for arm in arms(profile) for config in grid([arm], RATES[arm.dataset, arm.loss])]


def confirm(profile, runs):
    """Each at its best rate with fresh seeds."""
    seeds = SEEDS if profile == "full" else SEEDS[:2]
    return [c for a in arms(profile) for c in at_best_rate([a], RATES[a.dataset, a.loss], (1,), runs, seeds)]


def figures(runs, history):
    """The rates tried, a figure a data set, and test accuracy."""
    names = sorted(set(runs["dataset"]))
    return {f"tuning_{name}": plot_tuning(runs, name) for name in names} | {"accuracy": plot_accuracy(runs)}


def plot_tuning(runs, dataset):
    """Plot the learning rates that both losses tried on one data set."""
    tuning = runs[(runs["dataset"] == dataset) & ~runs["seed"].isin(FRESH)]
    ax = plots.plot_sweep(tuning.rename(columns={"loss": "taught_by"}), hue="taught_by")  # "loss" would be in nats
    ax.set_title(dataset, loc="right", fontsize="medium")
    return ax


def plot_accuracy(runs):
    """Plot the test accuracy of both losses on every data set."""
    summary = table(runs)
    summary["arm"] = summary["dataset"] + ", " + summary["loss"]
    return plots.plot_intervals(summary, y="arm", metric="test_accuracy")


def table(runs):
    """Test accuracy by data set and loss over fresh seeds."""
    fresh = runs[runs["seed"].isin(FRESH)]
    return store.summarise(fresh, ["dataset", "loss", "learning_rate"], "test_accuracy")


def answer(runs):
    """One sentence for the front page."""
    lines = [f"{line.dataset} {line.loss} {tell_accuracy(line._asdict())}" for line in table(runs).itertuples()]
    return f"One linear layer on raw pixels: {', '.join(lines)}."


EXPERIMENT = Experiment(
    name="linear",
    question="Does a linear classifier of pixels do better with softmax cross-entropy or with the multiclass hinge?",
    stages=(tune, confirm),
    figures=figures,
    table=table,
    notebook="02_baselines",
    answer=answer,
    claims=tuple(
        Claim(
            id=f"softmax-beats-hinge-{dataset}",
            ledger=60,
            text=f"On {dataset} softmax cross-entropy teaches a linear layer better than the multiclass hinge "
            "(they are said to be comparable: within the margin).",
            source="Karpathy, CS231n notes, linear classification",
            experiment="linear",
            better={"dataset": dataset, "loss": "crossentropy"},
            worse={"dataset": dataset, "loss": "hinge"},
            margin=margin,
        )
        for dataset, margin in MARGINS.items()
    ),
)
