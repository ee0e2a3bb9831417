"""How fast this machine trains a network, on made-up pictures."""

import time

import keras
import numpy as np

from cnnkit import models
from cnnkit.lab import training

BATCHES, BATCH_SIZE = 16, 64


class _Stop(keras.callbacks.Callback):
    """End `fit` at the first epoch after `seconds`, not counting the first epoch, in which the step is traced."""

    def __init__(self, seconds):
        super().__init__()
        self.limit, self.ends = seconds, []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())
        self.model.stop_training = len(self.ends) > 1 and self.ends[-1] - self.ends[0] >= self.limit


def images_per_second(model, *, precision="float32", steps_per_call=1, seconds=4.0):
    """Return how many images of 32×32×3 a second a registered model trains on, by SGD with momentum in batches of 64.

    `precision` is a Keras dtype policy, `steps_per_call` Keras' `steps_per_execution`. It takes about `seconds`, and as
    long as tracing takes.
    """
    with training.building(precision, 1):
        network = models.create_model(model, (32, 32, 3), 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss, steps_per_execution=steps_per_call)
    random, images, stop = np.random.default_rng(1), BATCHES * BATCH_SIZE, _Stop(seconds)
    x, y = random.normal(size=(images, 32, 32, 3)).astype("float32"), random.integers(10, size=images)
    network.fit(x, y, batch_size=BATCH_SIZE, epochs=10**6, callbacks=[stop], verbose=0)
    return images * (len(stop.ends) - 1) / (stop.ends[-1] - stop.ends[0])
