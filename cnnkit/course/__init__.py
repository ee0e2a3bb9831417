"""The course: a folder a chapter, with its experiments and facts; and what every notebook begins with.

`from cnnkit.course import *` brings

    PROFILE                 "smoke" or "full"
    keras layers np pd plt sns
    anatomy data models plots, load_dataset, create_model
    RunConfig train         one run, trained here and now
    findings run_here       an experiment's committed rows; its small version, trained here and now
    show tell say           figures; table and verdicts; a sentence
"""

import importlib
from pathlib import Path

from cnnkit.lab import startup

startup.import_keras()  # without TensorFlow's start-up log on the page

import keras  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import seaborn as sns  # noqa: E402
from keras import layers  # noqa: E402

from cnnkit import anatomy, data, models, plots  # noqa: E402
from cnnkit.data import load_dataset  # noqa: E402
from cnnkit.evidence import claims, fact  # noqa: E402
from cnnkit.evidence.experiment import run_experiment  # noqa: E402
from cnnkit.lab import store  # noqa: E402
from cnnkit.lab.config import RunConfig  # noqa: E402
from cnnkit.lab.training import train  # noqa: E402
from cnnkit.models import create_model  # noqa: E402

__all__ = ["PROFILE", "keras", "layers", "np", "pd", "plt", "sns", "anatomy", "data", "models", "plots"]
__all__ += ["load_dataset", "create_model", "RunConfig", "train", "findings", "run_here", "show", "tell", "say"]

PROFILE = store.profile()


def list_experiments():
    """Return the names of all experiments, sorted: every file of a chapter but `facts.py`.

    Raises:
        ValueError: If two chapters have an experiment of one name.
    """
    names = sorted(path.stem for path in _files())
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"Expected an experiment's name only once. Received: {', '.join(twice)} twice. Rename a file.")
    return names


def load_experiment(name):
    """Return the `EXPERIMENT` of `cnnkit/course/<chapter>/<name>.py`.

    Raises:
        ValueError: If there is none (the message lists the names), or the file holds none of that name.
    """
    if name not in list_experiments():
        raise ValueError(f"Expected an experiment out of {', '.join(list_experiments())}. Received: {name!r}.")
    path = next(path for path in _files() if path.stem == name)
    experiment = getattr(importlib.import_module(f"{__name__}.{path.parent.name}.{name}"), "EXPERIMENT", None)
    if getattr(experiment, "name", None) != name:
        raise ValueError(f"Expected EXPERIMENT of the name {name!r} in {path.name}. Received: {experiment!r:.80}.")
    return experiment


def chapter_of(name):
    """Return the chapter, a folder's name, that an experiment belongs to."""
    return next(path.parent.name for path in _files() if path.stem == name)


def list_facts():
    """Return all `Fact`s of all chapters, by ledger number and id."""
    for folder in __path__:
        for path in sorted(Path(folder).glob("*/facts.py")):
            importlib.import_module(f"{__name__}.{path.parent.name}.facts")
    return sorted(fact.FACTS, key=lambda one: (one.ledger, one.id))


def _files():
    files = [path for folder in __path__ for path in Path(folder).glob("*/*.py")]
    return [path for path in files if path.stem != "facts" and not path.stem.startswith("_")]


def findings(name):
    """Return what the committed rows say about an experiment, in either profile: its full `Findings`."""
    return load_experiment(name).read("full")


def run_here(name):
    """Return an experiment's findings in this profile; in smoke its small version is trained here and now."""
    return run_experiment(load_experiment(name)) if PROFILE == "smoke" else findings(name)


def show(found, *stems):
    """Draw figures of an experiment; what is being measured again is said instead.

    Args:
        found: `Findings`.
        *stems: Names of its figures, e.g. `"accuracy_cifar10"`; all where none is given.
    """
    if not found.complete:
        say(f"*{found.experiment.name} is being measured again.*")
        return
    figures = found.figures()
    if unknown := [stem for stem in stems if stem not in figures]:
        raise ValueError(f"Expected figures out of {', '.join(figures)}. Received: {', '.join(unknown)}.")
    for stem, drawn in figures.items():
        if stems and stem not in stems:
            plt.close(drawn.get_figure(root=True))
        else:
            plots.mark_profile(drawn.get_figure(root=True), found.profile)
    plt.show()


def tell(found):
    """Show an experiment's table, what belongs under it, and its verdicts; or that it is being measured again."""
    if not found.complete:
        way_on = f"`make sweeps EXPERIMENT={found.experiment.name} PROFILE=full` trains what is missing."
        say(f"*{found.experiment.name}: {found.gap()}.* {way_on}")
        return
    say(plots.markdown_table(plots.readable(found.table())), *found.notes())
    if rows := found.verdicts():
        print(plots.tell_verdicts(claims.as_table(rows), indent=""))


def say(*sentences):
    """Show sentences as Markdown, a paragraph each."""
    from IPython.display import Markdown, display  # a notebook has it

    display(Markdown("\n\n".join(sentences)))
