"""Facts about what a unit sees. Ledger 14 and 15."""

import functools

import keras
from keras import layers

from cnnkit import anatomy, models
from cnnkit.evidence.fact import fact

SIMONYAN = "popular articles; Simonyan and Zisserman 2014, sec. 2.3"


@functools.cache
def _field(*kernel_sizes):
    """The side of the box of pixels that have a gradient on the centre unit of a stack of convolutions, as measured."""
    return _box(keras.Sequential([keras.Input((21, 21, 1)), *(layers.Conv2D(1, size) for size in kernel_sizes)]))


def _box(model, unit=None):
    seen = anatomy.gradient_box(model, model.layers[-1].name, unit)
    return seen[0].stop - seen[0].start


@fact(14, "Two 3×3 convolutions see as much as one 5×5.", unit="pixels a side", holds=5, source=SIMONYAN)
def two_3x3_see():
    return _field(3, 3)


@fact(14, "Three 3×3 convolutions see as much as one 7×7.", unit="pixels a side", holds=7, source=SIMONYAN)
def three_3x3_see():
    return _field(3, 3, 3)


@fact(15, "Going back, r = (r − 1) stride + kernel: a unit of LeNet-5's C5 sees 32×32.", unit="pixels a side", holds=32)
def field_recursion():
    table = anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10)).set_index("layer")
    windows = table.loc[:"C5"].query("kernel_size != ''")
    size = 1
    for kernel_size, stride in zip(windows["kernel_size"][::-1], windows["strides"][::-1], strict=True):
        size = (size - 1) * stride + kernel_size
    return size


@fact(15, "A 1×1 convolution does not change what a unit sees.", unit="pixels more", holds=0)
def field_of_1x1():
    return _field(3, 1, 3) - _field(3, 3)


@fact(
    15,
    "Padding does not change what a unit sees.",
    unit="pixels of difference a side, in the middle of the image",
    holds=0,
    condition="away from the border, or if padding counts as seen: a corner unit of three 3×3 sees 4×4 pixels, not 7×7",
)
def field_of_padding():
    padded = keras.Sequential([keras.Input((21, 21, 1)), *(layers.Conv2D(1, 3, padding="same") for _ in range(3))])
    return _box(padded) - _field(3, 3, 3)
