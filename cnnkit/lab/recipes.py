"""What a `RunConfig` can name: optimizers, schedules, losses and augmentations, as Keras objects."""

import inspect

import keras
import numpy as np
from keras import ops
from keras.optimizers import schedules

CLASSES = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "Adamax", "Nadam", "Ftrl", "Lion")
OPTIMIZERS = {name.lower(): getattr(keras.optimizers, name) for name in CLASSES}


def _step(rate, steps, drop=0.1, at=(0.5, 0.75)):
    boundaries = [round(steps * share) for share in at]
    return schedules.PiecewiseConstantDecay(boundaries, [rate * drop**k for k in range(len(at) + 1)])


def _cosine(rate, steps, warmup=0.0, end=0.0):
    first = round(steps * warmup)
    if first < 2:
        return schedules.CosineDecay(rate, steps, end)
    # Keras starts a warm-up at its first argument, and an update at rate 0 is none.
    return schedules.CosineDecay(rate / first, steps - first + 1, end, warmup_target=rate, warmup_steps=first - 1)


# Each takes the peak learning rate and the run's number of steps; shares are of these steps, ends are of the peak.
SCHEDULES = {
    "constant": lambda rate, steps: rate,
    "step": _step,
    "exponential": lambda rate, steps, end=0.01: schedules.ExponentialDecay(rate, max(steps - 1, 1), end),
    "polynomial": lambda rate, steps, power=1.0, end=0.0: schedules.PolynomialDecay(rate, steps, rate * end, power),
    "cosine": _cosine,
    "warmup": lambda rate, steps, share=0.1: _cosine(rate, steps, share, end=1.0),  # a cosine from 1 to 1 is constant
    "one_cycle": lambda rate, steps, share=0.3: _cosine(rate, steps, share),
}


def multiclass_hinge(y_true, y_pred):
    """Return `(batch,)`: the sum over the wrong classes of max(0, 1 + score - right score); both `(batch, classes)`.

    Source: Weston and Watkins 1999, margin 1; Keras' CategoricalHinge keeps only the worst wrong class.
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
    "erase": lambda: keras.layers.RandomErasing(scale=(0.02, 0.2), value_range=(0, 1)),  # Zhong et al. 2017
    # A grey square of half the side in every picture. DeVries and Taylor 2017; theirs may reach beyond the edge.
    "cutout": lambda: keras.layers.RandomErasing((1.0, 1.0), (0.25, 0.25), 0.5, value_range=(0, 1)),
    "randaugment": lambda: keras.layers.RandAugment(value_range=(0, 1)),  # Cubuk et al. 2020: two of eleven changes
}


def mixup(numbers, x, y):
    """Mix a batch's pictures `x` and one-hot labels `y` with those of another order, by one weight of a batch.

    Source: Zhang et al. 2018, alpha 1, as on CIFAR-10. `numbers` is a NumPy Generator.
    """
    share, other = np.float32(numbers.random()), numbers.permutation(len(x))
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


def cutmix(numbers, x, y):
    """Lay a window of other pictures over those of a batch; their labels count by area. As `mixup`; Yun et al. 2019."""
    half, other, mixed = np.sqrt(numbers.random()) / 2, numbers.permutation(len(x)), x.copy()
    middles = [int(numbers.integers(side)) for side in x.shape[1:3]]
    rows, columns = (
        slice(max(0, round(middle - half * side)), min(side, round(middle + half * side)))
        for middle, side in zip(middles, x.shape[1:3], strict=True)
    )
    mixed[:, rows, columns] = x[other, rows, columns]
    share = np.float32(mixed[0, rows, columns, 0].size / x[0, :, :, 0].size)
    return mixed, (1 - share) * y + share * y[other]


MIXINGS = {"mixup": mixup, "cutmix": cutmix}  # of whole batches and their labels; the layers above come after them


def mixings(config):
    """Return the functions of `MIXINGS` in a `RunConfig`'s augmentation."""
    return [MIXINGS[name] for name in (config.augmentation or "").split("+") if name in MIXINGS]


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_rising_shares(values):
    return isinstance(values, list) and values and all(map(INSIDE[0], values)) and values == sorted(set(values))


SHARE = (lambda v: _is_number(v) and 0 <= v < 1, "in [0, 1)")
FRACTION = (lambda v: _is_number(v) and 0 <= v <= 1, "in [0, 1]")
INSIDE = (lambda v: _is_number(v) and 0 < v < 1, "in (0, 1)")
POSITIVE = (lambda v: _is_number(v) and v > 0, "> 0")
NOT_NEGATIVE = (lambda v: _is_number(v) and v >= 0, ">= 0")
SWITCH = (lambda v: isinstance(v, bool), "true or false")

# Keras takes nearly any value: what an optimizer's argument may be, where the optimizer has it.
OPTIMIZER_ARGS = {
    **dict.fromkeys(("momentum", "beta_1", "beta_2", "rho"), SHARE),
    **dict.fromkeys(("epsilon", "clipnorm", "global_clipnorm", "clipvalue", "loss_scale_factor"), POSITIVE),
    **dict.fromkeys(("weight_decay", "initial_accumulator_value", "beta"), NOT_NEGATIVE),
    **dict.fromkeys((f"l{kind}_regularization_strength" for kind in ("1", "2", "2_shrinkage")), NOT_NEGATIVE),
    **dict.fromkeys(("nesterov", "amsgrad", "centered"), SWITCH),
    "gradient_accumulation_steps": (lambda v: isinstance(v, int) and v >= 2, "a whole number >= 2"),
    "learning_rate_power": (lambda v: _is_number(v) and v <= 0, "<= 0"),
}
SCHEDULE_ARGS = {
    "constant": {},
    "step": {"drop": INSIDE, "at": (_are_rising_shares, "rising shares of the run, in (0, 1)")},
    "exponential": {"end": (lambda v: _is_number(v) and 0 < v <= 1, "in (0, 1]")},
    "polynomial": {"power": POSITIVE, "end": FRACTION},
    "cosine": {"warmup": SHARE, "end": FRACTION},
    "warmup": {"share": INSIDE},
    "one_cycle": {"share": INSIDE},
}
REGULARIZATION = {"l1": NOT_NEGATIVE, "l2": NOT_NEGATIVE, "max_norm": POSITIVE}


def check_name(what, name, table):
    """Raise a ValueError that lists the names there are unless `name` is in `table`."""
    if name not in table:
        raise ValueError(f"Expected {what} to be one of {', '.join(table)}. Received: {what}={name!r}.")


def check_args(config):
    """Raise a ValueError unless a `RunConfig`'s optimizer and schedule take their arguments."""
    # Keras is not asked: to make an optimizer runs an operation, after which the number of threads cannot be set.
    taken = inspect.signature(OPTIMIZERS[config.optimizer]).parameters
    rules = {name: rule for name, rule in OPTIMIZER_ARGS.items() if name in taken}
    _check_args("optimizer_args", config.optimizer, config.optimizer_args, rules)
    _check_args("schedule_args", config.schedule, config.schedule_args, SCHEDULE_ARGS[config.schedule])
    _check_args("regularization", "a run", config.regularization, REGULARIZATION)
    clips = sorted({"clipnorm", "global_clipnorm", "clipvalue"} & set(config.optimizer_args))
    if len(clips) > 1:
        raise ValueError(f"Expected one way of clipping. Received: optimizer_args with {' and '.join(clips)}.")


def _check_args(what, owner, args, rules):
    for name, value in args.items():
        if name not in rules:
            raise ValueError(f"Expected {what} of {owner} among {', '.join(rules) or 'none'}. Received: {name}.")
        is_fine, expected = rules[name]
        if not is_fine(value):
            raise ValueError(f"Expected {name} of {owner} {expected}. Received: {what}={args}.")


def make_optimizer(config, steps):
    """Return the Keras optimizer of a `RunConfig` whose run takes `steps` updates."""
    rate = SCHEDULES[config.schedule](config.learning_rate, steps, **config.schedule_args)
    average = {} if config.ema is None else {"use_ema": True, "ema_momentum": config.ema}
    return OPTIMIZERS[config.optimizer](learning_rate=rate, **config.optimizer_args, **average)


def regularize(network, l1=0.0, l2=0.0, max_norm=None):
    """Add `l1` times the sum of all kernels' sizes and `l2` times that of their squares to a network's loss.

    No unit's weights are longer than `max_norm`. Kernels are weights of two axes and more: biases and scales are free.
    """
    for kernel in [weight for weight in network.trainable_variables if len(weight.shape) > 1]:
        if l1 or l2:
            kernel.regularizer = keras.regularizers.L1L2(l1, l2)
        if max_norm:
            kernel.constraint = keras.constraints.MaxNorm(max_norm, axis=list(range(len(kernel.shape) - 1)))


@keras.saving.register_keras_serializable(package="cnnkit")
class Scaling(keras.layers.Layer):
    """Multiply each channel by its `scale`, add its `offset`: weights, as one traced step serves all seeds' splits."""

    def build(self, input_shape):
        channels, fixed = input_shape[-1:], {"trainable": False}
        self.scale = self.add_weight(shape=channels, initializer="ones", name="scale", **fixed)
        self.offset = self.add_weight(shape=channels, initializer="zeros", name="offset", **fixed)

    def call(self, inputs):
        return inputs * self.scale + self.offset


# From a channel's mean and deviation over the training images to what pictures in [0, 1] are multiplied by and moved.
SCALINGS = {
    "standard": lambda mean, deviation: (1 / deviation, -mean / deviation),
    "centred": lambda mean, deviation: (np.ones_like(mean), -mean),
    "unit": None,
    "raw": lambda mean, deviation: (np.full_like(mean, 255.0), np.zeros_like(mean)),
}


def make_scaling(name, means, deviations):
    """Return the built layer of a scaling, None for "unit"; both arrays `(channels,)`, of training images in [0, 1]."""
    if SCALINGS[name] is None:
        return None
    layer = Scaling(dtype="float32", name="scaling")
    layer.build((None, None, None, len(means)))
    layer.set_weights(SCALINGS[name](means, np.where(deviations > 0, deviations, 1.0)))
    return layer
