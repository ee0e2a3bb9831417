"""A killed run goes on from where it was, to the same bits."""

import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cnnkit.lab import checkpoint, store, training
from cnnkit.lab.config import RunConfig

COMMON = {"train_size": 200, "model": "caffe_quick", "learning_rate": 0.01, "epochs": 4}
RUNS = {
    "dropout, flips, momentum, batch norm": {
        "model_args": {"dropout_rate": 0.5, "batch_norm": True},
        "augmentation": "flip+shift",
        "optimizer_args": {"momentum": 0.9},
        "schedule": "cosine",
    },
    "an average": {"ema": 0.9, "optimizer": "adam"},
    "stopped early": {"early_stopping": 2, "learning_rate": 0.02, "epochs": 12},
}
# A process that dies when its third epoch begins, whose start is kept.
KILLED = """
import os, signal, sys
from pathlib import Path
from cnnkit.lab import checkpoint, training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.provenance import use_one_thread

checkpoint.EVERY, written = 0, checkpoint.Checkpoint.on_epoch_begin

def die(self, epoch, logs=None):
    written(self, epoch, logs)
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.Checkpoint.on_epoch_begin = die
use_one_thread()
training.train(RunConfig(**FIELDS), checkpoint=Path(PATH))
"""


def same(one, other):
    """Whether two runs ended alike; a row says nothing of bits in its seconds and its commit."""
    skipped = {"train_seconds", "commit", "error"}
    rows = [pd.Series({name: value for name, value in run.row.items() if name not in skipped}) for run in (one, other)]
    pd.testing.assert_series_equal(*rows)
    pd.testing.assert_frame_equal(*(run.history.drop(columns="seconds") for run in (one, other)))
    for a, b in zip(one.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_goes_on_to_the_same_bits(name, tmp_path):
    fields, path = COMMON | RUNS[name], tmp_path / "run.npz"
    script = f"FIELDS, PATH = {fields!r}, {str(path)!r}\n{KILLED}"
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == -signal.SIGKILL and path.exists()

    whole = training.train(RunConfig(**fields))
    trained = []
    begin = checkpoint.Checkpoint.on_epoch_begin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "on_epoch_begin", lambda *args: (trained.append(args[1]), begin(*args)))
        same(training.train(RunConfig(**fields), checkpoint=path), whole)
    assert trained[0] == 2 and len(trained) == len(whole.history) - 2


def test_a_short_run_keeps_nothing_and_a_file_of_another_run_is_not_read(tmp_path, monkeypatch):
    path, short = tmp_path / "run.npz", RunConfig(train_size=100, model="softmax", epochs=2)
    training.train(short, checkpoint=path)
    assert not path.exists()

    monkeypatch.setattr(checkpoint, "EVERY", 0)
    training.train(short, checkpoint=path)
    assert path.exists()
    for content in (path.read_bytes(), b"no archive", b""):
        path.write_bytes(content)
        other = training.train(short.replace(seed=2), checkpoint=path)
        same(other, training.train(short.replace(seed=2)))


def test_a_staged_row_needs_no_checkpoint_any_more(results_root):
    path = store.checkpoint_path("scratch", "0123456789ab")
    store.write_atomically(path, b"state")
    run = training.train(RunConfig(train_size=100, model="softmax", epochs=1))
    store.stage(run.row | {"run_id": "0123456789ab"}, run.history, "scratch")
    assert not path.exists() and len(store.read_runs("scratch")) == 1
