"""Facts: what one is, and evidence for their figures from elsewhere: Keras, SciPy, Pillow, or a paper's own sums."""

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from keras import layers
from PIL import Image, ImageFilter

from cnnkit import anatomy, course, models
from cnnkit import from_scratch as fs
from cnnkit.course.architectures import facts as architectures
from cnnkit.course.backprop import facts as backprop
from cnnkit.course.baselines import facts as baselines
from cnnkit.course.convolution import facts as convolution
from cnnkit.course.lenet import facts as lenet
from cnnkit.evidence import claims
from cnnkit.evidence.fact import Fact, check

FACTS = {one.id: one for one in course.list_facts()}


def figure(name):
    return check(FACTS[name])["effect"]


def verdict(name):
    return check(FACTS[name])["verdict"]


# What a fact is


@pytest.mark.parametrize("one", FACTS.values(), ids=FACTS)
def test_every_fact_is_a_sentence_with_a_figure_and_someone_who_says_it(one):
    line = check(one)
    assert line["verdict"] in ("TRUE", "FALSE", "CONDITIONAL") and line["experiment"] == ""
    assert one.text.endswith(".") and one.unit and one.source and one.ledger >= 0


def test_every_row_of_the_ledger_that_needs_no_later_network_has_a_fact():
    assert {one.ledger for one in FACTS.values()} >= {1, 7, *range(13, 35)}


@pytest.mark.parametrize(
    ("holds", "condition", "expected"),
    [
        (4, None, ("TRUE", "computed")),
        (5, None, ("FALSE", "computed")),
        (lambda apples: apples > 3, "in winter", ("CONDITIONAL", "in winter")),
        (lambda apples: apples > 4, "in winter", ("FALSE", "computed")),
    ],
)
def test_a_verdict_compares_the_figure(holds, condition, expected):
    line = check(Fact("two", 1, "2 + 2.", lambda: 2 + 2, "apples", holds, condition=condition))
    assert (line["effect"], line["verdict"], line["reason"]) == (4, *expected)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_an_error_and_not_false(number):
    with pytest.raises(ValueError, match=f"finite figure of the fact two. Received: {number}"):
        check(Fact("two", 1, "2 + 2.", lambda: number, "apples", 4))


def test_an_id_is_given_once():
    one = check(Fact("add-up", 1, "2 + 2 = 4.", lambda: 4, "apples", 4))
    with pytest.raises(ValueError, match="id only once. Received: add-up"):
        claims.as_table([one, one | {"text": "Another."}])


# Networks: the papers' own sums


def test_row_01_alexnets_first_layer():
    assert figure("conv1-of-32") == (32 - 11) / 4 + 1 and figure("conv1-of-224") == (224 - 11) / 4 + 1
    with pytest.raises(ValueError, match=r"6\.25 positions, not an integer"):
        anatomy.conv_output_size(32, 11, stride=4)
    assert layers.Conv2D(96, 11, strides=4).compute_output_shape((None, 227, 227, 3)) == (None, 55, 55, 96)


def test_rows_02_to_06_alexnet_by_hand():
    """Windows of 3 at stride 2 take 55 to 27, 13 and 6; halves of the maps are read where there are two towers."""
    sides = [55, (55 - 3) // 2 + 1, (27 - 3) // 2 + 1, (13 - 3) // 2 + 1]
    assert [figure("alexnet-pool1"), figure("alexnet-pool2")] == sides[1:3] and figure("alexnet-pool5") == 6 * 6 * 256
    convolutions = 96 * (11 * 11 * 3 + 1) + 256 * (5 * 5 * 48 + 1) + 384 * (3 * 3 * 256 + 1)
    convolutions += 384 * (3 * 3 * 192 + 1) + 256 * (3 * 3 * 192 + 1)
    dense = 4096 * (6 * 6 * 256 + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)
    assert figure("alexnet-6-million") == figure("alexnet-60-million") == convolutions + dense == 60_965_224
    assert (verdict("alexnet-6-million"), verdict("alexnet-60-million")) == ("FALSE", "TRUE")
    units = 55**2 * 96 + 27**2 * 256 + 13**2 * (384 + 384 + 256) + 4096 + 4096 + 1000
    assert figure("alexnet-neurons") == units == 659_272 and verdict("alexnet-neurons") == "CONDITIONAL"
    assert (figure("alexnet-dense"), verdict("alexnet-dense")) == (8192, "FALSE")
    assert (figure("alexnet-pools-first"), verdict("alexnet-pools-first")) == (0, "FALSE")


def test_rows_08_to_12_what_came_after_by_hand():
    dense = 4096 * (7 * 7 * 512 + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)
    assert figure("vgg16-parameters") == 138_357_544
    assert figure("vgg16-dense") == pytest.approx(dense / 138_357_544)

    filters = [3, *2 * [64], *2 * [128], *4 * [256], *8 * [512]]
    sides = [*2 * [224], *2 * [112], *4 * [56], *4 * [28], *4 * [14]]
    macs = sum(side**2 * 9 * into * out for side, into, out in zip(sides, filters[:-1], filters[1:], strict=True))
    macs += 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert figure("vgg19-cost") == macs / 1e9 and verdict("vgg19-cost") == "FALSE"
    assert figure("resnet34-share") == pytest.approx(figure("resnet34-cost") / figure("vgg19-cost"))
    assert figure("half-size-double-filters") == 1
    assert figure("squeezenet-share") == pytest.approx(60_965_224 / 1_248_424) and verdict("squeezenet-share") == "TRUE"
    assert figure("squeezenet-size") == pytest.approx(4.99, abs=0.01) and verdict("squeezenet-size") == "FALSE"


def test_row_07_lenet5():
    fan_in_of_c3 = 6 * 3 + 9 * 4 + 6  # the maps of S2 that the sixteen of C3 read
    parameters = [6 * 26, 6 * 2, fan_in_of_c3 * 25 + 16, 16 * 2, 120 * (16 * 25 + 1), 84 * 121]
    table = lenet.paper_layers()
    assert table["num_params"][table["num_params"] > 0].tolist() == parameters
    assert figure("lenet5-parameters") == sum(parameters)
    pooling = 6 * 14**2 * 5 + 16 * 5**2 * 5
    assert (
        figure("lenet5-connections") == pooling + 28**2 * parameters[0] + 10**2 * parameters[2] + 48_120 + 10_164 + 840
    )
    assert table["output_shape"].tolist()[:4] == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16)]
    assert figure("lenet5-today") == sum(weight.size for layer in fs.lenet() for weight in layer.params)


@pytest.mark.parametrize(("filters", "cheaper"), [(64, False), (71, False), (72, True), (512, True)])
def test_row_13_separable_convolutions(filters, cheaper):
    kinds = layers.SeparableConv2D, layers.Conv2D
    separable, plain = (architectures.weights(kind, filters) for kind in kinds)
    assert separable / plain == pytest.approx(1 / filters + 1 / 9)
    assert (8 <= plain / separable <= 9) == cheaper


def test_row_14_and_15_receptive_fields():
    assert figure("three-3x3-see") == 7 and anatomy.receptive_field([(3, 1)] * 3) == anatomy.receptive_field([(7, 1)])
    network = models.create_model("lenet5", (32, 32, 1), 10)
    assert anatomy.gradient_box(network, "C5") == (slice(0, figure("field-recursion")),) * 2
    padded = keras.Sequential([keras.Input((21, 21, 1)), *(layers.Conv2D(1, 3, padding="same") for _ in range(3))])
    assert anatomy.gradient_box(padded, padded.layers[-1].name, (0, 0)) == (slice(0, 4), slice(0, 4))
    alexnet = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]
    vgg16 = [window for convolutions in (2, 2, 3, 3, 3) for window in [(3, 1)] * convolutions + [(2, 2)]]
    assert (anatomy.receptive_field(alexnet), anatomy.receptive_field(vgg16)) == (195, 212)


def test_row_29_inception():
    module = architectures.inception_3a()
    assert module.output_shape == (None, 28, 28, 64 + 128 + 32 + 32)
    reduced = 192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32
    assert figure("inception-share") == reduced / (192 * (64 + 9 * 128 + 25 * 32))
    convolutions = [layer for layer in module.layers if isinstance(layer, layers.Conv2D)]
    before = {layer.kernel_size[0]: type(layer.input._keras_history.operation).__name__ for layer in convolutions}
    assert before[3] == before[5] == "Conv2D"  # a 1×1 stands before each larger kernel
    pooling = next(layer for layer in module.layers if isinstance(layer, layers.MaxPooling2D))
    (after,) = [layer for layer in convolutions if layer.input is pooling.output]
    assert after.kernel_size == (1, 1)  # and behind the pooling


# Sizes


@pytest.mark.parametrize("padding", ["valid", "same", 1, 2])
def test_row_16_sizes_of_images_are_those_of_keras(padding):
    images = np.zeros((1, 9, 12, 1), "float32")
    for kernel, stride in [(kernel, stride) for kernel in (1, 2, 3, 5) for stride in (1, 2, 3)]:
        zeros = padding if isinstance(padding, int) else 0
        padded = np.pad(images, [(0, 0), (zeros, zeros), (zeros, zeros), (0, 0)])
        seen = layers.Conv2D(1, kernel, stride, padding="valid" if zeros else padding)(padded).shape[1:3]
        sizes = (anatomy.conv_output_size(size, kernel, stride, padding, floor=True) for size in (9, 12))
        assert seen == tuple(sizes)


def test_row_17_even_kernels_keep_the_size_by_unequal_padding_alone():
    assert verdict("even-kernels") == "CONDITIONAL"
    assert layers.Conv2D(1, 4, padding="same")(np.zeros((1, 7, 8, 1))).shape == (1, 7, 8, 1)


@pytest.mark.parametrize(("window", "stride", "name"), [(2, 2, "pool-2-at-2"), (2, 1, "pool-2-at-1")])
def test_row_18_pooling(window, stride, name):
    assert layers.MaxPooling2D(window, stride)(np.zeros((1, 6, 6, 1))).shape[1] == figure(name)


def test_row_18_overlap_counted_by_hand():
    rows = np.zeros(13)
    for start in range(0, 11, 2):
        rows[start : start + 3] += 1
    assert figure("pool-wider-than-stride") == (np.outer(rows, rows) > 1).sum()


def test_row_19_pooling_20_by_10_at_stride_1():
    assert verdict("pool-10") == "CONDITIONAL"
    assert layers.MaxPooling2D(10, 1)(np.zeros((1, 20, 20, 1))).shape[1:3] == (11, 11)


def test_row_20_batches_are_those_of_fit():
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
    assert (len(sizes), sizes[-1], sum(sizes)) == tuple(map(figure, ("steps-of-32", "last-of-32", "epoch-is-a-batch")))


def test_row_21_patches():
    patches = keras.ops.image.extract_patches(np.zeros((1, 256, 256, 3), "float32"), 64)
    assert np.prod(patches.shape[1:3]) == figure("patches-of-64")


def test_row_22_weights_of_an_image():
    small = keras.Sequential([keras.Input((10, 10, 3)), layers.Flatten(), layers.Dense(7, use_bias=False)])
    assert small.count_params() == anatomy.conv_params(3, 7, (10, 10), use_bias=False)


@pytest.mark.parametrize(("maps", "filters", "height", "width"), [(1, 1, 1, 1), (3, 8, 3, 5), (16, 120, 5, 5)])
def test_row_23_parameters(maps, filters, height, width):
    expected = filters * maps * height * width + filters
    for size in (6, 11):
        assert convolution.count((size, size + 1, maps), layers.Conv2D(filters, (height, width))) == expected
    assert convolution.count((maps * height * width,), layers.Dense(filters)) == expected


# What layers compute


def test_row_24_keras_correlates():
    image, kernel = convolution.IMAGE, convolution.KERNEL
    layer = layers.Conv2D(1, 3, use_bias=False)
    layer.build((None, 7, 7, 1))
    layer.set_weights([kernel[:, :, None, None]])
    np.testing.assert_array_equal(
        layer(image[None, :, :, None])[0, :, :, 0], scipy.signal.correlate(image, kernel, "valid", "direct")
    )
    one, other = (scipy.signal.correlate(*pair, "full", "direct") for pair in ((image, kernel), (kernel, image)))
    assert (one != other).any() and verdict("wide-commutes") == "TRUE"  # correlation does not commute
    np.testing.assert_array_equal(one, other[::-1, ::-1])


def test_row_25_slopes_by_formula():
    x = np.arange(-512, 513) / 64
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(backprop.slopes("sigmoid"), sigmoid * (1 - sigmoid), rtol=1e-9)
    np.testing.assert_allclose(backprop.slopes("tanh"), 1 / np.cosh(x) ** 2, rtol=1e-6)
    assert np.unique(backprop.slopes("relu")).tolist() == [0, 1]


def test_row_26_convolution_backwards_at_a_stride():
    rng = np.random.default_rng(3)
    x, w, b = (rng.normal(size=shape) for shape in ((2, 7, 9, 2), (3, 2, 2, 3), 3))
    y, cache = fs.conv2d(x, w, b, stride=2)
    dy = rng.normal(size=y.shape)
    by_autodiff = backprop.autodiff(lambda x, w, b: tf.nn.conv2d(x, w, 2, "VALID") + b, x, w, b, upstream=dy)
    for gradient, expected in zip(fs.conv2d_backward(dy, cache), by_autodiff, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-7 * np.abs(expected).max())
    direction, step = rng.normal(size=w.shape), 1e-5
    slope = sum(sign * (fs.conv2d(x, w + sign * step * direction, b, stride=2)[0] * dy).sum() for sign in (1, -1))
    assert slope / (2 * step) == pytest.approx((fs.conv2d_backward(dy, cache)[1] * direction).sum(), rel=1e-7)


def test_row_27_the_formula_for_sigmoids_is_wrong_for_softmax():
    z, y = backprop.SCORES, backprop.TARGETS
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert not np.isclose(p * (1 - p) * (p - y), p - y).any() and verdict("output-gradient-of-softmax") == "TRUE"


@pytest.mark.parametrize(
    ("name", "loss", "equal"),
    [("first-cross-entropy", fs.softmax_cross_entropy, np.log(10)), ("first-hinge", fs.multiclass_hinge, 9)],
)
def test_row_28_first_losses_are_near_those_of_equal_scores_while_scores_are_small(name, loss, equal):
    assert loss(np.zeros((10, 10)), np.arange(10))[0] == pytest.approx(equal)
    assert figure(name) == pytest.approx(equal, rel=0.02) and figure(name) != equal
    assert verdict(name) == "CONDITIONAL" and baselines.first_loss(loss, brightest=255) > 9 * equal


def test_row_30_kernels_for_pictures():
    flat = Image.new("L", (9, 9), 100)
    for name, grey in (("BLUR", 100), ("SHARPEN", 100), ("EMBOSS", 128)):  # Pillow adds 128 where a sum is 0
        assert flat.filter(getattr(ImageFilter, name)).getpixel((4, 4)) == grey
        assert convolution.picture_kernel(name).sum() == (grey == 100)
    relief = ImageFilter.Kernel((3, 3), [-2, -1, 0, -1, 1, 1, 0, 1, 2])
    assert flat.filter(relief).getpixel((4, 4)) == 100 and verdict("emboss-sums-to-0") == "CONDITIONAL"
    flat.putpixel((4, 4), 255)  # water colour: the median removes a speck, and there is nothing left to sharpen
    painted = flat.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.SHARPEN)
    assert painted.getextrema() == (100, 100)


def test_row_31_with_biases_a_black_image_may_prefer_a_class():
    scores = layers.Dense(10, bias_initializer="random_normal")(np.zeros((1, 784)))
    assert np.ptp(scores) > 0 == figure("black-image")


def test_row_32_activations_bend():
    assert backprop.not_additive(lambda x: keras.ops.max_pool(x, 2)) > 48  # max pooling bends
    assert backprop.not_one(keras.ops.relu) == 384


def test_row_33_batch_normalization_with_the_epsilon_of_keras():
    (y, small), (scaled, large) = (backprop.normalised(factor, epsilon=1e-3) for factor in (1, 10))
    assert 1e-9 < np.abs(scaled - y).max() < 1e-2  # it holds nearly
    assert np.linalg.norm(large) / np.linalg.norm(small) == pytest.approx(figure("batch-norm-gradient"), rel=0.01)


def test_row_34_before_global_average_pooling_pooling_saves_nothing():
    head = layers.GlobalAveragePooling2D(), layers.Dense(10)
    pooled = convolution.count((16, 16, 8), layers.MaxPooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(10))
    assert convolution.count((16, 16, 8), *head) == pooled and figure("pooling-saves-flat") == (256 - 64) * 8 * 10


# Learning


@pytest.mark.parametrize("name", ["Adagrad", "RMSprop", "Adam"])
def test_row_47_other_optimizers_do_adapt(name):
    assert backprop.step_ratio(getattr(keras.optimizers, name)(0.125)) == pytest.approx(1, abs=0.06)


def test_row_51_l1_deletes_and_no_n_is_given():
    x, y = baselines.load_diabetes(return_X_y=True)
    kept = [np.count_nonzero(baselines.Lasso(alpha=alpha).fit(x, y).coef_) for alpha in (0.1, 1, 3)]
    assert kept == sorted(kept, reverse=True) and kept[0] > kept[-1] and verdict("l1-keeps-largest") == "FALSE"
