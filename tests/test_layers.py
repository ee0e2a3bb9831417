"""Layers against plain NumPy, or against Keras' own layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnkit.models.layers import LocalResponseNormalization
from cnnkit.models.lenet import RBF, SparseConv2D, SubSampling, scaled_tanh
from cnnkit.models.sharing import LocallyConnected2D

RANDOM = np.random.default_rng(1)


def normal(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def output(layer, x):
    return keras.ops.convert_to_numpy(layer(x))


def test_scaled_tanh_keeps_one_and_minus_one():
    np.testing.assert_allclose(scaled_tanh(np.array([-1.0, 0.0, 1.0])), [-1, 0, 1], atol=1e-4)


@pytest.mark.parametrize("size, channels", [(5, 8), (5, 3), (1, 4), (3, 6)])
def test_local_response_normalization_is_the_papers_formula(size, channels):
    a = 10 * normal(2, 3, 3, channels)
    expected = np.empty_like(a)
    for i in range(channels):
        window = range(max(0, i - size // 2), min(channels - 1, i + size // 2) + 1)
        expected[..., i] = a[..., i] / (2 + 1e-4 * sum(a[..., j] ** 2 for j in window)) ** 0.75
    np.testing.assert_allclose(output(LocalResponseNormalization(size), a), expected, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"size": 3, "alpha": 0.1, "beta": 0.5, "bias": 1.0}])
def test_local_response_normalization_is_tensorflows(settings):
    layer, x = LocalResponseNormalization(**settings), 10 * normal(2, 3, 3, 8)
    same = {"depth_radius": layer.size // 2, "bias": layer.bias, "alpha": layer.alpha, "beta": layer.beta}
    np.testing.assert_allclose(output(layer, x), tf.nn.local_response_normalization(x, **same), rtol=1e-5)


@pytest.mark.parametrize("settings", [{"size": 4}, {"size": 0}, {"bias": 0.0}])
def test_local_response_normalization_refuses(settings):
    with pytest.raises(ValueError, match="Expected .* Received: "):
        LocalResponseNormalization(**settings)


@pytest.mark.parametrize("pool_size, side", [(2, 6), (3, 7)])
def test_sub_sampling_is_sum_times_coefficient_plus_bias(pool_size, side):
    layer, x = SubSampling(pool_size), normal(2, side, side, 3)
    layer.build(x.shape)
    layer.set_weights([coefficient := normal(3), bias := normal(3)])
    kept = side // pool_size * pool_size
    windows = x[:, :kept, :kept].reshape(2, kept // pool_size, pool_size, kept // pool_size, pool_size, 3)
    np.testing.assert_allclose(output(layer, x), windows.sum(axis=(2, 4)) * coefficient + bias, rtol=1e-4, atol=1e-5)
    assert layer.count_params() == 6


def test_sparse_convolution_is_a_dense_one_with_a_masked_kernel():
    table = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 1]])
    layer, x = SparseConv2D(table, 3), normal(2, 7, 6, 3)
    sparse = output(layer, x)
    assert layer.count_params() == table.sum() * 9 + 4

    masked = keras.ops.convert_to_numpy(layer.dense_kernel())
    assert ((masked != 0).all(axis=(0, 1)) == (table == 1)).all()
    assert (masked[:, :, table == 0] == 0).all()
    dense = keras.layers.Conv2D(4, 3)
    dense.build(x.shape)
    dense.set_weights([masked, layer.bias])
    np.testing.assert_allclose(sparse, output(dense, x), rtol=1e-5, atol=1e-6)


def test_sparse_convolution_starts_within_the_papers_limits():
    layer = SparseConv2D([[1, 1, 1, 0], [0, 1, 1, 1]], 5)
    layer.build((None, 9, 9, 2))
    largest = abs(keras.ops.convert_to_numpy(layer.dense_kernel())).max(axis=(0, 1, 2))
    limits = 2.4 / (25 * np.array([1, 2, 2, 1]))
    assert (largest <= limits).all() and (largest > 0.8 * limits).all()


def test_sparse_convolution_refuses_an_output_map_without_input_and_other_inputs():
    with pytest.raises(ValueError, match="an input map for every output map"):
        SparseConv2D([[1, 0], [1, 0]], 3)
    with pytest.raises(ValueError, match="Expected 2 input maps"):
        SparseConv2D([[1, 0], [1, 1]], 3)(normal(1, 5, 5, 3))


def test_rbf_is_minus_the_squared_distance_and_has_no_weights():
    codes = RANDOM.choice([-1, 1], size=(4, 6))
    layer, x = RBF(codes, scale=0.5), normal(3, 6)
    expected = [[-0.5 * np.sum((row - code) ** 2) for code in codes] for row in x]
    np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5)
    assert layer.count_params() == 0


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


LAYERS = {
    "lrn": (lambda: LocalResponseNormalization(3, 0.1, 0.5, 1.0), (2, 5, 5, 4)),
    "sub_sampling": (lambda: SubSampling(3), (2, 7, 8, 4)),
    "sparse": (lambda: SparseConv2D(np.eye(4, dtype=int), 3), (2, 5, 6, 4)),
    "rbf": (lambda: RBF([[1, -1, 1, 1], [-1, -1, -1, 1]], scale=0.3, cap=2.0), (2, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_announces_its_output_shape_and_comes_back_from_its_config(name):
    make, shape = LAYERS[name]
    layer, x = make(), normal(*shape)
    before = output(layer, x)
    assert layer.compute_output_shape(shape) == before.shape
    twin = type(layer).from_config(layer.get_config())
    twin.build(shape)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(output(twin, x), before)
