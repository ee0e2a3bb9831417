"""True labels and random ones: does a network that learns all its training images know anything?

Run:     python -m cnnkit sweep random_labels --profile full
Expect:  all of 1,000 training images of CIFAR-10 at half their resolution learnt, with either labels; of the test
         images 35% and 10%; 30 minutes of one core.

After Zhang et al. 2017. Random labels are dealt out once (`relabelled:`), so that they can be learnt by heart, in the
classes' shares; validation images got theirs in the same deal, the test set kept its own. The rate is the one with
which random labels are sooner at 95%, evaluated; true labels have the same, to be trained alike in all.
"""

import dataclasses

from cnnkit import plots
from cnnkit.evidence.experiment import COSINE, Claim, Comparison, Experiment, RunConfig, Times, doubled

WHERE = "(1,000 CIFAR-10 images at half their resolution, 150 epochs)"
CONVOLUTION = {"model": "keras_cifar", "model_args": {"conv_dropout": 0.0, "dense_dropout": 0.0}}
NETWORKS = {"perceptron": {"model": "mlp"}, "convolution": CONVOLUTION}
FIRST = {"perceptron": 0.002, "convolution": 0.0025}  # rates, where the grids begin
RANDOM = "relabelled:halved:cifar10"
TARGET = ("train_eval_accuracy", 0.95)
ZHANG = "popular articles; Zhang et al. 2017"
BASE = RunConfig(dataset=RANDOM, train_size=1_000, batch_size=50, epochs=150, log_training=True, **COSINE)


def _claim(id, network, text, better, worse, source=ZHANG, **how):
    arms = f"{network}, {better}", f"{network}, {worse}"
    return Claim(f"{id}-{network}", f"{text} {WHERE}.", *arms, source, ledger=73, **{"margin": 0.01} | how)


WHAT = {"perceptron": "A perceptron of 512 units", "convolution": "A network of four convolutions"}
labels = Comparison(
    BASE.replace(validate_every=50),
    by="network, labels",
    arms={f"{name}, random": fields for name, fields in NETWORKS.items()}
    | {
        f"{name}, true": fields | {"dataset": "halved:cifar10", "learning_rate": Times(f"{name}, random", 1)}
        for name, fields in NETWORKS.items()
    },
    rates={f"{name}, random": doubled(first) for name, first in FIRST.items()},
    claims=tuple(
        claim
        for name, what in WHAT.items()
        for claim in (
            _claim("random-labels-learnt", name, f"{what} learns random labels as well as true ones, give or take a "
                   "point of training accuracy", "random", "true", margin=-0.01, metric="train_accuracy"),
            _claim("random-labels-later", name, f"{what} has 95% of true labels right in less than half the epochs "
                   "that random ones take", "true", "random", metric="epochs", target=TARGET, ratio=True, margin=2.0),
        )
    ),
    control="perceptron, random",
    score=TARGET,
    seeds=6,
    longer_seeds=0,  # training images are all learnt: more epochs have nothing to add
)  # fmt: skip


def plot_fit(found):
    """Return the training accuracy by epoch, evaluated, of every network with either labels, until all are right."""
    plan = next(iter(found.plans.values()))
    lines = plan.of_role("fresh")[["run_id", "arm", "seed"]].merge(plan.history, on="run_id")
    ax = plots.plot_curves(lines, metric=TARGET[0], hue="arm")
    ax.set(xlim=(0, 2 + lines.loc[lines[TARGET[0]] < 0.999, "epoch"].max()), xlabel=f"Epoch, of {lines['epoch'].max()}")
    return {"fit": ax}


def answer(found):
    """Return training and test accuracy with either labels."""
    level = 100 * found.plans[""].of_role("fresh").groupby("labels")[["train_accuracy", "test_accuracy"]].mean()
    told = [f"{kind} labels {level.at[kind, 'train_accuracy']:.0f}% and {level.at[kind, 'test_accuracy']:.0f}%"
            for kind in ("true", "random")]  # fmt: skip
    return f"Right in training and test: {', '.join(told)}."


alone = {arm: fields for arm, fields in labels.arms.items() if arm.startswith("perceptron")}
small = dataclasses.replace(
    labels,
    arms=alone | {"perceptron, true": alone["perceptron, true"] | {"dataset": "digits"}},
    rates={"perceptron, random": labels.rates["perceptron, random"]},
    claims=(),
    score="train_accuracy",
)

EXPERIMENT = Experiment(
    name="random_labels",
    question="Does a network that has learnt all its training images know anything?",
    full=labels,
    smoke=small.small(seeds=2, dataset="relabelled:digits", train_size=200, batch_size=20, epochs=20),
    answer=answer,
    more_figures=plot_fit,
)
