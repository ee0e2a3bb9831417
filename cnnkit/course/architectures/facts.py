"""Facts about cheaper convolutions: separable, and narrowed by 1×1. Ledger 13, 29."""

import math

import keras
from keras.layers import Concatenate, Conv2D, MaxPooling2D, SeparableConv2D

from cnnkit.course.convolution.facts import count
from cnnkit.evidence.fact import Fact

HOWARD = "Howard et al. 2017, sec. 3"


def weights(kind, filters):
    """The weights of a 3×3 convolution, separable or plain, from as many channels as filters."""
    return count((8, 8, filters), kind(filters, 3, use_bias=False))


def inception_3a(naive=False):
    """GoogLeNet's module 3a without biases; naive is the same without the 1×1 convolutions that save."""
    image = keras.Input((28, 28, 192))

    def conv(filters, size, inputs=image):
        return Conv2D(filters, size, padding="same", activation="relu", use_bias=False)(inputs)

    pooled = MaxPooling2D(3, strides=1, padding="same")(image)
    three, five = (image, image) if naive else (conv(96, 1), conv(16, 1))
    branches = [conv(64, 1), conv(128, 3, three), conv(32, 5, five), pooled if naive else conv(32, 1, pooled)]
    return keras.Model(image, Concatenate()(branches))


FACTS = [
    Fact("separable-share", 13,
         "A separable convolution with N filters of k×k needs 1/N + 1/k² of the weights (here 64 of 3×3).",
         lambda: weights(SeparableConv2D, 64) / weights(Conv2D, 64), "of the weights",
         lambda share: math.isclose(share, 1 / 64 + 1 / 9), source=HOWARD),
    Fact("separable-saving", 13, "Separable 3×3 convolutions are 8 to 9 times cheaper (here 128 filters).",
         lambda: weights(Conv2D, 128) / weights(SeparableConv2D, 128), "times fewer weights", lambda n: 8 <= n <= 9,
         source=HOWARD, condition="from 72 filters on"),
    Fact("width-multiplier", 13,
         "A width multiplier of ½ leaves about a quarter of the weights (separable, 512 filters).",
         lambda: weights(SeparableConv2D, 256) / weights(SeparableConv2D, 512), "of the weights",
         lambda share: abs(share - 0.25) < 0.01, source=HOWARD),
    Fact("inception-share", 29,
         "1×1 convolutions reduce the weights of an Inception module (GoogLeNet's 3a: from 387,072 to 163,328).",
         lambda: inception_3a().count_params() / inception_3a(naive=True).count_params(), "of the weights remain",
         163_328 / 387_072, source="popular articles; Szegedy et al. 2014, table 1"),
]  # fmt: skip
