"""MobileNet: Howard et al. 2017, "MobileNets: Efficient convolutional neural networks for mobile vision"."""

import keras
from keras import layers

from cnnkit.models.layers import classify, conv_unit
from cnnkit.models.registry import register, require_filters

# Table 1: filters and stride of each separable convolution after conv1 (32 filters at stride 2).
MOBILENET = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *5 * [(512, 1)], (1024, 2), (1024, 1)]
SMALL = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1)]


@register(shown=(224, 224, 3, 1000))
def mobilenet(input_shape, num_classes, *, width_multiplier=1.0):
    """Build MobileNet. 4,231,976 trainable parameters at 224×224×3 and 1000 classes.

    Args:
        width_multiplier: Positive float: every layer keeps this share of its filters (the paper: 1, 0.75, 0.5, 0.25).
    Source: Table 1, secs. 3.1 to 3.3; that ReLU ends at 6 and epsilon is 0.001, from the authors' code. Departs: batch
        normalization forgets with 0.9.
    """
    x = pixels = keras.Input(input_shape, name="pixels")
    x = _separable(x, "mobilenet", MOBILENET, width_multiplier, strides=2)
    return keras.Model(pixels, classify(x, num_classes), name="mobilenet")


@register
def mobilenet_small(input_shape, num_classes, *, width_multiplier=1.0, separable=True):
    """Build MobileNet's first five separable convolutions for small pictures. 136,778 parameters on 32×32×3.

    Args:
        width_multiplier: Positive float: every layer keeps this share of its filters.
        separable: Whether a 3×3 convolution is one of each channel, then a 1×1 of all: False for a plain 3×3.
    Departs: conv1 is not strided.
    """
    x = pixels = keras.Input(input_shape, name="pixels")
    x = _separable(x, "mobilenet_small", SMALL, width_multiplier, separable=separable)
    return keras.Model(pixels, classify(x, num_classes), name="mobilenet_small")


def _separable(x, model, plan, width, strides=1, separable=True):
    """conv1 and a plan of separable convolutions, each with batch normalization and ReLU; then the maps' means."""

    def filters_of(count, layer):
        return require_filters(model, "width_multiplier", width, count, layer)

    unit = {"batch_norm": True, "epsilon": 1e-3, "activation": "relu6"}
    x = conv_unit(x, filters_of(32, "conv1"), 3, "conv1", strides=strides, **unit)
    for place, (count, strides) in enumerate(plan, start=2):
        name = f"conv{place}"
        filters = filters_of(count, name)
        if separable:
            each = f"{name}_depthwise"
            x = conv_unit(x, None, 3, each, layer=layers.DepthwiseConv2D, strides=strides, **unit)
            x = conv_unit(x, filters, 1, name, **unit)
        else:
            x = conv_unit(x, filters, 3, name, strides=strides, **unit)
    return layers.GlobalAveragePooling2D(name="average")(x)
