"""Layers that published networks need and Keras lacks: channels last, `keras.ops` only, so all backends run them.

Their `anatomy` methods tell `cnnkit.anatomy` what they cost and see.
"""

import keras
import numpy as np
from keras import ops

serializable = keras.saving.register_keras_serializable(package="cnnkit")


@serializable
def scaled_tanh(x):
    """LeNet-5's squashing function `1.7159 tanh(2x / 3)`, element by element: it maps 1 to 1 and -1 to -1.

    Source: LeCun et al. 1998, eq. 6 and appendix A. It bends most near ±1, so units work where they are not linear.
    """
    return 1.7159 * ops.tanh(x * (2 / 3))


@serializable
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each value by `(bias + alpha * sum of squares over `size` neighbouring channels) ** beta`.

    Args:
        size: Odd integer, channels in the sum, the value's own in the middle; at the edges only those that exist.
        alpha: Float, weight of the sum (AlexNet does not divide it by `size`; Caffe does).
        beta: Float, exponent.
        bias: Positive float (`k` in the paper).
    Input and output shape: `(..., channels)`, the same.
    Raises:
        ValueError: If `size` is not a positive odd integer, or `bias` is not positive.
    Source: Krizhevsky et al. 2012, sec. 3.3; the defaults are its values.
    """

    def __init__(self, size=5, alpha=1e-4, beta=0.75, bias=2.0, **kwargs):
        if size < 1 or size % 2 == 0:
            raise ValueError(f"Expected size to be a positive odd number of channels. Received: size={size}.")
        if bias <= 0:
            raise ValueError(f"Expected bias > 0 (it keeps the division finite). Received: bias={bias}.")
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def build(self, input_shape):
        channel = np.arange(input_shape[-1])
        # One product with a banded matrix of ones sums every window, in one pass over the image.
        self.neighbours = (abs(channel[:, None] - channel) <= self.size // 2).astype("float32")

    def call(self, inputs):
        sums = ops.matmul(ops.square(inputs), ops.cast(self.neighbours, inputs.dtype))
        return inputs * ops.power(self.bias + self.alpha * sums, -self.beta)

    def compute_output_shape(self, input_shape):
        return input_shape

    def anatomy(self, input_shape, output_shape):
        return {}

    def get_config(self):
        return super().get_config() | {"size": self.size, "alpha": self.alpha, "beta": self.beta, "bias": self.bias}


@serializable
class SubSampling(keras.layers.Layer):
    """Sum each window of a map, times one trainable coefficient, plus one trainable bias: LeNet-5's S2 and S4.

    The coefficient starts uniform in ±2.4 / window area (the paper's rule: fan-in of the unit), the bias at 0.

    Args:
        pool_size: Integer, side of the windows in pixels; they do not overlap, and a rest at the edge is dropped.
    Input shape: `(batch, height, width, channels)`.
    Output shape: `(batch, height // pool_size, width // pool_size, channels)`.
    Source: LeCun et al. 1998, sec. II.B. The squashing function that follows is a layer of its own.
    """

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def build(self, input_shape):
        limit = 2.4 / self.pool_size**2
        uniform = keras.initializers.RandomUniform(-limit, limit)
        self.coefficient = self.add_weight(shape=input_shape[-1:], initializer=uniform, name="coefficient")
        self.bias = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="bias")

    def call(self, inputs):
        # strides are spelled out: left to their default (the pool size), Keras 3.15 fails on JAX.
        means = ops.average_pool(inputs, self.pool_size, strides=self.pool_size, data_format="channels_last")
        return means * self.pool_size**2 * self.coefficient + self.bias

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, height // self.pool_size, width // self.pool_size, channels

    def anatomy(self, input_shape, output_shape):
        return {"kernel_size": (self.pool_size,) * 2, "strides": (self.pool_size,) * 2, "padding": "valid"}

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


@serializable
class SparseConv2D(keras.layers.Layer):
    """A convolution ('valid', stride 1) whose output maps each see only some of the input maps: LeNet-5's C3.

    Only connected kernels are weights. They start uniform in ±2.4 / fan-in of their output map (the paper's rule),
    the biases at 0.

    Args:
        connections: Table `(input maps, output maps)` of 0 and 1; 1 where the output map sees the input map.
        kernel_size: Integer, side of the square kernels in pixels.
    Input shape: `(batch, height, width, input maps)`.
    Output shape: `(batch, height - kernel_size + 1, width - kernel_size + 1, output maps)`.
    Raises:
        ValueError: If the table is not two-dimensional, an output map sees no input, or the input has other maps.
    Source: LeCun et al. 1998, sec. II.B and table I.
    """

    def __init__(self, connections, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self.connections = np.array(connections, dtype=bool)
        self.kernel_size = kernel_size
        if self.connections.ndim != 2 or not self.connections.any(axis=0).all():
            raise ValueError(
                "Expected connections as a table (input maps, output maps) with an input map for every output map. "
                f"Received: {self.connections.astype(int).tolist()}."
            )

    def build(self, input_shape):
        if input_shape[-1] != len(self.connections):
            raise ValueError(f"Expected {len(self.connections)} input maps. Received: input_shape={input_shape}.")
        area, positions = self.kernel_size**2, np.flatnonzero(self.connections)
        # A constant 0/1 matrix puts each connected kernel at its place in a dense one, so that the backend's own
        # convolution does the work; the product costs less than the convolution of one image.
        self.placement = np.eye(self.connections.size, dtype="float32")[positions]
        outputs = self.connections.shape[1]
        fan_in = area * self.connections.sum(axis=0)[positions % outputs]
        unit = keras.initializers.RandomUniform(-2.4, 2.4)
        self.kernel = self.add_weight(
            shape=(area, len(positions)),
            initializer=lambda shape, dtype: unit(shape, dtype) / ops.cast(fan_in, dtype),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(outputs,), initializer="zeros", name="bias")

    def dense_kernel(self):
        """The kernel as `(kernel_size, kernel_size, input maps, output maps)`, zero where nothing is connected."""
        kernel = ops.convert_to_tensor(self.kernel)
        dense = ops.matmul(kernel, ops.cast(self.placement, kernel.dtype))
        return ops.reshape(dense, (self.kernel_size, self.kernel_size, *self.connections.shape))

    def call(self, inputs):
        return ops.conv(inputs, self.dense_kernel(), data_format="channels_last") + self.bias

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        lost = self.kernel_size - 1
        return batch, height - lost, width - lost, self.connections.shape[1]

    def anatomy(self, input_shape, output_shape):
        height, width, _ = output_shape
        macs = height * width * self.kernel_size**2 * int(self.connections.sum())
        return {"kernel_size": (self.kernel_size,) * 2, "strides": (1, 1), "padding": "valid", "macs": macs}

    def get_config(self):
        table = self.connections.astype(int).tolist()
        return super().get_config() | {"connections": table, "kernel_size": self.kernel_size}


@serializable
class RBF(keras.layers.Layer):
    """Minus the squared Euclidean distance from the input to each class's fixed code: LeNet-5's output units as logits.

    The codes are not trained and not weights, as in the paper.

    Args:
        codes: Table `(num_classes, features)` of +1 and -1.
        scale: Positive float that multiplies the distances; 1 in the paper.
    Input shape: `(batch, features)`. Output shape: `(batch, num_classes)`, all at most 0.
    Source: LeCun et al. 1998, eq. 7.
    """

    def __init__(self, codes, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.codes = np.array(codes, dtype="int8")
        self.scale = scale

    def call(self, inputs):
        differences = ops.expand_dims(inputs, 1) - ops.cast(self.codes, inputs.dtype)
        return -self.scale * ops.sum(ops.square(differences), axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape[0], len(self.codes)

    def anatomy(self, input_shape, output_shape):
        return {"macs": self.codes.size, "sees_all": True}

    def get_config(self):
        return super().get_config() | {"codes": self.codes.tolist(), "scale": self.scale}


@serializable
class LocallyConnected2D(keras.layers.Layer):
    """A convolution ('valid') without its sharing: every place of the output has kernels and biases of its own.

    Args:
        filters: Integer, output maps.
        kernel_size: Integer, side of the square kernels in pixels.
        strides: Integer, pixels between neighbouring places.
        activation: Name of a Keras activation, or None.
        kernel_initializer: A Keras initializer that scales by fan-in; a place's fan-in is that of a convolution.
    Input shape: `(batch, height, width, channels)`.
    Output shape: `(batch, (height - kernel_size) // strides + 1, (width - kernel_size) // strides + 1, filters)`.
    Raises:
        ValueError: If the kernel is larger than the input.
    Source: LeCun 1989, "Generalization and network design strategies" (Net-3). Keras had such a layer up to version 2.
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
        values = np.arange(np.prod(input_shape[1:])).reshape(input_shape[1:])
        windows = np.lib.stride_tricks.sliding_window_view(values, (self.kernel_size,) * 2, axis=(0, 1))
        windows = windows[:: self.strides, :: self.strides].transpose(0, 1, 3, 4, 2)  # channels last, as in a kernel
        self.places = windows.reshape(height * width, -1).astype("int32")

        def fan_in_scaled(shape, dtype):  # as for one convolution, whose kernel is a matrix from window to maps
            places, filters, fan_in = shape
            return ops.reshape(ops.transpose(self.kernel_initializer((fan_in, places * filters), dtype)), shape)

        shape = (height * width, self.filters, self.places.shape[1])
        self.kernel = self.add_weight(shape=shape, initializer=fan_in_scaled, name="kernel")
        self.bias = self.add_weight(shape=(*shape[:2], 1), initializer="zeros", name="bias")

    def call(self, inputs):
        # With the batch as the last axis a window is a copy of rows: eight times faster than of patches and einsum.
        values = ops.transpose(ops.reshape(inputs, (-1, np.prod(inputs.shape[1:]))))
        maps = ops.matmul(self.kernel, ops.take(values, self.places, axis=0)) + self.bias  # (places, filters, batch)
        return self.activation(
            ops.reshape(ops.transpose(maps, (2, 0, 1)), (-1, *self.compute_output_shape(inputs.shape)[1:]))
        )

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


@serializable
class PermutePixels(keras.layers.Layer):
    """Move the pixels of every image to other places, in one fixed order; a pixel keeps its channels together.

    Args:
        order: Integer, at least 0, that decides the order: the same for all images, runs and machines.
    Input and output shape: `(batch, height, width, channels)`, the same.
    """

    def __init__(self, order=0, **kwargs):
        super().__init__(**kwargs)
        self.order = order

    def build(self, input_shape):
        # Not `default_rng`, whose streams a later NumPy may change: the order is part of what a run is.
        self.places = np.random.RandomState(self.order).permutation(input_shape[1] * input_shape[2])

    def call(self, inputs):
        _, height, width, channels = inputs.shape
        pixels = ops.reshape(inputs, (-1, height * width, channels))
        return ops.reshape(ops.take(pixels, self.places, axis=1), (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        return input_shape

    def anatomy(self, input_shape, output_shape):
        return {"sees_all": True}  # what lies in a window may come from anywhere

    def get_config(self):
        return super().get_config() | {"order": self.order}
