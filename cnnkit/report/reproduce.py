"""Everything again from nothing: all runs, pages and verdicts, in a folder of its own, beside the committed ones."""

import os
from pathlib import Path

import pandas as pd

from cnnkit import course
from cnnkit.evidence.experiment import run_experiment
from cnnkit.lab import store, sweeps
from cnnkit.lab.provenance import use_one_thread
from cnnkit.lab.speed import images_per_second
from cnnkit.plots import count_verdicts
from cnnkit.report import gallery

PROBE = "caffe_quick"  # at batches of 64 it tells how fast this machine is beside the one of the committed rows


def reproduce(folder, workers=None):
    """Train every run of every experiment in the full profile, a printed line each; return 1 if a verdict differs.

    Rows, figures and pages go to `folder`; asked again, it goes on where it was stopped. What the committed rows took,
    and a probe of this machine, say beforehand how long it takes.
    """
    names = course.list_experiments()
    committed = {name: course.findings(name) for name in names}
    before = gallery.claims_table(committed).set_index("id")["verdict"]
    hours, cores = {name: one.seconds / 3600 for name, one in committed.items()}, workers or sweeps.CPU_COUNT
    os.environ |= {"CNNKIT_PROFILE": "full", "CNNKIT_RESULTS_DIR": str(Path(folder).resolve())}
    left = sum(hours[name] for name in names if not course.findings(name).complete)
    left *= _slowness(pd.concat([one.runs for one in committed.values()]))
    print(f"{len(names)} experiments: about {left:.1f} hours of one core, {left / cores:.1f} of {cores}.", flush=True)
    with sweeps.cluster(workers) as client:
        for place, name in enumerate(names, start=1):
            found = run_experiment(course.load_experiment(name), client=client)
            print(f"{place:2} of {len(names)}  {name:16} {len(found.runs):5} runs  {found.answer()}", flush=True)
    _, table = gallery.derive(store.results_dir("full"))
    here = table.set_index("id")["verdict"].reindex(before.index)
    differ = before[before != here]
    for id, verdict in differ.items():
        print(f"{id}: {verdict} in the committed rows, here {here[id]}")
    print(f"Here: {count_verdicts(table)} {len(differ)} of {len(before)} verdicts differ. All of it is in {folder}.")
    return int(len(differ) > 0)


def _slowness(runs):
    """Return how many times as long as on the machine of these rows a training takes here, on one thread."""
    rows = runs[(runs["model"] == PROBE) & (runs["dataset"] == "cifar10") & runs["train_size"].notna()]
    if rows.empty:
        return 1.0
    use_one_thread()
    speeds = rows["train_size"] * rows["epochs_run"] / rows["train_seconds"]
    return speeds.median() / images_per_second(PROBE)
