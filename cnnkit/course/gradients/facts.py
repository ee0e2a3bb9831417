"""Facts about first weights, slopes and batch normalisation. Ledger 48, 53, 54."""

import numpy as np
from keras import layers, ops

from cnnkit import data, from_scratch
from cnnkit.course.backprop.facts import autodiff
from cnnkit.evidence.fact import Fact


def trained_from(value):
    """The parameters of LeNet-5, all of which start at `value`, after 20 steps on digits: a list of arrays."""
    network, digits = from_scratch.lenet(dtype="float64"), data.load_dataset("digits", train_size=640)
    params = from_scratch.parameters(network)
    for array in params:
        array[:] = value
    pixels = digits.x_train.astype("float64") / 255
    from_scratch.fit(network, pixels, digits.y_train, epochs=1, learning_rate=0.1)
    return params


def signal(variance, depth=10, width=512):
    """The mean square behind layers of ReLUs whose weights have `variance` / width, for one of 1, to two digits."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, width))
    for _ in range(depth):
        x = np.maximum(0, x @ rng.normal(0, np.sqrt(variance / width), (width, width)))
    return float(f"{(x**2).mean():.2g}")


def slope_of_sigmoids(weight, depth=10):
    """The slope of units in a row, each the sigmoid of a weight times its input, where it is steepest."""

    def row(x):
        for _ in range(depth):
            x = ops.sigmoid(weight * (x - 0.5))
        return x

    return autodiff(row, np.array([0.5]))[0].item()


def updates_to_forget(momentum):
    """After how many updates a moving average of batch normalization is 95% what it saw."""
    norm, updates = layers.BatchNormalization(momentum=momentum, dtype="float64"), 0
    while updates == 0 or norm.moving_mean.numpy().item() < 0.95:
        norm(np.ones((2, 1)), training=True)
        updates += 1
    return updates


HE = "He et al. 2015, Delving deep into rectifiers, sec. 2.2"
FACTS = [
    Fact("zeros-learn", 53, "Weights that all start at zero learn no more than how common the classes are.",
         lambda: sum((array != 0).sum() for array in trained_from(0.0)),
         "of LeNet-5's 61,706 parameters have moved after 20 steps: the last biases", 10),
    Fact("alike-stay-alike", 53, "Units that start alike stay alike.",
         lambda: sum(len(np.unique(array.round(9).reshape(-1, array.shape[-1]), axis=1).T)
                     for array in trained_from(0.01)[:-2:2]),
         "different ones in the four hidden layers of LeNet-5 after 20 steps", 4),
    Fact("glorot-fits-relu", 53, "Weights of variance 1/n, as Glorot's, keep signals as large through ReLUs.",
         lambda: signal(1), "times the mean square, ten layers on", lambda share: 0.5 < share < 2, source="ours"),
    Fact("he-fits-relu", 53, "Weights of variance 2/n, as He's, keep signals as large through ReLUs.",
         lambda: signal(2), "times the mean square, ten layers on", lambda share: 0.5 < share < 2, source=HE),
    Fact("sigmoid-bound", 54, "Ten layers of sigmoids let at most 0.25^10 of a gradient through.",
         lambda: round(4**10 * slope_of_sigmoids(1), 9), "times 0.25^10, weights of 1", lambda share: share <= 1,
         condition="for weights of at most 1: they multiply it, too, and above 4 more than make up for the slope"),
    Fact("batch-norm-forgets", 48,
         "Keras' batch normalization, of momentum 0.99, needs 299 updates until 95% of its averages is what it saw.",
         lambda: updates_to_forget(0.99), "updates", 299, source="computed"),
]  # fmt: skip
