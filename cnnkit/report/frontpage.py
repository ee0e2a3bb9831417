"""The table of notebooks in the repository's README.md, written from sources and rows."""

import re
from pathlib import Path

import pandas as pd

from cnnkit import HOME
from cnnkit.lab import store
from cnnkit.plots.wording import markdown_table
from cnnkit.report import gallery, notebooks

ROOT = HOME
MARKS = re.compile(r"(<!-- notebooks: written by `make results` -->\n).*?(<!-- /notebooks -->)", re.DOTALL)


def write(root=ROOT):
    """Write the table of notebooks between its two marks in `README.md`.

    Raises:
        ValueError: If the marks are not there.
    """
    path = Path(root) / "README.md"
    text, count = MARKS.subn(lambda marks: marks[1] + markdown_table(table(root)) + "\n" + marks[2], path.read_text())
    if count != 1:
        raise ValueError(f"Expected the marks of the table of notebooks once in README.md. Received: {count} times.")
    store.write_atomically(path, text)


def table(root=ROOT):
    """Return a frame of strings, a line a notebook: its link, question, answer and cost."""
    chapters = gallery.stored_chapters()
    return pd.DataFrame([_line(source, chapters, Path(root)) for source in notebooks.list_sources(root)])


def _line(source, chapters, root):
    mine = [chapter for chapter in chapters if chapter.experiment.notebook == source.stem]
    title = re.search(r"^# # \d+ ?[·:]? ?(.*)$", source.read_text(), re.MULTILINE)[1]
    seconds = sum(chapter.runs["train_seconds"].sum() for chapter in mine if len(chapter.runs))
    built = (root / "notebooks" / f"{source.stem}.ipynb").exists()
    name = f"[{source.stem}](notebooks/{source.stem}.ipynb)" if built else f"{source.stem} (source only)"
    return {
        "Notebook": name,
        "Question": title[:1].upper() + title[1:],
        "Answer": " ".join(map(_answer, mine)) or "Read it there.",
        "Cost of its rows": f"{seconds / 60:.0f} min of one core" if seconds else "–",
    }


def _answer(chapter):
    experiment = chapter.experiment
    if chapter.missing:
        return f"`{experiment.name}` is still to be run in full."
    return experiment.answer(chapter.runs) if experiment.answer else f"See [{experiment.name}](results/README.md)."
