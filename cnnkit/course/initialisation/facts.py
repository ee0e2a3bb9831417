"""Facts about the numbers that go in and the slopes they meet. Ledger 54, 76, 82."""

import numpy as np
from keras import layers
from scipy.stats import skew

from cnnkit.course.backprop.facts import slopes
from cnnkit.evidence.fact import Fact

LOPSIDED = np.array([0.0] * 9 + [1.0])[:, None]  # of mean 0.1 and variance 0.09
IMAGES = np.zeros((8, 32, 32, 3), "uint8")

FACTS = [
    Fact("relu-vanishes", 54, "The gradient of ReLU does not vanish.",
         lambda: slopes("relu").min(), "is the least slope", lambda slope: slope > 0),
    Fact("z-score-is-normal", 76, "A z-score turns any data into a normal distribution, of skewness 0.",
         lambda: skew(layers.Normalization(mean=0.1, variance=0.09, dtype="float64")(LOPSIDED), axis=None).round(6),
         "is the skewness, as before", 0),
    Fact("preparing-shrinks", 82, "Preparing images on the CPU leaves fewer bytes to send to the GPU.",
         lambda: np.asarray(layers.Rescaling(1 / 255)(IMAGES)).nbytes / IMAGES.nbytes,
         "times the bytes, as float32", lambda factor: factor < 1),
]  # fmt: skip
