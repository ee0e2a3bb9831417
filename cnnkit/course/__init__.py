"""The course: a folder a chapter, with its experiments and facts; and what every notebook begins with.

`from cnnkit.course import *` brings the `PROFILE` ("smoke" or "full"), Keras, NumPy, pandas, matplotlib and seaborn by
their usual names, parts of cnnkit, `train` for one run here and now, and what stands below: `findings` for committed
rows, `run_here` for an experiment's small version, and `show`, `tell`, `tell_facts` and `say`.
"""

import atexit
import contextlib
import functools
import importlib
from pathlib import Path

from cnnkit.lab import startup

startup.import_keras()  # without TensorFlow's start-up log on the page

import keras  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import seaborn as sns  # noqa: E402
from IPython.display import Markdown, display  # noqa: E402
from keras import layers  # noqa: E402

from cnnkit import HOME, anatomy, data, models, plots  # noqa: E402
from cnnkit.data import load_dataset  # noqa: E402
from cnnkit.evidence import claims, fact  # noqa: E402
from cnnkit.evidence.experiment import run_experiment  # noqa: E402
from cnnkit.lab import store, sweeps  # noqa: E402
from cnnkit.lab.config import RunConfig  # noqa: E402
from cnnkit.lab.training import train  # noqa: E402
from cnnkit.models import create_model  # noqa: E402

__all__ = ["PROFILE", "keras", "layers", "np", "pd", "plt", "sns", "anatomy", "data", "models", "plots"]
__all__ += ["load_dataset", "create_model", "RunConfig", "train", "findings", "run_here", "show", "tell"]
__all__ += ["tell_facts", "say"]

PROFILE = store.profile()
_SAID = set()  # what a page has said of missing runs: it says it once


def list_experiments():
    """Return a dict of every experiment to its chapter, by name: each is a file of a chapter, but not `facts.py`."""
    paths = [path for path in Path(__path__[0]).glob("*/[!_]*.py") if path.stem != "facts"]
    return {path.stem: path.parent.name for path in sorted(paths, key=lambda path: path.stem)}


def load_experiment(name):
    """Return the `EXPERIMENT` of `cnnkit/course/<chapter>/<name>.py`; a ValueError if there is none of that name."""
    chapters = list_experiments()
    if name not in chapters:
        raise ValueError(f"Expected an experiment out of {', '.join(chapters)}. Received: {name!r}.")
    experiment = importlib.import_module(f"{__name__}.{chapters[name]}.{name}").EXPERIMENT
    if experiment.name != name:
        raise ValueError(f"Expected EXPERIMENT of the name {name!r} in {name}.py. Received: {experiment.name!r}.")
    return experiment


def notebook_of(name):
    """Return the notebook that reads an experiment's rows, which ends as its chapter is called, or None."""
    chapter = list_experiments()[name]
    return next((path.stem for path in HOME.glob("notebooks/source/*.py") if path.stem.endswith(chapter)), None)


def list_facts():
    """Return all `Fact`s of all chapters, by ledger number and id."""
    chapters = sorted(path.parent.name for path in Path(__path__[0]).glob("*/facts.py"))
    facts = [one for name in chapters for one in importlib.import_module(f"{__name__}.{name}.facts").FACTS]
    return sorted(facts, key=lambda one: (one.ledger, one.id))


def findings(name):
    """Return what the committed rows say about an experiment, in either profile: its full `Findings`."""
    return load_experiment(name).read("full")


def run_here(name):
    """Return an experiment's findings in this profile; in smoke its small version is trained here and now."""
    return run_experiment(load_experiment(name), client=_cluster()) if PROFILE == "smoke" else findings(name)


@functools.cache
def _cluster():
    """Return the one cluster of this process."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(sweeps.cluster())


def show(found, *stems):
    """Draw figures of `Findings`, such as `"accuracy_cifar10"` (all where no stem is given); say what is missing."""
    _say_gap(found)
    for stem, drawn in found.figures(*stems).items():
        plots.mark_profile(drawn, found.profile)
        if stems and stem not in stems:
            plt.close(drawn.get_figure(root=True))
    plt.show()


def tell(found):
    """Show the table of `Findings`, what belongs under it, and its verdicts; say what is missing."""
    _say_gap(found)
    if len(table := found.table()):
        say(plots.markdown_table(plots.readable(table)), *found.notes())
        if rows := [row for row in found.verdicts() if not str(row.get("reason")).startswith("being measured")]:
            print("q is over these claims alone.\n" + plots.tell_verdicts(claims.as_table(rows), indent=""))


def tell_facts(facts):
    """Show what is said, what a computation finds, and the verdict, a line for each `Fact`."""
    lines = [fact.check(one) for one in facts]
    verdicts = [f"{line['verdict']}: {line['reason']}".removesuffix(": computed") for line in lines]
    table = pd.DataFrame({"sentence": [line["text"] for line in lines], "verdict": verdicts})
    table.insert(1, "computed", [plots.tell_effect(line) for line in lines])
    say(plots.markdown_table(table))


def _say_gap(found):
    """Say once what is missing and what trains it."""
    gap = f"*{found.experiment.name}: {found.gap()}.*"
    if not found.complete and gap not in _SAID:
        _SAID.add(gap)
        say(f"{gap} `make sweeps EXPERIMENT={found.experiment.name} PROFILE={found.profile}` trains it.")


def say(*sentences):
    """Show sentences as Markdown, a paragraph each."""
    display(Markdown("\n\n".join(sentences)))
