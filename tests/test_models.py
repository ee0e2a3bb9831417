"""Every registered model, and the registry."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from cnnkit.models import (
    code_digest,
    create_model,
    get_builder,
    list_models,
    register,
    registry,
    sketch_model,
    sketching,
)
from cnnkit.models import layers as layers_of_cnnkit
from cnnkit.models.lenet import _codes

# Trainable parameters, at a shape and a number of classes.
PUBLISHED = {
    "alexnet": ((227, 227, 3), 1000, 60_965_224),
    "alexnet_small": ((32, 32, 3), 10, 2_343_530),
    "caffe_quick": ((32, 32, 3), 10, 145_578),
    "conv_net": ((32, 32, 3), 10, 98_691),
    "conv_stack": ((32, 32, 3), 10, 57_658),
    "googlenet": ((224, 224, 3), 1000, 6_998_552),
    "inception_small": ((32, 32, 3), 10, 305_502),
    "keras_cifar": ((32, 32, 3), 10, 1_250_858),
    "keras_mnist": ((28, 28, 1), 10, 34_826),
    "lenet5": ((32, 32, 1), 10, 60_000),
    "lenet5_modern": ((32, 32, 1), 10, 61_706),
    "local_net": ((32, 32, 3), 10, 98_682),
    "mlp": ((28, 28, 1), 10, 407_050),
    "mobilenet": ((224, 224, 3), 1000, 4_231_976),
    "mobilenet_small": ((32, 32, 3), 10, 136_778),
    "plain20": ((32, 32, 3), 10, 269_722),
    "plain8": ((32, 32, 3), 10, 75_290),
    "plain32": ((32, 32, 3), 10, 464_154),
    "plain56": ((32, 32, 3), 10, 853_018),
    "resnet18": ((224, 224, 3), 1000, 11_689_512),
    "resnet20": ((32, 32, 3), 10, 269_722),
    "resnet8": ((32, 32, 3), 10, 75_290),
    "resnet32": ((32, 32, 3), 10, 464_154),
    "resnet34": ((224, 224, 3), 1000, 21_797_672),
    "resnet50": ((224, 224, 3), 1000, 25_557_032),
    "resnet56": ((32, 32, 3), 10, 853_018),
    "softmax": ((28, 28, 1), 10, 7_850),
    "squeezenet": ((227, 227, 3), 1000, 1_248_424),
    "squeezenet_small": ((32, 32, 3), 10, 172_618),
    "vgg16": ((224, 224, 3), 1000, 138_357_544),
    "vgg19": ((224, 224, 3), 1000, 143_667_240),
    "vgg_small": ((32, 32, 3), 10, 288_746),
}
SMALLEST = {
    "alexnet": 67,
    "caffe_quick": 8,
    "conv_net": 9,
    "keras_cifar": 10,
    "keras_mnist": 10,
    "lenet5": 28,
    "lenet5_modern": 28,
}
SMALLEST |= {"local_net": 9, "squeezenet": 35, "vgg16": 32, "vgg19": 32, "vgg_small": 8}
# Where networks for ImageNet are built with their weights: as small as they work, or 32 pixels.
BUILT = {name: (shape, classes) for name, (shape, classes, _) in PUBLISHED.items()}
BUILT |= {name: ((SMALLEST.get(name, 32),) * 2 + (3,), 10) for name, (_, classes) in BUILT.items() if classes == 1000}

# Learning rate and updates of the networks that would be slow, or too deep, for 100 updates at 0.003.
LEARNING = dict.fromkeys(["alexnet", "googlenet", "squeezenet", "resnet18", "resnet34", "resnet50"], (0.0003, 40))
LEARNING |= {"vgg16": (0.0001, 40), "vgg19": (0.0001, 40)}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))


def pictures(n, input_shape):
    return np.random.default_rng(1).uniform(size=(n, *input_shape)).astype("float32")


def test_every_model_is_listed_and_tested():
    assert list_models() == sorted(PUBLISHED)


# Keras 3.15 reads a TensorFlow variable in a way that NumPy 2.4 deprecates, whenever a model is saved.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("name", PUBLISHED)
def test_model_counts_predicts_and_survives_saving(name, tmp_path):
    sketch = sketch_model(name, *PUBLISHED[name][:2])
    assert sum(int(np.prod(weight.shape)) for weight in sketch.trainable_weights) == PUBLISHED[name][2]
    input_shape, classes = BUILT[name]
    model, x = create_model(name, input_shape, classes), pictures(3, input_shape)
    logits = model.predict_on_batch(x)
    assert logits.shape == (3, 10) and logits.dtype == np.float32 and np.isfinite(logits).all()

    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(x), logits)


@pytest.mark.parametrize("name", PUBLISHED)
def test_model_learns_eight_pictures_by_heart(name):
    keras.utils.set_random_seed(1)
    input_shape, classes = ((16, 16, 3) if name == "caffe_quick" else BUILT[name][0]), 4
    x, y = pictures(8, input_shape), np.arange(8) % classes
    x = x if name == "lenet5" else 4 * x - 2  # about as a run standardises them
    rate, updates = LEARNING.get(name, (0.003, 100))
    model = create_model(name, input_shape, classes)
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.tile(x, (updates, 1, 1, 1)), np.tile(y, updates), batch_size=8, shuffle=False, verbose=0)
    # It starts near ln 4 = 1.39, or above. Without shortcuts 56 layers learn slowly: hence the residual ones.
    assert model.evaluate(x, y, verbose=0) < (0.9 if name == "plain56" else 0.1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_same_seed_same_weights_and_same_architecture_on_every_call(name):
    def build():
        keras.utils.set_random_seed(7)
        return create_model(name, *BUILT[name])

    first, second = build(), build()
    assert first.to_json() == second.to_json()
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_stay_float32_under_mixed_precision(name):
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = create_model(name, *BUILT[name])
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.layers[1].compute_dtype == "bfloat16"
    assert keras.ops.convert_to_numpy(model(pictures(2, BUILT[name][0]))).dtype == np.float32


@pytest.mark.parametrize(
    "input_shape, units, local, conv",
    [((32, 32, 3), (31, 81), (5, 12), (16, 193)), ((28, 28, 1), (64, 62), (8, 12), (16, 138))],
)
def test_dense_local_and_convolutional_networks_can_have_equal_counts(input_shape, units, local, conv):
    arms = {"mlp": {"units": units}, "local_net": {"filters": local}, "conv_net": {"filters": conv}}
    counts = [sketch_model(name, input_shape, 10, **args).count_params() for name, args in arms.items()]
    assert max(counts) < 1.02 * min(counts)


@pytest.mark.parametrize("name", SMALLEST)
def test_too_small_pictures_are_refused_and_the_smallest_work(name):
    side = SMALLEST[name]
    assert create_model(name, (side, side, 1), 3).output_shape == (None, 3)
    with pytest.raises(ValueError, match=f"Expected .*{side}.* for {name}.* Received: .*{side - 1}"):
        create_model(name, (side, side - 1, 1), 3)


def test_lenet5_is_the_paper_layer_by_layer():
    model = create_model("lenet5", (32, 32, 1), 10)
    maps = {name: model.get_layer(name).output.shape[1:] for name in ["C1", "S2", "C3", "S4", "C5", "F6"]}
    assert list(maps.values()) == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (1, 1, 120), (84,)]
    parameters = {name: model.get_layer(name).count_params() for name in maps}
    assert parameters == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48_120, "F6": 10_164}


def test_lenet5_sees_ink_and_paper_as_the_paper_scales_them():
    ink = create_model("lenet5", (28, 28, 1), 10).get_layer("ink")
    np.testing.assert_allclose(ink(np.array([0.0, 1.0])), [-0.1, 1.175], atol=1e-6)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern"])
def test_lenet5_pads_28_to_32_with_zeros(name):
    small, x = create_model(name, (28, 28, 1), 10), pictures(2, (28, 28, 1))
    large = create_model(name, (32, 32, 1), 10)
    large.set_weights(small.get_weights())
    padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
    np.testing.assert_array_equal(small.predict_on_batch(x), large.predict_on_batch(padded))


def test_lenet5_refuses_colour_and_names_the_way_out():
    with pytest.raises(ValueError, match="take lenet5_modern"):
        create_model("lenet5", (32, 32, 3), 10)
    assert create_model("lenet5_modern", (32, 32, 3), 10).count_params() == 61_706 + 2 * 150
    assert create_model("lenet5_modern", (28, 40, 1), 10).output_shape == (None, 10)


@pytest.mark.parametrize("num_classes", [2, 10, 26])
def test_output_codes_are_signs_and_far_from_each_other(num_classes):
    codes = _codes(num_classes)
    assert codes.shape == (num_classes, 84) and set(codes.flat) == {-1, 1}
    flipped = (codes[:, None] != codes).sum(axis=-1)
    assert flipped[~np.eye(num_classes, dtype=bool)].min() >= 7


def test_caffe_quick_arguments_change_what_they_say():
    def layers_of(**model_args):
        model = create_model("caffe_quick", (32, 32, 3), 10, **model_args)
        return model, [layer.name for layer in model.layers]

    plain, names = layers_of()
    assert [plain.get_layer(f"pool{i}").output.shape[1:] for i in (1, 2, 3)] == [(16, 16, 32), (8, 8, 32), (4, 4, 64)]
    assert plain.get_layer("pool1").pool_size == (3, 3) and plain.get_layer("activation3").activation.__name__ == "relu"

    changed, more = layers_of(pool_size=2, activation="tanh", batch_norm=True, lrn=0.4, dropout_rate=0.4)
    added = {"norm1", "norm2", "norm3", "lrn1", "lrn2", "dense_dropout", "logits_dropout"}
    assert set(more) - set(names) == added and set(names) <= set(more)
    assert changed.get_layer("pool3").pool_size == (2, 2) and changed.get_layer("conv1").bias is None
    assert changed.get_layer("activation1").activation.__name__ == "tanh"
    assert changed.get_layer("logits_dropout").rate == 0.4 and changed.get_layer("lrn2").alpha == 0.4

    zeros, _ = layers_of(kernel_initializer="zeros")
    assert not any(weights.any() for weights in zeros.get_weights())


def test_mlp_takes_its_layers_sizes():
    assert create_model("mlp", (4, 4, 1), 3, units=[5, 6], dropout_rate=0.1).count_params() == 85 + 36 + 21
    assert create_model("mlp", (32, 32, 3), 10, units=[31, 81]).count_params() == 98_675
    for units in (512, [0], [1.5], [True], "32"):
        with pytest.raises(ValueError, match="units as a list of positive integers"):
            create_model("mlp", (4, 4, 1), 3, units=units)


def test_unknown_model_and_argument_list_the_valid_ones():
    with pytest.raises(ValueError, match="caffe_quick.*softmax.*Received: 'lenet6'"):
        create_model("lenet6", (28, 28, 1), 10)
    with pytest.raises(ValueError, match=r"caffe_quick out of \['activation', 'pool_size'.*'dropout'"):
        create_model("caffe_quick", (32, 32, 3), 10, dropout=0.5)


@pytest.mark.parametrize("input_shape", [(28, 28), (None, 28, 1), (28, 28, 0), (28.0, 28, 1), 28, "abc"])
def test_impossible_input_shape_is_refused(input_shape):
    with pytest.raises(ValueError, match="three positive integers.*Received: input_shape="):
        create_model("softmax", input_shape, 10)


def test_an_image_that_no_backend_can_index_is_refused():
    with pytest.raises(ValueError, match=r"at most 2,147,483,647 values. Received: .*99999"):
        create_model("softmax", (99_999, 99_999, 3), 10)


@pytest.mark.parametrize("num_classes", [1, 0, 2.0, None, 10**9])
def test_impossible_number_of_classes_is_refused(num_classes):
    with pytest.raises(ValueError, match="num_classes from 2 to 1,000,000, an integer. Received: "):
        create_model("softmax", (28, 28, 1), num_classes)


@pytest.mark.parametrize(
    "name, model_args, reason",
    [
        ("mlp", {"units": [10], "dropout_rate": "a"}, "TypeError: '<=' not supported"),
        ("mlp", {"activation": "rely"}, "ValueError: Could not interpret activation function identifier: rely"),
        ("mlp", {"l2": -1}, "ValueError: .*non-negative float"),
        ("caffe_quick", {"pool_size": 0}, "ValueError: The `pool_size` argument"),
        ("caffe_quick", {"kernel_initializer": "he"}, "ValueError: Could not interpret initializer"),
        ("lenet5", {"cap": "far"}, "TypeError: '>' not supported"),
    ],
)
@pytest.mark.parametrize("build", [create_model, sketch_model])
def test_what_keras_cannot_build_with_is_one_sentence(build, name, model_args, reason):
    with pytest.raises(ValueError, match=rf"^Expected arguments that {name} can .*Received: .*\({reason}.*\)\.$"):
        build(name, (28, 28, 1), 10, **model_args)


def test_a_network_larger_than_the_machine_is_refused_when_it_is_built_and_can_be_sketched():
    units = {"units": [10**12]}
    with pytest.raises(ValueError, match="Expected arguments that mlp can be built with. Received: .*1000000000000"):
        create_model("mlp", (28, 28, 1), 10, **units)
    assert sketch_model("mlp", (28, 28, 1), 10, **units).count_params() == 795 * 10**12 + 10


@pytest.mark.parametrize(
    "name, model_args, message",
    [
        ("alexnet", {"towers": 3}, r"towers of alexnet out of \(1, 2\). Received: towers=3"),
        (
            "alexnet_small",
            {"towers": 5},
            "towers .* divide the 24 channels and 64 filters of conv2. Received: towers=5",
        ),
        ("alexnet_small", {"width": 0.01}, "width of alexnet_small to leave a filter in conv1. Received: .*of 24"),
        ("alexnet_small", {"head": "dense"}, "head of alexnet_small out of"),
        ("googlenet", {"auxiliary": True}, "65 pixels a side .*aux4a_pool"),
        ("inception_small", {"width": 0.01}, "width of inception_small to leave a filter in conv1|3a"),
        ("mobilenet", {"width_multiplier": 0.0}, "width_multiplier of mobilenet to leave a filter in conv1"),
        (
            "mobilenet_small",
            {"width_multiplier": "1"},
            "width_multiplier of mobilenet_small to leave .*Received: .*'1'",
        ),
        ("vgg_small", {"pooling": "min"}, "pooling of vgg_small out of"),
        ("vgg_small", {"pool_size": 9}, "36 pixels a side for vgg_small .*pool3"),
        ("vgg_small", {"padding": "valid"}, "36 pixels a side for vgg_small .*pool3"),
        ("vgg_small", {"padding": "full"}, "padding of vgg_small out of"),
        ("conv_net", {"filters": [16]}, r"filters as two positive integers.*Received: filters=\[16\]"),
        ("local_net", {"filters": [5, 0.5]}, "filters as two positive integers"),
        ("lenet5", {"cap": -1.0}, "cap to be None or positive. Received: cap=-1.0"),
        ("caffe_quick", {"batch_norm": "no"}, "batch_norm of caffe_quick to be true or false. Received: .*'no'"),
    ],
)
def test_impossible_arguments_are_refused(name, model_args, message):
    with pytest.raises(ValueError, match=f"Expected {message}"):
        create_model(name, (28, 28, 1), 10, **model_args)


def test_lenet5_can_have_the_papers_whole_criterion():
    """Eq. 9 is a softmax cross-entropy over the logits and one more of value -j, which is no class."""
    capped, x, labels = create_model("lenet5", (28, 28, 1), 10, cap=3.0), pictures(4, (28, 28, 1)), np.arange(4)
    logits = keras.ops.convert_to_numpy(capped(x))
    with_reject = np.hstack([logits, np.full((4, 1), -3.0, "float32")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(loss(labels, logits) + sum(capped.losses), loss(labels, with_reject), rtol=1e-5)
    plain = create_model("lenet5", (28, 28, 1), 10)
    plain(x)
    assert plain.losses == [] and plain.count_params() == capped.count_params()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_sketch_is_the_same_architecture_without_memory(name):
    sketch, model = sketch_model(name, *BUILT[name]), create_model(name, *BUILT[name])
    assert sketch.to_json() == model.to_json() and sketch.count_params() == model.count_params()
    keras.layers.Lambda(lambda x: x)(keras.Input((2,)))  # Keras fills what waits whenever it traces a layer
    assert all(weight._value is None for weight in sketch.weights)


def test_what_a_builder_sets_can_be_read_while_it_is_sketched():
    @register
    def with_weights(input_shape, num_classes):
        model = one_layer(input_shape, num_classes, width=2)
        model.layers[-1].set_weights([np.full((2, num_classes), 7.0), np.zeros(num_classes)])
        return model

    with sketching() as scope:
        model = create_model("with_weights", (4, 4, 1), 3)
        brought = [scope.get_current_value(variable) for variable in model.variables]
    assert brought[:2] == [None, None] and float(keras.ops.max(brought[2])) == 7


def test_a_sketch_of_a_network_that_needs_values_is_the_network():
    @register
    def with_state(input_shape, num_classes):
        keras.Variable(np.ones(3))  # as a loaded optimizer has
        return one_layer(input_shape, num_classes, width=2)

    assert all(weight._value is not None for weight in sketch_model("with_state", (4, 4, 1), 3).weights)


# Models of one's own


def one_layer(input_shape, num_classes, *, width):
    return stack(input_shape, layers.Dense(width), layers.Dense(num_classes))


def stack(input_shape, *body, dtype=None):
    return keras.Sequential([keras.Input(input_shape, dtype=dtype), layers.Flatten(), *body])


def test_own_model_can_be_registered_and_built():
    assert register(one_layer) is one_layer is get_builder("one_layer")
    assert "one_layer" in list_models()
    assert create_model("one_layer", (4, 4, 1), 3, width=2).count_params() == 34 + 9
    with pytest.raises(ValueError, match=r"one_layer out of \['width'\].*missing"):
        create_model("one_layer", (4, 4, 1), 3)


def two_outputs(s, n):
    image = keras.Input(s)
    flat = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(n)(flat), layers.Dense(n)(flat)])


def named_output(s, n):
    image = keras.Input(s)
    return keras.Model(image, {"logits": layers.Dense(n)(layers.Flatten()(image))})


def two_inputs(s, n):
    images = [keras.Input(s), keras.Input(s)]
    return keras.Model(images, layers.Dense(n)(layers.Flatten()(layers.Add()(images))))


def frozen(s, n):
    model = stack(s, layers.Dense(n))
    model.trainable = False
    return model


def compiled(s, n):
    model = stack(s, layers.Dense(n))
    model.compile("sgd", "mse")
    return model


def as_integers(s, n):
    image = keras.Input(s)
    return keras.Model(image, keras.ops.cast(layers.Dense(n)(layers.Flatten()(image)), "int32"))


def softmax_operation(s, n):
    image = keras.Input(s)
    return keras.Model(image, keras.ops.softmax(layers.Dense(n)(layers.Flatten()(image))))


class Subclass(keras.Model):
    pass


MISTAKES = {
    "nothing": (lambda s, n: None, "return a keras.Model. Received: None.*return"),
    "a list": (lambda s, n: [keras.Input(s), layers.Dense(n)], r"return a keras.Model. Received: \["),
    "no input": (
        lambda s, n: keras.Sequential([layers.Flatten(), layers.Dense(n)]),
        r"one input.*with \[\].*Begin with keras.Input",
    ),
    "subclass": (lambda s, n: Subclass(), r"one input.*Subclass with \[\].*Functional"),
    "other input": (lambda s, n: stack((784,), layers.Dense(n)), r"input of \(None, 28, 28, 1\).*\(None, 784\)"),
    "other colours": (lambda s, n: stack((28, 28, 3), layers.Dense(n)), r"\(None, 28, 28, 3\)"),
    "fixed batch": (
        lambda s, n: keras.Sequential([keras.Input(batch_shape=(8, *s)), layers.Flatten(), layers.Dense(n)]),
        r"input of \(None, 28, .*\(8, 28",
    ),
    "integers in": (lambda s, n: stack(s, layers.Rescaling(1.0), layers.Dense(n), dtype="uint8"), "in floating point"),
    "two inputs": (two_inputs, "take one input"),
    "two outputs": (two_outputs, r"one output.*Received: 2 outputs. Leave auxiliary heads out"),
    "named output": (named_output, "one output.*Received: {'logits': <"),
    "a class short": (lambda s, n: stack(s, layers.Dense(n - 1)), r"shape \(None, 10\).*Received: .*shape=\(None, 9\)"),
    "not flat": (
        lambda s, n: keras.Sequential([keras.Input(s), layers.Conv2D(n, 3)]),
        r"\(None, 10\).*Received: .*\(None, 26, 26, 10\).*Flatten or pool",
    ),
    "integers out": (as_integers, r"logits .* floating point. Received: .*dtype=int32"),
    "softmax": (lambda s, n: stack(s, layers.Dense(n, "softmax")), "return logits. Received: softmax"),
    "softmax layer": (lambda s, n: stack(s, layers.Dense(n), layers.Softmax()), "return logits. Received: softmax"),
    "softmax operation": (softmax_operation, "return logits. Received: softmax"),
    "sigmoid": (lambda s, n: stack(s, layers.Dense(n, "sigmoid")), "return logits. Received: sigmoid"),
    "compiled": (compiled, "uncompiled model. Received: a compiled one"),
    "frozen": (frozen, "weights to train"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("build", [create_model, sketch_model])
def test_mistakes_in_a_builder_are_told(mistake, build):
    make, message = MISTAKES[mistake]

    @register
    def mine(input_shape, num_classes):
        return make(input_shape, num_classes)

    with pytest.raises(ValueError, match=f"^Expected mine to .*{message}"):
        build("mine", (28, 28, 1), 10)


def test_an_error_in_a_builder_is_told_with_its_cause():
    @register
    def mine(input_shape, num_classes):
        return undefined_name  # noqa: F821

    with pytest.raises(ValueError, match="mine can be built.*NameError: name 'undefined_name'") as told:
        create_model("mine", (28, 28, 1), 10)
    assert isinstance(told.value.__cause__, NameError)


def test_sides_may_stay_open_in_an_own_model():
    @register
    def any_size(input_shape, num_classes):
        head = [layers.GlobalAveragePooling2D(), layers.Dense(num_classes)]
        return keras.Sequential([keras.Input((None, None, input_shape[-1])), layers.Conv2D(2, 3), *head])

    assert create_model("any_size", (9, 8, 1), 3).output_shape == (None, 3)


CODE = """
import functools
import keras
import numpy as np
from keras import layers

WIDTH, TABLE, RATES = 4, np.arange(6.0), {"a": (1, 2), "b": {3, "x", None}}

def act(x):
    return keras.ops.relu(x) * 2

class Block(layers.Layer):
    size = 3
    def call(self, x):
        return act(x) + scale()

@functools.cache
def scale():
    return TABLE.sum() + len(RATES)

def mine(input_shape, num_classes, *, depth=2):
    return keras.Sequential([keras.Input(input_shape), Block(), layers.Dense(WIDTH), layers.Dense(num_classes)])
"""


def digest_of(code, folder):
    """The digest of `mine` in a module of this text, imported by a process of its own."""
    (folder / "own_cell.py").write_text(code)
    command = "import own_cell; from cnnkit.models.digest import code_digest; print(code_digest(own_cell.mine))"
    process = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path.insert(0, '.'); {command}"]
    return subprocess.run(process, cwd=folder, capture_output=True, text=True, check=True).stdout


def exec_digest(code):
    """The same digest without a source to read: from the code objects."""
    space = {"__name__": "__main__"}
    exec(compile(code, "<no file>", "exec"), space)
    return code_digest(space["mine"])


CHANGES = {
    "global": ("WIDTH, TABLE, RATES = 4", "WIDTH, TABLE, RATES = 5"),
    "array": ("np.arange(6.0)", "np.arange(6.0)[::-1]"),
    "dtype": ("np.arange(6.0)", "np.arange(6)"),
    "nested value": ('{3, "x", None}', '{3, "y", None}'),
    "function": ("relu(x) * 2", "relu(x) * 3"),
    "class attribute": ("size = 3", "size = 5"),
    "method": ("act(x) + scale()", "act(x) - scale()"),
    "base class": ("class Block(layers.Layer)", "class Block(layers.Dense)"),
    "behind a decorator": ("len(RATES)", "2 * len(RATES)"),
    "default": ("depth=2", "depth=3"),
    "library's part": ("layers.Dense(WIDTH)", "layers.Identity(WIDTH)"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_code_or_of_what_it_reads_is_another_digest(change):
    changed = CODE.replace(*CHANGES[change])
    assert changed != CODE and exec_digest(changed) != exec_digest(CODE)


def test_a_digest_is_the_same_in_every_process_and_under_comments_docstrings_and_moves(tmp_path):
    retold = CODE.replace("def act(x):\n", 'def act(x):  # bends\n    """Bend."""\n\n')
    retold = "UNREAD = 7\n\n" + retold.replace("relu(x) * 2", "relu(x)  *  2  # twice")
    first, again, other = digest_of(CODE, tmp_path), digest_of(CODE, tmp_path), digest_of(retold, tmp_path)
    assert len(first.strip()) == 64 and first == again == other
    assert digest_of(CODE.replace("= 4,", "= 5,"), tmp_path) != first


def test_a_digest_sees_closures_lambdas_objects_and_own_modules(monkeypatch):
    def make(width, function, thing):
        def mine(input_shape, num_classes):
            return width, function(thing)

        mine.__module__ = "__main__"
        return code_digest(mine)

    class Settings:
        def __init__(self, depth):
            self.depth, self.me = depth, self

    double, triple = (lambda x: 2 * x), (lambda x: 3 * x)
    assert make(1, double, Settings(1)) == make(1, double, Settings(1))
    others = [make(2, double, Settings(1)), make(1, triple, Settings(1)), make(1, double, Settings(2))]
    others += [make(1, double, keras.initializers.HeNormal(seed=seed)) for seed in (1, 2)]
    assert len({make(1, double, Settings(1)), *others}) == 6
    assert make(1, double, layers.Dense(3)) == make(1, double, layers.Dense(3))  # `dense_1` and `dense_2`
    before = code_digest(reads_a_module)
    monkeypatch.setattr(registry, "MOST_CLASSES", 5)
    assert code_digest(reads_a_module) == before  # cnnkit's registry knows all models: it is no part of one
    monkeypatch.setattr(layers_of_cnnkit, "serializable", len)
    assert code_digest(reads_a_module) != before


def reads_a_module(input_shape, num_classes):
    return layers_of_cnnkit.serializable, registry.MOST_CLASSES


def test_functions_that_call_each_other_have_a_digest():
    space = {"__name__": "__main__"}
    exec("def mine(n):\n    return other(n)\ndef other(n):\n    return mine(n - 1)", space)
    assert code_digest(space["mine"]) != code_digest(space["other"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_registered_builders_have_digests_of_their_own(name):
    digests = [code_digest(get_builder(other)) for other in PUBLISHED]
    assert digests.count(code_digest(get_builder(name))) == 1


def test_registering_refuses_a_taken_name_but_a_notebook_cell_may_run_twice():
    def mlp(input_shape, num_classes): ...

    mlp.__module__ = "__main__"
    with pytest.raises(ValueError, match="Expected a new model name. Received: 'mlp', which cnnkit.models"):
        register(mlp)

    def cell(version):
        def from_a_notebook(input_shape, num_classes):
            return version

        from_a_notebook.__module__ = "__main__"
        return from_a_notebook

    first, second = cell(1), cell(2)
    assert register(first) is first and register(second) is second is get_builder("from_a_notebook")


def test_registering_refuses_other_first_arguments():
    with pytest.raises(ValueError, match=r"wrong\(input_shape, num_classes, ...\). Received .*'shape'"):

        @register
        def wrong(shape, num_classes): ...
