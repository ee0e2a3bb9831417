"""Pages with a text of their own, filled in from verdicts: what articles get wrong, and what changed since version 0.1.

Their texts are `corrections.md` and `what_changed.md` beside this file, the verdicts of version 0.1 `claims_0.1.csv`.
"""

import re
from pathlib import Path

import pandas as pd

from cnnkit.plots import markdown_table, tell_effect

HERE = Path(__file__).parent
OPEN = "being measured"


def page(name, verdicts):
    """Return a page: each `{{id}}` of its text replaced by that line of `verdicts`, the frame of `claims.csv`."""
    lines = verdicts.set_index("id").to_dict("index")
    filled = {id: f"{_tell(line)} (`{id}`)".replace("|", "\\|") for id, line in lines.items()}
    if name == "what_changed.md":
        filled |= _changes(lines)
    text = (HERE / name).read_text(encoding="utf-8")
    if unknown := sorted(set(re.findall(r"{{(.*?)}}", text)) - set(filled)):
        raise ValueError(f"Expected ids of claims.csv in {HERE / name}. Received: {', '.join(unknown)}.")
    return re.sub(r"{{(.*?)}}", lambda found: filled[found[1]], text)


def mark_verdict(line):
    """Return the verdict of a line of `claims.csv`, a dict, in bold, with how a refutation reads."""
    reading = line.get("reading")
    return f"**{line['verdict']}**" + (f" ({reading})" if isinstance(reading, str) and reading else "")


def _tell(line):
    """Tell a figure that is computed; the sentence, verdict and effect of what is measured; or that it is awaited."""
    told = tell_effect(line)
    if line["reason"].startswith(OPEN):
        return OPEN
    if line["experiment"]:
        why = f": {line['reason']}" if pd.isna(line["effect"]) else f", {told}"
        return f"{line['text']} {mark_verdict(line)}{why}"
    return told


def _changes(lines):
    """Return the table of verdicts of 0.1 beside those of today, and how many of them had which fate."""
    table = []
    for was in pd.read_csv(HERE / "claims_0.1.csv").to_dict("records"):
        line, old, told = lines.get(was["now"]), was["verdict"], "–"
        fate = "not asked any more" if line is None else OPEN
        if line and not line["reason"].startswith(OPEN):
            new, told = line["verdict"], f"{mark_verdict(line)} {tell_effect(line)}"
            fate = "kept" if new == old else "weakened" if new == "INCONCLUSIVE" else "reversed"
            fate = "decided" if old == "INCONCLUSIVE" != new else fate
        table.append({"Claim": was["text"], "0.1": f"{old} {tell_effect(was)}", "Now": told, "Fate": fate})
    table = pd.DataFrame(table)
    counts = ", ".join(f"{count} {fate}" for fate, count in table["Fate"].value_counts().items())
    return {"table": markdown_table(table), "counts": f"Of its {len(table)} verdicts over seeds: {counts}."}
