"""Facts about cheaper convolutions: separable, stacked, narrowed by 1×1. Ledger 13, 14, 29."""

import math

import keras
from keras import layers

from cnnkit.course.facts.parameters import count
from cnnkit.evidence.fact import fact

HOWARD = "popular articles; Howard et al. 2017, sec. 3.1"
SIMONYAN = "popular articles; Simonyan and Zisserman 2014, sec. 2.3"
SZEGEDY = "popular articles; Szegedy et al. 2014, table 1"


def _separable(filters):
    """`(parameters, those of the plain convolution)`, 3×3, as many channels as filters."""
    image = (8, 8, filters)
    return [count(image, kind(filters, 3, use_bias=False)) for kind in (layers.SeparableConv2D, layers.Conv2D)]


@fact(
    13,
    "A separable convolution with N filters of k×k needs 1/N + 1/k² of the weights (here 64 of 3×3).",
    unit="of the weights",
    holds=lambda share: math.isclose(share, 1 / 64 + 1 / 9),
    source=HOWARD,
)
def separable_share():
    separable, plain = _separable(64)
    return separable / plain


@fact(
    13,
    "Separable 3×3 convolutions are 8 to 9 times cheaper (here 128 filters).",
    unit="times fewer weights",
    holds=lambda saving: 8 <= saving <= 9,
    source=HOWARD,
    condition="from 72 filters on; 64 save 7.9 times",
)
def separable_saving():
    separable, plain = _separable(128)
    return plain / separable


@fact(
    13,
    "A width multiplier of ½ leaves about a quarter of the weights (separable, 512 filters).",
    unit="of the weights",
    holds=lambda share: abs(share - 0.25) < 0.01,
    source=HOWARD,
)
def width_multiplier():
    return _separable(256)[0] / _separable(512)[0]


@fact(
    14,
    "Three 3×3 convolutions have 27C² weights, one 7×7 has 49C².",
    unit="of the weights of one 7×7",
    holds=27 / 49,
    source=SIMONYAN,
)
def three_3x3_weights():
    three = count((16, 16, 8), *(layers.Conv2D(8, 3, use_bias=False) for _ in range(3)))
    return three / count((16, 16, 8), layers.Conv2D(8, 7, use_bias=False))


def inception_3a(naive=False):
    """GoogLeNet's module 3a without biases; naive is the same without the 1×1 convolutions that save."""
    image = keras.Input((28, 28, 192))

    def conv(filters, size, inputs=image):
        return layers.Conv2D(filters, size, padding="same", activation="relu", use_bias=False)(inputs)

    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(image)
    if naive:
        branches = [conv(64, 1), conv(128, 3), conv(32, 5), pooled]
    else:
        branches = [conv(64, 1), conv(128, 3, conv(96, 1)), conv(32, 5, conv(16, 1)), conv(32, 1, pooled)]
    return keras.Model(image, layers.Concatenate()(branches))


@fact(
    29,
    "GoogLeNet's module 3a would have 387,072 weights without the 1×1 convolutions that save.",
    unit="weights",
    holds=387_072,
    source="computed",
)
def inception_naive():
    return inception_3a(naive=True).count_params()


@fact(29, "GoogLeNet's module 3a has 163,328 weights.", unit="weights", holds=163_328, source="computed")
def inception_reduced():
    return inception_3a().count_params()


@fact(
    29,
    "1×1 convolutions reduce the parameters of an Inception module.",
    unit="of the weights remain",
    holds=lambda share: share < 1,
    source=SZEGEDY,
)
def inception_share():
    return inception_3a().count_params() / inception_3a(naive=True).count_params()
