"""Facts about dense layers and first losses. Ledger 28, 31."""

import numpy as np
from keras import initializers, layers

from cnnkit import data, from_scratch
from cnnkit.course.convolution.facts import count
from cnnkit.evidence.fact import Fact

SMALL = "while scores are small: LeNet-5 on pixels in [0, 1]; on 0 to 255 it starts ten times as high"


def first_loss(loss, brightest=1):
    """The loss of an untrained LeNet-5 on 100 digits, their pixels from 0 to `brightest`, to three digits."""
    digits = data.load_dataset("digits")
    images = digits.x_train[:100].astype("float64") * (brightest / 255)
    scores, _ = from_scratch.forward(from_scratch.lenet(dtype="float64"), images)
    return float(f"{loss(scores, digits.y_train[:100])[0]:.3g}")


FACTS = [
    Fact("dense-without-bias", 31, "A dense layer computes y = Wx, so from 84 to 10 units it has 840 parameters.",
         lambda: count((84,), layers.Dense(10)), "parameters", 840),
    Fact("dense-averages", 31, "A dense unit takes a weighted average of its inputs.",
         lambda: np.isclose(layers.Dense(120, kernel_initializer=initializers.GlorotUniform(seed=1))(np.ones((1, 400))),
                            1, atol=1e-3).sum(), "of 120 new units in Keras have weights that sum to 1", 120),
    Fact("black-image", 31, "A dense layer without biases gives a black image the same score for every class.",
         lambda: np.ptp(layers.Dense(10, use_bias=False)(np.zeros((1, 784)))),
         "between the highest and the lowest of ten scores", 0, source="computed"),
    Fact("first-cross-entropy", 28, "Softmax cross-entropy of ten classes starts near ln 10 = 2.303.",
         lambda: first_loss(from_scratch.softmax_cross_entropy), "nats at first",
         lambda loss: abs(loss - np.log(10)) < 0.1, source="cs231n", condition=SMALL),
    Fact("first-hinge", 28, "The multiclass hinge loss (margin 1) of ten classes starts near 9.",
         lambda: first_loss(from_scratch.multiclass_hinge), "at first",
         lambda loss: abs(loss - 9) < 0.5, source="cs231n", condition=SMALL),
]  # fmt: skip
