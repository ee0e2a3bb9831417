"""Facts about slopes and gradients. Ledger 25-27, 33, 54."""

import numpy as np
from keras import layers, ops

from cnnkit import from_scratch as fs
from cnnkit.evidence.fact import fact

CS231N = "popular articles; cs231n"
IOFFE = "popular articles; Ioffe and Szegedy 2015, sec. 3.3"


def autodiff(function, *arrays, upstream=None):
    """The gradients of a Keras function's output (its sum, or `upstream` times it) for float64 arrays."""
    import tensorflow as tf  # Keras has no word for a gradient

    variables = [tf.Variable(np.asarray(array, "float64")) for array in arrays]
    with tf.GradientTape() as tape:
        y = function(*variables)
    gradients = tape.gradient(y, variables, output_gradients=upstream)
    return [gradient.numpy() for gradient in gradients]


def slopes(activation):
    """The slopes of an activation function between -8 and 8, its 0 included."""
    return autodiff(getattr(ops, activation), np.arange(-512, 513) / 64)[0]


# Activations


@fact(25, "The slope of the sigmoid is at most ¼.", unit="is the greatest slope", holds=0.25)
def sigmoid_slope():
    return slopes("sigmoid").max()


@fact(
    25,
    "The sigmoid is a (saturated) linear function, whose slope is the same everywhere.",
    unit="times steeper at 0 than at 8",
    holds=1,
)
def sigmoid_is_linear():
    slope = slopes("sigmoid")
    return round(slope.max() / slope[-1], 3)


@fact(25, "The slope of tanh is below 1 everywhere.", unit="is the greatest slope", holds=lambda slope: slope < 1)
def tanh_slope():
    return slopes("tanh").max()


@fact(25, "The slope of ReLU takes all values in [0, 1].", unit="different slopes", holds=lambda kinds: kinds > 2)
def relu_slopes():
    return len(np.unique(slopes("relu")))


@fact(54, "The gradient of ReLU does not vanish.", unit="is the least slope", holds=lambda slope: slope > 0)
def relu_vanishes():
    return slopes("relu").min()


# Backpropagation


def _window_gradients(pool):
    """The gradient of each pixel of an image of different values that is pooled by 2×2, and the pixels that win."""
    x = np.random.default_rng(1).permutation(64).reshape(1, 8, 8, 1).astype("float64")
    wins = x == np.kron(ops.convert_to_numpy(ops.max_pool(x, 2)), np.ones((1, 2, 2, 1)))
    return autodiff(lambda x: pool(x, 2), x)[0], wins


@fact(
    26,
    "Max pooling sends the gradient to each window's largest pixel, and to it alone.",
    unit="of 64 pixels get another gradient",
    holds=0,
    source=CS231N,
)
def max_pooling_routes():
    gradient, wins = _window_gradients(ops.max_pool)
    return (gradient != wins).sum()


@fact(
    26,
    "Mean pooling spreads the gradient evenly: each of 2×2 pixels gets a quarter.",
    unit="of 64 pixels get another gradient",
    holds=0,
    source=CS231N,
)
def mean_pooling_spreads():
    gradient, _ = _window_gradients(ops.average_pool)
    return (gradient != 0.25).sum()


@fact(
    26,
    "The formulas of backpropagation through convolution, max and mean pooling give the right gradients.",
    unit="of 5 gradients are autodiff's, to 1 in 10,000,000",
    holds=5,
)
def backpropagation_formulas():
    rng = np.random.default_rng(1)
    x, w, b = (rng.normal(size=shape) for shape in ((2, 8, 8, 3), (3, 3, 3, 4), 4))

    def agree(forward, backward, reference, arrays):
        y, cache = forward(*arrays)
        dy = rng.normal(size=y.shape)
        grads = backward(dy, cache)
        grads, expected = grads if isinstance(grads, tuple) else (grads,), autodiff(reference, *arrays, upstream=dy)
        return sum(relative_error(*pair) < 1e-7 for pair in zip(grads, expected, strict=True))

    return (
        agree(fs.conv2d, fs.conv2d_backward, lambda x, w, b: ops.conv(x, w) + b, (x, w, b))
        + agree(fs.max_pool2d, fs.max_pool2d_backward, lambda x: ops.max_pool(x, 2), (x,))
        + agree(fs.mean_pool2d, fs.mean_pool2d_backward, lambda x: ops.average_pool(x, 2), (x,))
    )


def relative_error(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


# Outputs


def _logits():
    rng = np.random.default_rng(1)
    return rng.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 1]]


@fact(
    27,
    "The gradient at an output a, wrong by e, is a (1 − a) e.",
    unit="of 12 outputs agree",
    holds=12,
    condition="for sigmoid outputs with squared error; softmax with cross-entropy has p − y",
)
def output_gradient_of_sigmoid():
    z, y = _logits()
    a = ops.convert_to_numpy(ops.sigmoid(z))
    gradient = autodiff(lambda z: ops.sum((ops.sigmoid(z) - y) ** 2) / 2, z)[0]
    return np.isclose(gradient, a * (1 - a) * (a - y)).sum()


@fact(
    27,
    "The gradient at an output of softmax with cross-entropy is p − y.",
    unit="of 12 outputs agree",
    holds=12,
    source="computed",
)
def output_gradient_of_softmax():
    z, y = _logits()
    gradient = autodiff(lambda z: ops.sum(ops.categorical_crossentropy(y, z, from_logits=True)), z)[0]
    return np.isclose(gradient, ops.convert_to_numpy(ops.softmax(z)) - y).sum()


# Batch normalization


def normalised(factor, epsilon=0):
    """Outputs of convolution and batch normalization, and the kernel's gradient, with the kernel times a factor."""
    rng = np.random.default_rng(1)
    x, w, upstream = (rng.normal(size=shape) for shape in ((8, 10, 10, 1), (3, 3, 1, 4), (8, 8, 8, 4)))
    norm = layers.BatchNormalization(epsilon=epsilon, dtype="float64")
    kernel = factor * w
    y = ops.convert_to_numpy(norm(ops.conv(x, kernel), training=True))
    return y, autodiff(lambda w: norm(ops.conv(x, w), training=True), kernel, upstream=upstream)[0]


@fact(
    33,
    "Batch normalization undoes the scale of the weights before it (× 10, without ε).",
    unit="of 2,048 outputs change by more than a billionth",
    holds=0,
    source=IOFFE,
)
def batch_norm_undoes_scale():
    return (np.abs(normalised(10)[0] - normalised(1)[0]) > 1e-9).sum()


@fact(
    33,
    "Batch normalization divides the gradient of weights before it by their scale (× 10, without ε).",
    unit="times the gradient",
    holds=lambda ratio: abs(ratio - 0.1) < 1e-9,
    source=IOFFE,
)
def batch_norm_gradient():
    large, small = (np.linalg.norm(normalised(factor)[1]) for factor in (10, 1))
    return round(large / small, 9)  # beyond, machines round differently
