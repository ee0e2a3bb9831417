"""What an experiment found, for people: its text in a terminal, its figures, and results/README.md over all of them."""

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from cnnkit import plots
from cnnkit.course import facts, list_experiments, load_experiment
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import Experiment, stored_runs
from cnnkit.lab import store
from cnnkit.plots.wording import count_verdicts, markdown_table, readable, tell_effect, tell_verdicts, terminal_table
from cnnkit.report import corrections

HEAD = """# Results

Written by `make results` from the tables in this folder: every figure is drawn from them, every verdict decided by
them. `make verify` trains a sample of their rows again and compares. `python -m cnnkit why FIGURE` says where a figure
came from. Intervals are 95% Student-t over seeds, accuracies in %, their differences in percentage points (pp).
A claim is SUPPORTED when the interval of its effect lies above the margin, REFUTED when it lies below zero or within
the margin, else INCONCLUSIVE. All claims with their sources: [claims.csv](claims.csv). What many articles get wrong,
and what is right: [corrections.md](corrections.md).
"""


@dataclasses.dataclass(frozen=True)
class Chapter:
    """An experiment with its stored runs of the full profile; `missing` counts the runs it lacks."""

    experiment: Experiment
    runs: pd.DataFrame
    history: pd.DataFrame
    missing: int

    def verdicts(self):
        """Return the verdicts on its claims; an experiment whose runs are not all there decides nothing."""
        runs = self.runs if not self.missing else self.runs.iloc[:0]
        table = self.experiment.verdicts(runs, self.history)
        return table.assign(reason=self.gap()) if self.missing and len(self.runs) else table

    def gap(self):
        """Say how many runs are there and how many are not."""
        return f"incomplete: {len(self.runs)} of at least {len(self.runs) + self.missing} runs are here"


def report(name, runs, history):
    """Draw an experiment's figures and tell what it found, in the current profile.

    Args:
        name: String, the experiment's name.
        runs, history: DataFrames as `experiments.run_experiment` returns them.
    Returns:
        String for a terminal of 96 columns; the figures are `<results>/<name>/*.png`.
    """
    experiment, profile = load_experiment(name), store.profile()
    folder = store.results_dir() / name
    parts = [f"\n{experiment.question}\n{_count(runs)}\n"]
    failed, figures = runs[runs["status"] == "failed"], []
    for error, count in failed["error"].value_counts().head(3).items():
        parts.append(f"{count} failed: {error}\n")
    if len(failed):
        parts.append("The same command tries failed runs again; there are no figures until none fails.\n")
    else:
        parts.append(terminal_table(experiment.table(runs)) + "\n")
        figures = [path.name for path in save_figures(experiment, runs, history, folder, profile)]
    if len(verdicts := experiment.verdicts(runs, history)):
        parts.append(f"Claims\n{tell_verdicts(verdicts)}\n")
    tables = ["runs.csv", "history.csv"] + ["trials.csv"] * (experiment.run is not None)
    parts.append(f"Written to {_short(folder)}: {', '.join([*tables, *figures])}")
    if profile == "smoke":
        parts.append("A smoke run shows that everything works; it is too small to conclude from. On the real data:")
        parts.append(f"  python -m cnnkit sweep {name} --profile full")
    return "\n".join(parts)


def rebuild():
    """Fold staged rows into the committed tables and derive figures, claims.csv and both pages from these anew.

    Always of the full profile, whatever `CNNKIT_PROFILE` says: smoke results are not kept. The same rows give the same
    bytes.

    Returns:
        String: what there is now.
    Raises:
        ValueError: If the arms of a claim do not differ, or a claim's id occurs twice.
    """
    root = store.results_dir("full")
    for name in list_experiments():
        store.rebuild(name, root)
    chapters, verdicts = derive(root)
    lines = [f"  {chapter.experiment.name:18} {_status(chapter)}" for chapter in chapters]
    lines.append(f"  {'all claims':18} {count_verdicts(verdicts)}")
    return "\n".join([*lines, f"Written to {_short(root)}: README.md, corrections.md, claims.csv and the figures."])


def derive(folder):
    """Write what the committed rows say under `folder`: figures, `claims.csv`, `README.md` and `corrections.md`.

    Returns:
        `(chapters, verdicts)`: the experiments' `Chapter`s, and the frame of `claims.csv`.
    """
    chapters = stored_chapters()
    table = claims_table(chapters)
    figures = {}
    for chapter in chapters:
        name, complete = chapter.experiment.name, len(chapter.runs) and not chapter.missing
        drawn = (chapter.experiment, chapter.runs, chapter.history, Path(folder) / name, "full")
        figures[name] = save_figures(*drawn) if complete else {}
    # Nine digits hold what is known, and are the same on machines whose last bits are not.
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.9g")
    store.write_atomically(Path(folder) / "claims.csv", text)
    store.write_atomically(Path(folder) / "README.md", _readme(chapters, table, figures))
    store.write_atomically(Path(folder) / "corrections.md", corrections.page(table))
    return chapters, table


def stored_chapters():
    """Return the `Chapter` of every experiment, by name."""
    experiments = [load_experiment(name) for name in list_experiments()]
    return [Chapter(experiment, *stored_runs(experiment)) for experiment in experiments]


def claims_table(chapters=None):
    """Return the verdicts on all claims and facts from the committed rows: the columns of `claims.csv`."""
    chapters = stored_chapters() if chapters is None else chapters
    rows = [row for chapter in chapters for row in chapter.verdicts().to_dict("records")]
    return claims.as_table(rows + [facts.check(fact) for fact in facts.FACTS])


def save_figures(experiment, runs, history, folder, profile):
    """Draw, save and close an experiment's figures, whatever style is set.

    Returns:
        Dict of the path of each PNG to words for those who do not see it.
    """
    saved = {}
    with plt.style.context("default"):
        for stem, drawn in experiment.figures(runs, history).items():
            figure = drawn.get_figure(root=True)
            plots.mark_profile(figure, profile)
            path = plots.save_figure(figure, folder / f"{stem}.png", experiment=experiment.name, rows=runs)
            saved[path] = _describe(figure)
            plt.close(figure)
    return saved


def _describe(figure):
    """Return what a figure shows, read off its axes."""
    words = []
    for ax in figure.axes:
        across, up = ax.get_xlabel(), ax.get_ylabel()
        ticks = "" if up else ", ".join(tick.get_text() for tick in ax.get_yticklabels())
        words += [f"{up} against {across[:1].lower()}{across[1:]}" if up and across else up or across]
        words += [f"for {ticks}"] if ticks else []
        if legend := ax.get_legend():
            words += ["by " + ", ".join(text.get_text() for text in legend.get_texts())]
    return "; ".join(dict.fromkeys(word for word in words if word)).replace("[", "(").replace("]", ")")


def _readme(chapters, table, figures):
    parts = [HEAD]
    if absent := [chapter.experiment.name for chapter in chapters if chapter.runs.empty]:
        parts.append(f"No rows yet: {', '.join(absent)}.\n")
    parts += [_section(chapter, table, figures[chapter.experiment.name]) for chapter in chapters if len(chapter.runs)]
    computed = table[table["verdict"].isin(["TRUE", "FALSE", "CONDITIONAL"])]
    return "\n".join([*parts, "## Facts checked by computing\n", _claims_markdown(computed)])


def _section(chapter, table, figures):
    experiment, runs = chapter.experiment, chapter.runs
    parts = [f"## {experiment.name}\n\n{experiment.question}\n"]
    if chapter.missing:
        parts.append(
            f"**{chapter.gap().capitalize()}.** No figure, no table and no verdict until the rest is trained.\n"
        )
    else:
        parts += [f"![{words}]({experiment.name}/{path.name})\n" for path, words in figures.items()]
        parts.append(markdown_table(readable(experiment.table(runs))) + "\n")
    decided = table[table["experiment"] == experiment.name]
    if len(decided):
        parts.append(_claims_markdown(decided))
    made = {"on": "device", "with": "backend", "Keras": "keras", "cnnkit": "cnnkit", "commit": "commit"}
    origin = ", ".join(f"{word} {' and '.join(sorted(set(runs[name].dropna())))}" for word, name in made.items())
    parts.append(f"Made by `python -m cnnkit sweep {experiment.name} --profile full`: {_count(runs)}, {origin}.\n")
    return "\n".join(parts)


def _claims_markdown(verdicts):
    lines = verdicts.to_dict("records")
    columns = {
        "Verdict": [f"**{line['verdict']}**" for line in lines],
        "Claim": [line["text"] for line in lines],
        "Effect": [tell_effect(line) for line in lines],
        "Because": [line["reason"] for line in lines],
    }
    return markdown_table(pd.DataFrame(columns)) + "\n"


def _count(runs):
    runs = runs.drop_duplicates("run_id")  # two trials of a search may be one run
    counts = runs["status"].value_counts()
    outcomes = ", ".join(f"{counts[name]} {name}" for name in ("completed", "diverged", "failed") if name in counts)
    return f"{len(runs)} runs ({outcomes}), {runs['train_seconds'].sum():,.0f} seconds of training"


def _status(chapter):
    if chapter.runs.empty:
        return "no rows yet"
    return chapter.gap() if chapter.missing else f"{_count(chapter.runs)}; {count_verdicts(chapter.verdicts())}"


def _short(path):
    """Return a path as the reader would type it here."""
    path, here = Path(path).resolve(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
