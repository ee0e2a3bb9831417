"""Facts about what goes into a network, dense layers, and first losses. Ledger 28, 31, 51, 76, 82."""

import numpy as np
from keras import initializers, layers
from scipy.stats import skew
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, LinearRegression

from cnnkit import data, from_scratch
from cnnkit.course.convolution.facts import count
from cnnkit.evidence.fact import Fact

SMALL = "while scores are small: LeNet-5 on pixels in [0, 1]; on 0 to 255 it starts ten times as high"
LOPSIDED = np.array([0.0] * 9 + [1.0])[:, None]  # of mean 0.1 and variance 0.09
IMAGES = np.zeros((8, 32, 32, 3), "uint8")


def first_loss(loss, brightest=1):
    """The loss of an untrained LeNet-5 on 100 digits, their pixels from 0 to `brightest`, to three digits."""
    digits = data.load_dataset("digits")
    images = digits.x_train[:100].astype("float64") * (brightest / 255)
    scores, _ = from_scratch.forward(from_scratch.lenet(dtype="float64"), images)
    return float(f"{loss(scores, digits.y_train[:100])[0]:.3g}")


def kept_of_largest():
    """How many of the weights that L1 leaves are among as many that are the largest without it."""
    x, y = load_diabetes(return_X_y=True)  # all ten inputs have one mean and one norm
    plain, sparse = (np.abs(model.fit(x, y).coef_) for model in (LinearRegression(), Lasso(alpha=1)))
    kept = np.flatnonzero(sparse)
    return np.isin(kept, np.argsort(plain)[-len(kept) :]).sum()


FACTS = [
    Fact("z-score-is-normal", 76, "A z-score turns any data into a normal distribution, of skewness 0.",
         lambda: skew(layers.Normalization(mean=0.1, variance=0.09, dtype="float64")(LOPSIDED), axis=None).round(6),
         "is the skewness, as before", 0),
    Fact("preparing-shrinks", 82, "Preparing images on the CPU leaves fewer bytes to send to the GPU.",
         lambda: np.asarray(layers.Rescaling(1 / 255)(IMAGES)).nbytes / IMAGES.nbytes, "times the bytes, as float32",
         lambda factor: factor < 1),
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
         lambda: first_loss(from_scratch.multiclass_hinge), "at first", lambda loss: abs(loss - 9) < 0.5,
         source="cs231n", condition=SMALL),
    Fact("l1-keeps-largest", 51, "L1 regularization keeps the N largest weights and deletes the others.",
         kept_of_largest, "of the 3 weights (of 10) that L1 keeps are among the 3 largest without it", 3),
]  # fmt: skip
