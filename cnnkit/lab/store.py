"""The store: rows of finished runs, in and out, and summaries with intervals. Imports neither Keras nor TensorFlow.

A run is written whole to its own file under `<results>/.staging/<experiment>/` the moment it ends; `rebuild` then folds
these files into `<results>/<experiment>/runs.csv` and `history.csv`. Every write is temporary name, fsync, rename, so a
process killed at any moment loses at most the runs that were still training.
"""

import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from scipy import stats

from cnnkit import HOME

# Digests and versions look like numbers now and then ("12e45"): they are read as text.
TEXT_COLUMNS = ("run_id", "error", "data_sha256", "model_sha256", "cnnkit", "keras", "backend", "device", "commit")
TIME_COLUMNS = ("train_seconds", "seconds")  # the only columns in which two runs of one config may differ
FINAL = ("completed", "diverged")  # a failed run is tried again, these are results


def profile():
    """Return `$CNNKIT_PROFILE`: `"smoke"` (the default) or `"full"`.

    Raises:
        ValueError: If the variable holds anything else.
    """
    name = os.environ.get("CNNKIT_PROFILE") or "smoke"
    if name not in ("smoke", "full"):
        raise ValueError(f"Expected CNNKIT_PROFILE to be smoke or full. Received: CNNKIT_PROFILE={name}.")
    return name


def results_dir(name=None):
    """Return the folder of all experiments: `$CNNKIT_RESULTS_DIR` or `results/`; in the smoke profile its `smoke/`.

    Args:
        name: `"smoke"` or `"full"`; the profile of this process when None.
    """
    base = Path(os.environ.get("CNNKIT_RESULTS_DIR") or HOME / "results")
    return base / "smoke" if (name or profile()) == "smoke" else base


def write_atomically(path, text):
    """Write `text` (str or bytes) to `path` so that a reader sees the old file or the new one, never a part.

    Raises:
        OSError: If the folder cannot be written or the disk is full; the old file is then untouched.
    """
    path = Path(path)
    data = text.encode() if isinstance(text, str) else text
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(
            f"Expected to write {path.name} in {path.parent}. Received: {error.strerror or error}. "
            "Free some space, make the folder writable or set CNNKIT_RESULTS_DIR to another; finished runs are kept."
        ) from error


def check_writable(experiment, root=None):
    """Raise an OSError now, before hours of training, if the rows of an experiment could not be written."""
    probe = _staging(experiment, root) / ".probe"
    write_atomically(probe, bytes(4096))  # a full disk still takes an empty file
    probe.unlink(missing_ok=True)


def stage(row, history, experiment, root=None, *, replace=False):
    """Write one finished run to its own file, where no other process can touch it.

    Args:
        row: Dict, one value a column of `runs.csv`; it has a `run_id`.
        history: DataFrame of one line an epoch, without `run_id`.
        experiment: String, the experiment's name.
        root: Folder of all experiments; `results_dir()` when None.
        replace: Boolean. True lets a failed run take the place of a finished one: that one was stale.
    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    record = {"row": row, "history": history.to_dict("records"), "replace": replace}
    name = f"{row['run_id']}.{time.time_ns()}.json"  # no name twice, and oldest first
    write_atomically(_staging(experiment, root) / name, json.dumps(record))


def read_runs(experiment, root=None):
    """Return one line a run, staged ones included, sorted by `run_id`; an empty frame if there are none."""
    return _merged(experiment, root)[0]


def read_history(experiment, root=None):
    """Return one line a run and epoch, staged ones included, sorted so; an empty frame if there are none."""
    return _merged(experiment, root)[1]


def rebuild(experiment, root=None):
    """Fold the staged runs of an experiment into its two tables, under a lock. Safe to be killed at any point."""
    root = Path(root or results_dir())
    if not _staged_files(experiment, root):  # tables may be read where nothing can be written
        return
    lock = root / ".locks" / f"{experiment}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        staged = _staged_files(experiment, root)
        runs, history = _merged(experiment, root)
        write_atomically(root / experiment / "runs.csv", runs.to_csv(index=False, lineterminator="\n"))
        write_atomically(root / experiment / "history.csv", history.to_csv(index=False, lineterminator="\n"))
        for path in staged:  # only now, when both tables are on the disk
            path.unlink(missing_ok=True)
        for path in (root / experiment).glob(".*.csv.*"):  # what a process killed while it wrote has left
            path.unlink(missing_ok=True)


def summarise(frame, by, metric):
    """Summarise a metric over seeds with a 95% Student-t interval.

    Args:
        frame: DataFrame of runs.
        by: Column name or list of them: the arms.
        metric: Column name; missing values (of diverged runs) are left out of mean and n.
    Returns:
        DataFrame: the `by` columns and `mean, low, high, n`, one line an arm. With n = 1, low and high are NaN. Its
        `attrs["metric"]` keeps the metric's name, for whoever prints it.
    """
    by = [by] if isinstance(by, str) else list(by)
    groups = frame.groupby(by, dropna=False)[metric]
    table = groups.agg(mean="mean", deviation="std", n="count").reset_index()
    half = _half_width(table.pop("deviation"), table["n"])
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    table.attrs["metric"] = metric
    return table[[*by, "mean", "low", "high", "n"]]


def student_interval(values):
    """Return `(mean, low, high)` of a 95% Student-t interval; low and high are NaN for fewer than two values."""
    values = pd.Series(values, dtype=float).dropna()
    half = _half_width(values.std(), len(values))
    return values.mean(), values.mean() - half, values.mean() + half


def _half_width(deviation, n):
    n = np.asarray(n, dtype=float)
    freedom = np.where(n > 1, n - 1, np.nan)
    return stats.t.ppf(0.975, freedom) * deviation / np.sqrt(np.where(n > 1, n, np.nan))


def _staging(experiment, root):
    return Path(root or results_dir()) / ".staging" / experiment


def _staged_files(experiment, root):
    return sorted(_staging(experiment, root).glob("*.json"))


def _read_table(source):
    if isinstance(source, Path) and not source.exists():
        return pd.DataFrame(columns=["run_id", "epoch" if source.stem == "history" else "status"])
    return pd.read_csv(source, dtype=dict.fromkeys(TEXT_COLUMNS, "str"), low_memory=False)


def _merged(experiment, root):
    """Return the runs and history of the tables with the staged runs laid over them."""
    root = Path(root or results_dir())
    staged = []
    for path in _staged_files(experiment, root):
        with contextlib.suppress(FileNotFoundError):  # another process has just folded it in
            staged.append(json.loads(path.read_text()))
    runs, history = (_read_table(root / experiment / name) for name in ("runs.csv", "history.csv"))
    new = _newest(staged, finished=set(runs.loc[runs["status"].isin(FINAL), "run_id"]))
    if not new:
        return runs, history
    new_runs = pd.DataFrame([record["row"] for record in new.values()])
    new_history = pd.DataFrame([{"run_id": id, **line} for id, record in new.items() for line in record["history"]])
    return _overlay(runs, new_runs, new, ["run_id"]), _overlay(history, new_history, new, ["run_id", "epoch"])


def _newest(staged, finished):
    """Return the record that counts by run id: the newest one, but a failed one never over a result."""
    new = {}
    for record in staged:
        run_id, final = record["row"]["run_id"], record["row"]["status"] in FINAL
        if final or record["replace"] or run_id not in finished:
            new[run_id] = record
        if final:
            finished.add(run_id)
    return new


def _overlay(old, new, ids, keys):
    """Replace the lines of `ids` in `old` by those of `new`, through CSV, so that types do not depend on who wrote."""
    kept = old[~old["run_id"].isin(list(ids))]
    frames = [f for f in (kept, new) if len(f)]
    if not frames:
        return old.iloc[:0]
    columns = list(dict.fromkeys(column for f in (new, old) for column in f.columns))
    texts = [f.astype(object).where(f.notna(), None) for f in frames]
    table = pd.concat(texts, ignore_index=True).reindex(columns=columns).sort_values(keys)
    return _read_table(io.StringIO(table.to_csv(index=False)))
