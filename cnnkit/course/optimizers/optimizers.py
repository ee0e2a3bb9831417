"""Nine optimizers, each at the best of six rates and at Keras' default, on MNIST and CIFAR-10.

Run:     python -m cnnkit sweep optimizers --profile full
Expect:  about 98% on MNIST from 10,000 images (45 minutes of one core), about 49% on CIFAR-10 from 2,500 at half size
         (100 minutes).

A short scan, of five or fewer epochs and one seed, said where the grids have to lie: Adadelta's best rates are above 1,
its default is 0.001. Ftrl did not learn at all: as Keras starts it, its first step replaces all weights by nearly 0,
and a rate that falls takes them to 0. With accumulators that start near 0 and a constant rate it learns as Adagrad
does; "Ftrl, default" has the constant rate, but Keras' accumulators. `learning_rate` has trained the MNIST arms of SGD,
momentum and Adam on seeds 101 to 170: hence block 3 there. The deviations of its pairs, 0.2 and 1.3 points, ask for 7
and 10 seeds; a claim of 1 point on CIFAR-10 gets 16. Rates for the claims on speed are chosen among the same tuning
runs, by the time to the target.
"""

import inspect

from cnnkit import plots
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig, doubled
from cnnkit.lab import recipes, store

OPTIMIZERS = {
    "SGD": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9}},
    "Nesterov": {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9, "nesterov": True}},
    "Adam": {"optimizer": "adam"},
    "AdamW": {"optimizer": "adamw"},
    "RMSProp": {"optimizer": "rmsprop"},
    "Adagrad": {"optimizer": "adagrad"},
    "Adadelta": {"optimizer": "adadelta"},
    "Ftrl": {"optimizer": "ftrl", "schedule": "constant"},
}
START = 1e-10  # of Ftrl's accumulators
TUNED = OPTIMIZERS | {"Ftrl": OPTIMIZERS["Ftrl"] | {"optimizer_args": {"initial_accumulator_value": START}}}
LOWEST = {  # of six rates, each twice the last
    "mnist": (0.02, 0.004, 0.004, 0.0005, 0.0005, 0.00025, 0.01, 0.8, 0.0025),
    "cifar10": (0.01, 0.002, 0.002, 0.0003, 0.0003, 0.000125, 0.004, 0.2, 0.0005),  # Adam's avoid 0.001, its default
}
GRIDS = {
    part: {f"{name}, tuned": doubled(low) for name, low in zip(OPTIMIZERS, lows, strict=True)}
    for part, lows in LOWEST.items()
}
LEVELS = {"mnist": (0.975, 0.98), "cifar10": (0.4, 0.45)}  # of validation accuracy; the first is the claims' target


def default_rate(name):
    """Return the learning rate that Keras takes for an optimizer when it is not told."""
    return inspect.signature(recipes.OPTIMIZERS[OPTIMIZERS[name]["optimizer"]]).parameters["learning_rate"].default


def compare(base, part, margin, where, **how):
    """Return the parts of a data set: all nine, tuned and at defaults; and three of them tuned to get there soonest."""
    arms = {f"{name}, tuned": fields for name, fields in TUNED.items()}
    arms |= {f"{name}, default": fields | {"learning_rate": default_rate(name)} for name, fields in OPTIMIZERS.items()}

    def claim(id, text, better, worse, *source, **how):
        return Claim(f"{id}-{part}", text, better, worse, *source, **how)

    def sooner(id, text, worse):
        how = {"metric": "steps", "target": ("val_accuracy", LEVELS[part][0]), "ratio": True, "margin": 1.0}
        text = f"Adam is sooner at {100 * LEVELS[part][0]:g}% of the validation images than {text}"
        return claim(f"adam-sooner-than-{id}", text, "Adam, tuned", worse, **how)

    common = {"by": "optimizer, rate", "where": where, "margin": margin, "ledger": 46, "seeds": 10, **how}
    final = Comparison(
        base,
        arms=arms,
        rates=GRIDS[part],
        claims=(
            claim("adam-beats-sgd", "Adam classifies better than plain SGD", "Adam, tuned", "SGD, tuned"),
            claim("adam-beats-momentum", "Adam classifies better than momentum 0.9", "Adam, tuned", "momentum, tuned"),
            claim("adam-needs-no-tuning", f"Adam at Keras' rate is at most {100 * margin:g} points below its best",
                  "Adam, default", "Adam, tuned", margin=-margin),
            Claim.of_gap(f"momentum-gap-{part}", "With momentum 0.9 training and test accuracy are closer than with "
                         "Adam", "momentum, tuned", "Adam, tuned", "Wilson et al. 2017 (read in other texts)"),
            claim("nesterov", "Nesterov's momentum classifies better than momentum", "Nesterov, tuned",
                  "momentum, tuned", "ours, after Sutskever et al. 2013", ledger=45),
        ),
        control="SGD, tuned",
        **common,
    )  # fmt: skip
    three = {f"{name}, tuned": OPTIMIZERS[name] for name in ("SGD", "momentum", "Adam")}
    speed = Comparison(
        base,
        arms=three,
        rates={arm: GRIDS[part][arm] for arm in three},
        claims=(
            sooner("sgd", "plain SGD", "SGD, tuned"),
            sooner("momentum", "momentum 0.9", "momentum, tuned"),
        ),
        score=("val_accuracy", LEVELS[part][0]),
        longer_seeds=0,  # when it gets there is the question
        **common,
    )
    return {part: final, f"{part}_speed": speed}


LENET = RunConfig(dataset="mnist", train_size=10_000, batch_size=64, epochs=10, schedule="cosine")
CAFFE = RunConfig(
    dataset="halved:cifar10", train_size=2_500, model="caffe_quick", batch_size=64, epochs=30, schedule="cosine"
)
WHERE = "(three convolutions, 2,500 CIFAR-10 images of 16×16)"
mnist = compare(LENET, "mnist", margin=0.002, where="(LeNet-5, 10,000 MNIST images)", level=0.98, block=3)
cifar10 = compare(CAFFE, "cifar10", margin=0.01, where=WHERE, seeds=16)


def scores(plan):
    """Return the test accuracies of the fresh runs: a line a seed, a column an arm."""
    return plan.of_role("fresh").pivot(index="seed", columns="arm", values="test_accuracy")


def shares(tuning, width=5):
    """Return which shares of the variance of `val_score` are the optimizer's, its rate's, and the seed's and the rest.

    `tuning` has a line a run: `optimizer, learning_rate, val_score`. Of each optimizer only the rates count that lie up
    to `width` places in its grid from that of the best mean. The three add up to 1.
    """
    mean = tuning.groupby(["optimizer", "learning_rate"])["val_score"].transform("mean")
    place = tuning.groupby("optimizer")["learning_rate"].rank("dense")
    best = tuning["optimizer"].map(place.groupby(tuning["optimizer"]).agg(lambda part: part[mean[part.index].idxmax()]))
    near = tuning[(place - best).abs() <= width]
    score = near["val_score"]
    own, cell = (
        score.groupby([near[name] for name in by]).transform("mean")
        for by in (["optimizer"], ["optimizer", "learning_rate"])
    )
    squares = [((a - b) ** 2).sum() for a, b in ((own, score.mean()), (cell, own), (score, cell))]
    return tuple(square / sum(squares) for square in squares)


def plot_ranks(found):
    """Return the mean rank of every arm over the seeds, 1 for the best, with its interval, by part."""
    drawn = {}
    for part, plan in found.plans.items():
        if not part.endswith("_speed"):
            ranks = scores(plan).rank(axis=1, ascending=False).melt(value_name="rank")
            table = store.summarise(ranks, "arm", "rank").sort_values("mean")
            drawn[f"ranks_{part}"] = plots.plot_intervals(table, y="arm", metric="rank")
    return drawn


def answer(found):
    """Return how far the nine lie apart on MNIST, tuned and at Keras' defaults."""
    means = found.plans["mnist"].of_role("fresh").groupby(["rate", "arm"])["test_accuracy"].mean() * 100
    levels = means.groupby("rate").agg(["min", "max"])
    spans = levels["max"] - levels["min"]
    return f"Nine optimizers differ by {spans['tuned']:.1f} points tuned, {spans['default']:.0f} at defaults (MNIST)."


EXPERIMENT = Experiment(
    name="optimizers",
    question="Which optimizer is best, sooner and in the end, tuned equally and at Keras' defaults?",
    full=mnist | cifar10,
    smoke={"digits": mnist["mnist"].small(dataset="digits", train_size=300, model="mlp", batch_size=32, epochs=2)},
    answer=answer,
    more_figures=plot_ranks,
)
