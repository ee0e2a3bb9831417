"""Every registered model, and the registry."""

import keras
import numpy as np
import pytest

from cnnkit import models
from cnnkit.models import create_model, get_builder, list_models, register
from cnnkit.models.lenet import _codes

# Trainable parameters at 10 classes, and the input shape they are published for.
PUBLISHED = {
    "caffe_quick": ((32, 32, 3), 145_578),
    "conv_net": ((32, 32, 3), 98_691),
    "dense_net": ((32, 32, 3), 98_675),
    "flat_softmax": ((32, 32, 3), 30_730),
    "keras_mnist": ((28, 28, 1), 34_826),
    "lenet5": ((32, 32, 1), 60_000),
    "lenet5_modern": ((32, 32, 1), 61_706),
    "local_net": ((32, 32, 3), 98_682),
    "mlp": ((28, 28, 1), 407_050),
    "softmax": ((28, 28, 1), 7_850),
}
SMALLEST = {"caffe_quick": 8, "conv_net": 9, "keras_mnist": 10, "lenet5": 28, "lenet5_modern": 28, "local_net": 9}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(models, "_BUILDERS", dict(models._BUILDERS))


def pictures(n, input_shape):
    return np.random.default_rng(1).uniform(size=(n, *input_shape)).astype("float32")


def test_every_model_is_listed_and_tested():
    assert list_models() == sorted(PUBLISHED)


# Keras 3.15 reads a TensorFlow variable in a way that NumPy 2.4 deprecates, whenever a model is saved.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("name", PUBLISHED)
def test_model_counts_predicts_and_survives_saving(name, tmp_path):
    input_shape, parameters = PUBLISHED[name]
    model = create_model(name, input_shape, 10)
    assert model.count_params() == sum(int(np.prod(w.shape)) for w in model.trainable_weights) == parameters
    x = pictures(3, input_shape)
    logits = model.predict_on_batch(x)
    assert logits.shape == (3, 10) and logits.dtype == np.float32 and np.isfinite(logits).all()

    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(x), logits)


@pytest.mark.parametrize("name", PUBLISHED)
def test_model_learns_eight_pictures_by_heart(name):
    keras.utils.set_random_seed(1)
    input_shape, classes = ((16, 16, 3) if name == "caffe_quick" else (28, 28, 1)), 4
    x, y = pictures(8, input_shape), np.arange(8) % classes
    model = create_model(name, input_shape, classes)
    model.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.tile(x, (100, 1, 1, 1)), np.tile(y, 100), batch_size=8, shuffle=False, verbose=0)  # 100 updates
    assert model.evaluate(x, y, verbose=0) < 0.1  # it starts near ln 4 = 1.39


@pytest.mark.parametrize("name", PUBLISHED)
def test_same_seed_same_weights_and_same_architecture_on_every_call(name):
    def build():
        keras.utils.set_random_seed(7)
        return create_model(name, PUBLISHED[name][0], 10)

    first, second = build(), build()
    assert first.to_json() == second.to_json()
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_stay_float32_under_mixed_precision(name):
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = create_model(name, PUBLISHED[name][0], 10)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.layers[1].compute_dtype == "bfloat16"
    assert keras.ops.convert_to_numpy(model(pictures(2, PUBLISHED[name][0]))).dtype == np.float32


@pytest.mark.parametrize("name", SMALLEST)
def test_too_small_pictures_are_refused_and_the_smallest_work(name):
    side = SMALLEST[name]
    assert create_model(name, (side, side, 1), 3).output_shape == (None, 3)
    with pytest.raises(ValueError, match=f"{name} expected .*{side}.* Received: .*{side - 1}"):
        create_model(name, (side, side - 1, 1), 3)


def test_lenet5_is_the_paper_layer_by_layer():
    """Parameters and connections as the paper prints them. Its 340,908 connections include the 840 of the output."""
    model = create_model("lenet5", (32, 32, 1), 10)
    maps = {name: model.get_layer(name).output.shape[1:] for name in ["C1", "S2", "C3", "S4", "C5", "F6"]}
    assert list(maps.values()) == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (1, 1, 120), (84,)]
    parameters = {name: model.get_layer(name).count_params() for name in maps}
    assert parameters == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48_120, "F6": 10_164}

    positions = {name: int(np.prod(shape[:-1])) for name, shape in maps.items()}  # a weight is used once at each
    connections = {name: parameters[name] * positions[name] for name in ["C1", "C3", "C5", "F6"]}
    for name in ["S2", "S4"]:  # a unit has four inputs, which share one coefficient, and a bias
        connections[name] = (4 + 1) * int(np.prod(maps[name]))
    connections["output"] = model.get_layer("output").codes.size
    assert connections == {
        "C1": 122_304, "S2": 5_880, "C3": 151_600, "S4": 2_000, "C5": 48_120, "F6": 10_164, "output": 840
    }  # fmt: skip
    assert sum(connections.values()) == 340_908


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

    changed, more = layers_of(pool_size=2, activation="tanh", batch_norm=True, lrn=True, dropout_rate=0.4)
    added = {"norm1", "norm2", "norm3", "lrn1", "lrn2", "dense_dropout", "logits_dropout"}
    assert set(more) - set(names) == added and set(names) <= set(more)
    assert changed.get_layer("pool3").pool_size == (2, 2) and changed.get_layer("conv1").bias is None
    assert changed.get_layer("activation1").activation.__name__ == "tanh"
    assert changed.get_layer("logits_dropout").rate == 0.4

    zeros, _ = layers_of(kernel_initializer="zeros")
    assert not any(weights.any() for weights in zeros.get_weights())


def test_mlp_takes_its_layers_sizes():
    assert create_model("mlp", (4, 4, 1), 3, units=[5, 6], dropout_rate=0.1).count_params() == 85 + 36 + 21
    for units in (512, [0], [1.5], "32"):
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


@pytest.mark.parametrize("num_classes", [1, 0, 2.0, None])
def test_impossible_number_of_classes_is_refused(num_classes):
    with pytest.raises(ValueError, match="num_classes to be an integer, at least 2"):
        create_model("softmax", (28, 28, 1), num_classes)


def one_layer(input_shape, num_classes, *, width):
    return keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(width), keras.layers.Dense(num_classes)]
    )


def test_own_model_can_be_registered_and_built():
    assert register(one_layer) is one_layer is get_builder("one_layer")
    assert "one_layer" in list_models()
    assert create_model("one_layer", (4, 4, 1), 3, width=2).count_params() == 34 + 9
    with pytest.raises(ValueError, match=r"one_layer out of \['width'\].*missing"):
        create_model("one_layer", (4, 4, 1), 3)


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

    register(cell(1))
    register(cell(2))
    assert create_model("from_a_notebook", (4, 4, 1), 3) == 2


def test_registering_refuses_other_first_arguments():
    with pytest.raises(ValueError, match=r"wrong\(input_shape, num_classes, ...\). Received .*'shape'"):

        @register
        def wrong(shape, num_classes): ...
