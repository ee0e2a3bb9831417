"""Figures of runs: learning curves, sweeps, heat maps and intervals.

Lines are means over seeds and bands 95% Student-t intervals, because a percentile bootstrap of three seeds covers 76%
where it says 95%. Two seeds have no band: theirs is nine standard deviations wide. With fewer than five seeds the
single runs are drawn as well. A run that diverged is a cross at the bottom and no part of a mean, never a silent gap.
"""

import numpy as np
import seaborn as sns
from matplotlib.ticker import MaxNLocator, NullLocator
from pandas.api.types import is_numeric_dtype

from cnnkit.lab.store import student_interval
from cnnkit.plots.style import (
    GREY,
    TRAINING_GREY,
    add_caption,
    add_legend,
    check_frame,
    groups,
    label,
    new_axes,
    nice,
    shown_scale,
)
from cnnkit.plots.words import (
    BAND_SEEDS,
    FEW_SEEDS,
    cell_text,
    interval_text,
    interval_words,
    n_words,
    outcome_words,
    value_label,
    without_failed,
)


def plot_curves(history, *, metric="accuracy", hue=None, ax=None):
    """Plot a metric over the epochs: training dashed, validation solid.

    Args:
        history: DataFrame of one line a run and epoch: `run_id, epoch` and the metric's columns. For `hue`, add the
            column first: `history.merge(runs[["run_id", "optimizer"]])`.
        metric: `"accuracy"` or `"loss"` draw `train_` and `val_` together; a full column name, as `"val_loss"` or
            `"learning_rate"`, draws that column alone.
        hue: Column name: one colour a value. None draws all runs as seeds of one setting.
        ax: Axes to draw on; a new figure's when None.
    Returns:
        `matplotlib.axes.Axes`.
    Raises:
        ValueError: If a column is missing, or (where there is a `seed`) runs of one group differ in more than it.
    """
    splits = ["train", "val"] if f"val_{metric}" in history else [""]
    columns = [f"{split}_{metric}".strip("_") for split in splits]
    history = check_frame(history, "run_id", "epoch", *columns, hue=hue)
    _check_seeds(history, "epoch", hue)
    ax = new_axes(ax)
    parts, counts, crosses = groups(history, hue), [], []
    for part, style in parts.values():
        for column, split in zip(columns, splits, strict=True):
            _draw_curve(ax, part, column, _curve_style(style, split, hue, part["epoch"].nunique()))
        counts.append(part["run_id"].nunique())
        crosses.append((style["color"], _early_ends(part, columns[-1])))
    if metric == "learning_rate" and (history[metric] > 0).all():
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ended = _finish_lines(ax, "epoch", metric, crosses)
    add_legend(ax, parts, hue, splits=splits)
    add_caption(ax, interval_words(counts), f"× {ended} of {sum(counts)} runs ended early" if ended else "")
    return ax


def plot_sweep(runs, *, x="learning_rate", y="val_accuracy", hue=None, log_x=True, chance=None, ax=None):
    """Plot a metric against a swept setting.

    Args:
        runs: DataFrame of one line a run. Diverged runs are crosses at the bottom and no part of the mean; failed runs
            are left out, and the caption says how many.
        x: Column name of the setting.
        y: Column name of the metric.
        hue: Column name: one colour, marker and line a value.
        log_x: Boolean, whether x is shown on a logarithmic axis.
        chance: Float, the metric of blind guessing, drawn as a line (0.1 for the accuracy over ten equal classes).
        ax: Axes to draw on; a new figure's when None.
    Returns:
        `matplotlib.axes.Axes`.
    Raises:
        ValueError: If a column is missing, x is no number or not positive on a logarithmic axis, or runs of one point
            differ in more than their seed.
    """
    runs = check_frame(runs, x, y, hue=hue)
    if not is_numeric_dtype(runs[x]):
        raise ValueError(f"Expected numbers in {x}. Received: {runs[x].iloc[0]!r}. Compare names with plot_intervals.")
    if log_x and not (runs[x] > 0).all():
        raise ValueError(f"Expected {x} > 0 on a logarithmic axis. Received: {x}={runs[x].min()}. Pass log_x=False.")
    finished = without_failed(runs)
    _check_seeds(finished, x, hue)
    ax = new_axes(ax)
    parts, counts, crosses = groups(finished, hue), [], []
    for part, style in parts.values():
        diverged = _diverged(part, y)
        sound = part[~diverged]
        seeds = sound.groupby(x)[y].transform("size")
        counts += seeds.tolist()
        _draw_mean(ax, sound, x, y, style)
        few = sound[seeds.between(2, FEW_SEEDS - 1)]
        ax.plot(few[x], few[y], linestyle="", marker=style["marker"], color=style["color"], ms=3, alpha=0.5)
        crosses.append((style["color"], part.loc[diverged, x]))
    if chance is not None:
        ax.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate("chance", (0.995, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=GREY)
    if log_x:
        ax.set_xscale("log")
    values = sorted(runs[x].unique())
    if len(values) <= 8:
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(values, [nice(value) for value in values])
    diverged = _finish_lines(ax, x, y, crosses)
    add_legend(ax, parts, hue)
    add_caption(ax, interval_words(counts), outcome_words(runs, diverged))
    return ax


def plot_heatmap(runs, *, x, y, values="val_accuracy", ax=None):
    """Plot the mean of a metric over two settings as an annotated table; brighter is better.

    Args:
        runs: DataFrame of one line a run. A cell's mean leaves diverged runs out and the cell counts them: `×1`.
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
    finished = without_failed(runs)
    _check_seeds(finished, x, y)
    finished = finished.assign(diverged=_diverged(finished, values))
    finished[values] = finished[values].where(~finished["diverged"])
    cells = finished.groupby([y, x], dropna=False).agg(
        mean=(values, "mean"), n=(values, "count"), diverged=("diverged", "sum")
    )
    means = cells["mean"].unstack() * shown_scale(values)
    texts = cells.apply(lambda cell: cell_text(cell["mean"], cell["diverged"], values), axis=1).unstack().fillna("")
    ax = new_axes(ax, 2.2 + 0.75 * means.shape[1], 1.6 + 0.5 * means.shape[0])
    sns.heatmap(
        means,
        ax=ax,
        cmap="viridis_r" if values.endswith("loss") else "viridis",
        linewidths=1,
        cbar_kws={"label": label(values)},
        xticklabels=[nice(value) for value in means.columns],
        yticklabels=[nice(value) for value in means.index],
    )
    for (row, column), text in np.ndenumerate(texts.to_numpy()):
        mean = means.iloc[row, column]
        dark = np.isnan(mean) or sum(ax.collections[0].to_rgba(mean)[:3]) > 1.5  # dark ink on a bright or empty cell
        ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color="0.1" if dark else "w", fontsize="small")
    ax.set_facecolor("0.95")
    ax.invert_yaxis()
    ax.tick_params(length=0, rotation=0)
    ax.set(xlabel=label(x), ylabel=label(y))
    add_caption(
        ax, f"mean over {n_words(cells.loc[cells['n'] > 0, 'n'])}", outcome_words(runs, cells["diverged"].sum())
    )
    return ax


def plot_intervals(summary, *, y, x="mean", metric="val_accuracy", hue=None, reference=None, ax=None):
    """Plot one line an arm: its mean or effect, its 95% interval and its n, also in figures at the right.

    Args:
        summary: DataFrame with the columns `y`, `x`, `low`, `high`, `n`, drawn from top to bottom; as
            `results.summarise` returns, or lines of `claims.csv`, whose `margin` is then shaded around the reference.
        y: Column name of the arm.
        x: Column name of the value: `"mean"`, or `"effect"` of a claim.
        metric: String, the metric that was summarised; gives the axis its name and unit.
        hue: Column name: one colour and marker a value.
        reference: Float, drawn as a line: 0 for differences, which are then labelled as such.
        ax: Axes to draw on; a new figure's when None.
    Returns:
        `matplotlib.axes.Axes`.
    Raises:
        ValueError: If a column is missing.
    """
    summary = check_frame(summary, y, x, "low", "high", "n", hue=hue).reset_index(drop=True)
    ax = new_axes(ax, 7.2, 1.3 + 0.36 * len(summary))
    scale, parts = shown_scale(metric), groups(summary, hue)
    for part, style in parts.values():
        middle = part[x] * scale
        bars = np.nan_to_num([middle - part["low"] * scale, part["high"] * scale - middle])  # n = 1: a point, no bar
        ax.errorbar(middle, part.index, xerr=bars, **(style | {"linestyle": ""}), capsize=3, markersize=6)
    for row, line in summary.iterrows():
        text, beside = interval_text(line, x, metric), ("axes fraction", "data")
        ax.annotate(text, (1.02, row), xycoords=beside, va="center", fontsize="small", annotation_clip=False)
    shaded = reference is not None and "margin" in summary
    if reference is not None:
        ax.axvline(reference * scale, color=GREY, linewidth=1, zorder=0)
    if shaded:
        margin = summary["margin"] * scale
        ax.barh(summary.index, 2 * margin, left=reference * scale - margin, height=1, color="0.92", zorder=-1)
    ax.set_yticks(summary.index, [nice(value) for value in summary[y]])
    ax.set(ylim=(len(summary) - 0.4, -0.6), ylabel="", xlabel=value_label(metric, reference))
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    sns.despine(ax=ax, left=True)
    ax.tick_params(axis="y", length=0)
    add_legend(ax, parts, hue, linestyle="", loc="lower left", bbox_to_anchor=(0, 1), ncols=len(parts))
    add_caption(ax, f"95% Student-t interval over {n_words(summary['n'])}", "grey: the margin" if shaded else "")
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


def _diverged(runs, metric):
    return ~np.isfinite(runs[metric]) | (runs["status"] == "diverged" if "status" in runs else False)


def _early_ends(history, column):
    """Return the last sound epoch of every run that stopped before the longest one of its group."""
    sound = history["epoch"].where(np.isfinite(history[column]))
    last = sound.groupby(history["run_id"]).max()
    return last[last.isna() | (last < history["epoch"].max())].fillna(history["epoch"].min())


def _curve_style(style, split, hue, epochs):
    """Training is dashed and bare, and grey where colour does not tell groups apart; validation is solid."""
    if split == "train":
        return style | {"linestyle": "--", "marker": None} | ({} if hue else {"color": TRAINING_GREY})
    return style | {"markevery": 1 + epochs // 12} | ({"linestyle": "-"} if split else {})


def _draw_curve(ax, history, column, style):
    sound = history[np.isfinite(history[column])]
    if 1 < history["run_id"].nunique() < FEW_SEEDS:
        for _, run in sound.groupby("run_id"):
            ax.plot(run["epoch"], run[column], color=style["color"], ls=style["linestyle"], linewidth=0.6, alpha=0.5)
    _draw_mean(ax, sound, "epoch", column, style)


def _draw_mean(ax, frame, x, y, style):
    def band(values):
        return student_interval(values)[1:] if len(values) >= BAND_SEEDS else (np.nan, np.nan)

    sns.lineplot(frame, x=x, y=y, ax=ax, errorbar=band, err_kws={"alpha": 0.15, "linewidth": 0}, **style)


def _finish_lines(ax, x, y, crosses):
    """Set labels and limits, draw a row of crosses for each `(colour, places)`, and return how many crosses."""
    crosses = [(colour, places) for colour, places in crosses if len(places)]
    ax.set(xlabel=label(x), ylabel=label(y))
    low, high = ax.get_ylim()
    if "accuracy" in y or "loss" in y:  # an interval may reach beyond what is possible, the axis need not
        low, high = max(low, 0), min(high, 1.01) if "accuracy" in y else high
    ax.set_ylim(low - (high - low) * 0.06 * len(crosses), high)
    for row, (colour, places) in enumerate(crosses):
        heights = np.full(len(places), 0.03 + 0.045 * row)
        ax.plot(places, heights, "x", color=colour, ms=6, mew=1.6, transform=ax.get_xaxis_transform(), zorder=4)
    if "accuracy" in y:
        ax.yaxis.set_major_formatter(lambda fraction, _: f"{100 * fraction:g}")
    ax.grid(color="0.92", linewidth=0.8)
    sns.despine(ax=ax)
    return sum(len(places) for _, places in crosses)
