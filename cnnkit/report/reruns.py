"""Train stored rows again and compare.

A row made on this kind of CPU (or GPU) with these versions must come out bit for bit. One from elsewhere must come out
within the spread of the seeds of its arm, so that an arm of one or two seeds from elsewhere cannot be checked.
"""

import dataclasses
import os
import tempfile
from unittest import mock

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
    """Train a sample of rows (each with its `experiment`) again, in a store of their own; yield `(outcome, text)`."""
    rows = _with_spread(rows[rows["status"].isin(store.FINAL)])
    for dataset in sorted(name for name in set(rows["dataset"]) if not data.is_available(name)):
        lost = rows["dataset"] == dataset
        yield "skip", f"re-runs of {lost.sum()} rows on {dataset}: it is not here; CNNKIT_DATA_DIR says where to look"
        rows = rows[~lost]
    lone = ~rows["here"] & (rows["seeds"] < FEWEST)
    if lone.any():
        why = f"from another device or other versions, and under {FEWEST} seeds show no spread to judge them by"
        yield "skip", f"re-runs of {lone.sum()} rows: {why}"
    chosen = _pick(rows[~lone], sample, seed).to_dict("records")
    if len(chosen) < sample:
        yield "skip", f"re-runs: {len(chosen)} instead of {sample}, no other row here fits into {BUDGET} s of training"
    if not chosen:
        return
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, CNNKIT_RESULTS_DIR=folder):
        again = sweeps.run_all([RunConfig.from_row(row) for row in chosen], "verify").set_index("run_id", drop=False)
        epochs = store.read_history("verify")
    for row in chosen:
        old = history[(history["run_id"] == row["run_id"]) & (history["experiment"] == row["experiment"])]
        new = epochs[epochs["run_id"] == row["run_id"]] if len(epochs) else epochs
        yield _compare(row, again.loc[row["run_id"]], old, new)


def _with_spread(rows):
    """Add whether a row was made on what is `here`, and its arm's `seeds` and `deviation` of the test accuracy."""
    arm = ["experiment", *(field.name for field in dataclasses.fields(RunConfig) if field.name in rows)]
    arm.remove("seed")
    accuracy = rows.groupby(arm, dropna=False)["test_accuracy"]
    here = rows["device"].str.startswith((gpu_names() or [cpu_name()])[0])
    here &= (rows["keras"] == keras.__version__) & (rows["backend"] == provenance()["backend"])
    return rows.assign(deviation=accuracy.transform("std"), seeds=accuracy.transform("size"), here=here)


def _pick(rows, sample, seed):
    """Return up to `sample` rows in random order, leaving out each that would exceed the budget."""
    rows = rows.sort_values(["experiment", "run_id"]).sample(frac=1, random_state=seed)
    on_cpu = rows["device"].str.contains(r"threads?$", na=False)
    chosen, left = [], BUDGET
    for place, cost in enumerate(rows["train_seconds"] * np.where(on_cpu, 1, ACCELERATOR)):
        if len(chosen) < sample and cost <= left:
            chosen.append(place)
            left -= cost
    return rows.iloc[chosen]


def _compare(old, new, old_history, new_history):
    """Return the outcome for a row, and its text: the same bits are due where it was made on what is here."""
    name = f"re-run of {old['run_id']} ({old['model']} on {old['dataset']}, seed {old['seed']}, {old['experiment']})"
    if new["status"] == "failed":
        return "FAIL", f"{name}: {new['error']}"
    alike = all(old[column] == new[column] for column in PLACE)
    due = [column for column in new.index if column not in FREE] if alike else ["data_sha256", "num_params", "status"]
    was = {**old, **RunConfig.from_row(old).to_row()}  # a field younger than the row has its default
    wrong = [column for column in due if not is_same(was.get(column), new[column])]
    differ = [f"{column} is {was.get(column)} and came out {new[column]}" for column in wrong]
    if alike:
        columns = new_history.columns.difference(["run_id", "seconds"])
        epochs = [frame[columns].to_numpy(float) for frame in (old_history, new_history)]
        differ += [] if np.array_equal(*epochs, equal_nan=True) else ["history"]
    if differ:
        why = "; the same bits were due (same device and versions)" if alike else ""
        return "FAIL", f"{name}: {'; '.join(differ)}{why}"
    if alike:
        return "ok", f"{name}: bit for bit (same device and versions), test accuracy {new['test_accuracy']:.2%}"
    allowed = max(DEVIATIONS * old["deviation"], ALLOWANCE)
    within = abs(old["test_accuracy"] - new["test_accuracy"]) <= allowed
    words = f"{name}: test accuracy {old['test_accuracy']:.2%} recorded, {new['test_accuracy']:.2%} now"
    rule = f"{100 * allowed:.2f} pp, {DEVIATIONS} standard deviations over {old['seeds']} seeds and at least 1 pp"
    spread = f"within the spread ({rule}; other device or versions)"
    return ("ok", f"{words}, {spread}") if within else ("FAIL", f"{words}, not {spread}")


def is_same(one, other):
    """Return whether two values of a table are the same; missing ones are."""
    return one == other or (pd.isna(one) and pd.isna(other))
