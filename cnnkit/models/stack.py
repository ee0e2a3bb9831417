"""A plain stack of equal convolutions, to see what depth alone does to signals, gradients and training."""

import math

import keras
from keras import initializers, layers

from cnnkit.models.layers import classify
from cnnkit.models.registry import register, require_choice

# How weights are drawn; all but zeros have the variance 2 gain² / fan-in, which at gain 1 is He's.
STARTS = {
    "normal": lambda gain: initializers.VarianceScaling(2 * gain**2, "fan_in", "untruncated_normal"),
    "uniform": lambda gain: initializers.VarianceScaling(2 * gain**2, "fan_in", "uniform"),
    "orthogonal": lambda gain: initializers.Orthogonal(math.sqrt(2) * gain),
    "zeros": lambda gain: initializers.Zeros(),
}


@register
def conv_stack(
    input_shape,
    num_classes,
    *,
    depth=8,
    filters=16,
    activation="relu",
    start="normal",
    gain=1.0,
    batch_norm=False,
    norm_momentum=0.9,
):
    """Build `depth` 3×3 convolutions of equal width, the first with stride 2. 57,658 parameters on 32×32×3.

    Args:
        depth, filters: Integers, how many convolutions, and the channels of each.
        activation: Name that Keras knows, after each convolution.
        start, gain: How the convolutions' weights are drawn ("normal", "uniform", "orthogonal" or "zeros"), and their
            deviation in units of He's, above 0: sqrt(1/2) is Glorot's, where a layer is as wide as the one before it.
        batch_norm, norm_momentum: Whether each convolution is batch-normalized (it has no bias then), and with which
            momentum the averages that evaluation uses forget.
    Source: ours, after He et al. 2015, "Delving deep into rectifiers", sec. 2.2.
    """
    require_choice("conv_stack", "start", start, tuple(STARTS))
    x = pixels = keras.Input(input_shape, name="pixels")
    for place in range(1, depth + 1):
        how = {"padding": "same", "use_bias": not batch_norm, "kernel_initializer": STARTS[start](gain)}
        x = layers.Conv2D(filters, 3, strides=2 if place == 1 else 1, name=f"conv{place}", **how)(x)
        if batch_norm:
            x = layers.BatchNormalization(momentum=norm_momentum, name=f"norm{place}")(x)
        x = layers.Activation(activation, name=f"activation{place}")(x)
    return keras.Model(pixels, classify(layers.Flatten(name="flatten")(x), num_classes), name="conv_stack")
