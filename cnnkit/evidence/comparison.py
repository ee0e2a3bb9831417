"""A comparison is a declaration: which runs, which rates, which seeds and which verdicts all follow from it."""

import dataclasses
import functools

import numpy as np

from cnnkit.evidence import claims
from cnnkit.evidence.claims import Claim, Undecided
from cnnkit.lab.config import RunConfig
from cnnkit.lab.store import student_interval

LEVELS = ["num_params", "learning_rate", "epochs", "mean", "low", "high", "n", "collapsed"]  # a table's last columns
BLOCK = 50  # fresh seeds: the first block is 101 to 150
LONG_RUN, MOST_LONG = 180, 10  # seconds from which a run is long, and how many seeds such runs have at most


def doubled(lowest, count=6):
    """Return `count` learning rates, each twice the last, for a `Comparison`."""
    return tuple(lowest * 2**k for k in range(count))


@dataclasses.dataclass(frozen=True)
class Times:
    """A learning rate that follows another arm's: the one chosen for `arm`, times `factor`."""

    arm: str
    factor: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Arms that differ in what is compared, each at a learning rate of its own, on the same fresh seeds.

    A ValueError says where a declaration contradicts itself. With two looks, open claims get as many seeds as would
    decide them, up to 20, and both looks decide at half the error. Tuning runs are shorter by `tuned_with` where whole
    ones are too dear.
    """

    base: RunConfig  # what all arms share
    by: str  # what an arm's name says, in this order, e.g. "network, pixels"
    arms: dict  # of name to the `RunConfig` fields that it changes; a `learning_rate` there, or `Times`, is not tuned
    rates: tuple | dict = ()  # that the other arms try, five or more, a factor of 2 apart; or a dict of them by arm
    claims: tuple[Claim, ...] = ()  # that the arms decide
    where: str = ""  # what every claim's text ends with, e.g. "(LeNet-5, 10,000 MNIST images)"
    margin: float | None = None  # of the claims that have none
    ledger: int | None = None  # of the claims that have none
    control: str | None = None  # the arm whose budget is checked, at twice the epochs; None for the first
    tuning_seeds: tuple = (1, 2, 3)  # three or more, that choose the rates
    tuned_with: dict = dataclasses.field(default_factory=dict)  # `RunConfig` fields
    score: str | tuple = "val_score"  # whose highest values choose the rates; or a claim's target: the soonest there
    block: int = 1  # of fresh seeds: 1 for 101 to 150, ...; after a redesign that has seen its own, the next
    looks: int = 1  # 1 or 2
    seeds: int | None = None  # fresh ones; None plans them from the tuning runs
    longer_seeds: int = 3  # of the budget check; 0 for a smoke run, or where the budget is the question
    level: float | None = None  # test accuracy of a plain good recipe on the same data, which the control should reach

    def __post_init__(self):
        object.__setattr__(self, "control", self.control or next(iter(self.arms), None))
        object.__setattr__(self, "claims", tuple(map(self._completed, self.claims)))
        _check(self)

    def _completed(self, claim):
        text = claim.text if claim.text.endswith(f"{self.where}.") else f"{claim.text} {self.where}."
        margin = self.margin if claim.margin is None else claim.margin
        return dataclasses.replace(claim, text=text, margin=margin, ledger=claim.ledger or self.ledger)

    @functools.cached_property
    def names(self):
        """The columns that an arm's name fills: `("network", "pixels")`."""
        return tuple(name.strip() for name in self.by.split(","))

    @functools.cached_property
    def followers(self):
        """Dict of the arms whose rate follows another's to `Times`."""
        own = {arm: fields.get("learning_rate") for arm, fields in self.arms.items()}
        return {arm: rate for arm, rate in own.items() if isinstance(rate, Times)}

    @functools.cached_property
    def configs(self):
        """Dict of arm to its `RunConfig`, but for learning rate and seed where these are chosen."""
        open_ = {arm: {"learning_rate": self.base.learning_rate} for arm in self.followers}
        return {arm: self.base.replace(**fields | open_.get(arm, {})) for arm, fields in self.arms.items()}

    def rates_of(self, arm):
        """Return the learning rates that an arm tries, rising; empty where it has its own."""
        if "learning_rate" in self.arms[arm]:
            return ()
        return tuple(sorted(self.rates.get(arm, ()) if isinstance(self.rates, dict) else self.rates))

    def small(self, rates=1, seeds=1, arms=None, **changes):
        """Return this comparison in smoke: one tuning seed, one look, few fresh `seeds`, no longer runs.

        `rates` says how many of each arm's grid are tried, those in its middle. Of some `arms` alone the first is the
        control. The `changes` are to fields of the base, e.g. `dataset="digits", epochs=2`; an arm's own fields win.
        """
        grids = {arm: self.rates_of(arm) for arm in arms or self.arms}
        less = {"rates": {arm: grid[max(0, (len(grid) - rates) // 2) :][:rates] for arm, grid in grids.items()}}
        if arms:
            less |= {"arms": {arm: self.arms[arm] for arm in arms}, "control": arms[0]}
            less["claims"] = tuple(claim for claim in self.claims if {*claim.arms} <= {*arms})
        less |= {"tuning_seeds": (1,), "seeds": seeds, "longer_seeds": 0, "looks": 1, "tuned_with": {}, "level": None}
        return dataclasses.replace(self, base=self.base.replace(**changes), **less)

    def plan(self, rows, history):
        """Return the `Plan` that follows from the rows and epochs there are, those of others among them."""
        return Plan(self, rows, history)


class Plan:
    """What a comparison asks for, as far as the rows there are decide it: the tuning runs first, then the fresh ones.

    Attributes:
        configs: Dict of `run_id` to `RunConfig`, in the order of training; `missing`: a list of those without a row.
        rows: DataFrame of the rows that are there, a line for each arm that a run serves, with `arm`, `role` (tuning,
            fresh, longer), the columns that an arm's name fills, and `collapsed`.
        choices: Dict of arm to what `claims.choose_rate` returned; `undecided`: to why it could not.
        scores: Dict of arm to the validation scores of its tuning runs: a line a rate, a column a seed.
        seeds: List of the fresh seeds, in order; `first` of them belong to the first look.
    """

    def __init__(self, comparison, rows, history):
        self.comparison, self.history = comparison, history
        self.choices, self.undecided, self.seeds, self.first = {}, {}, [], 0
        start = 101 + BLOCK * (comparison.block - 1)
        self.block = range(start, start + BLOCK)
        stored, asked = rows.drop_duplicates("run_id").set_index("run_id", drop=False), []
        for stage in (self._tune, self._confirm, self._look_again, self._run_longer):
            asked += stage()
            self.configs = {config.run_id: config for config, *_ in asked}
            self.missing = [config for run_id, config in self.configs.items() if run_id not in stored.index]
            self.rows = self._labelled(stored, [one for one in asked if one[0].run_id in stored.index])
            if self.missing:
                break

    def _labelled(self, stored, asked):
        rows = stored.loc[[config.run_id for config, *_ in asked]].reset_index(drop=True)
        rows = rows.assign(arm=[arm for _, arm, _ in asked], role=[role for *_, role in asked], collapsed=False)
        for place, name in enumerate(self.comparison.names):
            rows[name] = [arm.split(", ")[place] for arm in rows["arm"]]
        if (fresh := rows["role"] == "fresh").any():
            rows.loc[fresh, "collapsed"] = claims.find_collapsed(rows[fresh])
        return rows

    def of_role(self, role):
        """Return its rows of one role: `"tuning"`, `"fresh"` or `"longer"`."""
        return self.rows[self.rows["role"] == role]

    def verdicts(self):
        """Return the verdicts on the comparison's claims, a list of dicts as `claims.decide` gives them."""
        fresh = self.of_role("fresh").iloc[: 0 if self.missing else None]
        return [self._verdict(claim, fresh) for claim in self.comparison.claims]

    def budget(self):
        """Return what twice the `epochs` change of the control's test accuracy; None before these runs are there.

        A dict: `epochs` of the comparison, `change` with `low` and `high`, and `n`.
        """
        if self.of_role("longer").empty or self.missing:
            return None
        longer, fresh = (self.of_role(role).set_index("seed") for role in ("longer", "fresh"))
        control = fresh[fresh["arm"] == self.comparison.control]["test_accuracy"]
        change, low, high = student_interval(longer["test_accuracy"] - control)
        epochs = self.comparison.configs[self.comparison.control].epochs
        return {"epochs": epochs, "change": change, "low": low, "high": high, "n": len(longer)}

    def _tune(self):
        return [
            (config.replace(learning_rate=rate, seed=seed, **self.comparison.tuned_with), arm, "tuning")
            for seed in self.comparison.tuning_seeds  # a seed of every rate before the next: the curves show early
            for arm, config in self.comparison.configs.items()
            if arm not in self.comparison.followers
            for rate in self.comparison.rates_of(arm) or (config.learning_rate,)
        ]

    def _confirm(self):
        self._choose()
        self.first = self.comparison.seeds or self._planned()
        self.seeds = [*self.block[: self.first]]
        return self._chosen("fresh", self.seeds, self.comparison.configs)

    def _look_again(self):
        if self.comparison.looks == 2:
            verdicts = [self._verdict(claim, self.of_role("fresh")) for claim in self.comparison.claims]
            needed = [verdict["needed"] for verdict in verdicts if verdict.get("needed", 0) > self.first]
            count = min(max(needed, default=self.first), max(self._most(), self.first))
            self.seeds = [*self.block[:count]]
        return self._chosen("fresh", self.seeds[self.first :], self.comparison.configs)

    def _run_longer(self):
        control, seeds = self.comparison.control, self.seeds[: self.comparison.longer_seeds]
        config = self.comparison.configs[control]
        return self._chosen("longer", seeds, {control: config.replace(epochs=2 * config.epochs)})

    def _chosen(self, role, seeds, configs):
        """Return the runs of arms (a dict to `RunConfig`) at the rates that were chosen, where one was."""
        rates = {arm: rate for arm in configs if (rate := self._rate(arm)) is not None}
        return [
            (configs[arm].replace(learning_rate=rate, seed=seed), arm, role)
            for seed in seeds
            for arm, rate in rates.items()
        ]

    def _choose(self):
        tuning = self.of_role("tuning")
        score = self.comparison.score
        scored = tuning[score] if isinstance(score, str) else -claims.times_to(score, tuning, self.history)
        scored = scored.where(tuning["status"] == "completed")
        scores = tuning.assign(score=scored).set_index(["arm", "learning_rate", "seed"])["score"].unstack().sort_index()
        self.scores = {arm: scores.loc[arm] for arm in scores.index.unique("arm")}
        for arm in filter(self.comparison.rates_of, self.comparison.arms):
            try:
                self.choices[arm] = choice = claims.choose_rate(self.scores[arm])
            except Undecided as why:
                self.undecided[arm] = str(why)
                continue
            if (tried := choice["tried"]) < (least := claims.LEAST_RATES):
                self.undecided[arm] = f"{tried} learning rates tried for {arm}: the protocol asks for {least}"
            elif choice["at_edge"]:
                self.undecided[arm] = f"the best learning rate of {arm} is at the edge of its grid"

    def _rate(self, arm):
        """Return an arm's learning rate, or None where none could be chosen."""
        if arm in self.comparison.followers:
            times = self.comparison.followers[arm]
            leader = self._rate(times.arm)
            return leader and times.factor * leader
        own = self.comparison.arms[arm].get("learning_rate")
        return self.choices.get(arm, {}).get("learning_rate", own)

    def _planned(self):
        """Return how many seeds the claim that needs most of them asks for, from the deviations of the tuning runs."""
        error, counts = claims.ERROR / self.comparison.looks, []
        for claim in self.comparison.claims:
            margin = np.log(claim.margin) if claim.ratio else abs(claim.margin)
            if claim.unit.endswith("accuracy") and margin > 0:
                counts.append(claims.plan_seeds(self._deviation(claim), margin, error, most=self._most()))
        return max(counts, default=claims.LEAST_SEEDS)

    def _deviation(self, claim):
        """Return the standard deviation over tuning seeds of the claim's difference, in validation accuracy."""
        if any(arm in self.comparison.followers or self._rate(arm) is None for arm in claim.arms):
            return np.nan
        scores = [self.scores[arm].loc[self._rate(arm)] for arm in (claim.better, claim.worse, *claim.beside)]
        return sum(sign * values for sign, values in zip((1, -1, -1, 1), scores, strict=False)).std()

    def _most(self):
        share = self.comparison.base.epochs / self.comparison.tuned_with.get("epochs", self.comparison.base.epochs)
        long = self.of_role("tuning")["train_seconds"].median() * share > LONG_RUN
        return MOST_LONG if long else claims.MOST_SEEDS

    def _verdict(self, claim, fresh):
        looks = self.comparison.looks
        first = fresh[fresh["seed"].isin(self.seeds[: self.first])] if len(self.seeds) > self.first else fresh
        verdict = claims.decide(claim, first, self.history, looks=looks)
        if verdict["verdict"] == "INCONCLUSIVE" and len(fresh) > len(first):
            verdict = claims.decide(claim, fresh, self.history, looks=looks)
        if why := next((self.undecided[arm] for arm in claim.arms if arm in self.undecided), None):
            verdict |= {"verdict": "INCONCLUSIVE", "reading": "", "p": np.nan, "reason": why}
        text, budget = claim.text, self.budget()
        alike = {self.comparison.configs[arm].epochs for arm in claim.arms} == {budget and budget["epochs"]}
        if alike and claim.unit == "test_accuracy" and abs(budget["change"]) > abs(claim.margin):
            text = f"{text.removesuffix('.')}, after {budget['epochs']} epochs."
        return verdict | {"text": text, "conditions": self._conditions(claim)}

    def _conditions(self, claim):
        """Say under which conditions a claim was tested: data, images, networks, epochs and learning rates."""
        configs = [self.comparison.configs[arm] for arm in claim.arms]
        images = {f"{c.train_size:,} images of {c.dataset}" if c.train_size else f"all of {c.dataset}" for c in configs}
        models, epochs = {config.model for config in configs}, {str(config.epochs) for config in configs}
        known = [" and ".join(sorted(each)) for each in (images, models, epochs)]
        rates = [f"{rate:.3g} ({arm})" for arm in claim.arms if (rate := self._rate(arm)) is not None]
        return "{}; {}; {} epochs; learning rates {}".format(*known, ", ".join(rates) or "open")


def _check(comparison):
    arms, rates, known = comparison.arms, comparison.rates, "; ".join(comparison.arms)
    grids = rates if isinstance(rates, dict) else dict.fromkeys(arms, rates)
    twice = [name for name in comparison.names if name in LEVELS]
    _expect(not twice, "names of arms that are no column of the table", ", ".join(twice))
    _expect(len(arms) >= 2, "at least two arms to compare", known or "none")
    for arm, fields in arms.items():
        _expect(len(arm.split(", ")) == len(comparison.names), f"arms named by {comparison.by!r}", repr(arm))
        _expect(fields.get("learning_rate") or grids.get(arm), f"learning rates for {arm!r}, or one of its own", "none")
    for arm, grid in grids.items():
        _expect(arm in arms, f"learning rates of {known}", arm)
        _expect(len(set(grid)) == len(grid), "learning rates that differ", grid)
    for arm, times in comparison.followers.items():
        leads = times.arm in arms and times.arm not in comparison.followers
        _expect(leads, f"{arm!r} to follow an arm with a rate of its own", repr(times.arm))
    seen = {}
    for arm, config in comparison.configs.items():
        twin = seen.setdefault((config.run_id, comparison.rates_of(arm), arms[arm].get("learning_rate")), arm)
        _expect(twin == arm, "arms that differ", f"{twin!r} and {arm!r}, the same runs")
    for claim in comparison.claims:
        unknown = [arm for arm in claim.arms if arm not in arms]
        _expect(not unknown, f"the arms of claim {claim.id} out of {known}", "; ".join(unknown))
        _expect(claim.margin is not None, f"a margin for claim {claim.id}, or for all of the comparison", "none")
        differ = claim.better != claim.worse or not isinstance(claim.metric, str)
        _expect(differ, f"two arms, or two metrics, for claim {claim.id}", f"{claim.better!r} twice")
    _expect(comparison.control in arms, f"control out of {known}", repr(comparison.control))
    block, looks, seeds, most = comparison.block, comparison.looks, comparison.seeds, claims.MOST_SEEDS
    _expect(block >= 1, "block 1 or more", f"{block=}")
    _expect(looks in (1, 2), "looks 1 or 2", f"{looks=}")
    planned = f"seeds at most {most}, or None to plan them (a claim that needs more stays INCONCLUSIVE)"
    _expect(seeds is None or 1 <= seeds <= most, planned, f"{seeds=}")
    tuning_seeds = comparison.tuning_seeds
    _expect(all(0 < seed <= 100 for seed in tuning_seeds), "tuning_seeds from 1 to 100", f"{tuning_seeds=}")


def _expect(fine, expected, received):
    if not fine:
        raise ValueError(f"Expected {expected}. Received: {received}.")
