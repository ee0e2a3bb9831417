"""The wait before a page: the largest experiment of the course, planned and read from rows that are all there."""

import os
import statistics
import tempfile
import time

import numpy as np
import pandas as pd

from benchmarks.measure import Ratio, in_process

REPEATS, EPOCHS = 5, 12


def measure():
    """Return one ratio of seconds."""
    with tempfile.TemporaryDirectory() as folder:
        (name, runs, ours, theirs), _ = in_process(read_largest, CNNKIT_RESULTS_DIR=folder, CNNKIT_PROFILE="full")
    what = f"`load_experiment({name!r}).read('full')`, {runs} runs: rates, seeds, what is missing"
    return [Ratio(what, ours, theirs, "s", "`pandas.read_csv` of the same two files", "under 1 s", ours < 1)]


def read_largest():
    """Return the largest experiment's name, its runs, and the seconds of reading it and of reading its tables alone."""
    from cnnkit import course
    from cnnkit.evidence.experiment import Experiment
    from cnnkit.lab import store

    experiments = [course.load_experiment(name) for name in course.list_experiments()]
    largest = max(
        (one for one in experiments if isinstance(one, Experiment)), key=lambda e: len(e.read("full").configs)
    )
    while missing := largest.read("full").missing:
        write(largest.name, missing)
    folder = os.path.join(store.results_dir("full"), largest.name)
    ours = [seconds_of(lambda: largest.read("full")) for _ in range(REPEATS)]
    tables = [os.path.join(folder, name) for name in ("runs.csv", "history.csv")]
    theirs = [seconds_of(lambda: [pd.read_csv(path) for path in tables]) for _ in range(REPEATS)]
    return largest.name, len(largest.read("full").runs), statistics.median(ours), statistics.median(theirs)


def write(name, configs):
    """Add a made-up row and its epochs for each config to an experiment's tables."""
    from cnnkit.lab import store

    rows, lines = [], []
    for config in configs:
        accuracy = 0.9 - abs(np.log2(config.learning_rate / 0.04)) / 100 + config.seed / 1e5
        scores = {f"{split}_accuracy": accuracy for split in ("train", "val", "test")} | {"val_score": accuracy}
        words = {"run_id": config.run_id, **config.to_row(), "status": "completed", "error": None}
        numbers = {"majority_share": 0.1, "test_images": 10_000, "train_seconds": 9.0, "num_params": 7850}
        rows.append(words | scores | numbers | {"commit": "0123456789"})
        epochs = pd.DataFrame({"run_id": config.run_id, "epoch": range(1, EPOCHS + 1), "seconds": 1.0})
        lines.append(epochs.assign(train_loss=0.1, train_accuracy=0.9, val_loss=0.1, val_accuracy=accuracy))
    for table, frame in (("runs", pd.DataFrame(rows)), ("history", pd.concat(lines))):
        path = store.results_dir("full") / name / f"{table}.csv"
        frame = pd.concat([pd.read_csv(path), frame]) if path.exists() else frame
        keys = ["run_id"] if table == "runs" else ["run_id", "epoch"]
        store.write_atomically(path, frame.sort_values(keys).to_csv(index=False))


def seconds_of(function):
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun
