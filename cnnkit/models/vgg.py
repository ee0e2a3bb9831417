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
    padding="same",
    pooling="max",
    pool_size=2,
    batch_norm=True,
    head="average",
):
    """Build VGG's plan for small pictures: three blocks of equal convolutions. 288,746 parameters on 32×32×3.

    Args:
        filters, depth: Integers, channels of the first block (they double from block to block), convolutions a block.
        kernel_size: Integer, the side of all convolutions' windows in pixels.
        padding: "same" keeps the maps' sides, "valid" does not; "frame" puts zeros around the picture, as many as leave
            the last maps as large, and is valid after that (for an odd `kernel_size`, and where it pools).
        pooling: "max" or "average" after every block, or "stride": the block's last convolution halves the maps.
        pool_size: Integer, the side of the first block's pooling windows and how far apart they are, in pixels.
        batch_norm: Whether each convolution is batch-normalized; VGG was not.
        head: "average" for the logits of the maps' means, "flatten" for those of all their values, or "dense" for a
            layer of 256 units between.
    """
    require_choice("vgg_small", "padding", padding, ("same", "valid", "frame"))
    require_choice("vgg_small", "pooling", pooling, ("max", "average", "stride"))
    require_choice("vgg_small", "head", head, ("average", "flatten", "dense"))
    cut = depth * (kernel_size - 1)  # pixels that a block's valid convolutions take from a side
    if pooling != "stride":
        least = 4 * pool_size if padding != "valid" else pool_size * (cut + 2 * (cut + 2)) + cut
        require_size("vgg_small", input_shape, least, "pool3")
    x = pixels = keras.Input(input_shape, name="pixels")
    if padding == "frame":
        x = layers.ZeroPadding2D(cut * (1 + 3 * pool_size) // 2, name="frame")(x)
    for block in range(1, 4):
        for place in range(1, depth + 1):
            how = {"padding": "same" if padding == "same" else "valid", "batch_norm": batch_norm}
            how["strides"] = 2 if pooling == "stride" and place == depth else 1
            x = conv_unit(x, filters * 2 ** (block - 1), kernel_size, f"conv{block}_{place}", **how)
        if pooling != "stride":
            pool = layers.MaxPooling2D if pooling == "max" else layers.AveragePooling2D
            x = pool(pool_size if block == 1 else 2, name=f"pool{block}")(x)
    x = (layers.GlobalAveragePooling2D if head == "average" else layers.Flatten)(name=head)(x)
    if head == "dense":
        x = layers.Dense(256, "relu", kernel_initializer="he_normal", name="fc")(x)
    return keras.Model(pixels, classify(x, num_classes), name="vgg_small")
