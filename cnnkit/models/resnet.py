"""ResNet: He et al. 2015, "Deep residual learning for image recognition"; and its plain twins, without shortcuts."""

import keras
from keras import layers, ops

from cnnkit.models.layers import classify, conv_unit, serializable
from cnnkit.models.registry import register

STAGES = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}  # table 1: blocks a stage


@serializable
class WiderShortcut(layers.Layer):
    """Carry maps `(batch, height, width, channels)` to a wider stage: every second pixel, and zeros for new channels.

    It has no weights: option A of sec. 3.3.
    """

    def __init__(self, filters, strides=2, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.strides = filters, strides

    def call(self, inputs):
        kept = inputs[:, :: self.strides, :: self.strides]
        return ops.pad(kept, [(0, 0), (0, 0), (0, 0), (0, self.filters - inputs.shape[-1])])

    def compute_output_shape(self, input_shape):
        batch, *sides, _ = input_shape
        return batch, *(-(-side // self.strides) for side in sides), self.filters

    def anatomy(self, input_shape, output_shape):
        return {"kernel_size": (1, 1), "strides": (self.strides,) * 2, "padding": "valid"}

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "strides": self.strides}


@register(shown=(224, 224, 3, 1000))
def resnet18(input_shape, num_classes):
    """Build ResNet-18. 11,689,512 trainable parameters at 224×224×3 and 1000 classes.

    Source: Table 1, shortcuts of option B (a 1×1 convolution where a stage begins). Departs: at stride 2 Keras pads
        below and to the right only, in all but conv1; batch normalization forgets with 0.9.
    """
    return _imagenet("resnet18", input_shape, num_classes)


@register(shown=(224, 224, 3, 1000))
def resnet34(input_shape, num_classes):
    """Build ResNet-34. 21,797,672 trainable parameters at 224×224×3 and 1000 classes.

    Source: Table 1. Departs: as resnet18.
    """
    return _imagenet("resnet34", input_shape, num_classes)


@register(shown=(224, 224, 3, 1000))
def resnet50(input_shape, num_classes):
    """Build ResNet-50, of blocks of 1×1, 3×3, 1×1. 25,557,032 trainable parameters at 224×224×3 and 1000 classes.

    Source: Table 1; the stride of 2 is that of a block's first 1×1, as in the authors' files. Departs: as resnet18.
    """
    return _imagenet("resnet50", input_shape, num_classes, bottleneck=True)


def _imagenet(name, input_shape, num_classes, bottleneck=False):
    x = pixels = keras.Input(input_shape, name="pixels")
    x = layers.ZeroPadding2D(3, name="pad1")(x)
    x = conv_unit(x, 64, 7, "conv1", strides=2, padding="valid", batch_norm=True)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(layers.ZeroPadding2D(1, name="pad2")(x))
    for stage, blocks in enumerate(STAGES[name]):
        for block in range(1, blocks + 1):
            strides = 2 if stage and block == 1 else 1
            x = _block(x, 64 * 2**stage, f"conv{stage + 2}_{block}", strides, bottleneck=bottleneck)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(pixels, classify(x, num_classes), name=name)


def _block(x, filters, name, strides=1, bottleneck=False, shortcut="B"):
    """Two convolutions, or a bottleneck of three, and a shortcut around them: "A", "B", or None in a plain network."""
    plan = [(filters, 3), (filters, 3)] if not bottleneck else [(filters, 1), (filters, 3), (4 * filters, 1)]
    y = x
    for place, (count, side) in enumerate(plan, start=1):
        how = {"strides": strides if place == 1 else 1, "batch_norm": True}
        y = conv_unit(y, count, side, f"{name}_{place}", activation="relu" if place < len(plan) else None, **how)
    if shortcut == "B" and x.shape != y.shape:
        x = conv_unit(x, count, 1, f"{name}_shortcut", strides=strides, batch_norm=True, activation=None)
    elif shortcut == "A" and x.shape != y.shape:
        x = WiderShortcut(count, strides, name=f"{name}_shortcut")(x)
    y = layers.Add(name=f"{name}_add")([x, y]) if shortcut else y
    return layers.Activation("relu", name=f"{name}_relu")(y)


def _cifar(kind, depth, input_shape, num_classes, width):
    """Sec. 4.2: 6n + 2 layers, n blocks a stage of `width`, twice and four times as many filters."""
    x = pixels = keras.Input(input_shape, name="pixels")
    x = conv_unit(x, width, 3, "conv1", batch_norm=True)
    for stage in range(3):
        for block in range(1, (depth - 2) // 6 + 1):
            strides = 2 if stage and block == 1 else 1
            shortcut = "A" if kind == "resnet" else None
            x = _block(x, width * 2**stage, f"conv{stage + 2}_{block}", strides, shortcut=shortcut)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(pixels, classify(x, num_classes), name=f"{kind}{depth}")


@register
def resnet8(input_shape, num_classes, *, width=16):
    """Build ResNet-8, one block a stage; see resnet20. 75,290 parameters on 32×32×3."""
    return _cifar("resnet", 8, input_shape, num_classes, width)


@register
def resnet20(input_shape, num_classes, *, width=16):
    """Build ResNet-20 for CIFAR-10, its first stage `width` filters wide. 269,722 parameters on 32×32×3.

    Source: Sec. 4.2, shortcuts of option A. Departs: batch normalization forgets with 0.9.
    """
    return _cifar("resnet", 20, input_shape, num_classes, width)


@register
def resnet32(input_shape, num_classes, *, width=16):
    """Build ResNet-32 for CIFAR-10; see resnet20. 464,154 parameters on 32×32×3."""
    return _cifar("resnet", 32, input_shape, num_classes, width)


@register
def resnet56(input_shape, num_classes, *, width=16):
    """Build ResNet-56 for CIFAR-10; see resnet20. 853,018 parameters on 32×32×3."""
    return _cifar("resnet", 56, input_shape, num_classes, width)


@register
def plain8(input_shape, num_classes, *, width=16):
    """Build ResNet-8 without its shortcuts. 75,290 parameters on 32×32×3, as resnet8."""
    return _cifar("plain", 8, input_shape, num_classes, width)


@register
def plain20(input_shape, num_classes, *, width=16):
    """Build ResNet-20 without its shortcuts. 269,722 parameters on 32×32×3, as resnet20."""
    return _cifar("plain", 20, input_shape, num_classes, width)


@register
def plain32(input_shape, num_classes, *, width=16):
    """Build ResNet-32 without its shortcuts. 464,154 parameters on 32×32×3, as resnet32."""
    return _cifar("plain", 32, input_shape, num_classes, width)


@register
def plain56(input_shape, num_classes, *, width=16):
    """Build ResNet-56 without its shortcuts. 853,018 parameters on 32×32×3, as resnet56."""
    return _cifar("plain", 56, input_shape, num_classes, width)
