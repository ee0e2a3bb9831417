"""The registry of models: what a builder is, and what is asked of it before anything is trained."""

import contextlib
import inspect
import math
from numbers import Integral

import keras
from keras.src.backend.common import global_state  # for `sketching`: Keras has no public word for it

_BUILDERS = {}
MAIN = {"__main__", "__mp_main__"}  # a notebook or script, and what a worker process calls the same script
MOST_VALUES = 2**31 - 1  # of one image: backends count its values in 32 bits
MOST_CLASSES = 1_000_000


def register(builder):
    """Make a model known by its function's name; a decorator, also for functions written in a notebook cell.

    Args:
        builder: Function `(input_shape, num_classes, **model_args) -> keras.Model`, uncompiled, from float32
            `(batch, height, width, channels)`, scaled as the run says, to logits `(batch, num_classes)`.
    Returns:
        The same function.
    Raises:
        ValueError: If its first two arguments have other names, or the name is taken. A notebook cell may be run twice.
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
    """Return the function registered as `name`, or raise a ValueError that lists those that exist."""
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
        `keras.Model`: float32 `(batch, *input_shape)`, scaled as the run says -> logits `(batch, num_classes)`.
    Raises:
        ValueError: If the name, an argument, the shape or the number of classes is not possible, or if the builder
            returns something else (`check_network`).
    Example:
        >>> create_model("mlp", (28, 28, 1), 10, units=[128]).count_params()
        101770
    """
    check_args(name, model_args)
    _check_problem(input_shape, num_classes)
    builder = get_builder(name)
    try:
        network = builder(tuple(int(side) for side in input_shape), int(num_classes), **model_args)
    except Exception as error:
        ours = isinstance(error, ValueError) and str(error).startswith("Expected ")
        if ours or isinstance(error, MemoryError):
            raise
        reason = (str(error).strip() or "no message").splitlines()[0]
        raise ValueError(
            f"Expected arguments that {name} can be built with. Received: {model_args}, input_shape={input_shape}, "
            f"num_classes={num_classes} ({type(error).__name__}: {reason})."
        ) from error
    check_network(network, name, input_shape, num_classes)
    return network


@contextlib.contextmanager
def sketching():
    """Build models in a `with` block whose weights have shapes but no memory; values that a builder sets are kept.

    Yields:
        `keras.StatelessScope`; its `get_current_value(variable)` is such a value inside the block, or None.
    """
    waiting = global_state.get_global_attribute("uninitialized_variables", [], set_to_default=True)
    before = len(waiting)
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        del waiting[before:]  # or the next layer that Keras traces would fill them all


def sketch_model(name, input_shape, num_classes, **model_args):
    """Build a registered model whose weights have shapes but no memory, to count and to compare architectures.

    Args, raises: As `create_model`.
    Returns:
        `keras.Model` that is not for use: each look at a weight draws it anew. A builder that needs weights with values
        (it loads a compiled model, say) gets them.
    """
    try:
        with sketching():
            return create_model(name, input_shape, num_classes, **model_args)
    except ValueError as error:
        if "stateless scope" not in f"{error} {error.__cause__}":
            raise
    return create_model(name, input_shape, num_classes, **model_args)


def check_args(name, model_args):
    """Raise a ValueError that lists what is valid if no model has this name, or its builder not these arguments."""
    signature = inspect.signature(get_builder(name))
    try:
        signature.bind(None, None, **model_args)
    except TypeError as error:
        raise ValueError(
            f"Expected arguments of {name} out of {list(signature.parameters)[2:]}. Received: {model_args} ({error})."
        ) from None
    for argument, value in model_args.items():
        default = getattr(signature.parameters.get(argument), "default", None)
        if isinstance(default, bool) and not isinstance(value, bool):
            raise ValueError(f"Expected {argument} of {name} to be true or false. Received: {argument}={value!r}.")


def _check_problem(input_shape, num_classes):
    sides = tuple(input_shape) if isinstance(input_shape, (list, tuple)) else ()
    if len(sides) != 3 or not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise ValueError(
            "Expected input_shape=(height, width, channels), three positive integers, without the batch axis. "
            f"Received: input_shape={input_shape!r}."
        )
    if (values := math.prod(map(int, sides))) > MOST_VALUES:
        raise ValueError(
            f"Expected an image of at most {MOST_VALUES:,} values. Received: input_shape={input_shape}, which has "
            f"{values:,}. Take smaller pictures."
        )
    if not isinstance(num_classes, Integral) or not 2 <= num_classes <= MOST_CLASSES:
        raise ValueError(
            f"Expected num_classes to be an integer, at least 2 and at most {MOST_CLASSES:,}. "
            f"Received: num_classes={num_classes!r}."
        )


def check_network(network, name, input_shape, num_classes):
    """Refuse what a builder returned if it cannot be trained as a classifier; called by `create_model`.

    Args:
        network, name: What the builder returned, and the model's name for the message.
        input_shape, num_classes: `(height, width, channels)` in pixels, and an integer.
    Raises:
        ValueError: If it is no uncompiled Functional or Sequential model with one real-valued input of that shape (open
            sides fit), one output of real-valued logits `(batch, num_classes)` and something to train.
    """

    def refuse(expected, received, advice):
        raise ValueError(f"Expected {name} to {expected}. Received: {received}. {advice}")

    if not isinstance(network, keras.Model):
        way = "End the function with `return keras.Model(inputs, logits)`."
        refuse("return a keras.Model", f"{network!r:.80}", way)
    if not getattr(network, "inputs", None):
        way = "Put keras.Input(input_shape) first; write a subclassed model as a Functional one."
        refuse("begin with keras.Input(input_shape)", f"{type(network).__name__} without an input", way)
    if network.compiled:
        way = "Leave its compile() out: the run's config says optimizer and loss."
        refuse("return an uncompiled model", "a compiled one", way)
    (seen, *more), wanted = network.inputs, (None, *input_shape)
    fits = len(seen.shape) == 4 and all(own in (None, side) for own, side in zip(seen.shape, wanted, strict=True))
    if more or not fits or not keras.backend.is_float_dtype(seen.dtype):
        received = "inputs of " + ", ".join(f"{tensor.shape} {tensor.dtype}" for tensor in network.inputs)
        refuse(f"take one input of {wanted} in floating point", received, "Begin with keras.Input(input_shape).")
    logits, wanted = network.outputs[0], (None, num_classes)
    named = isinstance(network.outputs if isinstance(network, keras.Sequential) else network.output, dict)
    if named or len(network.outputs) > 1:
        received = f"{len(network.outputs)} output(s){' in a dict' * named}"
        refuse(f"have one output, the logits {wanted}", received, "Return keras.Model(inputs, logits).")
    if tuple(logits.shape) != wanted:
        way = "" if len(logits.shape) == 2 else "Flatten or pool first, with Flatten() or GlobalAveragePooling2D(). "
        refuse(f"return logits of shape {wanted}", logits.shape, f"{way}End with Dense(num_classes).")
    if not keras.backend.is_float_dtype(logits.dtype):
        refuse("return logits in floating point", logits.dtype, "End with Dense(num_classes).")
    last = logits._keras_history.operation
    squashing = getattr(getattr(last, "activation", None), "__name__", type(last).__name__).lower()
    if squashing in {"softmax", "sigmoid"}:
        received = f"{squashing} in its last layer, '{last.name}'"
        refuse("return logits", received, "Leave that activation out: the loss applies the softmax.")
    if not network.trainable_weights:
        refuse("have weights to train", "none that are trainable", "Set `trainable = True` on a layer.")


def require_size(name, input_shape, smallest):
    """Refuse pictures whose sides are too short to reach a model's last layer.

    Args:
        name: The model's name, for the message.
        input_shape, smallest: `(height, width, channels)` and the shortest side the model takes, in pixels.
    Raises:
        ValueError: If a side is shorter than `smallest`.
    """
    if min(input_shape[:2]) < smallest:
        raise ValueError(
            f"Expected height and width of at least {smallest} pixels for {name}. Received: input_shape={input_shape}. "
            "Take larger pictures, or a model without a smallest size: mlp, softmax."
        )
