"""Does what is committed still hold? Tables, figures and verdicts are derived again, a few rows trained again."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cnnkit import course
from cnnkit.lab import store
from cnnkit.lab.config import RunConfig
from cnnkit.plots import read_provenance
from cnnkit.plots.saving import METRICS
from cnnkit.report import gallery
from cnnkit.report.reruns import BUDGET, check_reruns, is_same

NUMBERS = [*METRICS, "best_epoch", "num_params", "epochs_run", "train_seconds"]
ORIGIN = ["data_sha256", "model_sha256", "cnnkit", "keras", "backend", "device", "commit"]


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
    counts = {"ok": 0, "skip": 0, "FAIL": 0}
    for outcome, text in _checks(store.results_dir("full"), sample, seed):
        counts[outcome] += 1
        print(f"{outcome:4}  {text}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return int(counts["FAIL"] > 0)


def _checks(root, sample, seed):
    """Yield `(outcome, text)` a check."""
    tables, sound = [], True
    for path in sorted(root.glob("*/runs.csv")):
        name = path.parent.name
        if name not in course.list_experiments():
            yield "skip", f"tables of {name}: there is no such experiment"
            continue
        try:
            runs, history = store.read_runs(name, root), store.read_history(name, root)
            problems = _table_problems(path.parent, runs, history) or _rows_problems(runs, history)
        except ValueError as error:  # a damaged table
            runs, problems = None, [str(error)]
        yield from (("FAIL", f"tables of {name}: {problem}") for problem in problems)
        sound &= not problems
        if not problems:
            tables.append((runs.assign(experiment=name), history.assign(experiment=name)))
            yield "ok", f"tables of {name}: {len(runs)} runs and their {len(history)} epochs agree"
            unasked = set(runs["run_id"]) - set(course.load_experiment(name).read("full").configs)
            if unasked:
                yield "skip", f"rows of {name}: {len(unasked)} are asked for by nothing so far, such as {min(unasked)}"
    yield from _check_derived(root)
    if tables and sound:
        frames = (pd.concat(frames, ignore_index=True) for frames in zip(*tables, strict=True))
        yield from check_reruns(*frames, sample, seed)
    else:
        yield "skip", "re-runs: there are no rows" if sound else "re-runs: mend the tables first"


def _table_problems(folder, runs, history):
    if missing := [name for name in ["status", *ORIGIN, *NUMBERS] if name not in runs]:
        return [f"{', '.join(missing)} missing"]
    problems = []
    for name, frame, keys in (("runs.csv", runs, ["run_id"]), ("history.csv", history, ["run_id", "epoch"])):
        if not frame[keys].equals(frame[keys].sort_values(keys, ignore_index=True)):
            problems.append(f"{name} is not sorted by {' and '.join(keys)}")
        if frame.to_csv(index=False, lineterminator="\n") != (folder / name).read_text():
            problems.append(f"{name} is not as the store writes it; rows still staged are folded in by `make results`")
    return problems


def _rows_problems(runs, history):
    lines = dict(list(history.groupby("run_id")))
    orphans = sorted(set(lines) - set(runs["run_id"]))
    problems = [f"row {run_id}: missing in runs.csv, its epochs are in history.csv" for run_id in orphans]
    rows = runs.to_dict("records")
    wrong = {row["run_id"]: _row_problem(row, lines.get(row["run_id"])) for row in rows}
    return problems + [f"row {run_id}: {problem}" for run_id, problem in wrong.items() if problem]


def _row_problem(row, lines):
    """Return what of a row does not follow from its config and its history, or None."""
    try:
        run_id = RunConfig.from_row(row).run_id
    except (ValueError, TypeError, KeyError) as error:
        return f"no config has these fields. {error}"
    if run_id != row["run_id"]:
        return f"its fields are those of run {run_id}"
    if row["status"] == "failed":
        return None
    if lines is None:
        return "no epochs in history.csv"
    if lines["epoch"].tolist() != list(range(1, int(row["epochs_run"]) + 1)):
        return f"epochs_run is {row['epochs_run']}, and history.csv has the epochs {lines['epoch'].tolist()}"
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
    wild = [name for name in NUMBERS if name.endswith("accuracy") and not 0 <= row[name] <= 1]
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
        for figure in sorted({path.relative_to(top) for top in (root, again) for path in top.glob("*/*.png")}):
            problem = _figure_problem(root / figure, again / figure)
            yield "FAIL" if problem else "ok", f"figure {figure}: {problem or 'same rows, same pixels'}"
        yield from _check_claims(root / "claims.csv", again / "claims.csv")
        for page in sorted(path.relative_to(again) for path in again.rglob("*.md")):
            same = (root / page).exists() and (root / page).read_bytes() == (again / page).read_bytes()
            yield ("ok", f"{page}: same text") if same else ("FAIL", f"{page}: not what `make results` writes")


def _figure_problem(committed, derived):
    if not derived.exists():
        return "no complete experiment draws it"
    if not committed.exists():
        return "missing; `make results` draws it"
    try:
        old, new = read_provenance(committed), read_provenance(derived)
    except ValueError as error:
        return str(error)
    if old["rows_sha256"] != new["rows_sha256"]:
        return f"drawn from other rows ({old['rows_sha256'][:12]}) than there are ({new['rows_sha256'][:12]})"
    with Image.open(committed) as one, Image.open(derived) as other:
        pixels = [np.asarray(image.convert("RGBA")) for image in (one, other)]
    if not np.array_equal(*pixels):
        return "its pixels are not those that its rows draw"
    return None if old == new else f"it says {old}, and its rows {new}"


def _check_claims(committed, derived):
    new = pd.read_csv(derived, dtype=str)
    old = pd.read_csv(committed, dtype=str) if committed.exists() else new.iloc[:0]
    if list(old.columns) != list(new.columns):
        yield "FAIL", f"claims.csv: its columns are not {', '.join(new.columns)}"
        return
    lines = pd.concat([old, new]).drop_duplicates(keep=False)
    for name in dict.fromkeys(lines["id"]):
        yield "FAIL", f"claim {name}: claims.csv does not say what the rows decide; `make results` writes it"
    if lines.empty:
        same = committed.read_bytes() == derived.read_bytes()
        yield "ok" if same else "FAIL", f"claims.csv: {len(new)} verdicts, {'same text' if same else 'another format'}"
