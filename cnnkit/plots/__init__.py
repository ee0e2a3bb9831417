"""Figures: frame in, Axes out. Nothing shows, saves (but `save_figure`) or changes a global style.

Every function draws on `ax`, or on a figure of its own when `ax` is None.
"""

from cnnkit.plots.pictures import plot_confusion, plot_images
from cnnkit.plots.runs import plot_curves, plot_heatmap, plot_intervals, plot_sweep
from cnnkit.plots.saving import hash_rows, mark_profile, read_provenance, save_figure

__all__ = [
    "hash_rows",
    "mark_profile",
    "plot_confusion",
    "plot_curves",
    "plot_heatmap",
    "plot_images",
    "plot_intervals",
    "plot_sweep",
    "read_provenance",
    "save_figure",
]
