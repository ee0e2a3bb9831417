"""What all figures share: colours, labels with units, captions, and the checks of a frame."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

MARKERS, LINES = "osD^vPX*<>", ("-", "--", "-.", ":")
WORDS = {"val": "validation", "train": "training", "num": "number of", "params": "parameters", "seconds": "time"}
UNITS = {"accuracy": "%", "loss": "nats", "seconds": "s", "size": "images"}  # by a column's last word
NAMES = {"val_score": "last epochs' validation accuracy", "sampling": "the test set's own error in accuracy"}
NAMES |= {"train_eval_accuracy": "evaluated training accuracy", "train_eval_loss": "evaluated training loss"}
GREY, TRAINING_GREY, CAPTION = "0.35", "0.5", "caption"


def new_axes(ax, width=6.4, height=4.0):
    return plt.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def check_frame(frame, *columns, hue=None):
    """Return the frame sorted by run, so that the same rows draw the same picture, with `status` and `collapsed`."""
    missing = [name for name in (*columns, hue) if name is not None and name not in frame]
    if missing or frame.empty:
        received = f"{len(frame)} lines" + f" without {', '.join(missing)}" * bool(missing)
        way = "Read runs with store.read_runs; a history gets a setting by history.merge(runs[['run_id', ...]])."
        raise ValueError(f"Expected lines with the columns {', '.join(columns)}. Received: {received}. {way}")
    order = [name for name in ("run_id", "epoch") if name in frame]
    collapsed = frame["collapsed"].eq(True) if "collapsed" in frame else False
    frame = frame.assign(status=frame.get("status", "completed"), collapsed=collapsed)
    return frame.sort_values(order) if order else frame


def groups(frame, hue):
    """Return `{label: (part of the frame, style)}`: one colour, marker and line a value of `hue`, "none" included."""
    parts = [(None, frame)] if hue is None else list(frame.groupby(hue, dropna=False, observed=True))
    looks = zip(sns.color_palette("colorblind", len(parts)), itertools.cycle(MARKERS), itertools.cycle(LINES))
    return {
        nice(value): (part, {"color": colour, "marker": marker, "linestyle": line, "mec": "w", "mew": 0.7})
        for (value, part), (colour, marker, line) in zip(parts, looks, strict=False)
    }


def add_caption(ax, *lines):
    """Write lines in small grey under the x label, wherever the layout puts it."""
    below = {"xytext": (0, -2), "textcoords": "offset points", "ha": "center", "va": "top", "annotation_clip": False}
    look = {"fontsize": 8, "color": GREY, "gid": CAPTION}
    ax.annotate("\n".join(filter(None, lines)), (0.5, 0), xycoords=ax.xaxis.label, **below, **look)


def add_legend(ax, parts, hue, *, double=False):
    """Name the groups of `groups`, if `hue` made any, and the two lines of a double curve."""
    first, own = next(iter(parts.values()))
    solid = {"linestyle": "-"} if double else {}
    handles = [Line2D([], [], **(style | solid), label=group) for group, (_, style) in parts.items() if hue]
    if double:
        colours = (GREY, GREY) if hue else (TRAINING_GREY, own["color"])
        for name, colour, line in zip(("training", "validation"), colours, ("--", "-"), strict=True):
            handles.append(Line2D([], [], color=colour, linestyle=line, label=name))
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "title": heading(first, hue)} if hue else {}
    if handles:
        ax.legend(handles=handles, frameon=False, **beside)


def is_accuracy(metric):
    return "accuracy" in NAMES.get(metric, metric)


def shown_scale(metric):
    """Accuracies are fractions everywhere, and % only when shown."""
    return 100 if is_accuracy(metric) else 1


def label(column, *, error=False, difference=False, unit=True):
    """Return the name of a column with its unit; of an accuracy as the error that it leaves, or of a difference."""
    words = NAMES.get(column, column).replace("_", " ").split(" ")
    measure = UNITS.get(words[-1]) if unit else None
    text = " ".join(WORDS.get(word, word) for word in words)
    text = text.replace("accuracy", "error") if error else text
    if difference:
        text, measure = f"difference in {text}", "percentage points" if measure == "%" else measure
    text = text if len(text) == 1 else text[:1].upper() + text[1:]  # a letter is a symbol: k, n
    return text + (f" ({measure})" if measure else "")


def heading(frame, column):
    """Return the name of a column, with its unit where any of its values is a number: an arm may be called `loss`."""
    return label(column, unit=pd.to_numeric(frame[column], errors="coerce").notna().any())


def nice(value):
    """Return a value as a tick label: 32, 0.00316, 1e-5, 50,000."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if value is None or np.isnan(value):
        return "none"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}".replace("e-0", "e-")
