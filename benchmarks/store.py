"""The wait before the first word and the first figure: `--help`, an import, and a table of 10,000 runs."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import ROOT, Ratio, in_process

RUNS, EPOCHS, RATES, REPEATS = 10_000, 5, 20, 5
OPTIMIZERS = ("adam", "adamw", "momentum", "rmsprop", "sgd")


def measure():
    """Return three ratios of seconds."""
    with tempfile.TemporaryDirectory() as folder:
        write_experiment(folder)
        (ours, theirs), _ = in_process(read_and_draw, folder)
    what = f"read {RUNS:,} runs with {RUNS * EPOCHS:,} epochs, summarise, save a figure"
    wait = statistics.median(seconds_of("-m", "cnnkit", "--help") for _ in range(REPEATS))
    nothing = statistics.median(seconds_of("-c", "pass") for _ in range(REPEATS))
    first, keras_first = (statistics.median(run) for run in zip(*(imports() for _ in range(3)), strict=True))
    loaded, _ = in_process(heavy_modules)
    return [
        Ratio(what, ours, theirs, "s", "`pandas.read_csv` of the same two files", "under 2 s", ours < 2),
        Ratio("`python -m cnnkit --help`", wait, nothing, "s", "`python -c pass`", "under 0.5 s", wait < 0.5),
        Ratio(
            "`import cnnkit.lab.store`",
            first,
            keras_first,
            "s",
            "`import keras`",
            "loads neither Keras nor TensorFlow",
            not loaded,
        ),
    ]


def write_experiment(folder):
    """Write the tables of an experiment of `RUNS` made-up runs, with the columns that real ones have."""
    rng = np.random.default_rng(1)
    ids = np.array([f"{number:012x}" for number in rng.choice(16**12, RUNS, replace=False)])
    arm, seed = np.arange(RUNS) % (RATES * len(OPTIMIZERS)), np.arange(RUNS) // (RATES * len(OPTIMIZERS)) + 1
    same = {"dataset": "mnist", "train_size": 6000, "model": "lenet5_modern", "model_args": "{}", "batch_size": 64}
    origin = {name: 64 * "a" for name in ("data_sha256", "model_sha256")} | {"cnnkit": "0.1", "commit": "0123456789"}
    settings = {
        "optimizer": np.take(OPTIMIZERS, arm // RATES),
        "learning_rate": np.geomspace(1e-4, 1, RATES)[arm % RATES],
        "seed": seed,
    }
    names = [f"{split}_{metric}" for split in ("train", "val", "best_val", "test") for metric in ("loss", "accuracy")]
    metrics = {name: rng.random(RUNS) for name in [*names, "train_seconds"]}
    runs = pd.DataFrame({"run_id": ids, **same, **settings, "status": "completed", "error": None, **metrics, **origin})
    lines = RUNS * EPOCHS
    columns = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
    history = {"run_id": np.repeat(ids, EPOCHS), "epoch": np.tile(np.arange(1, EPOCHS + 1), RUNS)}
    history = pd.DataFrame(history | {name: rng.random(lines) for name in columns})
    for name, table in (("runs", runs), ("history", history)):
        path = Path(folder, "made_up", f"{name}.csv")
        path.parent.mkdir(exist_ok=True)
        table.to_csv(path, index=False)


def read_and_draw(folder):
    """Return the seconds from the tables to a figure on the disk, and those of reading them with pandas alone."""
    import matplotlib

    matplotlib.use("agg")
    from cnnkit import plots
    from cnnkit.lab import store

    begun = time.perf_counter()
    runs = store.read_runs("made_up", folder)
    store.summarise(runs, ["optimizer", "learning_rate"], "val_accuracy")
    axes = plots.plot_sweep(runs, hue="optimizer")
    plots.save_figure(axes, f"{folder}/sweep.png", experiment="made_up", rows=runs)
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    for name in ("runs", "history"):
        pd.read_csv(f"{folder}/made_up/{name}.csv")
    return ours, time.perf_counter() - begun


def seconds_of(*arguments):
    """Return the wall time of a Python process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - begun


def imports():
    return seconds_of("-c", "import cnnkit.lab.store"), seconds_of("-c", "import keras")


def heavy_modules():
    """Return which of the slow modules reading and drawing loads."""
    import cnnkit.lab.store  # noqa: F401

    return [name for name in ("keras", "tensorflow") if name in sys.modules]
