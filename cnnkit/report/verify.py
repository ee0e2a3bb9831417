"""Does what is committed still hold? Tables, figures and verdicts are derived again, a few rows trained again."""

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

NEEDED = ["status", "best_epoch", "num_params", "epochs_run", "train_seconds", *store.METRICS, *store.TEXT_COLUMNS]


def verify(sample=5, seed=1):
    """Check everything under `results/` (the full profile), a printed line each; return 1 if anything fails, else 0.

    So many rows as `sample` are trained again, which ones says `seed`; fewer if they cost more than `reruns.BUDGET`.
    """
    if sample < 0 or seed < 0:
        raise ValueError(f"Expected sample and seed of at least 0. Received: sample={sample}, seed={seed}.")
    print(f"Up to {sample} rows (seed {seed}), together at most {BUDGET} s of training, are trained again at the end.")
    counts = {"ok": 0, "skip": 0, "FAIL": 0}
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
            asked = runs["run_id"].isin(course.findings(name).configs).sum()
            yield "ok", f"tables of {name}: {len(runs)} runs ({asked} asked for) and {len(history)} epochs agree"
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
    return problems or list(_row_problems(runs, history))


def _row_problems(runs, history):
    """Yield what of rows does not follow from their configs and their histories."""
    for row in runs.to_dict("records"):
        try:
            if (run_id := RunConfig.from_row(row).run_id) != row["run_id"]:
                yield f"row {row['run_id']}: its fields are those of run {run_id}"
        except (ValueError, TypeError, KeyError) as error:
            yield f"row {row['run_id']}: no config has these fields. {error}"
    rows, lines = runs[runs["status"] != "failed"].set_index("run_id"), history.groupby("run_id")
    for run_id in rows.index.symmetric_difference(lines.groups):
        yield f"row {run_id}: missing in {'history' if run_id in rows.index else 'runs'}.csv"
    best = history.loc[lines["val_accuracy"].idxmax()].set_index("run_id")
    history = history.dropna(subset="val_accuracy")  # an accuracy is missing where validation did not look
    finite = np.isfinite(history[["train_loss", "val_loss"]]).all(axis=1).groupby(history["run_id"]).all()
    expected = {
        "status": finite.map({True: "completed", False: "diverged"}),
        "epochs_run": lines.size(),
        "best_epoch": best["epoch"],
        "best_val_accuracy": best["val_accuracy"],
        "best_val_loss": lines["val_loss"].min().replace(np.inf, np.nan),
        "val_score": lines["val_accuracy"].agg(lambda accuracies: accuracies.dropna().tail(2).mean()),
        "train_seconds": lines["seconds"].last(),
    }
    for name, values in expected.items():
        for run_id, value in values.items():
            if run_id in rows.index and not is_same(rows.at[run_id, name], value):
                yield f"row {run_id}: {name} is {rows.at[run_id, name]}, and history.csv says {value}"


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
