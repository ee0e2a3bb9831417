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
    """Write the table of notebooks between its two marks in `README.md`.

    Raises:
        ValueError: If the marks are not there.
    """
    path = Path(root) / "README.md"
    text, count = MARKS.subn(lambda marks: marks[1] + markdown_table(table(root)) + "\n" + marks[2], path.read_text())
    if count != 1:
        raise ValueError(f"Expected the marks of the table of notebooks once in README.md. Received: {count} times.")
    store.write_atomically(path, text)


def table(root=HOME):
    """Return a frame of strings, a line a notebook: its link, question, answer and cost."""
    found = gallery.all_findings().values()
    return pd.DataFrame([_line(source, found, Path(root)) for source in notebooks.list_sources(root)])


def _line(source, found, root):
    mine = [one for one in found if one.experiment.notebook == source.stem]
    title = re.search(r"^# # \w+ ?[·:]? ?(.*)$", source.read_text(), re.MULTILINE)[1]
    seconds = sum(one.seconds for one in mine)
    built = (root / "notebooks" / f"{source.stem}.ipynb").exists()
    name = f"[{source.stem}](notebooks/{source.stem}.ipynb)" if built else f"{source.stem} (source only)"
    open_ = [one.experiment.name for one in mine if not one.complete]
    answers = [one.answer() for one in mine if one.complete]
    answers += [f"Being measured again: {', '.join(open_)}."] if open_ else []
    return {
        "Notebook": name,
        "Question": title[:1].upper() + title[1:],
        "Answer": " ".join(answers) or "Read it there.",
        "Cost of its rows": f"{seconds / 60:.0f} min of one core" if seconds else "–",
    }
