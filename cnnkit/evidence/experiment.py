"""The experiments: one short file a topic, with its question, its grid, its claims and its figures."""

import contextlib
import dataclasses
import importlib
import pkgutil
from collections.abc import Callable

import pandas as pd

from cnnkit.evidence import claims
from cnnkit.evidence.claims import Claim, best_settings
from cnnkit.lab import store, sweeps
from cnnkit.lab.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What an experiment file holds as `EXPERIMENT`.

    Args:
        name: String, its folder under `results/`.
        question: String, one sentence.
        stages: Functions `(profile, runs) -> list of RunConfig`, run one after the other; `runs` are the rows of the
            stages before, so that a stage can use the best learning rate of the last.
        figures: Function `(runs, history) -> dict of file stem to Axes or Figure`.
        table: Function `(runs) -> DataFrame`, the summary for the gallery.
        claims: `Claim`s that its rows decide.
        run: Function `(profile, client, refresh) -> DataFrame` instead of stages, where every next run depends on the
            last ones: it trains, and returns one line a trial with its `run_id`. These lines are kept in `trials.csv`,
            and `runs` then has one line a trial: what is known of the trial, and its run's row.
        notebook: String, the notebook that reads its rows, like `"00_quickstart"`; None if there is none.
        answer: Function `(runs) -> string`: the answer to the question in one sentence, for the front page.
        config: Class of what the stages ask for, where that is no `RunConfig`. It has the methods and properties of
            `experiments.knn.Block`.
        counted: Function `(runs, history) -> list of dicts`, as `facts.check` returns them: verdicts that its rows
            decide by counting, without arms and seeds.
    """

    name: str
    question: str
    stages: tuple[Callable, ...]
    figures: Callable
    table: Callable
    claims: tuple[Claim, ...] = ()
    run: Callable | None = None
    notebook: str | None = None
    answer: Callable | None = None
    config: type = RunConfig
    counted: Callable | None = None

    def verdicts(self, runs, history):
        """Return the verdicts on its claims from these runs, as `claims.csv` has them."""
        rows = [claims.decide(claim, runs, history) for claim in self.claims]
        return claims.as_table(rows + (self.counted(runs, history) if self.counted and len(runs) else []))


def list_experiments():
    """Return the names of all experiments, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_experiment(name):
    """Return the `Experiment` of `cnnkit/experiments/<name>.py`.

    Raises:
        ValueError: If there is none; the message lists the names.
    """
    if name not in list_experiments():
        raise ValueError(f"Expected an experiment out of {', '.join(list_experiments())}. Received: {name!r}.")
    return importlib.import_module(f"{__name__}.{name}").EXPERIMENT


def run_experiment(experiment, *, workers=None, scheduler=None, client=None, refresh=False):
    """Return the rows and histories of an experiment in the current profile, training what the store lacks.

    Args:
        experiment: An `Experiment` or its name.
        workers, scheduler, client, refresh: As in `sweeps.run_all`.
    Returns:
        `(runs, history)`: DataFrames of exactly the runs its stages ask for.
    """
    if isinstance(experiment, str):
        experiment = load_experiment(experiment)
    runs = pd.DataFrame()
    with contextlib.nullcontext(client) if client else sweeps.cluster(workers, scheduler) as client:
        if experiment.run is not None:
            trials = experiment.run(store.profile(), client=client, refresh=refresh)
            path = store.results_dir() / experiment.name / "trials.csv"
            store.write_atomically(path, trials.to_csv(index=False, lineterminator="\n"))
            runs, _ = _stored_trials(experiment, store.results_dir())
        for stage in experiment.stages:
            configs = stage(store.profile(), runs)
            rows = sweeps.run_all(configs, experiment.name, client=client, refresh=refresh)
            runs = pd.concat([runs, rows], ignore_index=True).drop_duplicates("run_id", ignore_index=True)
    history = store.read_history(experiment.name)
    return runs, history[history["run_id"].isin(runs["run_id"])].reset_index(drop=True)


def stored_runs(experiment, profile="full"):
    """Return what the store has of an experiment's runs, training nothing.

    The stages are replayed on the stored rows, so that runs of an abandoned grid do not count. As in `run_experiment`,
    a stage is planned only when all runs of the stages before are there.

    Args:
        experiment: An `Experiment`.
        profile: `"smoke"` or `"full"`.
    Returns:
        `(runs, history, missing)`: DataFrames as from `run_experiment`, and how many runs the stages planned so far
        lack: 0 if the experiment is complete.
    """
    root = store.results_dir(profile)
    if experiment.run is not None:
        runs, missing = _stored_trials(experiment, root)
        return runs, store.read_history(experiment.name, root), missing
    stored, history = store.read_runs(experiment.name, root), store.read_history(experiment.name, root)
    if stored.empty:
        return stored, history, len(experiment.stages[0](profile, stored))
    stored = stored.set_index("run_id", drop=False)
    asked, runs = {}, pd.DataFrame()
    for stage in experiment.stages:
        asked |= {config.run_id: None for config in stage(profile, runs)}
        runs = stored.loc[[run_id for run_id in asked if run_id in stored.index]].reset_index(drop=True)
        if missing := len(asked) - len(runs):
            break
    return runs, history[history["run_id"].isin(runs["run_id"])].reset_index(drop=True), missing


def _stored_trials(experiment, root):
    """Return one line a trial of `trials.csv` with its run's row, and how many of these rows are missing."""
    path = root / experiment.name / "trials.csv"
    stored = store.read_runs(experiment.name, root)
    if stored.empty or not path.exists():
        return stored.iloc[:0], 1
    trials = pd.read_csv(path, dtype={"run_id": "str"})
    runs = trials[["run_id", *trials.columns.difference(stored.columns, sort=False)]].merge(stored, on="run_id")
    return runs, len(trials) - len(runs)


def grid(arms, rates, seeds=(1,)):
    """Return every arm (`RunConfig`) at every learning rate with every seed."""
    return [arm.replace(learning_rate=rate, seed=seed) for arm in arms for rate in rates for seed in seeds]


def at_best_rate(arms, rates, seeds, runs, fresh):
    """Return every arm with the `fresh` seeds, each at the learning rate that won in its rows of `grid`."""
    configs = []
    for arm in arms:
        tuning = runs[runs["run_id"].isin([config.run_id for config in grid([arm], rates, seeds)])]
        configs += grid([arm], [best_settings(tuning)["learning_rate"]], fresh)
    return configs
