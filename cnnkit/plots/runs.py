"""Figures of runs: learning curves, sweeps, heat maps and intervals.

Lines are means over seeds. Bands are 95% Student-t intervals from five seeds on (a bootstrap of few covers 76%), and
their range below that; none leaves what is possible: an accuracy's ends at 0 and 100%, a loss's at the lowest run. Up
to twenty single runs are drawn as well. A run that diverged, or that a Boolean column `collapsed` marks, is a cross at
the edge and no part of a mean: never a silent gap. Failed runs are left out and counted.

`hue` is a column's name: one colour, marker and line a value; None takes all runs as seeds of one setting. A ValueError
names a missing column, or the point where two runs of one group differ in more than their `seed`.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from pandas.api.types import is_numeric_dtype

from cnnkit.lab.store import summarise
from cnnkit.plots import style
from cnnkit.plots.words import BAND_RUNS, POINT_RUNS, tell_band, tell_interval, tell_lost, tell_runs

FINE = (1, 1.5, 2, 3, 5, 7)  # ticks of a decade, where there is but one


def plot_curves(history, *, metric="accuracy", hue=None, error=False, ax=None):
    """Plot a metric over the epochs: training dashed, validation solid; a cross where a run ended early.

    `history` is a DataFrame of one line a run and epoch: `run_id, epoch`, the metric's columns and `hue`'s. `metric` is
    `"accuracy"` or `"loss"` for `train_` and `val_` together, or a column, as `"val_loss"`, for it alone. `error` is as
    for `plot_sweep`.
    """
    splits = ["train", "val"] if f"val_{metric}" in history else [""]
    columns = [f"{split}_{metric}".strip("_") for split in splits]
    history = _check_seeds(style.check_frame(history, "run_id", "epoch", *columns, hue=hue), "epoch", hue)
    ax, least = style.new_axes(ax), -np.inf
    if error:
        history[columns], least = _errors(history[columns], metric)
        ax.set_yscale("log")
    parts, counts, crosses = style.groups(history, hue), [], []
    for part, look in parts.values():
        sound = part[~part["collapsed"]]
        counts.append(sound["run_id"].nunique())
        crosses.append((look["color"], _ends(part, columns[-1])))
        solid = look | {"markevery": 1 + part["epoch"].nunique() // 12} | ({"linestyle": "-"} if splits[0] else {})
        dashed = look | {"linestyle": "--", "marker": None} | ({} if hue else {"color": style.TRAINING_GREY})
        for column, split in zip(columns, splits, strict=True):
            finite = sound[np.isfinite(sound[column])]
            _draw_mean(ax, finite, "epoch", column, dashed if split == "train" else solid, least)
            if split != "train" and 1 < counts[-1] <= POINT_RUNS:
                for _, run in finite.groupby("run_id"):
                    ax.plot(run["epoch"], run[column].clip(least), color=look["color"], linewidth=0.6, alpha=0.45)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.set(xlabel="Epoch", ylabel=style.label(metric, error=error))
    ended, total = _finish_lines(ax, metric, crosses, error), history["run_id"].nunique()
    style.add_legend(ax, parts, hue, double=len(splits) == 2)
    told = f"× {ended} of {total} runs ended early or collapsed" if ended else ""
    means = "training: running means of every epoch" if len(splits) == 2 else ""
    style.add_caption(ax, tell_band(counts, metric, "thin lines"), means, told)
    return ax


def plot_sweep(runs, *, x="learning_rate", y="val_accuracy", hue=None, log_x=True, error=False, chosen=None, ax=None):
    """Plot a metric against a swept setting.

    Args:
        runs: DataFrame of one line a run, with the columns `x`, a number, and `y`, the metric.
        error: Boolean. True draws what an accuracy leaves, 1 - accuracy in %, on a logarithmic axis, where 98 and 99%
            are as far apart as 80 and 90%; no error at all is drawn at half of the smallest one.
        chosen: Dict of a value of `hue` (None without one) to the x that was chosen: its mean gets a ring.
    """
    runs = style.check_frame(runs, x, y, hue=hue)
    if not is_numeric_dtype(runs[x]) or (log_x and not (runs[x] > 0).all()):
        way = "Pass log_x=False, or compare names with plot_intervals."
        raise ValueError(f"Expected numbers in {x}, positive or no log_x. Received: {x}={runs[x].min()}. {way}")
    finished, least = _finished(runs, y, x, hue), -np.inf
    if error:
        finished[[y]], least = _errors(finished[[y]], y)
    parts, counts, crosses = style.groups(finished, hue), [], []
    rings = {style.nice(group): place for group, place in (chosen or {}).items()}
    ax = style.new_axes(ax)
    if error:
        ax.set_yscale("log")
    for size, (group, (part, look)) in enumerate(parts.items()):
        sound, colour = part[~part["lost"]], look["color"]
        means = _draw_mean(ax, sound, x, y, look, least)
        counts += means["n"].tolist()
        shown = sound[sound[x].isin(means.index[means["n"].between(2, POINT_RUNS)])]
        ax.plot(shown[x], shown[y].clip(least), "o", color=colour, ms=2.8, mew=0, alpha=0.55)
        crosses.append((colour, part.loc[part["lost"], x]))
        if group in rings:
            ring = means["mean"][np.isclose(means.index, rings[group])]
            bare = {"mfc": "none", "mec": colour, "mew": 1.5, "zorder": 5}
            ax.plot(ring.index, ring, "o", ms=10 + 2 * size, **bare)  # of each group one of its own size
    if log_x:
        ax.set_xscale("log")
    values = sorted(runs[x].unique())
    if len(values) <= 8:
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(values, map(style.nice, values), fontsize="medium" if len(values) < 7 else "small")
    ax.set(xlabel=style.label(x), ylabel=style.label(y, error=error))
    lost = _finish_lines(ax, y, crosses, error)
    style.add_legend(ax, parts, hue)
    ringed = f"ring: the chosen {x.replace('_', ' ')}" if chosen else ""
    style.add_caption(ax, tell_band(counts, y, "points"), ringed, tell_lost(runs, lost))
    return ax


def plot_panels(plot, frame, *, x, y, hue, error=False, chosen=None):
    """Plot each value of `hue` in a panel of its own, before the others' means in grey; return the Figure.

    `plot` is `plot_sweep` or `plot_curves`, which gets a value's part of the `frame`; `x, y, error, chosen`
    are as for `plot_sweep`. Errors above four times the least are a triangle at the edge. What all panels' captions say
    stands below them, the rest in their titles.
    """
    names, captions = list(dict.fromkeys(frame[hue])), {}
    columns = 4 if len(names) > 6 else 2 if len(names) == 4 else 3
    size = {"figsize": (3 * columns, 2.5 * -(-len(names) // columns)), "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(-(-len(names) // columns), columns, sharex=True, sharey=True, **size)
    behind = frame.assign(**{y: 1 - frame[y]} if error else {}).groupby([hue, x])[y].mean()
    top = 4 * behind.min() if error else np.inf  # beyond, no rate is chosen: it would hide the others' differences
    for ax, name in zip(axes.flat, names, strict=False):  # the last row may have room
        for other in names:
            ax.plot(behind[other].index, behind[other], color="0.85", linewidth=1, zorder=0)
        own = {"x": x, "y": y, "error": error, "chosen": {None: chosen[name]}} if chosen else {"metric": y}
        plot(frame[frame[hue] == name], ax=ax, **own)
        if len(beyond := behind[name][behind[name] > top].index):
            ax.plot(beyond, np.full(len(beyond), 0.96), "^", ms=5, color="C0", transform=ax.get_xaxis_transform())
        caption = next(text for text in ax.texts if text.get_gid() == style.CAPTION)
        captions[ax] = caption.get_text().split("\n")
        caption.remove()
        lowest = ax not in axes.flat[: len(names) - columns]
        ax.set(title=name, xlabel=ax.get_xlabel() if lowest else "", ylabel="")
        ax.tick_params(labelbottom=lowest)
        if len(ticks := ax.get_xticklabels()) > 6 and ticks[0].get_text():  # as many have no room
            for label in ticks[1::2]:
                label.set_visible(False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    common = [line for line in next(iter(captions.values())) if all(line in lines for lines in captions.values())]
    for ax, lines in captions.items():
        ax.set_title("\n".join([ax.get_title(), *(line for line in lines if line not in common)]), fontsize=9)
    notes = [*common, "grey: the means of the others"]
    if behind.max() > top:
        axes.flat[0].set_ylim(top=top)
        axes.flat[0].yaxis.set_major_locator(LogLocator(subs=FINE))
        notes.append(f"▲: means above {100 * top:.0f}%")
    figure.supylabel(style.label(y, error=error), fontsize="medium")
    figure.supxlabel("\n".join(notes), fontsize=8, color=style.GREY)
    return figure


def plot_heatmap(runs, *, x, y, values="val_accuracy", ax=None):
    """Plot the mean of a metric over two settings as an annotated table, with its range; brighter is better.

    `x, y, values` are columns of `runs`: settings across and upwards, and the metric. `×1`: a run that is in no mean.
    The worst quarter of the cells has one colour.
    """
    runs = style.check_frame(runs, x, y, values)
    finished = _finished(runs, values, x, y)
    finished[values] = finished[values].where(~finished["lost"]) * style.shown_scale(values)
    cells = finished.groupby([y, x], dropna=False).agg(
        mean=(values, "mean"), low=(values, "min"), high=(values, "max"), n=(values, "count"), lost=("lost", "sum")
    )
    means, form = cells["mean"].unstack(), ".1f" if style.is_accuracy(values) else ".3g"

    def tell(cell):
        mean = f"{cell['mean']:{form}} " if cell["n"] else ""
        spread = f"\n{cell['low']:{form}}–{cell['high']:{form}}" if cell["n"] > 1 else ""
        return mean + (f"×{cell['lost']:.0f}" if cell["lost"] else "") + spread

    texts = cells.apply(tell, axis=1).unstack().fillna("")
    ax = style.new_axes(ax, max(6.4, 2.2 + 0.85 * means.shape[1]), 1.6 + 0.55 * means.shape[0])
    colours = sns.color_palette("viridis_r" if "loss" in values else "viridis", as_cmap=True)
    worst = means.stack().quantile(0.75 if "loss" in values else 0.25)  # else cells that failed take all the colours
    shades = means.clip(upper=worst) if "loss" in values else means.clip(lower=worst)
    low, high = shades.min().min(), shades.max().max()
    scale = {"cmap": colours.with_extremes(under="0.95"), "vmin": low, "vmax": high}  # grey: a cell without a mean
    ticks = {"xticklabels": [*map(style.nice, means.columns)], "yticklabels": [*map(style.nice, means.index)]}
    written = {"annot": texts, "fmt": "", "annot_kws": {"fontsize": 8}, "cbar_kws": {"label": style.label(values)}}
    sns.heatmap(shades.fillna(low - 1), ax=ax, linewidths=1, **scale, **ticks, **written)
    ax.invert_yaxis()
    ax.tick_params(length=0, rotation=0)
    ax.set(xlabel=style.label(x), ylabel=style.label(y))
    told = f"mean and range, {tell_runs(cells.loc[cells['n'] > 0, 'n'])}; darkest: the worst quarter"
    style.add_caption(ax, told, tell_lost(runs, cells["lost"].sum()))
    return ax


def plot_intervals(summary, *, y, x="mean", metric="val_accuracy", reference=None, runs=None, ax=None):
    """Plot one line an arm: its mean or effect, its interval and its n, also in figures at the right.

    Args:
        summary: DataFrame with `low`, `high`, `n` and the columns `y`, the arm, and `x`, the value: of
            `store.summarise`, or lines of `claims.csv`, whose `margin` is then shaded around the reference.
        metric: String, the metric that was summarised; gives the axis its name and unit.
        reference: Float, drawn as a line: 0 for differences, which are then labelled as such.
        runs: DataFrame of what was summarised, one line a run: drawn as small points, diverged and collapsed ones
            counted at the edge: `×2`. Without it every interval is the summary's, however few its runs.
    """
    summary = style.check_frame(summary, y, x, "low", "high", "n").reset_index(drop=True)
    ax = style.new_axes(ax, 7.2, 1.3 + (0.36 if runs is None else 0.46) * len(summary))
    scale, told, lost = style.shown_scale(metric), [f"95% Student-t interval, {tell_runs(summary['n'])}"], ""
    colour = sns.color_palette("colorblind")[0]
    if runs is not None:
        runs = style.check_frame(runs, y, metric)
        runs = runs[runs[y].isin(summary[y])]
        finished, told = _finished(runs, metric), [tell_band(summary["n"], metric, "points")]
        summary, lost = _bound(summary, finished[~finished["lost"]], y, metric), tell_lost(runs, finished["lost"].sum())
        worse, side = (0.99, "right") if "loss" in metric else (0.01, "left")
        place = {"transform": ax.get_yaxis_transform(), "ha": side, "va": "center"}
        for row, arm in summary[y].items():
            part, height = finished[finished[y] == arm], row + 0.27
            values = part.loc[~part["lost"], metric] * scale
            if len(values) <= POINT_RUNS:
                ax.plot(values, np.full(len(values), height), "o", color=colour, ms=3, mew=0, alpha=0.55)
            if count := part["lost"].sum():
                ax.text(worse, height, f"×{count}", color=colour, weight="bold", fontsize="small", **place)
    middle, low, high = (summary[name] * scale for name in (x, "low", "high"))
    bars = np.nan_to_num([middle - low, high - middle]).clip(min=0)  # n = 1, or all runs alike: a point, no bar
    ax.errorbar(middle, summary.index, xerr=bars, fmt="o", color=colour, mec="w", mew=0.7, capsize=3, markersize=6)
    beside = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small", "annotation_clip": False}
    for row, line in summary.iterrows():
        ax.annotate(tell_interval(line, x, metric), (1.02, row), **beside)
    if reference is not None:
        ax.axvline(reference * scale, color=style.GREY, linewidth=1, zorder=0)
        if "margin" in summary:
            margin, grey = summary["margin"] * scale, {"height": 1, "color": "0.92", "zorder": -1}
            ax.barh(summary.index, 2 * margin, left=reference * scale - margin, **grey)
            told.append("grey: the margin")
    ax.set_yticks(summary.index, [style.nice(value) for value in summary[y]])
    ax.set(ylim=(len(summary) - 0.4, -0.6), ylabel="", xlabel=style.label(metric, difference=reference == 0))
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    sns.despine(ax=ax, left=True)
    ax.tick_params(axis="y", length=0)
    style.add_caption(ax, "; ".join(told), lost)
    return ax


def _check_seeds(runs, *by):
    """Return the runs: a band over seeds must not hide that something else varied as well."""
    by = [name for name in (*by, "seed") if name is not None]
    if "seed" in runs and by[1:] and runs.duplicated(by).any():
        where = ", ".join(f"{name}={value}" for name, value in runs.loc[runs.duplicated(by), by].iloc[0].items())
        way = "Select one value of the settings that differ, or give one as hue."
        raise ValueError(f"Expected runs that differ only in their seed. Received: two runs with {where}. {way}")
    return runs


def _finished(runs, metric, *by):
    """Return a copy of the runs that did not fail, whose column `lost` says which diverged or collapsed."""
    lost = ~np.isfinite(runs[metric]) | (runs["status"] == "diverged") | runs["collapsed"]
    return _check_seeds(runs.assign(lost=lost)[runs["status"] != "failed"], *by)


def _errors(accuracies, metric):
    """Return what a frame of accuracies leaves, and half of the least that is above 0."""
    if not style.is_accuracy(metric):
        raise ValueError(f"Expected an accuracy, to draw its error. Received: {metric!r}. Leave error out.")
    errors = 1 - accuracies
    least = errors.where(errors > 0).min().min() / 2
    return errors, least if least > 0 else 0.001


def _ends(history, column):
    """Return the last sound epoch of every run that collapsed, or stopped before the longest one of its group."""
    sound = history["epoch"].where(np.isfinite(history[column])).groupby(history["run_id"]).max()
    collapsed = history.groupby("run_id")["collapsed"].any()
    return sound[sound.isna() | (sound < history["epoch"].max()) | collapsed].fillna(history["epoch"].min())


def _bound(summary, runs, by, metric):
    """Return a summary whose intervals are the range below five runs, and never leave what is possible."""
    spread = runs.groupby(by, dropna=False)[metric].agg(["min", "max"]).reindex(summary[by]).set_axis(summary.index)
    few = summary["n"].between(2, BAND_RUNS - 1)
    low, high = summary["low"].mask(few, spread["min"]), summary["high"].mask(few, spread["max"])
    if style.is_accuracy(metric):
        low, high = low.clip(lower=0), high.clip(upper=1)
    elif "loss" in metric:  # the lowest run rather than 0, which a logarithmic axis does not have
        low = low.clip(lower=spread["min"])
    return summary.assign(low=low, high=high)


def _draw_mean(ax, frame, x, y, look, least=-np.inf):
    """Draw the mean and its band, nothing below `least`, and return them: a frame with `mean, low, high, n` by x."""
    means = _bound(summarise(frame, x, y), frame, x, y).set_index(x)
    means[["mean", "low", "high"]] = means[["mean", "low", "high"]].clip(lower=least)
    ax.plot(means.index, means["mean"], **look)
    ax.fill_between(means.index, means["low"], means["high"], color=look["color"], alpha=0.14, linewidth=0)
    return means


def _finish_lines(ax, metric, crosses, error=False):
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
        subs = (1, 2, 5) if high - low > 1.5 else FINE if high - low > 0.5 else range(1, 10)
        ax.yaxis.set_major_locator(LogLocator(subs=subs))
        ax.yaxis.set_minor_formatter("")
    if style.is_accuracy(metric):  # the room of crosses may reach beyond what is possible, the figures need not
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}" if -1e-9 < share < 1 + 1e-9 else "")
    ax.grid(color="0.92", linewidth=0.8)
    sns.despine(ax=ax)
    return sum(len(places) for _, places in crosses)
