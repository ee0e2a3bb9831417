"""What a convolutional network is measured against: networks that do not know which pixels are neighbours."""

import keras
from keras import layers

from cnnkit.models.registry import register


@register
def softmax(input_shape, num_classes):
    """Build softmax regression: one linear layer on the pixels. 7,850 parameters on 28×28×1.

    Source: LeCun et al. 1998, sec. III.C.1, "linear classifier". Departs: softmax cross-entropy for its squared error.
    """
    return _perceptron("softmax", input_shape, num_classes)


@register
def mlp(input_shape, num_classes, *, units=(512,), activation="relu", dropout_rate=0.0, l2=0.0):
    """Build a multi-layer perceptron. 407,050 parameters on 28×28×1 with one hidden layer of 512.

    Args:
        units: Sequence of positive integers, the hidden layers' sizes.
        activation, dropout_rate: Name of a Keras activation after each hidden layer, and float in [0, 1) on its output.
        l2: Float, at least 0: this times the sum of the squared weights, biases left out, is added to the loss.
    Source: LeCun et al. 1998, sec. III.C.5, "one-hidden-layer network".
    Departs: ReLU, He's start of the hidden weights and softmax logits for its tanh.
    """
    if not isinstance(units, (list, tuple)) or not all(type(size) is int and size > 0 for size in units):
        raise ValueError(f"Expected units as a list of positive integers, like [512]. Received: units={units!r}.")
    return _perceptron("mlp", input_shape, num_classes, units, activation, dropout_rate, l2)


def _perceptron(name, input_shape, num_classes, units=(), activation="relu", dropout_rate=0.0, l2=0.0):
    penalty = keras.regularizers.L2(l2) if l2 else None
    x = pixels = keras.Input(input_shape, name="pixels")
    x = layers.Flatten(name="flatten")(x)
    for depth, size in enumerate(units, start=1):
        start = {"kernel_initializer": "he_normal", "kernel_regularizer": penalty}
        x = layers.Dense(size, activation, name=f"dense{depth}", **start)(x)
        if dropout_rate:
            x = layers.Dropout(dropout_rate, name=f"dropout{depth}")(x)
    logits = layers.Dense(num_classes, kernel_regularizer=penalty, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=name)
