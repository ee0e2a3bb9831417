"""Every row of the ledger that can be computed has facts, with these figures and verdicts, and what else they rest on.

`test_anatomy.py` and `test_from_scratch.py` hold the same rows for the modules that compute them.
"""

import math

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from keras import layers
from PIL import Image, ImageFilter

from cnnkit import anatomy, models
from cnnkit import from_scratch as fs
from cnnkit.course import facts
from cnnkit.course.facts import arithmetic, economy, gradients, learning

DUE = {1, 7, *range(13, 35)}  # rows 2-6 and 8-12 need networks that are not there yet


def decided(row):
    """The figure (to six digits) and verdict of each fact of a row."""
    lines = [facts.check(fact) for fact in facts.FACTS if fact.ledger == row]
    return {line["id"]: (float(f"{line['effect']:.6g}"), line["verdict"]) for line in lines}


def test_every_row_has_a_fact_and_a_test():
    assert {fact.ledger for fact in facts.FACTS} >= DUE
    assert {f"test_row_{row:02}" for row in DUE} <= {name[:11] for name in globals()}
    assert len({fact.id for fact in facts.FACTS}) == len(facts.FACTS) == 76


def test_row_01_sizes_of_alexnets_first_layer():
    assert decided(1) == {
        "conv1-of-32": (6.25, "FALSE"),
        "conv1-of-224": (54.25, "FALSE"),
        "conv1-of-227": (55, "TRUE"),
    }
    with pytest.raises(ValueError, match=r"6\.25 positions, not an integer"):
        anatomy.conv_output_size(32, 11, stride=4)
    assert layers.Conv2D(96, 11, strides=4).compute_output_shape((None, 32, 32, 3)) == (None, 6, 6, 96)


def test_row_07_lenet5():
    assert decided(7) == {
        "lenet5-layers": (7, "TRUE"),
        "lenet5-shapes": (7, "TRUE"),
        "lenet5-parameters": (60_000, "TRUE"),
        "lenet5-connections": (340_908, "TRUE"),
        "lenet5-today": (61_706, "TRUE"),
    }
    table = anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10))
    shapes = table["output_shape"][(table["num_params"] > 0) | (table["macs"] > 0)].tolist()
    assert shapes[:4] == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16)]
    assert [shape[-1] for shape in shapes[4:]] == [120, 84, 10]
    assert table["num_params"][table["num_params"] > 0].tolist() == [156, 12, 1516, 32, 48_120, 10_164]


def test_row_13_separable_convolutions():
    assert decided(13) == {
        "separable-share": (0.126736, "TRUE"),
        "separable-saving": (8.40876, "CONDITIONAL"),
        "width-multiplier": (0.254319, "TRUE"),
    }
    for filters, saving in ((64, 7.9), (71, 7.99), (72, 8.0), (512, 8.8)):
        separable, plain = economy._separable(filters)
        assert separable / plain == pytest.approx(1 / filters + 1 / 9)
        assert round(plain / separable, 2 if filters == 71 else 1) == saving


def test_row_14_stacked_convolutions():
    assert decided(14) == {
        "two-3x3-see": (5, "TRUE"),
        "three-3x3-see": (7, "TRUE"),
        "three-3x3-weights": (0.55102, "TRUE"),
        "three-3x3-reach": (25, "FALSE"),
    }
    assert anatomy.receptive_field([(3, 1)] * 3) == anatomy.receptive_field([(7, 1)])


def test_row_15_receptive_fields():
    assert decided(15) == {
        "field-recursion": (32, "TRUE"),
        "field-of-1x1": (0, "TRUE"),
        "field-of-padding": (0, "CONDITIONAL"),
    }
    lenet = models.create_model("lenet5", (32, 32, 1), 10)
    assert anatomy.gradient_box(lenet, "C5") == (slice(0, 32), slice(0, 32))
    padded = keras.Sequential([keras.Input((21, 21, 1)), *(layers.Conv2D(1, 3, padding="same") for _ in range(3))])
    assert anatomy.gradient_box(padded, padded.layers[-1].name, (0, 0)) == (slice(0, 4), slice(0, 4))
    alexnet = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]
    vgg16 = [window for convolutions in (2, 2, 3, 3, 3) for window in [(3, 1)] * convolutions + [(2, 2)]]
    assert (anatomy.receptive_field(alexnet), anatomy.receptive_field(vgg16)) == (195, 212)


@pytest.mark.parametrize("padding", ["valid", "same", 1, 2])
def test_row_16_sizes_of_images_are_those_of_keras(padding):
    images = np.zeros((1, 9, 12, 1), "float32")
    for kernel, stride in [(kernel, stride) for kernel in (1, 2, 3, 5) for stride in (1, 2, 3)]:
        zeros = padding if isinstance(padding, int) else 0
        padded = np.pad(images, [(0, 0), (zeros, zeros), (zeros, zeros), (0, 0)])
        seen = layers.Conv2D(1, kernel, stride, padding="valid" if zeros else padding)(padded).shape[1:3]
        sizes = (anatomy.conv_output_size(size, kernel, stride, padding, floor=True) for size in (9, 12))
        assert seen == tuple(sizes)


def test_row_16_formula_narrow_same_and_wide():
    assert decided(16) == {
        "output-size": (0, "CONDITIONAL"),
        "narrow-and-wide": (0, "TRUE"),
        "same-keeps-size": (0, "CONDITIONAL"),
    }


def test_row_17_even_kernels():
    assert decided(17) == {"even-kernels": (36, "FALSE")}
    assert layers.Conv2D(1, 4, padding="same")(np.zeros((1, 7, 8, 1))).shape == (1, 7, 8, 1)


def test_row_18_pooling():
    assert decided(18) == {
        "pool-2-at-2": (3, "TRUE"),
        "pool-3-at-1": (4, "CONDITIONAL"),
        "pool-smaller-than-stride": (0, "FALSE"),
        "pool-wider-than-stride": (105, "TRUE"),
    }
    sizes = {(2, 2): 3, (3, 2): 2, (3, 1): 4, (2, 1): 5}
    for (window, stride), size in sizes.items():
        assert layers.MaxPooling2D(window, stride)(np.zeros((1, 6, 6, 1))).shape[1:3] == (size, size)


def test_row_19_pooling_20_by_10():
    assert decided(19) == {"pool-10": (2, "CONDITIONAL")}
    assert layers.MaxPooling2D(10, 1)(np.zeros((1, 20, 20, 1))).shape[1:3] == (11, 11)


def test_row_20_steps_of_an_epoch():
    assert decided(20) == {
        "steps-of-64": (8, "TRUE"),
        "last-of-64": (52, "TRUE"),
        "steps-of-32": (16, "FALSE"),
        "last-of-32": (20, "TRUE"),
        "epoch-is-a-batch": (500, "FALSE"),
    }
    sizes = []

    class Watch(layers.Layer):
        def call(self, x):
            sizes.append(x.shape[0])
            return x

    model = keras.Sequential([Watch(), layers.Dense(1)])
    model.build((None, 1))
    model.compile("sgd", "mse", run_eagerly=True)
    sizes.clear()
    model.fit(np.zeros((500, 1)), np.zeros((500, 1)), batch_size=32, verbose=0)
    assert sizes == [32] * 15 + [20]  # Keras keeps the batch that is not full


def test_row_21_patches():
    assert decided(21) == {"patches-of-64": (16, "TRUE")}
    patches = keras.ops.image.extract_patches(np.zeros((1, 256, 256, 3), "float32"), 64)
    assert patches.shape == (1, 4, 4, 64 * 64 * 3)


def test_row_22_values_and_parameters_of_an_image():
    assert decided(22) == {
        "image-parameters": (0, "FALSE"),
        "image-values": (3_000_000, "TRUE"),
        "image-dense-weights": (3_000_000_000, "TRUE"),
    }
    small = keras.Sequential([keras.Input((10, 10, 3)), layers.Flatten(), layers.Dense(7, use_bias=False)])
    assert small.count_params() == anatomy.conv_params(3, 7, (10, 10), use_bias=False)


@pytest.mark.parametrize(("maps", "filters", "height", "width"), [(1, 1, 1, 1), (3, 8, 3, 5), (16, 120, 5, 5)])
def test_row_23_parameters(maps, filters, height, width):
    assert decided(23) == {"convolution-parameters": (2416, "TRUE"), "dense-parameters": (48_000, "CONDITIONAL")}
    expected = filters * maps * height * width + filters
    for size in (6, 11):
        layer = layers.Conv2D(filters, (height, width))
        layer.build((None, size, size + 1, maps))
        assert layer.count_params() == expected
    dense = layers.Dense(filters)
    dense.build((None, maps * height * width))
    assert dense.count_params() == expected


def test_row_24_convolution_and_correlation():
    assert decided(24) == {
        "layers-turn-kernels": (25, "FALSE"),
        "turning-does-not-matter": (0, "TRUE"),
        "wide-commutes": (0, "TRUE"),
    }
    image, kernel = arithmetic.IMAGE, arithmetic.KERNEL
    layer = layers.Conv2D(1, 3, use_bias=False)
    layer.build((None, 7, 7, 1))
    layer.set_weights([kernel[:, :, None, None]])
    np.testing.assert_array_equal(
        layer(image[None, :, :, None])[0, :, :, 0], scipy.signal.correlate(image, kernel, "valid", "direct")
    )
    one, other = (scipy.signal.correlate(*pair, "full", "direct") for pair in ((image, kernel), (kernel, image)))
    assert (one != other).any()  # correlation does not commute
    np.testing.assert_array_equal(one, other[::-1, ::-1])


def test_row_25_slopes():
    assert decided(25) == {
        "sigmoid-slope": (0.25, "TRUE"),
        "sigmoid-is-linear": (745.74, "FALSE"),
        "tanh-slope": (1, "FALSE"),
        "relu-slopes": (2, "FALSE"),
    }
    assert gradients.slopes("sigmoid").min() > 0 and np.argmax(gradients.slopes("tanh")) == 512  # at 0
    assert np.unique(gradients.slopes("relu")).tolist() == [0, 1]


def test_row_26_pooling_and_convolution_backwards():
    assert decided(26) == {
        "max-pooling-routes": (0, "TRUE"),
        "mean-pooling-spreads": (0, "TRUE"),
        "backpropagation-formulas": (5, "TRUE"),
    }
    rng = np.random.default_rng(3)
    x, w, b = (rng.normal(size=shape) for shape in ((2, 7, 9, 2), (3, 2, 2, 3), 3))
    y, cache = fs.conv2d(x, w, b, stride=2)
    dy = rng.normal(size=y.shape)
    by_autodiff = gradients.autodiff(lambda x, w, b: tf.nn.conv2d(x, w, 2, "VALID") + b, x, w, b, upstream=dy)
    for gradient, expected in zip(fs.conv2d_backward(dy, cache), by_autodiff, strict=True):
        assert gradients.relative_error(gradient, expected) < 1e-7
    direction, step = rng.normal(size=w.shape), 1e-5
    slope = sum(sign * (fs.conv2d(x, w + sign * step * direction, b, stride=2)[0] * dy).sum() for sign in (1, -1))
    assert slope / (2 * step) == pytest.approx((fs.conv2d_backward(dy, cache)[1] * direction).sum(), rel=1e-7)


def test_row_27_output_gradients():
    assert decided(27) == {
        "output-gradient-of-sigmoid": (12, "CONDITIONAL"),
        "output-gradient-of-softmax": (12, "TRUE"),
    }
    z, y = gradients._logits()
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert not np.isclose(p * (1 - p) * (p - y), p - y).any()  # the sigmoid's formula is wrong for softmax everywhere


def test_row_28_first_losses():
    assert decided(28) == {"first-cross-entropy": (2.30259, "TRUE"), "first-hinge": (9, "TRUE")}
    labels, scores = np.arange(10), np.zeros((10, 10))
    by_keras = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, scores)
    assert float(by_keras) == pytest.approx(math.log(10), rel=1e-6)
    # Keras's CategoricalHinge takes the strongest of the other classes alone: it starts at 1, not at 9.
    assert float(keras.losses.CategoricalHinge()(np.eye(10), scores)) == 1


def test_row_29_inception():
    assert decided(29) == {
        "inception-naive": (387_072, "TRUE"),
        "inception-reduced": (163_328, "TRUE"),
        "inception-share": (0.421958, "TRUE"),
    }
    module = economy.inception_3a()
    assert module.output_shape == (None, 28, 28, 256)
    convolutions = [layer for layer in module.layers if isinstance(layer, layers.Conv2D)]
    before = {layer.kernel_size[0]: type(layer.input._keras_history.operation).__name__ for layer in convolutions}
    assert before[3] == before[5] == "Conv2D"  # a 1×1 stands before each larger kernel
    pooling = next(layer for layer in module.layers if isinstance(layer, layers.MaxPooling2D))
    (after,) = [layer for layer in convolutions if layer.input is pooling.output]
    assert after.kernel_size == (1, 1)  # and behind the pooling


def test_row_30_kernels_for_pictures():
    assert decided(30) == {
        "blur-sums-to-1": (1, "TRUE"),
        "emboss-sums-to-0": (0, "TRUE"),
        "sharpen-centre": (2, "TRUE"),
    }
    others = arithmetic.picture_kernel("SHARPEN").sum() - 2
    assert 1 + abs(others) == 2
    flat = Image.new("L", (9, 9), 100)
    for name, grey in (("BLUR", 100), ("SHARPEN", 100), ("EMBOSS", 128)):  # Pillow adds 128 where a sum is 0
        assert flat.filter(getattr(ImageFilter, name)).getpixel((4, 4)) == grey
    flat.putpixel((4, 4), 255)  # water colour: the median removes a speck, and there is nothing left to sharpen
    painted = flat.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.SHARPEN)
    assert painted.getextrema() == (100, 100)


def test_row_31_dense_layers():
    assert decided(31) == {
        "dense-without-bias": (850, "FALSE"),
        "dense-averages": (0, "FALSE"),
        "black-image": (0, "TRUE"),
    }
    scores = layers.Dense(10, bias_initializer="random_normal")(np.zeros((1, 784)))
    assert np.ptp(scores) > 0  # with biases, a black image may prefer a class


def test_row_32_no_activation():
    assert decided(32) == {"convolutions-fold": (0, "TRUE"), "no-activation-is-linear": (0, "CONDITIONAL")}
    assert arithmetic.not_additive(lambda x: keras.ops.max_pool(x, 2)) > 48  # max pooling bends
    x = np.random.default_rng(2).normal(size=(1, 12, 12, 1))
    bent, kernels = arithmetic.two_convolutions(x, keras.ops.relu)
    difference = np.abs(bent - keras.ops.conv(x, arithmetic.folded(kernels)))
    assert difference.max() > 0.1


def test_row_33_batch_normalization():
    assert decided(33) == {"batch-norm-undoes-scale": (0, "TRUE"), "batch-norm-gradient": (0.1, "TRUE")}
    (y, small), (scaled, large) = (gradients.normalised(factor, epsilon=1e-3) for factor in (1, 10))
    assert 1e-9 < np.abs(scaled - y).max() < 1e-2  # with Keras's ε it holds nearly
    assert np.linalg.norm(large) / np.linalg.norm(small) == pytest.approx(0.1, rel=0.01)


def test_row_34_pooling_and_parameters():
    assert decided(34) == {
        "pooling-parameters": (0, "TRUE"),
        "pooling-saves-flat": (15_360, "CONDITIONAL"),
        "pooling-saves-averaged": (0, "FALSE"),
    }


# Facts of other rows, which corrections need


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (39, {"batch-variance": (0.5, "FALSE")}),
        (47, {"momentum-adapts": (128, "FALSE")}),
        (51, {"l1-keeps-largest": (0, "FALSE")}),
        (54, {"relu-vanishes": (0, "FALSE")}),
        (67, {"dense-ignores-place": (10, "FALSE"), "average-ignores-place": (0, "TRUE")}),
        (76, {"z-score-is-normal": (2.66667, "FALSE")}),
        (82, {"preparing-shrinks": (4, "FALSE")}),
    ],
)
def test_facts_for_corrections(row, expected):
    assert decided(row) == expected


@pytest.mark.parametrize("name", ["Adagrad", "RMSprop", "Adam"])
def test_row_47_other_optimizers_do_adapt(name):
    assert learning.step_ratio(getattr(keras.optimizers, name)(0.125)) == pytest.approx(1, abs=0.06)
