"""Facts about dropout, penalties, weight decay and altered pictures. Ledger 49-52, 56."""

import itertools

import keras
import numpy as np
from keras import layers, ops, optimizers, regularizers

from cnnkit import models
from cnnkit.course.backprop.facts import autodiff
from cnnkit.course.convolution.facts import positions
from cnnkit.evidence.fact import Fact

SRIVASTAVA = "Srivastava et al. 2014, sec. 10"


def dropped_sums(x, rate):
    """All sums that dropout can make of `x`, as Keras scales, and their probabilities: two arrays `(2 ** len(x),)`."""
    kept = np.array(list(itertools.product((0, 1), repeat=len(x))))
    return kept @ np.asarray(x) / (1 - rate), np.prod(np.where(kept, 1 - rate, rate), axis=1)


def added_variance(x, rate):
    """The variance of these sums, of `x` that does not vary."""
    sums, chances = dropped_sums(x, rate)
    return (chances * sums**2).sum() - (chances * sums).sum() ** 2


def minimum(slope, penalty):
    """The whole multiple of 1/64 at which (w - slope)² / 2 + penalty(w) is least, for slopes in an array `(n,)`."""
    weights = np.arange(-192, 193) / 64
    return weights[((weights - np.reshape(slope, (-1, 1))) ** 2 / 2 + penalty(weights)).argmin(axis=1)]


def soft_threshold(slope, strength):
    """Move slopes by `strength` towards 0, and what would pass it to 0: there a parabola with L1 has its least."""
    return np.sign(slope) * np.maximum(np.abs(slope) - strength, 0)


def descend(optimizer, start, goal=None, penalty=None, steps=40):
    """Where weights stand after steps of Keras' optimizer down half their squared distances to `goal` + the penalty."""
    weights = keras.Variable(np.asarray(start), dtype="float64")

    def loss(w):
        distance = 0 * w if goal is None else w - goal
        return ops.sum(distance**2) / 2 + (0 if penalty is None else penalty(w))

    for _ in range(steps):
        optimizer.apply([ops.convert_to_tensor(autodiff(loss, weights.numpy())[0])], [weights])
    return weights.numpy()


def differ(make):
    """How many of eight weights end elsewhere by decay than by an L2 of half as much; `make(decay)` is an optimizer."""
    start, goal = np.linspace(-1, 1, 8), np.linspace(0.5, 2, 8)
    decayed = descend(make(0.5), start, goal)
    return (np.abs(descend(make(None), start, goal, regularizers.L2(0.25)) - decayed) > 1e-6).sum()


def pull_through_momentum(momentum=0.9, decay=2**-14, steps=100):
    """How many times as far L2 of half a decay moves a weight at its last step as the decay itself, which passes it."""

    def last_step(optimizer, penalty=None):
        before, after = (descend(optimizer(), [1.0], None, penalty, count)[0] for count in (steps - 1, steps))
        return before - after

    rate = 2**-7
    coupled = last_step(lambda: optimizers.SGD(rate, momentum), penalty=regularizers.L2(decay / 2))
    return round(coupled / last_step(lambda: optimizers.SGD(rate, momentum, weight_decay=decay)), 1)


def decayed_biases():
    """How many biases of LeNet-5, all 1, a step of Keras' SGD with weight decay makes smaller, without any gradient."""
    network = models.create_model("lenet5_modern", (28, 28, 1), 10)
    biases = [weight for weight in network.trainable_variables if weight.name == "bias"]
    for bias in biases:
        bias.assign(ops.ones_like(bias))
    optimizers.SGD(0.1, weight_decay=0.1).apply([ops.zeros_like(bias) for bias in biases], biases)
    return sum(bool((bias.numpy() < 1).all()) for bias in biases)


SLOPES = np.arange(-32, 33) / 16
DOOMED = (np.arange(-8, 8) + 0.5) / 17  # weights that an L1 of 0.5 sets to 0
FACTS = [
    Fact("dropout-mean", 49, "Dropout that divides what it keeps by 1 - p leaves the mean of a sum as it is.",
         lambda: round(np.prod(dropped_sums(np.arange(9), 0.2), axis=0).sum() / 36, 9),
         "times the sum, p = 0.2, over all 512 masks", 1, source=SRIVASTAVA),
    Fact("dropout-variance", 49, "Dropout of a half leaves the variance of a sum as it is.",
         lambda: round(added_variance(np.ones(8), 0.5), 9), "is added to that of eight inputs of 1", 0,
         source="computed"),
    Fact("dropout-prediction", 49, "For predictions, Keras halves weights behind dropout of a half, as the paper does.",
         lambda: np.max(layers.Dropout(0.5)(np.ones((1, 8)), training=False)),
         "times: it doubles what it keeps in training, which the paper does not", 0.5,
         source="Srivastava et al. 2014, sec. 4"),
    Fact("l1-soft-threshold", 51,
         "On a parabola of curvature 1, L1 of λ moves a weight by λ towards 0, and what would pass 0 to 0.",
         lambda: (minimum(SLOPES, lambda w: np.abs(w) / 2) != soft_threshold(SLOPES, 0.5)).sum(),
         "of 65 weights end elsewhere", 0, source="Goodfellow et al. 2016, sec. 7.1.2"),
    Fact("l2-zeros", 51, "On a parabola of curvature 1, L2 makes small weights 0.",
         lambda: (minimum(SLOPES[SLOPES != 0], lambda w: w**2 / 2) == 0).sum(), "of 64 weights become 0",
         lambda count: count > 0, source="computed"),
    Fact("l1-descent-zeros", 51, "With L1, gradient descent makes weights exactly 0.",
         lambda: (descend(optimizers.SGD(0.1), DOOMED, DOOMED, regularizers.L1(0.5)) == 0).sum(),
         "of 16 weights whose best value is 0 are 0 after 40 steps in Keras", 16),
    Fact("decay-is-l2-sgd", 52, "Weight decay is L2 of half its strength.",
         lambda: differ(lambda decay: optimizers.SGD(0.125, weight_decay=decay)), "of 8 weights end elsewhere, by SGD",
         0, condition="for SGD without momentum, as Keras counts: rate times decay times weight",
         source="popular articles; Loshchilov and Hutter 2019, prop. 1"),
    Fact("decay-is-l2-adam", 52, "With Adam, too, weight decay is L2 of half its strength.",
         lambda: differ(lambda decay: optimizers.Adam(0.125, weight_decay=decay)), "of 8 weights end elsewhere", 0,
         source="popular articles; Loshchilov and Hutter 2019, prop. 2"),
    Fact("decay-through-momentum", 52, "With momentum 0.9, a weight decay of Keras pulls as hard as a paper's.",
         pull_through_momentum, "times as hard pulls a paper's, which is part of the gradient", 1, source="computed"),
    Fact("decay-spares-biases", 52, "Keras' weight decay spares biases, as L2 of kernels does.",
         decayed_biases, "of LeNet-5's 5 layers have biases that shrink", 0, source="computed"),
    Fact("crops-2048", 56, "Crops of 224×224 out of 256×256 pixels and their reflections make one picture 2048.",
         lambda: 2 * positions(256, layers.MaxPooling1D(224, 1)) ** 2, "pictures", 2048,
         source="Krizhevsky et al. 2012, sec. 4.1"),
]  # fmt: skip
