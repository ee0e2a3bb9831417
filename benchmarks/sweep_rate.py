"""Trials a minute, start-up included: 24 short runs of LeNet-5 by `run_all` and by keras-tuner's own random search."""

import tempfile

import numpy as np

from benchmarks.measure import Ratio, in_process, mnist_or_stand_in

TRIALS, IMAGES, EPOCHS, BATCH_SIZE, WORKERS, PAIRS = 24, 6_000, 2, 64, 2, 3
LOWEST, HIGHEST = 1e-3, 0.3  # learning rates, drawn evenly on a logarithmic scale


def measure():
    """Return the ratio of trials a minute; 2 is required, 3 the aim."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir, words = mnist_or_stand_in(folder)
        places = {"CNNKIT_DATA_DIR": data_dir}
        pairs = [race(f"{folder}/{turn}", places) for turn in range(PAIRS)]
    ours, theirs = sorted(pairs, key=lambda pair: pair[0] / pair[1])[PAIRS // 2]
    what = f"{TRIALS} runs of LeNet-5, {IMAGES:,} images, {EPOCHS} epochs, {words}"
    against = "keras-tuner `RandomSearch`, one process, all cores"
    return [Ratio(what, ours, theirs, "trials/min", against, "ratio at least 2", ours >= 2 * theirs)]


def race(folder, places):
    """Return the trials a minute of both, one after the other: a machine that grows busy slows both."""
    trials, stock_seconds = in_process(run_keras_tuner, f"{folder}/tuner", **places)
    runs, seconds = in_process(run_cnnkit, CNNKIT_RESULTS_DIR=f"{folder}/results", **places)
    return 60 * runs / seconds, 60 * trials / stock_seconds


def run_cnnkit():
    """Train the runs on two workers and return how many have a row. Each also reads the 10,000 test images."""
    from cnnkit.lab.startup import prepare_workers

    prepare_workers()
    from cnnkit.lab import sweeps
    from cnnkit.lab.config import RunConfig

    rates = np.exp(np.random.default_rng(1).uniform(np.log(LOWEST), np.log(HIGHEST), TRIALS))
    base = RunConfig(dataset="mnist", train_size=IMAGES, batch_size=BATCH_SIZE, epochs=EPOCHS)
    runs = sweeps.run_all([base.replace(learning_rate=rate) for rate in rates], "benchmark", workers=WORKERS)
    return int((runs["status"] != "failed").sum())


def run_keras_tuner(folder):
    """Train as many trials of the same model on the same images as keras-tuner's guide does; return how many."""
    import keras
    import keras_tuner

    from cnnkit import data, models

    dataset = data.load_dataset("mnist", train_size=IMAGES)
    x_train, x_val = dataset.x_train.astype("float32") / 255, dataset.x_val.astype("float32") / 255
    y_train, y_val = (keras.utils.to_categorical(y, dataset.num_classes) for y in (dataset.y_train, dataset.y_val))

    def build(hp):
        model = models.create_model("lenet5_modern", dataset.input_shape, dataset.num_classes)
        optimizer = keras.optimizers.SGD(hp.Float("learning_rate", LOWEST, HIGHEST, sampling="log"))
        model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return model

    tuner = keras_tuner.RandomSearch(build, objective="val_accuracy", max_trials=TRIALS, seed=1, directory=folder)
    tuner.search(x_train, y_train, batch_size=BATCH_SIZE, epochs=EPOCHS, validation_data=(x_val, y_val), verbose=0)
    return len(tuner.oracle.trials)
