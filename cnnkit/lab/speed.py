"""How fast this machine trains a network, on made-up pictures."""

import time

import keras
import numpy as np

from cnnkit import models
from cnnkit.lab import training

BATCHES, BATCH_SIZE = 16, 64


def images_per_second(model, *, precision="float32", steps_per_call=1, seconds=4.0):
    """Return how many images of 32×32×3 a second a registered model trains on, by SGD with momentum in batches of 64.

    `precision` is a Keras dtype policy, `steps_per_call` Keras' `steps_per_execution`. It takes about `seconds`, and as
    long as tracing takes.
    """
    with training.building(precision, 1):
        network = models.create_model(model, (32, 32, 3), 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss, steps_per_execution=steps_per_call)
    random, images, ends = np.random.default_rng(1), BATCHES * BATCH_SIZE, []
    x, y = random.normal(size=(images, 32, 32, 3)).astype("float32"), random.integers(10, size=images)
    while len(ends) < 2 or ends[-1] - ends[0] < seconds:  # the first epoch, which traces the step, does not count
        network.fit(x, y, batch_size=BATCH_SIZE, verbose=0)
        ends.append(time.perf_counter())
    return images * (len(ends) - 1) / (ends[-1] - ends[0])
