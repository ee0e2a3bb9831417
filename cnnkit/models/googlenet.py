"""GoogLeNet: Szegedy et al. 2014, "Going deeper with convolutions"."""

import keras
from keras import layers

from cnnkit.models.layers import LocalResponseNormalization, classify, conv_unit
from cnnkit.models.registry import register, require_filters, require_size

# Table 1: filters of 1×1; of the 1×1 before 3×3, and of 3×3; the same for 5×5; of the 1×1 after the pooling.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
LOSS_WEIGHTS = (1.0, 0.3, 0.3)  # sec. 5: of the logits and of the two auxiliary heads


@register(shown=(224, 224, 3, 1000))
def googlenet(input_shape, num_classes, *, auxiliary=False):
    """Build GoogLeNet. 6,998,552 parameters at 224×224×3 and 1000 classes; 13,378,280 with its auxiliary heads.

    Args:
        auxiliary: Whether the outputs are three, `[logits, after 4a, after 4d]`, as in the paper's training, for
            `compile(loss_weights=LOSS_WEIGHTS)` and sides from 65. A run reads one accuracy, so `create_model` refuses
            them: take `get_builder("googlenet")`.
    Source: Sec. 5 and table 1. Departs: the weights start as He's.
    """
    if auxiliary:
        require_size("googlenet with auxiliary heads", input_shape, 65, "aux4a_pool")
    x = pixels = keras.Input(input_shape, name="pixels")
    x = conv_unit(x, 64, 7, "conv1", strides=2)
    x = LocalResponseNormalization(name="lrn1")(_pool(x, "pool1"))
    x = conv_unit(conv_unit(x, 64, 1, "conv2_reduce"), 192, 3, "conv2")
    x = _pool(LocalResponseNormalization(name="lrn2")(x), "pool2")
    heads = []
    for name, filters in MODULES.items():
        x = _inception(x, filters, name)
        if auxiliary and name in ("4a", "4d"):
            heads.append(_auxiliary(x, num_classes, f"aux{name}"))
        if name in ("3b", "4e"):
            x = _pool(x, f"pool{name[0]}")
    x = layers.Dropout(0.4, name="dropout")(layers.GlobalAveragePooling2D(name="average")(x))
    logits = classify(x, num_classes)
    return keras.Model(pixels, [logits, *heads] if auxiliary else logits, name="googlenet")


@register
def inception_small(input_shape, num_classes, *, width=0.25, batch_norm=True):
    """Build seven of GoogLeNet's modules at `width` of their filters. 305,502 parameters on 32×32×3.

    Departs: a 3×3 convolution and one pooling stand for the layers before 3a, which would leave 4×4 of 32×32 pixels;
        4b and 4d are left out; each convolution is batch-normalized, as in Ioffe and Szegedy 2015.
    """
    x = pixels = keras.Input(input_shape, name="pixels")
    filters = require_filters("inception_small", "width", width, 192, "conv1")
    x = _pool(conv_unit(x, filters, 3, "conv1", batch_norm=batch_norm), "pool1")
    for name in ("3a", "3b", "4a", "4c", "4e", "5a", "5b"):
        filters = [require_filters("inception_small", "width", width, count, name) for count in MODULES[name]]
        x = _inception(x, filters, name, batch_norm)
        if name in ("3b", "4e"):
            x = _pool(x, f"pool{name[0]}")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(pixels, classify(x, num_classes), name="inception_small")


def _inception(x, filters, name, batch_norm=False):
    """Four branches on the same maps, side by side: 1×1, 3×3 and 5×5 behind narrow 1×1s, and pooling before a 1×1."""
    one, *reduced, pooled = filters

    def conv(x, count, side, branch):
        return conv_unit(x, count, side, f"{name}_{branch}", batch_norm=batch_norm)

    branches = [conv(x, one, 1, "1x1")]
    for side, narrow, count in zip((3, 5), reduced[::2], reduced[1::2], strict=True):
        branches.append(conv(conv(x, narrow, 1, f"{side}x{side}_reduce"), count, side, f"{side}x{side}"))
    around = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    return layers.Concatenate(name=name)([*branches, conv(around, pooled, 1, "pool_1x1")])


def _auxiliary(x, num_classes, name):
    x = layers.AveragePooling2D(5, strides=3, name=f"{name}_pool")(x)
    x = layers.Flatten(name=f"{name}_flatten")(conv_unit(x, 128, 1, f"{name}_1x1"))
    x = layers.Dense(1024, "relu", kernel_initializer="he_normal", name=f"{name}_fc")(x)
    return classify(layers.Dropout(0.7, name=f"{name}_dropout")(x), num_classes, f"{name}_logits")


def _pool(x, name):
    return layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)
