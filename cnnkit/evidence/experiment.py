"""An experiment: a question, the comparisons that answer it, and what was found: tables, figures and verdicts."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from cnnkit import plots
from cnnkit.evidence.claims import Claim
from cnnkit.evidence.comparison import LEVELS, Comparison, Times, doubled
from cnnkit.lab import store, sweeps
from cnnkit.lab.config import COSINE, ONE_CYCLE, RunConfig
from cnnkit.plots.style import shown_scale
from cnnkit.plots.words import BAND_RUNS

__all__ = ["COSINE", "Claim", "Comparison", "Experiment", "Findings", "ONE_CYCLE", "RunConfig", "Times", "Trials"]
__all__ += ["by_split", "doubled", "run_experiment"]

MANY = 5  # arms: more have a panel each
LOW_LEVEL = 0.03  # a control arm this far below a plain good recipe is a bug until explained


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What an experiment file holds as `EXPERIMENT`."""

    name: str  # of its file, and of its folder under `results/`
    question: str  # one sentence
    full: Comparison | dict  # or a dict of them by part, e.g. `{"cifar10": ..., "mnist": ...}`
    smoke: Comparison | dict
    # At most 15 words for the front page: Findings -> text; or a text with the effects of claims, in points where they
    # are accuracies, e.g. "Flips gain {augmentation:+.1f} points."; or None for the best arm's.
    answer: Callable | str | None = None
    more_figures: Callable | None = None  # Findings -> dict of file stem to Axes or Figure, beside those of every part

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

    What is not said here is as of an `Experiment`. The `run_id` of a trial is that of its first training seed.
    """

    name: str
    question: str
    run: Callable  # (profile, client, refresh) -> DataFrame: trains, and returns one line a trial
    tabulate: Callable  # TrialFindings -> DataFrame, the summary
    draw: Callable  # TrialFindings -> dict of file stem to Axes or Figure
    answer: Callable
    decide: Callable | None = None  # TrialFindings -> list of dicts, verdicts that are counted
    seeds: dict | None = None  # of profile to the training seeds of a trial; None without runs, or where each has one

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

    The arguments are those of `sweeps.run_all`.
    """
    with contextlib.nullcontext(client) if client else sweeps.cluster(workers, scheduler) as client:
        experiment.train(store.profile(), client, refresh)
    return experiment.read(store.profile())


def by_split(runs, column="images"):
    """Return runs twice, a line each for "training" and "test" in a column, with the `accuracy` on these images."""
    words = {"train": "training", "test": "test"}.items()
    return pd.concat([runs.assign(**{column: word}, accuracy=runs[f"{split}_accuracy"]) for split, word in words])


class Findings:
    """What the rows of a profile say about an experiment.

    Attributes:
        experiment, profile: The `Experiment`, and `"smoke"` or `"full"`.
        plans: Dict of part to `Plan`.
        configs: Dict of `run_id` to `RunConfig`: all asked for so far; `missing`: a list of those without a row.
        complete: Boolean, whether none is missing.
        runs, history: DataFrames of the rows that are there and of their epochs; `seconds`: their training time.
    """

    def __init__(self, experiment, profile):
        self.experiment, self.profile = experiment, profile
        self.root = store.results_dir(profile)
        self.runs, self.history = (read(experiment.name, self.root) for read in (store.read_runs, store.read_history))
        self.plans, self.configs, self.missing = {}, {}, []
        self._ask()
        self.complete = not self.missing
        self.runs = self.runs[self.runs["run_id"].isin(self.configs)].reset_index(drop=True)
        self.history = self.history[self.history["run_id"].isin(self.configs)].reset_index(drop=True)
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
        return f"being measured: {here} of at least {len(self.configs)} runs are here{cost}"

    def verdicts(self):
        """Return the raw verdicts on all claims, a list of dicts; `claims.as_table` makes them a table."""
        name, waiting = {"experiment": self.experiment.name}, {"reason": self.gap()}
        plans = self.plans.values()
        return [row | name | (waiting if plan.missing else {}) for plan in plans for row in plan.verdicts()]

    def table(self):
        """Return a DataFrame of one line an arm over its fresh seeds, of the parts that are all there.

        It has the part (where there are several), what an arm's name says (`arm`, where that is many things),
        `num_params, learning_rate, epochs`, of the test accuracy over the runs that did not collapse `mean, low, high`
        (a 95% Student-t interval; below five runs their range) and `n`, and `collapsed`: how many of how many, with a
        Clopper–Pearson interval where any did.
        """
        there = {part: plan for part, plan in self.plans.items() if not plan.missing}
        names = dict.fromkeys((name for plan in there.values() for name in plan.comparison.names), "")
        if len(names) > MANY:  # they would be mostly empty
            names = {"arm": ""}
        tables = [_levels(plan).assign(part=part) for part, plan in there.items()]
        table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["part", *names, *LEVELS])
        # Parts may name their arms by other things.
        table = table[[*["part"] * (len(self.plans) > 1), *names, *LEVELS]].fillna(names)
        few = table["n"] < BAND_RUNS
        interval = "range" if few.all() else "95% or range" if few.any() else "95%"
        table.attrs = {"metric": "test_accuracy", "interval": interval}
        return table

    def tuning(self):
        """Return one line an arm that was tuned: its rate, how many were tried, and how sure the choice is."""
        lines = [
            {"part": part, "arm": arm, **choice, "note": plan.undecided.get(arm, "")}
            for part, plan in self.plans.items()
            for arm, choice in plan.choices.items()
        ]
        return pd.DataFrame(lines).drop(columns=[] if len(self.plans) > 1 else "part", errors="ignore")

    def notes(self):
        """Return sentences that belong under the table: sampling error, budget check, levels too low to believe."""
        sentences = []
        for part, plan in self.plans.items():
            level, budget, fresh = plan.comparison.level, plan.budget(), plan.of_role("fresh")
            if plan.missing or fresh.empty:
                continue
            where = f" ({part})" if len(self.plans) > 1 else ""
            control = f"{plan.comparison.control}{where}"
            share, images = fresh["test_accuracy"], fresh["test_images"].iloc[0]
            errors = 100 * np.sqrt(share * (1 - share) / images)
            ends = dict.fromkeys(f"{error:.2f}" for error in (errors.min(), errors.max()))
            told = f"Intervals are over seeds on these {images:,.0f} test images{where}; another test set would move"
            sentences.append(f"{told} each accuracy by a standard error of {' to '.join(ends)} points.")
            if (block := plan.comparison.block) > 1 and self.profile == "full":
                seeds = f"Fresh seeds{where} begin at {min(fresh['seed'])}"
                sentences.append(f"{seeds}, block {block}: those before it had been seen when this was designed again.")
            if _levels(plan)["n"].between(2, BAND_RUNS - 1).any():
                sentences.append(f"Below five seeds{where}, ± reaches to the highest run: a range, no 95% interval.")
            if budget:
                change, low, high = (100 * budget[name] for name in ("change", "low", "high"))
                words = f"{change:+.2f} [{low:.2f}, {high:.2f}] points over {budget['n']} seeds."
                sentences.append(f"Twice the {budget['epochs']} epochs change {control} by {words}")
            reached = share[fresh["arm"] == plan.comparison.control].mean()
            if level is not None and reached < level - LOW_LEVEL:
                words = f"and a plain good recipe {level:.1%} on the same data: a bug until explained."
                sentences.append(f"{control} reaches {reached:.1%}, {words}")
        return sentences

    def figures(self, *stems):
        """Return a dict of file stem to Axes or Figure: rates, accuracies and curves of each part that is all there.

        Of those named by `stems` alone where there are any; with the experiment's own ones come all of these.
        """
        drawn = {
            f"{stem}_{part}".rstrip("_"): draw
            for part, plan in self.plans.items()
            if not plan.missing
            for stem, draw in _figures(plan).items()
        }
        drawn = {stem: draw() for stem, draw in drawn.items() if not stems or stem in stems}
        more = self.experiment.more_figures
        return drawn | (more(self) if more and self.complete else {})

    def answer(self):
        """Return the answer to the question in one sentence, or that it is being measured."""
        if not self.complete:
            return self.gap()
        if isinstance(told := self.experiment.answer, str):
            decided = {one["id"]: one for one in self.verdicts()}
            effects = {id: one.get("effect", np.nan) * shown_scale(one["unit"]) for id, one in decided.items()}
            return told.format_map(effects)
        if told:
            return told(self)
        best = self.table().sort_values("mean").iloc[-1]
        arm = ", ".join(str(best[name]) for name in next(iter(self.plans.values())).comparison.names)
        return f"Best: {arm}, {best['mean']:.1%} ({100 * best['low']:.1f} to {100 * best['high']:.1f})."


class TrialFindings(Findings):
    """What `trials.csv` of a profile says: as `Findings`, with `trials`, one line a trial, and ids as `missing`."""

    def _ask(self):
        self.trials = store.read_trials(self.experiment.name, self.root)
        self.missing = [] if len(self.trials) else ["trials.csv"]
        if "run_id" in self.trials:
            first = self.runs[self.runs["run_id"].isin(self.trials["run_id"])].to_dict("records")
            seeds, configs = self.experiment.seeds or {self.profile: None}, map(RunConfig.from_row, first)
            asked = [one.replace(seed=s) for one in configs for s in seeds[self.profile] or (one.seed,)]
            self.configs = {config.run_id: config for config in asked}
            self.missing += sorted({*self.trials["run_id"], *self.configs} - {*self.runs["run_id"]})

    def gap(self):
        return "being measured: its trials are not all here"

    def verdicts(self):
        decided = self.experiment.decide(self) if self.experiment.decide and self.complete else []
        return [verdict | {"experiment": self.experiment.name} for verdict in decided]

    def table(self):
        return self.experiment.tabulate(self) if self.complete else pd.DataFrame()

    def figures(self, *stems):
        return self.experiment.draw(self) if self.complete else {}


def _levels(plan):
    """Return one line an arm of a plan, in the order of its declaration; few runs have their range for an interval."""
    lines, parts = [], dict(list(plan.of_role("fresh").groupby("arm")))
    for arm in [arm for arm in plan.comparison.arms if arm in parts]:
        part, count, n = parts[arm], int(parts[arm]["collapsed"].sum()), len(parts[arm])
        sound = part.loc[~part["collapsed"], "test_accuracy"]
        mean, low, high = store.student_interval(sound)
        if 1 < len(sound) < BAND_RUNS:
            low, high = sound.min(), sound.max()
        collapsed = f"{count} of {n}"
        if count:
            collapsed += " ({:.0%} to {:.0%})".format(*stats.binomtest(count, n).proportion_ci())
        same = part.iloc[0][[*plan.comparison.names, *LEVELS[:3]]]
        lines.append([arm, *same, mean, low, high, len(sound), collapsed])
    return pd.DataFrame(lines, columns=["arm", *plan.comparison.names, *LEVELS])


def _figures(plan):
    """Return a dict of file stem to the function that draws it: an arm's rates, its accuracies and its curves."""
    comparison, names = plan.comparison, plan.comparison.names
    hue = names[0] if len(names) == 1 else "arm"
    # In the order of their declaration, not of the alphabet.
    rows = plan.rows.assign(**{hue: pd.Categorical(plan.rows["arm"], list(comparison.arms))})
    fresh, functions = rows[rows["role"] == "fresh"], {}
    if plan.choices and isinstance(comparison.score, str):
        chosen = {arm: choice["learning_rate"] for arm, choice in plan.choices.items()}
        tuning = rows.query("role == 'tuning' and arm in @chosen")
        how = {"y": comparison.score, "chosen": chosen, "error": True}
        if len(chosen) > MANY:
            how |= {"x": "learning_rate", "hue": "arm"}
            functions["tuning"] = lambda: plots.plot_panels(plots.plot_sweep, tuning, **how)
        else:
            functions["tuning"] = lambda: plots.plot_sweep(tuning, hue=hue, **how)
    if fresh.empty:  # no arm found a rate
        return functions
    functions["accuracy"] = lambda: plots.plot_intervals(_levels(plan), y="arm", metric="test_accuracy", runs=fresh)
    lines = fresh[["run_id", "seed", "collapsed", hue]].merge(plan.history, on="run_id")
    if fresh["arm"].nunique() > MANY:
        panels = {"x": "epoch", "y": "val_accuracy", "hue": hue}
        functions["curves"] = lambda: plots.plot_panels(plots.plot_curves, lines, **panels)
    else:
        functions["curves"] = lambda: plots.plot_curves(lines, metric="val_accuracy", hue=hue, error=True)
    return functions
