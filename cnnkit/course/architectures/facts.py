"""Facts about published networks, and about cheaper convolutions: separable, and narrowed by 1×1. Ledger 2-13, 29."""

import functools
import math

import keras
from keras.layers import Concatenate, Conv2D, MaxPooling2D, SeparableConv2D

from cnnkit import anatomy, models
from cnnkit.course.convolution.facts import count
from cnnkit.evidence.fact import Fact

KRIZHEVSKY = "Krizhevsky et al. 2012"
HOWARD = "Howard et al. 2017, sec. 3"


@functools.cache
def network(name):
    """The layer table of a published network at its size, by layer."""
    *shape, classes = models.get_builder(name).shown
    return anatomy.layer_table(models.sketch_model(name, tuple(shape), classes)).set_index("layer")


def side(layer):
    """The side of AlexNet's maps after a layer."""
    return network("alexnet").at[layer, "output_shape"][0]


def normalised_late():
    """How many of AlexNet's pooled and normalised maps are normalised last."""
    order = list(network("alexnet").index)
    return sum(order.index(f"lrn{place}") > order.index(f"pool{place}") for place in (1, 2))


def neurons():
    """The values that AlexNet's layers with weights put out."""
    return sum(math.prod(shape) for shape in network("alexnet").query("num_params > 0")["output_shape"])


def weights(kind, filters):
    """The weights of a 3×3 convolution, separable or plain, from as many channels as filters."""
    return count((8, 8, filters), kind(filters, 3, use_bias=False))


def inception_3a(naive=False):
    """GoogLeNet's module 3a without biases; naive is the same without the 1×1 convolutions that save."""
    image = keras.Input((28, 28, 192))

    def conv(filters, size, inputs=image):
        return Conv2D(filters, size, padding="same", activation="relu", use_bias=False)(inputs)

    pooled = MaxPooling2D(3, strides=1, padding="same")(image)
    three, five = (image, image) if naive else (conv(96, 1), conv(16, 1))
    branches = [conv(64, 1), conv(128, 3, three), conv(32, 5, five), pooled if naive else conv(32, 1, pooled)]
    return keras.Model(image, Concatenate()(branches))


FACTS = [
    # AlexNet
    Fact("alexnet-pool1", 2, "AlexNet's first pooling leaves 27×27 of 55×55 positions (227×227 pixels).",
         lambda: side("pool1"), "positions a side", 27),
    Fact("alexnet-pool2", 3, "AlexNet's second pooling leaves 13×13 positions.",
         lambda: side("pool2"), "positions a side", 13),
    Fact("alexnet-pool5", 3, "AlexNet's dense layers read 6×6×256 values.",
         lambda: math.prod(network("alexnet").at["pool5", "output_shape"]), "values", 6 * 6 * 256),
    Fact("alexnet-dense", 3, "AlexNet's two hidden dense layers have 4096 units in total.",
         lambda: network("alexnet").loc[["fc6", "fc7"], "output_shape"].str[0].sum(), "units, 4096 each", 4096),
    Fact("alexnet-6-million", 4, "AlexNet has 6 million parameters.",
         lambda: network("alexnet").num_params.sum(), "parameters", lambda n: round(n / 1e6) == 6),
    Fact("alexnet-60-million", 4, "AlexNet has about 60 million parameters.",
         lambda: network("alexnet").num_params.sum(), "parameters", lambda n: round(n / 1e7) == 6,
         source=f"popular articles; {KRIZHEVSKY}, abstract"),
    Fact("alexnet-neurons", 5, "AlexNet has 650,000 neurons.",
         neurons, "outputs of layers with weights", lambda n: abs(n / 650_000 - 1) < 0.02,
         source=f"popular articles; {KRIZHEVSKY}, abstract", condition="rounded: with maps of 55×55"),
    Fact("alexnet-pools-first", 6, "AlexNet normalises after pooling.",
         normalised_late, "of 2 normalisations come after the pooling, built as its sec. 3.5 says", 2),
    # What came after
    Fact("vgg16-parameters", 8, "VGG-16 has 138 million parameters.",
         lambda: network("vgg16").num_params.sum(), "parameters", lambda n: round(n / 1e6) == 138),
    Fact("vgg16-dense", 8, "Most of VGG-16's parameters are dense ones.",
         lambda: network("vgg16").loc["fc6":].num_params.sum() / network("vgg16").num_params.sum(),
         "of the parameters", lambda share: share > 0.5, source="computed"),
    Fact("vgg19-cost", 9, "VGG-19 costs 1.96 billion operations an image.",
         lambda: network("vgg19").macs.sum() / 1e9, "billion multiply-adds", lambda n: round(n, 2) == 1.96),
    Fact("resnet34-cost", 9, "ResNet-34 costs 3.6 billion operations an image.",
         lambda: network("resnet34").macs.sum() / 1e9, "billion multiply-adds", lambda n: 3.6 <= n < 3.7,
         source="popular articles; He et al. 2015, sec. 3.3", condition="if one multiply-add is one operation"),
    Fact("resnet34-share", 9, "ResNet-34 costs 18% of VGG-19.",
         lambda: network("resnet34").macs.sum() / network("vgg19").macs.sum(), "of the multiply-adds",
         lambda share: 0.18 <= share < 0.19, source="popular articles; He et al. 2015, sec. 3.3"),
    Fact("half-size-double-filters", 10, "Halving the maps and doubling the filters keeps a layer's cost (ResNet-34).",
         lambda: network("resnet34").loc[[f"conv{stage}_2_1" for stage in range(2, 6)], "macs"].nunique(),
         "cost, the same in all four stages", 1, source="popular articles; He et al. 2015, sec. 3.3",
         condition="not of a stage's first convolution, which costs half"),
    Fact("squeezenet-share", 11, "SqueezeNet has 50 times fewer parameters than AlexNet.",
         lambda: network("alexnet").num_params.sum() / network("squeezenet").num_params.sum(), "times fewer parameters",
         lambda n: round(n, -1) == 50, source="popular articles; Iandola et al. 2016, title"),
    Fact("squeezenet-size", 12, "SqueezeNet is smaller than 0.5 MB.",
         lambda: 4 * network("squeezenet").num_params.sum() / 1e6, "MB as float32", lambda n: n < 0.5),
    # Cheaper convolutions
    Fact("separable-share", 13,
         "A separable convolution with N filters of k×k needs 1/N + 1/k² of the weights (here 64 of 3×3).",
         lambda: weights(SeparableConv2D, 64) / weights(Conv2D, 64), "of the weights",
         lambda share: math.isclose(share, 1 / 64 + 1 / 9), source=HOWARD),
    Fact("separable-saving", 13, "Separable 3×3 convolutions are 8 to 9 times cheaper (here 128 filters).",
         lambda: weights(Conv2D, 128) / weights(SeparableConv2D, 128), "times fewer weights", lambda n: 8 <= n <= 9,
         source=HOWARD, condition="from 72 filters on"),
    Fact("width-multiplier", 13,
         "A width multiplier of ½ leaves about a quarter of the weights (separable, 512 filters).",
         lambda: weights(SeparableConv2D, 256) / weights(SeparableConv2D, 512), "of the weights",
         lambda share: abs(share - 0.25) < 0.01, source=HOWARD),
    Fact("inception-share", 29,
         "1×1 convolutions reduce the weights of an Inception module (GoogLeNet's 3a: from 387,072 to 163,328).",
         lambda: inception_3a().count_params() / inception_3a(naive=True).count_params(), "of the weights remain",
         163_328 / 387_072, source="popular articles; Szegedy et al. 2014, table 1"),
]  # fmt: skip
