"""The networks of notebook 02: counts as promised, a locally connected layer against NumPy, permuted pixels."""

import keras
import numpy as np
import pandas as pd
import pytest

from cnnkit import anatomy
from cnnkit.course.baselines import linear, sharing
from cnnkit.evidence.claims import MIN_RATES, select
from cnnkit.lab import recipes
from cnnkit.models import create_model
from cnnkit.models.layers import LocallyConnected2D, PermutePixels

SHAPES = {"cifar10": (32, 32, 3), "mnist": (28, 28, 1)}
COUNTS = {
    "cifar10": {"flat_softmax": 30_730, "dense_net": 98_675, "local_net": 98_682, "conv_net": 98_691},
    "mnist": {"flat_softmax": 7_850, "dense_net": 54_900, "local_net": 54_862, "conv_net": 54_936},
}
RANDOM = np.random.default_rng(1)


def normal(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def output(layer, x):
    return keras.ops.convert_to_numpy(layer(x))


@pytest.mark.parametrize("dataset", COUNTS)
def test_three_networks_have_equal_counts_plain_and_permuted(dataset):
    for permuted in (False, True):
        counts = {
            name: create_model(name, SHAPES[dataset], 10, **widths, permuted=permuted).count_params()
            for name, widths in sharing.WIDTHS[dataset].items()
        }
        assert counts == COUNTS[dataset]
    equal = [count for name, count in COUNTS[dataset].items() if name != "flat_softmax"]
    assert max(equal) < 1.02 * min(equal)


@pytest.mark.parametrize("kernel_size, strides, side", [(3, 1, 6), (5, 2, 9), (2, 3, 8), (1, 1, 3)])
def test_locally_connected_has_weights_of_its_own_at_every_place(kernel_size, strides, side):
    layer, x = LocallyConnected2D(4, kernel_size, strides, activation="relu"), normal(2, side, side + 1, 3)
    layer.build(x.shape)
    layer.set_weights([kernel := normal(*layer.kernel.shape), bias := normal(*layer.bias.shape)])
    y = output(layer, x)
    _, height, width, filters = y.shape
    expected = np.empty_like(y)
    for place, (row, column) in enumerate(np.ndindex(height, width)):
        top, left = row * strides, column * strides
        window = x[:, top : top + kernel_size, left : left + kernel_size].reshape(len(x), -1)
        expected[:, row, column] = np.maximum(window @ kernel[place].T + bias[place, :, 0], 0)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == y.shape
    assert layer.count_params() == height * width * filters * (kernel_size**2 * 3 + 1)


def test_locally_connected_with_one_kernel_everywhere_is_a_convolution():
    conv, x = keras.layers.Conv2D(4, 3, strides=2), normal(2, 9, 9, 3)
    expected = output(conv, x)
    layer = LocallyConnected2D(4, 3, 2)
    layer.build(x.shape)
    kernel, bias = conv.get_weights()
    one = kernel.reshape(27, 4).T
    layer.set_weights([np.tile(one, (16, 1, 1)), np.tile(bias[:, None], (16, 1, 1))])
    np.testing.assert_allclose(output(layer, x), expected, rtol=1e-4, atol=1e-5)


def test_locally_connected_starts_as_a_convolution_does():
    layer = LocallyConnected2D(8, 5)
    layer.build((None, 24, 24, 3))
    deviation = layer.get_weights()[0].std()
    assert abs(deviation / np.sqrt(2 / 75) - 1) < 0.02  # He et al. 2015: the fan-in is one window's


def test_locally_connected_is_rebuilt_from_its_config_and_refuses_a_large_kernel():
    layer = LocallyConnected2D(4, 3, 2, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed=3))
    again = LocallyConnected2D.from_config(layer.get_config())
    x = normal(1, 7, 7, 2)
    np.testing.assert_array_equal(output(layer, x), output(again, x))
    with pytest.raises(ValueError, match="at least 3 pixels.*Received: input_shape=.*2"):
        LocallyConnected2D(4, 3).build((None, 2, 7, 1))


def test_permuted_pixels_are_the_same_pixels_elsewhere_and_always_the_same_places():
    x = normal(2, 6, 5, 3)
    layer = PermutePixels(order=4)
    y = output(layer, x)
    assert not np.array_equal(x, y)
    places = np.random.RandomState(4).permutation(30)
    np.testing.assert_array_equal(y.reshape(2, 30, 3), x.reshape(2, 30, 3)[:, places])
    np.testing.assert_array_equal(output(PermutePixels.from_config(layer.get_config()), x), y)
    assert not np.array_equal(output(PermutePixels(order=5), x), y)


def test_anatomy_knows_them():
    table = anatomy.layer_table(create_model("local_net", (32, 32, 3), 10)).set_index("layer")
    assert table.at["local1", "macs"] == 14 * 14 * 5 * 75 and table.at["local2", "receptive_field"] == 9
    assert table.at["local1", "num_params"] == 14 * 14 * 5 * 76
    mixed = anatomy.layer_table(create_model("local_net", (32, 32, 3), 10, permuted=True)).set_index("layer")
    assert mixed.at["local1", "share_of_image"] == 1 > table.at["local1", "share_of_image"]


def test_a_linear_layer_of_zeros_loses_nine_and_ln_ten():
    labels = np.eye(10, dtype="float32")
    scores = np.zeros((10, 10), "float32")
    assert float(recipes.LOSSES["crossentropy"](0)(labels, scores)) == pytest.approx(np.log(10))
    assert keras.ops.convert_to_numpy(recipes.multiclass_hinge(labels, scores)).tolist() == [9.0] * 10


@pytest.mark.parametrize("experiment", [linear, sharing], ids=["linear", "sharing"])
def test_every_arm_has_enough_rates_and_every_claim_two_arms(experiment):
    tuning = experiment.tune("full", None)
    rates = {}
    for config in tuning:
        rates.setdefault(config.replace(learning_rate=1, seed=1).run_id, set()).add(config.learning_rate)
    assert all(len(tried) >= MIN_RATES for tried in rates.values()) and len(rates) == len(experiment.arms("full"))
    arms = pd.DataFrame([config.to_row() for config in experiment.arms("full")])
    for claim in experiment.EXPERIMENT.claims:
        for side in (claim.better, claim.worse):
            assert len(select(arms, side)) == 1, f"{claim.id}: {side}"
