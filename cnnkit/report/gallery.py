"""What was found, for people: text in a terminal, figures, the pages under results/ and the table in README.md."""

import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from cnnkit import HOME, course, plots
from cnnkit.course.networks.networks import costs
from cnnkit.evidence import claims, fact
from cnnkit.lab import store
from cnnkit.plots import count_verdicts, markdown_table, readable, tell_effect, tell_verdicts, terminal_table
from cnnkit.report import corrections

HEAD = """# Results

Written by `make results` from the tables in this folder: every figure is drawn from them, every verdict decided by
them. `make verify` trains a sample of their rows again and compares. `python -m cnnkit why FIGURE` says where a figure
came from. All claims with sources and conditions: [claims.csv](claims.csv). What many articles get wrong, and what is
right: [corrections.md](corrections.md). What changed since 0.1, and why: [what_changed.md](what_changed.md).
"""
# What the front page shows of a notebook, and the figure and claim at its top.
LEADS = ("quickstart", "sharing", "lenet", "schedules", "search", "networks", "relu", "families", "batch_size")
LEADS += ("optimizers", "trainability", "together", "selection", "three_ways")
COMPUTED = {
    "01_convolution": ("three-3x3-reach", "Three 3×3 kernels see 7×7 pixels, and reach {:.0f} of its 49 dimensions."),
    "03_backprop": ("sigmoid-slope", "Slopes multiply on the way back; a sigmoid passes on at most {:.2f} of one."),
    "03b_training_by_hand": (
        "backpropagation-formulas",
        "{:.0f} of 5 gradients written by hand are autodiff's, to seven digits.",
    ),
}
FINDING = ("sharing", "accuracy_cifar10", "locality-cifar10")
# The most telling figures, the best first: the first ten that are there make the gallery's screen.
SCREEN = {"sharing": "accuracy_cifar10", "depth": "depth", "learning_rate": "tuning_mnist"}
SCREEN |= {"schedules": "accuracy_schedules", "batch_size": "cells", "families": "pareto", "optimizers": "ranks_mnist"}
SCREEN |= {"together": "effects", "selection": "selection", "relu": "race", "lenet": "accuracy", "race": "times"}
SCREEN |= {"trainability": "map_starts", "knn": "cifar10", "moving_average": "gain", "search": "best_so_far"}
SCREEN |= {"remedies": "effects", "networks": "accuracy_cifar10"}
FIGURES, ACROSS = 10, 4
READING = """
Intervals are 95% Student-t over seeds on this test set, accuracies in %, their differences in percentage points (pp).
A claim is SUPPORTED when the interval of its effect lies above the margin, REFUTED when its high end lies below it
(opposite, no difference, or no better), else INCONCLUSIVE; q is the Benjamini–Hochberg value over all claims that seeds
decide. Runs that collapsed are counted, and no part of a mean. TRUE, FALSE and CONDITIONAL are computed.
"""


def report(found):
    """Draw the figures of `Findings`, `<results>/<name>/*.png`, and return what was found for 96 columns of text."""
    experiment, runs = found.experiment, found.runs
    folder = store.results_dir(found.profile) / experiment.name
    parts = [f"\n{experiment.question}\n{_count(found)}\n"]
    errors = runs.loc[runs["status"] == "failed", "error"].value_counts() if len(runs) else pd.Series()
    parts += [f"{count} failed: {error}\n" for error, count in errors.head(3).items()]
    if len(errors):
        parts.append("The same command tries failed runs again; there are no figures until none fails.\n")
    elif found.complete:
        save_figures(found, folder)
        parts += [terminal_table(found.table()), "", *found.notes()]
    if rows := found.verdicts():
        parts.append(f"Claims (q over these alone)\n{tell_verdicts(claims.as_table(rows))}\n")
    files = [path.name for kind in ("*.csv", "*.png") for path in sorted(folder.glob(kind))]
    parts.append(f"Written to {os.path.relpath(folder)}: {', '.join(files)}")
    if found.profile == "smoke":
        parts.append("A smoke run shows that everything works; it is too small to conclude from. On the real data:")
        parts.append(f"  python -m cnnkit sweep {experiment.name} --profile full")
    return "\n".join(parts)


def rebuild():
    """Fold staged rows into the committed tables, derive everything from these anew, and return what there is now.

    Always of the full profile: smoke results are not kept. The same rows give the same bytes.
    """
    root = store.results_dir("full")
    for name in course.list_experiments():
        store.rebuild(name, root)
    found, verdicts = derive(root)
    lines = [f"  {name:18} {_count(one) if one.complete else one.gap()}" for name, one in found.items()]
    lines.append(f"  {'all claims':18} {count_verdicts(verdicts)}")
    lines.append(f"Written to {os.path.relpath(root)}: the pages, claims.csv, corrections.md and the figures.")
    return "\n".join(lines)


def derive(folder):
    """Write figures, `claims.csv` and all pages under `folder`; return `all_findings()` and their `claims_table`."""
    folder, found = Path(folder), all_findings()
    table = claims_table(found)
    # Nine digits hold what is known, and are the same on machines whose last bits are not.
    pages = {"claims.csv": table.to_csv(index=False, lineterminator="\n", float_format="%.9g")}
    pages |= {name: corrections.page(name, table) for name in ("corrections.md", "what_changed.md")}
    pages["README.md"] = _index(found, table)
    for name, chapter in course.list_experiments().items():
        title = {"alexnet": "AlexNet", "lenet": "LeNet"}.get(chapter, chapter.replace("_", " ").capitalize())
        page = pages.get(f"{chapter}/README.md", f"# {title}\n")
        pages[f"{chapter}/README.md"] = f"{page}\n{_section(found[name], table, folder)}"
    for name, text in pages.items():
        store.write_atomically(folder / name, text)
    return found, table


def write_front_page(root=HOME):
    """Write finding, networks and notebooks between their marks in `README.md`; a ValueError if one is not there."""
    path, found = Path(root) / "README.md", all_findings()
    verdicts, text = claims_table(found).set_index("id"), path.read_text()
    sources = sorted(Path(root).glob("notebooks/source/*.py"))
    networks = [markdown_table(lines)] if len(lines := costs(found["networks"])) else []
    parts = {
        "finding": _finding(found[FINDING[0]], verdicts),
        "networks": "\n\n".join(networks + [_waiting(found["networks"])] * (not found["networks"].complete)),
        "notebooks": markdown_table(pd.DataFrame([_notebook(source, found.values(), verdicts) for source in sources])),
    }
    for name, part in parts.items():
        marks = rf"(<!-- {name}: written by `make results` -->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(marks, lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"Expected the marks of {name} once in README.md. Received: {count} times.")
    store.write_atomically(path, text)


def all_findings():
    """Return a dict of experiment to its `Findings` of the full profile."""
    return {name: course.findings(name) for name in course.list_experiments()}


def claims_table(found=None):
    """Return the verdicts on all claims and facts from the committed rows: the frame of `claims.csv`."""
    rows = [row for one in (found or all_findings()).values() for row in one.verdicts()]
    return claims.as_table(rows + [fact.check(one) for one in course.list_facts()])


def save_figures(found, folder):
    """Draw, save and close an experiment's figures; return a dict of PNG path to words on its axes."""
    saved = {}
    rows = found.runs if len(found.runs) else getattr(found, "trials", found.runs).assign(run_id="")
    with plt.style.context("default"):
        for stem, drawn in found.figures().items():
            figure = drawn.get_figure(root=True)
            plots.mark_profile(figure, found.profile)
            path = plots.save_figure(figure, folder / f"{stem}.png", experiment=found.experiment.name, rows=rows)
            axes = [" against ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))) for ax in figure.axes]
            saved[path] = "; ".join(dict.fromkeys(filter(None, axes)))
            plt.close(figure)
    return saved


def _index(found, table):
    """Return results/README.md: the experiments by chapter with their answers, and the facts that are computed."""
    links = [f"[{name}]({chapter}/README.md#{name})" for name, chapter in course.list_experiments().items()]
    questions = [one.experiment.question for one in found.values()]
    answers = [one.answer() for one in found.values()]
    lines = pd.DataFrame({"Experiment": links, "Question": questions, "Answer": answers})
    computed = _claims_markdown(table[table["verdict"].isin(plots.words.COMPUTED)])
    counted = f"{count_verdicts(table)}.\n\n## Facts checked by computing\n"
    parts = [HEAD, _screen(found), "\n## All experiments\n", markdown_table(lines), READING, counted, computed]
    return "\n".join(parts)


def _screen(found):
    """Return the most telling figures there are as a table, each with its answer and a link to its chapter."""
    chapters = course.list_experiments()
    cells = [
        f"[![{one.experiment.question}]({name}/{stem}.png)]({chapters[name]}/README.md#{name})<br>{one.answer()}"
        for name, stem in SCREEN.items()
        if (one := found.get(name)) and one.complete
    ][:FIGURES]
    rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    return markdown_table(pd.DataFrame(rows, columns=[""] * min(ACROSS, len(cells))).fillna(""))


def _section(found, table, folder):
    name, gap = found.experiment.name, found.gap()
    notebook = course.notebook_of(name)
    read = [f"read in [{notebook}](../../notebooks/{notebook}.ipynb)"] if notebook else []
    rows = [f"[{path.name}](../{name}/{path.name})" for path in sorted((found.root / name).glob("*.csv"))]
    links = "; ".join(read + [f"rows: {', '.join(rows)}"] * bool(rows))
    parts = [f"## {name}\n\n{found.experiment.question} {links[:1].upper()}{links[1:]}\n"]
    if not found.complete:
        parts.append(f"**{gap[:1].upper()}{gap[1:]}.** Below is what is decided without them.\n")
    parts += [f"![{words}](../{name}/{path.name})\n" for path, words in save_figures(found, folder / name).items()]
    if len(levels := found.table()):
        parts += [markdown_table(readable(levels)) + "\n", *(f"{note}\n" for note in found.notes())]
    if len(decided := table[table["experiment"] == name]):
        parts.append(_claims_markdown(decided))
    if len(found.runs):
        made = {"on": "device", "with": "backend", "Keras": "keras", "cnnkit": "cnnkit", "commit": "commit"}
        origin = [f"{word} {' and '.join(sorted(set(found.runs[column].dropna())))}" for word, column in made.items()]
        parts.append(f"Made by `python -m cnnkit sweep {name} --profile full`: {_count(found)}, {', '.join(origin)}.\n")
    return "\n".join(parts)


def _claims_markdown(verdicts):
    """Return what is decided as a table, and below it the claims whose runs are awaited, folded."""
    waiting = verdicts["reason"].astype(str).str.startswith(corrections.OPEN)
    decided, awaited = verdicts[~waiting], verdicts.loc[waiting, ["text", "source"]].fillna("")
    lines, parts = decided.to_dict("records"), []
    columns = {
        "Verdict": [corrections.mark_verdict(line) for line in lines],
        "Claim": decided["text"],
        "Effect": [tell_effect(line) for line in lines],
        "Source": decided["source"].fillna(""),
        "Because": decided["reason"],
    }
    if len(decided):
        parts.append(markdown_table(pd.DataFrame(columns)))
    if len(awaited):
        table = markdown_table(awaited.rename(columns={"text": "Claim", "source": "Source"}))
        parts.append(f"<details><summary>{len(awaited)} claims await their runs</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _count(found):
    if not len(found.runs):
        return "no run trained"
    counts = found.runs["status"].value_counts().sort_index()
    outcomes = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(found.runs)} runs ({outcomes}), {found.seconds:,.0f} seconds of training"


def _waiting(found):
    return f"*{found.experiment.name}: {found.gap()}.*"


def _finding(found, verdicts):
    """Return the figure at the top of the front page with the claim it decides."""
    name, stem, claim = FINDING
    line = verdicts.loc[claim]
    if not found.complete:
        return _waiting(found)
    sure = f"**{line['verdict']}**: {tell_effect(line.to_dict())}. {line['text']}"
    cost = f"{len(found.runs)} networks, {found.seconds / 3600:.1f} hours of one core"
    origin = f"[its rows](results/{name}/runs.csv), by `make sweeps EXPERIMENT={name} PROFILE=full`"
    return f"![{line['text']}](results/{name}/{stem}.png)\n\n**{found.answer()}**\n\n{sure} From {origin}: {cost}."


def _notebook(source, found, verdicts):
    """Return a notebook's link, question, answer of one experiment or fact, and cost as a dict."""
    mine = [one for one in found if course.notebook_of(one.experiment.name) == source.stem]
    answers = [one.answer() for one in mine if one.experiment.name in LEADS]
    if source.stem in COMPUTED:
        id, sentence = COMPUTED[source.stem]
        answers = [sentence.format(verdicts.loc[id, "effect"])]
    built = (source.parent.parent / f"{source.stem}.ipynb").exists()
    title = re.search(r"^# # \w+ ?[·:]? ?(.*)$", source.read_text(), re.MULTILINE)[1]
    seconds = sum(one.seconds for one in mine)
    return {
        "Notebook": f"[{source.stem}](notebooks/{source.stem}.ipynb)" if built else f"{source.stem} (source only)",
        "Question": title[:1].upper() + title[1:],
        "Answer": answers[0] if answers else "Read it there.",
        "Cost of its rows": f"{seconds / 60:.0f} min of one core" if seconds else "–",
    }
