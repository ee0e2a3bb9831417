"""Figures and words: frame in, Axes or text out. Nothing shows, saves (but `save_figure`) or changes a global style.

Every function that draws does so on `ax`, or on a figure of its own when `ax` is None.
"""

from cnnkit.plots.pictures import plot_confusion, plot_images
from cnnkit.plots.runs import plot_curves, plot_heatmap, plot_intervals, plot_sweep
from cnnkit.plots.saving import hash_rows, mark_profile, read_provenance, save_figure
from cnnkit.plots.words import (
    count_verdicts,
    markdown_table,
    readable,
    tell_accuracy,
    tell_effect,
    tell_verdicts,
    terminal_table,
)

__all__ = [
    "count_verdicts",
    "hash_rows",
    "mark_profile",
    "markdown_table",
    "plot_confusion",
    "plot_curves",
    "plot_heatmap",
    "plot_images",
    "plot_intervals",
    "plot_sweep",
    "read_provenance",
    "readable",
    "save_figure",
    "tell_accuracy",
    "tell_effect",
    "tell_verdicts",
    "terminal_table",
]
