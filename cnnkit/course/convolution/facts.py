"""Facts about convolution, pooling, and what a unit sees. Ledger 1, 14-19, 21-24, 30, 34, 67."""

import functools
import itertools

import keras
import numpy as np
from keras.layers import Conv1D, Conv2D, Dense, Flatten, GlobalAveragePooling2D, Identity, MaxPooling1D, MaxPooling2D
from PIL import ImageFilter
from scipy.signal import convolve

from cnnkit import anatomy, from_scratch, models
from cnnkit.evidence.fact import Fact

SIMONYAN = "Simonyan and Zisserman 2014, sec. 2.3"
SIDES = list(itertools.product(range(5, 17), range(1, 6)))  # of an image and a kernel
MAPS = 16, 16, 8

# Whole numbers keep floating-point arithmetic exact, so that a position is equal or it is not.
KERNEL = np.arange(1.0, 10).reshape(3, 3)
IMAGE = np.random.default_rng(1).integers(0, 10, (7, 7)).astype("float64")
CONVOLVED = convolve(IMAGE, KERNEL, "valid", "direct")


def positions(size, layer):
    """The size of a one-dimensional Keras layer's output, along one axis."""
    return layer.compute_output_shape((None, size, 1))[1]


def count(input_shape, *stack):
    """The parameters of a stack of layers on images of a shape."""
    return keras.Sequential([keras.Input(input_shape), *stack]).count_params()


def unrounded(size, kernel_size, stride):
    """How often a window fits along `size` pixels, with the fraction of a position that Keras leaves out."""
    floor = anatomy.conv_output_size(size, kernel_size, stride, floor=True)
    return floor + anatomy.unseen_pixels(size, kernel_size, stride) / stride


def field(*sizes, padding="valid"):
    """The side of the box of pixels that have a gradient on the centre unit of a stack of convolutions, as measured."""
    model = keras.Sequential([keras.Input((21, 21, 1)), *(Conv2D(1, size, padding=padding) for size in sizes)])
    rows, _ = anatomy.gradient_box(model, model.layers[-1].name)
    return rows.stop - rows.start


def reach():
    """The rank of what the 27 weights of three 3×3 kernels change of the 7×7 kernel that they are together."""
    pairs = itertools.combinations(np.random.default_rng(1).normal(size=(3, 3, 3)), 2)
    units = np.eye(9).reshape(9, 3, 3)
    return np.linalg.matrix_rank([convolve(convolve(*pair), unit).ravel() for pair in pairs for unit in units])


def seen_by_c5():
    """The side of what a unit of LeNet-5's C5 sees, back from it by the recursion."""
    table = anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10)).set_index("layer")
    windows = table.loc[:"C5"].query("kernel_size != ''")[["kernel_size", "strides"]]
    return functools.reduce(lambda r, window: (r - 1) * window[1] + window[0], windows.to_numpy()[::-1], 1)


def pooled_twice(size, pool_size, stride):
    """How many pixels lie in more than one window: the gradient of a mean over a window gives each pixel its share."""
    y, cache = from_scratch.mean_pool2d(np.zeros((1, size, size, 1)), pool_size=pool_size, stride=stride)
    return (from_scratch.mean_pool2d_backward(np.ones_like(y), cache) * pool_size**2 > 1.5).sum()


def convolved(image, kernel):
    """What Keras's convolution makes of an image `(height, width)`."""
    return np.squeeze(keras.ops.conv(image[None, :, :, None], np.ascontiguousarray(kernel)[:, :, None, None]))


def picture_kernel(name):
    """One of Pillow's kernels, scaled: an array of 3×3 or 5×5."""
    size, scale, _, weights = getattr(ImageFilter, name).filterargs
    return np.reshape(weights, size) / scale


def changed_scores(head):
    """How many of ten scores change when one bright pixel of an 8×8 image moves."""
    model = keras.Sequential([head, Dense(10, kernel_initializer=keras.initializers.RandomNormal(seed=1))])
    here, there = model(np.eye(64)[[18, 45]].reshape(2, 8, 8, 1))
    return np.sum(here != there)


FACTS = [
    # Sizes
    Fact("conv1-of-32", 1, "A 32×32 image under 11×11 filters at stride 4 gives 55×55 maps.",
         lambda: unrounded(32, 11, 4), "positions a side", 55),
    Fact("conv1-of-224", 1, "AlexNet's 224×224 image under 11×11 filters at stride 4 gives 55×55 maps.",
         lambda: unrounded(224, 11, 4), "positions a side", 55, source="Krizhevsky et al. 2012, fig. 2"),
    Fact("conv1-of-227", 1, "A 227×227 image under 11×11 filters at stride 4 gives 55×55 maps.",
         lambda: positions(227, Conv1D(96, 11, strides=4)), "positions a side", 55, source="cs231n"),
    Fact("output-size", 16, "A convolution's output has the size (M − K + 2P) / S + 1.",
         lambda: sum(positions(m + 2 * p, Conv1D(1, k, s)) != (m - k + 2 * p) // s + 1
                     for m, k, s, p in itertools.product(range(5, 17), range(1, 5), range(1, 5), range(4))),
         "of 768 sizes differ", 0, source="popular articles; cs231n", condition="rounded down, as in Keras"),
    Fact("narrow-and-wide", 16, "A narrow convolution gives N − K + 1, a wide one N + K − 1.",
         lambda: sum([positions(n + pad, Conv1D(1, k)) for pad in (0, 2 * k - 2)] != [n - k + 1, n + k - 1]
                     for n, k in SIDES), "of 60 sizes and kernels give another", 0),
    Fact("same-keeps-size", 16, "Padding 'same' keeps the size.",
         lambda: sum(positions(n, Conv1D(1, k, padding="same")) != n for n, k in SIDES), "of 60 convolutions change it",
         0, condition="at stride 1; at stride S it gives N / S, rounded up"),
    Fact("even-kernels", 17, "Kernels of an even side cannot keep the size.",
         lambda: sum(positions(n + 2 * pad, Conv1D(1, k)) == n
                     for n, k, pad in itertools.product(range(6, 18), (2, 4, 6), range(4))),
         "of 144 even kernels keep it", 0, condition="with equal padding on both sides, unlike 'same'"),
    Fact("patches-of-64", 21, "An image of 256×256 has 16 patches of 64×64.",
         lambda: positions(256, Conv1D(1, 64, strides=64)) ** 2, "patches that do not overlap", 16),
    # What a unit sees
    Fact("two-3x3-see", 14, "Two 3×3 convolutions see as much as one 5×5.",
         lambda: field(3, 3), "pixels a side", 5, source=f"popular articles; {SIMONYAN}"),
    Fact("three-3x3-see", 14, "Three 3×3 convolutions see as much as one 7×7.",
         lambda: field(3, 3, 3), "pixels a side", 7, source=f"popular articles; {SIMONYAN}"),
    Fact("three-3x3-reach", 14,
         "Three 3×3 convolutions give the same result as one 7×7 (one channel, nothing in between).",
         reach, "of the 49 dimensions of 7×7 kernels can be reached", 49),
    Fact("field-recursion", 15, "Going back, r = (r − 1) stride + kernel: a unit of LeNet-5's C5 sees 32×32.",
         seen_by_c5, "pixels a side", 32),
    Fact("field-of-1x1", 15, "A 1×1 convolution does not change what a unit sees.",
         lambda: field(3, 1, 3) - field(3, 3), "pixels more", 0),
    Fact("field-of-padding", 15, "Padding does not change what a unit sees (three 3×3 convolutions).",
         lambda: field(3, 3, 3, padding="same") - field(3, 3, 3), "pixels more in mid-image", 0,
         condition="not at the border: a corner unit sees 4×4, not 7×7"),
    Fact("dense-ignores-place", 67, "A dense layer ignores where in the image things are.",
         lambda: changed_scores(Flatten()), "of 10 scores change when one moves", 0),
    Fact("average-ignores-place", 67, "Global average pooling ignores where in the image things are.",
         lambda: changed_scores(GlobalAveragePooling2D()), "of 10 scores change when one moves", 0, source="computed"),
    # Pooling
    Fact("pool-2-at-2", 18, "Pooling 6×6 pixels with 2×2 windows at stride 2 gives 3×3.",
         lambda: positions(6, MaxPooling1D(2, 2)), "positions a side", 3),
    Fact("pool-2-at-1", 18, "Pooling 6×6 pixels with 2×2 windows at stride 1 gives 4×4.",
         lambda: positions(6, MaxPooling1D(2, 1)), "positions a side", 4),
    Fact("pool-wider-than-stride", 18, "AlexNet's pooling overlaps: its 3×3 windows are wider than their stride of 2.",
         lambda: pooled_twice(13, pool_size=3, stride=2), "pixels lie in more than one window", lambda n: n > 0,
         source="Krizhevsky et al. 2012, sec. 3.4"),
    Fact("pool-smaller-than-stride", 18,
         "Pooling overlaps when the window is smaller than the stride (here 2×2 at stride 3).",
         lambda: pooled_twice(9, pool_size=2, stride=3), "pixels lie in more than one window", lambda n: n > 0),
    Fact("pool-10", 19, "Pooling 20×20 pixels with windows of 10×10 gives 2×2.",
         lambda: positions(20, MaxPooling1D(10)), "positions a side", 2,
         condition="at stride 10, which is Keras's default; stride 1 gives 11×11"),
    Fact("pooling-parameters", 34, "Pooling has no parameters of its own.",
         lambda: count(MAPS, MaxPooling2D(2)), "parameters", 0, source="computed"),
    Fact("pooling-saves-flat", 34, "Pooling reduces the number of parameters (16×16×8 maps, ten classes).",
         lambda: count(MAPS, Flatten(), Dense(10)) - count(MAPS, MaxPooling2D(2), Flatten(), Dense(10)),
         "parameters saved", lambda saved: saved > 0, condition="only where the maps are flattened"),
    # What has parameters, and how many
    Fact("three-3x3-weights", 14, "Three 3×3 convolutions have 27C² weights, one 7×7 has 49C².",
         lambda: 3 * count(MAPS, Conv2D(8, 3, use_bias=False)) / count(MAPS, Conv2D(8, 7, use_bias=False)),
         "of the weights of one 7×7", 27 / 49, source=SIMONYAN),
    Fact("image-parameters", 22, "A colour image of 1000×1000 pixels has 3 million parameters.",
         lambda: count((1000, 1000, 3), Identity()), "parameters", 3_000_000),
    Fact("image-values", 22, "A colour image of 1000×1000 pixels has 3 million values.",
         lambda: np.prod(keras.Input((1000, 1000, 3)).shape[1:]), "values", 3_000_000, source="computed"),
    Fact("image-dense-weights", 22,
         "A dense layer of 1,000 units on a colour image of 1000×1000 pixels has 3 billion weights.",
         lambda: anatomy.conv_params(3, 1000, (1000, 1000), use_bias=False),  # built in Keras, they would fill 12 GB
         "weights", 3_000_000_000, source="computed"),
    Fact("convolution-parameters", 23,
         "P filters of U×V on D maps have P·D·U·V + P parameters whatever the image's size (16 of 5×5 on 6: 2,416).",
         lambda: np.unique([count((size, size, 6), Conv2D(16, 5)) for size in (5, 14, 28, 32)]).item(),
         "parameters, at each of 4 sizes", 16 * 6 * 5 * 5 + 16),
    Fact("dense-parameters", 23,
         "The weight matrix of a dense layer from n to m units has n·m entries (400 to 120: 48,000).",
         lambda: count((400,), Dense(120, use_bias=False)), "weights, its 120 biases not counted", 48_000),
    # Kernels
    Fact("layers-turn-kernels", 24, "A convolutional layer turns its kernel by 180°.",
         lambda: (convolved(IMAGE, KERNEL) != CONVOLVED).sum(), "of 25 outputs differ from a true convolution's", 0),
    Fact("turning-does-not-matter", 24,
         "Where kernels are learnt, it does not matter whether they are turned: a turned kernel makes up for it.",
         lambda: (convolved(IMAGE, KERNEL[::-1, ::-1]) != CONVOLVED).sum(), "of 25 outputs differ", 0),
    Fact("wide-commutes", 24, "Wide convolution is commutative.",
         lambda: (convolved(np.pad(IMAGE, 2), KERNEL[::-1, ::-1])
                  != convolved(np.pad(KERNEL, 6), IMAGE[::-1, ::-1])).sum(), "of 81 outputs differ", 0),
    Fact("blur-sums-to-1", 30, "A blurring kernel sums to 1.",
         lambda: picture_kernel("BLUR").sum(), "is the sum of Pillow's BLUR", 1),
    Fact("emboss-sums-to-0", 30, "An embossing kernel sums to 0.",
         lambda: picture_kernel("EMBOSS").sum(), "is the sum of Pillow's EMBOSS", 0,
         condition="of this kernel; those that sum to 1 emboss, too"),
    Fact("sharpen-centre", 30, "The centre of a sharpening kernel is 1 more than the others' sum, its sign left out.",
         lambda: picture_kernel("SHARPEN")[1, 1], "is the centre of Pillow's SHARPEN, whose others sum to −1", 2),
]  # fmt: skip
