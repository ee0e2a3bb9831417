"""The convnet of keras.io's MNIST example."""

import keras
from keras import layers

from cnnkit.models.registry import register, require_size


@register
def keras_mnist(input_shape, num_classes, *, dropout_rate=0.5):
    """Build the keras.io MNIST convnet: two 3×3 convolutions and dropout. 34,826 parameters on 28×28×1, 10 classes.

    Args:
        input_shape: `(height, width, channels)` in pixels; height and width at least 10.
        num_classes: Integer, at least 2.
        dropout_rate: Float in [0, 1), applied to the flattened maps.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)`, scaled as the run says -> logits `(batch, num_classes)`.
    Raises:
        ValueError: If height or width is less than 10.
    Source: keras.io, "Simple MNIST convnet" (F. Chollet, 2015).
    Departs: logits for its softmax probabilities.
    """
    require_size("keras_mnist", input_shape, 10)
    x = pixels = keras.Input(input_shape, name="pixels")
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout_rate, name="dropout")(x)
    return keras.Model(pixels, layers.Dense(num_classes, dtype="float32", name="logits")(x), name="keras_mnist")
