"""The store: rows of finished runs, in and out, and summaries with intervals. Imports neither Keras nor TensorFlow.

A run is written whole to its own file under `<results>/.staging/<experiment>/` when it ends; `rebuild` folds these into
`<results>/<experiment>/runs.csv` and `history.csv`. Every write is temporary name, fsync, rename: who is killed loses
at most the runs in training. A damaged table is refused with file and line, a damaged staged file set aside. `root` is
the folder of all experiments, `results_dir()` when None; a bad name of an experiment is a ValueError, what cannot be
written an OSError that leaves what was there.
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
NUMBER_COLUMNS |= {"label_smoothing", "ema", "early_stopping", "seed", "score", "best", "spent"}
FINAL = ("completed", "diverged")  # a failed run is tried again, these are results
FORMS = {"run_id": "[0-9a-f]{12}", "status": "completed|diverged|failed", "epoch": "[0-9]+"}  # regular expressions
KEYS = {"runs.csv": ["run_id"], "history.csv": ["run_id", "epoch"]}  # no two lines of a table agree in these
NEEDED = {"runs.csv": ["run_id", "status"], "history.csv": ["run_id", "epoch"], "trials.csv": []}
TEMPORARY = ".cnnkit-tmp"  # how the names of half-written files end
PATIENCE = 5  # seconds of waiting for a lock without a word


def profile():
    """Return `$CNNKIT_PROFILE`: `"smoke"` (the default) or `"full"`. Raises a ValueError if it is anything else."""
    name = os.environ.get("CNNKIT_PROFILE") or "smoke"
    if name not in ("smoke", "full"):
        raise ValueError(f"Expected CNNKIT_PROFILE to be smoke or full. Received: CNNKIT_PROFILE={name}.")
    return name


def results_dir(name=None):
    """Return the folder of a profile's experiments: `$CNNKIT_RESULTS_DIR` or `results/`; for smoke its `smoke/`."""
    base = Path(os.environ.get("CNNKIT_RESULTS_DIR") or HOME / "results")
    return base / "smoke" if (name or profile()) == "smoke" else base


def write_atomically(path, text):
    """Write `text` (str or bytes) to `path` so that a reader sees the old file or the new one, never a part."""
    path = Path(path)
    naming = {"dir": path.parent, "prefix": f".{path.name}.", "suffix": TEMPORARY}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(**naming, delete=False) as file:
            try:
                with contextlib.suppress(OSError):  # a disk without locks: then nobody removes the file
                    fcntl.flock(file, fcntl.LOCK_EX)  # says that its writer lives
                file.write(text.encode(errors="surrogateescape") if isinstance(text, str) else text)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            finally:
                Path(file.name).unlink(missing_ok=True)
    except OSError as error:
        way_on = "Free some space, or set CNNKIT_RESULTS_DIR to a folder that can be written."
        received = error.strerror or error
        raise OSError(f"Expected to write {path.name} in {path.parent}. Received: {received}. {way_on}") from error


def check_target(path):
    """Return the `Path` of a file to be written; an OSError now, before the work, if it cannot be."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY):
            why = "a folder" if path.is_dir() else None
    except OSError as error:
        why = error.strerror or error
    if why:
        raise OSError(f"Expected a file that can be written. Received: {str(path)!r}: {why}.")
    return path


def check_writable(experiment, root=None):
    """Raise an OSError now, before hours of training, if rows could not be written."""
    for folder in _folders(experiment, root):
        probe = folder / f".probe{TEMPORARY}"
        write_atomically(probe, bytes(4096))  # a full disk still takes an empty file
        probe.unlink(missing_ok=True)


def stage(row, history, experiment, root=None, *, replace=False):
    """Write one finished run to its own file: `row`, a dict as of `runs.csv`, and a DataFrame of its epochs.

    Of several finished rows of one run the last staged counts; a failed one never takes a finished one's place, and if
    it was to `replace` a stale one, `rebuild` tells. A ValueError if the tables would not take them.
    """
    staging = _folders(experiment, root)[1]
    record = {"row": row, "history": history.to_dict("records"), "replace": replace}
    _check_record(record)
    number = 1 + max(map(_number, staging.glob(f"{row['run_id']}.*.json")), default=0)
    write_atomically(staging / f"{row['run_id']}.{number}.{uuid.uuid4().hex[:8]}.json", json.dumps(record))
    checkpoint_path(experiment, row["run_id"], root).unlink(missing_ok=True)


def checkpoint_path(experiment, run_id, root=None):
    """Return the path of the file in which a long run keeps where it is until its row is staged."""
    return _folders(experiment, root)[1] / "checkpoints" / f"{run_id}.npz"


def read_runs(experiment, root=None):
    """Return one line a run, staged ones included, sorted by `run_id`; an empty frame if there are none."""
    return _merged(*_folders(experiment, root))[0]["runs.csv"]


def read_history(experiment, root=None):
    """Return one line a run and epoch, staged ones included, sorted so; else as `read_runs`."""
    return _merged(*_folders(experiment, root))[0]["history.csv"]


def read_trials(experiment, root=None):
    """Return `trials.csv` of an experiment that keeps one; an empty frame if it is not there."""
    return _read_table(_folders(experiment, root)[0] / "trials.csv")


def rebuild(experiment, root=None):
    """Fold the staged runs into the two tables, under a lock; return the `run_id`s whose refresh failed (told, too)."""
    tables, staging = _folders(experiment, root)
    for path in [*tables.glob(f".*{TEMPORARY}"), *staging.rglob(f".*{TEMPORARY}")]:
        # What a killed process left: a living one holds the lock. It takes it before it writes anything.
        with contextlib.suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_size:
                path.unlink()
    if not _staged(staging):  # tables may be read where nothing can be written
        return []
    check_writable(experiment, root)
    with _lock(tables.parent / ".locks" / f"{experiment}.lock"):
        frames, staged = _merged(tables, staging)
        for name, frame in frames.items():
            write_atomically(tables / name, frame.to_csv(index=False, lineterminator="\n"))
        for path in staged:  # only now, when both tables are on the disk
            path.unlink(missing_ok=True)
    status, lost = frames["runs.csv"].set_index("run_id")["status"], []
    for row in {one["row"]["run_id"]: one["row"] for one in staged.values() if one["replace"]}.values():
        if row["status"] == "failed" != status[row["run_id"]]:
            _tell(f"The refresh of run {row['run_id']} failed ({row.get('error')!r}); the row that was there stays.")
            lost.append(row["run_id"])
    return lost


def summarise(frame, by, metric):
    """Return `mean, low, high, n` of a metric without missing values, one line for what agrees in the column(s) `by`.

    Low and high are of a 95% Student-t interval, NaN with n = 1. `attrs["metric"]` keeps the metric.
    """
    by = [by] if isinstance(by, str) else list(by)
    table = frame.groupby(by, dropna=False)[metric].agg(mean="mean", error="sem", n="count").reset_index()
    half = stdtrit(table["n"] - 1, 0.975) * table["error"]
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    table.attrs["metric"] = metric
    return table[[*by, "mean", "low", "high", "n"]]


def student_interval(values):
    """Return `(mean, low, high)` of a 95% Student-t interval; low and high are NaN for fewer than two values."""
    values = pd.Series(values, dtype=float).dropna()
    half = stdtrit(len(values) - 1, 0.975) * values.sem()
    return values.mean(), values.mean() - half, values.mean() + half


def _folders(experiment, root):
    """Return the folders of an experiment's tables and of its staged runs."""
    named = isinstance(experiment, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", experiment)
    if not named or experiment.lower() == "smoke":
        form = "up to 100 letters, digits, _ and -, and not smoke, the folder of smoke runs"
        raise ValueError(f"Expected an experiment's name: {form}. Received: {experiment!r}.")
    root = Path(root or results_dir())
    return root / experiment, root / ".staging" / experiment


def _lock(path):
    """Return a context that holds a lock; after some seconds of waiting, say for what."""
    lock = FileLock(path)
    with contextlib.suppress(Timeout):
        return lock.acquire(timeout=PATIENCE)
    _tell(f"Waiting for {path}: another process holds it (`lslocks` says which), perhaps stopped by Ctrl-Z (`fg`).")
    return lock.acquire()


def _tell(sentence):
    print(sentence, file=sys.stderr, flush=True)


def _number(path):
    """Return the place of a staged file among those of its run, which its name holds."""
    return max(map(int, re.findall(r"\.(\d+)\.", path.name)), default=0)


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
            with contextlib.suppress(OSError):  # a disk that cannot be written, or another process was faster
                aside.parent.mkdir(exist_ok=True)
                path.replace(aside)
            where = path if path.exists() else aside
            _tell(f"A staged run does not count and is made again: {where} is damaged ({error}).")
    return records


def _check_record(record):
    """Raise a ValueError unless the tables can take this staged run."""
    try:
        history, _ = [{"epoch": None} | line for line in record["history"]], record["replace"]
        for line in [{"run_id": None, "status": None} | record["row"], *history]:
            if not all(isinstance(value, (str, int, float, type(None))) for value in line.values()):
                raise ValueError(f"{line!r:.200}")
            _check_line(line)
        if len({line["epoch"] for line in history}) < len(history):
            raise ValueError("an epoch twice")
    except (TypeError, KeyError, ValueError) as error:
        expected = "Expected a row of texts and numbers with a history of one line an epoch"
        raise ValueError(f"{expected}. Received: {error}.") from None


def _check_line(line):
    """Raise a ValueError if no store would write this line of a table: a dict of texts, or of what JSON holds."""
    for name, form in FORMS.items():
        if name in line and not re.fullmatch(form, str(line[name])):
            raise ValueError(f"{name} {line[name]!r:.80}, not {form}")
    for name in line.keys() - {"run_id"} if "epoch" in line else line.keys() & NUMBER_COLUMNS:
        try:
            float(line[name] or "nan")
        except ValueError:
            raise ValueError(f"{name} {line[name]!r:.80}, not a number") from None


def _merged(tables, staging):
    """Return a dict of the two tables with the staged runs laid over them, and the staged runs."""
    staged = _staged(staging)  # read first: what another process folds in meanwhile is then in the tables
    frames = {name: _read_table(tables / name) for name in KEYS}
    new, status = {}, dict(zip(frames["runs.csv"]["run_id"], frames["runs.csv"]["status"], strict=True))
    for record in staged.values():
        run_id, now = record["row"]["run_id"], record["row"]["status"]
        if now in FINAL or status.get(run_id) not in FINAL:  # a failed run never takes a finished one's place
            new[run_id], status[run_id] = record, now
    rows = [{name: _plain(value) for name, value in record["row"].items()} for record in new.values()]
    lines = [{"run_id": run_id, **line} for run_id, record in new.items() for line in record["history"]]
    for name, added in zip(frames, (rows, lines), strict=True) if new else ():
        kept = frames[name][~frames[name]["run_id"].isin(list(new))].astype(object)
        table = pd.concat([pd.DataFrame(added, dtype=object), kept]).sort_values(KEYS[name])
        frames[name] = _parse(table.to_csv(index=False))  # so that types do not depend on who wrote
    return frames, staged


def _plain(value):
    """Return a value without what a table cannot hold: NUL, CR, lone surrogates, text without end."""
    return re.sub("[\0\r\ud800-\udfff]", " ", value[:100_000]) if isinstance(value, str) else value


def _parse(text):
    return pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXT_COLUMNS, "str"), low_memory=False)


def _read_table(path):
    """Return a table, empty if there is no file; a ValueError names the first line that no store wrote."""
    line, seen, needed = 1, {}, NEEDED[path.name]
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # a byte order mark
        reader = csv.reader((text.decode() for text in data.splitlines(keepends=True)), strict=True)
        header = next(reader, [])
        if "" in header or len({*header}) < max(len(header), 1) or not {*needed} <= {*header}:
            names = " and ".join(needed)
            raise ValueError(f"the columns {', '.join(header)!r:.200}, not {names} and others, each once")
        line = reader.line_num + 1
        for values in filter(None, reader):
            if len(values) != len(header):
                raise ValueError(f"{len(values)} values for {len(header)} columns: {','.join(values)!r:.40}")
            record = dict(zip(header, values, strict=True))
            _check_line(record)
            key = tuple(record[name] for name in KEYS.get(path.name, header))
            if (earlier := seen.setdefault(key, line)) != line:
                raise ValueError(f"{' '.join(key):.80} a second time, after line {earlier}")
            line = reader.line_num + 1
        if b"\0" in data or not data.endswith(b"\n"):
            line = data[: data.find(b"\0")].count(b"\n") + 1  # without a NUL the last one
            raise ValueError("cut off without a line break at its end, or a NUL byte")
        return _parse(data.decode())
    except (FileNotFoundError, NotADirectoryError):  # whether it can be written is asked elsewhere
        return pd.DataFrame(columns=needed)
    except (ValueError, csv.Error) as fault:
        way_on = f"Restore the file (git checkout -- {path}), or mend or remove the line"
        raise ValueError(f"Expected a table of the store. Received: {path}, line {line}: {fault}. {way_on}.") from None
