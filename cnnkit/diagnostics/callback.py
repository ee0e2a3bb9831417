"""`Diagnose`, the callback that says what is wrong while it can still be mended."""

import itertools
import time

import keras

from cnnkit.diagnostics.model_rules import add_data
from cnnkit.diagnostics.rules import KNOWN, diagnose
from cnnkit.diagnostics.telling import tell_findings


class Diagnose(keras.callbacks.Callback):
    """Say each symptom once: of `data` before training, of the curves after an epoch, of the model at the end.

    Args:
        data: As for `diagnose`.
        pipeline: The batches that `fit` reads (a `tf.data.Dataset`, a `PyDataset`), to time them alone beforehand.
        say: Function that takes a text.
        **known: As for `diagnose`.
    `found` is the last diagnosis.
    """

    def __init__(self, data=None, pipeline=None, say=print, **known):
        super().__init__()
        self.data, self.pipeline, self.say, self.known = data, pipeline, say, known
        self.lines, self.said, self.found, self.step = [], set(), None, float("inf")
        if data is not None:
            add_data(counts := {}, data)
            self.known = {name: counts[name] for name in KNOWN if name in counts} | known

    def on_train_begin(self, logs=None):
        if self.data is not None:
            self._tell(diagnose(data=self.data, **self.known))
        if self.pipeline is not None:
            read = self.pipeline
            batches = map(read.__getitem__, range(len(read))) if hasattr(read, "__getitem__") else read
            begun = time.perf_counter()
            count = sum(1 for _ in itertools.islice(batches, 50))
            self.input = (time.perf_counter() - begun) / count

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.ended, self.batches = time.perf_counter(), batch + 1

    def on_epoch_end(self, epoch, logs=None):
        self.lines.append({"epoch": epoch, "time": self.ended - self.begun} | (logs or {}))
        if self.pipeline is not None:  # the first step compiles: the quickest epoch counts
            self.step = min(self.step, (self.ended - self.begun) / self.batches)
            self.known["input_share"] = min(1.0, self.input / self.step)
        self._tell(diagnose(self._history(), **self.known))

    def on_train_end(self, logs=None):
        if self.data is not None and self.lines:
            self._tell(diagnose(self._history(), self.model, self.data, **self.known))

    def _history(self):
        names = dict.fromkeys(name for line in self.lines for name in line)
        return {name: [line.get(name) for line in self.lines] for name in names}

    def _tell(self, found):
        self.found = found
        fresh = found[~found["symptom"].isin(self.said)]
        self.said |= {*fresh["symptom"]}
        if len(fresh):
            self.say(tell_findings(fresh))
