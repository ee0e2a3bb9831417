"""What anatomy knows of each layer class.

`RULES` maps a class to its rule. A layer of your own says the same by a method, or by an entry in `RULES`:

    class Blur(keras.layers.Layer):
        def anatomy(self, input_shape, output_shape):  # batch-free tuples
            return {"kernel_size": (3, 3), "strides": (1, 1), "padding": "same", "macs": 9 * math.prod(output_shape)}

Keys, all optional: `kernel_size`, `strides`, `dilation_rate` (tuples), `padding` ("valid", "same" or "causal"), `macs`
(multiply-adds an image), `sees_all` (True if every unit reads its whole input). An empty dict is a layer that works on
each position alone.
"""

import math

import keras
import numpy as np
from keras import layers

# A rule is (layer, input_shape, output_shape) -> dict. Exact classes, for a subclass may compute something else. Three
# keys are for the rules below alone: `shift` (positions lost before the first one), `zoom` (input size over output
# size) and `reshapes`.


def _window(layer, *_):
    return {
        "kernel_size": tuple(getattr(layer, "kernel_size", None) or layer.pool_size),
        "strides": tuple(layer.strides),
        "padding": layer.padding,
        "dilation_rate": tuple(getattr(layer, "dilation_rate", ())),
    }


def _conv(layer, input_shape, output_shape):
    weights = math.prod(layer.kernel_size) * (input_shape[-1] // layer.groups)
    return _window(layer) | {"macs": math.prod(output_shape) * weights}


def _depthwise(layer, input_shape, output_shape):
    return _window(layer) | {"macs": math.prod(output_shape) * math.prod(layer.kernel_size)}


def _separable(layer, input_shape, output_shape):
    channels = input_shape[-1] * layer.depth_multiplier  # between the depthwise and the 1×1 convolution
    weights = channels * math.prod(layer.kernel_size) + channels * layer.filters
    return _window(layer) | {"macs": math.prod(output_shape[:-1]) * weights}


def _zoom(layer, input_shape, output_shape):
    return {"zoom": np.divide(input_shape[:-1], output_shape[:-1])}


def _transposed(layer, input_shape, output_shape):
    macs = math.prod(input_shape) * math.prod(layer.kernel_size) * layer.filters
    return _window(layer) | _zoom(layer, input_shape, output_shape) | {"macs": macs}


def _dense(layer, input_shape, output_shape):
    return {"macs": math.prod(output_shape) * input_shape[-1], "sees_all": len(input_shape) == 1}


def _along_axis(layer, input_shape, output_shape):
    return {"sees_all": any(axis not in (-1, len(input_shape)) for axis in np.ravel(layer.axis))}


def _concatenate(layer, input_shape, output_shape):
    if layer.axis not in (-1, len(output_shape)):
        raise ValueError(f"Expected a concatenation of channels (axis=-1). Received: axis={layer.axis}.")
    return {}


def pointwise(*_):
    return {}


_NAMES = {
    "Conv1D Conv2D Conv3D": _conv,
    "DepthwiseConv1D DepthwiseConv2D": _depthwise,
    "SeparableConv1D SeparableConv2D": _separable,
    "Conv1DTranspose Conv2DTranspose Conv3DTranspose": _transposed,
    "MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D": _window,
    "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalAveragePooling1D GlobalAveragePooling2D "
    "GlobalAveragePooling3D GroupNormalization": lambda *_: {"sees_all": True},
    "Dense": _dense,
    "Softmax LayerNormalization UnitNormalization": _along_axis,
    "Flatten Reshape": lambda *_: {"reshapes": True},
    "ZeroPadding1D ZeroPadding2D ZeroPadding3D": lambda layer, *_: {"shift": -np.reshape(layer.padding, (-1, 2))[:, 0]},
    "Cropping1D Cropping2D Cropping3D": lambda layer, *_: {"shift": np.reshape(layer.cropping, (-1, 2))[:, 0]},
    "UpSampling1D UpSampling2D UpSampling3D Resizing": _zoom,
    "Add Subtract Multiply Average Maximum Minimum": lambda *_: {},
    "Concatenate": _concatenate,
    # The layers that only act in training (noise, dropout, random pictures) leave a test image as it is.
    "Activation ReLU LeakyReLU PReLU ELU Identity BatchNormalization Rescaling Normalization Dropout SpatialDropout1D "
    "SpatialDropout2D SpatialDropout3D AlphaDropout GaussianDropout GaussianNoise ActivityRegularization RandomFlip "
    "RandomTranslation RandomRotation RandomZoom RandomContrast RandomBrightness RandomErasing": pointwise,
}
RULES = {getattr(layers, name): rule for names, rule in _NAMES.items() for name in names.split()}
# What `x + y` and its like become in a Functional model.
_OPERATIONS = {"Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Relu", "Sigmoid", "Tanh"}


def facts_of(operation, input_shape, output_shape):
    """What the rule of one layer or operation says; the shapes are batch-free tuples."""
    if getattr(operation, "data_format", None) == "channels_first":
        raise ValueError("Expected data_format='channels_last'. Received: 'channels_first'.")
    if hasattr(operation, "anatomy"):
        return operation.anatomy(input_shape, output_shape)
    if type(operation) in RULES:
        return RULES[type(operation)](operation, input_shape, output_shape)
    if not isinstance(operation, keras.Layer) and type(operation).__name__ in _OPERATIONS:
        return {}
    raise ValueError(
        f"Expected a layer that cnnkit.anatomy knows. Received: {type(operation).__name__}. Give its class a method "
        "`anatomy(input_shape, output_shape)` or a rule in `cnnkit.anatomy.RULES`."
    )
