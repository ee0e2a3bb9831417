"""The clinic: a run broken on purpose for every symptom that `diagnose` knows, and ten sound ones, on small digits.

Plain Keras in seconds: most runs are of one compiled network, whose weights are put back. The recipes are those of
`tests/histories/make.py`, whose histories the tests read, with fewer images and epochs.
"""

import functools
import logging
import time

import keras
import numpy as np
import pandas as pd
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from cnnkit.diagnostics import SYMPTOMS, diagnose
from cnnkit.diagnostics.callback import Diagnose
from cnnkit.lab.feeding import Batches, pipeline

CLASSES = 10
NAMES = [symptom.name for symptom in SYMPTOMS]


@functools.cache
def digits(train_size=600):
    """Return a dict of digits of 8×8 pixels in [0, 1], as `diagnose` takes it; 450 validate and 450 test."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    x, x_rest, y, y_rest = train_test_split(images, labels, test_size=900, stratify=labels, random_state=0)
    data = {"x_train": x[:train_size], "y_train": y[:train_size], "x_val": x_rest[:450], "y_val": y_rest[:450]}
    return data | {"x_test": x_rest[450:], "y_test": y_rest[450:]}


def noisy(data, share, split="train"):
    """Return the data with a `share` of a split's labels drawn anew."""
    rng, labels = np.random.default_rng(0), data[f"y_{split}"]
    return data | {f"y_{split}": np.where(rng.random(len(labels)) < share, rng.integers(0, 10, len(labels)), labels)}


def build(*stack, rate=0.05, momentum=0.9, loss="sparse_categorical_crossentropy", metrics=("accuracy",)):
    """Return a compiled network of digits."""
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    model.compile(keras.optimizers.SGD(rate, momentum), loss, metrics=list(metrics))
    return model


def dense(units=64, **options):
    """Return a hidden dense layer and the last one."""
    options = {"activation": "relu", "kernel_initializer": "he_normal"} | options
    return [layers.Flatten(), layers.Dense(units, **options), layers.Dense(CLASSES, "softmax")]


def train(model, data, epochs, batch_size=32, seed=1, **options):
    """Train a model and return what `diagnose` takes: a dict of `history, model, data, batch_size`."""
    batches = Batches(data["x_train"], data["y_train"], batch_size, seed)
    how = {"validation_data": (data["x_val"], data["y_val"]), "epochs": epochs, "verbose": 0, "shuffle": False}
    how["validation_batch_size"] = len(data["x_val"])
    history = model.fit(pipeline(batches), **how | options).history
    return {"history": history, "model": model, "data": data, "batch_size": batch_size}


def curves(told):
    """Return what `diagnose` takes without the model: where curves and data tell, it need not be asked."""
    return {name: thing for name, thing in told.items() if name != "model"}


@functools.cache
def _shared():
    keras.utils.set_random_seed(1)
    model = build(*dense())
    return model, model.get_weights()


def again(data, rate, epochs, seed=1, bias=0.0, **options):
    """Train the network that most runs share from its first weights, in another order for another `seed`."""
    model, (kernel, _, *last) = _shared()
    order = np.random.default_rng(seed).permutation(kernel.shape[1])
    model.set_weights([kernel[:, order], np.full(len(order), bias), *last])
    for variable in model.optimizer.variables:  # velocities, too
        variable.assign(np.zeros(variable.shape))
    model.optimizer.learning_rate = rate
    return train(model, data, epochs, seed=seed, **options)


class Slow(Batches):
    """Batches from a slow disk."""

    def __getitem__(self, index):
        time.sleep(0.15)
        return super().__getitem__(index)


def slow(data):
    """Train on batches that come slowly, and return what the callback measured of them."""
    batches, model = Slow(data["x_train"], data["y_train"], 150), _shared()[0]
    watch = Diagnose(pipeline=batches, say=len)
    history = model.fit(batches, epochs=2, verbose=0, callbacks=[watch]).history
    return {"history": history, "input_share": watch.known["input_share"]}


def broken():
    """Return a dict from each symptom to a function that trains a run with it, for `diagnose`."""
    data, few = digits(), digits(300)
    one_hot = data | {f"y_{split}": np.eye(CLASSES)[data[f"y_{split}"]] for split in ("train", "val")}
    order = np.argsort(data["y_train"], kind="stable")  # the last fifth of it validates
    by_class = {f"{kind}_{split}": data[f"{kind}_train"][part] for kind in "xy"
                for split, part in (("train", order[:480]), ("val", order[480:]))}  # fmt: skip
    bright = data | {f"x_{split}": 2 + data[f"x_{split}"] / 4 for split in ("train", "val")}
    leaked = data | {"x_val": data["x_test"], "y_val": data["y_test"]}
    jump = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 3.0 if epoch >= 6 else rate)
    odd = {"x_train": data["x_train"][:577], "y_train": data["y_train"][:577]}
    norm = layers.BatchNormalization
    moved = {f"y_{split}": (data[f"y_{split}"] + 1) % CLASSES for split in ("train", "val")}
    return {
        "NaN": lambda: train(build(layers.Flatten(), layers.Dense(CLASSES), rate=5.0, loss="mse"), one_hot, 3),
        "stuck at chance": lambda: again(data, 20.0, 8),
        "collapse": lambda: again(data, 0.05, 10, callbacks=[jump]),
        "loss and metric at odds": lambda: train(
            build(*dense(), loss="categorical_crossentropy", metrics=[keras.metrics.Accuracy("accuracy")]), one_hot, 8
        ),
        "images of one split in another": lambda: curves(again(leaked, 0.02, 6)),
        "ordered split": lambda: curves(again(by_class, 0.02, 6)),
        "one prediction for all or another scale": lambda: again(data | {"x_val": data["x_val"] / 255}, 0.02, 8),
        "training and validation mode differ": lambda: train(
            build(layers.Flatten(), norm(momentum=0.99), *dense()[1:], rate=0.02), bright, 6
        ),
        "small last batch": lambda: curves(again(noisy(data | odd, 0.1), 0.25, 30, batch_size=64)),
        "dead ReLUs": lambda: again(data, 0.02, 10, bias=-3.0),
        "overfitting": lambda: curves(again(noisy(few, 0.3), 0.1, 30)),
        "validation loss rises with validation accuracy": lambda: curves(again(noisy(few, 0.1, "val"), 0.1, 30)),
        "validation better than training": lambda: curves(again(noisy(data, 0.5), 0.01, 8)),
        "validation oscillates": lambda: curves(again(noisy(few, 0.1), 0.05, 10, batch_size=4)),
        "accuracy changes after loading": lambda: again(data, 0.02, 8) | {"data": data | moved},
        "not reproducible": lambda: {"history": [again(data, 0.02, 4, seed=seed)["history"] for seed in (1, 2)]},
        "slow input": lambda: slow(data),
    }


def sound():
    """Return a dict from the names of ten runs of which nothing may be said to functions that train them."""
    data, relu = digits(), {"activation": "relu", "kernel_initializer": "he_normal"}
    cosine = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 * (1 + np.cos(np.pi * epoch / 12)))
    norm = layers.BatchNormalization
    return {
        "linear": lambda: train(build(layers.Flatten(), layers.Dense(CLASSES, "softmax")), data, 12),
        "sigmoid": lambda: train(build(*dense(activation="sigmoid")), data, 14),
        "batch norm": lambda: train(build(layers.Flatten(), norm(momentum=0.9), *dense()[1:], rate=0.02), data, 8),
        "convolution, dropout": lambda: train(
            build(layers.Conv2D(16, 3, **relu), layers.Flatten(), layers.Dropout(0.3), *dense()[2:], rate=0.01),
            data,
            10,
        ),
        "three epochs": lambda: again(data, 0.05, 3),
        "low rate": lambda: again(data, 0.005, 16),
        "falling rate": lambda: again(data, 0.1, 12, callbacks=[cosine]),
        "batches of 4": lambda: again(data, 0.002, 8, batch_size=4),
        "one batch": lambda: again(data, 0.1, 25, batch_size=600),
        "150 images": lambda: again(digits(150), 0.01, 15),
    }


def examine(run):
    """Train one of these runs and return its history, as `diagnose` read it, and what it found."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it counts retracings over unrelated models
    keras.utils.set_random_seed(1)  # before layers are built
    told = run()
    return told["history"], diagnose(**told)


def round_of_visits():
    """Train all runs and return two frames: a line a run and symptom, `certainty` and `evidence`; histories by run.

    `certainty` is "sure", "perhaps", "" for nothing found or "–" where what it needs was not there.
    """
    lines, histories = [], {}
    for kind, runs in (("broken", broken()), ("sound", sound())):
        for name, run in runs.items():
            histories[name], found = examine(run)
            named = found.set_index("symptom")
            for symptom in NAMES:
                certainty = named["certainty"].get(symptom, "–" if symptom in found.attrs["lacking"] else "")
                line = {"kind": kind, "run": name, "symptom": symptom, "certainty": certainty}
                lines.append(line | {"evidence": named["evidence"].get(symptom, "")})
    return pd.DataFrame(lines), histories
