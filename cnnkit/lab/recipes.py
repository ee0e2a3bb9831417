"""What a `RunConfig` can name: optimizers, schedules, losses and augmentations, as Keras objects."""

import inspect

import keras
from keras import ops

OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "ftrl": keras.optimizers.Ftrl,
    "lion": keras.optimizers.Lion,
}


def _step(rate, steps, *, drop=0.1, at=(0.5, 0.75)):
    boundaries = [round(steps * share) for share in at]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, [rate * drop**k for k in range(len(at) + 1)])


def _exponential(rate, steps, *, end=0.01):
    return keras.optimizers.schedules.ExponentialDecay(rate, max(steps - 1, 1), end)


def _polynomial(rate, steps, *, power=1.0, end=0.0):
    return keras.optimizers.schedules.PolynomialDecay(rate, steps, rate * end, power)


def _cosine(rate, steps, *, warmup=0.0, end=0.0):
    cosine = keras.optimizers.schedules.CosineDecay
    if not warmup:
        return cosine(rate, steps, end)
    first = max(round(steps * warmup), 1)
    return cosine(0.0, max(steps - first, 1), end, warmup_target=rate, warmup_steps=first)


def _warmup(rate, steps, *, share=0.1):
    return _cosine(rate, steps, warmup=share, end=1.0)  # a cosine from 1 to 1 is a constant


def _one_cycle(rate, steps, *, share=0.3):
    return _cosine(rate, steps, warmup=share)


# Each takes the peak learning rate and the run's number of steps; shares are of these steps, ends are of the peak.
SCHEDULES = {
    "constant": lambda rate, steps: rate,
    "step": _step,
    "exponential": _exponential,
    "polynomial": _polynomial,
    "cosine": _cosine,
    "warmup": _warmup,
    "one_cycle": _one_cycle,
}


def multiclass_hinge(y_true, y_pred):
    """Sum over the wrong classes of max(0, 1 + score - score of the right class), per image.

    Args:
        y_true: One-hot labels `(batch, num_classes)`.
        y_pred: Scores `(batch, num_classes)`.
    Returns:
        Losses `(batch,)`; `num_classes - 1` when all scores are equal.
    Source: Weston and Watkins 1999; margin 1. Keras' CategoricalHinge keeps only the worst wrong class.
    """
    right = ops.sum(y_true * y_pred, axis=-1, keepdims=True)
    return ops.sum((1.0 - y_true) * ops.relu(1.0 + y_pred - right), axis=-1)


# Each takes label_smoothing and returns a loss of one-hot labels and logits.
LOSSES = {
    "crossentropy": lambda smoothing: keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
    "hinge": lambda smoothing: multiclass_hinge,
}

AUGMENTATIONS = {
    "flip": lambda: keras.layers.RandomFlip("horizontal"),
    "shift": lambda: keras.layers.RandomTranslation(0.125, 0.125, fill_mode="constant"),  # 4 pixels of 32, per image
    "rotate": lambda: keras.layers.RandomRotation(15 / 360, fill_mode="constant"),
    "zoom": lambda: keras.layers.RandomZoom(0.1, fill_mode="constant"),
    "erase": lambda: keras.layers.RandomErasing(
        scale=(0.02, 0.2), value_range=(0, 1)
    ),  # Random Erasing, Zhong et al. 2017
}


SET_BY_CONFIG = ("learning_rate", "use_ema", "ema_momentum", "rate", "steps")  # fields of a config


def check_name(what, name, table):
    """Return `table[name]`, or raise a ValueError that lists the names there are."""
    if name not in table:
        raise ValueError(f"Expected {what} to be one of {', '.join(table)}. Received: {what}={name!r}.")
    return table[name]


def check_args(what, function, args):
    """Raise a ValueError that lists the valid names when `args` holds one that `function` does not take."""
    parameters = inspect.signature(function).parameters.values()
    valid = [p.name for p in parameters if p.kind != p.VAR_KEYWORD and p.name not in SET_BY_CONFIG]
    if unknown := sorted(set(args) - set(valid)):
        raise ValueError(f"Expected {what} among {', '.join(valid) or 'none'}. Received: {', '.join(unknown)}.")


def make_optimizer(config, steps):
    """Return the Keras optimizer of a `RunConfig` whose run takes `steps` updates."""
    rate = SCHEDULES[config.schedule](config.learning_rate, steps, **config.schedule_args)
    average = {} if config.ema is None else {"use_ema": True, "ema_momentum": config.ema}
    return OPTIMIZERS[config.optimizer](learning_rate=rate, **config.optimizer_args, **average)


def make_augmentation(names):
    """Return a Keras model of the augmentations in `names`, joined by `+` in the order they apply."""
    return keras.Sequential([AUGMENTATIONS[name]() for name in names.split("+")], name="augmentation")
