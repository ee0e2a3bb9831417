"""The NumPy network against Keras, TensorFlow's autodiff, SciPy and finite differences."""

from functools import partial
from itertools import product

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from cnnkit import from_scratch as fs

examples = settings(max_examples=20, deadline=None, derandomize=True, database=None)  # the same ones everywhere
seeds, small = st.integers(0, 2**32 - 1), st.integers(1, 3)
batch, sizes, PADDINGS = st.integers(1, 3), st.integers(5, 9), st.sampled_from(["valid", "same", 1, 2])


def relative_error(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    scale = max(np.abs(actual).max(), np.abs(expected).max(), 1e-8)
    return np.abs(actual - expected).max() / scale


def autodiff(function, arrays, dy):
    """The output of a TensorFlow function of float64 arrays, and its gradients for dy = ∂loss/∂output."""
    variables = [tf.Variable(array) for array in arrays]
    with tf.GradientTape() as tape:
        y = function(*variables)
    return y.numpy(), [gradient.numpy() for gradient in tape.gradient(y, variables, output_gradients=tf.constant(dy))]


def finite_differences(function, array, dy, step=1e-5):
    """∂Σ(function(array) · dy) / ∂array by central differences, an element at a time."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = ((function(up) - function(down)) * dy).sum() / (2 * step)
    return gradient


def check_gradients(function, backward, reference, arrays, rng):
    """Forward within 1e-12 of the reference, gradients within 1e-7 of autodiff and of finite differences."""
    y, cache = function(*arrays)
    dy = rng.normal(size=y.shape)
    expected, by_autodiff = autodiff(reference, arrays, dy)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    grads = backward(dy, cache)
    grads = grads if isinstance(grads, tuple) else (grads,)
    for k, (gradient, expected) in enumerate(zip(grads, by_autodiff, strict=True)):
        numeric = finite_differences(lambda a, k=k: function(*arrays[:k], a, *arrays[k + 1 :])[0], arrays[k], dy)
        assert relative_error(gradient, expected) < 1e-7
        assert relative_error(gradient, numeric) < 1e-7


def tensorflow_convolution(x, w, b, stride, padding, dilation, flip):
    """The same convolution in TensorFlow, whose CPU gradients know no dilation: zeros go between kernel pixels."""
    (kh, kw, c, f), gap, sides = w.shape, [0, dilation - 1], [padding, padding]
    w = w[::-1, ::-1] if flip else w
    w = tf.pad(w[:, None, :, None], [[0, 0], gap, [0, 0], gap, [0, 0], [0, 0]])
    w = tf.reshape(w, (kh * dilation, kw * dilation, c, f))[: (kh - 1) * dilation + 1, : (kw - 1) * dilation + 1]
    pads = padding.upper() if isinstance(padding, str) else [[0, 0], sides, sides, [0, 0]]
    return tf.nn.conv2d(x, w, stride, pads) + b


@examples
@given(seeds, batch, sizes, sizes, small, small, small, small, small, st.integers(1, 2), PADDINGS, st.booleans())
def test_convolution_gradients(seed, n, height, width, channels, filters, kh, kw, stride, dilation, padding, flip):
    rng = np.random.default_rng(seed)
    x, w, b = (rng.normal(size=s) for s in ((n, height, width, channels), (kh, kw, channels, filters), filters))
    places = {"stride": stride, "padding": padding, "dilation": dilation, "flip": flip}
    by_hand, reference = (partial(function, **places) for function in (fs.conv2d, tensorflow_convolution))
    check_gradients(by_hand, fs.conv2d_backward, reference, (x, w, b), rng)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (1, 3)])  # Keras has not both
def test_convolution_equals_keras(stride, padding, dilation):
    rng = np.random.default_rng(1)
    for size, kernel in product(range(7, 13), (1, 2, 3)):
        x, w = rng.normal(size=(2, size, size + 1, 2)), rng.normal(size=(kernel, kernel, 2, 3))
        y, _ = fs.conv2d(x, w, np.zeros(3), stride=stride, padding=padding, dilation=dilation)
        expected = keras.ops.conv(x, w, strides=stride, padding=padding, dilation_rate=dilation)
        np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize(("flip", "reference"), [(True, scipy.signal.convolve), (False, scipy.signal.correlate)])
def test_flip_is_the_convolution_of_mathematics(flip, reference):
    rng = np.random.default_rng(1)
    for kernel, mode in product((1, 2, 3, 4), ("valid", "full")):
        x, w, padding = rng.normal(size=(8, 9)), rng.normal(size=(kernel, kernel)), kernel - 1 if mode == "full" else 0
        y, _ = fs.conv2d(x[None, :, :, None], w[:, :, None, None], np.zeros(1), padding=padding, flip=flip)
        np.testing.assert_allclose(y[0, :, :, 0], reference(x, w, mode), atol=1e-12)


POOLS = {"max": (fs.max_pool2d, fs.max_pool2d_backward), "average": (fs.mean_pool2d, fs.mean_pool2d_backward)}


@pytest.mark.parametrize("kind", POOLS)
@examples
@given(seeds, batch, sizes, sizes, small, small, small, st.sampled_from(["valid", "same"]))
def test_pooling_gradients(kind, seed, n, height, width, channels, pool_size, stride, padding):
    rng = np.random.default_rng(seed)
    shape = n, height, width, channels
    x = rng.permutation(np.prod(shape)).reshape(shape) / 8.0  # all different: no ties for finite differences to meet
    pool, backward = POOLS[kind]
    by_hand = partial(pool, pool_size=pool_size, stride=stride, padding=padding)
    reference = {"max": tf.nn.max_pool2d, "average": tf.nn.avg_pool2d}[kind]
    check_gradients(by_hand, backward, lambda x: reference(x, pool_size, stride, padding.upper()), (x,), rng)


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pooling_equals_keras(kind, padding):
    rng = np.random.default_rng(1)
    reference = {"max": keras.ops.max_pool, "average": keras.ops.average_pool}[kind]
    for size, pool_size, stride in product((6, 7, 8), (2, 3), (None, 1, 2, 3)):
        x = rng.normal(size=(2, size, size + 1, 3))
        y, _ = POOLS[kind][0](x, pool_size=pool_size, stride=stride, padding=padding)
        np.testing.assert_allclose(y, reference(x, pool_size, stride, padding), atol=1e-12)  # means without padding


@pytest.mark.parametrize("stride", [1, 2])
def test_at_a_tie_the_first_pixel_gets_the_gradient_as_in_tensorflow(stride):
    x = np.random.default_rng(1).integers(0, 2, (4, 7, 7, 2)).astype("float64")  # zeros and ones: ties everywhere
    y, cache = fs.max_pool2d(x, pool_size=3, stride=stride)
    dy = np.random.default_rng(2).normal(size=y.shape)
    _, (expected,) = autodiff(lambda x: tf.nn.max_pool2d(x, 3, stride, "VALID"), (x,), dy)
    np.testing.assert_allclose(fs.max_pool2d_backward(dy, cache), expected, atol=1e-12)


@examples
@given(seeds, batch, sizes, sizes)
def test_dense_gradients(seed, n, inputs, outputs):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) for shape in ((n, inputs), (inputs, outputs), outputs)]
    check_gradients(fs.dense, fs.dense_backward, lambda x, w, b: x @ w + b, arrays, rng)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
@examples
@given(seeds, batch, sizes, small)
def test_activation_gradients(name, seed, n, size, channels):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, size, channels))
    x += 0.1 * np.sign(x)  # away from 0, where ReLU has no derivative
    function, backward = getattr(fs, name), getattr(fs, f"{name}_backward")
    check_gradients(function, backward, getattr(tf.nn, name), (x,), rng)


def test_activations_at_the_extremes():
    x = np.array([-1e4, 0.0, 1e4])
    for name, expected in (("relu", [0, 0, 1]), ("sigmoid", [0, 0.25, 0]), ("tanh", [0, 1, 0])):
        y, cache = getattr(fs, name)(x)
        assert np.isfinite(y).all()
        np.testing.assert_array_equal(getattr(fs, f"{name}_backward")(np.ones(3), cache), expected)


@pytest.mark.parametrize("training", [True, False])
@examples
@given(seeds, st.integers(2, 4), small, small)
def test_batch_norm_gradients(training, seed, n, size, channels):
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(n, size + 1, size, channels)), rng.normal(size=channels), rng.normal(size=channels)
    mean, variance = rng.normal(size=channels), rng.uniform(0.5, 2, channels)

    def normalise(x, gamma, beta):
        return fs.batch_norm(x, gamma, beta, running=(mean.copy(), variance.copy()), training=training)

    def reference(x, gamma, beta):
        moments = tf.nn.moments(x, [0, 1, 2]) if training else (mean, variance)
        return tf.nn.batch_normalization(x, *moments, beta, gamma, 1e-3)

    check_gradients(normalise, fs.batch_norm_backward, reference, arrays, rng)


@pytest.mark.parametrize("shape", [(16, 3), (4, 5, 5, 3)])
def test_batch_norm_keeps_the_running_statistics_of_keras(shape):
    rng = np.random.default_rng(1)
    layer = keras.layers.BatchNormalization(momentum=0.9, dtype="float64")
    gamma, beta, running = np.ones(3), np.zeros(3), (np.zeros(3), np.ones(3))
    for _ in range(4):
        x = rng.normal(3, 2, shape)
        y, _ = fs.batch_norm(x, gamma, beta, running=running, training=True, momentum=0.9)
        np.testing.assert_allclose(y, layer(x, training=True), atol=1e-10)
    np.testing.assert_allclose(running, [layer.moving_mean, layer.moving_variance], atol=1e-10)
    y, _ = fs.batch_norm(x, gamma, beta, running=running, training=False)
    np.testing.assert_allclose(y, layer(x, training=False), atol=1e-10)


def test_dropout_zeroes_scales_and_repeats():
    def drop(x, seed=1, training=True):
        return fs.dropout(x, rate=0.25, rng=np.random.default_rng(seed), training=training)

    x = np.ones((50, 40))
    y, rng = drop(x)[0], np.random.default_rng(1)
    assert set(np.unique(y)) == {0, 1 / 0.75}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert (drop(x)[0] == y).all() and (drop(x, seed=2)[0] != y).any()
    same, cache = drop(x, training=False)
    assert (same == x).all() and (fs.dropout_backward(x, cache) == x).all()
    check_gradients(drop, fs.dropout_backward, lambda x: x * y, (rng.normal(size=x.shape),), rng)


def hinge_reference(scores, labels):
    right = tf.gather(scores, labels, batch_dims=1)[:, None]
    excess = tf.nn.relu(scores - right + 1) * (1 - tf.one_hot(labels, scores.shape[1], dtype=scores.dtype))
    return tf.reduce_mean(tf.reduce_sum(excess, axis=1))


LOSSES = {
    "softmax_cross_entropy": lambda z, y: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, z)),
    "multiclass_hinge": hinge_reference,
    "mean_squared_error": lambda a, t: tf.reduce_mean(keras.losses.mean_squared_error(t, a)),
}


@pytest.mark.parametrize("name", LOSSES)
@examples
@given(seeds, batch, st.integers(2, 6))
def test_loss_gradients(name, seed, n, classes):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(n, classes)) * 2, rng.integers(0, classes, n)
    targets = rng.normal(size=(n, classes)) if name == "mean_squared_error" else labels
    loss, gradient = getattr(fs, name)(scores, targets)
    expected, (by_autodiff,) = autodiff(lambda s: LOSSES[name](s, targets), (scores,), np.ones(()))
    assert loss == pytest.approx(expected, rel=1e-12)
    assert relative_error(gradient, by_autodiff) < 1e-7
    numeric = finite_differences(lambda s: getattr(fs, name)(s, targets)[0], scores, 1.0)
    assume(name != "multiclass_hinge" or np.abs(scores - scores[range(n), labels][:, None] + 1).min() > 1e-4)  # kinks
    assert relative_error(gradient, numeric) < 1e-7


def test_losses_of_equal_and_of_huge_scores():
    scores, labels = np.zeros((5, 10)), np.arange(5)
    assert fs.softmax_cross_entropy(scores, labels)[0] == pytest.approx(np.log(10))
    assert fs.multiclass_hinge(scores, labels)[0] == 9
    loss, gradient = fs.softmax_cross_entropy(np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([1, 1]))
    assert loss == 5000 and gradient.tolist() == [[0.5, -0.5], [0, 0]]


def test_output_deltas_of_softmax_and_of_sigmoid():
    rng = np.random.default_rng(1)
    z, labels = rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])
    one_hot, p = np.eye(3)[labels], np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fs.softmax_cross_entropy(z, labels)[1], (p - one_hot) / 4)
    a, cache = fs.sigmoid(z)
    _, e = fs.mean_squared_error(a, one_hot)
    np.testing.assert_allclose(e, 2 * (a - one_hot) / 12)
    np.testing.assert_allclose(fs.sigmoid_backward(e, cache), a * (1 - a) * e)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_equals_keras(momentum):
    rng = np.random.default_rng(1)
    params = [rng.normal(size=(3, 4)), rng.normal(size=4)]
    variables = [keras.Variable(w, dtype="float64") for w in params]
    optimizer = keras.optimizers.SGD(0.1, momentum=momentum)
    velocities = [np.zeros_like(w) for w in params]
    for _ in range(5):
        grads = [rng.normal(size=w.shape) for w in params]
        fs.sgd(params, grads, velocities, learning_rate=0.1, momentum=momentum)
        optimizer.apply([tf.constant(g) for g in grads], variables)
    for w, variable in zip(params, variables, strict=True):
        np.testing.assert_allclose(w, variable.numpy(), rtol=1e-6)  # Keras keeps its learning rate in float32


def keras_lenet(dtype):
    kinds = keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.Flatten, keras.layers.Dense
    conv, pool, flatten, dense = (partial(kind, dtype=dtype) for kind in kinds)
    maps = [conv(6, 5, padding="same", activation="relu"), pool(2), conv(16, 5, activation="relu"), pool(2)]
    rows = [flatten(), dense(120, activation="relu"), dense(84, activation="relu"), dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1), dtype=dtype), *maps, *rows])


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    x = np.kron(images.reshape(-1, 8, 8, 1) / 16, np.ones((1, 3, 3, 1)))  # a pixel becomes 3×3
    with threadpool_limits(1):  # on a busy machine BLAS threads wait for one another
        yield np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))), labels


def test_lenet_equals_keras_step_by_step(digits):
    (x, y), network, model = digits, fs.lenet(dtype="float64"), keras_lenet("float64")
    params = fs.parameters(network)
    model.set_weights(params)
    assert sum(w.size for w in params) == model.count_params() == 61_706
    optimizer, velocities = keras.optimizers.SGD(0.05, momentum=0.9), [np.zeros_like(w) for w in params]
    for step, (images, labels) in enumerate(zip(np.split(x[:64], 4), np.split(y[:64], 4), strict=True)):
        outputs, caches = fs.forward(network, images, training=True)
        loss, dy = fs.softmax_cross_entropy(outputs, labels)
        grads = fs.backward(network, dy, caches)
        with tf.GradientTape() as tape:
            expected = LOSSES["softmax_cross_entropy"](model(images), labels)
        by_autodiff = tape.gradient(expected, model.trainable_variables)
        assert loss == pytest.approx(float(expected), rel=1e-6)
        if step == 0:  # later, weights differ by Keras's float32 learning rate
            assert max(map(relative_error, grads, by_autodiff)) < 1e-7
        fs.sgd(params, grads, velocities, learning_rate=0.05, momentum=0.9)
        optimizer.apply(by_autodiff, model.trainable_variables)
    for w, expected in zip(params, model.get_weights(), strict=True):
        np.testing.assert_allclose(w, expected, atol=1e-6)


def test_lenet_learns_digits_as_keras_does(digits):
    keras.utils.set_random_seed(1)
    x, y = digits[0].astype("float32"), digits[1]
    network, model, history = fs.lenet(seed=1), keras_lenet("float32"), []
    model.set_weights(fs.parameters(network))
    model.compile(keras.optimizers.SGD(momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for epochs, learning_rate in ((5, 0.02), (1, 0.002)):  # small steps at the end: less luck in where it stops
        history += fs.fit(network, x[:800], y[:800], epochs=epochs, learning_rate=learning_rate, momentum=0.9)
        model.optimizer.learning_rate.assign(learning_rate)
        model.fit(x[:800], y[:800], epochs=epochs, verbose=0)
    by_hand = (fs.forward(network, x[800:])[0].argmax(axis=1) == y[800:]).mean()
    by_keras = (model.predict(x[800:], verbose=0).argmax(axis=1) == y[800:]).mean()
    assert history[-1] < 0.2 < 1 < history[0] and fs.parameters(network)[0].dtype == "float32"
    assert by_hand > 0.9 and abs(by_hand - by_keras) < 0.02  # one seed; the notebook has five, and a margin of 0.01


def modern_network():
    """Batch norm, tanh, mean pooling, dropout: the layers LeNet does not use."""
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(3, 3, 1, 4)) / 3, rng.normal(size=(4 * 7 * 7, 10)) / 14
    running = np.zeros(4), np.ones(4)
    return [
        fs.Layer(fs.conv2d, fs.conv2d_backward, [w, np.zeros(4)], {"stride": 2, "padding": "same"}),
        fs.Layer(fs.batch_norm, fs.batch_norm_backward, [np.ones(4), np.zeros(4)], {"running": running}, True),
        fs.Layer(fs.tanh, fs.tanh_backward),
        fs.Layer(fs.mean_pool2d, fs.mean_pool2d_backward),
        fs.Layer(fs.dropout, fs.dropout_backward, options={"rate": 0.2, "rng": rng}, has_modes=True),
        fs.Layer(fs.flatten, fs.flatten_backward),
        fs.Layer(fs.dense, fs.dense_backward, [v, np.zeros(10)]),
    ]


def test_training_and_inference_differ_only_where_they_should(digits):
    network, x = modern_network(), digits[0][:8]
    average = network[1].options["running"][0]  # starts at 0
    first, second = (fs.forward(network, x)[0] for _ in range(2))
    assert (first == second).all() and not average.any()
    assert (fs.forward(network, x, training=True)[0] != first).any() and average.any()


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "multiclass_hinge", "mean_squared_error"])
def test_every_loss_trains_and_is_reproducible(digits, loss):
    x, y = digits[0][:200], digits[1][:200]
    targets = np.eye(10)[y] if loss == "mean_squared_error" else y
    runs, seen = [], []
    for _ in range(2):
        network, loss_function = modern_network(), getattr(fs, loss)
        step = {"learning_rate": 0.02, "momentum": 0.9, "on_epoch": lambda *arguments: seen.append(arguments)}
        runs.append(fs.fit(network, x, targets, epochs=4, loss=loss_function, batch_size=30, **step))
    assert runs[0] == runs[1] and runs[0][-1] < 0.7 * runs[0][0]
    assert [epoch for epoch, _ in seen] == 2 * [1, 2, 3, 4] and seen[-1][1] is network


IMAGE, KERNEL, BIAS = np.ones((2, 6, 7, 3)), np.ones((3, 3, 3, 4)), np.ones(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fs.conv2d(IMAGE[0], KERNEL, BIAS), r"images, height, width, channels.*\(6, 7, 3\)"),
        (lambda: fs.conv2d(IMAGE, KERNEL[..., 0], BIAS), r"kernels w .*\(3, 3, 3\)"),
        (lambda: fs.conv2d(IMAGE.astype("uint8"), KERNEL, BIAS), "floating-point.*uint8"),
        (lambda: fs.conv2d(IMAGE[..., :1], KERNEL, BIAS), r"height, width, 1, filters.*\(3, 3, 3, 4\)"),
        (lambda: fs.conv2d(IMAGE, KERNEL, BIAS[:1]), r"biases b \(4,\).*\(1,\)"),
        (lambda: fs.conv2d(IMAGE[:, :2], KERNEL, BIAS), r"spanning 3 > image 2 \+ padding 0"),
        (lambda: fs.conv2d(IMAGE, KERNEL, BIAS, dilation=4, padding=1), r"spanning 9 > image 6 \+ padding 2"),
        (lambda: fs.conv2d(IMAGE[:, :0], KERNEL, BIAS, padding="same"), "image 0"),
        (lambda: fs.conv2d(IMAGE, KERNEL, BIAS, stride=0), "stride >= 1.*0"),
        (lambda: fs.conv2d(IMAGE, KERNEL, BIAS, padding=-1), "padding.*>= 0.*-1"),
        (lambda: fs.conv2d(IMAGE, KERNEL, BIAS, padding="full"), "padding.*valid.*same.*'full'"),
        (lambda: fs.max_pool2d(IMAGE, pool_size=8), "spanning 8 > image 6"),
        (lambda: fs.mean_pool2d(IMAGE, padding=1), "'valid' or 'same'.*1"),
        (lambda: fs.dense(IMAGE, np.ones((3, 2)), np.ones(2)), "images, inputs"),
        (lambda: fs.dense(np.ones((2, 4)), np.ones((3, 2)), np.ones(2)), r"weights w \(4, outputs\).*\(3, 2\)"),
        (lambda: fs.batch_norm(IMAGE, BIAS, BIAS, running=(BIAS, BIAS), training=True), r"gamma \(3,\).*\(4,\)"),
        (lambda: fs.dropout(IMAGE, rate=1, rng=None, training=True), "rate < 1.*1"),
        (lambda: fs.softmax_cross_entropy(np.ones((2, 3)), np.array([0, 3])), r"0 \.\. 2.*from 0 to 3"),
        (lambda: fs.multiclass_hinge(np.ones((2, 3)), np.array([-1, 2])), r"0 \.\. 2.*from -1 to 2"),
        (lambda: fs.softmax_cross_entropy(np.ones((2, 3)), np.ones(2)), "integer labels.*float64"),
        (lambda: fs.softmax_cross_entropy(np.ones(3), np.ones(3, int)), "images, classes"),
        (lambda: fs.mean_squared_error(np.ones((2, 3)), np.ones(2)), r"targets \(2, 3\).*\(2,\)"),
        (lambda: fs.fit(fs.lenet(), IMAGE, np.ones(3, int), epochs=1), "2.*Received: 3"),
        (lambda: fs.fit(fs.lenet(), IMAGE, np.ones(2, int), epochs=1, batch_size=0), "batch_size >= 1.*0"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(ValueError, match=rf"(?s)Expected .*{message}"):
        call()
