"""A run is a value: `RunConfig` says everything that decides a result, and `run_id` is its name."""

import dataclasses
import functools
import hashlib
import json
import numbers
import reprlib
import typing

import numpy as np
import pandas as pd

from cnnkit import data, models
from cnnkit.lab import recipes

DEFAULTS = "0.2"  # the version whose defaults an id leaves out
MOST = 2**31  # whole numbers stay below
# What most runs of the course share: `RunConfig(dataset="mnist", epochs=10, **ONE_CYCLE)`.
COSINE = {"optimizer_args": {"momentum": 0.9}, "schedule": "cosine"}
ONE_CYCLE = COSINE | {"schedule": "one_cycle"}
TINY, HUGE = float(np.finfo("float32").tiny), float(np.finfo("float32").max)
NAMES = {"scaling": recipes.SCALINGS, "optimizer": recipes.OPTIMIZERS, "schedule": recipes.SCHEDULES}
NAMES |= {"loss": recipes.LOSSES, "last_batch": ("drop", "keep"), "precision": ("float32", "mixed_bfloat16")}
NAMES |= {"shuffle": ("each", "once", "never", "sorted")}
VALUES = {
    **dict.fromkeys(("train_size", "early_stopping"), (lambda v: v is None or v >= 1, ">= 1, or None")),
    **dict.fromkeys(("batch_size", "epochs", "validate_every"), (lambda v: v >= 1, ">= 1")),
    "seed": (lambda v: v >= 1, ">= 1 (keras-tuner takes 0 for no seed)"),
    "learning_rate": (lambda v: TINY <= v <= HUGE, f"> 0, as float32 holds it ({TINY:.2g} to {HUGE:.2g})"),
    "label_smoothing": (lambda v: 0 <= v < 1, "in [0, 1)"),
    "ema": (lambda v: v is None or 0 < v < 1, "in (0, 1), or None"),
}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result; a ValueError that lists what is valid if a name or value is not.

    A default is part of every id made with it: fields may be added, defaults never changed (tests/test_config.py).
    """

    dataset: str = "digits"  # a name of `data.list_datasets()`, `folder:PATH`, with a prefix of `data.CHANGES` or not
    train_size: int | None = None  # images in the stratified training subset; None for all that validation leaves
    scaling: str = "standard"  # of `recipes.SCALINGS`: what is done to pictures in [0, 1] before the network sees them
    model: str = "lenet5_modern"  # of `models.list_models()`
    model_args: dict = dataclasses.field(default_factory=dict)  # for its builder
    optimizer: str = "sgd"  # of `recipes.OPTIMIZERS`
    optimizer_args: dict = dataclasses.field(default_factory=dict)  # for the Keras optimizer
    learning_rate: float = 0.1  # the schedule's peak, above 0
    schedule: str = "constant"  # of `recipes.SCHEDULES`
    schedule_args: dict = dataclasses.field(default_factory=dict)  # what its function takes after the steps
    batch_size: int = 32  # images an update
    last_batch: str = "drop"  # images that fill no batch wait for the next shuffle; `keep`: they take a full step
    shuffle: str = "each"  # a new order every epoch; or one: drawn `once`, the data's (`never`), `sorted` by class
    epochs: int = 5  # passes over the training set
    loss: str = "crossentropy"  # of `recipes.LOSSES`
    augmentation: str | None = None  # names of `recipes.AUGMENTATIONS` and `MIXINGS` joined by `+`
    label_smoothing: float = 0.0  # share of the label spread over all classes, in [0, 1)
    regularization: dict = dataclasses.field(default_factory=dict)  # of kernels: `recipes.REGULARIZATION`
    ema: float | None = None  # momentum in (0, 1) of the moving average of weights (no statistics) that is evaluated
    early_stopping: int | None = None  # epochs without a better `val_loss`: then stop and restore the best weights
    validate_every: int = 1  # epochs from one look at the validation set to the next; the last two always have one
    log_training: bool = False  # whether the history has training loss and accuracy as evaluated after every epoch
    precision: str = "float32"  # or `mixed_bfloat16`
    seed: int = 1  # at least 1: decides split, initial weights, order, augmentation and dropout

    def __new__(cls, /, *args, **fields):  # else an unknown field would be a TypeError without the list of the known
        if unknown := sorted(set(fields) - set(cls.__dataclass_fields__)):
            known = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"Expected fields of a run out of {known}. Received: {', '.join(unknown)}.")
        return super().__new__(cls)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name), field.type))
        for name, (is_fine, expected) in VALUES.items():
            if not is_fine(value := getattr(self, name)):
                raise ValueError(f"Expected {name} {expected}. Received: {name}={value!r}.")
        for name, table in NAMES.items():
            recipes.check_name(name, getattr(self, name), table)
        for name in self.augmentation.split("+") if self.augmentation is not None else ():
            recipes.check_name("augmentation", name, recipes.AUGMENTATIONS | recipes.MIXINGS)
        if self.loss != "crossentropy" and (self.label_smoothing or recipes.mixings(self)):
            received = f"label_smoothing={self.label_smoothing}, augmentation={self.augmentation}, loss={self.loss}"
            expected = "Expected labels that are smoothed or mixed (mixup, cutmix) for the loss crossentropy alone"
            raise ValueError(f"{expected}. Received: {received}.")
        if self.early_stopping is not None and self.validate_every > 1:
            received = f"early_stopping={self.early_stopping}, validate_every={self.validate_every}"
            raise ValueError(f"Expected validate_every=1 with early stopping. Received: {received}.")
        data.check_name(self.dataset)
        models.check_args(self.model, self.model_args)
        recipes.check_args(self)

    def __hash__(self):
        return hash(self.run_id)

    @functools.cached_property
    def run_id(self):
        """The first 12 hex digits of the sha256 of this config's canonical JSON, in which defaults are left out."""
        default = _defaults()
        changed = {name: _canonical(getattr(self, name)) for name in default if getattr(self, name) != default[name]}
        changed["defaults"] = DEFAULTS
        return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:12]

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_row(self):
        """Return the fields as the columns of a row: dicts as JSON text."""
        fields = dataclasses.asdict(self)
        return {k: json.dumps(v, sort_keys=True) if isinstance(v, dict) else v for k, v in fields.items()}

    @classmethod
    def from_row(cls, row):
        """Return the config that a row of `runs.csv` (a mapping) was made from."""
        known = [field for field in dataclasses.fields(cls) if field.name in row and not pd.isna(row[field.name])]
        texts = {field.name: row[field.name] for field in known}  # a younger field has its default
        return cls(**texts | {field.name: json.loads(texts[field.name]) for field in known if field.type is dict})


@functools.cache
def _defaults():
    return dataclasses.asdict(RunConfig())


def _plain(name, value, kind):
    """Return `value` as the plain Python type that JSON keeps (tuples in a dict are lists), or raise a ValueError."""
    kind, *none = typing.get_args(kind) or (kind,)
    if none and value is None:
        return None
    if kind is str:
        return str(value)
    if kind is bool:
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"Expected {name} to be true or false. Received: {name}={value!r}.")
        return bool(value)
    if kind is dict:
        try:
            return json.loads(json.dumps({**value}, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            expected = f"Expected {name} to be a dict of numbers, texts, lists and dicts."
            raise ValueError(f"{expected} Received: {name}={reprlib.repr(value)} ({error}).") from None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"Expected {name} to be a number. Received: {name}={value!r}.")
    if kind is int and not (-MOST < value < MOST and float(value).is_integer()):
        raise ValueError(f"Expected {name} to be a whole number below {MOST:,}. Received: {name}={str(value)[:40]}.")
    return kind(value)


def _canonical(value):
    """Write 1.0 in a dict as 1: equal dicts have equal ids. Only the id does so, Keras wants some numbers as floats."""
    if not isinstance(value, dict):
        return value
    return json.loads(json.dumps(value), parse_float=lambda t: int(float(t)) if float(t).is_integer() else float(t))
