"""Does momentum teach a linear classifier faster? The smallest experiment with figures, a table and a claim."""

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, Claim
from cnnkit.evidence.experiment import Experiment
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig

MOMENTUM = {"momentum": 0.9}
BASE = RunConfig(dataset="digits", train_size=200, model="softmax", batch_size=50, epochs=2, learning_rate=0.02)


def plain(profile, runs):
    return [BASE.replace(seed=seed) for seed in FRESH[:2]]


def heavy(profile, runs):
    assert len(runs) == 2, "a stage is planned only when the one before is complete"
    return [BASE.replace(seed=seed, optimizer_args=MOMENTUM) for seed in FRESH[:2]]


def figures(runs, history):
    return {
        "accuracy": plots.plot_intervals(table(runs), y="optimizer_args", metric="test_accuracy"),
        "curves": plots.plot_curves(history.merge(runs[["run_id", "optimizer_args"]]), hue="optimizer_args"),
    }


def table(runs):
    return store.summarise(runs, ["optimizer_args"], "test_accuracy")


EXPERIMENT = Experiment(
    name="tiny",
    question="Does momentum teach a linear classifier faster?",
    stages=(plain, heavy),
    figures=figures,
    table=table,
    claims=(
        Claim(
            id="momentum-is-faster",
            ledger=45,
            text="Momentum reaches a higher accuracy in two epochs.",
            source="everybody",
            experiment="tiny",
            better={"optimizer_args": MOMENTUM},
            worse={"optimizer_args": {}},
            margin=0.001,
            tuned=None,
        ),
    ),
)
