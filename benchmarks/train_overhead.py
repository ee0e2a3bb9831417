"""Images a second while training: the `fit` inside `train`, and all of `train`, against a bare Keras `fit`."""

import tempfile
import time
from unittest import mock

from benchmarks.measure import Ratio, in_process, mnist_or_stand_in

IMAGES, EPOCHS, BATCH_SIZE, REPEATS = 10_000, 3, 64, 5


def measure():
    """Return two ratios of images a second; 0.95 is required of the first."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir, words = mnist_or_stand_in(folder)
        seconds, _ = in_process(race, CNNKIT_DATA_DIR=data_dir)
    # Each pair is taken in turn, so that a machine that grows busy slows both; the middle pair counts.
    pairs = sorted(zip(seconds["inside"], seconds["bare"], seconds["whole"], strict=True), key=lambda p: p[0] / p[1])
    inside, bare, whole = (EPOCHS * IMAGES / second for second in pairs[len(pairs) // 2])
    what = f"{EPOCHS} epochs of LeNet-5 on {IMAGES:,} images, {words}, one thread"
    against = "a bare Keras `fit` on the same arrays"
    required, met = "ratio at least 0.95", inside >= 0.95 * bare
    return [
        Ratio(f"the `fit` in `train`: {what}", inside, bare, "images/s", against, required, met),
        Ratio("all of `train`: building, hashing, 10,000 test images", whole, bare, "images/s", against),
    ]


def race():
    """Return the seconds of `REPEATS` fits of each kind, taken in turn; each traces its own model."""
    from cnnkit.lab.startup import import_keras

    import_keras()
    import keras

    from cnnkit.lab import training
    from cnnkit.lab.config import RunConfig
    from cnnkit.lab.provenance import use_one_thread

    use_one_thread()
    config = RunConfig(dataset="mnist", train_size=IMAGES, batch_size=BATCH_SIZE, epochs=EPOCHS)
    seconds = {"inside": [], "whole": [], "bare": []}
    plain_fit = keras.Model.fit

    def timed_fit(*args, **kwargs):
        begun = time.perf_counter()
        history = plain_fit(*args, **kwargs)
        seconds["inside"].append(time.perf_counter() - begun)
        return history

    for _ in range(REPEATS):
        model, arguments = bare_keras(training.check(config))
        begun = time.perf_counter()
        model.fit(**arguments)
        seconds["bare"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        with mock.patch.object(keras.Model, "fit", timed_fit):
            training.train(config)
        seconds["whole"].append(time.perf_counter() - begun)
    return seconds


def bare_keras(dataset):
    """Return a compiled model and the arguments of its `fit`, written as in the Keras guides."""
    import keras

    from cnnkit import models

    pixels = [images.astype("float32") / 255 for images in (dataset.x_train, dataset.x_val)]
    labels = [keras.utils.to_categorical(y, dataset.num_classes) for y in (dataset.y_train, dataset.y_val)]
    model = models.create_model("lenet5_modern", dataset.input_shape, dataset.num_classes)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model, {
        "x": pixels[0],
        "y": labels[0],
        "batch_size": BATCH_SIZE,
        "epochs": EPOCHS,
        "validation_data": (pixels[1], labels[1]),
        "validation_batch_size": 256,  # as `train` has it
        "verbose": 0,
    }
