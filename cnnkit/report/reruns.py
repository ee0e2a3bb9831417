"""Train stored rows again and compare.

A row made on this kind of CPU (or GPU) with these versions must come out bit for bit. One from elsewhere must come out
within the spread of the seeds of its arm, so that an arm of one or two seeds from elsewhere cannot be checked.
"""

import contextlib
import dataclasses
import os
import tempfile

import keras
import numpy as np
import pandas as pd

from cnnkit import data
from cnnkit.lab import store, sweeps
from cnnkit.lab.config import RunConfig
from cnnkit.lab.provenance import cpu_name, gpu_names, provenance

BUDGET = 240  # recorded seconds of training in a sample, so that two cores of half that speed stay under ten minutes
ACCELERATOR = 60  # what a recorded second of a GPU counts: a core may take a minute for it
DEVIATIONS, ALLOWANCE, FEWEST = 4, 0.01, 3  # from elsewhere: 4 standard deviations over 3 seeds or more, at least 1 pp
FREE = {"commit", "cnnkit", "experiment", "deviation", "seeds", "here", *store.TIME_COLUMNS}  # may differ
PLACE = ("device", "keras", "backend")  # where a row was made


def check_reruns(rows, history, sample, seed):
    """Train a sample of rows again, one thread a run, in a store that is thrown away.

    Args:
        rows: DataFrame of runs with an `experiment` column.
        history: DataFrame of their epochs with an `experiment` column.
        sample: Integer, rows to take; fewer where they would cost more than `BUDGET` recorded seconds.
        seed: Integer, which rows.
    Yields:
        `(outcome, text)`: `"ok"`, `"FAIL"` or `"skip"`, and what was compared how.
    """
    if sample == 0 or rows.empty:
        yield "skip", "re-runs: there are no rows" if rows.empty else "re-runs: none asked for"
        return
    rows = _with_spread(rows[rows["status"].isin(store.FINAL)])
    for lost, text in _out_of_reach(rows):
        rows = rows[~lost.reindex(rows.index)]
        yield "skip", f"re-runs of {lost.sum()} rows{text}"
    chosen = _pick(rows, sample, seed).to_dict("records")
    if len(chosen) < sample:
        yield "skip", f"re-runs: {len(chosen)} instead of {sample}, no other row here fits into {BUDGET} s of training"
    if not chosen:
        return
    with _empty_store():
        configs = [RunConfig.from_row(row) for row in chosen]
        again = sweeps.run_all(configs, "verify").set_index("run_id", drop=False)
        again_history = store.read_history("verify")
    for row in chosen:
        old = history[(history["run_id"] == row["run_id"]) & (history["experiment"] == row["experiment"])]
        new = again_history[again_history["run_id"] == row["run_id"]] if len(again_history) else again_history
        yield _compare(row, again.loc[row["run_id"]], old, new)


@contextlib.contextmanager
def _empty_store():
    """Let this process read and write results in a temporary folder."""
    before = os.environ.get("CNNKIT_RESULTS_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNKIT_RESULTS_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["CNNKIT_RESULTS_DIR"]
            os.environ |= {} if before is None else {"CNNKIT_RESULTS_DIR": before}


def _with_spread(rows):
    """Add whether a row was made on what is `here`, and its arm's `seeds` and `deviation` of the test accuracy."""
    arm = ["experiment", *(field.name for field in dataclasses.fields(RunConfig) if field.name != "seed")]
    accuracy = rows.groupby(arm, dropna=False)["test_accuracy"]
    place = (gpu_names() or [cpu_name()])[0]
    here = rows["device"].str.startswith(place) & (rows["keras"] == keras.__version__)
    here &= rows["backend"] == provenance()["backend"]
    return rows.assign(deviation=accuracy.transform("std"), seeds=accuracy.transform("size"), here=here)


def _out_of_reach(rows):
    """Yield `(Boolean Series, why)` for rows that cannot be trained or judged here."""
    for dataset in sorted(set(rows["dataset"])):
        if not data.is_available(dataset):
            yield rows["dataset"] == dataset, f" on {dataset}: it is not here (CNNKIT_DATA_DIR=folder of {dataset}.npz)"
    lone = ~rows["here"] & (rows["seeds"] < FEWEST) & rows["dataset"].map(data.is_available)
    if lone.any():
        yield lone, f": from another device or other versions, and under {FEWEST} seeds show no spread to judge them by"


def _pick(rows, sample, seed):
    """Return up to `sample` rows in random order, leaving out each that would exceed the budget."""
    rows = rows.sort_values(["experiment", "run_id"]).sample(frac=1, random_state=seed)
    on_cpu = rows["device"].str.contains(r"threads?$", na=False)
    costs = rows["train_seconds"] * np.where(on_cpu, 1, ACCELERATOR)
    chosen, spent = [], 0
    for place, cost in enumerate(costs):
        if len(chosen) < sample and spent + cost <= BUDGET:
            chosen.append(place)
            spent += cost
    return rows.iloc[chosen]


def _compare(old, new, old_history, new_history):
    name = f"re-run of {old['run_id']} ({old['model']} on {old['dataset']}, seed {old['seed']}, {old['experiment']})"
    if new["status"] == "failed":
        return "FAIL", f"{name}: {new['error']}"
    if all(old[column] == new[column] for column in PLACE):
        differ = [column for column in new.index if column not in FREE and not is_same(old.get(column), new[column])]
        columns = [name for name in new_history.columns if name not in ("run_id", "seconds")]
        epochs = [frame[columns].to_numpy(float) for frame in (old_history, new_history)]
        differ += [] if np.array_equal(*epochs, equal_nan=True) else ["history"]
        why = "(same device and versions)"
        if differ:
            return "FAIL", f"{name}: {_tell(differ, old, new)}; the same bits were due {why}"
        return "ok", f"{name}: bit for bit {why}, test accuracy {new['test_accuracy']:.2%}"
    return _compare_loosely(name, old, new)


def _compare_loosely(name, old, new):
    differ = [column for column in ("data_sha256", "num_params", "status") if old[column] != new[column]]
    if differ:
        return "FAIL", f"{name}: {_tell(differ, old, new)}"
    allowed = max(DEVIATIONS * old["deviation"], ALLOWANCE)
    away = abs(old["test_accuracy"] - new["test_accuracy"])
    words = f"test accuracy {old['test_accuracy']:.2%} recorded, {new['test_accuracy']:.2%} now"
    rule = f"{100 * allowed:.2f} pp, {DEVIATIONS} standard deviations over {old['seeds']} seeds and at least 1 pp"
    how = f"{words}, {'within' if away <= allowed else 'not within'} the spread ({rule}; other device or versions)"
    return "ok" if away <= allowed else "FAIL", f"{name}: {how}"


def is_same(one, other):
    """Return whether two values of a table are the same; missing ones are."""
    return one == other or (pd.isna(one) and pd.isna(other))


def _tell(columns, old, new):
    return "; ".join(f"{name} is {old[name]} and came out {new[name]}" if name in new else name for name in columns)
