"""The table of notebooks in the repository's README.md, written from sources and rows."""

import re
from pathlib import Path

import pandas as pd

from cnnkit import HOME
from cnnkit.lab import store
from cnnkit.plots import markdown_table
from cnnkit.report import gallery, notebooks

MARKS = re.compile(r"(<!-- notebooks: written by `make results` -->\n).*?(<!-- /notebooks -->)", re.DOTALL)


def write(root=HOME):
    """Write the table of notebooks between its two marks in `README.md`; a ValueError if they are not there once."""
    path, found = Path(root) / "README.md", gallery.all_findings().values()
    lines = [_line(source, found) for source in notebooks.list_sources(root)]
    table = markdown_table(pd.DataFrame(lines))
    text, count = MARKS.subn(lambda marks: f"{marks[1]}{table}\n{marks[2]}", path.read_text())
    if count != 1:
        raise ValueError(f"Expected the marks of the table of notebooks once in README.md. Received: {count} times.")
    store.write_atomically(path, text)


def _line(source, found):
    """Return a notebook's link, question, answers and cost as a dict."""
    mine = [one for one in found if one.experiment.notebook == source.stem]
    built = (source.parent.parent / f"{source.stem}.ipynb").exists()
    title = re.search(r"^# # \w+ ?[·:]? ?(.*)$", source.read_text(), re.MULTILINE)[1]
    answers = [one.answer() for one in mine if one.complete]
    if awaited := [one.experiment.name for one in mine if not one.complete]:
        answers.append(f"Being measured again: {', '.join(awaited)}.")
    seconds = sum(one.seconds for one in mine)
    return {
        "Notebook": f"[{source.stem}](notebooks/{source.stem}.ipynb)" if built else f"{source.stem} (source only)",
        "Question": title[:1].upper() + title[1:],
        "Answer": " ".join(answers) or "Read it there.",
        "Cost of its rows": f"{seconds / 60:.0f} min of one core" if seconds else "–",
    }
