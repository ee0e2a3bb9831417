"""A small network's loss as a function of all its weights in one flat vector, as SciPy's optimizers take it."""

import numpy as np
from keras import ops

MOST_WEIGHTS = 100_000


def flat_loss(model, x, y):
    """Return the loss over all images as a function of one vector, and the weights that the network has now.

    Args:
        model: Keras model that gives logits `(images, classes)`; float64 where a minimum is to be found to many digits.
        x, y: All training images as the model takes them, and their labels, integers `(images,)`.
    Returns:
        `(function, start)`: from weights, float64 `(n,)`, to their mean cross-entropy in nats and its gradient `(n,)`,
        for `scipy.optimize.minimize(function, start, jac=True)`; the model keeps the weights of the last call.
    Raises:
        ValueError: If the network has more than 100,000 trainable weights.
    """
    weights = model.trainable_variables
    sizes = [int(np.prod(weight.shape)) for weight in weights]
    if (count := sum(sizes)) > MOST_WEIGHTS:
        expected = f"Expected a network of at most {MOST_WEIGHTS:,} weights: L-BFGS keeps twenty vectors as long as all"
        way = "Take a smaller network, or an optimizer that reads batches, such as Adam."
        raise ValueError(f"{expected}, and reads all images at each step. Received: {model.name}, {count:,}. {way}")
    import tensorflow as tf  # Keras has no word for a gradient

    @tf.function
    def descend():
        with tf.GradientTape() as tape:
            logits = model(x, training=False)  # the same at each call, so without dropout
            loss = ops.mean(ops.sparse_categorical_crossentropy(y, logits, from_logits=True))  # a Loss is float32
        return loss, tape.gradient(loss, weights)

    def function(flat):
        for weight, values in zip(weights, np.split(flat, np.cumsum(sizes)[:-1]), strict=True):
            weight.assign(values.reshape(weight.shape))
        loss, gradients = descend()
        return float(loss), np.concatenate([np.ravel(gradient) for gradient in gradients], dtype="float64")

    return function, np.concatenate([np.ravel(weight) for weight in weights], dtype="float64")
