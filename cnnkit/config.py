"""A run is a value: `RunConfig` says everything that decides a result, and `run_id` is its name."""

import dataclasses
import functools
import hashlib
import json
import math

import pandas as pd

from cnnkit import data, models, recipes

PRECISIONS = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result.

    Args:
        dataset: A name of `data.list_datasets()`, or `folder:PATH`.
        train_size: Images in the stratified training subset; None for all that validation leaves.
        model: A name of `models.list_models()`; `model_args` go to its builder.
        optimizer: A name of `recipes.OPTIMIZERS`; `optimizer_args` go to the Keras optimizer.
        learning_rate: The schedule's peak, above 0.
        schedule: A name of `recipes.SCHEDULES`; `schedule_args` go to it.
        batch_size: Images an update; the last batch of an epoch may be smaller.
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

    # A default is part of every id made with it: fields may be added, defaults never changed (tests/test_training.py).
    dataset: str = "digits"
    train_size: int | None = None
    model: str = "lenet5_modern"
    model_args: dict = dataclasses.field(default_factory=dict)
    optimizer: str = "sgd"
    optimizer_args: dict = dataclasses.field(default_factory=dict)
    learning_rate: float = 0.1
    schedule: str = "constant"
    schedule_args: dict = dataclasses.field(default_factory=dict)
    batch_size: int = 32
    epochs: int = 5
    loss: str = "crossentropy"
    augmentation: str | None = None
    label_smoothing: float = 0.0
    ema: float | None = None
    early_stopping: int | None = None
    precision: str = "float32"
    seed: int = 1

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
        changed = {name: value for name, value in dataclasses.asdict(self).items() if value != default[name]}
        return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:12]

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
        if not isinstance(value, dict):
            raise ValueError(f"Expected {name} to be a dict. Received: {name}={value!r}.")
        return json.loads(json.dumps(value))
    number = str(kind).split(" ")[0]
    if kind is int or number == "int":
        if isinstance(value, bool) or not float(value).is_integer():
            raise ValueError(f"Expected {name} to be a whole number. Received: {name}={value!r}.")
        return int(value)
    if kind is float or number == "float":
        return float(value)
    return str(value)


def _check_values(config):
    rules = {
        "learning_rate": (0 < config.learning_rate < math.inf, "learning_rate > 0"),
        "batch_size": (config.batch_size >= 1, "batch_size >= 1"),
        "epochs": (config.epochs >= 1, "epochs >= 1"),
        "train_size": (config.train_size is None or config.train_size >= 1, "train_size >= 1, or None for all"),
        "label_smoothing": (0 <= config.label_smoothing < 1, "label_smoothing in [0, 1)"),
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
    optimizer = recipes.check_name("optimizer", config.optimizer, recipes.OPTIMIZERS)
    recipes.check_args(f"optimizer_args of {config.optimizer}", optimizer, config.optimizer_args)
    schedule = recipes.check_name("schedule", config.schedule, recipes.SCHEDULES)
    recipes.check_args(f"schedule_args of {config.schedule}", schedule, config.schedule_args)
    recipes.check_name("loss", config.loss, recipes.LOSSES)
    for name in (config.augmentation or "").split("+") if config.augmentation is not None else ():
        recipes.check_name("augmentation", name, recipes.AUGMENTATIONS)
    if config.label_smoothing and config.loss != "crossentropy":
        raise ValueError(f"Expected label_smoothing=0 with loss={config.loss}. Received: {config.label_smoothing}.")
