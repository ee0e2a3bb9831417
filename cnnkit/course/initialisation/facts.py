"""Facts about the numbers that go in and the slopes they meet. Ledger 54, 76, 82."""

import numpy as np
import scipy.stats
from keras import layers, ops

from cnnkit.course.backprop.facts import slopes
from cnnkit.evidence.fact import fact


@fact(54, unit="is the least slope", holds=lambda slope: slope > 0)
def relu_vanishes():
    """The gradient of ReLU does not vanish."""
    return slopes("relu").min()


@fact(76, unit="is the skewness, as before", holds=0)
def z_score_is_normal():
    """A z-score turns any data into a normal distribution, of skewness 0."""
    values = np.array([0.0] * 9 + [1.0])[:, None]
    layer = layers.Normalization(mean=values.mean(), variance=values.var(), dtype="float64")
    return round(float(scipy.stats.skew(ops.convert_to_numpy(layer(values)).ravel())), 6)


@fact(82, unit="times the bytes, as float32", holds=lambda factor: factor < 1)
def preparing_shrinks():
    """Preparing images on the CPU leaves fewer bytes to send to the GPU."""
    images = np.zeros((8, 32, 32, 3), "uint8")
    return ops.convert_to_numpy(layers.Rescaling(1 / 255)(images)).nbytes / images.nbytes
