"""Callbacks: images a second of a `fit` that one of them watches, against the same `fit` alone."""

import time

from benchmarks.measure import Ratio, in_process

STEPS, BATCH_SIZE, REPEATS = 300, 64, 7
INPUT_SHAPE = (28, 28, 1)
CALLBACKS = ("LayerStatistics", "RangeTest", "ScheduleLog")


def measure():
    """Return a ratio for each callback at its default interval; 0.95 is required: it costs under 5% of a step."""
    ratios = []
    for callback in CALLBACKS:
        seconds, _ = in_process(race, callback)
        pairs = sorted(zip(*seconds, strict=True), key=lambda pair: pair[0] / pair[1])
        watched, bare = (STEPS * BATCH_SIZE / second for second in pairs[len(pairs) // 2])
        what = f"`{callback}` in {STEPS} steps of LeNet-5, batches of {BATCH_SIZE}, one thread"
        met = watched >= 0.95 * bare
        ratios.append(Ratio(what, watched, bare, "images/s", "`fit` alone", "ratio at least 0.95", met))
    return ratios


def race(callback):
    """Return the seconds of `REPEATS` fits watched and of as many alone, taken in turn, of one traced model."""
    from cnnkit.lab.startup import import_keras

    import_keras()
    import keras
    import numpy as np

    from cnnkit import callbacks, models
    from cnnkit.lab.provenance import use_one_thread

    use_one_thread()
    keras.utils.set_random_seed(1)
    random, images = np.random.default_rng(1), STEPS * BATCH_SIZE // 4
    x, y = random.normal(size=(images, *INPUT_SHAPE)).astype("float32"), random.integers(10, size=images)
    make = {
        "LayerStatistics": lambda: callbacks.LayerStatistics(x[:BATCH_SIZE], y[:BATCH_SIZE]),
        "RangeTest": lambda: callbacks.RangeTest(1e-6, 1e-4, STEPS),  # low enough to run to its end
        "ScheduleLog": callbacks.ScheduleLog,
    }[callback]
    network = models.create_model("lenet5_modern", INPUT_SHAPE, 10)
    # Of Keras' schedules this one takes the most operations; a range test wants a rate that can be set.
    warm = {"warmup_target": 1e-4, "warmup_steps": 9}
    rate = 1e-4 if callback == "RangeTest" else keras.optimizers.schedules.CosineDecay(1e-5, 10**6, **warm)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"])
    network.fit(x, y, batch_size=BATCH_SIZE, verbose=0)  # the step is traced
    seconds = [], []
    for _ in range(REPEATS):
        for times, watching in zip(seconds, ([make()], []), strict=True):
            begun = time.perf_counter()
            network.fit(x, y, batch_size=BATCH_SIZE, epochs=4, callbacks=watching, verbose=0)
            times.append(time.perf_counter() - begun)
    return seconds
