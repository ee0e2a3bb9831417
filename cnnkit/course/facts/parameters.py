"""Facts about what has parameters, and how many. Ledger 7, 22, 23, 31, 34."""

import functools
import math

import keras
from keras import layers

from cnnkit import anatomy, models
from cnnkit.evidence.fact import fact

LECUN = "LeCun et al. 1998, sec. II.B"


def count(input_shape, *stack):
    """The parameters of a stack of layers on images of a shape."""
    return keras.Sequential([keras.Input(input_shape), *stack]).count_params()


# LeNet-5


@functools.cache
def _lenet5():
    return anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10))


@fact(7, "LeNet-5 has seven layers, its input not counted.", unit="layers", holds=7, source=LECUN)
def lenet5_layers():
    table = _lenet5()  # a layer of the paper has weights or, as the output's fixed codes, multiplies
    return ((table["num_params"] > 0) | (table["macs"] > 0)).sum()


@fact(
    7,
    "LeNet-5's layers are 6@28×28, 6@14×14, 16@10×10, 16@5×5, 120, 84 and 10.",
    unit="of 7 layers have that shape",
    holds=7,
    source=LECUN,
)
def lenet5_shapes():
    table = _lenet5()
    shapes = table["output_shape"][(table["num_params"] > 0) | (table["macs"] > 0)]
    units = [4704, 1176, 1600, 400, 120, 84, 10]
    return sum(math.prod(shape) == expected for shape, expected in zip(shapes, units, strict=True))


@fact(7, "LeNet-5 has 60,000 trainable parameters.", unit="parameters", holds=60_000, source=LECUN)
def lenet5_parameters():
    return _lenet5()["num_params"].sum()


@fact(7, "LeNet-5 has 340,908 connections.", unit="connections", holds=340_908, source=LECUN)
def lenet5_connections():
    table = _lenet5()
    units, pooling = table["output_shape"].map(math.prod), table["type"] == "SubSampling"
    biased = (table["num_params"] > 0) & ~pooling
    # A sub-sampling unit has four inputs and a bias, any other its multiply-adds and, if it has weights, a bias.
    return table["macs"].sum() + units[biased].sum() + 5 * units[pooling].sum()


@fact(
    7,
    "LeNet-5 as it is built today (max pooling, ReLU, all maps connected) has 61,706 parameters.",
    unit="parameters",
    holds=61_706,
)
def lenet5_today():
    return models.create_model("lenet5_modern", (28, 28, 1), 10).count_params()


# What has parameters


@fact(22, "A colour image of 1000×1000 pixels has 3 million parameters.", unit="parameters", holds=3_000_000)
def image_parameters():
    return count((1000, 1000, 3), layers.Identity())


@fact(22, "A colour image of 1000×1000 pixels has 3 million values.", unit="values", holds=3_000_000)
def image_values():
    return math.prod(keras.Input((1000, 1000, 3)).shape[1:])


@fact(
    22,
    "A dense layer of 1,000 units on a colour image of 1000×1000 pixels has 3 billion weights.",
    unit="weights",
    holds=3_000_000_000,
)
def image_dense_weights():
    return anatomy.conv_params(3, 1000, (1000, 1000), use_bias=False)  # built in Keras, they would fill 12 GB


@fact(
    23,
    "P filters of U×V on D maps have P·D·U·V + P parameters whatever the image's size (16 of 5×5 on 6: 2,416).",
    unit="parameters, at each of 4 sizes",
    holds=16 * 6 * 5 * 5 + 16,
)
def convolution_parameters():
    (parameters,) = {count((size, size, 6), layers.Conv2D(16, 5)) for size in (5, 14, 28, 32)}
    return parameters


@fact(
    23,
    "A dense layer from n to m units has n·m parameters (400 to 120: 48,000).",
    unit="parameters",
    holds=48_000,
    condition="without biases; Keras adds m of them, here 120",
)
def dense_parameters():
    return count((400,), layers.Dense(120, use_bias=False))


@fact(31, "A dense layer computes y = Wx, so from 84 to 10 units it has 840 parameters.", unit="parameters", holds=840)
def dense_without_bias():
    return count((84,), layers.Dense(10))


@fact(34, "Pooling has no parameters of its own.", unit="parameters", holds=0, source="computed")
def pooling_parameters():
    return count((16, 16, 8), layers.MaxPooling2D(2))


def _saved_by_pooling(head):
    plain = count((16, 16, 8), head(), layers.Dense(10))
    return plain - count((16, 16, 8), layers.MaxPooling2D(2), head(), layers.Dense(10))


@fact(
    34,
    "Pooling reduces the number of parameters (16×16×8 maps, ten classes).",
    unit="parameters saved",
    holds=lambda saved: saved > 0,
    condition="only those of a dense layer that reads the flattened maps",
)
def pooling_saves_flat():
    return _saved_by_pooling(layers.Flatten)


@fact(
    34,
    "Pooling reduces the number of parameters of a network that ends in global average pooling.",
    unit="parameters saved",
    holds=lambda saved: saved > 0,
)
def pooling_saves_averaged():
    return _saved_by_pooling(layers.GlobalAveragePooling2D)
