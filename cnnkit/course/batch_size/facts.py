"""Facts about batches. Ledger 20, 38; those of 03 (steps, the last batch) and 01 (patches) stand beside them in 06."""

import keras
import numpy as np
from keras import layers

from cnnkit import from_scratch as fs
from cnnkit.evidence.fact import Fact

RNG = np.random.default_rng(1)
IMAGES, LABELS, WEIGHTS = RNG.normal(size=(80, 6)), RNG.integers(3, size=80), RNG.normal(size=(6, 3))


def pull(batch_size):
    """How far one step of a batch moves a weight that only its first image reaches."""
    model = keras.Sequential([keras.Input((64,)), layers.Dense(10, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(np.eye(64)[:batch_size], np.zeros(batch_size, int))  # image i lights pixel i alone
    return np.abs(model.get_weights()[0][0]).max()


def mean_gradient(*cuts):
    """The mean over batches, 80 images cut at these places, of the gradient of softmax regression, `(6, 3)`."""
    pairs = zip(np.split(IMAGES, cuts), np.split(LABELS, cuts), strict=True)
    return np.mean([x.T @ fs.softmax_cross_entropy(x @ WEIGHTS, labels)[1] for x, labels in pairs], axis=0)


FACTS = [
    Fact("last-batch-weight", 20, "All images of an epoch pull equally hard, those of a small last batch, too.",
         lambda: pull(16) / pull(64), "times as hard: an image in a last batch of 16, after batches of 64", 1,
         source="ours"),
    Fact("full-batch-is-exact", 38, "The gradient of all images is the exact one: the mean over an epoch's batches.",
         lambda: (np.abs(mean_gradient(20, 40, 60) - mean_gradient()) > 1e-12).sum(), "of 18 slopes differ", 0,
         condition="for batches of equal size, and weights that stand still meanwhile"),
]  # fmt: skip
