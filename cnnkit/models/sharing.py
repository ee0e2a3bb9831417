"""Four networks, each of which knows more of what pictures are: what a convolutional network is measured against.

In `local_net` and `conv_net` a unit sees a window, 5×5, then 3×3, 2 apart, with weights of its own or its map's.
Source: LeCun 1989, "Generalization and network design strategies". Departs: ReLU, He's start and softmax cross-entropy.
"""

import keras
import numpy as np
from keras import layers, ops

from cnnkit.models.layers import serializable
from cnnkit.models.registry import register, require_size


@serializable
class LocallyConnected2D(keras.layers.Layer):
    """A convolution ('valid') whose every place has kernels and biases of its own. Keras had one up to version 2.

    Arguments and shapes are those of `Conv2D`, with one integer for both sides. A place's fan-in is a convolution's.
    """

    def __init__(self, filters, kernel_size, strides=1, activation=None, kernel_initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        if min(input_shape[1:3]) < self.kernel_size:
            raise ValueError(
                f"Expected an image of at least {self.kernel_size} pixels a side, the kernel's. "
                f"Received: input_shape={tuple(input_shape)}. Take a smaller kernel or larger images."
            )
        _, height, width, _ = self.compute_output_shape(input_shape)
        fan_in = self.kernel_size**2 * input_shape[-1]
        self.places = None

        def fan_in_scaled(shape, dtype):  # as for one convolution, whose kernel is a matrix from window to maps
            windows = self.kernel_initializer((fan_in, height * width * self.filters), dtype)
            return ops.reshape(ops.transpose(windows), shape)

        shape = (height * width, self.filters, fan_in)
        self.kernel = self.add_weight(shape=shape, initializer=fan_in_scaled, name="kernel")
        self.bias = self.add_weight(shape=(*shape[:2], 1), initializer="zeros", name="bias")

    def _windows(self, input_shape):
        """The places in a flat image that each place of the output sees: `(places, kernel_size**2 * channels)`."""
        values = np.arange(np.prod(input_shape[1:]), dtype="int32").reshape(input_shape[1:])
        windows = np.lib.stride_tricks.sliding_window_view(values, (self.kernel_size,) * 2, axis=(0, 1))
        windows = windows[:: self.strides, :: self.strides].transpose(0, 1, 3, 4, 2)  # channels last, as in a kernel
        return windows.reshape(self.kernel.shape[0], -1)

    def call(self, inputs):
        if self.places is None:  # not in `build`: it is as large as the kernel, and a sketch has no use for it
            self.places = self._windows(inputs.shape)
        # With the batch as the last axis a window is a copy of rows: eight times faster than of patches and einsum.
        values = ops.transpose(ops.reshape(inputs, (-1, np.prod(inputs.shape[1:]))))
        maps = ops.matmul(self.kernel, ops.take(values, self.places, axis=0)) + self.bias  # (places, filters, batch)
        shape = self.compute_output_shape(inputs.shape)[1:]
        return self.activation(ops.reshape(ops.transpose(maps, (2, 0, 1)), (-1, *shape)))

    def compute_output_shape(self, input_shape):
        batch, *sides, _ = input_shape
        return batch, *((side - self.kernel_size) // self.strides + 1 for side in sides), self.filters

    def anatomy(self, input_shape, output_shape):
        window = {"kernel_size": (self.kernel_size,) * 2, "strides": (self.strides,) * 2, "padding": "valid"}
        return window | {"macs": self.kernel_size**2 * input_shape[-1] * int(np.prod(output_shape))}

    def get_config(self):
        window = {"filters": self.filters, "kernel_size": self.kernel_size, "strides": self.strides}
        activation = keras.activations.serialize(self.activation)
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return super().get_config() | window | {"activation": activation, "kernel_initializer": initializer}


@register
def softmax(input_shape, num_classes):
    """Build softmax regression (Net-1; LeCun et al. 1998, III.C.1), one linear layer. 7,850 parameters on 28×28×1."""
    return _perceptron("softmax", input_shape, num_classes)


@register
def mlp(input_shape, num_classes, *, units=(512,), activation="relu", dropout_rate=0.0, l2=0.0):
    """Build a multi-layer perceptron (Net-2; LeCun et al. 1998, III.C.5). 407,050 parameters on 28×28×1.

    Args:
        units: Sequence of positive integers, the hidden layers' sizes; their weights start as He's.
        activation, dropout_rate: Name of a Keras activation after each hidden layer, and float in [0, 1) on its output.
        l2: Float, at least 0: this times the sum of the squared weights, biases left out, is added to the loss.
    """
    if not isinstance(units, (list, tuple)) or not all(type(size) is int and size > 0 for size in units):
        raise ValueError(f"Expected units as a list of positive integers, like [512]. Received: units={units!r}.")
    return _perceptron("mlp", input_shape, num_classes, units, activation, dropout_rate, l2)


def _perceptron(name, input_shape, num_classes, units=(), activation="relu", dropout_rate=0.0, l2=0.0):
    penalty = keras.regularizers.L2(l2) if l2 else None
    x = pixels = keras.Input(input_shape, name="pixels")
    x = layers.Flatten(name="flatten")(x)
    for depth, size in enumerate(units, start=1):
        start = {"kernel_initializer": "he_normal", "kernel_regularizer": penalty}
        x = layers.Dense(size, activation, name=f"dense{depth}", **start)(x)
        if dropout_rate:
            x = layers.Dropout(dropout_rate, name=f"dropout{depth}")(x)
    logits = layers.Dense(num_classes, kernel_regularizer=penalty, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=name)


@register
def local_net(input_shape, num_classes, *, filters=(5, 12)):
    """Build two locally connected layers of `filters` maps (Net-3), sides from 9. 98,682 parameters on 32×32×3."""
    return _network("local_net", LocallyConnected2D, input_shape, num_classes, filters)


@register
def conv_net(input_shape, num_classes, *, filters=(16, 193)):
    """Build two convolutions of `filters` maps (Net-5, but none local), sides from 9. 98,691 parameters on 32×32×3."""
    return _network("conv_net", layers.Conv2D, input_shape, num_classes, filters)


def _network(name, layer, input_shape, num_classes, filters):
    require_size(name, input_shape, 9)  # (9 - 5) / 2 + 1 = 3 places, one window of the second layer
    if len(filters) != 2 or not all(type(maps) is int and maps > 0 for maps in filters):
        raise ValueError(f"Expected filters as two positive integers, like [5, 12]. Received: filters={filters!r}.")
    common = {"strides": 2, "activation": "relu", "kernel_initializer": "he_normal"}
    kind = name.removesuffix("_net")
    x = pixels = keras.Input(input_shape, name="pixels")
    x = layer(filters[0], 5, name=f"{kind}1", **common)(x)
    x = layer(filters[1], 3, name=f"{kind}2", **common)(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(pixels, layers.Dense(num_classes, dtype="float32", name="logits")(x), name=name)
