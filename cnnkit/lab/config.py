"""A run is a value: `RunConfig` says everything that decides a result, and `run_id` is its name."""

import dataclasses
import functools
import hashlib
import json
import numbers
import reprlib

import pandas as pd

from cnnkit import data, models
from cnnkit.lab import recipes

DEFAULTS = "0.2"  # the version whose defaults an id leaves out
PRECISIONS = ("float32", "mixed_bfloat16")
LAST_BATCHES = ("drop", "keep")
MOST = 2**31  # whole numbers stay below


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result.

    Args:
        dataset: A name of `data.list_datasets()`, `folder:PATH`, or `permuted:` before one of these.
        train_size: Images in the stratified training subset; None for all that validation leaves.
        scaling: A name of `recipes.SCALINGS`: what is done to pictures in [0, 1] before the network sees them.
        model: A name of `models.list_models()`; `model_args` go to its builder.
        optimizer: A name of `recipes.OPTIMIZERS`; `optimizer_args` go to the Keras optimizer.
        learning_rate: The schedule's peak, above 0.
        schedule: A name of `recipes.SCHEDULES`; `schedule_args` go to it.
        batch_size: Images an update.
        last_batch: `drop`: the images that fill no batch wait for the next shuffle. `keep`: they take a full step.
        epochs: Passes over the training set.
        loss: A name of `recipes.LOSSES`.
        augmentation: Names of `recipes.AUGMENTATIONS` joined by `+`, or None.
        label_smoothing: Share of the label spread over all classes, in [0, 1).
        ema: Momentum in (0, 1) of the moving average of the weights that is evaluated, or None. Batch
            normalization's statistics are not averaged.
        early_stopping: Epochs without a better `val_loss` after which to stop and restore the best weights, or None.
        precision: `float32` or `mixed_bfloat16`.
        seed: Decides split, initial weights, order, augmentation and dropout; at least 1.
    Raises:
        ValueError: If a name is unknown or a value impossible; the message lists what is valid.
    """

    # A default is part of every id made with it: fields may be added, defaults never changed (tests/test_config.py).
    dataset: str = "digits"
    train_size: int | None = None
    scaling: str = "standard"
    model: str = "lenet5_modern"
    model_args: dict = dataclasses.field(default_factory=dict)
    optimizer: str = "sgd"
    optimizer_args: dict = dataclasses.field(default_factory=dict)
    learning_rate: float = 0.1
    schedule: str = "constant"
    schedule_args: dict = dataclasses.field(default_factory=dict)
    batch_size: int = 32
    last_batch: str = "drop"
    epochs: int = 5
    loss: str = "crossentropy"
    augmentation: str | None = None
    label_smoothing: float = 0.0
    ema: float | None = None
    early_stopping: int | None = None
    precision: str = "float32"
    seed: int = 1

    def __new__(cls, /, *args, **fields):  # else an unknown field would be a TypeError without the list of the known
        if unknown := sorted(set(fields) - set(cls.__dataclass_fields__)):
            raise ValueError(
                f"Expected fields of a run out of {', '.join(cls.__dataclass_fields__)}. "
                f"Received: {', '.join(unknown)}."
            )
        return super().__new__(cls)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name), field.type))
        _check_values(self)
        _check_names(self)

    def __hash__(self):
        return hash(self.run_id)

    @functools.cached_property
    def run_id(self):
        """The first 12 hex digits of the sha256 of this config's canonical JSON, in which defaults are left out."""
        default = _defaults()
        changed = {name: _canonical(getattr(self, name)) for name in default if getattr(self, name) != default[name]}
        text = json.dumps(changed | {"defaults": DEFAULTS}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_row(self):
        """Return the fields as the columns of a row: dicts as JSON text."""
        return {
            k: json.dumps(v, sort_keys=True) if isinstance(v, dict) else v for k, v in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_row(cls, row):
        """Return the config that a row of `runs.csv` (a mapping) was made from."""
        fields = {field.name: row[field.name] for field in dataclasses.fields(cls) if field.name in row}
        fields = {name: None if pd.isna(value) else value for name, value in fields.items()}
        return cls(**{k: json.loads(v) if k.endswith("_args") else v for k, v in fields.items()})


@functools.cache
def _defaults():
    return {f.name: {} if f.default is dataclasses.MISSING else f.default for f in dataclasses.fields(RunConfig)}


def _plain(name, value, kind):
    """Return `value` as the plain Python type that JSON keeps, or raise a ValueError."""
    if value is None and "None" in str(kind):
        return None
    if kind is dict:
        return _plain_dict(name, value)
    if kind is str or str(kind).startswith("str"):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"Expected {name} to be a number. Received: {name}={value!r}.")
    if kind is float or str(kind).startswith("float"):
        return float(value)
    if not (-MOST < value < MOST and float(value).is_integer()):
        raise ValueError(f"Expected {name} to be a whole number below {MOST:,}. Received: {name}={str(value)[:40]}.")
    return int(value)


def _plain_dict(name, value):
    """Return a dict as JSON keeps it: tuples are lists."""
    try:
        if not isinstance(value, dict):
            raise TypeError("no dict")
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected {name} to be a dict of numbers, texts, lists and dicts. "
            f"Received: {name}={reprlib.repr(value)} ({error})."
        ) from None


def _canonical(value):
    """Write 1.0 in a dict as 1: equal dicts have equal ids. Only the id does so, Keras wants some numbers as floats."""
    if not isinstance(value, dict):
        return value
    return json.loads(json.dumps(value), parse_float=lambda t: int(float(t)) if float(t).is_integer() else float(t))


def _check_values(config):
    smoothed = config.label_smoothing != 0
    rules = {
        "learning_rate": (
            recipes.TINY <= config.learning_rate <= recipes.HUGE,
            f"learning_rate > 0, as float32 holds it ({recipes.TINY:.2g} to {recipes.HUGE:.2g})",
        ),
        "scaling": (config.scaling in recipes.SCALINGS, f"scaling to be one of {', '.join(recipes.SCALINGS)}"),
        "batch_size": (config.batch_size >= 1, "batch_size >= 1"),
        "last_batch": (config.last_batch in LAST_BATCHES, f"last_batch to be one of {', '.join(LAST_BATCHES)}"),
        "epochs": (config.epochs >= 1, "epochs >= 1"),
        "train_size": (config.train_size is None or config.train_size >= 1, "train_size >= 1, or None for all"),
        "label_smoothing": (
            0 <= config.label_smoothing < 1 and (config.loss == "crossentropy" or not smoothed),
            "label_smoothing in [0, 1), and 0 but for the loss crossentropy",
        ),
        "ema": (config.ema is None or 0 < config.ema < 1, "ema in (0, 1), or None"),
        "early_stopping": (config.early_stopping is None or config.early_stopping >= 1, "early_stopping >= 1, or None"),
        "precision": (config.precision in PRECISIONS, f"precision to be one of {', '.join(PRECISIONS)}"),
        "seed": (config.seed >= 1, "seed >= 1 (keras-tuner takes 0 for no seed)"),
    }
    for name, (fine, expected) in rules.items():
        if not fine:
            raise ValueError(f"Expected {expected}. Received: {name}={getattr(config, name)!r}.")


def _check_names(config):
    data.check_name(config.dataset)
    models.check_args(config.model, config.model_args)
    recipes.check_name("loss", config.loss, recipes.LOSSES)
    for name in config.augmentation.split("+") if config.augmentation is not None else ():
        recipes.check_name("augmentation", name, recipes.AUGMENTATIONS)
    texts = (json.dumps(args, sort_keys=True) for args in (config.optimizer_args, config.schedule_args))
    recipes.check_recipe(config.optimizer, config.schedule, *texts)
