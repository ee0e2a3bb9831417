"""What stands in and under the figures of runs: counts of seeds, intervals and outcomes."""

import numpy as np

from cnnkit.plots.style import label, shown_scale

BAND_SEEDS = 3  # the interval of two reaches nine standard deviations to either side
FEW_SEEDS = 5  # below this an interval says little without the points it came from


def without_failed(runs):
    """Return the runs that did not fail; a diverged one counts as finished."""
    return runs[runs["status"] != "failed"] if "status" in runs else runs


def n_words(counts):
    """Say how many seeds stand behind every mean."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"n = {high} seed{'s' * (high != 1)}" if low == high else f"n = {low} to {high} seeds"


def interval_words(counts):
    """Say what a band over so many seeds is."""
    if max(counts, default=0) < BAND_SEEDS:
        return f"{n_words(counts)}, so no interval" + "; single runs faint" * (max(counts, default=0) > 1)
    faint = "; single runs faint" if min(counts) < FEW_SEEDS else ""
    return f"mean and 95% Student-t interval, {n_words(counts)}{faint}"


def outcome_words(runs, diverged):
    """Say how many runs diverged and how many failed, or nothing."""
    failed = len(runs) - len(without_failed(runs))
    words = [f"× {diverged} of {len(runs)} runs diverged, not in the mean"] * bool(diverged)
    return "; ".join(words + [f"{failed} of {len(runs)} runs failed, left out"] * bool(failed))


def cell_text(mean, diverged, metric):
    """Write a cell of a heat map: its mean, and how many of its runs diverged."""
    number = "" if np.isnan(mean) else f"{100 * mean:.1f}" if "accuracy" in metric else f"{mean:.3g}"
    return f"{number} ×{diverged:.0f}".strip() if diverged else number


def interval_text(line, x, metric):
    """Write a mean with its interval and its seeds beside it."""
    form = ".2f" if "accuracy" in metric else ".3g"
    value, low, high = (f"{line[name] * shown_scale(metric):{form}}".replace("-", "−") for name in (x, "low", "high"))
    return f"{value} [{low}, {high}]   n = {line['n']}" if line["n"] > 1 else f"{value}   n = 1"


def value_label(metric, reference):
    """Name an axis of values, or of differences from zero."""
    text = label(metric)
    if reference == 0:
        return f"Difference in {text[0].lower()}{text[1:]}".replace("(%)", "(percentage points)")
    return text
