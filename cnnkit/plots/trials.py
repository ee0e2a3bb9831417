"""A search's trials: where in the space the good ones lie."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import LogLocator
from pandas.api.types import is_numeric_dtype

from cnnkit.plots.style import nice


def plot_trials(trials, names):
    """Draw what every whole trial's validation score leaves, against each hyperparameter; a row an algorithm.

    Args:
        trials: DataFrame of `search.run_search`, of one algorithm or several; whole are those of the most epochs.
        names: Of the columns that hold hyperparameters. Numbers over a decade or more have a logarithmic axis; texts,
            and numbers of which there are at most five, are compared side by side.
    Returns:
        The matplotlib Figure.
    """
    trials = trials.assign(**{name: trials[name].map(nice) for name in names if not _is_range(trials[name])})
    whole = trials[trials["epochs"] == trials["epochs"].max()].drop_duplicates(["algorithm", "run_id"])
    error = 100 * (1 - whole["score"])
    whole = whole.assign(error=error.clip(lower=error[error > 0].min() / 2))  # none at all has no place on the axis
    lost, epochs, rows = whole["score"].isna().sum(), whole["epochs"].max(), sorted(whole["algorithm"].unique())
    size = {"figsize": (3 * len(names), 2.3 * len(rows) + 0.6), "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(len(rows), len(names), sharex="col", sharey=True, **size)
    for row, algorithm, colour in zip(axes, rows, sns.color_palette("colorblind"), strict=False):
        look = {"data": whole[whole["algorithm"] == algorithm], "y": "error"}
        look |= {"color": colour, "alpha": 0.7, "linewidth": 0}
        for ax, name in zip(row, names, strict=True):
            values = trials[name]
            if _is_range(values):
                sns.scatterplot(x=name, ax=ax, **look)
                ax.set_xscale("log" if values.min() > 0 and values.max() >= 10 * values.min() else "linear")
            else:  # jitter would be drawn anew in every figure
                sns.stripplot(x=name, ax=ax, order=_sorted(values), jitter=False, **look)
            ax.set(xlabel=name.split(".")[-1].replace("_", " ").capitalize(), ylabel="")
            ax.grid(axis="y", color="0.92")
            ax.set_axisbelow(True)
        row[0].set_title(algorithm, loc="left", fontsize="medium")
    if (error > 0).any():
        axes[0, 0].set_yscale("log")
        axes[0, 0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[0, 0].yaxis.set_major_formatter("{x:g}")
        axes[0, 0].yaxis.set_minor_formatter("")
    sns.despine(figure)
    figure.supylabel("Validation error (%)", fontsize="medium")
    words = f"{len(whole)} trials of {epochs} epochs; {lost} of them diverged or failed, and are not drawn"
    figure.suptitle(words, fontsize=8, color="0.35")
    return figure


def plot_parallel(trials, names, *, share=0.1, ax=None):
    """Draw every whole trial as a line from hyperparameter to hyperparameter, those of the best `share` in colour.

    `trials` and `names` are as for `plot_trials`. A logarithmic axis is spaced so; the ends of each are written on it.
    """
    whole = trials[trials["epochs"] == trials["epochs"].max()].drop_duplicates("run_id").reset_index(drop=True)
    ax = plt.subplots(figsize=(1.35 * len(names) + 1, 4), layout="constrained")[1] if ax is None else ax
    places, ticks = {}, {}
    for name in names:
        values, spaced = whole[name], (lambda x: x)
        if _is_range(values):
            spaced = np.log if values.min() > 0 and values.max() >= 10 * values.min() else spaced
            ticks[name] = {f"{end:.2g}": spaced(end) for end in (values.min(), values.max())}
        else:
            values = values.map(nice)
            ticks[name] = {kind: place for place, kind in enumerate(_sorted(values))}
            values = values.map(ticks[name])
        low, high = min(ticks[name].values()), max(ticks[name].values())
        width = high - low or 1.0
        places[name] = (spaced(values.astype(float)) - low) / width
        ticks[name] = {text: (place - low) / width for text, place in ticks[name].items()}
    best = whole["score"] >= whole["score"].quantile(1 - share)
    kinds = {"lost": whole["score"].isna(), "others": ~best & whole["score"].notna(), f"best {share:.0%}": best}
    looks = (("0.75", 0.4, ":"), ("0.75", 0.5, "-"), (sns.color_palette("colorblind")[0], 1.4, "-"))
    for (kind, chosen), (colour, width, style) in zip(kinds.items(), looks, strict=True):
        if chosen.any():
            lines = pd.DataFrame(places)[chosen].T.to_numpy()
            drawn = ax.plot(range(len(names)), lines, color=colour, linewidth=width, linestyle=style, alpha=0.8)
            drawn[0].set_label(f"{kind} ({chosen.sum()})")
    for place, name in enumerate(names):
        ax.axvline(place, color="0.3", linewidth=0.8)
        for text, height in ticks[name].items():
            ax.annotate(text, (place, height), (3, 2), textcoords="offset points", fontsize=8)
    words = [name.split(".")[-1].replace("_", " ").capitalize() for name in names]
    ax.set(xticks=range(len(names)), yticks=[], ylim=(-0.04, 1.09), xlim=(-0.1, len(names) - 0.5))
    ax.set_xticklabels([textwrap.fill(word, 10, break_long_words=False) for word in words])
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    sns.despine(ax=ax, left=True, bottom=True)
    return ax


def _is_range(values):
    """Whether a hyperparameter has an axis of numbers: more than five of them, and no None."""
    return is_numeric_dtype(values) and values.notna().all() and values.nunique() > 5


def _sorted(texts):
    """Return the choices of a hyperparameter, numbers by size before texts."""
    numbers = pd.to_numeric(texts.drop_duplicates().str.replace(",", ""), errors="coerce")
    return [*texts.loc[numbers.sort_values(kind="stable").index]]
