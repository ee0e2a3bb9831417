"""The store: rows of finished runs, in and out, and summaries with intervals. Imports neither Keras nor TensorFlow.

A run is written whole to its own file under `<results>/.staging/<experiment>/` the moment it ends; `rebuild` then folds
these files into `<results>/<experiment>/runs.csv` and `history.csv`. Every write is temporary name, fsync, rename, so a
process killed at any moment loses at most the runs that were still training. Every reading checks: a damaged table is
refused with file and line, a damaged staged file is set aside.
"""

import contextlib
import csv
import fcntl
import io
import json
import os
import re
import sys
import tempfile
import uuid
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from scipy.special import stdtrit

from cnnkit import HOME

METRICS = [f"{split}_{metric}" for split in ("train", "val", "best_val", "test") for metric in ("loss", "accuracy")]
METRICS += ["val_score", "test_balanced_accuracy"]
# Digests and versions look like numbers now and then ("12e45"): they are read as text.
TEXT_COLUMNS = ("run_id", "error", "data_sha256", "model_sha256", "cnnkit", "keras", "backend", "device", "commit")
TIME_COLUMNS = ("train_seconds", "seconds")  # the only columns in which two runs of one config may differ
NUMBER_COLUMNS = {*METRICS, "raw_val_accuracy", "raw_test_accuracy", "majority_share", "test_images", "best_epoch"}
NUMBER_COLUMNS |= {"num_params", "epochs_run", "train_seconds", "train_size", "learning_rate", "batch_size", "epochs"}
NUMBER_COLUMNS |= {"label_smoothing", "ema", "early_stopping", "seed"}
FINAL = ("completed", "diverged")  # a failed run is tried again, these are results
STATUSES = (*FINAL, "failed")
RUN_ID = re.compile("[0-9a-f]{12}")
KEYS = {"runs.csv": ["run_id"], "history.csv": ["run_id", "epoch"]}  # no two lines of a table agree in these
NEEDED = {"runs.csv": ["run_id", "status"], "history.csv": ["run_id", "epoch"]}
TEMPORARY = ".cnnkit-tmp"  # how the names of half-written files end
PATIENCE = 5  # seconds of waiting for a lock without a word


def profile():
    """Return `$CNNKIT_PROFILE`: `"smoke"` (the default) or `"full"`. Raises a ValueError if it is anything else."""
    name = os.environ.get("CNNKIT_PROFILE") or "smoke"
    if name not in ("smoke", "full"):
        raise ValueError(f"Expected CNNKIT_PROFILE to be smoke or full. Received: CNNKIT_PROFILE={name}.")
    return name


def results_dir(name=None):
    """Return the folder of all experiments: `$CNNKIT_RESULTS_DIR` or `results/`; in the smoke profile its `smoke/`.

    `name` is `"smoke"` or `"full"`; the profile of this process when None.
    """
    base = Path(os.environ.get("CNNKIT_RESULTS_DIR") or HOME / "results")
    return base / "smoke" if (name or profile()) == "smoke" else base


def write_atomically(path, text):
    """Write `text` (str or bytes) to `path` so that a reader sees the old file or the new one, never a part.

    Raises an OSError if the folder cannot be written or the disk is full; the old file is then untouched.
    """
    path = Path(path)
    with _writing(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with contextlib.suppress(OSError):  # a disk without locks: then nobody removes the file
                    fcntl.flock(file, fcntl.LOCK_EX)  # says that its writer lives
                file.write(text.encode() if isinstance(text, str) else text)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def check_writable(experiment, root=None):
    """Raise an OSError now, before hours of training, if rows could not be written; a ValueError for a bad name."""
    tables, staging = _folders(experiment, root)
    for folder in [staging, tables] if tables.exists() else [staging]:
        probe = folder / f".probe{TEMPORARY}"
        write_atomically(probe, bytes(4096))  # a full disk still takes an empty file
        probe.unlink(missing_ok=True)


def stage(row, history, experiment, root=None, *, replace=False):
    """Write one finished run to its own file, where no other process can touch it.

    Of several finished rows of one run the last staged counts; a failed one never takes a finished one's place.

    Args:
        row: Dict, one text or number a column of `runs.csv`; it has a `run_id` and a `status`.
        history: DataFrame of one line of numbers an epoch, without `run_id`.
        experiment: String, the experiment's name.
        root: Folder of all experiments; `results_dir()` when None.
        replace: Boolean. True for the refresh of a stale row: `rebuild` tells if it failed and the old row stays.
    Raises:
        ValueError: If `experiment` is no name for one, or the tables would not take the run.
        OSError: If the folder cannot be written or the disk is full.
    """
    staging = _folders(experiment, root)[1]
    record = {"row": row, "history": history.to_dict("records"), "replace": replace}
    _check_record(record)
    number = 1 + max(map(_number, staging.glob(f"{row['run_id']}.*.json")), default=0)
    write_atomically(staging / f"{row['run_id']}.{number}.{uuid.uuid4().hex[:8]}.json", json.dumps(record))


def read_runs(experiment, root=None):
    """Return one line a run, staged ones included, sorted by `run_id`; an empty frame if there are none.

    Raises a ValueError if `experiment` is no name for one, or a table is damaged: file and line are named.
    """
    return _merged(*_folders(experiment, root))[0]


def read_history(experiment, root=None):
    """Return one line a run and epoch, staged ones included, sorted so; else as `read_runs`."""
    return _merged(*_folders(experiment, root))[1]


def rebuild(experiment, root=None):
    """Fold the staged runs of an experiment into its two tables, under a lock. Safe to be killed at any point.

    Raises a ValueError as `read_runs`, or an OSError if the tables cannot be written; what is staged then stays.
    """
    tables, staging = _folders(experiment, root)
    for path in [*tables.glob(f".*{TEMPORARY}"), *staging.glob(f".*{TEMPORARY}")]:
        # What a killed process left: a living one holds the lock. It takes it before it writes anything.
        with contextlib.suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_size:
                path.unlink()
    if not _staged(staging):  # tables may be read where nothing can be written
        return
    with _locked(tables.parent / ".locks" / f"{experiment}.lock"):
        runs, history, staged = _merged(tables, staging)
        for name, frame in zip(KEYS, (runs, history), strict=True):
            write_atomically(tables / name, frame.to_csv(index=False, lineterminator="\n"))
        for path in staged:  # only now, when both tables are on the disk
            path.unlink(missing_ok=True)
    status = dict(zip(runs["run_id"], runs["status"], strict=True))
    for run_id, last in {record["row"]["run_id"]: record for record in staged.values()}.items():
        if last["replace"] and last["row"]["status"] == "failed" != status[run_id]:
            _tell(f"The refresh of run {run_id} failed ({last['row'].get('error')!r}); the row that was there stays.")


def summarise(frame, by, metric):
    """Summarise a metric over seeds with a 95% Student-t interval.

    Args:
        frame: DataFrame of runs.
        by: Column name or list of them: the arms.
        metric: Column name; missing values (of diverged runs) are left out of mean and n. `attrs["metric"]` keeps it.
    Returns:
        DataFrame: the `by` columns and `mean, low, high, n`, one line an arm. With n = 1, low and high are NaN.
    """
    by = [by] if isinstance(by, str) else list(by)
    table = frame.groupby(by, dropna=False)[metric].agg(mean="mean", error="sem", n="count").reset_index()
    half = stdtrit(table["n"] - 1, 0.975) * table.pop("error")
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    table.attrs["metric"] = metric
    return table[[*by, "mean", "low", "high", "n"]]


def student_interval(values):
    """Return `(mean, low, high)` of a 95% Student-t interval; low and high are NaN for fewer than two values."""
    values = pd.Series(values, dtype=float).dropna()
    half = stdtrit(len(values) - 1, 0.975) * values.sem()
    return values.mean(), values.mean() - half, values.mean() + half


def _folders(experiment, root):
    """Return the folders of an experiment's tables and of its staged runs; a ValueError if this is no name."""
    name = experiment if isinstance(experiment, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name) or name.lower() == "smoke":
        raise ValueError(
            "Expected an experiment's name: up to 100 letters, digits, _ and -, and not smoke, the folder of smoke "
            f"runs. Received: {experiment!r}. Choose another name."
        )
    root = Path(root or results_dir())
    return root / name, root / ".staging" / name


@contextlib.contextmanager
def _writing(path):
    """Make the folder that `path` will be written in, and say in one sentence why it could not be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise OSError(
            f"Expected to write {path.name} in {path.parent}. Received: {error.strerror or error}. "
            "Free some space, make the folder writable or set CNNKIT_RESULTS_DIR to another; what was there is kept."
        ) from error


@contextlib.contextmanager
def _locked(path):
    """Hold a lock; after some seconds of waiting, say for what."""
    lock = FileLock(path)
    with _writing(path):
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            _tell(f"Waiting for {path}: {_holder(path)}. Ctrl-C ends the waiting; runs that are staged are kept.")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _holder(lock):
    """Return in words which process holds a lock, where Linux tells."""
    with contextlib.suppress(OSError):
        held = re.search(rf"FLOCK .* ([1-9]\d*) \S+:{lock.stat().st_ino} ", Path("/proc/locks").read_text())
        if held:
            return f"process {held[1]} holds it (stopped by Ctrl-Z? `fg` or `kill -CONT {held[1]}` lets it go on)"
    return "another process holds it, perhaps one stopped by Ctrl-Z (`fg` lets it go on)"


def _tell(sentence):
    print(sentence, file=sys.stderr, flush=True)


def _number(path):
    """Return the place of a staged file among those of its run, which its name holds."""
    found = re.search(r"\.(\d+)\.", path.name)
    return int(found[1]) if found else 0


def _check_record(record):
    """Raise a ValueError unless the tables can take this staged run."""
    try:
        row, history, _ = (record[name] for name in ("row", "history", "replace"))
        run_id, status, epochs = row["run_id"], row["status"], {line["epoch"] for line in history}
        numbers = [row[name] for name in NUMBER_COLUMNS & row.keys()]
        numbers += [value for line in history for value in line.values()]
    except (TypeError, KeyError, AttributeError):
        raise ValueError("Expected the row of a run with its history. Received: something else.") from None
    wrong = [value for value in numbers if not isinstance(value, (int, float, type(None)))]
    wrong += [value for value in row.values() if not isinstance(value, (str, int, float, type(None)))]
    wrong += [] if isinstance(run_id, str) and RUN_ID.fullmatch(run_id) else [run_id]
    wrong += [status] if status not in STATUSES else []
    wrong += [epoch for epoch in epochs if not isinstance(epoch, int)]
    wrong += [f"{len(history)} lines of {len(epochs)} epochs"] if len(epochs) < len(history) else []
    if wrong:
        raise ValueError(
            "Expected a row of texts and numbers whose run_id is 12 hexadecimal digits and whose status is one of "
            f"{', '.join(STATUSES)}, and a history of numbers, one line an epoch. Received: {wrong[0]!r:.200}."
        )


def _staged(staging):
    """Return the staged runs, oldest first, as a dict from path to record; set aside and tell what is damaged."""
    records = {}
    for path in sorted(staging.glob("*.json"), key=lambda path: (_number(path), path.name)):
        try:
            record = json.loads(path.read_bytes())
            _check_record(record)
            records[path] = record
        except FileNotFoundError:  # another process has just folded it in
            pass
        except OSError as error:
            _tell(f"A staged run does not count: {path} cannot be read ({error.strerror}).")
        except (ValueError, RecursionError) as error:
            aside = staging / "damaged" / path.name
            try:
                aside.parent.mkdir(exist_ok=True)
                path.replace(aside)
            except OSError:  # a disk that cannot be written, or another process was faster
                aside = path
            again = "The command that made it makes it again."
            _tell(f"A staged run does not count: {aside} is damaged ({error}). {again}")
    return records


def _merged(tables, staging):
    """Return the runs and history of the tables with the staged runs laid over them, and the staged runs."""
    staged = _staged(staging)  # read first: what another process folds in meanwhile is then in the tables
    runs, history = (_read_table(tables / name) for name in KEYS)
    new, finished = {}, set(runs.loc[runs["status"].isin(FINAL), "run_id"])
    finished |= {record["row"]["run_id"] for record in staged.values() if record["row"]["status"] in FINAL}
    for record in staged.values():  # a failed run never takes a finished one's place
        if record["row"]["status"] in FINAL or record["row"]["run_id"] not in finished:
            new[record["row"]["run_id"]] = record
    if not new:
        return runs, history, staged
    rows = pd.DataFrame([{name: _plain(value) for name, value in one["row"].items()} for one in new.values()])
    lines = pd.DataFrame([{"run_id": run_id, **line} for run_id, record in new.items() for line in record["history"]])
    return _overlay(runs, rows, new, ["run_id"]), _overlay(history, lines, new, ["run_id", "epoch"]), staged


def _plain(value):
    """Return a value without what a table cannot hold: NUL, CR, lone surrogates, text without end."""
    return re.sub("[\0\r\ud800-\udfff]", " ", value[:100_000]) if isinstance(value, str) else value


def _overlay(old, new, ids, keys):
    """Replace the lines of `ids` in `old` by those of `new`, through CSV, so that types do not depend on who wrote."""
    kept = old[~old["run_id"].isin(list(ids))]
    frames = [f.astype(object).where(f.notna(), None) for f in (kept, new) if len(f)]
    if not frames:
        return old.iloc[:0]
    columns = dict.fromkeys([*new.columns, *old.columns])
    table = pd.concat(frames, ignore_index=True).reindex(columns=list(columns)).sort_values(keys)
    return _parse(table.to_csv(index=False))


def _parse(text):
    return pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXT_COLUMNS, "str"), low_memory=False)


def _read_table(path):
    """Return a table as a DataFrame, an empty one if there is no file; a ValueError names file and line of a fault."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # whether it can be written is asked elsewhere
        return pd.DataFrame(columns=NEEDED[path.name])
    if fault := _find_fault(data, path.name):
        raise ValueError(
            f"Expected a table as the store writes it. Received: {path}, line {fault[0]}: {fault[1]}. "
            f"Restore the file (git checkout -- {path}), or mend or remove the line."
        )
    return _parse(data.decode("utf-8-sig"))


def _find_fault(data, name):
    """Return the first line of a table (bytes) that no store wrote and what is wrong there, or None."""
    keys, needed = KEYS[name], NEEDED[name]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1, "text that is no UTF-8"
    if "\0" in text:
        return text.count("\n", 0, text.index("\0")) + 1, "a NUL byte"
    if not text.strip():
        return 1, "the file is empty"
    lines, begin, reader = [], 1, csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for values in reader:
            if values:
                lines.append((begin, values))
            begin = reader.line_num + 1
    except csv.Error as error:
        return begin, str(error)
    if merges := [line for line, (first, *_) in lines if re.match(r"<{7}|\|{7}|={7}|>{7}", first)]:
        return merges[0], "a merge that git left unfinished"
    (_, header), *lines = lines
    if not {*needed} <= {*header} or "" in header or len({*header}) < len(header):
        return 1, f"the columns {', '.join(header)!r:.200}, not {' and '.join(needed)} and others, each once"
    numbers = [name for name in header if name in NUMBER_COLUMNS or ("epoch" in keys and name != "run_id")]
    first = {}
    for line, values in lines:
        if len(values) != len(header):
            return line, f"{len(values)} values for {len(header)} columns"
        row = dict(zip(header, values, strict=True))
        if not RUN_ID.fullmatch(row["run_id"]):
            return line, f"run_id {row['run_id']!r:.80}, not 12 hexadecimal digits"
        if "status" in needed and row["status"] not in STATUSES:
            return line, f"status {row['status']!r:.80}, not one of {', '.join(STATUSES)}"
        for name in numbers:
            try:
                float(row[name] if row[name] or name == "epoch" else "nan")
            except ValueError:
                return line, f"{name} {row[name]!r:.80}, not a number"
        if (earlier := first.setdefault(tuple(row[key] for key in keys), line)) != line:
            return line, f"{' '.join(f'{key} {row[key]}' for key in keys)} a second time, after line {earlier}"
    if not text.endswith("\n"):
        return begin - 1, "cut off, without a line break at its end"
    return None
