"""Facts about batches, epochs and patches. Ledger 20, 21, 39."""

import numpy as np
from keras import layers

from cnnkit.course.convolution.facts import positions
from cnnkit.evidence.fact import fact
from cnnkit.lab.feeding import Batches


def batches(images, batch_size):
    """How many images each batch of an epoch has, the last one kept, as Keras's `fit` does."""
    x = np.zeros((images, 1))
    fed = Batches(x, x, batch_size, seed=1, last_batch="keep")
    return [len(fed[step][0]) for step in range(len(fed))]


@fact(20, unit="steps an epoch", holds=8)
def steps_of_64():
    """500 images in batches of 64 are 8 steps."""
    return len(batches(500, 64))


@fact(20, unit="images", holds=52)
def last_of_64():
    """500 images in batches of 64: the last batch has 52."""
    return batches(500, 64)[-1]


@fact(20, unit="steps an epoch", holds=8)
def steps_of_32():
    """500 images in batches of 32 are 500 / 64, so 8 steps."""
    return len(batches(500, 32))


@fact(20, unit="images", holds=20, source="computed")
def last_of_32():
    """500 images in batches of 32: the last of 16 has 20."""
    return batches(500, 32)[-1]


@fact(20, unit="images an epoch, in batches of 32", holds=32)
def epoch_is_a_batch():
    """An epoch is one batch."""
    return sum(batches(500, 32))


@fact(21, unit="patches that do not overlap", holds=16)
def patches_of_64():
    """An image of 256×256 has 16 patches of 64×64."""
    return positions(256, layers.Conv1D(1, 64, strides=64)) ** 2


@fact(39, unit="times the variance, by algebra, whatever the gradients", holds=lambda factor: factor > 1)
def batch_variance():
    """A larger batch has gradients of larger variance (two images instead of one)."""
    one = np.arange(10.0)  # of ten images; a batch is drawn with replacement
    two = (one[:, None] + one) / 2
    return two.var() / one.var()
