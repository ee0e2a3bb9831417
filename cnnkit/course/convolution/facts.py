"""Facts about convolution, pooling, and what a unit sees. Ledger 14-19, 21-24, 30, 34, 67."""

import functools
import itertools
import math

import keras
import numpy as np
import scipy.signal
from keras import layers, ops
from PIL import ImageFilter

from cnnkit import anatomy, from_scratch, models
from cnnkit.evidence.fact import fact

SIMONYAN = "Simonyan and Zisserman 2014, sec. 2.3"
TWICE = "pixels lie in more than one window"

# Whole numbers keep floating-point arithmetic exact, so that a position is equal or it is not.
KERNEL = np.arange(1.0, 10).reshape(3, 3)
IMAGE = np.random.default_rng(1).integers(0, 10, (7, 7)).astype("float64")


def positions(size, layer):
    """The size of a one-dimensional Keras layer's output, along one axis."""
    return layer.compute_output_shape((None, size, 1))[1]


def count(input_shape, *stack):
    """The parameters of a stack of layers on images of a shape."""
    return keras.Sequential([keras.Input(input_shape), *stack]).count_params()


def convolved(image, kernel):
    """What Keras's convolution makes of an image `(height, width)`."""
    y = ops.conv(image[None, :, :, None], np.ascontiguousarray(kernel)[:, :, None, None])
    return ops.convert_to_numpy(y)[0, :, :, 0]


# Stacked 3×3 convolutions, and what a unit sees


@functools.cache
def field(*kernel_sizes, padding="valid"):
    """The side of the box of pixels that have a gradient on the centre unit of a stack of convolutions, as measured."""
    stack = [layers.Conv2D(1, size, padding=padding) for size in kernel_sizes]
    model = keras.Sequential([keras.Input((21, 21, 1)), *stack])
    rows, _ = anatomy.gradient_box(model, model.layers[-1].name)
    return rows.stop - rows.start


@fact(14, unit="pixels a side", holds=5, source=f"popular articles; {SIMONYAN}")
def two_3x3_see():
    """Two 3×3 convolutions see as much as one 5×5."""
    return field(3, 3)


@fact(14, unit="pixels a side", holds=7, source=f"popular articles; {SIMONYAN}")
def three_3x3_see():
    """Three 3×3 convolutions see as much as one 7×7."""
    return field(3, 3, 3)


@fact(14, unit="of the weights of one 7×7", holds=27 / 49, source=SIMONYAN)
def three_3x3_weights():
    """Three 3×3 convolutions have 27C² weights, one 7×7 has 49C²."""
    three = count((16, 16, 8), *(layers.Conv2D(8, 3, use_bias=False) for _ in range(3)))
    return three / count((16, 16, 8), layers.Conv2D(8, 7, use_bias=False))


@fact(14, unit="of the 49 dimensions of 7×7 kernels can be reached", holds=49)
def three_3x3_reach():
    """Three 3×3 convolutions give the same result as one 7×7 (one channel, nothing in between)."""

    def moves(*kernels):  # what each of a layer's nine weights changes of the 7×7 kernel that the three together are
        units = np.eye(9).reshape(9, 3, 3)
        return [scipy.signal.convolve(scipy.signal.convolve(*kernels), unit).ravel() for unit in units]

    a, b, c = np.random.default_rng(1).normal(size=(3, 3, 3))
    return np.linalg.matrix_rank(moves(a, b) + moves(a, c) + moves(b, c))


@fact(15, unit="pixels a side", holds=32)
def field_recursion():
    """Going back, r = (r − 1) stride + kernel: a unit of LeNet-5's C5 sees 32×32."""
    table = anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10)).set_index("layer")
    windows = table.loc[:"C5"].query("kernel_size != ''")[["kernel_size", "strides"]]
    return functools.reduce(lambda r, window: (r - 1) * window[1] + window[0], windows.to_numpy()[::-1], 1)


@fact(15, unit="pixels more", holds=0)
def field_of_1x1():
    """A 1×1 convolution does not change what a unit sees."""
    return field(3, 1, 3) - field(3, 3)


@fact(15, unit="pixels more in mid-image", holds=0, condition="not at the border: a corner unit sees 4×4, not 7×7")
def field_of_padding():
    """Padding does not change what a unit sees (three 3×3 convolutions)."""
    return field(3, 3, 3, padding="same") - field(3, 3, 3)


# Sizes


@fact(16, unit="of 768 sizes differ", holds=0, source="popular articles; cs231n", condition="rounded down, as in Keras")
def output_size():
    """A convolution's output has the size (M − K + 2P) / S + 1."""
    cases = itertools.product(range(5, 17), range(1, 5), range(1, 5), range(4))
    return sum(positions(m + 2 * p, layers.Conv1D(1, k, s)) != (m - k + 2 * p) // s + 1 for m, k, s, p in cases)


@fact(16, unit="of 60 sizes and kernels give another", holds=0)
def narrow_and_wide():
    """A narrow convolution gives N − K + 1, a wide one N + K − 1."""

    def sizes(n, k):
        return [positions(n + padding, layers.Conv1D(1, k)) for padding in (0, 2 * (k - 1))]

    return sum(sizes(n, k) != [n - k + 1, n + k - 1] for n in range(5, 17) for k in range(1, 6))


@fact(16, unit="of 60 convolutions change it", holds=0, condition="at stride 1; at stride S it gives N / S, rounded up")
def same_keeps_size():
    """Padding 'same' keeps the size."""
    same = [layers.Conv1D(1, kernel, padding="same") for kernel in range(1, 6)]
    return sum(positions(size, layer) != size for layer in same for size in range(5, 17))


@fact(17, unit="of 144 even kernels keep it", holds=0, condition="with equal padding on both sides, unlike 'same'")
def even_kernels():
    """Kernels of an even side cannot keep the size."""
    cases = itertools.product(range(6, 18), (2, 4, 6), range(4))
    return sum(positions(n + 2 * p, layers.Conv1D(1, k)) == n for n, k, p in cases)


# Pooling


@fact(18, unit="positions a side", holds=3)
def pool_2_at_2():
    """Pooling 6×6 pixels with 2×2 windows at stride 2 gives 3×3."""
    return positions(6, layers.MaxPooling1D(2, 2))


@fact(18, unit="positions a side", holds=4)
def pool_2_at_1():
    """Pooling 6×6 pixels with 2×2 windows at stride 1 gives 4×4."""
    return positions(6, layers.MaxPooling1D(2, 1))


def pixels_pooled_twice(size, pool_size, stride):
    """How many pixels lie in more than one window: the gradient of a mean over a window gives each pixel its share."""
    y, cache = from_scratch.mean_pool2d(np.zeros((1, size, size, 1)), pool_size=pool_size, stride=stride)
    return (from_scratch.mean_pool2d_backward(np.ones_like(y), cache) * pool_size**2 > 1.5).sum()


@fact(18, unit=TWICE, holds=lambda twice: twice > 0)
def pool_smaller_than_stride():
    """Pooling overlaps when the window is smaller than the stride (here 2×2 at stride 3)."""
    return pixels_pooled_twice(9, pool_size=2, stride=3)


@fact(19, unit="positions a side", holds=2, condition="at stride 10, which is Keras's default; stride 1 gives 11×11")
def pool_10():
    """Pooling 20×20 pixels with windows of 10×10 gives 2×2."""
    return positions(20, layers.MaxPooling1D(10))


@fact(34, unit="parameters", holds=0, source="computed")
def pooling_parameters():
    """Pooling has no parameters of its own."""
    return count((16, 16, 8), layers.MaxPooling2D(2))


@fact(34, unit="parameters saved", holds=lambda saved: saved > 0, condition="only where the maps are flattened")
def pooling_saves_flat():
    """Pooling reduces the number of parameters (16×16×8 maps, ten classes)."""
    plain = count((16, 16, 8), layers.Flatten(), layers.Dense(10))
    return plain - count((16, 16, 8), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10))


# What has parameters, and how many


@fact(22, unit="parameters", holds=3_000_000)
def image_parameters():
    """A colour image of 1000×1000 pixels has 3 million parameters."""
    return count((1000, 1000, 3), layers.Identity())


@fact(22, unit="values", holds=3_000_000, source="computed")
def image_values():
    """A colour image of 1000×1000 pixels has 3 million values."""
    return math.prod(keras.Input((1000, 1000, 3)).shape[1:])


@fact(22, unit="weights", holds=3_000_000_000, source="computed")
def image_dense_weights():
    """A dense layer of 1,000 units on a colour image of 1000×1000 pixels has 3 billion weights."""
    return anatomy.conv_params(3, 1000, (1000, 1000), use_bias=False)  # built in Keras, they would fill 12 GB


@fact(23, unit="parameters, at each of 4 sizes", holds=16 * 6 * 5 * 5 + 16)
def convolution_parameters():
    """P filters of U×V on D maps have P·D·U·V + P parameters whatever the image's size (16 of 5×5 on 6: 2,416)."""
    (parameters,) = {count((size, size, 6), layers.Conv2D(16, 5)) for size in (5, 14, 28, 32)}
    return parameters


@fact(23, unit="weights, its 120 biases not counted", holds=48_000)
def dense_parameters():
    """The weight matrix of a dense layer from n to m units has n·m entries (400 to 120: 48,000)."""
    return count((400,), layers.Dense(120, use_bias=False))


# Convolution and correlation


@fact(24, unit="of 25 outputs differ from a true convolution's", holds=0)
def layers_turn_kernels():
    """A convolutional layer turns its kernel by 180°."""
    return (convolved(IMAGE, KERNEL) != scipy.signal.convolve(IMAGE, KERNEL, "valid", "direct")).sum()


@fact(24, unit="of 25 outputs differ", holds=0)
def turning_does_not_matter():
    """Where kernels are learnt, it does not matter whether they are turned: a turned kernel makes up for it."""
    turned = convolved(IMAGE, KERNEL[::-1, ::-1])
    return (turned != scipy.signal.convolve(IMAGE, KERNEL, "valid", "direct")).sum()


@fact(24, unit="of 81 outputs differ", holds=0)
def wide_commutes():
    """Wide convolution is commutative."""

    def wide(image, kernel):  # a true convolution of every overlap, by Keras
        return convolved(np.pad(image, len(kernel) - 1), kernel[::-1, ::-1])

    return (wide(IMAGE, KERNEL) != wide(KERNEL, IMAGE)).sum()


# Kernels for pictures


def picture_kernel(name):
    """One of Pillow's kernels, scaled: an array of 3×3 or 5×5."""
    size, scale, _, weights = getattr(ImageFilter, name).filterargs
    return np.reshape(weights, size) / scale


@fact(30, unit="is the sum of Pillow's BLUR", holds=1)
def blur_sums_to_1():
    """A blurring kernel sums to 1."""
    return picture_kernel("BLUR").sum()


@fact(30, unit="is the sum of Pillow's EMBOSS", holds=0, condition="of this kernel; those that sum to 1 emboss, too")
def emboss_sums_to_0():
    """An embossing kernel sums to 0."""
    return picture_kernel("EMBOSS").sum()


@fact(30, unit="is the centre of Pillow's SHARPEN, whose others sum to −1", holds=2)
def sharpen_centre():
    """The centre of a sharpening kernel is 1 more than the others' sum, its sign left out."""
    return picture_kernel("SHARPEN")[1, 1]


# Where things are


def changed_scores(head):
    """How many of ten scores change when one bright pixel of an 8×8 image moves."""
    model = keras.Sequential([keras.Input((8, 8, 1)), head, layers.Dense(10)])
    model.layers[-1].kernel.assign(np.arange(model.layers[-1].kernel.shape[0])[:, None] * np.arange(1, 11.0))
    images = np.zeros((2, 8, 8, 1), "float32")
    images[0, 2, 2], images[1, 5, 5] = 1, 1
    here, there = ops.convert_to_numpy(model(images))
    return (here != there).sum()


@fact(67, unit="of 10 scores change when one moves", holds=0)
def dense_ignores_place():
    """A dense layer ignores where in the image things are."""
    return changed_scores(layers.Flatten())


@fact(67, unit="of 10 scores change when one moves", holds=0, source="computed")
def average_ignores_place():
    """Global average pooling ignores where in the image things are."""
    return changed_scores(layers.GlobalAveragePooling2D())
