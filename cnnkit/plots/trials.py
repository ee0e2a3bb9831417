"""A search's trials: where in the space the good ones lie."""

import matplotlib.pyplot as plt
import seaborn as sns
from pandas.api.types import is_numeric_dtype


def plot_trials(trials, names):
    """Draw the validation score of every whole trial against each hyperparameter, a row of panels an algorithm.

    Args:
        trials: DataFrame of `search.run_search`, of one algorithm or several; whole are those of the most epochs.
        names: Of the columns that hold hyperparameters. Numbers over a decade or more have a logarithmic axis; texts,
            and numbers of which there are at most five, are compared side by side.
    Returns:
        The matplotlib Figure.
    """
    texts = {name: trials[name].fillna("none").astype(str) for name in names if not is_numeric_dtype(trials[name])}
    trials = trials.assign(**texts)
    whole = trials[trials["epochs"] == trials["epochs"].max()].drop_duplicates(["algorithm", "run_id"])
    lost, epochs, rows = whole["score"].isna().sum(), whole["epochs"].max(), sorted(whole["algorithm"].unique())
    size = {"figsize": (3 * len(names), 2.3 * len(rows) + 0.6), "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(len(rows), len(names), sharex="col", sharey=True, **size)
    for row, algorithm, colour in zip(axes, rows, sns.color_palette("colorblind"), strict=False):
        look = {"data": whole[whole["algorithm"] == algorithm].assign(score=100 * whole["score"]), "y": "score"}
        look |= {"color": colour, "alpha": 0.7, "linewidth": 0}
        for ax, name in zip(row, names, strict=True):
            values = trials[name]
            if is_numeric_dtype(values) and values.nunique() > 5:
                sns.scatterplot(x=name, ax=ax, **look)
                ax.set_xscale("log" if values.min() > 0 and values.max() >= 10 * values.min() else "linear")
            else:  # jitter would be drawn anew in every figure
                sns.stripplot(x=name, ax=ax, order=sorted(values.unique()), jitter=False, **look)
            ax.set(xlabel=name.split(".")[-1].replace("_", " ").capitalize(), ylabel="")
            ax.grid(axis="y", color="0.92")
            ax.set_axisbelow(True)
        row[0].set_title(algorithm, loc="left", fontsize="medium")
    sns.despine(figure)
    figure.supylabel("Validation score (%)", fontsize="medium")
    words = f"{len(whole)} trials of {epochs} epochs; {lost} of them diverged or failed, and are not drawn"
    figure.suptitle(words, fontsize=8, color="0.35")
    return figure
