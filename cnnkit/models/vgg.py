"""VGG: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition"."""

import keras
from keras import layers

from cnnkit.models.layers import classify, conv_unit
from cnnkit.models.registry import register, require_choice, require_size

# Table 1, columns D and E: convolutions a block; a block's filters are 64, 128, 256, 512, 512.
DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


@register(shown=(224, 224, 3, 1000))
def vgg16(input_shape, num_classes):
    """Build VGG-16 for sides from 32. 138,357,544 parameters at 224×224×3 and 1000 classes, 124 million of them dense.

    Source: Table 1, column D. Departs: the weights start as He's; the paper's came from a shallower network.
    """
    return _vgg("vgg16", input_shape, num_classes)


@register(shown=(224, 224, 3, 1000))
def vgg19(input_shape, num_classes):
    """Build VGG-19 for sides from 32. 143,667,240 parameters at 224×224×3 and 1000 classes.

    Source: Table 1, column E. Departs: as vgg16.
    """
    return _vgg("vgg19", input_shape, num_classes)


def _vgg(name, input_shape, num_classes):
    require_size(name, input_shape, 32, "pool5")
    x = pixels = keras.Input(input_shape, name="pixels")
    for block, depth in enumerate(DEPTHS[name], start=1):
        for place in range(1, depth + 1):
            x = conv_unit(x, min(512, 32 * 2**block), 3, f"conv{block}_{place}")
        x = layers.MaxPooling2D(name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for hidden in ("fc6", "fc7"):
        x = layers.Dense(4096, "relu", kernel_initializer="he_normal", name=hidden)(x)
        x = layers.Dropout(0.5, name=f"{hidden}_dropout")(x)
    return keras.Model(pixels, classify(x, num_classes, "fc8"), name=name)


@register
def vgg_small(
    input_shape,
    num_classes,
    *,
    filters=32,
    depth=2,
    kernel_size=3,
    pooling="max",
    pool_size=2,
    batch_norm=True,
    head="average",
    dropout_rate=0.0,
):
    """Build VGG's plan for small pictures: three blocks of equal convolutions. 288,746 parameters on 32×32×3.

    Args:
        filters, depth: Integers, channels of the first block (they double from block to block), convolutions a block.
        kernel_size: Integer, the side of all convolutions' windows in pixels.
        pooling: "max" or "average" after every block, or "stride": the block's last convolution halves the maps.
        pool_size: Integer, the side of the pooling windows and how far apart they are, in pixels.
        batch_norm: Whether each convolution is batch-normalized; VGG was not.
        head: "average" for the logits of the maps' means, "flatten" for those of all their values, or "dense" for a
            layer of 256 units between.
        dropout_rate: Float in [0, 1), on what the logits read.
    """
    require_choice("vgg_small", "pooling", pooling, ("max", "average", "stride"))
    require_choice("vgg_small", "head", head, ("average", "flatten", "dense"))
    if pooling != "stride":
        require_size("vgg_small", input_shape, pool_size**3, "pool3")
    x = pixels = keras.Input(input_shape, name="pixels")
    for block in range(1, 4):
        for place in range(1, depth + 1):
            strides = 2 if pooling == "stride" and place == depth else 1
            name = f"conv{block}_{place}"
            x = conv_unit(x, filters * 2 ** (block - 1), kernel_size, name, strides=strides, batch_norm=batch_norm)
        if pooling != "stride":
            pool = layers.MaxPooling2D if pooling == "max" else layers.AveragePooling2D
            x = pool(pool_size, name=f"pool{block}")(x)
    x = (layers.GlobalAveragePooling2D if head == "average" else layers.Flatten)(name=head)(x)
    if head == "dense":
        x = layers.Dense(256, "relu", kernel_initializer="he_normal", name="fc")(x)
    if dropout_rate:
        x = layers.Dropout(dropout_rate, name="dropout")(x)
    return keras.Model(pixels, classify(x, num_classes), name="vgg_small")
