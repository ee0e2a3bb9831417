"""What `fit` and `predict` read: batches of images and labels, in an order that a seed decides."""

import math

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Batches of the arrays `x` and `y` in an order that is new every epoch and decided by the seed; None keeps theirs.

    With a seed, `shuffle` may ask for less: an order drawn `"once"`, `"never"`, or `"sorted"` by class (one-hot `y`);
    and each of `mixings`, functions of a NumPy Generator and a batch, changes every batch.
    Images that fill no batch are left out of an epoch, or with the last batch `"keep"` make a smaller one. With arrays,
    Keras 3.15 takes one order in all epochs: `set_random_seed` starts TensorFlow's shuffling from one state each time.
    """

    def __init__(self, x, y, batch_size, seed=None, last_batch="keep", shuffle="each", mixings=()):
        super().__init__()
        self.x, self.y, self.batch_size, self.shuffle = x, y, batch_size, shuffle
        self.seed, self.mixings, self.epoch = seed, mixings, 0
        self.steps = (math.ceil if last_batch == "keep" else math.floor)(len(x) / batch_size)
        self.numbers = None if seed is None else np.random.default_rng(seed)
        self.order = np.argsort(y.argmax(axis=1), kind="stable") if shuffle == "sorted" else np.arange(len(x))
        if shuffle == "once":
            self.order = self.numbers.permutation(len(x))
        self.on_epoch_end()

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        batch = self.x[chosen], self.y[chosen]
        for place, mix in enumerate(self.mixings):
            batch = mix(np.random.default_rng([self.seed, self.epoch, index, place]), *batch)
        return batch

    def on_epoch_end(self):
        """Draw the next epoch's order; Keras calls this."""
        self.epoch += 1
        if self.numbers is not None and self.shuffle == "each":
            self.order = self.numbers.permutation(len(self.x))

    def close(self):
        """Let go of the arrays: TensorFlow keeps what it read from for the life of the process."""
        self.x = self.y = None


def pipeline(batches):
    """Return `Batches` as TensorFlow reads them, or as they are to another backend."""
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    def epoch():
        batches.on_epoch_end()  # Keras, too, draws before the first epoch
        yield from map(batches.__getitem__, range(len(batches)))

    if batches.numbers is None:
        read = tf.data.Dataset.from_tensor_slices((batches.x, batches.y)).batch(batches.batch_size)
    else:
        signature = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in (batches.x, batches.y))
        read = tf.data.Dataset.from_generator(epoch, output_signature=signature).prefetch(2)
        read = read.apply(tf.data.experimental.assert_cardinality(len(batches)))
    # Keras' own pipeline is tuned by threads that, with a run on every core, cost a short run a sixth of its time.
    options = tf.data.Options()
    options.autotune.enabled = False
    return read.with_options(options)
