"""The one callback that Keras lacks."""

import time

import keras

COLUMNS = {"loss": "train_loss", "accuracy": "train_accuracy", "val_loss": "val_loss", "val_accuracy": "val_accuracy"}


class RunLog(keras.callbacks.Callback):
    """Keep one line an epoch: metrics, learning rate and the seconds spent training, validation left out.

    After `fit`, `lines` is a list of dicts with `epoch` (from 1), `train_loss` (nats), `train_accuracy` (fraction, both
    running means over the epoch), `val_loss`, `val_accuracy`, `learning_rate` and `seconds` (cumulative). Where the
    optimizer keeps a moving average, `weights` are the last weights themselves, as `model.get_weights()` has them.
    """

    def __init__(self):
        super().__init__()
        self.lines, self.seconds, self.weights = [], 0.0, None

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.seconds += time.perf_counter() - self._begun

    def on_epoch_end(self, epoch, logs=None):
        line = {column: float(logs[name]) for name, column in COLUMNS.items()}  # Keras orders its logs as it likes
        rate = float(self.model.optimizer.learning_rate)
        self.lines.append({"epoch": epoch + 1, **line, "learning_rate": rate, "seconds": round(self.seconds, 3)})
        if self.model.optimizer.use_ema:
            self.weights = self.model.get_weights()
