"""Train what the histories beside this file are of, in plain Keras: `python tests/histories/make.py [NAME ...]`.

`sound_*.csv` are runs on which nothing may be said; the others are broken on purpose, and their name says how. Keras'
CSVLogger wrote them, in two minutes of one core; kept, they make the tests quick, and the machine does not matter.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from cnnkit.data import load_dataset

HERE = Path(__file__).parent
RELU = {"activation": "relu", "kernel_initializer": "he_normal"}


def digits(train_size=1000):
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1) / 16
    return train_test_split(images, labels, train_size=train_size, test_size=450, stratify=labels, random_state=0)


def shapes():
    data = load_dataset("shapes")
    return data.x_train / 255, data.x_val / 255, data.y_train, data.y_val


def dense(*units, classes=10, **options):
    return [layers.Flatten(), *(layers.Dense(n, **(RELU | options)) for n in units), layers.Dense(classes, "softmax")]


def conv(*filters, norm=None, drop=0.0, classes=10):
    stack = []
    for n in filters:
        stack += [layers.Conv2D(n, 3, padding="same", use_bias=norm is None, kernel_initializer="he_normal")]
        stack += [layers.BatchNormalization(momentum=norm)] if norm else []
        stack += [layers.Activation("relu"), layers.MaxPooling2D()]
    return [*stack, layers.Flatten(), layers.Dropout(drop), layers.Dense(classes, "softmax")]


def train(name, stack, data, optimizer, epochs, *, loss="sparse_categorical_crossentropy", batch_size=32, **options):
    """Train one model and leave its CSV; `metrics` and what `fit` takes are options."""
    x_train, x_val, y_train, y_val = data
    images = x_train if x_val is None else x_val
    model = keras.Sequential([keras.Input(images.shape[1:]), *stack])
    model.compile(optimizer, loss, metrics=options.pop("metrics", ["accuracy"]))
    options.setdefault("callbacks", []).append(keras.callbacks.CSVLogger(HERE / f"{name}.csv"))
    if x_val is not None:
        options["validation_data"] = (x_val, y_val)
    if y_train is not None:
        options["batch_size"] = batch_size
    model.fit(x_train, y_train, epochs=epochs, verbose=0, **options)


def noisy(labels, share):
    wrong = np.random.default_rng(0).random(len(labels)) < share
    return np.where(wrong, np.random.default_rng(1).integers(0, 10, len(labels)), labels)


def cosine(rate, steps):
    return keras.optimizers.schedules.CosineDecay(rate, steps)


SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam


def sound(name):
    x_train, x_val, y_train, y_val = data = digits()
    augment = [layers.RandomTranslation(0.1, 0.1), layers.RandomRotation(0.03)]
    one_hot = (x_train, x_val, np.eye(10)[y_train], np.eye(10)[y_val])
    smooth = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    parity, binary = (x_train, x_val, y_train % 2, y_val % 2), [*dense(32)[:-1], layers.Dense(1, "sigmoid")]
    shape = shapes() if "shapes" in name else data
    classes = {"classes": int(1 + shape[2].max())}
    return {
        "sound_softmax": (dense(), data, SGD(0.1), 20),
        "sound_mlp": (dense(64), data, Adam(0.001), 15),
        "sound_sigmoid": (dense(32, activation="sigmoid"), data, SGD(0.3, 0.9), 25),
        "sound_cosine": (conv(16, 32), data, SGD(cosine(0.05, 620), 0.9), 20),
        "sound_batch_norm": (conv(16, 32, norm=0.9), data, Adam(0.001), 15),
        "sound_dropout": (conv(16, 32, drop=0.5), data, Adam(0.001), 20),
        "sound_augmented": ([*augment, *conv(16, 32)], data, Adam(0.002), 30),
        "sound_smoothed": (dense(64, 64), one_hot, Adam(0.001), 20, {"loss": smooth}),
        "sound_short": (dense(64), data, Adam(0.003), 3),
        "sound_long": (dense(), data, SGD(0.03), 80),
        "sound_few_images": (conv(16, drop=0.3), digits(200), Adam(0.002), 30),
        "sound_small_batches": (dense(32), data, SGD(0.01), 12, {"batch_size": 4}),
        "sound_parity": (binary, parity, Adam(0.002), 15, {"loss": "binary_crossentropy"}),
        "sound_shapes": (conv(16, 32, drop=0.2, **classes), shape, Adam(0.001), 10),
        "sound_shapes_batch_norm": (conv(16, 32, norm=0.9, drop=0.3, **classes), shape, Adam(0.001), 10),
    }


def broken(name):
    x_train, x_val, y_train, y_val = data = digits()
    few = digits(300)
    order = np.argsort(np.concatenate([y_train, y_val]), kind="stable")
    by_class = (np.concatenate([x_train, x_val])[order], None, np.concatenate([y_train, y_val])[order], None)
    jump = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 3.0 if epoch == 6 else rate)
    one_hot = (x_train, x_val, np.eye(10)[y_train], np.eye(10)[y_val])
    bright = (2 + x_train / 4, 2 + x_val / 4, y_train, y_val)  # far from centred
    # In another order every epoch, where Keras repeats its one order of arrays; the last of 961 is a batch alone.
    pairs = tf.data.Dataset.from_tensor_slices((x_train[:961], noisy(y_train[:961], 0.1)))
    batches = pairs.shuffle(1000, seed=1).batch(64)
    return {
        "stuck_at_chance": (conv(16, 32), data, SGD(20.0), 8),
        "nan": ([*dense(64, 64)[:-1], layers.Dense(10)], one_hot, SGD(5.0), 6, {"loss": "mse"}),
        "collapse": (conv(16, 32), data, SGD(0.05, 0.9), 12, {"callbacks": [jump]}),
        "overfitting": (dense(256, 256), (few[0], few[1], noisy(few[2], 0.3), few[3]), Adam(0.002), 40),
        "overconfidence": (dense(256), (*few[:3], noisy(few[3], 0.1)), SGD(0.05, 0.9), 60),
        "easy_validation": (dense(), (x_train, x_val, noisy(y_train, 0.5), y_val), Adam(0.01), 12),
        "batch_norm": (conv(16, norm=0.99), bright, SGD(0.2), 25, {"batch_size": 64}),
        "ordered": (conv(16), by_class, Adam(0.002), 8, {"validation_split": 0.2}),
        "one_prediction": (conv(16, 32), (x_train, x_val / 255, y_train, y_val), Adam(0.002), 8),
        "oscillation": (dense(64), (pairs.shuffle(1000, seed=1).batch(4), x_val, None, y_val), SGD(0.5), 16),
        "last_batch": (dense(64), (batches, x_val, None, y_val), SGD(0.2, 0.9), 16),
        "odds": (
            conv(16),
            one_hot,
            Adam(0.002),
            8,
            {"loss": "categorical_crossentropy", "metrics": [keras.metrics.Accuracy(name="accuracy")]},
        ),
        "seed_1": (dense(32), data, Adam(0.002), 4),
        "seed_2": (dense(32), data, Adam(0.002), 4),
    }


if __name__ == "__main__":
    for name in sys.argv[1:] or [*sound(""), *broken("")]:
        keras.utils.set_random_seed(2 if name == "seed_2" else 1)  # before the layers, whose initializers it seeds
        stack, data, optimizer, epochs, *options = (sound if name.startswith("sound") else broken)(name)[name]
        train(name, stack, data, optimizer, epochs, **(options[0] if options else {}))
