"""Learning curves: training and test accuracy against the number of images, and against the width of the network.

Run:     python -m cnnkit sweep learning_curves --profile full
Expect:  98% (perceptron) and 92% (linear) on MNIST from 50,000 images, about 60% on CIFAR-10 at half its resolution
         from 20,000, 40% from 2,000; 55 minutes of one core.

Nothing regularises: what overfits shall show it. Fewer images have more epochs, 12 to 40, so that each run is trained
out; the largest sets, and the widest network, take over the learning rate of what is next to them. Widths are of Keras'
old CIFAR-10 network at half its filters: 1 has 16, 16, 32 and 32 of them, and 256 dense units.
"""

from cnnkit import plots
from cnnkit.evidence.experiment import COSINE, Claim, Comparison, Experiment, RunConfig, Times, by_split, doubled

BASE = RunConfig(batch_size=50, validate_every=5, **COSINE)
FIRST = {"1/8": 0.004, "1/4": 0.004, "1/2": 0.004, "1": 0.0025, "2": 0.0025, "4": None}  # rates, where grids begin
WIDTHS = dict(zip(FIRST, (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2), strict=True))  # times the filters of the old network
NETWORKS = {"small": "1/4", "large": "2"}  # whose curves in data are drawn
EPOCHS = {"mnist": {500: 30, 2000: 30, 8000: 20, 50000: 12}, "cifar10": {500: 40, 2000: 30, 8000: 20, 20000: 15}}
PIXELS = "CIFAR-10 images at half their resolution"


def _wide(width):
    return {"model": "keras_cifar", "model_args": {"width": WIDTHS[width], "conv_dropout": 0.0, "dense_dropout": 0.0}}


def curves(base, networks, first, epochs, *sentences, **how):
    """Compare `networks` (dicts of fields by name) on the numbers of images of `epochs`, the most at the last rate."""
    *few, most = epochs
    arms = {
        f"{name}, {images}": fields | {"train_size": images, "epochs": epochs[images]}
        for name, fields in networks.items()
        for images in epochs
    }
    for name in networks:
        arms[f"{name}, {most}"]["learning_rate"] = Times(f"{name}, {few[-1]}", 1)
    rates = {f"{name}, {images}": doubled(first[name]) for name in networks for images in few}
    return Comparison(base, by="network, images", arms=arms, rates=rates, claims=sentences, **how)


def _claim(id, text, better, worse, margin, **how):
    return Claim(id, text, better, worse, margin=margin, **{"ledger": 79} | how)


mnist = curves(
    BASE.replace(dataset="mnist"),
    {"linear": {"model": "softmax"}, "perceptron": {"model": "mlp"}},
    {"linear": 0.0025, "perceptron": 0.01},
    EPOCHS["mnist"],
    _claim("images-against-underfitting", "A linear classifier, which underfits, learns its training images better if "
           "there are 50,000 instead of 8,000 (MNIST).", "linear, 50000", "linear, 8000", 0.002,
           metric="train_accuracy"),
    Claim.of_gap("images-against-overfitting", "The gap between training and test accuracy of a perceptron of 512 "
                 "units is narrower with 50,000 images than with 8,000 (MNIST).", "perceptron, 50000",
                 "perceptron, 8000", margin=0.002, ledger=79),
    _claim("images-for-which-mnist", "42,000 more images gain a perceptron, which overfits, more than a linear "
           "classifier (MNIST, 8,000 before).", "perceptron, 50000", "perceptron, 8000", 0.002, source="ours",
           beside=("linear, 50000", "linear, 8000")),
    control="perceptron, 8000",
    seeds=8,
)  # fmt: skip
cifar10 = curves(
    BASE.replace(dataset="halved:cifar10"),
    {name: _wide(width) for name, width in NETWORKS.items()},
    {name: FIRST[width] for name, width in NETWORKS.items()},
    EPOCHS["cifar10"],
    _claim("images-for-which-cifar10", f"12,000 more images gain a large network, which overfits, more than one of an "
           f"eighth of its filters ({PIXELS}, 8,000 before).", "large, 20000", "large, 8000", 0.01, source="ours",
           beside=("small, 20000", "small, 8000")),
    _claim("small-against-overfitting", f"On 500 images an eighth of the filters classifies better ({PIXELS}).",
           "small, 500", "large, 500", 0.01),
    _claim("images-or-weights", f"For the small network eight times the filters gain more than 12,000 more images "
           f"({PIXELS}, 8,000 before).", "large, 8000", "small, 20000", 0.01, source="ours"),
    control="large, 2000",
    seeds=6,
)  # fmt: skip
capacity = Comparison(
    BASE.replace(dataset="halved:cifar10", train_size=2_000, epochs=EPOCHS["cifar10"][2000]),
    by="width",
    arms={name: _wide(name) | ({} if first else {"learning_rate": Times("2", 0.5)}) for name, first in FIRST.items()},
    rates={name: doubled(first) for name, first in FIRST.items() if first} | {"1/2": doubled(0.002, 7)},
    claims=(
        _claim("wide-overfits", f"Four times the filters overfit, and so classify worse (2,000 {PIXELS}).",
               "1/2", "2", 0.01),
        Claim.of_gap("wide-gap", f"Four times the filters have a wider gap between training and test accuracy (2,000 "
                     f"{PIXELS}).", "1/2", "2", margin=0.01, ledger=79),
    ),
    control="1",
    seeds=6,
)  # fmt: skip


def plot_learning(found):
    """Return training and test accuracy against the images of each network, and against the width."""
    drawn = {}
    for part, plan in found.plans.items():
        x, fresh = plan.comparison.names[-1], plan.of_role("fresh")
        values = {"width": [2 * WIDTHS.get(name, 0) for name in fresh.get("width", ())], "images": fresh["train_size"]}
        both = by_split(fresh.assign(**{x: values[x]}), "line")
        if "network" in both:
            both["line"] = both["network"] + ", " + both["line"]
        drawn[f"learning_{part}"] = plots.plot_sweep(both, x=x, y="accuracy", hue="line")
        drawn[f"learning_{part}"].set(xlabel={"width": "Filters, times 16 and 32", "images": "Training images"}[x])
    return drawn


EXPERIMENT = Experiment(
    name="learning_curves",
    question="What do more images, and what do more weights do to training and test accuracy?",
    full={"mnist": mnist, "cifar10": cifar10, "capacity": capacity},
    smoke={
        "mnist": curves(
            BASE.replace(dataset="digits", batch_size=25),
            {"linear": {"model": "softmax"}, "perceptron": {"model": "mlp", "model_args": {"units": [64]}}},
            {"linear": 0.0025, "perceptron": 0.01},
            {100: 3, 400: 2, 1200: 2},
        ).small(seeds=2)
    },
    answer="Six times the images: {images-against-underfitting:+.1f} points of training accuracy where a network "
    "underfits, {images-against-overfitting:+.1f} of gap.",
    more_figures=plot_learning,
)
