"""What anatomy knows of each layer class.

`RULES` maps a class to its rule. A layer of your own says the same by a method, or by an entry in `RULES`:

    def anatomy(self, input_shape, output_shape):  # batch-free tuples
        return {"kernel_size": (3, 3), "strides": (1, 1), "padding": "same", "macs": 9 * math.prod(output_shape)}

Keys, all optional: `kernel_size`, `strides`, `dilation_rate` (tuples), `padding` ("valid", "same" or "causal"), `macs`
(multiply-adds an image), `sees_all` (True if every unit reads its whole input); none: each position works alone.
"""

from math import prod

import keras
import numpy as np
from keras import layers

# A rule is (layer, input_shape, output_shape) -> dict, of exact classes: a subclass may compute something else. Keys of
# these rules alone: `shift` (positions lost before the first one), `zoom` (input size over output size), `reshapes`.


def _window(layer, macs=0):
    """What a layer that moves a window says, at a cost of `macs` for each place in the window."""
    size = tuple(getattr(layer, "kernel_size", None) or layer.pool_size)
    window = {"kernel_size": size, "strides": tuple(layer.strides), "padding": layer.padding}
    return window | {"dilation_rate": tuple(getattr(layer, "dilation_rate", ())), "macs": macs * prod(size)}


def _separable(layer, into, out):
    cost = prod(out[:-1]) * into[-1] * layer.depth_multiplier * (prod(layer.kernel_size) + layer.filters)
    return _window(layer) | {"macs": cost}


def _zoom(layer, into, out):
    return {"zoom": np.divide(into[:-1], out[:-1])}


def pointwise(*_):
    return {}


def _concatenate(layer, into, out):
    if layer.axis not in (-1, len(out)):
        raise ValueError(f"Expected a concatenation of channels (axis=-1). Received: axis={layer.axis}.")
    return {}


_NAMES = {  # ND: 1D, 2D and 3D, where Keras has them
    "ConvND": lambda layer, into, out: _window(layer, prod(out) * (into[-1] // layer.groups)),
    "DepthwiseConvND": lambda layer, into, out: _window(layer, prod(out)),
    "SeparableConvND": _separable,
    "ConvNDTranspose": lambda layer, into, out: _window(layer, prod(into) * layer.filters) | _zoom(layer, into, out),
    "MaxPoolingND AveragePoolingND": lambda layer, *_: _window(layer),
    "GlobalMaxPoolingND GlobalAveragePoolingND GroupNormalization": lambda *_: {"sees_all": True},
    "Dense": lambda layer, into, out: {"macs": prod(out) * into[-1], "sees_all": len(into) == 1},
    "Softmax LayerNormalization UnitNormalization": lambda layer, into, out: {
        "sees_all": any(axis not in (-1, len(into)) for axis in np.ravel(layer.axis))
    },
    "Flatten Reshape": lambda *_: {"reshapes": True},
    "ZeroPaddingND": lambda layer, *_: {"shift": -np.reshape(layer.padding, (-1, 2))[:, 0]},
    "CroppingND": lambda layer, *_: {"shift": np.reshape(layer.cropping, (-1, 2))[:, 0]},
    "UpSamplingND Resizing": _zoom,
    "Add Subtract Multiply Average Maximum Minimum": lambda *_: {},
    "Concatenate": _concatenate,
    # The layers that only act in training (noise, dropout, random pictures) leave a test image as it is.
    "Activation ReLU LeakyReLU PReLU ELU Identity BatchNormalization Rescaling Normalization Dropout SpatialDropoutND "
    "AlphaDropout GaussianDropout GaussianNoise ActivityRegularization RandomFlip RandomTranslation RandomRotation "
    "RandomZoom RandomContrast RandomBrightness RandomErasing": pointwise,
}
RULES = {
    getattr(layers, name): rule
    for names, rule in _NAMES.items()
    for name in {word.replace("ND", f"{axes}D") for word in names.split() for axes in (1, 2, 3)}
    if hasattr(layers, name)
}
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
    way = "Give its class a method `anatomy(input_shape, output_shape)` or a rule in `cnnkit.anatomy.RULES`."
    raise ValueError(f"Expected a layer that cnnkit.anatomy knows. Received: {type(operation).__name__}. {way}")
