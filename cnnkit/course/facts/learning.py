"""Facts about learning: batches, first losses, steps, and the numbers that go in. Ledger 20, 28, 39, 47, 51, 76, 82."""

import keras
import numpy as np
import scipy.stats
from keras import layers, ops
from sklearn.datasets import load_digits

from cnnkit import from_scratch as fs
from cnnkit.course.facts.gradients import autodiff
from cnnkit.evidence.fact import fact
from cnnkit.lab.feeding import Batches

CS231N = "popular articles; cs231n"

# Batches


def _batches(images, batch_size):
    """How many images each batch of an epoch has, as `training.train` feeds them."""
    x = np.zeros((images, 1))
    batches = Batches(x, x, batch_size, seed=1)
    return [len(batches[step][0]) for step in range(len(batches))]


@fact(20, "500 images in batches of 64 are 8 steps.", unit="steps an epoch", holds=8)
def steps_of_64():
    return len(_batches(500, 64))


@fact(20, "500 images in batches of 64: the last batch has 52.", unit="images", holds=52)
def last_of_64():
    return _batches(500, 64)[-1]


@fact(20, "500 images in batches of 32 are 500 / 64, so 8 steps.", unit="steps an epoch", holds=8)
def steps_of_32():
    return len(_batches(500, 32))


@fact(20, "500 images in batches of 32: the last of 16 has 20.", unit="images", holds=20, source="computed")
def last_of_32():
    return _batches(500, 32)[-1]


@fact(20, "An epoch is one batch.", unit="images an epoch, in batches of 32", holds=32)
def epoch_is_a_batch():
    return sum(_batches(500, 32))


# First losses


def first_loss(loss):
    """A loss of ten classes while all scores are equal, as they are about when training starts."""
    return loss(np.zeros((10, 10)), np.arange(10))[0]


@fact(
    28,
    "Softmax cross-entropy of ten classes starts at ln 10.",
    unit="nats",
    holds=lambda loss: abs(loss - np.log(10)) < 1e-9,
    source=CS231N,
)
def first_cross_entropy():
    return first_loss(fs.softmax_cross_entropy)


@fact(
    28,
    "The multiclass hinge loss (margin 1) of ten classes starts at 9.",
    unit="at first",
    holds=9,
    source=CS231N,
)
def first_hinge():
    return first_loss(fs.multiclass_hinge)


# Steps


@fact(
    39,
    "A larger batch has gradients of larger variance (two images instead of one).",
    unit="times the variance",
    holds=lambda factor: factor > 1,
)
def batch_variance():
    images, labels = load_digits(return_X_y=True)
    images, labels = images[:40] / 16, labels[:40]
    # Each image's gradient of a softmax classifier that knows nothing yet; then the mean of every pair of images.
    deltas = 0.1 - np.eye(10)[labels]
    one = (images[:, :, None] * deltas[:, None, :]).reshape(40, -1)
    two = (one[:, None] + one[None]).reshape(1600, -1) / 2
    return round(two.var(axis=0).sum() / one.var(axis=0).sum(), 9)


def step_ratio(optimizer):
    """How much further a step moves a weight whose gradient is 128 times as large."""
    weights = keras.Variable([0.0, 0.0])
    optimizer.apply([ops.convert_to_tensor([1.0, 128.0])], [weights])
    near, far = weights.numpy()
    return far / near


@fact(
    47,
    "Momentum and plain gradient descent adapt the learning rate to each weight, as RMSprop and Adam do.",
    unit="times the step for 128 times the gradient",
    holds=lambda ratio: ratio < 2,
)
def momentum_adapts():
    return min(step_ratio(keras.optimizers.SGD(0.125, momentum=momentum)) for momentum in (0.0, 0.5))


@fact(
    51,
    "L1 regularization keeps the N largest weights and deletes the others.",
    unit="of 4 weights are not pulled towards 0",
    holds=lambda kept: kept > 0,
)
def l1_keeps_largest():
    pull = autodiff(keras.regularizers.L1(0.5), [-4.0, -0.25, 0.5, 8.0])[0]
    return (pull == 0).sum()


# Numbers that go in


@fact(
    76,
    "A z-score turns any data into a normal distribution, of skewness 0.",
    unit="is the skewness, as before",
    holds=0,
)
def z_score_is_normal():
    values = np.array([0.0] * 9 + [1.0])[:, None]
    layer = layers.Normalization(mean=values.mean(), variance=values.var(), dtype="float64")
    return round(float(scipy.stats.skew(ops.convert_to_numpy(layer(values)).ravel())), 6)


@fact(
    82,
    "Preparing images on the CPU leaves fewer bytes to send to the GPU.",
    unit="times the bytes, as float32",
    holds=lambda factor: factor < 1,
)
def preparing_shrinks():
    images = np.zeros((8, 32, 32, 3), "uint8")
    return ops.convert_to_numpy(layers.Rescaling(1 / 255)(images)).nbytes / images.nbytes
