"""Four networks that differ in which pixels a unit sees and whether units share weights, at chosen parameter counts.

    floor: softmax     every class sees all pixels, no hidden layer
    dense              every unit sees all pixels
    locally connected  every unit sees a window, with weights of its own
    convolutional      every unit sees a window, with weights that all units of its map share

The last three have two hidden layers with ReLU and one linear layer on top, and the two with windows the same windows:
5×5 pixels 2 apart, then 3×3 places 2 apart. With `permuted=True` the pixels of all images are first put into another
order, always the same: to a network that does not know which pixels are neighbours this is the same problem.
"""

import keras
from keras import layers

from cnnkit.models.checks import require_size
from cnnkit.models.layers import LocallyConnected2D, PermutePixels

SMALLEST = 9  # pixels a side: (9 - 5) / 2 + 1 = 3 places, one window of the second layer


def flat_softmax(input_shape, num_classes, *, permuted=False):
    """Build softmax regression. 30,730 parameters on 32×32×3, 10 classes.

    Args:
        input_shape: `(height, width, channels)` in pixels, any size.
        num_classes: Integer, at least 2.
        permuted: Boolean. True puts the pixels into another, fixed order first.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)` in [0, 1] -> logits `(batch, num_classes)`.
    """
    return _network("flat_softmax", input_shape, num_classes, permuted, [layers.Flatten(name="flatten")])


def dense_net(input_shape, num_classes, *, units=(31, 81), permuted=False):
    """Build a network of two dense hidden layers. 98,675 parameters on 32×32×3, 10 classes.

    Args:
        input_shape: `(height, width, channels)` in pixels, any size.
        num_classes: Integer, at least 2.
        units: Two positive integers, the hidden layers' sizes.
        permuted: Boolean. True puts the pixels into another, fixed order first.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)` in [0, 1] -> logits `(batch, num_classes)`.
    """
    hidden = [
        layers.Dense(size, activation="relu", kernel_initializer="he_normal", name=f"dense{depth}")
        for depth, size in enumerate(units, start=1)
    ]
    return _network("dense_net", input_shape, num_classes, permuted, [layers.Flatten(name="flatten"), *hidden])


def local_net(input_shape, num_classes, *, filters=(5, 12), permuted=False):
    """Build a network of two locally connected layers. 98,682 parameters on 32×32×3, 10 classes.

    Args:
        input_shape: `(height, width, channels)` in pixels; height and width at least 9.
        num_classes: Integer, at least 2.
        filters: Two positive integers, the maps of the hidden layers.
        permuted: Boolean. True puts the pixels into another, fixed order first.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)` in [0, 1] -> logits `(batch, num_classes)`.
    Raises:
        ValueError: If height or width is less than 9.
    Source: LeCun 1989, "Generalization and network design strategies", Net-3.
    """
    require_size("local_net", input_shape, SMALLEST)
    return _network("local_net", input_shape, num_classes, permuted, _windows(LocallyConnected2D, "local", filters))


def conv_net(input_shape, num_classes, *, filters=(16, 193), permuted=False):
    """Build a network of two convolutions. 98,691 parameters on 32×32×3, 10 classes.

    Args:
        input_shape: `(height, width, channels)` in pixels; height and width at least 9.
        num_classes: Integer, at least 2.
        filters: Two positive integers, the maps of the hidden layers.
        permuted: Boolean. True puts the pixels into another, fixed order first.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)` in [0, 1] -> logits `(batch, num_classes)`.
    Raises:
        ValueError: If height or width is less than 9.
    Source: LeCun 1989, "Generalization and network design strategies", Net-5. Departs: no layer is left local.
    """
    require_size("conv_net", input_shape, SMALLEST)
    return _network("conv_net", input_shape, num_classes, permuted, _windows(layers.Conv2D, "conv", filters))


def _windows(layer, name, filters):
    common = {"strides": 2, "activation": "relu", "kernel_initializer": "he_normal"}
    first, second = filters
    return [
        layer(first, 5, name=f"{name}1", **common),
        layer(second, 3, name=f"{name}2", **common),
        layers.Flatten(name="flatten"),
    ]


def _network(name, input_shape, num_classes, permuted, body):
    x = pixels = keras.Input(input_shape, name="pixels")
    for layer in [PermutePixels(name="permuted")] * bool(permuted) + body:
        x = layer(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=name)
