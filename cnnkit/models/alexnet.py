"""AlexNet: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional networks"."""

import keras
from keras import layers

from cnnkit.models.layers import LocalResponseNormalization, classify, conv_unit
from cnnkit.models.registry import register, require_choice, require_filters, require_size

# Fig. 2: name, filters, kernel side, whether its filters see only their own tower, and what follows it.
ALEXNET = [
    ("conv1", 96, 11, False, "normalize, pool"),
    ("conv2", 256, 5, True, "normalize, pool"),
    ("conv3", 384, 3, False, ""),
    ("conv4", 384, 3, True, ""),
    ("conv5", 256, 3, True, "pool"),
]


@register(shown=(227, 227, 3, 1000))
def alexnet(input_shape, num_classes, *, towers=2):
    """Build AlexNet for sides from 67. 60,965,224 parameters at 227×227×3 and 1000 classes.

    Args:
        towers: 2 as published, halves that meet only in conv3 and the dense layers, or 1: 62,378,344 parameters.
    Source: Secs. 3.1 to 3.5, 4.2 and 5. Departs: 227 pixels, not the 224 it prints, give its 55×55 maps; He's start for
        Gaussians of deviation 0.01 with biases of 1, which no other size of picture and no other step fits.
    """
    require_choice("alexnet", "towers", towers, (1, 2))
    require_size("alexnet", input_shape, 67, "pool5")
    x = pixels = keras.Input(input_shape, name="pixels")
    for name, filters, side, split, then in ALEXNET:
        place = {"strides": 4, "padding": "valid"} if name == "conv1" else {}
        x = conv_unit(x, filters, side, name, groups=towers if split else 1, **place)
        if "normalize" in then:
            x = LocalResponseNormalization(name=f"lrn{name[-1]}")(x)
        if "pool" in then:
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{name[-1]}")(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = layers.Dense(4096, "relu", kernel_initializer="he_normal", name=name)(x)
        x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
    return keras.Model(pixels, classify(x, num_classes, "fc8"), name="alexnet")


@register
def alexnet_small(
    input_shape,
    num_classes,
    *,
    width=1.0,
    towers=1,
    activation="relu",
    lrn=None,
    batch_norm=False,
    pool_size=3,
    dropout_rate=0.5,
    head="flatten",
):
    """Build AlexNet at a quarter of its widths, for sides from 1. 2,343,530 parameters on 32×32×3.

    Args:
        width: Positive float: every convolution keeps this share of its filters.
        towers: Integer that divides the channels of conv2, conv4 and conv5: their filters see only their own tower.
        activation: Name of a Keras activation after every layer but the last.
        lrn: None, or the alpha of local response normalization after conv1 and conv2; see caffe_quick.
        batch_norm: Whether each convolution is batch-normalized before its activation.
        pool_size: Integer, side of the windows in pixels, 2 apart: 3 overlaps as published, 2 does not.
        dropout_rate: Float in [0, 1), after both hidden dense layers.
        head: "flatten" with the two dense layers of 1024 units, or "average": the logits of the maps' means.
    Departs: conv1 has 5×5 windows 1 apart, and padding keeps sides: 32, 16, 8, 4 pixels. The weights start as He's.
    """
    require_choice("alexnet_small", "head", head, ("flatten", "average"))
    x = pixels = keras.Input(input_shape, name="pixels")
    for name, filters, side, split, then in ALEXNET:
        groups, filters = towers if split else 1, require_filters("alexnet_small", "width", width, filters // 4, name)
        if x.shape[-1] % groups or filters % groups:
            channels = f"the {x.shape[-1]} channels and {filters} filters of {name}"
            raise ValueError(f"Expected towers of alexnet_small to divide {channels}. Received: towers={towers}.")
        unit = {"batch_norm": batch_norm, "activation": activation, "groups": groups}
        x = conv_unit(x, filters, 5 if name == "conv1" else side, name, **unit)
        if lrn is not None and "normalize" in then:
            x = LocalResponseNormalization(alpha=lrn, name=f"lrn{name[-1]}")(x)
        if "pool" in then:
            x = layers.MaxPooling2D(pool_size, strides=2, padding="same", name=f"pool{name[-1]}")(x)
    if head == "average":
        x = layers.GlobalAveragePooling2D(name="average")(x)
        return keras.Model(pixels, classify(x, num_classes), name="alexnet_small")
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = layers.Dense(1024, activation, kernel_initializer="he_normal", name=name)(x)
        x = layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)
    return keras.Model(pixels, classify(x, num_classes), name="alexnet_small")
