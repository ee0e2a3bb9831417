"""The convnet of keras.io's MNIST example."""

import keras
from keras import layers

from cnnkit.models.registry import register, require_size


@register
def keras_mnist(input_shape, num_classes, *, dropout_rate=0.5):
    """Build the keras.io MNIST convnet: two 3×3 convolutions and dropout. 34,826 parameters on 28×28×1.

    Height and width are at least 10. `dropout_rate` is that of the flattened maps.
    Source: keras.io, "Simple MNIST convnet" (F. Chollet, 2015). Departs: logits for its softmax probabilities.
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
