"""What an experiment found, for people: its text in a terminal, its figures, and the pages under results/."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from cnnkit import course, plots
from cnnkit.evidence import claims, fact
from cnnkit.lab import store
from cnnkit.plots import count_verdicts, markdown_table, readable, tell_effect, tell_verdicts, terminal_table
from cnnkit.report import corrections

HEAD = """# Results

Written by `make results` from the tables in this folder: every figure is drawn from them, every verdict decided by
them. `make verify` trains a sample of their rows again and compares. `python -m cnnkit why FIGURE` says where a figure
came from. All claims with sources and conditions: [claims.csv](claims.csv). What many articles get wrong, and what is
right: [corrections.md](corrections.md).
"""
READING = """
Intervals are 95% Student-t over seeds on this test set, accuracies in %, their differences in percentage points (pp).
A claim is SUPPORTED when the interval of its effect lies above the margin, REFUTED when its high end lies below it
(opposite, no difference, or no better), else INCONCLUSIVE; q is the Benjamini–Hochberg value over all claims of the
book that seeds decide. Runs that collapsed are counted, and no part of a mean. TRUE, FALSE and CONDITIONAL are
computed.
"""


def report(found):
    """Draw the figures of `Findings`, `<results>/<name>/*.png`, and return what was found for 96 columns of text."""
    experiment, runs = found.experiment, found.runs
    folder, figures = store.results_dir(found.profile) / experiment.name, []
    parts = [f"\n{experiment.question}\n{_count(found)}\n"]
    failed = runs[runs["status"] == "failed"] if len(runs) else runs
    for error, count in failed["error"].value_counts().head(3).items() if len(failed) else ():
        parts.append(f"{count} failed: {error}\n")
    if len(failed):
        parts.append("The same command tries failed runs again; there are no figures until none fails.\n")
    elif found.complete:
        parts += [terminal_table(found.table()), "", *found.notes()]
        figures = [path.name for path in save_figures(found, folder)]
    if rows := found.verdicts():
        parts.append(f"Claims (q over these alone)\n{tell_verdicts(claims.as_table(rows))}\n")
    tables = [name for name in ("runs.csv", "history.csv", "trials.csv") if (folder / name).exists()]
    parts.append(f"Written to {_short(folder)}: {', '.join([*tables, *figures])}")
    if found.profile == "smoke":
        parts.append("A smoke run shows that everything works; it is too small to conclude from. On the real data:")
        parts.append(f"  python -m cnnkit sweep {experiment.name} --profile full")
    return "\n".join(parts)


def rebuild():
    """Fold staged rows into the committed tables and derive figures, claims.csv and all pages from these anew.

    Always of the full profile: smoke results are not kept. The same rows give the same bytes.

    Returns:
        String: what there is now.
    Raises:
        ValueError: If the arms of a claim do not differ, or a claim's id occurs twice.
    """
    root = store.results_dir("full")
    for name in course.list_experiments():
        store.rebuild(name, root)
    found, verdicts = derive(root)
    lines = [f"  {name:18} {_count(one) if one.complete else one.gap()}" for name, one in found.items()]
    lines.append(f"  {'all claims':18} {count_verdicts(verdicts)}")
    return "\n".join([*lines, f"Written to {_short(root)}: the pages, claims.csv, corrections.md and the figures."])


def derive(folder):
    """Write what the committed rows say under `folder`: figures, `claims.csv`, `corrections.md` and all pages.

    Returns:
        `(found, verdicts)`: a dict of experiment to its `Findings`, and the frame of `claims.csv`.
    """
    folder, found = Path(folder), all_findings()
    table, chapters = claims_table(found), {}
    # Nine digits hold what is known, and are the same on machines whose last bits are not.
    pages = {"claims.csv": table.to_csv(index=False, lineterminator="\n", float_format="%.9g")}
    pages |= {"README.md": _index(found, table), "corrections.md": corrections.page(table)}
    for name, one in found.items():
        chapters.setdefault(course.chapter_of(name), []).append(_section(one, table, folder))
    for chapter, sections in chapters.items():
        pages[f"{chapter}/README.md"] = "\n".join([f"# {chapter.replace('_', ' ').capitalize()}\n", *sections])
    for name, text in pages.items():
        store.write_atomically(folder / name, text)
    return found, table


def all_findings():
    """Return a dict of experiment to its `Findings` of the full profile."""
    return {name: course.load_experiment(name).read("full") for name in course.list_experiments()}


def claims_table(found=None):
    """Return the verdicts on all claims and facts from the committed rows: the frame of `claims.csv`."""
    found = all_findings() if found is None else found
    rows = [row for one in found.values() for row in one.verdicts()]
    return claims.as_table(rows + [fact.check(one) for one in course.list_facts()])


def save_figures(found, folder):
    """Draw, save and close an experiment's figures; return a dict of PNG path to words for who does not see it."""
    saved = {}
    rows = found.runs if len(found.runs) else found.trials.assign(run_id="")
    with plt.style.context("default"):
        for stem, drawn in found.figures().items():
            figure = drawn.get_figure(root=True)
            plots.mark_profile(figure, found.profile)
            path = plots.save_figure(figure, folder / f"{stem}.png", experiment=found.experiment.name, rows=rows)
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


def _index(found, table):
    """Return results/README.md: the experiments by chapter with their answers, and the facts that are computed."""
    lines = [
        {
            "Experiment": f"[{name}]({course.chapter_of(name)}/README.md#{name})",
            "Question": one.experiment.question,
            "Answer": one.answer() if one.complete else "being measured again",
        }
        for name, one in found.items()
    ]
    computed = _claims_markdown(table[table["verdict"].isin(["TRUE", "FALSE", "CONDITIONAL"])])
    counted = f"{count_verdicts(table)}.\n\n## Facts checked by computing\n"
    return "\n".join([HEAD, markdown_table(pd.DataFrame(lines)), READING, counted, computed])


def _section(found, table, folder):
    experiment = found.experiment
    parts = [f"## {experiment.name}\n\n{experiment.question}\n"]
    if found.complete:
        figures = save_figures(found, folder / experiment.name)
        parts += [f"![{words}](../{experiment.name}/{path.name})\n" for path, words in figures.items()]
        parts += [markdown_table(readable(found.table())) + "\n", *(f"{note}\n" for note in found.notes())]
    else:
        gap = found.gap()
        parts.append(f"**{gap[:1].upper()}{gap[1:]}.** No figure, no table and no verdict until all are trained.\n")
    decided = table[table["experiment"] == experiment.name]
    if len(decided):
        parts.append(_claims_markdown(decided))
    if len(found.runs):
        made = {"on": "device", "with": "backend", "Keras": "keras", "cnnkit": "cnnkit", "commit": "commit"}
        values = {word: " and ".join(sorted(set(found.runs[name].dropna()))) for word, name in made.items()}
        origin = ", ".join(f"{word} {value}" for word, value in values.items())
        parts.append(f"Made by `python -m cnnkit sweep {experiment.name} --profile full`: {_count(found)}, {origin}.\n")
    return "\n".join(parts)


def _claims_markdown(verdicts):
    readings = verdicts["reading"].astype(object).fillna("").map(lambda reading: f" ({reading})" if reading else "")
    columns = {
        "Verdict": "**" + verdicts["verdict"] + "**" + readings,
        "Claim": verdicts["text"],
        "Effect": [tell_effect(line) for line in verdicts.to_dict("records")],
        "Because": verdicts["reason"],
    }
    return markdown_table(pd.DataFrame(columns)) + "\n"


def _count(found):
    if not len(found.runs):
        return "no run trained"
    counts = found.runs["status"].value_counts()
    outcomes = ", ".join(f"{counts[name]} {name}" for name in ("completed", "diverged", "failed") if name in counts)
    return f"{len(found.runs)} runs ({outcomes}), {found.seconds:,.0f} seconds of training"


def _short(path):
    """Return a path as the reader would type it here."""
    path, here = Path(path).resolve(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
