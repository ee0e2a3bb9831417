"""Rows in words: tables, verdicts, and what stands in and under figures. Imports neither Keras nor TensorFlow."""

import textwrap

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from cnnkit.plots.style import heading, is_accuracy, label, nice, shown_scale

WIDTH = 96
BAND_RUNS = 5  # a t interval over fewer runs is so wide that their range says more
POINT_RUNS = 20  # more single runs than these hide each other
COMPUTED = ("TRUE", "FALSE", "CONDITIONAL")  # verdicts of facts; the others are decided over seeds


def readable(table):
    """Return a frame of padded strings: accuracies in %, `mean, low, high` as one column `mean ± half width`.

    `table.attrs["metric"]` names what was averaged, as `store.summarise` leaves it, `"interval"` what ± is, if not 95%.
    """
    metric, columns = table.attrs.get("metric", "mean"), {}
    for name in table.columns:
        if name == "mean" and "low" in table:
            halves = _cells(table["high"] - table["mean"], metric)
            intervals = zip(_cells(table["mean"], metric), halves, table["high"], strict=True)
            told = [mean if np.isnan(high) else f"{mean} ± {half.strip()}" for mean, half, high in intervals]
            columns[f"{label(metric)}, mean ± {table.attrs.get('interval', '95%')}"] = told
        elif name not in ("low", "high") or "mean" not in table:
            columns[heading(table, name)] = _cells(table[name], str(name))
    return pd.DataFrame(columns)


def terminal_table(table, indent="  "):
    """Return a table as lines for a terminal."""
    strings = readable(table)
    widths = [max(map(len, [name, *strings[name]])) for name in strings]
    lines = [strings.columns, ["-" * width for width in widths], *strings.to_numpy()]
    padded = ("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(f"{indent}{line}".rstrip() for line in padded)


def markdown_table(table):
    """Return a table as Markdown; a frame of strings stays as it is."""
    lines = [table.columns, ["---"] * len(table.columns), *table.to_numpy()]
    return "\n".join("| " + " | ".join(str(cell).strip().replace("|", "\\|") for cell in line) + " |" for line in lines)


def tell_effect(verdict):
    """Return what stands behind a verdict, a line of `claims.csv` as a dict; `""` if nothing was measured.

    Such as `"+0.12 pp [−0.05, 0.29], n = 8, margin 0.2, q = 0.003; 1 of 16 runs collapsed"` (pp: percentage points).
    """
    effect, unit, collapsed = verdict["effect"], verdict["unit"], verdict.get("collapsed")
    words = [f"{collapsed} runs collapsed"] if isinstance(collapsed, str) and not collapsed.startswith("0 ") else []
    if pd.isna(effect):
        return "; ".join(words)
    if verdict["verdict"] in COMPUTED:
        return f"{effect:,.{4 if effect % 1 else 6}g} {unit}" if abs(effect) < 1e6 else f"{effect:,.0f} {unit}"
    known = {"ratio": "times", "collapsed": "share"}
    name = "pp" if is_accuracy(unit) else "nats" if "loss" in unit else known.get(unit, unit)
    scale, form = shown_scale(unit), ".2f" if name in ("pp", "share") else ".3g"
    low, high = (f"{verdict[end] * scale:{form}}" for end in ("low", "high"))
    told = f"{effect * scale:{'' if unit == 'ratio' else '+'}{form}} {name} [{low}, {high}]".replace("-", "−")
    told += f", n = {verdict['n']:.0f}, margin {verdict['margin'] * scale:.4g}"
    if pd.notna(q := verdict.get("q")):
        told += ", q < 0.001" if q < 0.001 else f", q = {q:.2g}"
    if verdict.get("looks", 1) > 1:
        told += f", {verdict['looks']:.0f} looks"
    if pd.notna(needed := verdict.get("needed")):
        words.append(f"n = {needed:.0f} would decide")
    return "; ".join([told, *words])


def tell_verdicts(verdicts, indent="  "):
    """Return verdicts (a frame with the columns of `claims.csv`) as text for a terminal, every line after `indent`."""
    lines, inner = [], f"{indent}    "
    words = ["reading", "reason", "conditions"]  # of a fact there are none
    for verdict in verdicts.assign(**verdicts[words].astype(object).fillna("")).to_dict("records"):
        reading = f" ({verdict['reading']})" if verdict["reading"] else ""
        repeated = verdict["verdict"] not in ("INCONCLUSIVE", "CONDITIONAL")  # there the reason repeats the figures
        why = [tell_effect(verdict), "" if repeated else verdict["reason"]]
        first = f"{verdict['verdict']}{reading}  {verdict['text']} ({verdict['id']})"
        rest = filter(None, ["; ".join(filter(None, why)), verdict["conditions"]])
        for start, line in ((indent, first), *((inner, line) for line in rest)):
            lines += textwrap.wrap(line, WIDTH, initial_indent=start, subsequent_indent=inner, break_on_hyphens=False)
    return "\n".join(lines)


def count_verdicts(verdicts):
    """Return how many claims have which verdict, e.g. `"3 SUPPORTED, 1 REFUTED"`, and how many wait for their runs."""
    waiting = verdicts["reason"].astype(str).str.startswith("being measured")
    named = verdicts["verdict"].mask(waiting, "being measured")
    counts = named.value_counts().sort_index(ascending=False, key=lambda names: names.str.swapcase())  # these last
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no claims"


def tell_runs(counts):
    """Say how many runs stand behind every mean."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"n = {high} seed{'s' * (high != 1)}" if low == high else f"n = {low} to {high} seeds"


def tell_band(counts, metric, single):
    """Say what a mean and its band over so many runs are, and how single runs are drawn."""
    low, high = min(counts, default=0), max(counts, default=0)
    if high < 2:
        return f"{tell_runs(counts)}, so no interval"
    interval = "95% Student-t interval" + " cut at the lowest run" * ("loss" in metric)
    bands = [interval] * (high >= BAND_RUNS) + ["range"] * (low < BAND_RUNS)
    faint = f"; {single}: single runs" if low <= POINT_RUNS else ""
    return f"mean and {', below five seeds '.join(bands)}, {tell_runs(counts)}{faint}"


def tell_lost(runs, lost):
    """Say how many runs count for no mean, marked by a cross, and how many failed, or nothing."""
    failed = (runs["status"] == "failed").sum()
    how = "diverged or collapsed" if runs["collapsed"].any() else "diverged"  # of tuning runs, collapse is not judged
    words = [f"× {lost} of {len(runs)} runs {how}, not in the mean"] * bool(lost)
    return "; ".join(words + [f"{failed} of {len(runs)} runs failed, left out"] * bool(failed))


def tell_interval(line, x, metric):
    """Say a mean with its interval and its seeds, to stand beside it."""
    form = ".2f" if is_accuracy(metric) else ".3g"
    value, low, high = (f"{line[name] * shown_scale(metric):{form}}".replace("-", "−") for name in (x, "low", "high"))
    return f"{value} [{low}, {high}]   n = {line['n']}" if line["n"] > 1 else f"{value}   n = {line['n']}"


def _cells(column, metric):
    if not is_numeric_dtype(column):
        return column.fillna("none").astype(str).tolist()
    scale = shown_scale(metric)
    form = "{:.2f}" if scale == 100 else "{:.4g}" if "loss" in metric else None
    cells = [nice(value) if form is None else form.format(scale * value) for value in column]
    width = max(map(len, cells), default=0)
    return [f"{cell:>{width}}" for cell in cells]
