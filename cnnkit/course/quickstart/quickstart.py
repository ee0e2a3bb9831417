"""LeNet-5 on handwritten digits: which learning rate, and how good with it?

Run:     python -m cnnkit sweep quickstart                   (smoke: digits, offline, about a minute)
         python -m cnnkit sweep quickstart --profile full    (MNIST, about 8 minutes of one core)
Expect:  full: learning rate 0.2, with it about 98.7% on MNIST; smoke: about 97% on digits.
"""

from cnnkit import plots
from cnnkit.evidence.claims import FRESH, best_settings
from cnnkit.evidence.experiment import Experiment, grid
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig
from cnnkit.plots.wording import tell_accuracy

LEARNING_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SMOKE_RATES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5)  # twice each: one seed would now and then choose a rate that collapses
BASE = {
    "smoke": RunConfig(dataset="digits", model="lenet5_modern", batch_size=32, epochs=15),
    "full": RunConfig(dataset="mnist", model="lenet5_modern", batch_size=64, epochs=3, train_size=10_000),
}


def sweep(profile, runs):
    """Twelve runs in smoke, six learning rates twice; in full twelve learning rates three times."""
    rates, seeds = (SMOKE_RATES, (1, 2)) if profile == "smoke" else (LEARNING_RATES, (1, 2, 3))
    return grid([BASE[profile]], rates, seeds)


def confirm(profile, runs):
    """The best learning rate on validation, with fresh seeds; in full on all of MNIST."""
    rate = best_settings(runs)["learning_rate"]
    base = BASE[profile] if profile == "smoke" else BASE[profile].replace(train_size=None, epochs=5)
    return [base.replace(learning_rate=rate, seed=seed) for seed in FRESH[: 3 if profile == "smoke" else 5]]


def figures(runs, history):
    """The sweep, and the learning curves of the confirmed runs: a line each where they are too few for a band."""
    fresh = runs[runs["seed"].isin(FRESH)]
    lines = history.merge(fresh[["run_id", "seed"]], on="run_id")
    return {
        "sweep": plots.plot_sweep(runs[~runs["seed"].isin(FRESH)], chance=0.1),
        "curves": plots.plot_curves(lines, hue="seed" if len(fresh) < 5 else None),
    }


def table(runs):
    """Mean test accuracy by learning rate: of the runs that chose it, and of those that confirm it."""
    runs = runs.assign(stage=runs["seed"].isin(FRESH).map({False: "choose", True: "confirm"}))
    return store.summarise(runs, ["stage", "dataset", "epochs", "learning_rate"], "test_accuracy")


def answer(runs):
    """Return the rate that won and what it reaches."""
    line = table(runs).query("stage == 'confirm'").iloc[0]
    return (
        f"Learning rate {line['learning_rate']:g}; with it {tell_accuracy(line)} of {line['dataset'].upper()}'s test "
        f"images; in brackets the 95% interval over {line['n']} seeds."
    )


EXPERIMENT = Experiment(
    name="quickstart",
    question="Which learning rate does LeNet-5 want, and how many digits does it then read?",
    stages=(sweep, confirm),
    figures=figures,
    table=table,
    notebook="00_quickstart",
    answer=answer,
)
