"""Two networks at chosen parameter counts that see the same windows: 5×5 pixels 2 apart, then 3×3 places 2 apart.

In `local_net` every unit has weights of its own, in `conv_net` all units of a map share them. Both have two hidden
layers with ReLU and a linear one on top, as `mlp` with two sizes in `units`, where every unit sees all pixels.
Source: LeCun 1989, "Generalization and network design strategies".
"""

import keras
import numpy as np
from keras import layers, ops

from cnnkit.models.layers import serializable
from cnnkit.models.registry import register, require_size


@serializable
class LocallyConnected2D(keras.layers.Layer):
    """A convolution ('valid') without its sharing: every place of the output has kernels and biases of its own.

    The arguments are those of `Conv2D`, integers for both sides, the shapes too: `(batch, height, width, channels)`
    -> `(batch, (height - kernel_size) // strides + 1, ..., filters)`. A place's fan-in is that of a convolution.
    Keras had such a layer up to version 2.
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
def local_net(input_shape, num_classes, *, filters=(5, 12)):
    """Build a network of two locally connected layers, Net-3, of `filters` maps. 98,682 parameters on 32×32×3.

    Height and width are at least 9.
    """
    return _network("local_net", LocallyConnected2D, input_shape, num_classes, filters)


@register
def conv_net(input_shape, num_classes, *, filters=(16, 193)):
    """Build a network of two convolutions of `filters` maps. 98,691 parameters on 32×32×3.

    Height and width are at least 9. It is the paper's Net-5. Departs: no layer is left local.
    """
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
