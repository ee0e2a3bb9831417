"""Claims and their verdicts, decided from rows alone. Imports neither Keras nor TensorFlow.

The protocol: every arm first gets its own learning rate, the best of at least five on validation, not at the edge of
its grid, over the tuning seeds; then it runs on fresh seeds, the same for both arms, and the paired difference over
these seeds has a 95% Student-t interval. SUPPORTED: the interval lies above the margin. REFUTED: it lies below zero,
or within plus and minus the margin. Otherwise INCONCLUSIVE; a claim that the protocol cannot decide says why.
"""

import dataclasses
import json

import numpy as np
import pandas as pd

from cnnkit.lab import store

FRESH = tuple(range(101, 201))  # seeds that confirm; smaller ones tune
MIN_RATES = 5
COLUMNS = ["id", "ledger", "text", "source", "experiment", "effect", "low", "high", "n", "unit", "margin", "verdict"]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence that two arms of an experiment decide.

    Args:
        id: String, unique, e.g. `"momentum-accuracy"`.
        ledger: Integer, the claim's number in the ledger of textbook claims.
        text: String, what is claimed.
        source: String, who claims it.
        experiment: String, whose rows decide.
        better, worse: Dicts of `RunConfig` field to value: the arm said to be better, and the other.
        margin: Float, in the metric's units, below which a difference does not matter; for a ratio, above 1.
        metric: Column of `runs.csv`; with a `target`, `"epochs"` or `"seconds"` to it.
        target: `(history column, level)`, or None. A run that never reaches the level is censored at its end.
        lower_is_better: Boolean, for losses; times to a target always are.
        ratio: Boolean. True compares how many times better is better, on a log scale, instead of a difference.
        tuned: The column each arm chooses by validation, or None if better and worse fix it.
        factor: Float; `worse` then runs at the tuned value of `better` times this, instead of its own.
    """

    id: str
    ledger: int
    text: str
    source: str
    experiment: str
    better: dict
    worse: dict
    margin: float
    metric: str = "test_accuracy"
    target: tuple | None = None
    lower_is_better: bool = False
    ratio: bool = False
    tuned: str | None = "learning_rate"
    factor: float | None = None


class Undecided(Exception):
    """Why the protocol cannot decide a claim."""


def decide(claim, runs, history):
    """Return the verdict on a claim from an experiment's rows.

    Args:
        claim: A `Claim`.
        runs, history: The frames of `store.read_runs` and `store.read_history`.
    Returns:
        Dict with the columns of `claims.csv` and `reason`; effect and interval in the metric's units, or as a ratio.
    Raises:
        ValueError: If the two arms are the same runs, or have identical histories: then they do not differ at all.
    """
    row = {name: getattr(claim, name) for name in ("id", "ledger", "text", "source", "experiment", "margin")}
    row |= {"unit": "ratio" if claim.ratio else claim.metric, "effect": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    try:
        better, worse = _arms(claim, runs)
        _check_pairs(claim, better, worse, history)
        b, b_censored = _values(claim, better, history)
        w, w_censored = _values(claim, worse, history)
        effect = _effects(claim, b, w)
        mean, low, high = store.student_interval(effect)
        margin = np.log(claim.margin) if claim.ratio else claim.margin
        verdict, reason = _verdict(low, high, margin, b_censored, w_censored)
        scale = np.exp if claim.ratio else float
        row |= {"effect": scale(mean), "low": scale(low), "high": scale(high), "n": len(effect)}
    except Undecided as why:
        verdict, reason = "INCONCLUSIVE", str(why)
    return row | {"verdict": verdict, "reason": reason}


def verdicts(claims, runs, history):
    """Return one line a claim, as `claims.csv` has them."""
    return as_table([decide(claim, runs, history) for claim in claims])


def as_table(rows):
    """Return verdicts, as `decide` gives them, as the frame of `claims.csv`, sorted.

    Raises:
        ValueError: If an id occurs twice.
    """
    table = pd.DataFrame(rows, columns=[*COLUMNS, "reason"])
    if len(twice := table[table["id"].duplicated()]):
        raise ValueError(f"Expected a claim's id only once. Received: {', '.join(twice['id'])} twice. Rename one.")
    return table.sort_values(["ledger", "id"], ignore_index=True)


def best_settings(runs, by="learning_rate", metric="val_accuracy"):
    """Return the best value of a column on validation, over the tuning seeds.

    Args:
        runs: DataFrame, one arm's rows; rows of fresh seeds do not count. A value of which any run diverged loses.
        by: Column that is chosen.
        metric: Column whose mean over seeds decides; higher is better.
    Returns:
        Dict: `{by: value, "tried": number of values, "at_edge": Boolean}`.
    Raises:
        ValueError: If there is no completed tuning run.
    """
    tuning = runs[~runs["seed"].isin(FRESH)]
    scores = tuning.assign(**{metric: tuning[metric].where(tuning["status"] == "completed")}).groupby(by)[metric]
    means = scores.agg(lambda values: values.mean(skipna=False))
    if means.isna().all():
        raise ValueError(
            f"Expected a completed run among the tuning seeds (below {FRESH[0]}). Received: {len(tuning)}."
        )
    best = means.idxmax()
    return {by: best, "tried": len(means), "at_edge": bool(best in (means.index.min(), means.index.max()))}


def select(runs, arm):
    """Return the rows whose columns have the values of `arm`, a dict of `RunConfig` fields.

    Raises:
        ValueError: If there is no such column.
    """
    if unknown := [name for name in arm if name not in runs]:
        raise ValueError(f"Expected fields out of {', '.join(runs)}. Received: {', '.join(unknown)}. Correct the arm.")
    chosen = pd.Series(True, index=runs.index)
    for column, value in arm.items():
        value = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        if value is None:
            chosen &= runs[column].isna()
        else:
            chosen &= np.isclose(runs[column], value, rtol=1e-9) if isinstance(value, float) else runs[column] == value
    return runs[chosen]


def _arms(claim, runs):
    """Return the fresh-seed rows of both arms, each at its setting."""
    if not len(runs):
        raise Undecided(f"{claim.experiment} has no rows yet")
    better, worse = claim.better, claim.worse
    if claim.tuned is not None:
        better = better | {claim.tuned: _tuned(claim, runs, better)}
        value = _tuned(claim, runs, worse) if claim.factor is None else better[claim.tuned] * claim.factor
        worse = worse | {claim.tuned: value}
    return _fresh(runs, better), _fresh(runs, worse)


def _fresh(runs, arm):
    rows = select(runs, arm)
    rows = rows[rows["seed"].isin(FRESH)].set_index("seed").sort_index()
    if rows.index.has_duplicates:
        raise Undecided(f"several settings fit the arm {arm}: it must name every field that varies")
    if len(rows) < 2:
        raise Undecided(f"{len(rows)} fresh seed(s) of {arm}: an interval needs at least two")
    if len(lost := rows.index[rows["status"] == "failed"]):
        raise Undecided(f"{len(lost)} of {len(rows)} runs of {arm} failed")
    return rows


def _tuned(claim, runs, arm):
    tried = select(runs, arm)
    try:
        best = best_settings(tried, claim.tuned)
    except ValueError:
        raise Undecided(f"no completed tuning run of {arm}") from None
    if best["tried"] < MIN_RATES:
        raise Undecided(f"{best['tried']} values of {claim.tuned} tried for {arm}: the protocol asks for {MIN_RATES}")
    if best["at_edge"]:
        raise Undecided(f"the best {claim.tuned} of {arm}, {best[claim.tuned]:g}, is at the edge of its grid")
    return best[claim.tuned]


def _check_pairs(claim, better, worse, history):
    if list(better.index) != list(worse.index):
        raise Undecided(f"the seeds are not paired: {list(better.index)} against {list(worse.index)}")
    lines = history.drop(columns=["run_id", "seconds"])
    for seed in better.index:
        ids = [arm.at[seed, "run_id"] for arm in (better, worse)]
        one, other = (lines[history["run_id"] == run_id].reset_index(drop=True) for run_id in ids)
        # Runs that diverge at once may well look alike: only what trained can show that a field does nothing.
        if ids[0] == ids[1] or (one.equals(other) and better.at[seed, "status"] == "completed"):
            raise ValueError(
                f"Expected two arms that differ for the claim {claim.id}. Received: runs {ids[0]} and {ids[1]} "
                f"(seed {seed}) with one history. The field that should set them apart does nothing."
            )


def _values(claim, rows, history):
    """Return the metric by seed, and how many of the values are censored."""
    if claim.target is None:
        if rows[claim.metric].isna().any():
            raise Undecided(f"{claim.metric} is missing: {rows['status'].eq('diverged').sum()} runs diverged")
        return rows[claim.metric], 0
    column, level = claim.target
    unit = {"epochs": "epoch", "seconds": "seconds"}[claim.metric]
    lines = history[history["run_id"].isin(rows["run_id"])]
    reached = lines[lines[column] <= level if column.endswith("loss") else lines[column] >= level]
    first = rows["run_id"].map(reached.groupby("run_id")[unit].min())
    end = rows["run_id"].map(lines.groupby("run_id")[unit].max())
    return first.fillna(end), int(first.isna().sum())


def _effects(claim, better, worse):
    """Return by seed how far better is better: a difference, or the logarithm of a ratio."""
    if claim.lower_is_better or claim.target is not None:
        better, worse = worse, better
    if not claim.ratio:
        return better - worse
    if min(better.min(), worse.min()) <= 0:
        raise Undecided(f"a ratio needs {claim.metric} above 0, and the lowest is {min(better.min(), worse.min()):g}")
    return np.log(better / worse)


def _verdict(low, high, margin, better_censored, worse_censored):
    """A run that never got there took longer than its end: with such runs an effect is known on one side only."""
    if better_censored and worse_censored:
        return "INCONCLUSIVE", f"runs of both arms never reached the target ({better_censored} and {worse_censored})"
    if low > margin and not better_censored:
        return "SUPPORTED", "the interval lies above the margin"
    if high < 0 and not worse_censored:
        return "REFUTED", "the interval lies below zero"
    if -margin < low and high < margin and not (better_censored or worse_censored):
        return "REFUTED", "the interval lies within the margin: no difference that matters"
    return "INCONCLUSIVE", "the interval is too wide, or censored on the side that would decide"
