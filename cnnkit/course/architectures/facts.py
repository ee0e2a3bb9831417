"""Facts about cheaper convolutions: separable, and narrowed by 1×1. Ledger 13, 29."""

import math

import keras
from keras import layers

from cnnkit.course.convolution.facts import count
from cnnkit.evidence.fact import fact

HOWARD = "Howard et al. 2017, sec. 3"
SZEGEDY = "Szegedy et al. 2014, table 1"


def separable(filters):
    """`(weights, those of the plain convolution)`, 3×3, as many channels as filters."""
    kinds = layers.SeparableConv2D, layers.Conv2D
    return [count((8, 8, filters), kind(filters, 3, use_bias=False)) for kind in kinds]


@fact(13, unit="of the weights", holds=lambda share: math.isclose(share, 1 / 64 + 1 / 9), source=HOWARD)
def separable_share():
    """A separable convolution with N filters of k×k needs 1/N + 1/k² of the weights (here 64 of 3×3)."""
    cheap, plain = separable(64)
    return cheap / plain


@fact(13, unit="times fewer weights", holds=lambda n: 8 <= n <= 9, source=HOWARD, condition="from 72 filters on")
def separable_saving():
    """Separable 3×3 convolutions are 8 to 9 times cheaper (here 128 filters)."""
    cheap, plain = separable(128)
    return plain / cheap


@fact(13, unit="of the weights", holds=lambda share: abs(share - 0.25) < 0.01, source=HOWARD)
def width_multiplier():
    """A width multiplier of ½ leaves about a quarter of the weights (separable, 512 filters)."""
    return separable(256)[0] / separable(512)[0]


def inception_3a(naive=False):
    """GoogLeNet's module 3a without biases; naive is the same without the 1×1 convolutions that save."""
    image = keras.Input((28, 28, 192))

    def conv(filters, size, inputs=image):
        return layers.Conv2D(filters, size, padding="same", activation="relu", use_bias=False)(inputs)

    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(image)
    three, five = (image, image) if naive else (conv(96, 1), conv(16, 1))
    branches = [conv(64, 1), conv(128, 3, three), conv(32, 5, five), pooled if naive else conv(32, 1, pooled)]
    return keras.Model(image, layers.Concatenate()(branches))


@fact(29, unit="of the weights remain", holds=163_328 / 387_072, source=f"popular articles; {SZEGEDY}")
def inception_share():
    """1×1 convolutions reduce the weights of an Inception module (GoogLeNet's 3a: from 387,072 to 163,328)."""
    return inception_3a().count_params() / inception_3a(naive=True).count_params()
