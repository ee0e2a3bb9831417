"""Where a long run is, so that a killed one goes on, to the same bits."""

import io
import json
import time

import keras
import numpy as np

from cnnkit.lab import store

EVERY = 600  # seconds of training after which a run keeps where it is


class Checkpoint(keras.callbacks.Callback):
    """Write the state of `fit` to a file between epochs, and begin from there; the last of the callbacks.

    Keras' BackupAndRestore leaves out the states of random layers, and what other callbacks have seen.

    Args:
        path: Of the file; a file of another run, or a damaged one, is not read. None writes none.
        known: Dict of texts that decide the run's bits.
        log: The fit's `RunLog`; `stopping`: its `EarlyStopping`, or None.
    `epochs` is how many are behind it: `fit` takes it as `initial_epoch`.
    """

    def __init__(self, path, known, log, stopping=None):
        super().__init__()
        self.path, self.known, self.log, self.stopping = path, known, log, stopping
        self.state = self._read() if path else None
        self.epochs = len(self.state[0]["lines"]) if self.state else 0
        self.written = time.monotonic()

    def on_train_begin(self, logs=None):
        if not self.state:
            return
        seen, arrays = self.state
        for variable, value in zip(self._variables(), arrays["state"], strict=True):
            variable.assign(value)
        self.log.lines, self.log.seconds, self.log.weights = seen["lines"], seen["seconds"], arrays["last"] or None
        if self.stopping:
            vars(self.stopping).update(seen["stopping"], best_weights=arrays["best"] or None)

    def on_epoch_begin(self, epoch, logs=None):
        if self.path is None or epoch == self.epochs or time.monotonic() - self.written < EVERY:
            return
        kept = ("wait", "best", "best_epoch")
        seen = {"known": self.known, "lines": self.log.lines, "seconds": self.log.seconds}
        seen["stopping"] = {name: getattr(self.stopping, name) for name in kept} if self.stopping else {}
        lists = {"state": [variable.numpy() for variable in self._variables()], "last": self.log.weights or []}
        lists["best"] = (self.stopping and self.stopping.best_weights) or []
        arrays = {f"{name}{i}": value for name, values in lists.items() for i, value in enumerate(values)}
        file = io.BytesIO()
        np.savez(file, seen=json.dumps(seen), **arrays)
        store.write_atomically(self.path, file.getvalue())
        self.written = time.monotonic()

    def _variables(self):
        return self.model.variables + self.model.optimizer.variables

    def _read(self):
        """Return what callbacks had seen, and lists of arrays; None where the file is not there or not of this run."""
        try:
            with np.load(self.path) as file:
                seen, names = json.loads(str(file["seen"])), file.files
                if seen["known"] != self.known:
                    return None
                lists = {name: [n for n in names if n.startswith(name)] for name in ("state", "last", "best")}
                order = {name: sorted(each, key=lambda n: int(n[len(name) :])) for name, each in lists.items()}
                return seen, {name: [file[n] for n in each] for name, each in order.items()}
        except (OSError, ValueError, KeyError, EOFError):
            return None
