"""The protocol's statistics: rates chosen, seeds planned, claims decided, from rows alone. Imports no Keras.

Every arm first gets a learning rate of its own on validation data, away from the cliff; then all arms run on the same
fresh seeds, and the paired difference over these has an interval. SUPPORTED: it lies above the margin. REFUTED: its
high end lies below the margin, read as opposite, no difference or no better. Else INCONCLUSIVE.
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy import optimize, stats

ERROR = 0.05  # what the intervals of all looks together may miss
LEAST_RATES, LEAST_SEEDS, MOST_SEEDS, MOST_NEEDED = 5, 5, 20, 1000
CHANCE = 0.01  # as near to the share of the commonest class is at chance: an arm may have no better run to tell
GAP = ("test_accuracy", "train_accuracy")
MOST_LOST = 0.1  # of the pairs may be lost to collapse
COLUMNS = ["id", "ledger", "text", "source", "experiment", "effect", "low", "high", "n", "unit", "margin", "verdict"]
COLUMNS += ["reading", "p", "q", "flips", "looks", "collapsed", "needed", "conditions", "reason"]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence that the arms of a comparison decide.

    A `metric` is a column of `runs.csv`, or one of better and one of worse; `"epochs"`, `"steps"` or `"seconds"` to a
    target; or `"collapsed"`, where collapse is the claim.
    """

    id: str  # unique in the book, e.g. "momentum-accuracy"
    text: str
    better: str  # the arm that is said to be better
    worse: str
    source: str = "popular articles"  # who says it; the default is for what one of the ledger's articles says
    # In the metric's units, below which a difference does not matter; for a ratio, 1 or more; below 0 it is how much
    # worse better may be: it is said to be no worse than that. None for that of the comparison.
    margin: float | None = None
    metric: str | tuple = "test_accuracy"
    target: tuple | None = None  # `(history column, level)`; a run that never reaches it is censored at its end
    lower_is_better: bool = False  # for losses; times to a target always are
    ratio: bool = False  # compares how many times better is better, on a log scale, instead of a difference
    beside: tuple = ()  # `(better, worse)`, for an interaction: what better buys beyond what it buys there
    ledger: int | None = None  # its number in the ledger of textbook claims

    @classmethod
    def of_gap(cls, id, text, narrow, wide, *source, **how):
        """Return the claim that the arm `wide` falls further from training to test accuracy than `narrow` does."""
        return cls(id, text, narrow, narrow, *source, metric=GAP, beside=(wide, wide), **how)

    @property
    def arms(self):
        """Names of all arms it reads."""
        return tuple(dict.fromkeys((self.better, self.worse, *self.beside)))

    @property
    def unit(self):
        """What its effect counts: `"ratio"`, or the metric's name."""
        return "ratio" if self.ratio else self.metric if isinstance(self.metric, str) else self.metric[0]


class Undecided(Exception):
    """Why the protocol cannot decide a claim."""


def choose_rate(scores):
    """Choose a learning rate away from the cliff; Undecided if no rate has all its runs.

    Among the rates whose mean is within one standard error (of the paired differences) of the best mean, the one with
    the best worst seed; of equal ones the lowest. A rate whose run diverged or failed is never chosen.

    Args:
        scores: DataFrame, a line a rate in rising order, a column a tuning seed; NaN where a run diverged,
            failed or never got there.
    Returns:
        Dict: `learning_rate`, `tried` (how many), `at_edge` (Boolean: the best mean is at the edge of the grid) and
        `same_again`, the probability that the same rate would be chosen on other seeds (parametric bootstrap).
    """
    sound = scores.notna().all(axis=1)
    if not sound.any():
        raise Undecided("at every learning rate a tuning run diverged, failed or never reached the target")
    values = scores.where(sound, -1e3).to_numpy()
    chosen, tried, at_edge = _choose(values), len(scores), values.mean(axis=1).argmax() in (0, len(scores) - 1)
    again = _share_of_choices(values, chosen)
    return {"learning_rate": scores.index[chosen], "tried": tried, "at_edge": at_edge, "same_again": again}


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


def plan_seeds(deviation, margin, error=ERROR, least=LEAST_SEEDS, most=MOST_SEEDS):
    """Return how many seeds, from `least` to `most`, make the interval's expected half-width at most the margin.

    `deviation` and `margin` are of the paired difference, in the same units; a deviation of NaN plans the most.
    `error` is what the interval may miss.
    """
    counts = np.arange(least, most + 1)
    enough = stats.t.ppf(1 - error / 2, counts - 1) * deviation / np.sqrt(counts) <= margin
    return int(counts[enough.argmax()] if enough.any() else most)


def find_collapsed(rows):
    """Return a Boolean Series: fresh runs that diverged, or end at chance, or nearer to it than to their arm's best.

    They end where validation says, or training, where labels follow no rule (`relabelled:`) and nothing can validate.
    """
    end = rows["val_accuracy"]
    if "dataset" in rows:
        end = end.mask(rows["dataset"].astype(str).str.contains("relabelled:"), rows.get("train_accuracy", end))
    best = end.groupby(rows["arm"]).transform("max")
    beyond = end - rows["majority_share"]
    near = (beyond.abs() < (best - end)) | (beyond.abs() < CHANCE)
    return near | (rows["status"] == "diverged")


def decide(claim, rows, history, *, looks=1):
    """Return the verdict on a `Claim`: a dict with columns of `claims.csv`, effects in the metric's units, or a ratio.

    `rows` and `history` are of the fresh runs, the same seeds for each `arm`. Each of `looks` at the seeds decides at
    its share of the error. A ValueError tells of arms with identical histories, which do not differ at all.
    """
    row = {name: getattr(claim, name) for name in ("id", "ledger", "text", "source", "margin", "unit")}
    row |= {"n": 0, "verdict": "INCONCLUSIVE", "reading": "", "looks": looks}
    try:
        arms = _arms(claim, rows, history)
        collapsed = pd.DataFrame({name: arm["collapsed"] for name, arm in arms.items()})
        row["collapsed"] = f"{collapsed.to_numpy().sum()} of {collapsed.size}"
        if claim.metric == "collapsed":
            return row | _decide_collapse(claim, collapsed, ERROR / looks, looks)
        lost = collapsed.any(axis=1)
        if lost.mean() > MOST_LOST:
            raise Undecided(f"{lost.sum()} of {len(lost)} pairs are lost to collapse")
        effects, censored = _effects(claim, {name: arm[~lost] for name, arm in arms.items()}, history)
        return row | _decide_effects(claim, effects, censored, rows["test_images"].min(), looks)
    except Undecided as why:
        return row | {"reason": str(why)}


def decide_measured(claim, lines, conditions, images=1):
    """Return the verdict on figures that are no run's own, a line an `arm` and `seed`: none collapses, none has epochs.

    `images` are those that each was measured on, `conditions` what the verdict holds for.
    """
    known = {"status": "completed", "val_accuracy": 1.0, "majority_share": 0.0, "test_images": images}
    lines = lines.assign(run_id=range(len(lines)), **known)
    return decide(claim, lines, pd.DataFrame(columns=["run_id", "seconds"])) | {"conditions": conditions}


def as_table(rows):
    """Return verdicts, as `decide` gives them, as the sorted frame of `claims.csv`.

    `q` is the Benjamini–Hochberg value over all claims that seeds decide; above 0.05 a verdict is INCONCLUSIVE. A
    ValueError tells of an id that occurs twice.
    """
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"q": float, "reading": object, "reason": object})
    if len(twice := table[table["id"].duplicated()]):
        raise ValueError(f"Expected a claim's id only once. Received: {', '.join(twice['id'])} twice. Rename one.")
    table = table.sort_values(["ledger", "id"], ignore_index=True)
    tested = table["p"].notna()
    if tested.any():
        table.loc[tested, "q"] = stats.false_discovery_control(table.loc[tested, "p"].astype(float))
    weak = table["verdict"].isin(["SUPPORTED", "REFUTED"]) & (table["q"] > ERROR)
    table.loc[weak, "reason"] += f"; but q is above {ERROR} over the {tested.sum()} claims that are tested"
    table.loc[weak, ["verdict", "reading"]] = ["INCONCLUSIVE", ""]
    return table


def flip_signs(effects, margin):
    """Return the exact probability, if signs around the margin were coin flips, of a mean as far on its side of it.

    NaN for more effects than a comparison has: each doubles what there is to count.
    """
    if len(effects) > MOST_SEEDS:
        return np.nan
    sums, centred = np.zeros(1), np.asarray(effects, dtype=float) - margin
    for value in centred:
        sums = np.concatenate([sums + value, sums - value])
    total = centred.sum()
    return float((sums * np.sign(total) >= abs(total) * (1 - 1e-12)).mean())


def _arms(claim, rows, history):
    """Return the fresh rows of every arm by seed, `collapsed` marked, having checked that they pair and differ."""
    if not len(rows):
        raise Undecided("being measured: its runs are not all there")
    rows = rows.assign(collapsed=find_collapsed(rows))
    arms = {name: rows[rows["arm"] == name].set_index("seed").sort_index() for name in claim.arms}
    better, worse = arms[claim.better], arms[claim.worse]
    for name, arm in arms.items():
        if list(arm.index) != list(better.index):
            raise Undecided(f"the seeds are not paired: {[*better.index]} of {claim.better}, {[*arm.index]} of {name}")
        if failed := (arm["status"] == "failed").sum():
            raise Undecided(f"{failed} of {len(arm)} runs of {name} failed")
    if len(better) < 2:
        raise Undecided(f"{len(better)} fresh seed(s): an interval needs at least two")
    if claim.better == claim.worse:
        return arms
    if list(better["run_id"]) == list(worse["run_id"]):
        raise Undecided("both arms came to the same runs")
    lines = history.drop(columns=["run_id", "seconds"])
    # Runs that diverge at once may well look alike: only what trained can show that a field does nothing.
    for seed in better.index[better["status"] == "completed"]:
        ids = [better.at[seed, "run_id"], worse.at[seed, "run_id"]]
        one, other = (lines[history["run_id"] == run_id].reset_index(drop=True) for run_id in ids)
        if len(one) and one.equals(other):
            raise ValueError(
                f"Expected two arms that differ for the claim {claim.id}. Received: runs {ids[0]} and {ids[1]} "
                f"(seed {seed}) with one history. The field that should set them apart does nothing."
            )
    return arms


def _effects(claim, arms, history):
    """Return by seed how far better is better, and how many values of better and of worse are censored."""
    metrics = (claim.metric, claim.metric) if isinstance(claim.metric, str) else claim.metric
    effects, censored = 0.0, np.zeros(2, dtype=int)
    for sign, pair in ((1, (claim.better, claim.worse)), (-1, claim.beside)):
        if pair:
            read = [_values(claim, arms[name], metric, history) for name, metric in zip(pair, metrics, strict=True)]
            (better, first), (worse, second) = read
            censored += (first, second)
            if claim.ratio and (least := min(better.min(), worse.min())) <= 0:
                raise Undecided(f"a ratio needs {claim.unit} above 0, and {least:g} is not")
            effects += sign * (np.log(better / worse) if claim.ratio else better - worse)
    return (-effects if claim.lower_is_better or claim.target else effects), censored


def _values(claim, arm, metric, history):
    """Return the metric by seed, and how many of the values are censored."""
    if claim.target is None:
        if missing := arm[metric].isna().sum():
            raise Undecided(f"{metric} is missing of {missing} runs")
        return arm[metric], 0
    first = times_to(claim.target, arm, history, metric)
    end = times_to(None, arm, history, metric)
    return first.fillna(end), int(first.isna().sum())


def times_to(target, rows, history, unit="epochs"):
    """Return for each run of `rows` its first `"epochs"`, `"steps"` or `"seconds"` at a target, NaN if it never was.

    The target is that of a `Claim`; None stands for the end of a run.
    """
    if target is not None:
        column, level = target
        history = history[history[column] <= level if column.endswith("loss") else history[column] >= level]
    ends = history.groupby("run_id")["seconds" if unit == "seconds" else "epoch"]
    times = rows["run_id"].map(ends.min() if target is not None else ends.max())
    return times * (rows["train_size"] // rows["batch_size"]) if unit == "steps" else times


def _decide_effects(claim, effects, censored, images, looks):
    n, mean, scale = len(effects), effects.mean(), np.exp if claim.ratio else float
    counting = 1 / images / np.sqrt(6) if claim.unit == "test_accuracy" else 0.0  # in whole images
    deviation = max(effects.std(), counting)  # equal differences are no proof that all others would be
    error, margin = deviation / np.sqrt(n), np.log(claim.margin) if claim.ratio else claim.margin
    half = stats.t.ppf(1 - ERROR / looks / 2, n - 1) * error
    low, high, distance = mean - half, mean + half, abs(mean - margin)
    with np.errstate(divide="ignore"):
        p = min(1.0, looks * 2 * stats.t.sf(np.divide(distance, error), n - 1)) if distance else 1.0
    verdict = _verdict(low, high, margin, *censored)
    verdict |= {"effect": scale(mean), "low": scale(low), "high": scale(high), "n": n, "p": p}
    verdict["flips"] = flip_signs(effects, margin)
    if verdict["verdict"] == "INCONCLUSIVE" and distance and not censored.any():
        needed = plan_seeds(deviation, distance, ERROR / looks, least=2, most=MOST_NEEDED + 1)
        verdict["needed"] = needed if needed <= MOST_NEEDED else np.nan
    return verdict


def _verdict(low, high, margin, better_censored=0, worse_censored=0):
    """A run that never got there took longer than its end: with such runs an effect is known on one side only."""
    one, both = better_censored or worse_censored, better_censored and worse_censored
    never = f"runs of both never reached the target ({better_censored} and {worse_censored})"
    supported, refuted = low > margin and not better_censored, high < margin and not worse_censored
    least = f"; at least that, for {worse_censored} runs of the worse never got there" if worse_censored else ""
    readings = (
        (both, "INCONCLUSIVE", "", never),
        (supported, "SUPPORTED", "", f"the interval lies above the margin{least}"),
        (refuted and high < -abs(margin), "REFUTED", "opposite", "the interval lies below minus the margin"),
        (refuted and low > -margin and not one, "REFUTED", "no difference", "the interval lies inside the margin"),
        (refuted, "REFUTED", "no better", "the interval lies below the margin"),
        (one, "INCONCLUSIVE", "", "runs are censored on the side that decides"),
        (True, "INCONCLUSIVE", "", "the interval holds the margin"),
    )
    words = next(words for holds, *words in readings if holds)
    return dict(zip(("verdict", "reading", "reason"), words, strict=True))


def _decide_collapse(claim, collapsed, error, looks):
    """Decide how many more runs of worse collapse, by the interval of a difference of shares.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    n, counts = len(collapsed), [int(collapsed[name].sum()) for name in (claim.better, claim.worse)]
    better, worse = (count / n for count in counts)
    effect = (counts[1] - counts[0]) / n

    def interval(error):
        shares = [stats.binomtest(count, n).proportion_ci(1 - error, method="wilson") for count in counts]
        down = np.hypot(worse - shares[1].low, shares[0].high - better)
        return effect - down, effect + np.hypot(shares[1].high - worse, better - shares[0].low)

    def beyond(error):
        low, high = interval(error)
        return low - claim.margin if effect > claim.margin else claim.margin - high

    low, high = interval(error)
    p, tiny, whole = 1.0, 1e-9, 1 - 1e-9
    if beyond(whole) > 0:  # p is the error at which the interval ends at the margin
        p = optimize.brentq(beyond, tiny, whole) if beyond(tiny) < 0 else tiny
    verdict = _verdict(low, high, claim.margin)
    return verdict | {"effect": effect, "low": low, "high": high, "n": n, "p": min(1.0, looks * p)}
