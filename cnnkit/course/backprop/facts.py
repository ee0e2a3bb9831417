"""Facts about gradients, steps along them, and what is linear. Ledger 20, 25-27, 32, 33, 39, 47, 54, 80."""

import keras
import numpy as np
from keras import layers, ops
from scipy.special import expit, softmax

from cnnkit import from_scratch as fs
from cnnkit.evidence.fact import Fact
from cnnkit.lab.feeding import Batches

IOFFE = "Ioffe and Szegedy 2015, sec. 3.3"
SCORES, TARGETS = np.random.default_rng(1).normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 1]]  # of four images, three classes
PIXELS = np.random.default_rng(1).permutation(np.arange(64.0)).reshape(1, 8, 8, 1)


def batches(images, batch_size):
    """How many images each batch of an epoch has, the last one kept, as Keras's `fit` does."""
    x = np.zeros((images, 1))
    fed = Batches(x, x, batch_size, seed=1, last_batch="keep")
    return [len(fed[step][0]) for step in range(len(fed))]


def step_ratio(optimizer):
    """How much further a step moves a weight whose gradient is 128 times as large."""
    weights = keras.Variable([0.0, 0.0])
    optimizer.apply([ops.convert_to_tensor([1.0, 128.0])], [weights])
    near, far = weights.numpy()
    return far / near


def autodiff(function, *arrays, upstream=None):
    """The gradients of a Keras function's output (its sum, or `upstream` times it) for float64 arrays."""
    import tensorflow as tf  # Keras has no word for a gradient

    variables = [tf.Variable(np.asarray(array, "float64")) for array in arrays]
    with tf.GradientTape() as tape:
        y = function(*variables)
    return [gradient.numpy() for gradient in tape.gradient(y, variables, output_gradients=upstream)]


def slopes(activation):
    """The slopes of an activation function at -8 to 8, its 0 included."""
    return autodiff(getattr(ops, activation), np.arange(-512, 513) / 64)[0]


def relative_error(ours, reference):
    """The largest difference of two arrays, as a share of the largest value."""
    return np.abs(ours - reference).max() / max(np.abs(ours).max(), np.abs(reference).max())


def right_gradients(name, reference, *shapes):
    """How many gradients of a function of `from_scratch`, for arrays of shapes, are those of its reference."""
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in shapes]
    y, cache = getattr(fs, name)(*arrays)
    dy = rng.normal(size=y.shape)
    found, expected = getattr(fs, f"{name}_backward")(dy, cache), autodiff(reference, *arrays, upstream=dy)
    pairs = zip(found if isinstance(found, tuple) else [found], expected, strict=True)
    return sum(relative_error(dx, right) < 1e-7 for dx, right in pairs)


def two_convolutions(x, bend=lambda x: x):
    """Two convolutions in float64 by Keras, of fixed kernels, with a function in between."""
    rng = np.random.default_rng(1)
    first, second = (rng.normal(0, 0.2, shape) for shape in ((3, 3, 1, 4), (3, 3, 4, 6)))
    return ops.convert_to_numpy(ops.conv(bend(ops.conv(x, first)), second))


def not_one(bend=lambda x: x):
    """How many outputs of the two are not those of one kernel: of what they make of one bright pixel, turned."""
    kernel = two_convolutions(np.pad([[1.0]], 4)[None, :, :, None])[0, ::-1, ::-1, None]
    x = np.random.default_rng(2).normal(size=(1, 12, 12, 1))
    return (np.abs(two_convolutions(x, bend) - ops.conv(x, kernel)) > 1e-5).sum()


def not_additive(pool):
    """How many outputs f(x + y) of convolution, pooling, convolution are not f(x) + f(y)."""
    x, y = np.random.default_rng(2).normal(size=(2, 1, 14, 14, 1))
    fx, fy, both = (two_convolutions(image, pool) for image in (x, y, x + y))
    return (np.abs(both - fx - fy) > 1e-5).sum()


def normalised(factor, epsilon=0):
    """Outputs of convolution and batch normalization, and the kernel's gradient, with the kernel times a factor."""
    rng = np.random.default_rng(1)
    x, w, upstream = (rng.normal(size=shape) for shape in ((8, 10, 10, 1), (3, 3, 1, 4), (8, 8, 8, 4)))
    norm = layers.BatchNormalization(epsilon=epsilon, dtype="float64")
    y = ops.convert_to_numpy(norm(ops.conv(x, factor * w), training=True))
    return y, autodiff(lambda w: norm(ops.conv(x, w), training=True), factor * w, upstream=upstream)[0]


def first_step(size, layers=20, width=64):
    """How long the first layer's first step is, in lengths of its weights, which are `size` times He's."""
    rng, network = np.random.default_rng(1), []
    x, labels = rng.normal(size=(64, width)), rng.integers(10, size=64)
    for units in [width] * layers + [10]:
        weights = rng.normal(0, size * np.sqrt(2 / width), (width, units))
        network += [fs.Layer(fs.relu, fs.relu_backward)] * bool(network)
        network += [fs.Layer(fs.dense, fs.dense_backward, [weights, np.zeros(units)])]
    scores, caches = fs.forward(network, x)
    gradient = fs.backward(network, fs.softmax_cross_entropy(scores, labels)[1], caches)[0]
    return float(f"{0.1 * np.linalg.norm(gradient) / np.linalg.norm(network[0].params[0]):.2g}")


FACTS = [
    Fact("steps-of-64", 20, "500 images in batches of 64 are 8 steps.",
         lambda: len(batches(500, 64)), "steps an epoch", 8),
    Fact("last-of-64", 20, "500 images in batches of 64: the last batch has 52.",
         lambda: batches(500, 64)[-1], "images", 52),
    Fact("steps-of-32", 20, "500 images in batches of 32 are 500 / 64, so 8 steps.",
         lambda: len(batches(500, 32)), "steps an epoch", 8),
    Fact("last-of-32", 20, "500 images in batches of 32: the last of 16 has 20.",
         lambda: batches(500, 32)[-1], "images", 20, source="computed"),
    Fact("epoch-is-a-batch", 20, "An epoch is one batch.",
         lambda: sum(batches(500, 32)), "images an epoch, in batches of 32", 32),
    Fact("batch-variance", 39, "A larger batch has gradients of larger variance (two images instead of one).",
         lambda: (np.add.outer(np.arange(10), np.arange(10)) / 2).var() / np.arange(10).var(),  # drawn with replacement
         "times the variance, by algebra, whatever the gradients", lambda factor: factor > 1),
    Fact("momentum-adapts", 47,
         "Momentum and plain gradient descent adapt the learning rate to each weight, as RMSprop and Adam do.",
         lambda: min(step_ratio(keras.optimizers.SGD(0.125, momentum=momentum)) for momentum in (0.0, 0.5)),
         "times the step for 128 times the gradient", lambda ratio: ratio < 2),
    Fact("sigmoid-slope", 25, "The slope of the sigmoid is at most ¼.",
         lambda: slopes("sigmoid").max(), "is the greatest slope", 0.25),
    Fact("sigmoid-saturates", 25, "The sigmoid saturates: far from 0 it is nearly flat.",
         lambda: round(slopes("sigmoid").max() / slopes("sigmoid")[-1], 3), "times flatter at 8 than at 0",
         lambda times: times > 100, source="Krizhevsky et al. 2012, sec. 3.1"),
    Fact("tanh-slope", 25, "The slope of tanh is below 1 everywhere.",
         lambda: slopes("tanh").max(), "is the greatest slope", lambda slope: slope < 1),
    Fact("relu-slopes", 25, "The slope of ReLU takes all values in [0, 1].",
         lambda: len(np.unique(slopes("relu"))), "different slopes", lambda kinds: kinds > 2),
    Fact("relu-vanishes", 54, "The gradient of ReLU does not vanish.",
         lambda: slopes("relu").min(), "is the least slope", lambda slope: slope > 0),
    Fact("vanishing-gradients-jump", 80, "Vanishing gradients make weights jump past the optimum.",
         lambda: first_step(0.5), "times its weights is the first layer's step at a rate of 0.1, weights half of He's",
         lambda step: step > 1),
    Fact("exploding-gradients-jump", 80, "Exploding gradients make weights jump past the optimum.",
         lambda: first_step(2), "times its weights is the first layer's step at a rate of 0.1, weights twice He's",
         lambda step: step > 1, source="Goodfellow et al. 2016, sec. 8.2.5"),
    Fact("max-pooling-routes", 26, "Max pooling sends the gradient to each window's largest pixel, and to it alone.",
         lambda: ((np.kron(ops.max_pool(PIXELS, 2), np.ones((1, 2, 2, 1))) == PIXELS)
                  != autodiff(lambda x: ops.max_pool(x, 2), PIXELS)[0]).sum(),
         "of 64 pixels get another gradient", 0, source="popular articles; cs231n"),
    Fact("mean-pooling-spreads", 26, "Mean pooling spreads the gradient evenly: each of 2×2 pixels gets a quarter.",
         lambda: (autodiff(lambda x: ops.average_pool(x, 2), PIXELS)[0] != 0.25).sum(),
         "of 64 pixels get another gradient", 0),
    Fact("backpropagation-formulas", 26,
         "The formulas of backpropagation through convolution, max and mean pooling give the right gradients.",
         lambda: right_gradients("conv2d", lambda x, w, b: ops.conv(x, w) + b, (2, 8, 8, 3), (3, 3, 3, 4), 4)
         + right_gradients("max_pool2d", lambda x: ops.max_pool(x, 2), (2, 8, 8, 3))
         + right_gradients("mean_pool2d", lambda x: ops.average_pool(x, 2), (2, 8, 8, 3)),
         "of 5 gradients are autodiff's, to 1 in 10,000,000", 5),
    Fact("output-gradient-of-sigmoid", 27, "The gradient at an output a, wrong by e, is a (1 − a) e.",
         lambda: np.isclose(autodiff(lambda z: (ops.sigmoid(z) - TARGETS) ** 2 / 2, SCORES)[0],
                            expit(SCORES) * (1 - expit(SCORES)) * (expit(SCORES) - TARGETS)).sum(),
         "of 12 outputs agree", 12, condition="for sigmoids and squared error; softmax has p − y"),
    Fact("output-gradient-of-softmax", 27, "The gradient at an output of softmax with cross-entropy is p − y.",
         lambda: np.isclose(autodiff(lambda z: ops.categorical_crossentropy(TARGETS, z, from_logits=True), SCORES)[0],
                            softmax(SCORES, axis=1) - TARGETS).sum(), "of 12 outputs agree", 12, source="computed"),
    Fact("convolutions-fold", 32, "Without activations two convolutions are one.",
         not_one, "of 384 outputs differ by more than 0.00001", 0, source="computed"),
    Fact("no-activation-is-linear", 32,
         "A convolutional network without activations is linear, and so separates classes by planes only.",
         lambda: not_additive(lambda x: ops.average_pool(x, 2)), "of 96 outputs are not additive", 0,
         condition="without max pooling, itself an activation"),
    Fact("batch-norm-undoes-scale", 33,
         "Batch normalization undoes the scale of the weights before it (× 10, without ε).",
         lambda: (np.abs(normalised(10)[0] - normalised(1)[0]) > 1e-9).sum(),
         "of 2,048 outputs change by over a billionth", 0, source=f"popular articles; {IOFFE}"),
    Fact("batch-norm-gradient", 33,
         "Batch normalization divides the gradient of weights before it by their scale (× 10, without ε).",
         lambda: round(np.linalg.norm(normalised(10)[1]) / np.linalg.norm(normalised(1)[1]), 9),
         "times the gradient", lambda ratio: abs(ratio - 0.1) < 1e-9, source=IOFFE),
]  # fmt: skip
