"""A diagnosis in words, and the curves with the places it speaks of."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from cnnkit.plots import style
from cnnkit.plots.words import WIDTH


def tell_diagnosis(found):
    """Return what `diagnose` found as text for a terminal, what it looked for, and what would let it look for more."""
    known = found.attrs
    lines = [tell_findings(found) if len(found) else "Nothing found."]
    lines.append(f"Looked for: {'; '.join(known['applied']) or 'nothing'}.")
    lines += [f"Not looked for: {name} (needs {needs})." for name, needs in known["lacking"].items()]
    lines += [f"Read: {note}." for note in known["notes"]]
    return "\n".join([lines[0], *(textwrap.fill(line, WIDTH, subsequent_indent="    ") for line in lines[1:])])


def tell_findings(found):
    """Return the lines of a diagnosis as numbered paragraphs."""
    paragraphs = []
    for number, line in enumerate(found.to_dict("records"), 1):
        perhaps = "perhaps " * (line["certainty"] == "perhaps")
        paragraphs.append(f"{number}. {perhaps}{line['symptom']}: {line['evidence']}.")
        paragraphs += [f"   Causes: {line['causes']}.", f"   Try: {line['advice']}."]
    return "\n".join(textwrap.fill(text, WIDTH, subsequent_indent="      ") for text in paragraphs)


def plot_diagnosis(history, found):
    """Draw the curves of a history (of `read_history`) with a numbered ring where `found` sees something.

    Returns the Axes, one for losses and one for accuracies, where they are there.
    """
    measures = [name for name in ("loss", "accuracy") if len(history.filter(like=name).columns)]
    size = {"figsize": (6.4, 0.8 + 2.4 * len(measures)), "layout": "constrained", "squeeze": False}
    axes = dict(zip(measures, plt.subplots(len(measures), sharex=True, **size)[1].flat, strict=True))
    for measure, ax in axes.items():
        for split, look in (("train", {"color": style.TRAINING_GREY, "linestyle": "--"}), ("val", {"color": "C0"})):
            if (column := f"{split}_{measure}") in history:
                values = history[column].replace(np.inf, np.nan) * style.shown_scale(measure)
                ax.plot(history["epoch"], values, label=style.WORDS[split], **look)
        ax.set_ylabel(style.label(measure))
        ax.legend(frameon=False)
    words, places = [], {}
    for number, line in enumerate(found.to_dict("records"), 1):
        words.append(f"{number}: {'perhaps ' * (line['certainty'] == 'perhaps')}{line['symptom']}")
        if line["column"] in history and line["epoch"] in [*history["epoch"]]:
            places.setdefault((line["column"], line["epoch"]), []).append(str(number))
    for (column, epoch), numbers in places.items():
        ax = axes[column.split("_")[1]]
        value = history.set_index("epoch")[column][epoch] * style.shown_scale(column)
        height = value if np.isfinite(value) else ax.get_ylim()[1]
        ax.plot(epoch, height, "o", ms=11, mfc="none", mec="#b3400e", mew=1.6, clip_on=False)
        beside = {"xytext": (9, 6), "textcoords": "offset points", "color": "#b3400e", "weight": "bold"}
        ax.annotate(", ".join(numbers), (epoch, height), **beside)
    ax = axes[measures[-1]]
    ax.set_xlabel(style.label("epoch"))
    style.add_caption(ax, *words)
    return list(axes.values())
