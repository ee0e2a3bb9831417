"""SqueezeNet: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters"."""

import keras
from keras import layers

from cnnkit.models.layers import conv_unit
from cnnkit.models.registry import register, require_size

# Table 1: filters of a fire module's narrow 1×1, and of each half of what it feeds; "pool" halves the maps.
FIRES = [(16, 64), (16, 64), (32, 128), "pool", (32, 128), (48, 192), (48, 192), (64, 256), "pool", (64, 256)]
SMALL = [(16, 32), (16, 32), "pool", (32, 64), (32, 64), "pool", (48, 96), (48, 96)]


@register(shown=(227, 227, 3, 1000))
def squeezenet(input_shape, num_classes):
    """Build SqueezeNet 1.0 for sides from 35. 1,248,424 parameters at 1000 classes, on pictures of any size.

    Source: Table 1 and sec. 3.1; 227 pixels give its maps of 111, 55, 27 and 13. Departs: the weights start as He's.
    """
    require_size("squeezenet", input_shape, 35, "pool3")
    x = pixels = keras.Input(input_shape, name="pixels")
    x = conv_unit(x, 96, 7, "conv1", strides=2, padding="valid")
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = layers.Dropout(0.5, name="dropout")(_fires(x, FIRES, padding="valid"))
    return keras.Model(pixels, _average(x, num_classes), name="squeezenet")


@register
def squeezenet_small(input_shape, num_classes, *, batch_norm=True):
    """Build six fire modules for small pictures. 172,618 parameters on 32×32×3.

    Departs: conv1 has 64 filters of 3×3, and nothing is halved before the third fire; every convolution but the last
        is batch-normalized; no dropout.
    """
    x = pixels = keras.Input(input_shape, name="pixels")
    x = _fires(conv_unit(x, 64, 3, "conv1", batch_norm=batch_norm), SMALL, "same", batch_norm)
    return keras.Model(pixels, _average(x, num_classes), name="squeezenet_small")


def _fires(x, plan, padding, batch_norm=False):
    """Fire modules: a 1×1 convolution squeezes the channels, a 1×1 and a 3×3 side by side expand them."""
    pools, fires = 1, 1
    for step in plan:
        if step == "pool":
            pools += 1
            x = layers.MaxPooling2D(3, strides=2, padding=padding, name=f"pool{pools}")(x)
            continue
        fires += 1
        squeezed = conv_unit(x, step[0], 1, f"fire{fires}_squeeze", batch_norm=batch_norm)
        halves = [
            conv_unit(squeezed, step[1], side, f"fire{fires}_{side}x{side}", batch_norm=batch_norm) for side in (1, 3)
        ]
        x = layers.Concatenate(name=f"fire{fires}")(halves)
    return x


def _average(x, num_classes):
    """A map a class, whose mean is its logit."""
    x = layers.Conv2D(num_classes, 1, kernel_initializer="he_normal", dtype="float32", name="conv10")(x)
    return layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)
