"""Tables and verdicts in words, for terminals, notebooks and Markdown. Imports neither Keras nor TensorFlow."""

import textwrap

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from cnnkit.plots.style import label, nice, shown_scale

WIDTH = 96


def readable(table):
    """Return a frame of strings: accuracies in %, `mean, low, high` as one column `mean ± half width`.

    Args:
        table: DataFrame, say of `results.summarise`, whose `attrs["metric"]` names what was averaged.
    Returns:
        DataFrame of the same lines; numbers are padded, so that a column reads well when it is set to the left.
    """
    metric = table.attrs.get("metric", "mean")
    columns = {}
    for name in table.columns:
        if name == "mean" and "low" in table:
            columns[f"{label(metric)}, mean ± 95%"] = _intervals(table, metric)
        elif name not in ("low", "high") or "mean" not in table:
            columns["n" if name == "n" else label(name)] = _cells(table[name])
    return pd.DataFrame(columns)


def terminal_table(table, indent="  "):
    """Return a table as lines for a terminal."""
    return _aligned(readable(table), indent)


def markdown_table(table):
    """Return a table as Markdown; a frame of strings stays as it is."""
    lines = [table.columns, ["---"] * len(table.columns), *table.to_numpy()]
    return "\n".join("| " + " | ".join(str(cell).strip().replace("|", "\\|") for cell in line) + " |" for line in lines)


def tell_effect(verdict):
    """Return the effect of a verdict (a line of `claims.csv`) with its interval, n and margin; "" if there is none."""
    if np.isnan(verdict["effect"]):
        return ""
    unit, scale, sign, name = verdict["unit"], 1, "+", verdict["unit"]
    if verdict["verdict"] in ("TRUE", "FALSE", "CONDITIONAL"):
        return f"{verdict['effect']:,.6g} {unit}" if verdict["effect"] < 1e6 else f"{verdict['effect']:,.0f} {unit}"
    if unit == "ratio":
        sign, name = "", "times"
    elif "accuracy" in unit:
        scale, name = shown_scale(unit), "pp"
    elif "loss" in unit:
        name = "nats"
    form = f"{sign}.2f" if name == "pp" else f"{sign}.3g"
    effect, low, high = (f"{verdict[key] * scale:{form}}".replace("-", "−") for key in ("effect", "low", "high"))
    margin = f"margin {verdict['margin'] * scale:g}"
    return f"{effect} {name} [{low}, {high}], n = {verdict['n']}, {margin}"


def tell_verdicts(verdicts, indent="  "):
    """Return verdicts (lines of `claims.csv`) as text for a terminal: the verdict, the sentence, the effect, why."""
    lines, margin = [], indent + " " * 14
    for verdict in verdicts.to_dict("records"):
        text = f"{verdict['text']} ({verdict['id']})"
        first = f"{indent}{verdict['verdict']:14}"
        lines.append(textwrap.fill(text, WIDTH, break_on_hyphens=False, initial_indent=first, subsequent_indent=margin))
        why = "; ".join(part for part in (tell_effect(verdict), verdict["reason"]) if part)
        lines.append(textwrap.fill(why, WIDTH, break_on_hyphens=False, initial_indent=margin, subsequent_indent=margin))
    return "\n".join(lines)


def tell_accuracy(line):
    """Return a line of `results.summarise` in words, e.g. `"98.89% (98.79 to 98.99)"`: mean and interval."""
    low, high = (f"{100 * end:.2f}" for end in (line["low"], line["high"]))
    return f"{line['mean']:.2%} ({low} to {high})"


def count_verdicts(verdicts):
    """Return how many claims have which verdict, e.g. `"3 SUPPORTED, 1 REFUTED"`."""
    counts = verdicts["verdict"].value_counts().sort_index(ascending=False)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no claims"


def _intervals(table, metric):
    scale, form = shown_scale(metric), ".2f" if "accuracy" in metric else ".4g"
    means = [f"{value * scale:{form}}" for value in table["mean"]]
    halves = ["" if np.isnan(half) else f" ± {half * scale:{form}}" for half in table["high"] - table["mean"]]
    width = max(map(len, means), default=0)
    return [f"{mean:>{width}}{half}" for mean, half in zip(means, halves, strict=True)]


def _cells(column):
    if not is_numeric_dtype(column):
        return column.fillna("none").astype(str).tolist()
    if "accuracy" in str(column.name):
        cells = [f"{100 * value:.2f}" for value in column]
    elif "loss" in str(column.name):
        cells = [f"{value:.4g}" for value in column]
    else:
        cells = [nice(value) for value in column]
    width = max(map(len, cells), default=0)
    return [f"{cell:>{width}}" for cell in cells]


def _aligned(strings, indent):
    widths = [max(map(len, [name, *strings[name]])) for name in strings]
    lines = [strings.columns, ["-" * width for width in widths], *strings.to_numpy()]
    return "\n".join(
        (indent + "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))).rstrip()
        for line in lines
    )
