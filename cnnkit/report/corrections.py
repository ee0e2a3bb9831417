"""The page `results/corrections.md`: what articles get wrong, and what is right. Its text is `corrections.md` here."""

import re
from importlib import resources

import pandas as pd

from cnnkit.plots import tell_effect


def page(verdicts):
    """Return `results/corrections.md`: the template beside this file, each `{{id}}` replaced by our figure.

    Args:
        verdicts: DataFrame with the columns of `claims.csv`.
    Raises:
        ValueError: If the template names an id that is no line of it.
    """
    template = resources.files("cnnkit.report").joinpath("corrections.md").read_text(encoding="utf-8")
    lines = verdicts.set_index("id").to_dict("index")
    if unknown := sorted(set(re.findall(r"{{(.*?)}}", template)) - set(lines)):
        raise ValueError(
            f"Expected ids of facts and claims in cnnkit/report/corrections.md. Received: {', '.join(unknown)}, which "
            "claims.csv has not. Correct the template."
        )
    return re.sub(r"{{(.*?)}}", lambda found: _tell(found[1], lines[found[1]]), template)


def _tell(name, line):
    """Tell a figure that is computed; the sentence, verdict and effect of what is measured; or that it is awaited."""
    measured = isinstance(line["experiment"], str) and line["experiment"] != ""
    if str(line["reason"]).startswith("being measured again"):
        told = "being measured again"
    elif pd.isna(line["effect"]):
        told = f"{line['text']} **{line['verdict']}**: {line['reason']}"
    else:
        told = f"{line['text']} **{line['verdict']}**, {tell_effect(line)}" if measured else tell_effect(line)
    return f"{told} (`{name}`)".replace("|", "\\|")
