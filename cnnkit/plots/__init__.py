"""Figures and words: frame in, Axes or text out. Nothing shows, saves (but `save_figure`) or changes a global style.

Every function that draws does so on the Axes `ax`, a new figure's when `ax` is None (but `draw_grid`), and returns it.
"""

from cnnkit.plots.pictures import draw_grid, plot_confusion, plot_images
from cnnkit.plots.runs import plot_curves, plot_heatmap, plot_intervals, plot_panels, plot_sweep
from cnnkit.plots.saving import hash_rows, mark_profile, read_provenance, save_figure
from cnnkit.plots.trials import plot_parallel, plot_trials
from cnnkit.plots.words import count_verdicts, markdown_table, readable, tell_effect, tell_verdicts, terminal_table

__all__ = ["draw_grid", "plot_confusion", "plot_curves", "plot_heatmap", "plot_images", "plot_intervals"]
__all__ += ["plot_panels", "plot_parallel", "plot_sweep", "plot_trials", "hash_rows", "mark_profile"]
__all__ += ["read_provenance", "save_figure"]
__all__ += ["count_verdicts", "markdown_table", "readable", "tell_effect", "tell_verdicts", "terminal_table"]
