"""Search: keras-tuner proposes, Dask runs, the store remembers.

Only keras-tuner's oracles are used, and their own files never read back: a search that was stopped asks them the same
again, and the runs it had finished answer from the store.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import random
import shlex
import tempfile
import warnings

import pandas as pd
from keras_tuner import HyperParameters, Objective, oracles
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from cnnkit import CHECKOUT, data
from cnnkit.lab import sweeps, training
from cnnkit.lab.config import RunConfig

ALGORITHMS = ("random", "bayesian", "hyperband")
FIXED = ("dataset", "train_size", "epochs", "seed")  # what makes two scores comparable, and the budget's unit
BATCH = 4  # trials asked for before any is told; with the number of workers, the proposals would depend on the machine


@dataclasses.dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high` (low < high), equally likely; or by order of magnitude, with low > 0."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        numbers = {type(self.low), type(self.high)} <= {int, float}
        _expect(numbers and -math.inf < self.low < self.high < math.inf, "numbers low < high", self)
        _expect(not self.log or self.low > 0, "low > 0 on a logarithmic scale", self)

    def rounded(self, value):
        """Return a value of the range with three digits: more would differ between machines, and make other runs."""
        return min(max(float(f"{value:.3g}"), self.low), self.high)


def run_search(space, algorithm, budget, *, experiment, base, seed, seeds=(), **how):
    """Search a space for the best `val_score` within a budget of epochs; asked again, it goes on where it was stopped.

    Every trial trains from scratch, in Hyperband too. What is impossible is a ValueError before any training.

    Args:
        space: Dict of `RunConfig` field, or entry of one (`"model_args.dropout_rate"`), to `Range` or list of choices.
        algorithm: One of `ALGORITHMS`. Bayesian: a Gaussian process, after two random trials a hyperparameter.
            Hyperband: factor 3, up to `base.epochs`.
        budget: Epochs of all runs together, as asked for: also of those that the store has or that end early.
        base, seeds: `RunConfig` with all that is not in the space, and training seeds (none: its own): a trial is a run
            of each, its score their mean.
        seed: Integer, at least 1, of the proposals: each algorithm has its own stream of them.
        experiment, **how: As of `sweeps.run_all` (`workers, scheduler, client, refresh`): none changes the proposals.
    Returns:
        DataFrame: one line a trial: `algorithm, search_seed, trial` (from 1), the hyperparameters, `run_id, epochs` (of
        its first run), `score` (none if a run diverged or failed; the oracle is told the worst one seen), `spent` and
        `best` (so far), `repeated` (proposed before, answered from the store), `status`.
    """
    _check_arguments(algorithm, budget, base, seed, seeds)
    _check_space(space, base)
    seeds, trials, spent = seeds or (base.seed,), [], 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, user_api="blas"))  # keras-tuner's matrices are small
        stack.enter_context(warnings.catch_warnings())  # that no reader can act on:
        warnings.simplefilter("ignore", DeprecationWarning)  # an old way to name a thread (no upstream issue known)
        warnings.simplefilter("ignore", ConvergenceWarning)  # a Gaussian process whose kernel fits best at a bound
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        name, quiet = f"{algorithm} search {seed}", sweeps.progress_is_off()
        bar = stack.enter_context(tqdm(total=budget, desc=name, unit="epoch", disable=quiet))
        how["on_row"] = lambda row: bar.update(row["epochs"])
        if not how.get("client"):
            how["client"] = stack.enter_context(sweeps.cluster(how.get("workers"), how.get("scheduler")))
        oracle = _make_oracle(space, algorithm, budget, base, seed, folder)
        while asked := _ask(oracle, space, base, seeds, spent, budget):
            runs = [config for trial in asked for config in trial["runs"]]
            rows = sweeps.run_all(runs, experiment, **how).set_index("run_id")
            for trial in asked:
                mine = rows.loc[[config.run_id for config in trial["runs"]]]
                trial["status"] = next((status for status in mine["status"] if status != "completed"), "completed")
                if trial["status"] == "completed":
                    trial["score"] = float(mine["val_score"].mean())
            trials += asked
            _tell(oracle, trials)
            spent = asked[-1]["spent"]
            bar.update(spent - bar.n)  # what the store had
    search = {"algorithm": algorithm, "search_seed": seed}
    table = pd.DataFrame([search | {"trial": number} | trial for number, trial in enumerate(trials, start=1)])
    table = table.drop(columns=["told", "runs"])
    best = table["score"].cummax().ffill()
    return table.assign(best=best, repeated=table["run_id"].duplicated(), status=table.pop("status"))


def read_space(settings):
    """Return a space and a base `RunConfig` from a dict of settings as the command line has them.

    A tuple, or a text with commas, is a list of choices; `"1e-3..1"` a `Range`, logarithmic where it spans a decade;
    all else is fixed. A ValueError for a range that is none.
    """
    space, fixed = {}, {}
    for name, value in settings.items():
        text = isinstance(value, str) and name not in FIXED
        if text and ".." in value:
            try:
                low, high = (int(end) if end.strip("+-").isdigit() else float(end) for end in value.split(".."))
            except ValueError:
                _expect(False, f"{name} from a number to a number, e.g. {name}=1e-3..1", value)
            space[name] = Range(low, high, log=0 < 10 * low <= high)
        elif isinstance(value, tuple):
            space[name] = [*value]
        elif text and "," in value:
            space[name] = [None if choice == "None" else choice for choice in value.split(",")]
        else:
            fixed[name] = value
    return space, _with(RunConfig(), fixed)


def tell_command(config):
    """Return the command that trains a `RunConfig` and saves its network: fields at their defaults are left out."""
    defaults = dataclasses.asdict(RunConfig())
    changed = {name: value for name, value in dataclasses.asdict(config).items() if value != defaults[name]}
    words = (f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in changed.items())
    return shlex.join(
        [".venv/bin/python" if CHECKOUT else "python", "-m", "cnnkit", "train", *words, "--save", "best.keras"]
    )


def _make_oracle(space, algorithm, budget, base, seed, folder):
    hyperparameters = HyperParameters()
    for name, values in space.items():
        if isinstance(values, Range):
            hyperparameters.Float(name, values.low, values.high, sampling="log" if values.log else "linear")
        else:  # by place: a choice holds neither None nor dicts (https://github.com/keras-team/keras-tuner/issues/128)
            hyperparameters.Choice(name, list(range(len(values))))
    make, how = {
        "random": (oracles.RandomSearchOracle, {"max_trials": budget}),
        # keras-tuner's three random trials a hyperparameter would leave a short search no model.
        "bayesian": (oracles.BayesianOptimizationOracle, {"max_trials": budget, "num_initial_points": 2 * len(space)}),
        "hyperband": (oracles.HyperbandOracle, {"max_epochs": base.epochs, "hyperband_iterations": None}),  # again
    }[algorithm]
    # Two algorithms of one seed would share their trials; and an oracle draws its k-th number with seed + k, so that
    # searches of nearby seeds would draw almost the same ones (no upstream issue known).
    how["seed"] = random.Random(f"{algorithm} {seed}").randrange(1, 2**32)
    oracle = make(objective=Objective("val_score", "max"), hyperparameters=hyperparameters, **how)
    oracle.verbose = 0
    oracle._set_project_dir(folder, "oracle")  # it writes its state after every call, and there is no public way
    return oracle


def _ask(oracle, space, base, seeds, spent, budget):
    """Return the next trials, at most `BATCH`; none when the space is used up or the next would exceed the budget."""
    asked = []
    while len(asked) < BATCH and len(oracle.ongoing_trials) == len(asked):
        told = oracle.create_trial(f"tuner{len(asked)}")
        if told.status != "RUNNING":  # it waits for the scores of these, or has nothing left to propose
            break
        found = told.hyperparameters.values
        found |= {name: v.rounded(found[name]) for name, v in space.items() if isinstance(v, Range)}
        values = {name: found[name] if isinstance(v, Range) else v[found[name]] for name, v in space.items()}
        config = _with(base, values).replace(epochs=found.get("tuner/epochs", base.epochs))
        runs = [config.replace(seed=seed) for seed in seeds]
        spent += config.epochs * len(seeds)
        if spent <= budget:  # else it stays with the oracle, untold, which ends the search
            texts = {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in values.items()}
            line = {"run_id": runs[0].run_id, "score": math.nan, "epochs": config.epochs, "spent": spent}
            asked.append({"told": told, "runs": runs} | texts | line)
    return asked


def _tell(oracle, trials):
    """Tell the oracle the score of every new trial, and what now is the worst score for all that have none."""
    # A NaN would break the Gaussian process, and keras-tuner gives up after three failed trials.
    scores = pd.Series([trial["score"] for trial in trials])
    scores = scores.fillna(scores.min()).fillna(0.0)  # without any, nothing compares with it
    for trial, score in zip(trials, scores.tolist(), strict=True):
        told = trial["told"]
        if told.status == "RUNNING":
            told.status = "COMPLETED"
            oracle.update_trial(told.trial_id, {"val_score": score})
            oracle.end_trial(told)
        told.score = score


def _check_arguments(algorithm, budget, base, seed, seeds):
    _expect(isinstance(base, RunConfig), "base to be a RunConfig", base)
    _expect(algorithm in ALGORITHMS, f"algorithm to be one of {', '.join(ALGORITHMS)}", algorithm)
    whole = [type(number) is int and number >= 1 for number in (seed, budget, *seeds)]
    _expect(whole[0], "seed to be a whole number >= 1 (keras-tuner takes 0 for no seed)", seed)
    _expect(all(whole[2:]) and len(set(seeds)) == len(seeds), "seeds to be whole numbers >= 1 that differ", seeds)
    trial = base.epochs * (len(seeds) or 1)
    _expect(whole[1] and budget >= trial, f"budget to be whole epochs, for one trial at least {trial}", budget)


def _check_space(space, base):
    """Raise a ValueError unless every two values of the space make a `RunConfig` that fits its data."""
    form = "a space as a dict of RunConfig field to Range or list of choices (in words: learning_rate=1e-3..1)"
    _expect(isinstance(space, dict) and space, form, space)
    kinds = {name: str(kind) for name, kind in RunConfig.__annotations__.items() if name not in FIXED}
    for name, values in space.items():
        field, dot, _ = str(name).partition(".")
        known = field in kinds and (not dot or "dict" in kinds[field])
        _expect(known, f"the fields of a space among {', '.join(kinds)}", name)
        choices = isinstance(values, (list, tuple)) and len(values) > 1
        fine = choices or isinstance(values, Range) and (dot or "float" in kinds[field])
        _expect(fine, f"{name} to be a list of at least two choices, or a Range of real numbers", values)
    ends = {name: [v.low, v.high] if isinstance(v, Range) else list(v) for name, v in space.items()}
    first = {name: values[0] for name, values in ends.items()}
    available = data.is_available(base.dataset)  # without its data, a search may still be replayed from its rows
    for one, other in itertools.combinations_with_replacement(ends, 2):
        for x, y in itertools.product(ends[one], ends[other]):
            config = _with(base, first | {one: x, other: y})
            if available:
                training.fingerprint(config)
    for name, values in ends.items():
        distinct = {_with(base, first | {name: value}).run_id for value in values}
        _expect(len(distinct) == len(values), f"choices of {name} that differ", values)


def _expect(fine, expected, received):
    if not fine:
        raise ValueError(f"Expected {expected}. Received: {received!r}.")


def _with(base, values):
    """Return `base` with fields, and dotted entries of dict fields, replaced."""
    changes = {}
    for name in sorted(values):  # a dict field comes before its entries
        field, dot, entry = name.partition(".")
        own = changes.get(field, getattr(base, field, None))
        _expect(not dot or isinstance(own, dict), f"{field} to be a dict, for its entry {entry}", own)
        changes[field] = own | {entry: values[name]} if dot else values[name]
    return base.replace(**changes)
