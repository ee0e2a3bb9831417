"""The page `results/corrections.md`: what popular articles get wrong, and what is right."""

import pandas as pd

from cnnkit.plots.wording import markdown_table, tell_effect
from cnnkit.report.corrections.topics import TOPICS

__all__ = ["TOPICS", "page"]

HEAD = """# Corrections

Sentences on convolutional networks that many articles repeat and that are not so, beside what is right and how we know.
Most of them began as something true, and lost a word on the way. Written by `make results`.

**Our figure** is taken from [claims.csv](claims.csv), under the name before it; the [gallery](README.md) says what
the verdicts mean. **How we know**: *computed* here from the thing itself, *read* in the source named, read
in another text that quotes the source (*second-hand*), or so by the very *definition* of the words.
"""


def page(verdicts):
    """Return `results/corrections.md`, its figures filled in from the frame of `claims.csv`."""
    lines, parts = verdicts.set_index("id").to_dict("index"), [HEAD]
    for topic, corrections in TOPICS.items():
        columns = {
            "Articles say": [correction.said for correction in corrections],
            "What is right": [correction.right for correction in corrections],
            "Our figure": [_figures(correction, lines) for correction in corrections],
            "How we know": [correction.known for correction in corrections],
        }
        parts.append(f"## {topic}\n\n{markdown_table(pd.DataFrame(columns))}\n")
    return "\n".join(parts)


def _figures(correction, lines):
    told = [_figure(name, lines) for name in correction.figures]
    told += [f"Still open here: {correction.pending}."] if correction.pending else []
    return "<br>".join(told) or "Read, not computed."


def _figure(name, lines):
    """Tell a line of `claims.csv`: the figure of what can be computed, the verdict and effect of what is measured."""
    if name not in lines:
        return f"`{name}`: still open here."
    line = lines[name]
    if line["verdict"] in ("TRUE", "FALSE", "CONDITIONAL"):
        return f"`{name}`: {tell_effect(line)}"
    return f"`{name}`: {line['text']} **{line['verdict']}**, {tell_effect(line) or line['reason']}"
