"""The protocol's statistics: rates chosen, seeds planned, claims decided, from rows alone. Imports no Keras.

Every arm first gets a learning rate of its own on validation data, away from the cliff; then all arms run on the same
fresh seeds, and the paired difference over these has an interval. SUPPORTED: it lies above the margin. REFUTED: its
high end lies below the margin, read as opposite, no difference or no better. Else INCONCLUSIVE.
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy import optimize, stats

ERROR = 0.05
LEAST_RATES, LEAST_SEEDS, MOST_SEEDS, MOST_NEEDED = 5, 5, 20, 1000
MOST_LOST = 0.1  # of the pairs may be lost to collapse
COLUMNS = ["id", "ledger", "text", "source", "experiment", "effect", "low", "high", "n", "unit", "margin", "verdict"]
COLUMNS += ["reading", "p", "q", "flips", "looks", "collapsed", "needed", "conditions", "reason"]
DECIDED = ("SUPPORTED", "REFUTED")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence that the arms of a comparison decide.

    Args:
        id: String, unique in the book, e.g. `"momentum-accuracy"`.
        text: String, what is claimed.
        better, worse: Names of arms: the one said to be better, and the other.
        source: String, who claims it.
        margin: Float, in the metric's units, below which a difference does not matter; for a ratio, 1 or more.
        metric: Column of `runs.csv`; a pair of columns where better and worse are read from different ones; with a
            `target`, `"epochs"` or `"seconds"` to it; `"collapsed"` where collapse is the claim.
        target: `(history column, level)`, or None. A run that never reaches the level is censored at its end.
        lower_is_better: Boolean, for losses; times to a target always are.
        ratio: Boolean. True compares how many times better is better, on a log scale, instead of a difference.
        beside: `(better, worse)`, two more arms: the claim is then an interaction, what better buys over worse beyond
            what it buys here.
        ledger: Integer, the claim's number in the ledger of textbook claims; None if it has none.
    """

    id: str
    text: str
    better: str
    worse: str
    source: str
    margin: float
    metric: str | tuple = "test_accuracy"
    target: tuple | None = None
    lower_is_better: bool = False
    ratio: bool = False
    beside: tuple = ()
    ledger: int | None = None

    @property
    def arms(self):
        """The names of all arms it reads."""
        return tuple(dict.fromkeys((self.better, self.worse, *self.beside)))

    @property
    def unit(self):
        """What its effect counts: `"ratio"`, or the metric's name."""
        return "ratio" if self.ratio else self.metric if isinstance(self.metric, str) else self.metric[0]


class Undecided(Exception):
    """Why the protocol cannot decide a claim."""


def choose_rate(scores):
    """Choose a learning rate away from the cliff.

    Among the rates whose mean is within one standard error (of the paired differences) of the best mean, the one with
    the best worst seed; of equal ones the lowest.

    Args:
        scores: DataFrame, a line a rate in rising order, a column a tuning seed: mean validation accuracy of the last
            two epochs, NaN where the run diverged or failed. A rate with such a run is never chosen.
    Returns:
        Dict: `learning_rate`, `tried` (how many), `at_edge` (Boolean: the best mean is at the edge of the grid) and
        `same_again`, the probability that the same rate would be chosen on other seeds (parametric bootstrap).
    Raises:
        Undecided: If no rate has all its runs.
    """
    if scores.isna().any(axis=1).all():
        raise Undecided("at every learning rate a tuning run diverged or failed")
    values = scores.where(scores.notna().all(axis=1), -1e3).to_numpy()
    chosen, best = int(_choose(values)), int(values.mean(axis=1).argmax())
    return {
        "learning_rate": scores.index[chosen],
        "tried": len(scores),
        "at_edge": best in (0, len(scores) - 1),
        "same_again": _share_of_choices(values, chosen),
    }


def _choose(values):
    """Return the place of the chosen rate in `(..., rates, seeds)` scores."""
    best = values.mean(axis=-1).argmax(axis=-1)
    behind = np.take_along_axis(values, best[..., None, None], axis=-2) - values
    seeds = values.shape[-1]
    error = behind.std(axis=-1, ddof=1) / np.sqrt(seeds) if seeds > 1 else 0.0
    return np.where(behind.mean(axis=-1) <= error, values.min(axis=-1), -np.inf).argmax(axis=-1)


def _share_of_choices(values, chosen, draws=1000):
    """Draw the scores again, each rate with its own mean and spread around what a seed does to all rates."""
    if values.shape[1] < 2:
        return np.nan
    means = values.mean(axis=1, keepdims=True)
    rest = values - means - np.median(values - means, axis=0)
    spread = np.sqrt((rest**2).sum(axis=1, keepdims=True) / (values.shape[1] - 1))
    again = means + spread * np.random.default_rng(0).standard_normal((draws, *values.shape))
    return float((_choose(again) == chosen).mean())


def plan_seeds(deviation, margin, error=ERROR, most=MOST_SEEDS):
    """Return the smallest number of seeds whose expected half-width is at most the margin, between 5 and `most`.

    Args:
        deviation: Float, the standard deviation of the paired difference; NaN plans the most.
        margin: Float, in the same units.
        error: Float, what the interval may miss.
        most: Integer, the largest number.
    """
    counts = np.arange(LEAST_SEEDS, most + 1)
    enough = stats.t.ppf(1 - error / 2, counts - 1) * deviation / np.sqrt(counts) <= margin
    return int(counts[enough.argmax()] if enough.any() else most)


def find_collapsed(rows):
    """Return a Boolean Series: runs that diverged, or end nearer to chance than to the best run of their arm.

    Args:
        rows: DataFrame of fresh runs with `arm`, `status`, `val_accuracy` and `majority_share`, which is chance.
    """
    best = rows.groupby("arm")["val_accuracy"].transform("max")
    near = (rows["val_accuracy"] - rows["majority_share"]).abs() < (best - rows["val_accuracy"])
    return near | (rows["status"] == "diverged")


def share_interval(count, n, error=ERROR):
    """Return the Clopper–Pearson interval `(low, high)` of a share, `count` of `n`."""
    interval = stats.binomtest(int(count), int(n)).proportion_ci(1 - error, method="exact")
    return interval.low, interval.high


def decide(claim, rows, history, *, looks=1):
    """Return the verdict on a claim from fresh runs.

    Args:
        claim: A `Claim`.
        rows: DataFrame of the fresh runs of all arms, with `arm` and `seed`; the same seeds for each arm.
        history: DataFrame of their epochs.
        looks: Integer, how often the seeds are looked at: each look decides at its share of the error.
    Returns:
        Dict with the columns of `claims.csv` but `q` and `experiment`; effect and interval in the metric's units, or as
        a ratio.
    Raises:
        ValueError: If two arms are the same runs, or have identical histories: then they do not differ at all.
    """
    row = {name: getattr(claim, name) for name in ("id", "ledger", "text", "source", "margin", "unit")}
    row |= {"n": 0, "verdict": "INCONCLUSIVE", "reading": "", "looks": looks}
    try:
        arms = _arms(claim, rows, history)
        collapsed = pd.DataFrame({name: arm["collapsed"] for name, arm in arms.items()})
        row["collapsed"] = f"{collapsed.to_numpy().sum()} of {collapsed.size}"
        if claim.metric == "collapsed":
            return row | _decide_collapse(claim, arms, looks)
        lost = collapsed.any(axis=1)
        if lost.mean() > MOST_LOST:
            raise Undecided(f"{lost.sum()} of {len(lost)} pairs are lost to collapse")
        arms = {name: arm[~lost] for name, arm in arms.items()}
        effects, censored = _effects(claim, arms, history)
        return row | _decide_effects(claim, effects, censored, _step(claim, rows), looks)
    except Undecided as why:
        return row | {"reason": str(why)}


def adjust(table):
    """Return the verdicts of the book with `q`, the Benjamini–Hochberg value over all claims that seeds decide.

    A verdict with q above 0.05 is INCONCLUSIVE and says so.
    """
    table = table.reindex(columns=COLUMNS).astype({"q": float})
    tested = table["p"].notna()
    if tested.any():
        table.loc[tested, "q"] = stats.false_discovery_control(table.loc[tested, "p"].astype(float))
    weak = table["verdict"].isin(DECIDED) & (table["q"] > ERROR)
    why = f"; but q is above {ERROR} over the {tested.sum()} claims that are tested"
    table.loc[weak, "reason"] += why
    table.loc[weak, ["verdict", "reading"]] = ["INCONCLUSIVE", ""]
    return table


def as_table(rows):
    """Return verdicts, as `decide` gives them, as the frame of `claims.csv`, sorted and adjusted.

    Raises:
        ValueError: If an id occurs twice.
    """
    table = pd.DataFrame(rows, columns=COLUMNS)
    if len(twice := table[table["id"].duplicated()]):
        raise ValueError(f"Expected a claim's id only once. Received: {', '.join(twice['id'])} twice. Rename one.")
    return adjust(table.sort_values(["ledger", "id"], ignore_index=True))


def flip_signs(effects, margin):
    """Return the exact probability, if signs around the margin were coin flips, of a mean as far on its side of it."""
    sums = np.zeros(1)
    centred = np.asarray(effects, dtype=float) - margin
    for value in centred:
        sums = np.concatenate([sums + value, sums - value])
    total = centred.sum()
    return float((sums * np.sign(total) >= abs(total) * (1 - 1e-12)).mean())


def _arms(claim, rows, history):
    """Return the fresh rows of every arm by seed, `collapsed` marked, having checked that they pair."""
    if not len(rows):
        raise Undecided("being measured again: its runs are not all there")
    rows = rows.assign(collapsed=find_collapsed(rows))
    arms = {name: rows[rows["arm"] == name].set_index("seed").sort_index() for name in claim.arms}
    seeds = list(arms[claim.better].index)
    for name, arm in arms.items():
        if list(arm.index) != seeds:
            raise Undecided(f"the seeds are not paired: {seeds} of {claim.better}, {list(arm.index)} of {name}")
        if failed := (arm["status"] == "failed").sum():
            raise Undecided(f"{failed} of {len(arm)} runs of {name} failed")
    if len(seeds) < 2:
        raise Undecided(f"{len(seeds)} fresh seed(s): an interval needs at least two")
    if claim.better != claim.worse:
        _check_differ(claim, arms, history)
    return arms


def _check_differ(claim, arms, history):
    better, worse = arms[claim.better], arms[claim.worse]
    if list(better["run_id"]) == list(worse["run_id"]):
        raise Undecided("both arms came to the same runs")
    lines = history.drop(columns=["run_id", "seconds"])
    for seed in better.index:
        ids = [arm.at[seed, "run_id"] for arm in (better, worse)]
        one, other = (lines[history["run_id"] == run_id].reset_index(drop=True) for run_id in ids)
        # Runs that diverge at once may well look alike: only what trained can show that a field does nothing.
        if len(one) and one.equals(other) and better.at[seed, "status"] == "completed":
            raise ValueError(
                f"Expected two arms that differ for the claim {claim.id}. Received: runs {ids[0]} and {ids[1]} "
                f"(seed {seed}) with one history. The field that should set them apart does nothing."
            )


def _effects(claim, arms, history):
    """Return by seed how far better is better, and how many values of better and of worse are censored."""
    metrics = (claim.metric, claim.metric) if isinstance(claim.metric, str) else claim.metric
    effects, censored = 0.0, np.zeros(2, dtype=int)
    for sign, pair in ((1, (claim.better, claim.worse)), (-1, claim.beside)):
        if pair:
            read = [_values(claim, arms[name], metric, history) for name, metric in zip(pair, metrics, strict=True)]
            (better, first), (worse, second) = read
            censored += (first, second)
            if claim.ratio and min(better.min(), worse.min()) <= 0:
                raise Undecided(f"a ratio needs {claim.unit} above 0, and {min(better.min(), worse.min()):g} is not")
            effects += sign * (np.log(better / worse) if claim.ratio else better - worse)
    return (-effects if claim.lower_is_better or claim.target else effects), censored


def _values(claim, arm, metric, history):
    """Return the metric by seed, and how many of the values are censored."""
    if claim.target is None:
        if arm[metric].isna().any():
            raise Undecided(f"{metric} is missing of {arm[metric].isna().sum()} runs")
        return arm[metric], 0
    column, level = claim.target
    unit = {"epochs": "epoch", "seconds": "seconds"}[metric]
    lines = history[history["run_id"].isin(arm["run_id"])]
    reached = lines[lines[column] <= level if column.endswith("loss") else lines[column] >= level]
    first = arm["run_id"].map(reached.groupby("run_id")[unit].min())
    end = arm["run_id"].map(lines.groupby("run_id")[unit].max())
    return first.fillna(end), int(first.isna().sum())


def _step(claim, rows):
    """Return the deviation that counting whole images alone gives a difference of accuracies; 0 for other metrics."""
    images = rows["test_images"].min() if "test_images" in rows and claim.unit == "test_accuracy" else np.inf
    return 1 / images / np.sqrt(6)


def _decide_effects(claim, effects, censored, step, looks):
    n, mean = len(effects), effects.mean()
    deviation = max(effects.std(), step)  # equal differences are no proof that all others would be
    error, margin = deviation / np.sqrt(n), np.log(claim.margin) if claim.ratio else claim.margin
    half = stats.t.ppf(1 - ERROR / looks / 2, n - 1) * error
    low, high, scale = mean - half, mean + half, np.exp if claim.ratio else float
    distance = abs(mean - margin)
    with np.errstate(divide="ignore"):
        p = min(1.0, looks * 2 * stats.t.sf(np.divide(distance, error), n - 1)) if distance else 1.0
    verdict = dict(zip(("verdict", "reading", "reason"), _verdict(low, high, margin, *censored), strict=True))
    verdict |= {"effect": scale(mean), "low": scale(low), "high": scale(high), "n": n, "p": p}
    verdict["flips"] = flip_signs(effects, margin)
    if verdict["verdict"] == "INCONCLUSIVE" and not censored.any():
        counts = np.arange(2, MOST_NEEDED + 1)
        enough = stats.t.ppf(1 - ERROR / looks / 2, counts - 1) * deviation / np.sqrt(counts) < distance
        verdict["needed"] = int(counts[enough.argmax()]) if enough.any() else np.nan
    return verdict


def _verdict(low, high, margin, better_censored=0, worse_censored=0):
    """A run that never got there took longer than its end: with such runs an effect is known on one side only."""
    if better_censored and worse_censored:
        return "INCONCLUSIVE", "", f"runs of both never reached the target ({better_censored} and {worse_censored})"
    if low > margin and not better_censored:
        return "SUPPORTED", "", "the interval lies above the margin"
    if high < margin and not worse_censored:
        if high < -margin or (margin == 0 and high < 0):
            return "REFUTED", "opposite", "the interval lies below minus the margin"
        if low > -margin and not better_censored:
            return "REFUTED", "no difference", "the interval lies inside the margin"
        return "REFUTED", "no better", "the interval lies below the margin"
    censored = better_censored or worse_censored
    return (
        "INCONCLUSIVE",
        "",
        "runs are censored on the side that decides" if censored else "the interval holds the margin",
    )


def _decide_collapse(claim, arms, looks):
    """Decide how many more runs of worse collapse, by the interval of a difference of shares.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    (better, n), (worse, _) = ((int(arms[name]["collapsed"].sum()), len(arms[name])) for name in claim.arms)

    def interval(error):
        of_better, of_worse = (
            stats.binomtest(count, n).proportion_ci(1 - error, method="wilson") for count in (better, worse)
        )
        down = np.hypot(worse / n - of_worse.low, of_better.high - better / n)
        up = np.hypot(of_worse.high - worse / n, better / n - of_better.low)
        return (worse - better) / n - down, (worse - better) / n + up

    low, high = interval(ERROR / looks)
    effect, side = (worse - better) / n, 0 if (worse - better) / n > claim.margin else 1

    def beyond(error):
        return (interval(error)[side] - claim.margin) * (1 if side == 0 else -1)

    tiny, whole = 1e-9, 1 - 1e-9
    decided = beyond(whole) > 0
    p = optimize.brentq(beyond, tiny, whole) if decided and beyond(tiny) < 0 else tiny if decided else 1.0
    verdict = dict(zip(("verdict", "reading", "reason"), _verdict(low, high, claim.margin), strict=True))
    return verdict | {"effect": effect, "low": low, "high": high, "n": n, "p": min(1.0, looks * p)}
