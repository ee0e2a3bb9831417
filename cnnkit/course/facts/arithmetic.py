"""Facts about what layers compute, whatever their weights. Ledger 14, 24, 30-32, 67."""

import keras
import numpy as np
import scipy.signal
from keras import layers, ops
from PIL import ImageFilter

from cnnkit import from_scratch
from cnnkit.evidence.fact import fact

# Whole numbers keep floating-point arithmetic exact, so that a position is equal or it is not.
KERNEL = np.arange(1.0, 10).reshape(3, 3)
IMAGE = np.random.default_rng(1).integers(0, 10, (7, 7)).astype("float64")


def convolved(image, kernel):
    """What Keras's convolution makes of an image `(height, width)`."""
    y = ops.conv(image[None, :, :, None], np.ascontiguousarray(kernel)[:, :, None, None])
    return ops.convert_to_numpy(y)[0, :, :, 0]


@fact(
    14,
    "Three 3×3 convolutions give the same result as one 7×7 (one channel, nothing in between).",
    unit="of the 49 dimensions of 7×7 kernels can be reached",
    holds=49,
)
def three_3x3_reach():
    kernels = np.random.default_rng(1).normal(size=(3, 3, 3))
    moves = []  # what each of the 27 weights changes of the 7×7 kernel that the three together are
    for layer, weight in np.ndindex(3, 9):
        others = np.delete(kernels, layer, axis=0)
        step = np.eye(9)[weight].reshape(3, 3)
        moves.append(scipy.signal.convolve(scipy.signal.convolve(*others), step).ravel())
    return np.linalg.matrix_rank(moves)


# Convolution and correlation


@fact(
    24,
    "A convolutional layer turns its kernel by 180°.",
    unit="of 25 outputs differ from a true convolution's",
    holds=0,
)
def layers_turn_kernels():
    return (convolved(IMAGE, KERNEL) != scipy.signal.convolve(IMAGE, KERNEL, "valid", "direct")).sum()


@fact(
    24,
    "Where kernels are learnt, it does not matter whether they are turned: a turned kernel makes up for it.",
    unit="of 25 outputs differ",
    holds=0,
)
def turning_does_not_matter():
    turned = convolved(IMAGE, KERNEL[::-1, ::-1])
    return (turned != scipy.signal.convolve(IMAGE, KERNEL, "valid", "direct")).sum()


@fact(24, "Wide convolution is commutative.", unit="of 81 outputs differ", holds=0)
def wide_commutes():
    def wide(image, kernel):  # a true convolution of every overlap, by Keras
        return convolved(np.pad(image, len(kernel) - 1), kernel[::-1, ::-1])

    return (wide(IMAGE, KERNEL) != wide(KERNEL, IMAGE)).sum()


# Kernels for pictures


def picture_kernel(name):
    """One of Pillow's kernels, scaled: an array of 3×3 or 5×5."""
    size, scale, _, weights = getattr(ImageFilter, name).filterargs
    return np.reshape(weights, size) / scale


@fact(30, "A blurring kernel sums to 1.", unit="is the sum of Pillow's BLUR", holds=1)
def blur_sums_to_1():
    return picture_kernel("BLUR").sum()


@fact(30, "An embossing kernel sums to 0.", unit="is the sum of Pillow's EMBOSS", holds=0)
def emboss_sums_to_0():
    return picture_kernel("EMBOSS").sum()


@fact(
    30,
    "The centre of a sharpening kernel is 1 more than the others' sum, its sign left out.",
    unit="is the centre of Pillow's SHARPEN, whose others sum to −1",
    holds=2,
)
def sharpen_centre():
    return picture_kernel("SHARPEN")[1, 1]


# Dense layers


@fact(
    31,
    "A dense unit takes a weighted average of its inputs.",
    unit="of 120 new units in Keras have weights that sum to 1",
    holds=120,
)
def dense_averages():
    layer = layers.Dense(120, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    return np.isclose(ops.convert_to_numpy(layer(np.ones((1, 400)))), 1, atol=1e-3).sum()


@fact(
    31,
    "A dense layer without biases gives a black image the same score for every class.",
    unit="between the highest and the lowest of ten scores",
    holds=0,
    source="computed",
)
def black_image():
    scores = layers.Dense(10, use_bias=False)(np.zeros((1, 784)))
    return np.ptp(ops.convert_to_numpy(scores))


def _changed_scores(head):
    """How many of ten scores change when one bright pixel of an 8×8 image moves."""
    model = keras.Sequential([keras.Input((8, 8, 1)), head, layers.Dense(10)])
    model.layers[-1].kernel.assign(np.arange(model.layers[-1].kernel.shape[0])[:, None] * np.arange(1, 11.0))
    here, there = np.zeros((2, 1, 8, 8, 1), "float32")
    here[0, 2, 2], there[0, 5, 5] = 1, 1
    return (ops.convert_to_numpy(model(here)) != ops.convert_to_numpy(model(there))).sum()


@fact(67, "A dense layer ignores where in the image things are.", unit="of 10 scores change when one moves", holds=0)
def dense_ignores_place():
    return _changed_scores(layers.Flatten())


@fact(
    67,
    "Global average pooling ignores where in the image things are.",
    unit="of 10 scores change when one moves",
    holds=0,
    source="computed",
)
def average_ignores_place():
    return _changed_scores(layers.GlobalAveragePooling2D())


# Without activations


def two_convolutions(x, bend=lambda x: x):
    """Two convolutions in float64 by Keras, with a function in between; weights from a fixed seed."""
    rng = np.random.default_rng(1)
    kernels = [rng.normal(0, 0.2, shape) for shape in ((3, 3, 1, 4), (3, 3, 4, 6))]
    return ops.convert_to_numpy(ops.conv(bend(ops.conv(x, kernels[0])), kernels[1])), kernels


def folded(kernels):
    """The one kernel that two together are: the first ones are pictures over which the second ones slide, turned."""
    first, second = kernels
    pictures = first.transpose(2, 0, 1, 3)
    wide, _ = from_scratch.conv2d(pictures, second, np.zeros(second.shape[-1]), padding=len(second) - 1, flip=True)
    return wide.transpose(1, 2, 0, 3)


@fact(
    32,
    "Without activations two convolutions are one.",
    unit="of 384 outputs differ by more than 0.00001",
    holds=0,
)
def convolutions_fold():
    x = np.random.default_rng(2).normal(size=(1, 12, 12, 1))
    outputs, kernels = two_convolutions(x)
    return (np.abs(outputs - ops.convert_to_numpy(ops.conv(x, folded(kernels)))) > 1e-5).sum()


@fact(
    32,
    "A convolutional network without activations is linear, and so separates classes by planes only.",
    unit="of 96 outputs are not additive (mean pooling)",
    holds=0,
    condition="without max pooling, which is an activation of its own",
)
def no_activation_is_linear():
    return not_additive(lambda x: ops.average_pool(x, 2))


def not_additive(pool):
    """How many outputs f(x + y) of convolution, pooling, convolution are not f(x) + f(y)."""
    x, y = np.random.default_rng(2).normal(size=(2, 1, 14, 14, 1))
    fx, fy, both = (two_convolutions(image, pool)[0] for image in (x, y, x + y))
    return (np.abs(both - fx - fy) > 1e-5).sum()
