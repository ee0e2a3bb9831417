"""LeNet-5 of 1998 and of today on all of MNIST: do they reach the error that was printed?

Run:     python -m cnnkit sweep lenet --profile full
Expect:  both about 1% test error, beside the 0.95% of LeCun et al. 1998.

The paper trained on all 60,000 images, one an update, with a step of its own for every weight; here a tenth of them is
held out for validation, and the two networks share one recipe, each with the learning rate that suits it.
"""

from cnnkit import plots, results
from cnnkit.claims import FRESH
from cnnkit.config import RunConfig
from cnnkit.experiments import Experiment, at_best_rate, grid

PAPER_ACCURACY = 0.9905  # LeCun et al. 1998, sec. III.B: 0.95% test error, without distorted training images
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def arms(profile, epochs):
    """Both networks with a learning rate that falls a hundredfold, batches of 64."""
    base = RunConfig(dataset="mnist", batch_size=64, epochs=epochs, schedule="exponential", schedule_args={"end": 0.01})
    if profile == "smoke":
        base = base.replace(dataset="digits")
    return [base.replace(model=model) for model in ("lenet5", "lenet5_modern")]


def tune(profile, runs):
    """Six learning rates each, at a shorter length."""
    return grid(arms(profile, 2), RATES)


def confirm(profile, runs):
    """Full length at the best learning rate, fresh seeds."""
    full, count = (8, 5) if profile == "full" else (6, 2)
    chosen = at_best_rate(arms(profile, 2), RATES, (1,), runs, FRESH[:count])
    return [config.replace(epochs=full) for config in chosen]


def figures(runs, history):
    """The learning rates tried, the accuracy of every epoch, and that on the test set beside the paper's (the line)."""
    fresh = runs["seed"].isin(FRESH)
    lines = history.merge(runs.loc[fresh, ["run_id", "model", "seed"]], on="run_id")
    return {
        "tuning": plots.plot_sweep(runs[~fresh], hue="model"),
        "curves": plots.plot_curves(lines, metric="accuracy", hue="model"),
        "accuracy": plots.plot_intervals(table(runs), y="model", metric="test_accuracy", reference=PAPER_ACCURACY),
    }


def table(runs):
    """Test accuracy of the two networks over fresh seeds."""
    fresh = runs[runs["seed"].isin(FRESH)]
    return results.summarise(fresh, ["model", "num_params", "learning_rate", "epochs"], "test_accuracy")


EXPERIMENT = Experiment(
    name="lenet",
    question="Do LeNet-5 of 1998 and LeNet-5 of today reach the error of the paper on MNIST?",
    stages=(tune, confirm),
    figures=figures,
    table=table,
)
