"""Facts about slopes, gradients and what is linear. Ledger 25-27, 32, 33."""

import numpy as np
from keras import layers, ops

from cnnkit import from_scratch as fs
from cnnkit.evidence.fact import fact

IOFFE = "Ioffe and Szegedy 2015, sec. 3.3"
KRIZHEVSKY = "Krizhevsky et al. 2012, sec. 3.1"


def autodiff(function, *arrays, upstream=None):
    """The gradients of a Keras function's output (its sum, or `upstream` times it) for float64 arrays."""
    import tensorflow as tf  # Keras has no word for a gradient

    variables = [tf.Variable(np.asarray(array, "float64")) for array in arrays]
    with tf.GradientTape() as tape:
        y = function(*variables)
    return [gradient.numpy() for gradient in tape.gradient(y, variables, output_gradients=upstream)]


# Activations


def slopes(activation):
    """The slopes of an activation function at -8 to 8, its 0 included."""
    return autodiff(getattr(ops, activation), np.arange(-512, 513) / 64)[0]


@fact(25, unit="is the greatest slope", holds=0.25)
def sigmoid_slope():
    """The slope of the sigmoid is at most ¼."""
    return slopes("sigmoid").max()


@fact(25, unit="times flatter at 8 than at 0", holds=lambda times: times > 100, source=KRIZHEVSKY)
def sigmoid_saturates():
    """The sigmoid saturates: far from 0 it is nearly flat."""
    slope = slopes("sigmoid")
    return round(slope.max() / slope[-1], 3)


@fact(25, unit="is the greatest slope", holds=lambda slope: slope < 1)
def tanh_slope():
    """The slope of tanh is below 1 everywhere."""
    return slopes("tanh").max()


@fact(25, unit="different slopes", holds=lambda kinds: kinds > 2)
def relu_slopes():
    """The slope of ReLU takes all values in [0, 1]."""
    return len(np.unique(slopes("relu")))


# Backpropagation


def window_gradients(pool):
    """The gradient of each pixel of an image of different values that is pooled by 2×2, and the pixels that win."""
    x = np.random.default_rng(1).permutation(64).reshape(1, 8, 8, 1).astype("float64")
    wins = x == np.kron(ops.convert_to_numpy(ops.max_pool(x, 2)), np.ones((1, 2, 2, 1)))
    return autodiff(lambda x: pool(x, 2), x)[0], wins


@fact(26, unit="of 64 pixels get another gradient", holds=0, source="popular articles; cs231n")
def max_pooling_routes():
    """Max pooling sends the gradient to each window's largest pixel, and to it alone."""
    gradient, wins = window_gradients(ops.max_pool)
    return (gradient != wins).sum()


@fact(26, unit="of 64 pixels get another gradient", holds=0)
def mean_pooling_spreads():
    """Mean pooling spreads the gradient evenly: each of 2×2 pixels gets a quarter."""
    return (window_gradients(ops.average_pool)[0] != 0.25).sum()


@fact(26, unit="of 5 gradients are autodiff's, to 1 in 10,000,000", holds=5)
def backpropagation_formulas():
    """The formulas of backpropagation through convolution, max and mean pooling give the right gradients."""
    rng = np.random.default_rng(1)
    x, w, b = (rng.normal(size=shape) for shape in ((2, 8, 8, 3), (3, 3, 3, 4), 4))

    def agree(forward, backward, reference, *arrays):
        y, cache = forward(*arrays)
        dy = rng.normal(size=y.shape)
        grads, expected = backward(dy, cache), autodiff(reference, *arrays, upstream=dy)
        pairs = zip(grads if isinstance(grads, tuple) else (grads,), expected, strict=True)
        return sum(np.abs(dx - right).max() < 1e-7 * np.abs(right).max() for dx, right in pairs)

    return (
        agree(fs.conv2d, fs.conv2d_backward, lambda x, w, b: ops.conv(x, w) + b, x, w, b)
        + agree(fs.max_pool2d, fs.max_pool2d_backward, lambda x: ops.max_pool(x, 2), x)
        + agree(fs.mean_pool2d, fs.mean_pool2d_backward, lambda x: ops.average_pool(x, 2), x)
    )


# Outputs


def logits():
    """Scores and one-hot targets of four images and three classes."""
    return np.random.default_rng(1).normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 1]]


@fact(27, unit="of 12 outputs agree", holds=12, condition="for sigmoids and squared error; softmax has p − y")
def output_gradient_of_sigmoid():
    """The gradient at an output a, wrong by e, is a (1 − a) e."""
    z, y = logits()
    a = ops.convert_to_numpy(ops.sigmoid(z))
    gradient = autodiff(lambda z: ops.sum((ops.sigmoid(z) - y) ** 2) / 2, z)[0]
    return np.isclose(gradient, a * (1 - a) * (a - y)).sum()


@fact(27, unit="of 12 outputs agree", holds=12, source="computed")
def output_gradient_of_softmax():
    """The gradient at an output of softmax with cross-entropy is p − y."""
    z, y = logits()
    gradient = autodiff(lambda z: ops.sum(ops.categorical_crossentropy(y, z, from_logits=True)), z)[0]
    return np.isclose(gradient, ops.convert_to_numpy(ops.softmax(z)) - y).sum()


# Without activations


def two_convolutions(x, bend=lambda x: x):
    """Two convolutions in float64 by Keras, with a function in between; and their kernels, from a fixed seed."""
    rng = np.random.default_rng(1)
    kernels = [rng.normal(0, 0.2, shape) for shape in ((3, 3, 1, 4), (3, 3, 4, 6))]
    return ops.convert_to_numpy(ops.conv(bend(ops.conv(x, kernels[0])), kernels[1])), kernels


def folded(kernels):
    """The one kernel that two together are: the first ones are pictures over which the second ones slide, turned."""
    first, second = kernels
    pictures = first.transpose(2, 0, 1, 3)
    wide, _ = fs.conv2d(pictures, second, np.zeros(second.shape[-1]), padding=len(second) - 1, flip=True)
    return wide.transpose(1, 2, 0, 3)


def not_additive(pool):
    """How many outputs f(x + y) of convolution, pooling, convolution are not f(x) + f(y)."""
    x, y = np.random.default_rng(2).normal(size=(2, 1, 14, 14, 1))
    fx, fy, both = (two_convolutions(image, pool)[0] for image in (x, y, x + y))
    return (np.abs(both - fx - fy) > 1e-5).sum()


@fact(32, unit="of 384 outputs differ by more than 0.00001", holds=0, source="computed")
def convolutions_fold():
    """Without activations two convolutions are one."""
    x = np.random.default_rng(2).normal(size=(1, 12, 12, 1))
    outputs, kernels = two_convolutions(x)
    return (np.abs(outputs - ops.convert_to_numpy(ops.conv(x, folded(kernels)))) > 1e-5).sum()


@fact(32, unit="of 96 outputs are not additive", holds=0, condition="without max pooling, itself an activation")
def no_activation_is_linear():
    """A convolutional network without activations is linear, and so separates classes by planes only."""
    return not_additive(lambda x: ops.average_pool(x, 2))


# Batch normalization


def normalised(factor, epsilon=0):
    """Outputs of convolution and batch normalization, and the kernel's gradient, with the kernel times a factor."""
    rng = np.random.default_rng(1)
    x, w, upstream = (rng.normal(size=shape) for shape in ((8, 10, 10, 1), (3, 3, 1, 4), (8, 8, 8, 4)))
    norm = layers.BatchNormalization(epsilon=epsilon, dtype="float64")
    y = ops.convert_to_numpy(norm(ops.conv(x, factor * w), training=True))
    return y, autodiff(lambda w: norm(ops.conv(x, w), training=True), factor * w, upstream=upstream)[0]


@fact(33, unit="of 2,048 outputs change by over a billionth", holds=0, source=f"popular articles; {IOFFE}")
def batch_norm_undoes_scale():
    """Batch normalization undoes the scale of the weights before it (× 10, without ε)."""
    return (np.abs(normalised(10)[0] - normalised(1)[0]) > 1e-9).sum()


@fact(33, unit="times the gradient", holds=lambda ratio: abs(ratio - 0.1) < 1e-9, source=IOFFE)
def batch_norm_gradient():
    """Batch normalization divides the gradient of weights before it by their scale (× 10, without ε)."""
    large, small = (np.linalg.norm(normalised(factor)[1]) for factor in (10, 1))
    return round(large / small, 9)  # beyond, machines round differently
