"""The registry of models: what is asked of a builder, and of the network it returns, before anything is trained."""

import contextlib
import functools
import inspect
import math
from numbers import Integral

import keras
from keras.src.backend.common import global_state  # for `sketching`: Keras has no public word for it

_BUILDERS = {}
MAIN = {"__main__", "__mp_main__"}  # a notebook or script, and what a worker process calls the same script
MOST_VALUES = 2**31 - 1  # of one image: backends count its values in 32 bits
MOST_CLASSES = 1_000_000


def register(builder=None, *, shown=None):
    """Make a builder (see `cnnkit.models`) known by its function's name, which must be new; a decorator.

    `shown` is the shape and the number of classes, as `(32, 32, 3, 10)`, at which `python -m cnnkit models` counts it;
    `()` keeps it out of that list.
    """
    if builder is None:
        return functools.partial(register, shown=shown)
    name, first_two = builder.__name__, list(inspect.signature(builder).parameters)[:2]
    if first_two != ["input_shape", "num_classes"]:
        raise ValueError(f"Expected {name}(input_shape, num_classes, ...). Received first arguments: {first_two}.")
    taken = _BUILDERS.get(name)
    if taken not in (None, builder) and not {taken.__module__, builder.__module__} <= MAIN:  # a cell may run again
        raise ValueError(f"Expected a new model name. Received: {name!r}, which {taken.__module__} has. Rename it.")
    _BUILDERS[name] = builder
    if shown is not None or not hasattr(builder, "shown"):  # a worker registers it once more
        builder.shown = (32, 32, 3, 10) if shown is None else shown
    return builder


def list_models():
    """Names of all registered models, sorted: what `create_model` takes; but for `transfer`, which needs a source."""
    return sorted(name for name, builder in _BUILDERS.items() if builder.shown)


def get_builder(name):
    """Return the function registered as `name`, or raise a ValueError that lists those that exist."""
    if name not in _BUILDERS:
        raise ValueError(f"Expected a model out of {list_models()}. Received: {name!r}. Add your own with @register.")
    return _BUILDERS[name]


def create_model(name, input_shape, num_classes, **model_args):
    """Build a registered model, or raise a ValueError: `create_model("mlp", (28, 28, 1), 10, units=[128])`."""
    check_args(name, model_args)
    _check_problem(input_shape, num_classes)
    try:
        network = get_builder(name)(tuple(map(int, input_shape)), int(num_classes), **model_args)
    except Exception as error:
        if isinstance(error, MemoryError) or isinstance(error, ValueError) and str(error).startswith("Expected "):
            raise
        reason = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        received = f"{model_args}, input_shape={input_shape}, num_classes={num_classes} ({reason})"
        raise ValueError(f"Expected arguments that {name} can be built with. Received: {received}.") from error
    _check_network(network, name, input_shape, num_classes)
    return network


@contextlib.contextmanager
def sketching():
    """Build models in a `with` block whose weights have shapes but no memory; values that a builder sets are kept.

    Yields a `keras.StatelessScope`; its `get_current_value(variable)` is such a value inside the block, or None.
    """
    waiting = global_state.get_global_attribute("uninitialized_variables", [], set_to_default=True)
    before = len(waiting)
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        del waiting[before:]  # or the next layer that Keras traces would fill them all


def sketch_model(name, input_shape, num_classes, **model_args):
    """Build as `create_model`, but weights have no memory (each look draws them anew): to count and to compare only."""
    try:
        with sketching():
            return create_model(name, input_shape, num_classes, **model_args)
    except ValueError as error:
        if "stateless scope" not in f"{error} {error.__cause__}":
            raise
    return create_model(name, input_shape, num_classes, **model_args)  # it needs values: it loads a compiled model, say


def check_args(name, model_args):
    """Raise a ValueError that lists what is valid if no model has this name, or its builder not these arguments."""
    signature = inspect.signature(get_builder(name))
    try:
        given = signature.bind(None, None, **model_args).arguments
    except TypeError as error:
        valid = list(signature.parameters)[2:]
        raise ValueError(f"Expected arguments of {name} out of {valid}. Received: {model_args} ({error}).") from None
    for argument, value in given.items():
        if isinstance(signature.parameters[argument].default, bool) and not isinstance(value, bool):
            raise ValueError(f"Expected {argument} of {name} to be true or false. Received: {argument}={value!r}.")


def _check_problem(input_shape, num_classes):
    sides = input_shape if isinstance(input_shape, (list, tuple)) else ()
    positive = len(sides) == 3 and all(isinstance(side, Integral) and side > 0 for side in sides)
    if not positive or math.prod(map(int, sides)) > MOST_VALUES:
        wanted = "input_shape=(height, width, channels), three positive integers without the batch axis"
        raise ValueError(f"Expected {wanted}, at most {MOST_VALUES:,} values. Received: {input_shape=}.")
    if not isinstance(num_classes, Integral) or not 2 <= num_classes <= MOST_CLASSES:
        raise ValueError(f"Expected num_classes from 2 to {MOST_CLASSES:,}, an integer. Received: {num_classes!r}.")


def _check_network(network, name, input_shape, num_classes):
    """Refuse what a builder returned if it cannot be trained as a classifier."""

    def refuse(expected, received, advice):
        raise ValueError(f"Expected {name} to {expected}. Received: {received}. {advice}")

    if not isinstance(network, keras.Model):
        refuse("return a keras.Model", f"{network!r:.80}", "End with `return keras.Model(inputs, logits)`.")
    if network.compiled:
        refuse("return an uncompiled model", "a compiled one", "Leave compile() out: the run's config compiles.")
    inputs, wanted = getattr(network, "inputs", None) or [], (None, *input_shape)
    seen = inputs[0].shape if len(inputs) == 1 else ()
    fits = len(seen) == 4 and all(own in (None, side) for own, side in zip(seen, wanted, strict=True))
    if not fits or not keras.backend.is_float_dtype(inputs[0].dtype):
        way = "Begin with keras.Input(input_shape), and write a subclassed model as a Functional one."
        refuse(f"take one input of {wanted} in floating point", f"{type(network).__name__} with {inputs}", way)
    logits, wanted = network.compute_output_spec(inputs[0]), (None, num_classes)
    if len(outputs := keras.tree.flatten(logits)) > 1:
        way = "Leave auxiliary heads out, or train with all of them by Keras' compile(loss_weights=...) and fit."
        refuse("have one output, whose accuracy a run reads", f"{len(outputs)} outputs", way)
    if getattr(logits, "shape", None) != wanted or not keras.backend.is_float_dtype(logits.dtype):
        way = "Flatten or pool, end with Dense(num_classes), and return keras.Model(inputs, logits)."
        refuse(f"have one output, logits of shape {wanted} in floating point", logits, way)
    last = network.outputs[0]._keras_history.operation
    squashing = getattr(getattr(last, "activation", None), "__name__", type(last).__name__).lower()
    if squashing in {"softmax", "sigmoid"}:
        refuse("return logits", f"{squashing} in '{last.name}'", "Leave it out: the loss applies the softmax.")
    if not network.trainable_weights:
        refuse("have weights to train", "none that are trainable", "Set `trainable = True` on a layer.")


def require_size(name, input_shape, smallest, layer="its last layer"):
    """Raise a ValueError if a side of the pictures, in pixels, is too short for model `name` to reach `layer`."""
    if min(input_shape[:2]) < smallest:
        reason = f"nothing of a smaller picture reaches {layer}; mlp takes any"
        raise ValueError(f"Expected {smallest} pixels a side for {name} ({reason}). Received: {input_shape}.")


def require_choice(name, argument, value, choices):
    """Raise a ValueError if `argument` of model `name` is none of `choices`."""
    if value not in choices:
        raise ValueError(f"Expected {argument} of {name} out of {choices}. Received: {argument}={value!r}.")


def require_filters(name, argument, share, filters, layer):
    """Return a share of a layer's filters, an integer, or raise a ValueError if it leaves none, or is no number."""
    if not isinstance(share, (int, float)) or not math.isfinite(share) or int(filters * share) < 1:
        received = f"{argument}={share!r}, of {filters} filters"
        raise ValueError(f"Expected {argument} of {name} to leave a filter in {layer}. Received: {received}.")
    return int(filters * share)
