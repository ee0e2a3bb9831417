"""ReLU, tanh and sigmoid: how long until three quarters of the training images are right? After figure 1 of the paper.

Run:     python -m cnnkit sweep relu --profile full
Expect:  ReLU and tanh in ten to twenty epochs of 5,000 CIFAR-10 images, sigmoid not in 40; an hour of one core.

The paper trained ReLU and tanh on all of CIFAR-10, each at a rate chosen to train as fast as possible, without
regularization, and read the training error. So here: the rate stays constant and is chosen by the training images that
are right after eight epochs, and the finished epochs' are counted in evaluation. Saturating units start from Glorot's
weights, ReLU from He's, and once from Glorot's, so that start and activation can be told apart.
"""

import pandas as pd

from cnnkit import plots
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig, doubled

TARGET = ("train_eval_accuracy", 0.75)


def _claim(id, text, worse, margin, metric="epochs"):
    source = "popular articles; Krizhevsky et al. 2012, sec. 3.1"
    return Claim(id, text, "relu", worse, source, margin, metric, TARGET, ratio=True)


def _arm(activation, start):
    return {"model_args": {"activation": activation, "kernel_initializer": start}}


HALF = "ReLU has 25% training error at least three times as soon as tanh, half of the paper's six"
activations = Comparison(
    RunConfig(
        dataset="cifar10",
        train_size=5_000,
        model="caffe_quick",
        optimizer_args={"momentum": 0.9},
        batch_size=64,
        epochs=40,
        log_training=True,
    ),
    by="activation",
    arms={
        "relu": _arm("relu", "he_normal"),
        "relu from Glorot's start": _arm("relu", "glorot_uniform"),
        "tanh": _arm("tanh", "glorot_uniform"),
        "sigmoid": _arm("sigmoid", "glorot_uniform"),
    },
    rates={
        **dict.fromkeys(("relu", "relu from Glorot's start"), doubled(0.00125)),
        **dict.fromkeys(("tanh", "sigmoid"), doubled(0.0025)),
    },
    where="(three convolutions, 5,000 CIFAR-10 images)",
    ledger=35,
    claims=(
        _claim("relu-before-tanh", "ReLU has 25% training error in fewer epochs than tanh", "tanh", 1.0),
        _claim("relu-half-of-six", HALF, "tanh", 3.0),
        _claim("relu-before-sigmoid", "ReLU has 25% training error in fewer epochs than sigmoid", "sigmoid", 1.0),
        _claim("relu-seconds", "ReLU has 25% training error in less time than tanh", "tanh", 1.0, metric="seconds"),
    ),
    score="train_accuracy",
    tuned_with={"epochs": 8},
    seeds=8,
    longer_seeds=0,  # the time until then is the question
)


def times(found):
    """Return one line a fresh run: `arm, seed, epochs`, and the first epoch that ended at the target as `reached`."""
    fresh = found.plans[""].of_role("fresh")
    return fresh[["arm", "seed", "epochs"]].assign(reached=claims.times_to(TARGET, fresh, found.history))


def plot_race(found):
    """Return the training error of the fresh runs by epoch, and the target as a line."""
    fresh = found.plans[""].of_role("fresh")[["run_id", "arm", "seed", "collapsed"]]
    lines = fresh.rename(columns={"arm": "activation"}).merge(found.history, on="run_id")
    lines["activation"] = pd.Categorical(lines["activation"], list(activations.arms))
    ax = plots.plot_curves(lines, metric=TARGET[0], hue="activation", error=True)
    ax.axhline(1 - TARGET[1], color="0.35", linestyle=":", linewidth=1)
    ax.text(0.5, 1 - TARGET[1], "the target", va="bottom", fontsize="small", color="0.35")
    ax.set_ylim(bottom=0.02)  # below are a few runs at their end
    return {"race": ax}


def answer(found):
    """Return the median epochs until the target; ReLU's from tanh's first weights, too."""
    reached = times(found).groupby("arm")["reached"].median().map("{:g}".format).replace("nan", "never")
    told = "Epochs to 25% training error, medians: tanh {tanh}, ReLU {relu} (from tanh's first weights {same}), "
    return (told + "sigmoid {sigmoid}.").format(**reached.rename({"relu from Glorot's start": "same"}))


EXPERIMENT = Experiment(
    name="relu",
    question="How much sooner than with tanh or sigmoid does a network with ReLU fit three quarters of its images?",
    full=activations,
    smoke=activations.small(dataset="digits", train_size=500, batch_size=32, epochs=3),
    answer=answer,
    more_figures=plot_race,
)
