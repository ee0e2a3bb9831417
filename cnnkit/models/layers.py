"""Layers that several papers need and Keras lacks, by `keras.ops` alone; `anatomy` says what one costs and sees."""

import keras
import numpy as np
from keras import layers, ops

serializable = keras.saving.register_keras_serializable(package="cnnkit")


@serializable
class LocalResponseNormalization(keras.layers.Layer):
    """Divide `(..., channels)` by `(bias + alpha * sum of squares over `size` neighbouring channels) ** beta`.

    `size` is odd; at the edges only the channels that exist count. AlexNet does not divide alpha by it (Caffe does).
    Source: Krizhevsky et al. 2012, sec. 3.3; the defaults are its values, `bias` its k.
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
        sums = ops.matmul(ops.square(inputs), ops.cast(self.alpha * self.neighbours, inputs.dtype))
        if self.beta != 0.75:
            return inputs * ops.power(self.bias + sums, -self.beta)
        root = ops.rsqrt(self.bias + sums)  # two square roots instead of a power: four times faster on a CPU
        return inputs * root * ops.sqrt(root)

    def compute_output_shape(self, input_shape):
        return input_shape

    def anatomy(self, input_shape, output_shape):
        return {}

    def get_config(self):
        return super().get_config() | {"size": self.size, "alpha": self.alpha, "beta": self.beta, "bias": self.bias}


def conv_unit(
    x,
    filters,
    kernel_size,
    name,
    *,
    strides=1,
    padding="same",
    groups=1,
    batch_norm=False,
    epsilon=1e-5,
    activation="relu",
    layer=layers.Conv2D,
):
    """Apply a convolution named `name` to `x`, then batch normalization (it has no bias then), then `activation`.

    Weights start as He's. `layer` may be `DepthwiseConv2D`, with `filters` None. `activation` None is left out. Batch
    normalization has this `epsilon`, and forgets with 0.9 (Keras' 0.99 needs 298 updates to forget its start).
    """
    sizes = {} if filters is None else {"filters": filters, "groups": groups, "kernel_initializer": "he_normal"}
    how = {"strides": strides, "padding": padding, "use_bias": not batch_norm}
    x = layer(kernel_size=kernel_size, name=name, **sizes, **how)(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=f"{name}_norm")(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def classify(x, num_classes, name="logits"):
    """Apply the last dense layer to `x`; its logits stay float32 under mixed precision, or their loss loses digits."""
    return layers.Dense(num_classes, dtype="float32", name=name)(x)
