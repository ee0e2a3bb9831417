"""A run is a value: what it may be, and its name, which never changes."""

import functools
import inspect
import io
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cnnkit import models
from cnnkit.data import list_datasets
from cnnkit.lab import recipes, training
from cnnkit.lab.config import RunConfig

# These names stand in committed tables: a change here would orphan their rows.
PINNED = {
    "e3fab24cb4fb": {},
    "a19f41458897": {"learning_rate": 0.05, "seed": 3},
    "b402d4c6db12": {"optimizer_args": {"momentum": 0.9, "nesterov": True}, "train_size": 1000},
}
DEFAULTS = {
    "dataset": "digits",
    "train_size": None,
    "scaling": "standard",
    "model": "lenet5_modern",
    "model_args": {},
    "optimizer": "sgd",
    "optimizer_args": {},
    "learning_rate": 0.1,
    "schedule": "constant",
    "schedule_args": {},
    "batch_size": 32,
    "last_batch": "drop",
    "shuffle": "each",
    "epochs": 5,
    "loss": "crossentropy",
    "augmentation": None,
    "label_smoothing": 0.0,
    "regularization": {},
    "ema": None,
    "early_stopping": None,
    "validate_every": 1,
    "log_training": False,
    "precision": "float32",
    "seed": 1,
}
EVERYTHING = {
    "dataset": "shapes",
    "train_size": 500,
    "scaling": "centred",
    "model": "mlp",
    "model_args": {"units": (64, 32), "dropout_rate": 0.5},
    "optimizer": "adamw",
    "optimizer_args": {"weight_decay": 0.01, "beta_1": 0.8},
    "learning_rate": 0.002,
    "schedule": "step",
    "schedule_args": {"drop": 0.2, "at": [0.5, 0.8]},
    "batch_size": 16,
    "last_batch": "keep",
    "shuffle": "once",
    "epochs": 2,
    "augmentation": "flip+mixup",
    "label_smoothing": 0.1,
    "regularization": {"l1": 1e-5, "l2": 1e-4, "max_norm": 3},
    "ema": 0.9,
    "early_stopping": 3,
    "validate_every": 1,
    "log_training": True,
    "precision": "mixed_bfloat16",
    "seed": 7,
}


DEEP = functools.reduce(lambda inner, _: [inner], range(100_000), [])
IMPOSSIBLE = [("clipnorm", -1), ("weight_decay", "x"), ("nesterov", "maybe"), ("gradient_accumulation_steps", 0)]
IMPOSSIBLE += [("loss_scale_factor", 0), ("ema_overwrite_frequency", 1), ("momentum", math.inf)]


def refuse(pattern, **fields):
    with pytest.raises(ValueError, match=pattern) as caught:
        RunConfig(**fields)
    return str(caught.value)


@pytest.mark.parametrize(
    "field, value, valid",
    [
        ("dataset", "mnits", list_datasets()),
        ("model", "lenet", models.list_models()),
        ("optimizer", "sdg", recipes.OPTIMIZERS),
        ("schedule", "cosin", recipes.SCHEDULES),
        ("loss", "mse", recipes.LOSSES),
        ("scaling", "zscore", recipes.SCALINGS),
        ("last_batch", "pad", ["drop", "keep"]),
        ("shuffle", "batch", ["each", "once", "never", "sorted"]),
        ("augmentation", "flop", recipes.AUGMENTATIONS),
        ("augmentation", "", recipes.AUGMENTATIONS),
        ("precision", "float16", ["float32", "mixed_bfloat16"]),
        ("model_args", {"width": 3}, []),
        ("regularization", {"l3": 0.1}, ["l1", "l2", "max_norm"]),
        ("regularization", {"max_norm": 0}, ["> 0"]),
        ("optimizer_args", {"momentom": 0.9}, ["momentum", "nesterov"]),
        ("optimizer_args", {"learning_rate": 0.9}, ["momentum", "nesterov"]),
        ("schedule_args", {"end": 0.1}, ["none"]),
        ("learning_rte", 0.1, DEFAULTS),
    ],
)
def test_an_unknown_name_lists_the_valid_ones(field, value, valid):
    message = refuse("Expected .*Received: ", **{field: value})
    assert all(name in message for name in valid)
    assert (next(iter(value)) if isinstance(value, dict) else str(value) if field in DEFAULTS else field) in message


def test_the_message_names_the_augmentation_that_is_unknown():
    refuse("augmentation='flop'", augmentation="flip+flop")


def test_arguments_of_a_schedule_are_listed_without_what_the_config_sets():
    assert "among warmup, end." in refuse("schedule_args of cosine", schedule="cosine", schedule_args={"rate": 1})
    assert refuse("optimizer_args of sgd among", optimizer_args={"ema_momentum": 0.9}).count("ema_momentum") == 1


@pytest.mark.parametrize(
    "field, value",
    [
        *[("learning_rate", value) for value in (0, -0.1, math.nan, math.inf, True, "0.1", None, 1e-320, 1e308)],
        *[("seed", value) for value in (0, -1, 1.5, True, "1", None)],
        *[("batch_size", value) for value in (0, -1, 0.5, math.nan, math.inf, None)],
        *[("epochs", value) for value in (0, -1, False, 10**400, math.inf)],
        *[("train_size", value) for value in (0, -5, 10.5, "all")],
        *[("ema", value) for value in (0, 1, -0.1, math.nan, True)],
        *[("label_smoothing", value) for value in (-0.1, 1, math.nan, None)],
        *[("early_stopping", value) for value in (0, -1, True)],
        *[("model_args", value) for value in (None, "a", {"units": {1, 2}}, {"units": math.nan}, {"units": DEEP})],
        *[("optimizer_args", value) for value in ([], {"momentum": 2}, {"momentum": "a"})],
        *[("optimizer_args", {name: value}) for name, value in IMPOSSIBLE],
    ],
)
def test_an_impossible_value_is_refused(field, value):
    assert field in refuse("Expected .*Received: ", **{field: value})


@pytest.mark.parametrize("value", [-1, 1, 5, True, "x"])
def test_an_impossible_value_of_another_optimizer_is_refused(value):
    refuse("Expected beta_1 of adam in \\[0, 1\\)", optimizer="adam", optimizer_args={"beta_1": value})


@pytest.mark.parametrize(
    "schedule, args",
    [
        *[("cosine", {"end": value}) for value in (-1.0, 2.0, "a")],
        *[("cosine", {"warmup": value}) for value in (2.0, 1, -0.1)],
        *[("exponential", {"end": value}) for value in (-1.0, 0.0, 2.0, "a")],
        *[("polynomial", {"power": value}) for value in (-1.0, 0)],
        *[("step", {"at": value}) for value in ([0.75, 0.5], [0.5, 1.5], [0.5, 0.5], [0, 0.5], [], "half", 0.5)],
        *[("step", {"drop": value}) for value in (-0.1, 0, 1, 2)],
        ("polynomial", {"end": -3}),
        ("warmup", {"share": 5.0}),
        ("one_cycle", {"share": 0}),
    ],
)
def test_an_impossible_value_of_a_schedule_is_refused(schedule, args):
    refuse(
        f"Expected {next(iter(args))} of {schedule} .*Received: schedule_args=", schedule=schedule, schedule_args=args
    )


@pytest.mark.parametrize("optimizer", recipes.OPTIMIZERS)
def test_every_argument_of_an_optimizer_has_a_rule_or_is_the_configs(optimizer):
    taken = set(inspect.signature(recipes.OPTIMIZERS[optimizer]).parameters)
    fields = {"learning_rate", "use_ema", "ema_momentum", "ema_overwrite_frequency", "name", "kwargs"}
    assert taken - fields <= set(recipes.OPTIMIZER_ARGS)


@pytest.mark.parametrize("schedule", recipes.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 20, 1000])
def test_every_update_of_a_schedule_has_a_rate_from_above_0_to_the_peak(schedule, steps):
    optimizer = recipes.make_optimizer(RunConfig(schedule=schedule, learning_rate=0.4), steps)
    rate = optimizer._learning_rate if schedule != "constant" else lambda step: 0.4
    rates = np.array([float(rate(step)) for step in range(steps)])
    assert (rates > 0).all() and rates.max() <= 0.4 * (1 + 1e-6)
    if steps == 1000:
        assert rates.max() > 0.399
        assert rates[-1] < 0.05 or schedule in ("constant", "warmup")


def test_a_config_runs_no_operation():
    code = "from cnnkit.lab.config import RunConfig; RunConfig(optimizer_args={'momentum': 0.9}, schedule='cosine')"
    code += "; from tensorflow.python.eager.context import context; print(context()._initialized)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr  # else the number of threads could not be set any more


@pytest.mark.parametrize("optimizer", recipes.OPTIMIZERS)
def test_keras_takes_what_the_rules_accept(optimizer):
    good = {"nesterov": True, "amsgrad": True, "centered": True, "gradient_accumulation_steps": 2}
    good |= {"learning_rate_power": -0.5, "clipnorm": 1.0}
    taken = inspect.signature(recipes.OPTIMIZERS[optimizer]).parameters
    rules = [name for name in recipes.OPTIMIZER_ARGS if name in taken and name not in ("global_clipnorm", "clipvalue")]
    args = {name: good.get(name, 0.5) for name in rules}
    config = RunConfig(optimizer=optimizer, optimizer_args=args)
    assert float(recipes.make_optimizer(config, 10).learning_rate) == pytest.approx(0.1)


def test_a_gradient_is_clipped_in_one_way():
    refuse("Expected one way of clipping", optimizer_args={"clipnorm": 1, "clipvalue": 1})


def test_smoothed_labels_need_probabilities():
    refuse("for the loss crossentropy alone", loss="hinge", label_smoothing=0.1)
    refuse("for the loss crossentropy alone", loss="hinge", augmentation="flip+cutmix")


def test_a_batch_larger_than_the_set_is_refused():
    training.check(RunConfig(train_size=100, batch_size=100))
    with pytest.raises(ValueError, match=r"batch_size of at most 100, .* of digits\. Received: batch_size=101"):
        training.check(RunConfig(train_size=100, batch_size=101))


@pytest.mark.parametrize("train_size", [9, 1290, 10**6])
def test_an_impossible_train_size_is_refused(train_size):
    with pytest.raises(ValueError, match=rf"Expected train_size .* of digits.* Received: train_size={train_size}"):
        training.check(RunConfig(train_size=train_size))


def test_a_model_that_does_not_fit_the_images_is_refused():
    with pytest.raises(ValueError, match=r"for lenet5.* Received: input_shape=\(32, 32, 3\)"):
        training.fingerprint(RunConfig(dataset="shapes", model="lenet5"))


def test_defaults_never_change():
    assert RunConfig().to_row() == {k: "{}" if v == {} else v for k, v in DEFAULTS.items()}


@pytest.mark.parametrize("run_id, fields", PINNED.items())
def test_ids_never_change(run_id, fields):
    assert RunConfig(**fields).run_id == run_id


@pytest.mark.parametrize(
    "one, other",
    [
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"seed": 2}, {"seed": np.int64(2)}),
        ({"epochs": 4.0}, {"epochs": 4}),
        ({"model": "mlp", "model_args": {"units": (8, 4)}}, {"model": "mlp", "model_args": {"units": [8, 4]}}),
        ({"model": "mlp", "model_args": {"l2": 0}}, {"model": "mlp", "model_args": {"l2": 0.0}}),
        ({"optimizer": "adam", "optimizer_args": {"beta_1": 0.8, "beta_2": 0.9}},
         {"optimizer": "adam", "optimizer_args": {"beta_2": 0.9, "beta_1": 0.8}}),
        (DEFAULTS, {}),
    ],
)  # fmt: skip
def test_equal_configs_have_equal_ids(one, other):
    one, other = RunConfig(**one), RunConfig(**other)
    assert one == other and one.run_id == other.run_id and hash(one) == hash(other)


def test_every_field_is_part_of_the_id():
    changed = {**EVERYTHING, "loss": "hinge", "label_smoothing": 0, "validate_every": 2}
    base = RunConfig(model="mlp", optimizer="adamw", schedule="step")
    ids = {base.replace(**{name: value}).run_id for name, value in changed.items() if name != "label_smoothing"}
    ids.add(base.replace(label_smoothing=0.1).run_id)
    assert len(ids | {base.run_id}) == len(DEFAULTS) - 3 + 1  # model, optimizer and schedule are those of the base


def test_arguments_given_are_not_shared_with_the_caller():
    args = {"momentum": 0.9}
    config = RunConfig(optimizer_args=args)
    run_id = RunConfig(optimizer_args={"momentum": 0.9}).run_id
    args["momentum"] = 0.5
    assert config.run_id == run_id


@pytest.mark.parametrize("fields", [{}, EVERYTHING, {"model": "mlp", "model_args": {"units": []}}])
def test_a_row_gives_its_config_back_also_through_csv(fields):
    config = RunConfig(**fields)
    assert RunConfig.from_row(config.to_row()) == config
    frame = pd.DataFrame([config.to_row(), RunConfig().to_row(), RunConfig(train_size=100, ema=0.5).to_row()])
    text = frame.to_csv(index=False)
    read = pd.read_csv(io.StringIO(text))
    again = RunConfig.from_row(read.iloc[0])
    assert again == config and again.run_id == config.run_id


def test_a_row_older_than_a_field_has_its_default():
    config = RunConfig(model="mlp", seed=3)
    old = {name: value for name, value in config.to_row().items() if name != "log_training"}
    assert RunConfig.from_row(old) == config == RunConfig.from_row(old | {"log_training": math.nan})
    refuse("validate_every=1 with early stopping", early_stopping=3, validate_every=2)
    refuse("log_training to be true or false. Received: log_training='no'", log_training="no")
