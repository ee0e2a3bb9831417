"""`train` turns a `RunConfig` into a row and a history."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import random

import keras
import numpy as np
import pandas as pd

from cnnkit import data, models
from cnnkit.callbacks import RunLog
from cnnkit.lab import recipes
from cnnkit.lab.config import RunConfig
from cnnkit.lab.feeding import Batches, pipeline
from cnnkit.lab.provenance import provenance

EVALUATION_BATCH = 256  # only speed depends on it
STEPS_PER_CALL = 16  # so many batches a call of the traced step: the same bits, and less of Python between them
FEW_IMAGES = 5000  # on fewer, tracing such a call costs more than it saves
_kept = {}  # the last compiled model of this process, by `_trace_key`: tracing costs more than a short run


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its config, its row (dict), its history (DataFrame, one line an epoch) and its trained model."""

    config: RunConfig
    row: dict
    history: pd.DataFrame
    model: keras.Model


def train(config, *, keep_traced=False):
    """Train one run; the test set is read once, after everything is chosen.

    Args:
        config: A `RunConfig`.
        keep_traced: Boolean. True reuses the compiled model of this process' last run where only weights, seeds, data
            and learning rate differ: the same bits, sooner, but the next such call overwrites `Run.model`.
    Returns:
        `Run`. A loss that is not finite ends it with the status `diverged`: its final losses are missing, its final
        accuracies are those of the network that came out, which calls every image class 0.
    Raises:
        ValueError: If the config does not fit the data or the model, before any training.
    """
    dataset = check(config)
    network, model_sha256 = _network(config, dataset)
    (x_train, y_train), val, test = _inputs(dataset)
    net, trained = _compiled(config, dataset, network, model_sha256, keep_traced)
    log = RunLog()
    keras.utils.set_random_seed(config.seed)
    batches = Batches(x_train, y_train, config.batch_size, config.seed)
    trained.fit(
        pipeline(batches),
        epochs=config.epochs,
        shuffle=False,  # the batches are shuffled already, image by image
        validation_data=val,
        callbacks=[log, *_callbacks(config)],
        verbose=0,
    )
    batches.close()
    history = pd.DataFrame(log.lines)
    finite = np.isfinite(history[["train_loss", "val_loss"]]).all(axis=None)
    test_scores = trained.evaluate(test, verbose=0, return_dict=True)
    row = {
        "run_id": config.run_id,
        **config.to_row(),
        **_outcome(history, finite, test_scores),
        "num_params": int(sum(np.prod(w.shape, dtype=int) for w in net.trainable_weights)),
        "epochs_run": len(history),
        "train_seconds": round(log.seconds, 3),
        "data_sha256": dataset.sha256,
        "model_sha256": model_sha256,
        **provenance(),
    }
    return Run(config, row, history, net)


def check(config):
    """Return the config's `Dataset`, having raised a ValueError if the batch size does not fit it."""
    dataset = data.load_dataset(config.dataset, train_size=config.train_size, seed=config.seed)
    if config.batch_size > len(dataset.x_train):
        raise ValueError(
            f"Expected batch_size of at most {len(dataset.x_train)}, the training images of {config.dataset}. "
            f"Received: batch_size={config.batch_size}."
        )
    return dataset


def failed_row(config, error):
    """Return the row of a run that ended with an exception."""
    return {"run_id": config.run_id, **config.to_row(), "status": "failed", "error": f"{type(error).__name__}: {error}"}


def fingerprint(config):
    """Return the `data_sha256` and `model_sha256` that a row of `config` made now would carry.

    Raises:
        ValueError: If the config does not fit the data or the model.
    """
    dataset = check(config)
    return {"data_sha256": dataset.sha256, "model_sha256": _network(config, dataset)[1]}


def architecture_digest(model):
    """Return the sha256 of a Keras model's architecture, without seeds and layer names, which count up in a process."""
    names = {layer.name: f"layer{i}" for i, layer in enumerate([model, *model._flatten_layers(include_self=False)])}

    def renamed(value):
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items() if key != "seed"}
        if isinstance(value, (list, tuple)):
            return [renamed(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    config = renamed(model.get_config())
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def _inputs(dataset):
    """Return a `Dataset` as Keras takes it: the arrays to train on, and what `evaluate` reads, validation and test.

    Images are float32 in [0, 1], labels one-hot.
    """
    one_hot = np.eye(dataset.num_classes, dtype="float32")
    train, *others = [
        (np.multiply(getattr(dataset, f"x_{split}"), 1 / 255, dtype="float32"), one_hot[getattr(dataset, f"y_{split}")])
        for split in ("train", "val", "test")
    ]
    return train, *(pipeline(Batches(x, y, EVALUATION_BATCH)) for x, y in others)


def _callbacks(config):
    callbacks = [keras.callbacks.TerminateOnNaN()]
    if config.ema is not None:
        # The average is in the model whenever another callback looks: early stopping has to restore an average too.
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if config.early_stopping is not None:
        callbacks.append(keras.callbacks.EarlyStopping(patience=config.early_stopping, restore_best_weights=True))
    return callbacks


def _compiled(config, dataset, network, model_sha256, keep_traced):
    """Return the network and the model to train: the network behind its augmentation, compiled, in its first state."""
    steps = config.epochs * math.ceil(len(dataset.x_train) / config.batch_size)
    steps_per_call = STEPS_PER_CALL if len(dataset.x_train) >= FEW_IMAGES else 1
    keras.utils.set_random_seed(config.seed)
    net, trained = _assembled(config, network)
    key = _trace_key(config, model_sha256, steps, steps_per_call)
    optimizer = recipes.make_optimizer(config, steps)
    optimizer.build(trained.trainable_variables)
    if keep_traced and key in _kept:
        kept_net, kept = _kept[key]
        fresh_state = trained.variables + optimizer.variables
        for old, new in zip(kept.variables + kept.optimizer.variables, fresh_state, strict=True):
            old.assign(new)
        return kept_net, kept
    loss = recipes.LOSSES[config.loss](config.label_smoothing)
    trained.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=steps_per_call)
    _kept.clear()
    if keep_traced:
        _kept[key] = net, trained
    return net, trained


def _network(config, dataset):
    """Return the network that a run's own is copied from, and its digest."""
    builder, args = models.get_builder(config.model), json.dumps(config.model_args)
    return _built(builder, args, dataset.input_shape, dataset.num_classes, config.precision)


@functools.lru_cache(maxsize=16)
def _built(builder, args, input_shape, num_classes, precision):
    with _precision(precision):
        network = models.create_model(builder.__name__, input_shape, num_classes, **json.loads(args))
    return network, architecture_digest(network)


@contextlib.contextmanager
def _precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _assembled(config, network):
    """Return the seeded network, and the model to train: the network alone or behind its augmentation."""
    with _precision(config.precision):
        net = _seeded(network, config.seed)
        if config.augmentation is None:
            return net, net
        augmentation = _seeded(recipes.make_augmentation(config.augmentation), config.seed)
        inputs = keras.Input(net.input_shape[1:])
        return net, keras.Model(inputs, net(augmentation(inputs)))


def _seeded(model, seed):
    """Return a copy of a model in which every initializer and every random layer has its own seed, drawn from `seed`.

    Left alone, Keras draws these seeds from Python's global `random`, into which a Dask worker's other threads dip too.
    """
    numbers = random.Random(seed)

    def filled(value):
        if isinstance(value, dict):
            free = "seed" in value and value["seed"] is None
            return {k: filled(v) for k, v in value.items()} | ({"seed": numbers.randrange(1, 2**31)} if free else {})
        return [filled(item) for item in value] if isinstance(value, (list, tuple)) else value

    return keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config(filled(layer.get_config()))
    )


def _trace_key(config, model_sha256, steps, steps_per_call):
    """Return all that a traced step depends on: a schedule's numbers are traced, a constant rate is a variable."""
    names = ["optimizer", "optimizer_args", "schedule", "loss", "label_smoothing", "augmentation", "ema", "precision"]
    key = [model_sha256, steps_per_call, *(getattr(config, name) for name in names)]
    if config.schedule != "constant":
        key += [config.schedule_args, config.learning_rate, steps]
    return json.dumps(key)


def _outcome(history, finite, test):
    last, best = history.iloc[-1], history.loc[history["val_accuracy"].idxmax()]
    metrics = {
        **{name: last[name] for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")},
        "best_val_loss": best["val_loss"],
        "best_val_accuracy": best["val_accuracy"],
        "test_loss": test["loss"],
        "test_accuracy": test["accuracy"],
    }
    metrics = {name: float(value) if np.isfinite(value) else None for name, value in metrics.items()}
    status = "completed" if finite else "diverged"
    return {"status": status, "error": None, "best_epoch": int(best["epoch"]), **metrics}
