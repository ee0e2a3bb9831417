"""Histories as Keras, Lightning, fastai and TensorBoard write them -> one tidy frame, an epoch a line."""

import ast
import contextlib
import csv
import itertools
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
SPLITS = {"train": r"train(ing)?", "val": r"val(id|idation)?|dev|eval|test"}  # what others call them
MEASURES = {
    "loss": r"((sparse|categorical|binary)_)*(cross_?entropy_?|ce_|nll_)?loss",
    "accuracy": r"((sparse|categorical|binary|multi_?class)_?)*acc(uracy)?(_top_?1)?|err(or)?(_rate)?",
    "learning_rate": r"learning_rate|lr(_.*)?",
    "seconds": r"seconds|time|duration",
}
MISSING = ["", "na", "n/a", "none", "null", "nan"]


def read_history(source, run=None):
    """Return a history as a frame: `epoch` from 1, what there is of `COLUMNS`, and `attrs["notes"]` on what was done.

    Losses are as written (inf where one was NaN or infinite, NaN where there is none), accuracies fractions, seconds
    those of an epoch.

    Args:
        source: Path of a CSV file (of Keras' CSVLogger, Lightning, fastai, cnnkit), of `History.history` as JSON, or of
            a file or folder of TensorBoard scalars; or a `History`, a dict of lists, a frame.
        run: String, the `run_id` to take where a table holds several.
    Raises:
        ValueError: If no epoch, or neither a loss nor an accuracy, can be read; if several runs are there.
    """
    if isinstance(source, pd.DataFrame) and "notes" in source.attrs:  # it is one
        return source
    notes = []
    raw = _read(source, notes)
    if "run_id" in raw and (run is not None or raw["run_id"].nunique() > 1):
        ids = raw["run_id"].unique()
        raw = raw[raw["run_id"] == run].reset_index(drop=True)
        if raw.empty:
            way = f"Name one of {len(ids)} as run (--run), e.g. {ids[0]}"
            raise ValueError(f"Expected the history of one run. Received: run={run}. {way}.")
    chosen = _choose(raw.columns)
    epochs = pd.to_numeric(raw[chosen.pop("epoch")], errors="coerce") if "epoch" in chosen else raw.index.to_series()
    epochs = np.floor(epochs.ffill().fillna(0))
    dense = "step" not in raw and not (epochs.diff() == 0).any()  # Lightning has a line for each kind of figure
    numbers = {name: _numbers(raw[column], name, dense, notes) for name, column in chosen.items()}
    frame = _join_parts(pd.DataFrame({"epoch": epochs, **numbers}), notes).groupby("epoch", as_index=False).mean()
    frame = frame.dropna(axis=1, how="all")
    if frame.empty or not set(frame) & set(COLUMNS[:4]):
        wanted = "an epoch or more of columns such as epoch, loss, accuracy, val_loss, val_accuracy"
        received = f"{len(raw)} lines of {', '.join(map(str, raw.columns))[:200] or 'nothing'}"
        raise ValueError(f"Expected {wanted}. Received: {received}.")
    frame["epoch"] = (frame["epoch"] + (frame["epoch"].min() == 0)).astype(int)
    accuracies = frame.filter(like="accuracy")
    for name in [name for name in accuracies if "err" in chosen[name].lower()]:
        frame[name] = (100 if frame[name].max() > 1 else 1) - frame[name]
        notes.append(f"{name} is what {chosen[name]} leaves")
    accuracies = frame.filter(like="accuracy")
    if accuracies.max().max() > 1.001:
        notes.append("accuracies were in percent")
        frame[accuracies.columns] = accuracies / 100
    if "seconds" in frame and chosen["seconds"] == "seconds" and frame["seconds"].is_monotonic_increasing:
        frame["seconds"] = frame["seconds"].diff().fillna(frame["seconds"])  # cnnkit's are cumulative
    frame = frame[["epoch", *(name for name in COLUMNS if name in frame)]]
    frame.attrs["notes"] = notes
    return frame


def _read(source, notes):
    """Return the cells as they stand: a frame of texts."""
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir() or "tfevents" in path.name:
            return _read_tensorboard(path)
        text = path.read_text(encoding="utf-8-sig", errors="replace").strip()
        if "\0" in text:
            raise ValueError(f"Expected a history as text, or TensorBoard's. Received: a binary file, {path}.")
        if text[:1] not in ("{", "["):
            return _read_csv(text, notes)
        source = _parse(text, path)
    source = getattr(source, "history", source)  # of a Keras History
    source = source.get("log_history", source) if isinstance(source, dict) else source  # of a Hugging Face Trainer
    if isinstance(source, list) and source and all(isinstance(line, dict) for line in source):
        source = pd.DataFrame(source)
    if isinstance(source, pd.DataFrame):
        return source.astype(object).where(source.notna(), "").astype(str).reset_index(drop=True)
    if not isinstance(source, dict):
        wanted = "a path, a Keras History, a dict of lists or a DataFrame"
        raise ValueError(f"Expected a history: {wanted}. Received: {type(source).__name__}.")
    lists = {}
    for name, values in source.get("history", source).items():
        try:
            lists[name] = np.ravel([*values.values()] if isinstance(values, dict) else values)
        except ValueError:  # lists of unequal lengths in a list: matrices, for one
            notes.append(f"{name} left out: no list of numbers")
    length = Counter(map(len, lists.values())).most_common(1)[0][0] if lists else 0
    for name in [name for name, values in lists.items() if len(values) != length]:
        notes.append(f"{name} left out: {len(lists.pop(name))} values for {length} epochs")
    return pd.DataFrame({name: values.astype(str) for name, values in lists.items()})


def _parse(text, path):
    """Return what is in a text: JSON, a Python dict as it was printed, or JSON line by line."""
    for read in (json.loads, ast.literal_eval, lambda text: [json.loads(line) for line in text.splitlines() if line]):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(text)
    raise ValueError(f"Expected a history as JSON or CSV. Received: {path}, which is neither. Was it cut off?")


def _read_csv(text, notes):
    """Read lines under the last header before them: a run that was resumed may have two."""
    separator = max(",;\t", key=text.partition("\n")[0].count)
    names, lines, uneven = None, [], 0
    for cells in csv.reader(text.splitlines(), delimiter=separator):
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if names is None or set(cells) - {""} and set(cells) <= set(names) or cells[0].lower() == "epoch":
            names = cells
        else:
            uneven += len(cells) != len(names)
            lines.append(dict(itertools.zip_longest(names, cells[: len(names)], fillvalue="na")))
    if uneven:
        notes.append(f"{uneven} lines have more or fewer cells than the header has names")
    return pd.DataFrame(lines, columns=None if lines else names).fillna("")


def _read_tensorboard(path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    found = {}
    for folder in [path] if path.is_file() else sorted({file.parent for file in path.rglob("*tfevents*")}):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        series = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
        prefix = f"{folder.name}_" if re.fullmatch("|".join(SPLITS.values()), folder.name) else ""
        for tag in filter(lambda tag: _choose([prefix + tag]), events.Tags()["tensors"]):
            series[tag] = {event.step: make_ndarray(event.tensor_proto).item() for event in events.Tensors(tag)}
        for tag, values in series.items():
            if prefix + tag in found:
                raise ValueError(f"Expected the scalars of one run. Received: {tag} twice below {path}. Name a folder.")
            found[prefix + tag] = pd.Series(values).astype(str)  # a NaN is a value, and absence another
    frame = pd.DataFrame(found).sort_index().rename_axis("step" if "epoch" in found else "epoch").reset_index()
    return frame.assign(epoch=frame["epoch"].ffill()).fillna("")


def _choose(columns):
    """Return which column is what: a dict from `epoch` and names of `COLUMNS` to columns as they are called."""
    train, val = SPLITS.values()
    words = {}
    for column in columns:
        word = re.sub(r"[^a-z0-9]+", "_", str(column).lower()).strip("_")
        word = re.sub(r"(^|_)(epoch|metrics)_|_epoch$|(?<!top)_\d+$", r"\1", word)
        words[column] = re.sub(rf"^(.+)_({train}|{val})$", r"\2_\1", word)  # Loss/train
    # fastai's accuracy is of the validation set, Keras' of the training set: its loss has no prefix either.
    bare = "val" if "train_loss" in words.values() and "loss" not in words.values() else "train"
    chosen = {}
    for column, word in sorted(words.items(), key=lambda item: item[1].endswith("_step") or "test" in item[1]):
        parts = re.fullmatch(rf"((?P<train>{train})_|(?P<val>{val})_)?(?P<rest>.*?)(_step)?", word)
        split = "train" if parts["train"] else "val" if parts["val"] else bare
        for measure, pattern in MEASURES.items():
            if re.fullmatch(pattern, parts["rest"]):
                chosen.setdefault(f"{split}_{measure}" if measure in ("loss", "accuracy") else measure, column)
        if word == "epoch":
            chosen["epoch"] = column
    return chosen


def _numbers(cells, name, dense, notes):
    """Return texts as floats; what is no number is missing, and a loss that was NaN is inf."""
    text = cells.str.strip().str.lower()
    clock = text.str.extract(r"^(?:(\d+):)?(\d+):(\d+)$").astype(float)  # fastai's time
    seconds = clock[0].fillna(0) * 3600 + clock[1] * 60 + clock[2]
    numbers = pd.to_numeric(text.str.rstrip("%").str.replace(",", "."), errors="coerce").fillna(seconds).abs()
    if name.endswith("loss"):  # pandas writes NaN as an empty cell, Keras' CSVLogger writes NA for what it lacks
        lost = text.eq("") & dense & (name == "train_loss") & (numbers.index > (numbers.last_valid_index() or -1))
        numbers = numbers.mask(text.eq("nan") | lost, np.inf)
    unread = text[numbers.isna() & ~text.isin(MISSING)]
    if len(unread):
        notes.append(f"{name}: {len(unread)} cells are no numbers and count as missing, e.g. {unread.iloc[0][:40]!r}")
    return numbers


def _join_parts(frame, notes):
    """Number the epochs of a resumed run on, or let the later part replace epochs that the earlier one has as well."""
    for start in frame.index[frame["epoch"].diff() < 0]:
        before, after = frame.loc[: start - 1], frame.loc[start:]
        first = after["epoch"].iloc[0]
        if first <= frame["epoch"].iloc[0]:
            after = after.assign(epoch=after["epoch"] + before["epoch"].max() + 1 - first)
            notes.append(f"resumed: the line of epoch {first:.0f} goes on after epoch {before['epoch'].max():.0f}")
        else:
            before = before[before["epoch"] < first]
            notes.append(f"resumed at epoch {first:.0f}: the later lines count")
        frame = pd.concat([before, after])
    return frame
