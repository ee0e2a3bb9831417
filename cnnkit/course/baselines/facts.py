"""Facts about dense layers and first losses. Ledger 28, 31."""

import keras
import numpy as np
from keras import layers, ops

from cnnkit import data, from_scratch
from cnnkit.course.convolution.facts import count
from cnnkit.evidence.fact import fact

SMALL = "while scores are small: LeNet-5 on pixels in [0, 1]; on 0 to 255 it starts ten times as high"


@fact(31, unit="parameters", holds=840)
def dense_without_bias():
    """A dense layer computes y = Wx, so from 84 to 10 units it has 840 parameters."""
    return count((84,), layers.Dense(10))


@fact(31, unit="of 120 new units in Keras have weights that sum to 1", holds=120)
def dense_averages():
    """A dense unit takes a weighted average of its inputs."""
    layer = layers.Dense(120, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    return np.isclose(ops.convert_to_numpy(layer(np.ones((1, 400)))), 1, atol=1e-3).sum()


@fact(31, unit="between the highest and the lowest of ten scores", holds=0, source="computed")
def black_image():
    """A dense layer without biases gives a black image the same score for every class."""
    return np.ptp(ops.convert_to_numpy(layers.Dense(10, use_bias=False)(np.zeros((1, 784)))))


def first_loss(loss, brightest=1):
    """The loss of an untrained LeNet-5 on 100 digits, their pixels from 0 to `brightest`, to three digits."""
    digits = data.load_dataset("digits")
    images = digits.x_train[:100].astype("float64") * (brightest / 255)
    scores, _ = from_scratch.forward(from_scratch.lenet(dtype="float64"), images)
    return float(f"{loss(scores, digits.y_train[:100])[0]:.3g}")


@fact(28, unit="nats at first", holds=lambda loss: abs(loss - np.log(10)) < 0.1, source="cs231n", condition=SMALL)
def first_cross_entropy():
    """Softmax cross-entropy of ten classes starts near ln 10 = 2.303."""
    return first_loss(from_scratch.softmax_cross_entropy)


@fact(28, unit="at first", holds=lambda loss: abs(loss - 9) < 0.5, source="cs231n", condition=SMALL)
def first_hinge():
    """The multiclass hinge loss (margin 1) of ten classes starts near 9."""
    return first_loss(from_scratch.multiclass_hinge)
