"""LeNet-5, then and now: LeCun et al. 1998, "Gradient-based learning applied to document recognition", Proc. IEEE."""

import keras
import numpy as np
from keras import layers, ops

from cnnkit.models.layers import serializable
from cnnkit.models.registry import register, require_size

# Table I of the paper. A row is one of S2's 6 maps, a column one of C3's 16; X: the C3 map sees the S2 map.
C3_TABLE = """
    X...XXX..XXXX.XX
    XX...XXX..XXXX.X
    XXX...XXX..X.XXX
    .XXX..XXXX..X.XX
    ..XXX..XXXX.XX.X
    ...XXX..XXXX.XXX
"""

# The codes of the output units are pictures: 12 rows of 7 pixels, which F6's 84 units have to draw.
DIGITS = """
    ..###..  ...#...  .#####.  .#####.  .....#.  #######  ..####.  #######  .#####.  .#####.
    .#...#.  ..##...  #.....#  #.....#  ....##.  #......  .#.....  ......#  #.....#  #.....#
    #.....#  .#.#...  ......#  ......#  ...#.#.  #......  #......  ......#  #.....#  #.....#
    #.....#  ...#...  ......#  ......#  ..#..#.  #......  #......  .....#.  #.....#  #.....#
    #.....#  ...#...  .....#.  .....#.  .#...#.  ######.  #.####.  .....#.  .#...#.  #.....#
    #.....#  ...#...  ....#..  ..###..  #....#.  ......#  ##....#  ....#..  ..###..  #....##
    #.....#  ...#...  ...#...  .....#.  #######  ......#  #.....#  ....#..  .#...#.  .####.#
    #.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
    #.....#  ...#...  .#.....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
    #.....#  ...#...  #......  ......#  .....#.  ......#  #.....#  ..#....  #.....#  ......#
    .#...#.  ...#...  #......  #.....#  .....#.  #.....#  .#...#.  ..#....  #.....#  .....#.
    ..###..  .#####.  #######  .#####.  .....#.  .#####.  ..###..  ..#....  .#####.  .####..
"""


@serializable
def scaled_tanh(x):
    """LeNet-5's squashing function (eq. 6 and appendix A): it keeps 1 and -1, and bends most near them."""
    return 1.7159 * ops.tanh(x * (2 / 3))


@serializable
class SubSampling(keras.layers.Layer):
    """Sum each window of a map, times one trainable coefficient, plus one trainable bias: S2 and S4 (sec. II.B).

    Shapes are those of a 'valid' pooling. Coefficients start uniform in ±2.4 / window area (its fan-in), biases at 0.
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
    """A convolution ('valid', stride 1) whose output maps each see only some of the input maps: C3 (sec. II.B).

    `connections` is a table `(input maps, output maps)`, 1 where the one sees the other. Only connected kernels are
    weights; they start uniform in ±2.4 / fan-in of their output map, the biases at 0.
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
        # A 0/1 matrix puts each kernel at its place in a dense one; that costs less than the convolution of one image.
        self.placement = np.eye(self.connections.size, dtype="float32")[positions]
        outputs = self.connections.shape[1]
        fan_in = area * self.connections.sum(axis=0)[positions % outputs]
        unit = keras.initializers.RandomUniform(-2.4, 2.4)

        def start(shape, dtype):
            return unit(shape, dtype) / ops.cast(fan_in, dtype)

        self.kernel = self.add_weight(shape=(area, len(positions)), initializer=start, name="kernel")
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
    """Minus the squared distance from `(batch, features)` to each class's fixed code of ±1 (eq. 7), as logits.

    `scale` multiplies the distances (1 in the paper). `cap` is None, or the scaled distance j of eq. 9 at which a class
    is far enough: `log(exp(-j) + sum(exp(logits))) - log(sum(exp(logits)))` is then a loss of this layer.
    """

    def __init__(self, codes, scale=1.0, cap=None, **kwargs):
        super().__init__(**kwargs)
        self.codes = np.array(codes, dtype="int8")
        self.scale, self.cap = scale, cap

    def call(self, inputs):
        differences = ops.expand_dims(inputs, 1) - ops.cast(self.codes, inputs.dtype)
        logits = -self.scale * ops.sum(ops.square(differences), axis=-1)
        if self.cap is not None:
            self.add_loss(ops.mean(ops.softplus(-self.cap - ops.logsumexp(logits, axis=-1))))
        return logits

    def compute_output_shape(self, input_shape):
        return input_shape[0], len(self.codes)

    def anatomy(self, input_shape, output_shape):
        return {"macs": self.codes.size, "sees_all": True}

    def get_config(self):
        return super().get_config() | {"codes": self.codes.tolist(), "scale": self.scale, "cap": self.cap}


@register
def lenet5(input_shape, num_classes, *, cap=None):
    """Build the LeNet-5 of 1998: 60,000 trainable parameters and 340,908 connections.

    Args:
        input_shape: `(32, 32, 1)`, or `(28, 28, 1)`, padded inside; [0, 1] with bright ink (`scaling="unit"`).
        cap: None, or a positive float, the constant j of the paper's criterion (eq. 9), in units of the logits: classes
            that are much farther than j are not pushed farther.
    Source: Sec. II.B; start of the weights from sec. II.C and appendix A.
    Departs: the code pictures are our own, and random beyond 10 classes. Without `cap` softmax cross-entropy is the
        paper's criterion but for its constant. The distances, 84 to 336 at first, are multiplied by 0.1, to start
        within reach of a gradient. Biases start at 0. The paper's steps were second-order.
    """
    if tuple(input_shape) not in {(28, 28, 1), (32, 32, 1)}:
        raise ValueError(
            "Expected input_shape (28, 28, 1) or (32, 32, 1) for lenet5, as published. "
            f"Received: input_shape={input_shape}. For larger or coloured pictures take lenet5_modern."
        )
    if cap is not None and not cap > 0:
        raise ValueError(f"Expected cap to be None or positive. Received: cap={cap}.")
    connections = np.array([list(row) for row in C3_TABLE.split()]) == "X"
    x = pixels = keras.Input(input_shape, name="pixels")
    x = _pad_to_32(x)
    x = layers.Rescaling(1.275, offset=-0.1, name="ink")(x)  # paper -0.1, ink 1.175: mean about 0, variance about 1
    x = layers.Conv2D(6, 5, kernel_initializer=_uniform(25), activation=scaled_tanh, name="C1")(x)
    x = layers.Activation(scaled_tanh, name="S2_squash")(SubSampling(name="S2")(x))
    x = layers.Activation(scaled_tanh, name="C3_squash")(SparseConv2D(connections, 5, name="C3")(x))
    x = layers.Activation(scaled_tanh, name="S4_squash")(SubSampling(name="S4")(x))
    x = layers.Conv2D(120, 5, kernel_initializer=_uniform(400), activation=scaled_tanh, name="C5")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(84, kernel_initializer=_uniform(120), activation=scaled_tanh, name="F6")(x)
    logits = RBF(_codes(num_classes), scale=0.1, cap=cap, dtype="float32", name="output")(x)
    return keras.Model(pixels, logits, name="lenet5")


@register
def lenet5_modern(input_shape, num_classes):
    """Build LeNet-5 as it is taught today, for sides from 28 (padded to 32). 61,706 parameters on 32×32×1.

    Departs: every C3 map sees all of S2; ReLU; max-pooling without weights; softmax logits; Keras' initial weights.
    """
    require_size("lenet5_modern", input_shape, 28)
    x = pixels = keras.Input(input_shape, name="pixels")
    x = _pad_to_32(x)
    x = layers.Conv2D(6, 5, activation="relu", name="C1")(x)
    x = layers.MaxPooling2D(name="S2")(x)
    x = layers.Conv2D(16, 5, activation="relu", name="C3")(x)
    x = layers.MaxPooling2D(name="S4")(x)
    x = layers.Flatten(name="flatten")(x)  # on 32×32 a dense layer here is the paper's 5×5 convolution of 5×5 maps
    x = layers.Dense(120, activation="relu", name="C5")(x)
    x = layers.Dense(84, activation="relu", name="F6")(x)
    return keras.Model(pixels, layers.Dense(num_classes, dtype="float32", name="logits")(x), name="lenet5_modern")


def _pad_to_32(x):
    """Zeros around `(batch, height, width, channels)` until height and width are at least 32."""
    missing = [max(0, 32 - side) for side in x.shape[1:3]]
    if not any(missing):
        return x
    return layers.ZeroPadding2D([(lost // 2, lost - lost // 2) for lost in missing], name="pad")(x)


def _uniform(fan_in):
    """The paper's start: uniform in ±2.4 / number of inputs of the unit."""
    return keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)


def _codes(num_classes):
    """Fixed codes `(num_classes, 84)` of ±1: the digits' pictures, row by row; random beyond ten classes."""
    if num_classes > 10:
        return np.random.default_rng(1998).choice([-1, 1], size=(num_classes, 84))
    rows = np.array(DIGITS.split()).reshape(12, 10)
    pictures = ["".join(rows[:, digit]) for digit in range(num_classes)]
    return np.where(np.array([list(picture) for picture in pictures]) == "#", 1, -1)
