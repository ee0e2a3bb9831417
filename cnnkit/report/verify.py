"""Does what is committed still hold? Tables, figures and verdicts are derived again, a few rows trained again."""

import collections
import difflib
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from cnnkit import course
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig
from cnnkit.plots import read_provenance
from cnnkit.report import gallery
from cnnkit.report.reruns import BUDGET, check_reruns, is_same

NEEDED = ["status", *store.METRICS, "best_epoch", "num_params", "epochs_run", "train_seconds"]
NEEDED += ["data_sha256", "model_sha256", "cnnkit", "keras", "backend", "device", "commit"]


def verify(sample=5, seed=1):
    """Check everything under `results/` (the full profile), printing one line a check.

    Args:
        sample: Integer, rows to train again; fewer if they would cost more than `reruns.BUDGET` seconds.
        seed: Integer, which rows.
    Returns:
        Integer, the exit status: 1 if anything does not hold, else 0.
    Raises:
        ValueError: If sample or seed is negative.
    """
    if sample < 0 or seed < 0:
        raise ValueError(f"Expected sample and seed of at least 0. Received: sample={sample}, seed={seed}.")
    print(f"Up to {sample} rows (seed {seed}), together at most {BUDGET} s of training, are trained again at the end.")
    counts = collections.Counter(ok=0, skip=0, FAIL=0)
    for outcome, text in _checks(store.results_dir("full"), sample, seed):
        counts[outcome] += 1
        print(f"{outcome:4}  {text}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return int(counts["FAIL"] > 0)


def _checks(root, sample, seed):
    """Yield `(outcome, text)` a check."""
    tables, sound = [], True
    for name in course.list_experiments():
        try:
            runs, history = store.read_runs(name, root), store.read_history(name, root)
            problems = _table_problems(root / name, runs, history) if len(runs) else []
        except (ValueError, OSError) as error:  # a damaged table, or rows that are only staged
            runs, problems = [], [str(error)]
        for problem in problems:
            sound = False
            yield "FAIL", f"tables of {name}: {problem}"
        if len(runs) and not problems:
            tables.append((runs.assign(experiment=name), history.assign(experiment=name)))
            unasked = len(set(runs["run_id"]) - set(course.findings(name).configs))
            agree = f"{len(runs)} runs and their {len(history)} epochs agree"
            yield "ok", f"tables of {name}: {agree}" + (f"; {unasked} runs are asked for by nothing" if unasked else "")
    yield from _check_derived(root)
    if tables and sound:
        frames = (pd.concat(frames, ignore_index=True) for frames in zip(*tables, strict=True))
        yield from check_reruns(*frames, sample, seed)
    else:
        yield "skip", "re-runs: there are no rows" if sound else "re-runs: mend the tables first"


def _table_problems(folder, runs, history):
    """Return what is wrong with the form of two tables or, where nothing is, with their rows."""
    if missing := [name for name in NEEDED if name not in runs]:
        return [f"{', '.join(missing)} missing"]
    problems = []
    for name, frame, keys in (("runs.csv", runs, ["run_id"]), ("history.csv", history, ["run_id", "epoch"])):
        if frame.sort_values(keys).to_csv(index=False, lineterminator="\n") != (folder / name).read_text():
            problems.append(f"{name} is not as the store writes it, sorted and with all staged rows: `make results`")
    rows = runs.set_index("run_id", drop=False).to_dict("index")
    lines = dict(list(history.groupby("run_id")))
    wrong = {run_id: _row_problem(rows.get(run_id), lines.get(run_id)) for run_id in sorted({*rows, *lines})}
    return problems or [f"row {run_id}: {problem}" for run_id, problem in wrong.items() if problem]


def _row_problem(row, lines):
    """Return what of a row does not follow from its config and its history, or None."""
    if row is None:
        return "missing in runs.csv, its epochs are in history.csv"
    try:
        run_id = RunConfig.from_row(row).run_id
    except (ValueError, TypeError, KeyError) as error:
        return f"no config has these fields. {error}"
    if run_id != row["run_id"]:
        return f"its fields are those of run {run_id}"
    if row["status"] == "failed":
        return None
    epochs = [] if lines is None else lines["epoch"].tolist()
    if not epochs or epochs != list(range(1, int(row["epochs_run"]) + 1)):
        return f"epochs_run is {row['epochs_run']}, and history.csv has the epochs {epochs}"
    finite = np.isfinite(lines[["train_loss", "val_loss"]]).all(axis=None)
    if row["status"] != ("completed" if finite else "diverged"):
        return f"its status is {row['status']}, and its losses {'are' if finite else 'are not'} all finite"
    best = lines.loc[lines["val_accuracy"].idxmax()]
    expected = {
        "best_epoch": best["epoch"],
        "best_val_accuracy": best["val_accuracy"],
        "best_val_loss": lines["val_loss"].min(),
        "val_score": lines["val_accuracy"].tail(2).mean(),
        "train_seconds": lines["seconds"].iloc[-1],
    }
    for name, value in expected.items():
        if not is_same(row[name], value if np.isfinite(value) else np.nan):
            return f"{name} is {row[name]}, and history.csv says {value}"
    wild = [name for name in store.METRICS if name.endswith("accuracy") and not 0 <= row[name] <= 1]
    return f"{wild[0]} is {row[wild[0]]}, no fraction" if wild else None


def _check_derived(root):
    """Yield a line for each figure, for claims.csv and for each page: derived again, they must be the same."""
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder)
        try:
            gallery.derive(again)
        except Exception as error:  # whatever a damaged row leads to
            yield "FAIL", f"figures and verdicts cannot be derived: {type(error).__name__}: {error}"
            return
        files = {path.relative_to(top) for top in (root, again) for path in top.glob("*/*.png")}
        files |= {path.relative_to(again) for path in again.rglob("*.*") if path.suffix in (".csv", ".md")}
        for file in sorted(files):
            problem = _file_problem(root / file, again / file)
            yield "FAIL" if problem else "ok", f"{file}: {problem or 'the same, derived again'}"


def _file_problem(committed, derived):
    if not derived.exists():
        return "no complete experiment draws it"
    if not committed.exists():
        return "missing; `make results` writes it"
    if committed.suffix != ".png":
        old, new = (path.read_text(encoding="utf-8").splitlines() for path in (committed, derived))
        differ = list(difflib.unified_diff(old, new, n=0))[3:]  # after three lines of head
        return differ and f"`make results` writes another text; the first difference is {differ[0]:.90}"
    try:
        old, new = read_provenance(committed), read_provenance(derived)
    except ValueError as error:
        return str(error)
    if old != new:
        return f"it says {old}, and its rows {new}"
    same = np.array_equal(plt.imread(committed), plt.imread(derived))
    return None if same else "its pixels are not those that its rows draw"
