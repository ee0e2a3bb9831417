"""The registry of models: published networks, one file per paper, and your own."""

import inspect
from numbers import Integral

from cnnkit.models.baselines import mlp, softmax
from cnnkit.models.caffe import caffe_quick
from cnnkit.models.keras_io import keras_mnist
from cnnkit.models.lenet import lenet5, lenet5_modern
from cnnkit.models.sharing import conv_net, dense_net, flat_softmax, local_net

_BUILDERS = {}
MAIN = {"__main__", "__mp_main__"}  # a notebook or script, and what a worker process calls the same script


def register(builder):
    """Make a model known by its function's name; a decorator, also for functions written in a notebook cell.

    Args:
        builder: Function `(input_shape, num_classes, **model_args) -> keras.Model` that is not compiled, takes
            float32 `(batch, height, width, channels)` in [0, 1] and returns logits `(batch, num_classes)`.
    Returns:
        The same function.
    Raises:
        ValueError: If its first two arguments have other names, or the name is taken. A function written in a notebook
            cell may take its own name again, so that the cell can be run twice.
    Example:
        >>> @register
        ... def tiny(input_shape, num_classes, width=8):
        ...     return keras.Sequential([keras.Input(input_shape), layers.Conv2D(width, 3, activation="relu"),
        ...                              layers.GlobalAveragePooling2D(), layers.Dense(num_classes)])
    """
    name, first_two = builder.__name__, list(inspect.signature(builder).parameters)[:2]
    if first_two != ["input_shape", "num_classes"]:
        raise ValueError(f"Expected {name}(input_shape, num_classes, ...). Received first arguments: {first_two}.")
    taken = _BUILDERS.get(name)
    if taken not in (None, builder) and not {taken.__module__, builder.__module__} <= MAIN:
        raise ValueError(
            f"Expected a new model name. Received: {name!r}, which {taken.__module__} has. Rename the function."
        )
    _BUILDERS[name] = builder
    return builder


def list_models():
    """Names of all registered models, sorted: what `create_model` takes."""
    return sorted(_BUILDERS)


def get_builder(name):
    """Return the function registered as `name`.

    Raises:
        ValueError: If no model has that name; the message lists those that exist.
    """
    if name not in _BUILDERS:
        raise ValueError(f"Expected a model out of {list_models()}. Received: {name!r}. Add your own with @register.")
    return _BUILDERS[name]


def create_model(name, input_shape, num_classes, **model_args):
    """Build a registered model, uncompiled.

    Args:
        name: One of `list_models()`.
        input_shape: `(height, width, channels)` of one picture, in pixels.
        num_classes: Integer, at least 2.
        **model_args: The builder's own arguments.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)` in [0, 1] -> logits `(batch, num_classes)`.
    Raises:
        ValueError: If the name, an argument, the shape or the number of classes is not possible.
    Example:
        >>> create_model("mlp", (28, 28, 1), 10, units=[128]).count_params()
        101770
    """
    check_args(name, model_args)
    _check_problem(input_shape, num_classes)
    return get_builder(name)(tuple(int(side) for side in input_shape), int(num_classes), **model_args)


def _check_problem(input_shape, num_classes):
    sides = tuple(input_shape) if isinstance(input_shape, (list, tuple)) else ()
    if len(sides) != 3 or not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise ValueError(
            "Expected input_shape=(height, width, channels), three positive integers, without the batch axis. "
            f"Received: input_shape={input_shape!r}."
        )
    if not isinstance(num_classes, Integral) or num_classes < 2:
        raise ValueError(f"Expected num_classes to be an integer, at least 2. Received: num_classes={num_classes!r}.")


def check_args(name, model_args):
    """Raise a ValueError that lists what is valid if no model has this name, or its builder not these arguments."""
    builder = get_builder(name)
    parameters = inspect.signature(builder).parameters
    try:
        inspect.signature(builder).bind(None, None, **model_args)
    except TypeError as error:
        raise ValueError(
            f"Expected arguments of {builder.__name__} out of {list(parameters)[2:]}. Received: {model_args} ({error})."
        ) from None


for _builder in (
    caffe_quick,
    conv_net,
    dense_net,
    flat_softmax,
    keras_mnist,
    lenet5,
    lenet5_modern,
    local_net,
    mlp,
    softmax,
):
    register(_builder)
