"""Small convnets that came with libraries: Caffe's and Keras' for CIFAR-10, keras.io's for MNIST."""

import keras
from keras import layers

from cnnkit.models.layers import LocalResponseNormalization
from cnnkit.models.registry import register, require_size


@register
def caffe_quick(
    input_shape,
    num_classes,
    *,
    activation="relu",
    pool_size=3,
    batch_norm=False,
    lrn=None,
    dropout_rate=0.0,
    kernel_initializer="he_normal",
):
    """Build Caffe's quick CIFAR-10 network, for sides from 8: three 5×5 convolutions. 145,578 parameters on 32×32×3.

    Args:
        activation, kernel_initializer: Names that Keras knows: after each convolution, and of all weights' start.
        pool_size: Integer, side of the pooling windows in pixels, 2 apart: 3 overlaps as published, 2 does not.
        batch_norm: Whether each convolution is batch-normalised before its activation, and then has no bias.
        lrn: None, or the alpha of local response normalisation after the first two activations. AlexNet's 1e-4 was for
            pixels up to 255; where they are divided by their deviation, 63, 63 * 63 * 1e-4 = 0.4 does as much.
        dropout_rate: Float in [0, 1), applied to the input of both dense layers.
    Source: BVLC/caffe, examples/cifar10/cifar10_quick_train_test.prototxt, after cuda-convnet.
    Departs: the mean image is not subtracted; He's start of the weights replaces hand-set Gaussians, which fit one
        activation and schedule; the first pooling follows the ReLU: the same function for any increasing activation.
    """
    require_size("caffe_quick", input_shape, 8)
    x = pixels = keras.Input(input_shape, name="pixels")
    common = {"padding": "same", "use_bias": not batch_norm, "kernel_initializer": kernel_initializer}
    pooling = [layers.MaxPooling2D, layers.AveragePooling2D, layers.AveragePooling2D]
    for block, (filters, pool) in enumerate(zip([32, 32, 64], pooling, strict=True), start=1):
        x = layers.Conv2D(filters, 5, name=f"conv{block}", **common)(x)
        if batch_norm:
            x = layers.BatchNormalization(momentum=0.9, name=f"norm{block}")(x)  # 0.99 forgets only after 298 updates
        x = layers.Activation(activation, name=f"activation{block}")(x)
        if lrn is not None and block < 3:
            x = LocalResponseNormalization(alpha=lrn, name=f"lrn{block}")(x)
        x = pool(pool_size, strides=2, padding="same", name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    # No activation between them, as published. Logits stay float32 under mixed precision, or their loss loses digits.
    for name, units, dtype in [("dense", 64, None), ("logits", num_classes, "float32")]:
        if dropout_rate:
            x = layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)
        x = layers.Dense(units, kernel_initializer=kernel_initializer, dtype=dtype, name=name)(x)
    return keras.Model(pixels, x, name="caffe_quick")


@register
def keras_mnist(input_shape, num_classes, *, dropout_rate=0.5):
    """Build the keras.io MNIST convnet, for sides from 10: two 3×3 convolutions. 34,826 parameters on 28×28×1.

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


@register
def keras_cifar(input_shape, num_classes, *, width=1.0, input_dropout=0.0, conv_dropout=0.25, dense_dropout=0.5):
    """Build Keras' old CIFAR-10 example, for sides from 10: four 3×3 convolutions. 1,250,858 parameters on 32×32×3.

    Args:
        width: Float, times the filters (32, 32, 64, 64) and the dense units (512), rounded.
        input_dropout, conv_dropout, dense_dropout: Floats in [0, 1): shares silenced of the pixels, of the maps after
            each pooling, and of the dense layer's units.
    Source: keras-team/keras 2.2, examples/cifar10_cnn.py. Departs: logits for its softmax probabilities; He's start.
    """
    require_size("keras_cifar", input_shape, 10)
    x = pixels = keras.Input(input_shape, name="pixels")

    def drop(x, share, name):
        return layers.Dropout(share, name=f"{name}_dropout")(x) if share else x

    how = {"activation": "relu", "kernel_initializer": "he_normal"}
    x = drop(x, input_dropout, "input")
    for block, filters in enumerate([round(32 * width), round(64 * width)], start=1):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv{block}_1", **how)(x)
        x = layers.Conv2D(filters, 3, name=f"conv{block}_2", **how)(x)
        x = drop(layers.MaxPooling2D(name=f"pool{block}")(x), conv_dropout, f"pool{block}")
    x = layers.Dense(round(512 * width), name="dense", **how)(layers.Flatten(name="flatten")(x))
    x = drop(x, dense_dropout, "dense")
    return keras.Model(pixels, layers.Dense(num_classes, dtype="float32", name="logits")(x), name="keras_cifar")
