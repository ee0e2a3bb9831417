"""The page `results/corrections.md`: what articles get wrong, and what is right. Its text is `corrections.md` here."""

import re
from pathlib import Path

import pandas as pd

from cnnkit.plots import tell_effect

TEMPLATE = Path(__file__).with_suffix(".md")


def page(verdicts):
    """Return the page: each `{{id}}` of the template replaced by that line of `verdicts`, the frame of `claims.csv`."""
    template = TEMPLATE.read_text(encoding="utf-8")
    lines = verdicts.set_index("id").to_dict("index")
    if unknown := sorted(set(re.findall(r"{{(.*?)}}", template)) - set(lines)):
        raise ValueError(f"Expected ids of claims.csv in {TEMPLATE}. Received: {', '.join(unknown)}.")
    return re.sub(r"{{(.*?)}}", lambda found: _tell(found[1], lines[found[1]]), template)


def _tell(name, line):
    """Tell a figure that is computed; the sentence, verdict and effect of what is measured; or that it is awaited."""
    told = tell_effect(line)
    if line["reason"].startswith("being measured again"):
        told = "being measured again"
    elif line["experiment"]:
        why = f": {line['reason']}" if pd.isna(line["effect"]) else f", {told}"
        told = f"{line['text']} **{line['verdict']}**{why}"
    return f"{told} (`{name}`)".replace("|", "\\|")
