"""`train` turns a `RunConfig` into a row and a history."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import random

import keras
import numpy as np
import pandas as pd
from keras.src.random import seed_generator
from scipy.special import logsumexp

from cnnkit import data, models
from cnnkit.callbacks import RunLog
from cnnkit.lab import recipes, startup
from cnnkit.lab.checkpoint import Checkpoint
from cnnkit.lab.config import RunConfig
from cnnkit.lab.feeding import Batches, pipeline
from cnnkit.lab.provenance import provenance

EVALUATION_BATCH = 256  # only speed depends on it
STEPS_PER_CALL = 16  # so many batches a call of the traced step: the same bits, and less of Python between them
FEW_IMAGES = 5000  # on fewer, tracing such a call costs more than it saves
COPIES = 3  # of the weights while a run trains: themselves, their gradients, and at least one more for the optimizer
# Sizes and weights are arguments of a traced step, the digest stands for the model; all else is traced until disproved.
UNTRACED = {"dataset", "train_size", "model", "model_args", "batch_size", "last_batch", "shuffle"}
UNTRACED |= {"epochs", "early_stopping", "validate_every", "log_training", "seed"}
SCORES = ("loss", "accuracy")
startup.import_keras()  # with its own conventions, whatever the user's are
_kept = {}  # the last compiled model of this process, by what its trace depends on: tracing costs more than a short run


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run; its history has one line an epoch, `network` is what the builder returned.

    `model` is that behind its scaling: from float32 pictures `(batch, height, width, channels)` in [0, 1] to logits.
    """

    config: RunConfig
    row: dict
    history: pd.DataFrame
    network: keras.Model
    model: keras.Model


def train(config, *, keep_traced=False, model_sha256=None, checkpoint=None):
    """Train a `RunConfig` to a `Run`; the test set is read once, after everything is chosen.

    A ValueError, before any training, if it does not fit data or model. A loss that is not finite ends it, `diverged`:
    its final losses are missing, its final accuracies those of the network that came out, which says class 0 always.
    `keep_traced` reuses this process' last compiled model where only weights, seeds, data and learning rate differ: the
    same bits, sooner, but the next such call overwrites `Run.model`. A worker, without the source of a notebook's cell,
    is told the model's digest, `model_sha256`. `checkpoint` is the `Path` of a file in which a long run keeps where it
    is; a killed one begins from there, to the same bits.
    """
    dataset = check(config)
    model_sha256 = model_sha256 or fingerprint(config)["model_sha256"]
    inputs, val = _inputs(dataset)
    order = config.seed, config.last_batch, config.shuffle
    batches = Batches(*inputs["train"], config.batch_size, *order, recipes.mixings(config))
    network, model, trained = _compiled(config, dataset, model_sha256, len(batches), keep_traced)
    log = RunLog()
    callbacks = [log, keras.callbacks.TerminateOnNaN()]
    if config.ema is not None:
        # The average is in the model whenever a later callback looks: early stopping has to restore an average too.
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if config.log_training:
        callbacks.append(_EvaluateTraining(log, *inputs["train"]))
    stopping = None
    if config.early_stopping is not None:
        stopping = keras.callbacks.EarlyStopping(patience=config.early_stopping, restore_best_weights=True)
        callbacks.append(stopping)
    known = provenance() | {"commit": None, "run_id": config.run_id, "data": dataset.sha256, "model": model_sha256}
    callbacks.append(point := Checkpoint(checkpoint, known, log, stopping))
    for _ in range(point.epochs):
        batches.on_epoch_end()
    keras.utils.set_random_seed(config.seed)
    how = {"epochs": config.epochs, "initial_epoch": point.epochs, "validation_data": val, "callbacks": callbacks}
    epochs = range(1, config.epochs + 1)
    how["validation_freq"] = [n for n in epochs if n % config.validate_every == 0 or n > config.epochs - 2]
    trained.fit(pipeline(batches), shuffle=False, verbose=0, **how)  # the batches are shuffled already
    batches.close()
    history = pd.DataFrame(log.lines)
    scores = {split: _evaluate(trained, *pair) for split, pair in inputs.items()}
    if history["val_accuracy"].isna().iloc[-1]:  # it diverged between two looks
        history.loc[history.index[-1], ["val_loss", "val_accuracy"]] = [scores["val"][name] for name in SCORES]
    looked = history.dropna(subset="val_accuracy")
    best = looked.loc[looked["val_accuracy"].idxmax()]
    row = {
        "run_id": config.run_id,
        **config.to_row(),
        "status": "completed" if np.isfinite(looked[["train_loss", "val_loss"]]).all(axis=None) else "diverged",
        "error": None,
        "best_epoch": int(best["epoch"]),
        "best_val_accuracy": float(best["val_accuracy"]),
        "best_val_loss": _finite(history["val_loss"].min()),
        "val_score": float(looked["val_accuracy"].tail(2).mean()),
        **{f"{split}_{name}": _finite(scores[split][name]) for split in ("test", "train", "val") for name in SCORES},
        "test_balanced_accuracy": scores["test"]["balanced_accuracy"],
        "majority_share": float(np.bincount(dataset.y_test).max() / len(dataset.y_test)),
        "test_images": len(dataset.y_test),
        **_raw_scores(trained, log.weights if config.early_stopping is None else None, inputs),
        "num_params": int(sum(np.prod(w.shape, dtype=int) for w in network.trainable_weights)),
        "epochs_run": len(history),
        "train_seconds": round(log.seconds, 3),
        "data_sha256": dataset.sha256,
        "model_sha256": model_sha256,
        **provenance(),
    }
    return Run(config, row, history, network, model)


class _EvaluateTraining(keras.callbacks.Callback):
    """Add to each line of a `RunLog` loss and accuracy of the training images, evaluated; Keras' are running means."""

    def __init__(self, log, x, one_hot):
        super().__init__()
        self.log, self.pairs = log, (x, one_hot)

    def on_epoch_end(self, epoch, logs=None):
        scores = _evaluate(self.model, *self.pairs)
        self.log.lines[-1] |= {f"train_eval_{name}": scores[name] for name in SCORES}


def check(config):
    """Return the config's `Dataset`, having raised a ValueError if the batch size does not fit it."""
    dataset = data.load_dataset(config.dataset, train_size=config.train_size, seed=config.seed)
    if config.batch_size > (most := len(dataset.x_train)):
        expected = f"Expected batch_size of at most {most}, the training images of {config.dataset}."
        raise ValueError(f"{expected} Received: batch_size={config.batch_size}.")
    return dataset


def failed_row(config, error):
    """Return the row of a run that ended with an exception."""
    return {"run_id": config.run_id, **config.to_row(), "status": "failed", "error": f"{type(error).__name__}: {error}"}


def fingerprint(config):
    """Return the `data_sha256` and `model_sha256` (architecture, code, weights brought along) of a row made now.

    A ValueError if the config does not fit the data or the model, or such weights know pictures of another scaling.
    """
    dataset = check(config)
    digest, brings_weights, _ = _sketched(config, dataset)
    if brings_weights and config.scaling in ("standard", "centred"):
        why = "brings trained weights: they know pictures as their author scaled them, [0, 1] or 0 to 255"
        expected = f"Expected scaling=unit or raw for {config.model}, which {why}."
        raise ValueError(f"{expected} Received: scaling={config.scaling}.")
    return {"data_sha256": dataset.sha256, "model_sha256": digest}


def least_memory(config):
    """Return the bytes of a run's pictures, weights, gradients and optimizer: it takes more, but no less."""
    dataset = check(config)
    pictures = sum(x.size for x in (dataset.x_train, dataset.x_val, dataset.x_test))
    return 4 * (pictures + COPIES * _sketched(config, dataset)[2])


def trace_key(config, model_sha256="", steps=0, steps_per_call=1):
    """Return a text of all that a traced step depends on; of a schedule that is its rate and the run's `steps`, too."""
    constant = config.schedule == "constant"
    free = UNTRACED | ({"learning_rate"} if constant else set())
    key = {name: value for name, value in dataclasses.asdict(config).items() if name not in free}
    return json.dumps([model_sha256, key, 0 if constant else steps, steps_per_call])


def architecture_digest(model):
    """Return the sha256 of a Keras model's architecture, without seeds and layer names, which count up in a process."""
    names = {layer.name: f"layer{i}" for i, layer in enumerate([model, *model._flatten_layers(include_self=False)])}

    def renamed(value):
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items() if key != "seed"}
        if isinstance(value, (list, tuple)):
            return [renamed(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    try:
        config = renamed(model.get_config())
    except NotImplementedError:  # a subclass of keras.Model: the digest of its code stands for it
        config = None
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def _inputs(dataset):
    """Return by split the images of a `Dataset` as float32 in [0, 1] with labels one-hot, and what validation reads."""
    one_hot, inputs = np.eye(dataset.num_classes, dtype="float32"), {}
    for split in ("train", "val", "test"):
        images, labels = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
        inputs[split] = np.multiply(images, 1 / 255, dtype="float32"), one_hot[labels]
    return inputs, pipeline(Batches(*inputs["val"], EVALUATION_BATCH))


def _compiled(config, dataset, model_sha256, steps_an_epoch, keep_traced):
    """Return the network, the model that takes pictures, and the model to train, compiled, in its first state."""
    steps = config.epochs * steps_an_epoch
    steps_per_call = STEPS_PER_CALL if len(dataset.x_train) >= FEW_IMAGES else 1
    network, model, trained = _assembled(config, dataset)
    key = trace_key(config, model_sha256, steps, steps_per_call)
    optimizer = recipes.make_optimizer(config, steps)
    optimizer.build(trained.trainable_variables)
    if keep_traced and key in _kept:
        kept = _kept[key][-1]
        fresh_state = trained.variables + optimizer.variables
        for old, new in zip(kept.variables + kept.optimizer.variables, fresh_state, strict=True):
            old.assign(new)
        return _kept[key]
    loss = recipes.LOSSES[config.loss](config.label_smoothing)
    trained.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=steps_per_call)
    _kept.clear()
    if keep_traced:
        _kept[key] = network, model, trained
    return network, model, trained


def _assembled(config, dataset):
    """Return the network as its builder wrote it, behind its scaling, and behind augmentation and scaling."""
    with building(config.precision, config.seed):
        network = models.create_model(config.model, dataset.input_shape, dataset.num_classes, **config.model_args)
        recipes.regularize(network, **config.regularization)
        scaling = recipes.make_scaling(config.scaling, *dataset.channel_statistics())
        pictures = keras.Input(dataset.input_shape, name="pictures")
        model = network if scaling is None else keras.Model(pictures, network(scaling(pictures)))
        names = [name for name in (config.augmentation or "").split("+") if name in recipes.AUGMENTATIONS]
        if not names:
            return network, model, model
        augmentation = keras.Sequential([recipes.AUGMENTATIONS[name]() for name in names])
        return network, model, keras.Model(pictures, model(augmentation(pictures)))


@contextlib.contextmanager
def building(precision, seed):
    """Build under a precision, every initializer and random layer with a seed of its own, drawn from `seed`."""
    # Left alone, Keras draws these from Python's global `random`, into which a Dask worker's other threads dip, too
    # (no upstream issue known: https://github.com/keras-team/keras/blob/v3.15.1/keras/src/random/seed_generator.py).
    startup.import_keras()  # a notebook may have set other conventions since
    before, shared = keras.config.dtype_policy(), seed_generator.python_random
    keras.utils.set_random_seed(seed)  # for builders that draw themselves
    keras.config.set_dtype_policy(precision)
    seed_generator.python_random = random.Random(seed)
    try:
        yield
    finally:
        seed_generator.python_random = shared
        keras.config.set_dtype_policy(before)


def _sketched(config, dataset):
    """Return a model's digest, whether it brings weights along, and how many it has; no others are made for that."""
    code = models.code_digest(models.get_builder(config.model))
    args = json.dumps(config.model_args, sort_keys=True)
    return _digest(code, config.model, args, dataset.input_shape, dataset.num_classes, config.precision)


@functools.lru_cache(maxsize=256)
def _digest(code, model, args, input_shape, num_classes, precision):
    build = functools.partial(models.create_model, model, input_shape, num_classes, **json.loads(args))
    try:
        with building(precision, 1), models.sketching() as scope:
            network = build()
            brought = [scope.get_current_value(variable) for variable in network.variables]
    except ValueError as error:
        if "stateless scope" not in f"{error} {error.__cause__}":
            raise
        with building(precision, 1):  # some builders need real weights, say to predict with a network of theirs
            network = build()
        brought = [variable.value for variable in network.variables]
    digest = hashlib.sha256(f"{code}{architecture_digest(network)}".encode())
    for place, value in enumerate(brought):
        if value is not None:
            digest.update(f"{place}".encode() + keras.ops.convert_to_numpy(value).tobytes())
    return digest.hexdigest(), any(value is not None for value in brought), network.count_params()


def _evaluate(model, x, one_hot):
    """Return the cross-entropy to the true labels (nats), accuracy and balanced accuracy of a model as it is now."""
    batches = (x[start : start + EVALUATION_BATCH] for start in range(0, len(x), EVALUATION_BATCH))
    filled = (np.resize(batch, (EVALUATION_BATCH, *x.shape[1:])) for batch in batches)  # the last is not traced anew
    logits = np.concatenate([model.predict_on_batch(batch) for batch in filled])[: len(x)].astype("float64")
    labels = one_hot.argmax(axis=1)
    right = logits.argmax(axis=1) == labels
    with np.errstate(invalid="ignore"):  # a network that diverged
        loss = np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(x)), labels])
    return {
        "loss": float(loss),
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([right[labels == label].mean() for label in np.unique(labels)])),
    }


def _raw_scores(trained, weights, inputs):
    """Return the accuracies of the last weights themselves, where their moving average was evaluated."""
    if weights is None:
        return {"raw_val_accuracy": None, "raw_test_accuracy": None}
    averages = trained.get_weights()
    trained.set_weights(weights)
    scores = {f"raw_{split}_accuracy": _evaluate(trained, *inputs[split])["accuracy"] for split in ("val", "test")}
    trained.set_weights(averages)
    return scores


def _finite(value):
    return float(value) if np.isfinite(value) else None
