"""The one callback that Keras lacks."""

import time

import keras

COLUMNS = {"loss": "train_loss", "accuracy": "train_accuracy", "val_loss": "val_loss", "val_accuracy": "val_accuracy"}


class RunLog(keras.callbacks.Callback):
    """Keep `lines`, a dict an epoch, and where the optimizer averages weights, the last `weights` themselves.

    A line is `epoch` (from 1), `train_loss` (nats) and `train_accuracy` (fraction; both running means), `val_loss`,
    `val_accuracy`, `learning_rate` and `seconds` (of training without validation, cumulative).
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
