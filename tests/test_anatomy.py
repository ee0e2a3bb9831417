"""Anatomy against Keras (sizes, parameters), TensorFlow's profiler (multiply-adds) and gradients (receptive fields).

Tests named `row_NN` check the ledger's rows of facts that can be computed.
"""

import math
import os

os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cnnkit import anatomy, models
from cnnkit.anatomy import conv_output_size, conv_params, layer_table, receptive_field, unseen_pixels


def chain(input_shape, *stack):
    return keras.Sequential([keras.Input(input_shape, name="image"), *stack])


def vgg16_windows():
    return [window for block in (2, 2, 3, 3, 3) for window in [(3, 1)] * block + [(2, 2)]]


def alexnet_features(input_shape=(227, 227, 3), width=96):
    """AlexNet's eight convolutions and poolings, its published channels divided by `96 / width`."""
    relu = {"activation": "relu"}
    return chain(
        input_shape,
        layers.Conv2D(width, 11, strides=4, name="conv1", **relu),
        layers.MaxPooling2D(3, 2, name="pool1"),
        layers.Conv2D(width * 8 // 3, 5, padding="same", name="conv2", groups=2, **relu),
        layers.MaxPooling2D(3, 2, name="pool2"),
        layers.Conv2D(width * 4, 3, padding="same", name="conv3", **relu),
        layers.Conv2D(width * 4, 3, padding="same", name="conv4", groups=2, **relu),
        layers.Conv2D(width * 8 // 3, 3, padding="same", name="conv5", groups=2, **relu),
        layers.MaxPooling2D(3, 2, name="pool5"),
    )


def residual(strides=2):
    image = keras.Input((41, 38, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(16, 3, strides=strides, padding="same")(y)
    y = layers.Conv2D(16, 3, padding="same", activation="relu")(y)
    return keras.Model(image, layers.Add(name="last")([y, layers.Conv2D(16, 1, strides=strides, padding="same")(x)]))


def inception(naive=False, channels=192, sizes=(64, 128, 32, 32), reduced=(96, 16)):
    image = keras.Input((28, 28, channels))

    def conv(x, filters, side):
        return layers.Conv2D(filters, side, padding="same", use_bias=False, activation="relu")(x)

    pooled = layers.MaxPooling2D(3, 1, padding="same")(image)
    middle, wide = (image, image) if naive else (conv(image, size, 1) for size in reduced)
    branches = [conv(image, sizes[0], 1), conv(middle, sizes[1], 3), conv(wide, sizes[2], 5)]
    return keras.Model(
        image, layers.Concatenate(name="last")([*branches, pooled if naive else conv(pooled, sizes[3], 1)])
    )


def squeezed_separable():
    """Depthwise, separable and dilated convolutions, and a squeeze-and-excitation gate."""
    image = keras.Input((40, 40, 4))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(image)
    x = layers.SeparableConv2D(8, 5, padding="same", depth_multiplier=3)(x)
    x = layers.Conv2D(8, 3, dilation_rate=2, name="body")(x)
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)]))


def crooked():
    """Branches that look at different places: their fields overlap in part only."""
    image = keras.Input((30, 30, 1))
    left = layers.Cropping2D(((0, 4), (1, 3)))(layers.Conv2D(4, 3)(image))
    right = layers.Cropping2D(((5, 1), (4, 2)))(image)
    return keras.Model(image, layers.Concatenate(name="last")([left, right]))


def nested():
    block = chain((20, 20, 4), layers.Conv2D(4, 3, padding="same", name="conv"), layers.Conv2D(4, 4, padding="same"))
    image = keras.Input((20, 20, 4))
    x = block(image)
    return keras.Model(image, layers.MaxPooling2D(2, name="last")(x + block(x)))


NETWORKS = {
    "grouped": lambda: chain((30, 30, 8), layers.Conv2D(16, 5, groups=4), layers.Conv2D(16, 3, groups=16)),
    "alexnet": lambda: alexnet_features(width=12),
    "residual": residual,
    "inception": lambda: inception(channels=12, sizes=(8, 8, 4, 4), reduced=(6, 4)),
    "squeezed": squeezed_separable,
    "crooked": crooked,
    "nested": nested,
    "oblong": lambda: chain((29, 34, 2), layers.Conv2D(4, (3, 6), (1, 2)), layers.MaxPooling2D((2, 3), (2, 1), "same")),
    "even": lambda: chain((21, 21, 1), layers.Conv2D(2, 4, 2, "same"), layers.Conv2D(2, 2, 1, "same")),
    "dilated": lambda: chain(
        (32, 32, 1), *(layers.Conv2D(3, 3, padding="same", dilation_rate=2**n, activation="relu") for n in range(3))
    ),
    "padded": lambda: chain((25, 25, 3), layers.ZeroPadding2D(((2, 0), (1, 3))), layers.Conv2D(4, 5, 2)),
    "one_d": lambda: chain(
        (64, 3), layers.Conv1D(4, 5, padding="causal"), layers.MaxPooling1D(3, 2), layers.SeparableConv1D(4, 3)
    ),
    "three_d": lambda: chain(
        (12, 14, 16, 2), layers.Conv3D(3, (2, 3, 4), activation="tanh"), layers.AveragePooling3D(2)
    ),
    "dense": lambda: chain((9, 9, 2), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(30, "relu"), layers.Dense(3)),
    "global": lambda: chain((9, 9, 2), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(keepdims=True)),
}


# Output sizes


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_row_16_output_sizes_are_those_of_keras(padding):
    for kernel_size, stride, dilation in [(k, s, d) for k in range(1, 6) for s in (1, 2, 3, 4) for d in (1, 2, 3)]:
        if stride > 1 and dilation > 1:
            continue  # Keras has no such convolution
        layer = layers.Conv1D(1, kernel_size, stride, padding, dilation_rate=dilation)
        for size in range(dilation * (kernel_size - 1) + 1, 20):
            expected = layer.compute_output_shape((None, size, 1))[1]
            assert conv_output_size(size, kernel_size, stride, padding, dilation, floor=True) == expected


def test_row_16_narrow_same_and_wide():
    for size, kernel_size in [(n, k) for n in range(1, 12) for k in range(1, n + 1)]:
        assert conv_output_size(size, kernel_size) == size - kernel_size + 1
        assert conv_output_size(size, kernel_size, padding="same") == size
        wide = len(np.convolve(np.ones(size), np.ones(kernel_size)))
        assert conv_output_size(size, kernel_size, padding="full") == wide == size + kernel_size - 1


def test_floor_drops_the_pixels_that_no_window_reaches():
    image = np.zeros((1, 11, 1), "float32")
    image[0, 9:] = 1  # 11 pixels under a 3-pixel window and stride 3: the last two are never seen
    layer = layers.Conv1D(1, 3, 3, kernel_initializer="ones")
    assert float(keras.ops.sum(layer(image))) == 0
    assert (conv_output_size(11, 3, 3, floor=True), unseen_pixels(11, 3, 3)) == (3, 2)
    assert (unseen_pixels(12, 3, 3), unseen_pixels(11, 3, 3, padding="same")) == (0, 0)


def test_row_01_a_non_integer_size_is_flagged_by_its_value():
    with pytest.raises(ValueError, match=r"6\.25 positions, not an integer. Sizes 31 and 35 fit; floor=True gives 6"):
        conv_output_size(32, 11, stride=4)
    with pytest.raises(ValueError, match=r"54\.25"):
        conv_output_size(224, 11, stride=4)
    assert conv_output_size(227, 11, stride=4) == 55


def test_rows_17_18_19_21_even_kernels_and_poolings():
    assert all(conv_output_size(size, 2, padding="same") == size for size in (5, 6))
    assert conv_output_size(6, 2, stride=2) == 3
    assert conv_output_size(6, 3, stride=2, floor=True) == 2
    assert (conv_output_size(6, 3), conv_output_size(6, 2)) == (4, 5)
    assert conv_output_size(20, 10, stride=10) == 2
    assert conv_output_size(256, 64, stride=64) ** 2 == 16


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 4, "kernel_size": 5}, "kernel no larger than the padded input.*output 0"),
        ({"size": 5, "kernel_size": 3, "dilation": 4}, "spans 9 pixels, on 5"),
        ({"size": 2, "kernel_size": 7, "padding": 1}, "on 4 .*output -2"),
        ({"size": 0, "kernel_size": 1}, "size to be an integer >= 1"),
        ({"size": 8, "kernel_size": 3, "stride": 0}, "stride to be an integer >= 1"),
        ({"size": 8, "kernel_size": 2.5}, "kernel_size to be an integer >= 1"),
        ({"size": 8, "kernel_size": 3, "padding": "wide"}, "'valid', 'same', 'full' or an integer"),
        ({"size": 8, "kernel_size": 3, "padding": -1}, "'valid', 'same', 'full' or an integer"),
    ],
)
def test_impossible_windows_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        conv_output_size(**arguments)


# Parameters


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("use_bias", [True, False])
def test_row_23_parameters_do_not_depend_on_the_image(groups, use_bias):
    for size in (9, 17):
        model = chain((size, size, 6), layers.Conv2D(12, (3, 5), groups=groups, use_bias=use_bias))
        assert layer_table(model).num_params.iloc[-1] == conv_params(6, 12, (3, 5), groups, use_bias)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="divisible by groups. Received: in_channels=6, filters=8, groups=4"):
        conv_params(6, 8, (3, 3), groups=4)


def test_row_08_vgg16_has_138_million_parameters_most_of_them_dense():
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convolutions = sum(conv_params(i, o, (3, 3)) for i, o in zip(channels, channels[1:], strict=False))
    dense = conv_params(512, 4096, (7, 7)) + conv_params(4096, 4096, ()) + conv_params(4096, 1000, ())
    assert convolutions + dense == 138_357_544
    assert round(dense / (convolutions + dense), 2) == 0.89


def test_row_22_an_image_has_values_and_a_dense_layer_on_it_has_parameters():
    assert math.prod((1000, 1000, 3)) == 3_000_000
    assert conv_params(3, 1000, (1000, 1000), use_bias=False) == 3_000_000_000


def test_row_13_a_separable_convolution_costs_1_over_n_plus_1_over_k_squared():
    full = layer_table(chain((16, 16, 8), layers.Conv2D(32, 3, use_bias=False))).iloc[-1]
    separable = layer_table(chain((16, 16, 8), layers.SeparableConv2D(32, 3, use_bias=False))).iloc[-1]
    assert separable.num_params / full.num_params == pytest.approx(1 / 32 + 1 / 9)
    assert separable.macs / full.macs == pytest.approx(1 / 32 + 1 / 9)


def test_row_29_inception_reduces_163_328_weights_instead_of_387_072():
    assert anatomy.totals(inception()).num_params == 163_328
    assert anatomy.totals(inception(naive=True)).num_params == 387_072


def test_row_34_pooling_saves_parameters_only_in_a_dense_layer_behind_it():
    def head(*stack):
        return layer_table(chain((16, 16, 4), layers.Conv2D(8, 3, padding="same"), *stack)).set_index("type").num_params

    flat = head(layers.Flatten(), layers.Dense(10))
    pooled = head(layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10))
    average = head(layers.MaxPooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(10))
    assert flat.Conv2D == pooled.Conv2D and pooled.MaxPooling2D == 0
    assert (flat.Dense, pooled.Dense, average.Dense) == (20_490, 5_130, 90)


def test_row_02_and_03_alexnet_shapes():
    shapes = layer_table(alexnet_features()).set_index("layer").output_shape
    assert shapes[["conv1", "pool1", "conv2", "pool2"]].tolist() == [
        (55, 55, 96),
        (27, 27, 96),
        (27, 27, 256),
        (13, 13, 256),
    ]
    assert shapes[["conv3", "conv4", "conv5", "pool5"]].tolist() == [(13, 13, n) for n in (384, 384, 256)] + [
        (6, 6, 256)
    ]


# Multiply-adds


def profiled_macs(model):
    """Half the floating point operations that TensorFlow's profiler counts in convolutions and matrix products."""
    call = tf.function(lambda image: model(image, training=False))
    tf.config.run_functions_eagerly(True)  # shows the profiler the grouped convolutions that Keras compiles apart
    try:
        graph = call.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)).graph
    finally:
        tf.config.run_functions_eagerly(False)
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options |= {"output": "none", "account_type_regexes": [".*Conv.*", ".*MatMul"]}
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops / 2


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_are_those_of_the_profiler(name):
    model = NETWORKS[name]()
    assert anatomy.totals(model).macs == profiled_macs(model) > 0


# What the 1998 LeNet-5 computes beyond its connections: its sparse C3 runs as a dense convolution, of a kernel that a
# matrix product fills. The profiler counts both; `macs` counts connections, as the paper does. A locally connected net
# is a batch of matrix products, of which the profiler counts none: two layers of 14×14 and 6×6 places.
SURPLUS = {"lenet5": 100 * 25 * (96 - 60) + 25 * 60 * 96, "local_net": -(14 * 14 * 5 * 75 + 6 * 6 * 12 * 45)}
# Local response normalization sums its neighbours by a product with a matrix of channels × channels.
SURPLUS |= {"alexnet": 15**2 * 96**2 + 7**2 * 256**2, "googlenet": 8**2 * 64**2 + 8**2 * 192**2}
SIDES = {"alexnet": 67, "squeezenet": 35}


@pytest.mark.parametrize("name", models.list_models())
def test_registered_models_macs_and_parameters(name):
    side = SIDES.get(name, 32)
    model = models.create_model(name, (side, side, 1 if name == "lenet5" else 3), 10)
    totals = anatomy.totals(model)
    assert totals.num_params == model.count_params()
    assert totals.macs == pytest.approx(profiled_macs(model) - SURPLUS.get(name, 0), rel=0.05)


def test_a_locally_connected_layer_has_a_row_of_its_own_kind():
    table = layer_table(models.create_model("local_net", (32, 32, 3), 10)).set_index("layer")
    assert table.at["local1", "macs"] == 14 * 14 * 5 * 75 and table.at["local2", "receptive_field"] == 9
    assert table.at["local1", "num_params"] == 14 * 14 * 5 * 76


def test_a_sketch_has_the_same_anatomy():
    sketch, model = (build("caffe_quick", (32, 32, 3), 10) for build in (models.sketch_model, models.create_model))
    assert anatomy.describe(sketch) == anatomy.describe(model)
    assert all(weight._value is None for weight in sketch.weights)  # nothing was allocated on the way


def test_row_10_half_the_size_and_twice_the_filters_keep_the_cost():
    early = chain((32, 32, 16), layers.Conv2D(16, 3, padding="same"))
    late = chain((16, 16, 32), layers.Conv2D(32, 3, padding="same"))
    assert anatomy.totals(early).macs == anatomy.totals(late).macs


# Receptive fields


def expected_box(row, unit, image):
    """The pixels that the table says a unit sees, cut to the image."""
    axes = len(image)
    start, size, jump = ((value,) * axes if not isinstance(value, tuple) else value for value in row)
    first = [begin + place * (step or 0) for begin, place, step in zip(start, unit, jump, strict=True)]
    return tuple(
        slice(max(0, begin), min(side, begin + length)) for begin, length, side in zip(first, size, image, strict=True)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_computed_fields_are_the_gradients_boxes(name):
    model = NETWORKS[name]()
    row = layer_table(model).iloc[-1]
    image, grid = model.input_shape[1:-1], row.output_shape[:-1]
    for place in (0, 0.5, 1):  # the first unit, one in the middle, the last: padding and borders count
        unit = tuple(int(place * (side - 1)) for side in grid)
        places = unit if len(unit) == len(image) else (0,) * len(image)
        expected = expected_box(row[["field_start", "receptive_field", "jump"]], places, image)
        assert anatomy.gradient_box(model, model.layers[-1].name, unit) == expected


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern", "caffe_quick"])
def test_registered_models_fields_are_the_gradients_boxes(name):
    model = models.create_model(name, (32, 32, 1), 10)
    table = layer_table(model)
    rows = table[table.kernel_size != ""].iloc[[1, 3]]
    for row in rows.itertuples():
        unit = tuple(side // 2 for side in row.output_shape[:-1])
        expected = expected_box((row.field_start, row.receptive_field, row.jump), unit, (32, 32))
        assert anatomy.gradient_box(model, row.layer) == expected


def test_row_15_published_fields():
    lenet = layer_table(models.create_model("lenet5", (32, 32, 1), 10))
    assert lenet.receptive_field[lenet.layer.str.lower() == "c5"].tolist() == [32]
    alexnet = alexnet_features(width=12)
    assert receptive_field(alexnet) == receptive_field(alexnet, "pool5") == 195
    assert receptive_field(alexnet, "conv1") == 11
    assert anatomy.gradient_box(alexnet, "pool5", (2, 2)) == (slice(0, 195), slice(0, 195))
    assert receptive_field(vgg16_windows()) == 212


def test_rows_14_and_15_stacks_of_3x3_see_as_much_as_larger_kernels():
    assert receptive_field([(3, 1)] * 2) == receptive_field([(5, 1)]) == 5
    assert receptive_field([(3, 1)] * 3) == receptive_field([(7, 1)]) == 7
    assert receptive_field([(7, 2), (1, 1)]) == 7
    assert receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)]) == 15
    assert 3 * conv_params(8, 8, (3, 3), use_bias=False) == 27 * 8**2
    assert conv_params(8, 8, (7, 7), use_bias=False) == 49 * 8**2


def test_upsampling_has_a_fractional_jump_and_no_single_field():
    model = chain(
        (16, 16, 1), layers.Conv2D(4, 3, 4, "same"), layers.Conv2DTranspose(2, 4, 8, "same"), layers.Conv2D(1, 3)
    )
    table = layer_table(model)
    assert table.jump.tolist() == [1, 4, 0.5, 0.5]
    assert table.receptive_field.isna().tolist() == [False, False, True, True]
    assert table.macs.tolist() == [0, 16 * 9 * 4, 16 * 4 * 16 * 2, 30 * 30 * 9 * 2]


# The table


def test_table_of_one_convolution():
    row = layer_table(chain((20, 30, 3), layers.Conv2D(8, (3, 5), (1, 2), "same", name="conv"))).iloc[1]
    assert row.to_dict() == {
        "layer": "conv",
        "type": "Conv2D",
        "output_shape": (20, 15, 8),
        "kernel_size": (3, 5),
        "strides": (1, 2),
        "padding": "same",
        "dilation_rate": 1,
        "num_params": 3 * 5 * 3 * 8 + 8,
        "macs": 20 * 15 * 8 * 3 * 5 * 3,
        "memory_bytes": 4 * 20 * 15 * 8,
        "receptive_field": (3, 5),
        "field_start": -1,
        "jump": (1, 2),
        "share_of_image": pytest.approx(15 / 600),
    }


def test_totals_and_text_agree_with_keras():
    model = residual()
    totals = anatomy.totals(model)
    assert totals.num_params == model.count_params()
    assert (totals.weight_bytes, totals.flops) == (4 * totals.num_params, 2 * totals.macs)
    text = anatomy.describe(model)
    assert all(layer.name in text for layer in model.layers)
    assert f"{totals.num_params:,} parameters" in text and f"{totals.macs:,} multiply-adds" in text


def test_nested_and_shared_layers_have_a_row_a_call_and_their_parameters_once():
    model = nested()
    table = layer_table(model)
    calls = table[table.layer.str.endswith("/conv")]
    assert calls.num_params.tolist() == [148, 0]
    assert table.num_params.sum() == model.count_params()
    assert (calls.macs > 0).all()


def test_an_open_input_shape_is_fixed_by_an_input_before_it():
    model = chain((None, None, 3), layers.Conv2D(8, 3, 2, "same"), layers.GlobalAveragePooling2D(), layers.Dense(5))
    assert layer_table(chain((31, 40, 3), model)).output_shape.tolist() == [(31, 40, 3), (16, 20, 8), (8,), (5,)]
    with pytest.raises(ValueError, match=r"fix its input shape.*None, None, 3.*keras.Input\(\(height"):
        layer_table(model)


class Blur(keras.layers.Layer):
    def call(self, x):
        return keras.ops.average_pool(x, 3, 1, "same")

    def compute_output_shape(self, input_shape):
        return input_shape


def test_unknown_layers_are_named_and_can_be_taught(monkeypatch):
    model = chain((12, 12, 1), Blur(name="soft"))
    with pytest.raises(ValueError, match="Layer 'soft': Expected a layer that cnnkit.anatomy knows. Received: Blur"):
        layer_table(model)
    rule = {"kernel_size": (3, 3), "strides": (1, 1), "padding": "same", "macs": 9 * 144}
    monkeypatch.setitem(anatomy.RULES, Blur, lambda layer, input_shape, output_shape: rule)
    assert layer_table(model).iloc[-1][["receptive_field", "field_start", "macs"]].tolist() == [3, -1, 9 * 144]
    monkeypatch.delitem(anatomy.RULES, Blur)
    monkeypatch.setattr(Blur, "anatomy", lambda self, input_shape, output_shape: rule, raising=False)
    assert receptive_field(model) == 3


def two_scales():
    image = keras.Input((16, 16, 1))
    coarse = layers.Conv2D(1, 3, 2, "same")(image)
    return keras.Model(image, layers.Add(name="sum")([coarse, layers.Cropping2D(4)(image)]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: chain((8, 4), layers.LSTM(3, name="memory")), "Layer 'memory'.*knows. Received: LSTM"),
        (
            lambda: chain((8, 8, 1), layers.Reshape((16, 4, 1), name="cut")),
            "Layer 'cut'.*keeps or drops the image's axes",
        ),
        (lambda: chain((64,), layers.Reshape((8, 8, 1), name="fold")), "Layer 'fold'.*keeps or drops the image's axes"),
        (lambda: chain((3, 8, 8), layers.Flatten("channels_first", name="flat")), "Layer 'flat'.*channels_last"),
        (two_scales, "Layer 'sum': Expected branches of one scale"),
        (lambda: keras.Sequential([layers.Dense(3)], name="unbuilt"), "Functional or Sequential.*'unbuilt'"),
        (lambda: keras.Model(name="written"), "Functional or Sequential.*'written'"),
    ],
)
def test_models_without_a_right_answer_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        layer_table(make())


def test_a_field_of_an_unknown_layer_names_the_known_ones():
    with pytest.raises(ValueError, match="one of the layers.*'image'.*layer_name='conv9'"):
        receptive_field(chain((8, 8, 1), layers.Conv2D(2, 3)), "conv9")


# The drawing


def test_boxes_are_to_scale():
    ax = anatomy.draw_network(layer_table(alexnet_features()))
    fronts = [patch.get_xy() for patch in ax.patches[::3]]
    heights = [np.ptp(front[:, 1]) for front in fronts]
    lengths = [np.ptp(front[:, 0]) for front in fronts]
    assert len(fronts) == 9  # the image and eight layers
    assert heights[1] / heights[2] == pytest.approx(math.sqrt(55 / 27))
    assert lengths[5] / lengths[1] == pytest.approx(math.sqrt(384 / 96))
    assert {text.get_text() for text in ax.texts} >= {"55×55×96", "conv1\n11×11\nstride 4"}


@pytest.mark.parametrize("name", ["alexnet", "dense", "global", "one_d"])
def test_labels_of_a_drawing_do_not_overlap(name):
    ax = anatomy.draw_network(layer_table(NETWORKS[name]()))
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_drawing_takes_axes_and_leaves_out_what_keeps_the_shape():
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    model = chain((64, 2), layers.Conv1D(4, 3, name="conv"), layers.ReLU(), layers.Dropout(0.5), layers.Flatten())
    assert anatomy.draw_network(layer_table(model), ax=ax) is ax
    assert len(ax.patches) == 2 * 3


@pytest.mark.parametrize("side, c1", [(28, "C1\n5×5\npadded"), (32, "C1\n5×5")])
@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern"])
def test_a_drawing_says_where_zeros_were_put_around_the_image(name, side, c1):
    table = layer_table(models.create_model(name, (side, side, 1), 10))
    below = {text.get_text() for text in anatomy.draw_network(table).texts}
    assert below >= {c1, "C3\n5×5", "S2\n2×2\nstride 2"}


def test_a_drawing_says_which_layers_pad():
    conv, same = layers.Conv2D, {"padding": "same"}
    stack = [conv(2, 3, name="a", **same), conv(2, 1, name="b", **same), conv(2, 3, 2, name="c", **same)]
    stack += [layers.MaxPooling2D(2, name="d", **same), conv(2, 3, name="e"), layers.ZeroPadding2D(1), layers.ReLU()]
    below = [text.get_text() for text in anatomy.draw_network(layer_table(chain((16, 16, 1), *stack))).texts[1::2]]
    assert below == ["image", "a\n3×3\npadded", "b\n1×1", "c\n3×3\nstride 2\npadded", "d\n2×2\nstride 2", "e\n3×3"]
