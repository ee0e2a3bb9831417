"""Facts about the sizes of outputs and windows. Ledger 1, 16-19, 21."""

import itertools

import numpy as np
from keras import layers

from cnnkit import anatomy, from_scratch
from cnnkit.evidence.fact import fact

CS231N = "popular articles; cs231n for the formula"
KRIZHEVSKY = "Krizhevsky et al. 2012, sec. 3.4"


def positions(size, layer):
    """The size of a one-dimensional Keras layer's output, along one axis."""
    return layer.compute_output_shape((None, size, 1))[1]


def _unrounded(size, kernel_size, stride):
    floor = anatomy.conv_output_size(size, kernel_size, stride, floor=True)
    return floor + anatomy.unseen_pixels(size, kernel_size, stride) / stride


@fact(1, "A 32×32 image under 11×11 filters at stride 4 gives 55×55 maps.", unit="positions a side", holds=55)
def conv1_of_32():
    return _unrounded(32, 11, 4)


@fact(
    1,
    "AlexNet's 224×224 image under 11×11 filters at stride 4 gives 55×55 maps.",
    unit="positions a side",
    holds=55,
    source="Krizhevsky et al. 2012, fig. 2",
)
def conv1_of_224():
    return _unrounded(224, 11, 4)


@fact(
    1,
    "A 227×227 image under 11×11 filters at stride 4 gives 55×55 maps.",
    unit="positions a side",
    holds=55,
    source=CS231N,
)
def conv1_of_227():
    return positions(227, layers.Conv1D(96, 11, strides=4))


# Convolutions


@fact(
    16,
    "A convolution's output has the size (M − K + 2P) / S + 1.",
    unit="of 768 convolutions differ",
    holds=0,
    source=CS231N,
    condition="rounded down: Keras leaves out a window that does not fit",
)
def output_size():
    differ = 0
    for kernel, stride in itertools.product(range(1, 5), range(1, 5)):
        layer = layers.Conv1D(1, kernel, stride)
        for size, padding in itertools.product(range(5, 17), range(4)):
            differ += positions(size + 2 * padding, layer) != (size - kernel + 2 * padding) // stride + 1
    return differ


@fact(16, "A narrow convolution gives N − K + 1, a wide one N + K − 1.", unit="of 120 convolutions differ", holds=0)
def narrow_and_wide():
    differ = 0
    for kernel in range(1, 6):
        layer = layers.Conv1D(1, kernel)
        for size in range(5, 17):
            differ += positions(size, layer) != size - kernel + 1
            differ += positions(size + 2 * (kernel - 1), layer) != size + kernel - 1
    return differ


@fact(
    16,
    "Padding 'same' keeps the size.",
    unit="of 60 convolutions change it",
    holds=0,
    condition="at stride 1; at stride S it gives N / S, rounded up",
)
def same_keeps_size():
    same = [layers.Conv1D(1, kernel, padding="same") for kernel in range(1, 6)]
    return sum(positions(size, layer) != size for layer in same for size in range(5, 17))


@fact(17, "Kernels of an even side cannot keep the size.", unit="of 36 even kernels keep it", holds=0)
def even_kernels():
    even = [layers.Conv1D(1, kernel, padding="same") for kernel in (2, 4, 6)]
    return sum(positions(size, layer) == size for layer in even for size in range(5, 17))


# Pooling


def _pooled_twice(size, pool_size, stride):
    """How many pixels lie in more than one window: the gradient of a mean over a window gives each pixel its share."""
    y, cache = from_scratch.mean_pool2d(np.zeros((1, size, size, 1)), pool_size=pool_size, stride=stride)
    return (from_scratch.mean_pool2d_backward(np.ones_like(y), cache) * pool_size**2 > 1.5).sum()


@fact(18, "Pooling 6×6 pixels with 2×2 windows at stride 2 gives 3×3.", unit="positions a side", holds=3)
def pool_2_at_2():
    return positions(6, layers.MaxPooling1D(2, 2))


@fact(
    18,
    "Pooling 6×6 pixels at stride 1 gives 4×4.",
    unit="positions a side",
    holds=4,
    condition="with 3×3 windows; 2×2 windows give 5×5",
)
def pool_3_at_1():
    return positions(6, layers.MaxPooling1D(3, 1))


@fact(
    18,
    "Pooling overlaps when the window is smaller than the stride (here 2×2 at stride 3).",
    unit="of 81 pixels lie in more than one window",
    holds=lambda twice: twice > 0,
)
def pool_smaller_than_stride():
    return _pooled_twice(9, pool_size=2, stride=3)


@fact(
    18,
    "AlexNet's pooling overlaps: its 3×3 windows are wider than their stride of 2.",
    unit="of 169 pixels lie in more than one window",
    holds=lambda twice: twice > 0,
    source=KRIZHEVSKY,
)
def pool_wider_than_stride():
    return _pooled_twice(13, pool_size=3, stride=2)


@fact(
    19,
    "Pooling 20×20 pixels with windows of 10×10 gives 2×2.",
    unit="positions a side",
    holds=2,
    condition="at stride 10, which is Keras's default; stride 1 gives 11×11",
)
def pool_10():
    return positions(20, layers.MaxPooling1D(10))


@fact(21, "An image of 256×256 has 16 patches of 64×64.", unit="patches that do not overlap", holds=16)
def patches_of_64():
    return positions(256, layers.Conv1D(1, 64, strides=64)) ** 2
