"""Networks of the papers: their tables' shapes, costs and counts, and Keras' own versions of them."""

import re

import keras
import numpy as np
import pytest

from cnnkit import anatomy
from cnnkit.course.architectures import families
from cnnkit.models import create_model, get_builder, googlenet, sketch_model
from cnnkit.models.resnet import WiderShortcut

RANDOM = np.random.default_rng(1)


def published(name, **model_args):
    *shape, classes = get_builder(name).shown
    return sketch_model(name, tuple(shape), classes, **model_args)


def maps(model, *names):
    return [model.get_layer(name).output.shape[1:] for name in names]


def count(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_alexnet_is_the_papers_figure():
    model = published("alexnet")
    assert maps(model, "conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5") == [
        (55, 55, 96), (27, 27, 96), (27, 27, 256), (13, 13, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256),
        (6, 6, 256),
    ]  # fmt: skip
    assert maps(model, "fc6", "fc7", "fc8") == [(4096,), (4096,), (1000,)]
    order = [layer.name for layer in model.layers]
    assert order.index("conv1_relu") < order.index("lrn1") < order.index("pool1")
    assert [model.get_layer(f"conv{place}").groups for place in range(1, 6)] == [1, 2, 1, 2, 2]
    assert count(published("alexnet", towers=1)) == 62_378_344


def test_googlenet_is_the_papers_table():
    model = published("googlenet")
    assert maps(model, "conv1", "pool1", "conv2", "pool2", "3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b") == [
        (112, 112, 64), (56, 56, 64), (56, 56, 192), (28, 28, 192), (28, 28, 256), (28, 28, 480), (14, 14, 512),
        (14, 14, 512), (14, 14, 512), (14, 14, 528), (14, 14, 832), (7, 7, 832), (7, 7, 1024),
    ]  # fmt: skip
    assert 1.5e9 < anatomy.totals(model).macs < 1.6e9  # "1.5 billion multiply-adds"


def test_googlenets_auxiliary_heads_are_weighed_into_its_loss():
    keras.utils.set_random_seed(1)
    model = get_builder("googlenet")((65, 65, 3), 4, auxiliary=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", [loss] * 3, loss_weights=list(googlenet.LOSS_WEIGHTS))
    x, y = RANDOM.uniform(size=(2, 65, 65, 3)), np.array([0, 1])
    total = model.test_on_batch(x, [y, y, y], return_dict=True)["loss"]
    parts = [float(loss(y, logits)) for logits in model.predict_on_batch(x)]
    assert total == pytest.approx(parts[0] + 0.3 * parts[1] + 0.3 * parts[2], rel=1e-5)
    with pytest.raises(ValueError, match="3 outputs. Leave auxiliary heads out"):
        create_model("googlenet", (65, 65, 3), 4, auxiliary=True)


def test_googlenet_with_auxiliary_heads_is_as_large_as_its_authors_file():
    with_heads = get_builder("googlenet")((224, 224, 3), 1000, auxiliary=True)
    assert count(with_heads) == 13_378_280


@pytest.mark.parametrize(
    "name, layers, billions", [("resnet18", 18, 1.8), ("resnet34", 34, 3.6), ("resnet50", 50, 3.8)]
)
def test_resnets_have_the_papers_layers_and_cost(name, layers, billions):
    model = published(name)
    own = [layer for layer in model.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
    assert len([layer for layer in own if "shortcut" not in layer.name]) == layers
    assert maps(model, "conv1", "pool1", "average")[:2] == [(112, 112, 64), (56, 56, 64)]
    assert anatomy.totals(model).macs / 1e9 == pytest.approx(billions, abs=0.07)


@pytest.mark.parametrize("depth", [20, 32, 56])
def test_plain_networks_are_residual_ones_without_shortcuts(depth):
    residual, plain = published(f"resnet{depth}"), published(f"plain{depth}")
    names = [layer.name for layer in residual.layers if not re.search("add|shortcut", layer.name)]
    assert [layer.name for layer in plain.layers] == names and count(plain) == count(residual)
    assert len([name for name in names if re.fullmatch(r"conv1|conv\d_\d+_\d|logits", name)]) == depth


def test_a_wider_shortcut_keeps_every_second_pixel_and_adds_zeros():
    layer, x = WiderShortcut(5), RANDOM.normal(size=(2, 7, 6, 3)).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(y[..., :3], x[:, ::2, ::2])
    assert y.shape == (2, 4, 3, 5) == layer.compute_output_shape(x.shape) and not y[..., 3:].any()
    assert layer.count_params() == 0 and WiderShortcut.from_config(layer.get_config()).filters == 5


def test_squeezenet_is_the_papers_table():
    model = published("squeezenet")
    assert maps(model, "conv1", "pool1", "fire2", "fire4", "pool2", "fire8", "pool3", "fire9", "conv10") == [
        (111, 111, 96), (55, 55, 96), (55, 55, 128), (55, 55, 256), (27, 27, 256), (27, 27, 512), (13, 13, 512),
        (13, 13, 512), (13, 13, 1000),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "width, millions, parameters", [(1.0, 569, 4.2), (0.75, 325, 2.6), (0.5, 149, 1.3), (0.25, 41, 0.5)]
)
def test_mobilenets_width_multiplier_costs_what_the_paper_prints(width, millions, parameters):
    model = published("mobilenet", width_multiplier=width)
    assert anatomy.totals(model).macs / 1e6 == pytest.approx(millions, abs=0.6)
    assert count(model) / 1e6 == pytest.approx(parameters, abs=0.05)


def theirs_in_order(ours, theirs):
    """Keras' VGG and MobileNet have our layers in our order; MobileNet's last is a 1×1 convolution."""
    weights = theirs.get_weights()
    ours.set_weights([w.reshape(mine.shape) for w, mine in zip(weights, ours.get_weights(), strict=True)])


def theirs_by_name(ours, theirs):
    """Keras' ResNet has biases (zero here) where batch normalization follows."""
    for layer in theirs.layers:
        place = re.fullmatch(r"conv(\d)(?:_block(\d+)_(\d))?_(conv|bn)", layer.name)
        if layer.name == "predictions":
            ours.get_layer("logits").set_weights(layer.get_weights())
        elif place and layer.weights:
            stage, block, step, kind = place.groups()
            name = f"conv{stage}_{block}_{'shortcut' if step == '0' else step}" if block else f"conv{stage}"
            mine = ours.get_layer(name + "_norm" * (kind == "bn"))
            mine.set_weights(layer.get_weights()[: len(mine.weights)])


@pytest.mark.parametrize(
    "name, application, copy",
    [
        ("vgg16", "VGG16", theirs_in_order),
        ("vgg19", "VGG19", theirs_in_order),
        ("mobilenet", "MobileNet", theirs_in_order),
        ("resnet50", "ResNet50", theirs_by_name),
    ],
)
def test_a_network_is_keras_own_with_its_weights(name, application, copy):
    keras.utils.set_random_seed(1)
    shape = (32, 32, 3)
    build = getattr(keras.applications, application)
    theirs = build(weights=None, input_shape=shape, classes=10, classifier_activation=None)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # as if it had seen data
            layer.set_weights([RANDOM.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    ours, x = create_model(name, shape, 10), RANDOM.normal(size=(4, *shape)).astype("float32")
    before = ours.predict_on_batch(x)
    copy(ours, theirs)
    logits = theirs.predict_on_batch(x)
    np.testing.assert_allclose(ours.predict_on_batch(x), logits, rtol=1e-4, atol=1e-4 * abs(logits).max())
    assert abs(before - logits).max() > 0.01 * abs(logits).max()


@pytest.mark.parametrize(
    "name, model_args, changed",
    [
        ("alexnet_small", {"towers": 2}, {"conv2": (5, 5, 12, 64)}),
        ("alexnet_small", {"width": 0.5}, {"conv1": (5, 5, 3, 12)}),
        ("alexnet_small", {"head": "average"}, {"logits": (64, 10)}),
        ("vgg_small", {"filters": 8, "depth": 3}, {"conv3_3": (3, 3, 32, 32)}),
        ("vgg_small", {"kernel_size": 5}, {"conv1_1": (5, 5, 3, 32)}),
        ("vgg_small", {"head": "dense"}, {"fc": (2048, 256)}),
        ("vgg_small", {"head": "flatten"}, {"logits": (2048, 10)}),
        ("inception_small", {"width": 0.5}, {"3a_3x3": (3, 3, 48, 64)}),
        ("mobilenet_small", {"width_multiplier": 0.5}, {"conv3": (1, 1, 32, 64)}),
        ("mobilenet_small", {"separable": False}, {"conv3": (3, 3, 64, 128)}),
        ("resnet20", {"width": 8}, {"conv4_1_1": (3, 3, 16, 32)}),
    ],
)
def test_arguments_change_a_layers_weights(name, model_args, changed):
    model = sketch_model(name, (32, 32, 3), 10, **model_args)
    assert {layer: tuple(model.get_layer(layer).weights[0].shape) for layer in changed} == changed


def test_arguments_without_weights_change_a_network():
    plain = {layer.name for layer in sketch_model("alexnet_small", (32, 32, 3), 10).layers}
    model = sketch_model("alexnet_small", (32, 32, 3), 10, lrn=0.4, batch_norm=True, activation="tanh", pool_size=2)
    added = {f"conv{place}_norm" for place in range(1, 6)} | {f"conv{place}_tanh" for place in range(1, 6)}
    assert {layer.name for layer in model.layers} - plain == {"lrn1", "lrn2"} | added
    assert model.get_layer("pool1").pool_size == (2, 2) and model.get_layer("fc6").activation.__name__ == "tanh"

    for pooling, kind in [("max", "MaxPooling2D"), ("average", "AveragePooling2D"), ("stride", None)]:
        model = sketch_model("vgg_small", (32, 32, 3), 10, pooling=pooling, batch_norm=False)
        kinds = {type(layer).__name__ for layer in model.layers}
        assert kinds & {"MaxPooling2D", "AveragePooling2D"} == ({kind} if kind else set())
        assert "BatchNormalization" not in kinds
        assert model.get_layer("average").input.shape == (None, 4, 4, 128)


@pytest.mark.parametrize(
    "model_args, side",
    [
        ({"padding": "same"}, 4),
        ({"padding": "valid"}, 2),
        ({"padding": "frame"}, 4),
        ({"padding": "frame", "depth": 2, "kernel_size": 5}, 4),
        ({"padding": "frame", "pool_size": 4}, 2),
        ({"pool_size": 4}, 2),
    ],
)
def test_a_frame_of_zeros_leaves_maps_as_large_as_padding_does(model_args, side):
    model = sketch_model("vgg_small", (32, 32, 3), 10, **{"depth": 1} | model_args)
    assert model.get_layer("average").input.shape == (None, side, side, 128)
    count = sketch_model("vgg_small", (32, 32, 3), 10, **{"depth": 1} | model_args | {"padding": "same"}).count_params()
    assert model.count_params() == count


def test_equal_multiply_adds_are_as_equal_as_whole_epochs_allow():
    macs = {name: families.sizes(name)[1] for name in families.NETWORKS}
    budget = 20 * macs.pop("GoogLeNet")
    assert {name: round(budget / each) for name, each in macs.items()} == families.SAME_COST
