"""An experiment: a question, the comparisons that answer it, and what was found: tables, figures and verdicts."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from cnnkit import plots
from cnnkit.evidence.claims import Claim
from cnnkit.evidence.comparison import Comparison, Times
from cnnkit.lab import store, sweeps
from cnnkit.lab.config import RunConfig

__all__ = ["Claim", "Comparison", "Experiment", "Findings", "Times", "Trials", "run_experiment"]

LOW_LEVEL = 0.03  # a control arm this far below a plain good recipe is a bug until explained


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What an experiment file holds as `EXPERIMENT`.

    Args:
        name: String, its folder under `results/`: the file's name.
        question: String, one sentence.
        full, smoke: A `Comparison`, or a dict of them by part, e.g. `{"cifar10": ..., "mnist": ...}`.
        notebook: String, the notebook that reads its rows, like `"00_quickstart"`; None if there is none.
        answer: Function `(Findings) -> string` of at most 15 words for the front page; None for the best arm's.
        more_figures: Function `(Findings) -> dict` of file stem to Axes or Figure, beside those of every comparison.
    """

    name: str
    question: str
    full: Comparison | dict
    smoke: Comparison | dict
    notebook: str | None = None
    answer: Callable | None = None
    more_figures: Callable | None = None

    def read(self, profile):
        """Return the `Findings` of a profile, `"smoke"` or `"full"`, from the rows there are."""
        return Findings(self, profile)

    def train(self, profile, client, refresh):
        """Train what the store lacks, stage by stage, and what failed before once more."""
        asked = set()
        while new := [c for run_id, c in self.read(profile).configs.items() if run_id not in asked]:
            asked |= {config.run_id for config in new}
            sweeps.run_all(new, self.name, client=client, refresh=refresh)


@dataclasses.dataclass(frozen=True)
class Trials:
    """An experiment in which every next run depends on the last ones, or that trains no network: it keeps `trials.csv`.

    Args:
        name, question, notebook, answer: As of `Experiment`.
        run: Function `(profile, client, refresh) -> DataFrame` that trains and returns one line a trial.
        tabulate: Function `(Findings) -> DataFrame`, the summary.
        draw: Function `(Findings) -> dict` of file stem to Axes or Figure.
        decide: Function `(Findings) -> list of dicts`: verdicts that its trials decide by counting; None for none.
        seeds: Dict of profile to the training seeds of every trial, the first of which made its `run_id`; None where
            trials are no runs.
    """

    name: str
    question: str
    run: Callable
    tabulate: Callable
    draw: Callable
    answer: Callable
    decide: Callable | None = None
    seeds: dict | None = None
    notebook: str | None = None

    def read(self, profile):
        """Return the `TrialFindings` of a profile, `"smoke"` or `"full"`."""
        return TrialFindings(self, profile)

    def train(self, profile, client, refresh):
        """Run all trials and keep their table."""
        trials = self.run(profile, client, refresh)
        path = store.results_dir(profile) / self.name / "trials.csv"
        store.write_atomically(path, trials.to_csv(index=False, lineterminator="\n"))


def run_experiment(experiment, *, workers=None, scheduler=None, client=None, refresh=False):
    """Return the findings of an `Experiment` or `Trials` in the current profile, training what the store lacks.

    Args: As of `sweeps.run_all`.
    """
    with contextlib.nullcontext(client) if client else sweeps.cluster(workers, scheduler) as client:
        experiment.train(store.profile(), client, refresh)
    return experiment.read(store.profile())


class Findings:
    """What the rows of a profile say about an experiment.

    Attributes:
        experiment: The `Experiment`.
        profile: `"smoke"` or `"full"`.
        plans: Dict of part to `Plan`.
        configs: Dict of `run_id` to `RunConfig`: all that is asked for so far.
        missing: List of those without a row.
        complete: Boolean, whether none is missing.
        runs, history: DataFrames of the rows that are there and of their epochs.
        seconds: Float, of training behind the rows.
    """

    def __init__(self, experiment, profile):
        self.experiment, self.profile = experiment, profile
        self.root = store.results_dir(profile)
        self.runs, self.history = (read(experiment.name, self.root) for read in (store.read_runs, store.read_history))
        self.plans, self.configs, self.missing = {}, {}, []
        self._ask()
        self.complete = not self.missing
        self.runs, self.history = (
            rows[rows["run_id"].isin(self.configs)].reset_index(drop=True) for rows in (self.runs, self.history)
        )
        self.seconds = self.runs["train_seconds"].sum() if len(self.runs) else 0.0

    def _ask(self):
        parts = getattr(self.experiment, self.profile)
        for part, comparison in (parts if isinstance(parts, dict) else {"": parts}).items():
            self.plans[part] = plan = comparison.plan(self.runs, self.history)
            self.missing += [config for config in plan.missing if config.run_id not in self.configs]
            self.configs |= plan.configs

    def gap(self):
        """Say what is missing and, where rows like them tell, what it costs."""
        known = self.runs.groupby(["model", "epochs"])["train_seconds"].mean() if len(self.runs) else {}
        costs = [known.get((config.model, config.epochs), np.nan) for config in self.missing]
        cost = f", about {np.nanmean(costs) * len(costs) / 60:.0f} core-minutes" if np.isfinite(costs).any() else ""
        here = len(self.configs) - len(self.missing)
        return f"being measured again: {here} of at least {len(self.configs)} runs are here{cost}"

    def verdicts(self):
        """Return the raw verdicts on all claims, a list of dicts; `claims.as_table` makes them a table."""
        more = {"experiment": self.experiment.name} | ({} if self.complete else {"reason": self.gap()})
        return [row | more for plan in self.plans.values() for row in plan.verdicts()]

    def table(self):
        """Return one line an arm over its fresh seeds.

        Returns:
            DataFrame: the part (where there are several), what an arm's name says, `num_params, learning_rate, epochs`,
            `mean, low, high, n` of the test accuracy over the runs that did not collapse, and `collapsed`: how many of
            how many, with a Clopper–Pearson interval where any did.
        """
        tables = [table for part, plan in self.plans.items() if len(table := _levels(plan, self._named(part)))]
        table = pd.concat(tables, ignore_index=True).drop(columns="arm") if tables else pd.DataFrame()
        names = list(dict.fromkeys(name for plan in self.plans.values() for name in plan.comparison.names))
        if tables and len(self.plans) > 1:  # parts may name their arms by other things
            first = ["part", *names]
            table = table[[*first, *table.columns.difference(first, sort=False)]].fillna(dict.fromkeys(names, ""))
        table.attrs["metric"] = "test_accuracy"
        return table

    def tuning(self):
        """Return one line an arm that was tuned: its rate, how many were tried, and how sure the choice is."""
        lines = [
            self._named(part) | {"arm": arm, **choice, "note": plan.undecided.get(arm, "")}
            for part, plan in self.plans.items()
            for arm, choice in plan.choices.items()
        ]
        return pd.DataFrame(lines)

    def notes(self):
        """Return sentences that belong under the table: sampling error, budget check, levels too low to believe."""
        sentences = []
        for part, plan in self.plans.items():
            control, where = plan.comparison.control, f" ({part})" if len(self.plans) > 1 else ""
            level, fresh = plan.comparison.level, plan.of_role("fresh")
            if len(fresh):
                share, images = fresh["test_accuracy"], fresh["test_images"].iloc[0]
                errors = 100 * np.sqrt(share * (1 - share) / images)
                sentences.append(
                    f"Intervals are over seeds on these {images:,.0f} test images{where}; another test set would move "
                    f"each accuracy by a standard error of {errors.min():.2f} to {errors.max():.2f} points."
                )
            if budget := plan.budget():
                sentences.append(
                    f"Twice the {budget['epochs']} epochs change {control}{where} by {100 * budget['change']:+.2f} "
                    f"[{100 * budget['low']:.2f}, {100 * budget['high']:.2f}] points over {budget['n']} seeds."
                )
            if level is not None and len(fresh) and not plan.missing:
                reached = fresh.loc[fresh["arm"] == control, "test_accuracy"].mean()
                if reached < level - LOW_LEVEL:
                    sentences.append(
                        f"{control}{where} reaches {reached:.1%}, and a plain good recipe {level:.1%} on the same "
                        "data: a bug until explained."
                    )
        return sentences

    def figures(self):
        """Return a dict of file stem to Axes or Figure: rates tried, accuracies and curves of every part, and more."""
        drawn = {}
        for part, plan in self.plans.items():
            suffix, fresh, names = f"_{part}" if part else "", plan.of_role("fresh"), plan.comparison.names
            hue = names[0] if len(names) == 1 else "arm"
            if plan.choices:
                chosen = {arm: choice["learning_rate"] for arm, choice in plan.choices.items()}
                tuning = plan.of_role("tuning").query("arm in @chosen")
                drawn[f"tuning{suffix}"] = plots.plot_sweep(tuning, y="val_score", hue=hue, chosen=chosen, error=True)
            levels = _levels(plan, {})
            drawn[f"accuracy{suffix}"] = plots.plot_intervals(levels, y="arm", metric="test_accuracy", runs=fresh)
            labels = fresh[["run_id", "seed", "collapsed"]].assign(**{hue: fresh["arm"]})
            lines = plan.history.merge(labels, on="run_id")
            drawn[f"curves{suffix}"] = plots.plot_curves(lines, metric="val_accuracy", hue=hue)
        return drawn | (self.experiment.more_figures(self) if self.experiment.more_figures else {})

    def answer(self):
        """Return the answer to the question in one sentence, or that it is being measured again."""
        if not self.complete:
            return self.gap()
        if self.experiment.answer:
            return self.experiment.answer(self)
        best = self.table().sort_values("mean").iloc[-1]
        arm = ", ".join(str(best[name]) for name in next(iter(self.plans.values())).comparison.names)
        return f"Best: {arm}, {best['mean']:.1%} ({100 * best['low']:.1f} to {100 * best['high']:.1f})."

    def _named(self, part):
        return {"part": part} if len(self.plans) > 1 else {}


class TrialFindings(Findings):
    """What `trials.csv` of a profile says: the attributes and methods of `Findings`, and `trials`, one line a trial."""

    def _ask(self):
        self.trials = store.read_trials(self.experiment.name, self.root)
        self.missing = [] if len(self.trials) else ["trials.csv"]
        if "run_id" in self.trials:
            rows = self.runs.set_index("run_id")
            here = self.trials["run_id"].isin(rows.index)
            self.missing += self.trials.loc[~here, "run_id"].tolist()
            for run_id in self.trials.loc[here, "run_id"].unique():
                first = RunConfig.from_row(rows.loc[run_id])
                asked = [first.replace(seed=seed) for seed in self.experiment.seeds[self.profile]]
                self.configs |= {config.run_id: config for config in asked}
            self.missing += [config for run_id, config in self.configs.items() if run_id not in rows.index]

    def gap(self):
        """Say that it is not all there."""
        return "being measured again: its trials are not all here"

    def verdicts(self):
        """Return the verdicts that are counted from its trials, a list of dicts."""
        return self.experiment.decide(self) if self.experiment.decide and self.complete else []

    def table(self):
        """Return its summary."""
        return self.experiment.tabulate(self)

    def figures(self):
        """Return a dict of file stem to Axes or Figure."""
        return self.experiment.draw(self)


def _levels(plan, named):
    """Return one line an arm of a plan, in the order of its declaration."""
    lines, parts = [], dict(list(plan.of_role("fresh").groupby("arm")))
    for arm in [arm for arm in plan.comparison.arms if arm in parts]:
        part, count, n = parts[arm], int(parts[arm]["collapsed"].sum()), len(parts[arm])
        sound = part.loc[~part["collapsed"], "test_accuracy"]
        mean, low, high = store.student_interval(sound)
        collapsed = f"{count} of {n}"
        if count:
            collapsed += " ({:.0%} to {:.0%})".format(*stats.binomtest(count, n).proportion_ci())
        told = [*plan.comparison.names, "num_params", "learning_rate", "epochs"]
        line = named | {"arm": arm} | {name: part[name].iloc[0] for name in told}
        lines.append(line | {"mean": mean, "low": low, "high": high, "n": len(sound), "collapsed": collapsed})
    return pd.DataFrame(lines)
