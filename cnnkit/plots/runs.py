"""Figures of runs: learning curves, sweeps, heat maps and intervals.

Lines are means over seeds. Bands are 95% Student-t intervals from five seeds on, because a percentile bootstrap of few
covers 76% where it says 95%, and their range below that. Up to twenty single runs are drawn as well. A run that
diverged or collapsed is a cross at the edge and no part of a mean: never a silent gap, and never a band over all.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from pandas.api.types import is_numeric_dtype

from cnnkit.lab.store import summarise
from cnnkit.plots.style import (
    GREY,
    TRAINING_GREY,
    add_caption,
    add_legend,
    check_frame,
    groups,
    is_accuracy,
    label,
    new_axes,
    nice,
    shown_scale,
)
from cnnkit.plots.words import BAND_RUNS, POINT_RUNS, tell_band, tell_interval, tell_lost, tell_runs


def plot_curves(history, *, metric="accuracy", hue=None, error=False, ax=None):
    """Plot a metric over the epochs: training dashed, validation solid.

    Args:
        history: DataFrame of one line a run and epoch: `run_id, epoch` and the metric's columns. For `hue`, add the
            column first: `history.merge(runs[["run_id", "optimizer"]])`. A run that stopped early has a cross at the
            edge where it ended; so has one that a Boolean column `collapsed` marks, and it is no part of the mean.
        metric: `"accuracy"` or `"loss"` draw `train_` and `val_` together; a full column name, as `"val_loss"` or
            `"learning_rate"`, draws that column alone.
        hue: Column name: one colour a value. None draws all runs as seeds of one setting.
        error: Boolean. True draws what an accuracy leaves, 1 - accuracy in %, on a logarithmic axis, where 98 and 99%
            are as far apart as 80 and 90%; no error at all is drawn at half of the smallest one.
        ax: Axes to draw on; a new figure's when None.
    Returns:
        `matplotlib.axes.Axes`.
    Raises:
        ValueError: If a column is missing, `error` is asked of a metric that is no accuracy, or (where there is a
            `seed`) runs of one group differ in more than it.
    """
    splits = ["train", "val"] if f"val_{metric}" in history else [""]
    columns = [f"{split}_{metric}".strip("_") for split in splits]
    history = check_frame(history, "run_id", "epoch", *columns, hue=hue)
    _check_seeds(history, "epoch", hue)
    ax = new_axes(ax)
    history, possible = _to_drawn(ax, history, metric, columns, error)
    parts, counts, crosses = groups(history, hue), [], []
    for part, style in parts.values():
        sound = part[~_is_collapsed(part)]
        for column, split in zip(columns, splits, strict=True):
            finite = sound[np.isfinite(sound[column])]
            _draw_mean(ax, finite, "epoch", column, _curve_style(style, split, hue, part["epoch"].nunique()), possible)
            few = split != "train" and 1 < sound["run_id"].nunique() <= POINT_RUNS
            for _, run in finite.groupby("run_id") if few else ():
                ax.plot(run["epoch"], run[column].clip(*possible), color=style["color"], linewidth=0.6, alpha=0.45)
        counts.append(sound["run_id"].nunique())
        crosses.append((style["color"], _ends(part, columns[-1])))
    if metric == "learning_rate" and (history[metric] > 0).all():
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.set(xlabel="Epoch", ylabel=label(metric, error=error))
    ended = _finish_lines(ax, metric, crosses, error)
    add_legend(ax, parts, hue, splits=splits)
    total, how = history["run_id"].nunique(), "ended early or collapsed" if "collapsed" in history else "ended early"
    add_caption(ax, tell_band(counts, "thin lines"), f"× {ended} of {total} runs {how}" if ended else "")
    return ax


def plot_sweep(
    runs, *, x="learning_rate", y="val_accuracy", hue=None, log_x=True, error=False, chosen=None, chance=None, ax=None
):
    """Plot a metric against a swept setting.

    Args:
        runs: DataFrame of one line a run. Diverged runs, and those that a Boolean column `collapsed` marks, are
            crosses at the edge and no part of the mean; failed runs are left out, and the caption says how many.
        x: Column name of the setting.
        y: Column name of the metric.
        hue: Column name: one colour, marker and line a value.
        log_x: Boolean, whether x is shown on a logarithmic axis.
        error: Boolean, as in `plot_curves`.
        chosen: Dict of a value of `hue` (None without one) to the x that was chosen: its mean gets a ring.
        chance: Float, the metric of blind guessing, drawn as a line (0.1 for the accuracy over ten equal classes).
        ax: Axes to draw on; a new figure's when None.
    Returns:
        `matplotlib.axes.Axes`.
    Raises:
        ValueError: If a column is missing, x is no number or not positive on a logarithmic axis, `error` is asked of a
            metric that is no accuracy, runs of one point differ in more than their seed, or nothing ran at a chosen x.
    """
    runs = check_frame(runs, x, y, hue=hue)
    if not is_numeric_dtype(runs[x]):
        raise ValueError(f"Expected numbers in {x}. Received: {runs[x].iloc[0]!r}. Compare names with plot_intervals.")
    if log_x and not (runs[x] > 0).all():
        raise ValueError(f"Expected {x} > 0 on a logarithmic axis. Received: {x}={runs[x].min()}. Pass log_x=False.")
    finished = _without_failed(runs)
    _check_seeds(finished, x, hue)
    ax = new_axes(ax)
    finished, possible = _to_drawn(ax, finished, y, [y], error)
    rings = {nice(group): place for group, place in (chosen or {}).items()}
    parts, counts, crosses = groups(finished, hue), [], []
    for size, (group, (part, style)) in enumerate(parts.items()):
        lost = _is_lost(part, y)
        means = _draw_mean(ax, part[~lost], x, y, style, possible)
        counts += means["n"].tolist()
        shown = part[~lost & part[x].isin(means.index[means["n"].between(2, POINT_RUNS)])]
        points = {"linestyle": "", "marker": "o", "ms": 2.8, "mew": 0, "alpha": 0.55, "color": style["color"]}
        ax.plot(shown[x], shown[y].clip(*possible), **points)
        crosses.append((style["color"], part.loc[lost, x]))
        if group in rings:
            ring = means.index[np.isclose(means.index, rings.pop(group))]
            if not len(ring):
                raise ValueError(f"Expected runs of {group} at the chosen {x}. Received: none. Correct chosen.")
            look = {"mfc": "none", "mec": style["color"], "mew": 1.5, "zorder": 5}
            ax.plot(ring, means.loc[ring, "mean"], "o", ms=10 + 2 * size, **look)  # of each group one of its own size
    if rings:
        raise ValueError(f"Expected chosen for {', '.join(parts)}. Received: {', '.join(rings)}. Correct chosen.")
    if chance is not None:
        chance = 1 - chance if error else chance
        ax.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate("chance", (0.995, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=GREY)
    if log_x:
        ax.set_xscale("log")
    values = sorted(runs[x].unique())
    if len(values) <= 8:
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(values, [nice(value) for value in values])
    ax.set(xlabel=label(x), ylabel=label(y, error=error))
    lost = _finish_lines(ax, y, crosses, error)
    add_legend(ax, parts, hue)
    how = "diverged or collapsed" if "collapsed" in runs else "diverged"
    ringed = f"; ring: the chosen {x.replace('_', ' ')}" if chosen else ""
    add_caption(ax, tell_band(counts) + ringed, tell_lost(runs, lost, how))
    return ax


def plot_heatmap(runs, *, x, y, values="val_accuracy", ax=None):
    """Plot the mean of a metric over two settings as an annotated table, with its range; brighter is better.

    Args:
        runs: DataFrame of one line a run. A cell's mean leaves diverged and collapsed runs out and counts them: `×1`.
        x: Column name of the setting across.
        y: Column name of the setting upwards.
        values: Column name of the metric.
        ax: Axes to draw on; a new figure's when None.
    Returns:
        `matplotlib.axes.Axes`.
    Raises:
        ValueError: If a column is missing, or runs of one cell differ in more than their seed.
    """
    runs = check_frame(runs, x, y, values)
    finished = _without_failed(runs)
    _check_seeds(finished, x, y)
    finished = finished.assign(lost=_is_lost(finished, values))
    finished[values] = finished[values].where(~finished["lost"]) * shown_scale(values)
    cells = finished.groupby([y, x], dropna=False).agg(
        mean=(values, "mean"), low=(values, "min"), high=(values, "max"), n=(values, "count"), lost=("lost", "sum")
    )
    means, form = cells["mean"].unstack(), ".1f" if is_accuracy(values) else ".3g"

    def tell(cell):
        mean = f"{cell['mean']:{form}} " if cell["n"] else ""
        spread = f"\n{cell['low']:{form}}–{cell['high']:{form}}" if cell["n"] > 1 else ""
        return mean + (f"×{cell['lost']:.0f}" if cell["lost"] else "") + spread

    texts = cells.apply(tell, axis=1).unstack().fillna("")
    ax = new_axes(ax, 2.2 + 0.85 * means.shape[1], 1.6 + 0.55 * means.shape[0])
    ticks = {"xticklabels": [*map(nice, means.columns)], "yticklabels": [*map(nice, means.index)]}
    colours = "viridis_r" if "loss" in values else "viridis"
    sns.heatmap(means, ax=ax, cmap=colours, linewidths=1, cbar_kws={"label": label(values)}, **ticks)
    for (row, column), text in np.ndenumerate(texts.to_numpy()):
        mean = means.iloc[row, column]
        dark = np.isnan(mean) or sum(ax.collections[0].to_rgba(mean)[:3]) > 1.5  # dark ink on a bright or empty cell
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color="0.1" if dark else "w", fontsize=8)
    ax.set_facecolor("0.95")
    ax.invert_yaxis()
    ax.tick_params(length=0, rotation=0)
    ax.set(xlabel=label(x), ylabel=label(y))
    told = f"mean and range, {tell_runs(cells.loc[cells['n'] > 0, 'n'])}"
    add_caption(ax, told, tell_lost(runs, cells["lost"].sum(), "diverged or collapsed"))
    return ax


def plot_intervals(summary, *, y, x="mean", metric="val_accuracy", hue=None, reference=None, runs=None, ax=None):
    """Plot one line an arm: its mean or effect, its 95% interval and its n, also in figures at the right.

    Args:
        summary: DataFrame with the columns `y`, `x`, `low`, `high`, `n`, drawn from top to bottom: of
            `store.summarise`, or lines of `claims.csv`, whose `margin` is then shaded around the reference.
        y: Column name of the arm.
        x: Column name of the value: `"mean"`, or `"effect"` of a claim.
        metric: String, the metric that was summarised; gives the axis its name and unit.
        hue: Column name: one colour and marker a value.
        reference: Float, drawn as a line: 0 for differences, which are then labelled as such.
        runs: DataFrame of what was summarised, one line a run with the columns `y` and `metric`: up to twenty an arm
            are small points below its interval; diverged and collapsed ones are counted at the edge: `×2`.
        ax: Axes to draw on; a new figure's when None.
    Returns:
        `matplotlib.axes.Axes`.
    Raises:
        ValueError: If a column is missing.
    """
    summary = check_frame(summary, y, x, "low", "high", "n", hue=hue).reset_index(drop=True)
    ax = new_axes(ax, 7.2, 1.3 + (0.36 if runs is None else 0.46) * len(summary))
    scale, parts, lost = shown_scale(metric), groups(summary, hue), 0
    if runs is not None:
        runs = check_frame(runs, y, metric)
        runs = runs[runs[y].isin(summary[y])]
    for part, style in parts.values():
        middle = part[x] * scale
        bars = np.nan_to_num([middle - part["low"] * scale, part["high"] * scale - middle])  # n = 1: a point, no bar
        ax.errorbar(middle, part.index, xerr=bars, **(style | {"linestyle": ""}), capsize=3, markersize=6)
        for row, arm in part[y].items() if runs is not None else ():
            lost += _draw_points(ax, _without_failed(runs[runs[y] == arm]), metric, row + 0.27, style["color"])
    beside = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small", "annotation_clip": False}
    for row, line in summary.iterrows():
        ax.annotate(tell_interval(line, x, metric), (1.02, row), **beside)
    shaded = reference is not None and "margin" in summary
    if reference is not None:
        ax.axvline(reference * scale, color=GREY, linewidth=1, zorder=0)
    if shaded:
        margin = summary["margin"] * scale
        ax.barh(summary.index, 2 * margin, left=reference * scale - margin, height=1, color="0.92", zorder=-1)
    ax.set_yticks(summary.index, [nice(value) for value in summary[y]])
    ax.set(ylim=(len(summary) - 0.4, -0.6), ylabel="", xlabel=label(metric, difference=reference == 0))
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    sns.despine(ax=ax, left=True)
    ax.tick_params(axis="y", length=0)
    add_legend(ax, parts, hue, linestyle="", loc="lower left", bbox_to_anchor=(0, 1), ncols=len(parts))
    told = [f"95% Student-t interval over {tell_runs(summary['n'])}"]
    told += ["points: single runs"] if runs is not None and summary["n"].min() <= POINT_RUNS else []
    told += ["grey: the margin"] if shaded else []
    add_caption(ax, "; ".join(told), "" if runs is None else tell_lost(runs, lost, "diverged or collapsed"))
    return ax


def _check_seeds(runs, *by):
    """A band over seeds must not hide that something else varied as well."""
    by = [name for name in by if name is not None]
    twice = runs[runs.duplicated([*by, "seed"])] if "seed" in runs else runs[:0]
    if not twice.empty:
        where = ", ".join(f"{name}={twice.iloc[0][name]}" for name in (*by, "seed"))
        raise ValueError(
            f"Expected runs that differ only in their seed. Received: two runs with {where}. "
            "Select one value of the settings that differ, or give one as hue."
        )


def _without_failed(runs):
    return runs[runs["status"] != "failed"] if "status" in runs else runs


def _is_collapsed(frame):
    return frame["collapsed"].eq(True) if "collapsed" in frame else pd.Series(False, index=frame.index)


def _is_lost(runs, metric):
    diverged = runs["status"] == "diverged" if "status" in runs else False
    return ~np.isfinite(runs[metric]) | diverged | _is_collapsed(runs)


def _to_drawn(ax, frame, metric, columns, error):
    """Return the frame with accuracies turned into errors if asked, and the `(low, high)` that a value can have."""
    if not error:
        return frame, (0, 1) if is_accuracy(metric) else (0, np.inf) if "loss" in metric else (-np.inf, np.inf)
    if not is_accuracy(metric):
        raise ValueError(f"Expected an accuracy, to draw its error. Received: {metric!r}. Leave error out.")
    ax.set_yscale("log")
    errors = 1 - frame[columns]
    least = errors[errors > 0].min().min()
    return frame.assign(**errors), (least / 2 if np.isfinite(least) else 0.001, 1)


def _ends(history, column):
    """Return the last sound epoch of every run that collapsed, or stopped before the longest one of its group."""
    sound = history["epoch"].where(np.isfinite(history[column])).groupby(history["run_id"]).max()
    early = sound.isna() | (sound < history["epoch"].max()) | _is_collapsed(history).groupby(history["run_id"]).any()
    return sound[early].fillna(history["epoch"].min())


def _curve_style(style, split, hue, epochs):
    """Training is dashed and bare, and grey where colour does not tell groups apart; validation is solid."""
    if split == "train":
        return style | {"linestyle": "--", "marker": None} | ({} if hue else {"color": TRAINING_GREY})
    return style | {"markevery": 1 + epochs // 12} | ({"linestyle": "-"} if split else {})


def _draw_mean(ax, frame, x, y, style, possible):
    """Draw the mean and its band, and return them: a frame with `mean, low, high, n` by x."""
    means = summarise(frame, x, y).set_index(x)
    spread = frame.groupby(x)[y].agg(["min", "max"])
    for end, extreme in (("low", "min"), ("high", "max")):
        means[end] = means[end].mask(means["n"] < BAND_RUNS, spread[extreme]).where(means["n"] > 1)
    means[["mean", "low", "high"]] = means[["mean", "low", "high"]].clip(*possible)
    ax.plot(means.index, means["mean"], **style)
    ax.fill_between(means.index, means["low"], means["high"], color=style["color"], alpha=0.14, linewidth=0)
    return means


def _draw_points(ax, runs, metric, height, color):
    """Draw an arm's single runs as points, count the lost ones at the worse edge, and return how many these are."""
    lost = _is_lost(runs, metric)
    if (~lost).sum() <= POINT_RUNS:
        values = runs.loc[~lost, metric] * shown_scale(metric)
        ax.plot(values, np.full(len(values), height), "o", color=color, ms=3, mew=0, alpha=0.55)
    if lost.any():
        edge, side = (0.99, "right") if "loss" in metric else (0.01, "left")
        place = {"transform": ax.get_yaxis_transform(), "ha": side, "va": "center"}
        ax.text(edge, height, f"×{lost.sum()}", color=color, weight="bold", fontsize="small", **place)
    return lost.sum()


def _finish_lines(ax, metric, crosses, error):
    """Make room for a row of crosses for each `(colour, places)`, draw them, and return how many there are."""
    crosses = [(colour, places) for colour, places in crosses if len(places)]
    worse_up = error or "loss" in metric
    for row, (colour, places) in enumerate(crosses):
        heights = np.full(len(places), abs(worse_up - 0.03 - 0.045 * row))
        ax.plot(places, heights, "x", color=colour, ms=6, mew=1.6, transform=ax.get_xaxis_transform(), zorder=4)
    panels, scale = ax.get_shared_y_axes().get_siblings(ax), ax.yaxis.get_transform()
    rows = max(sum(line.get_marker() == "x" for line in panel.lines) for panel in panels)
    low, high = scale.transform(ax.get_ylim())
    room = 0.06 * rows * (high - low)
    limits = scale.inverted().transform([low - room * (not worse_up), high + room * worse_up])
    ax.set_ylim(*limits, auto=None)  # not frozen: a panel that shares the axis is drawn later
    if error:  # low and high are decades
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low > 1.5 else (1, 1.5, 2, 3, 5, 7)))
        ax.yaxis.set_minor_formatter("")
    if is_accuracy(metric):  # the room of crosses may reach beyond what is possible, the figures need not
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}" if -1e-9 < share < 1 + 1e-9 else "")
    ax.grid(color="0.92", linewidth=0.8)
    sns.despine(ax=ax)
    return sum(len(places) for _, places in crosses)
