"""Search: keras-tuner proposes, Dask runs, the store remembers.

Only keras-tuner's oracles are used: this process asks them for trials and tells them scores, and trains through
`sweeps.run_all`. Their own files live in a temporary folder and are never read back. A search that was stopped is asked
the same questions again instead, and the runs it had finished answer from the store.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import random
import tempfile
import warnings

import pandas as pd
from keras_tuner import HyperParameters, Objective, oracles
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from cnnkit import data
from cnnkit.lab import sweeps, training
from cnnkit.lab.config import RunConfig

ALGORITHMS = ("random", "bayesian", "hyperband")
# The test set never picks anything.
OBJECTIVES = ("val_score", "val_accuracy", "val_loss", "best_val_accuracy", "best_val_loss")
FIXED = ("dataset", "train_size", "epochs", "seed")  # what makes two scores comparable, and the budget's unit
SCALES = ("loss", "label_smoothing")  # where these vary, two losses are not comparable
# Trials asked for before any is told; were it the number of workers, another machine would be proposed other trials.
BATCH = 4


@dataclasses.dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high` (low < high), equally likely; or by order of magnitude, with low > 0."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        numbers = {type(self.low), type(self.high)} <= {int, float}
        _expect(numbers and -math.inf < self.low < self.high < math.inf, "numbers low < high", self)
        _expect(not self.log or self.low > 0, "low > 0 on a logarithmic scale", self, "Leave out log=True.")

    def rounded(self, value):
        """Return a value of the range with three digits: more would differ between machines, and make other runs."""
        return min(max(float(f"{value:.3g}"), self.low), self.high)


def run_search(space, algorithm, budget, *, experiment, base, seed, seeds=(), objective="val_score", **how):
    """Search a space for the best run, within a budget of epochs; asked again, it goes on where it was stopped.

    Every trial trains from scratch, in Hyperband too: no `RunConfig` tells a run that was continued. Epochs are counted
    as asked for, also where a run ended early or the store had it, so that the same budget buys the same trials again.

    Args:
        space: Dict of `RunConfig` field to `Range` or list of choices; `"model_args.dropout_rate"` is an entry of a
            dict field. Proposals of a `Range` have three significant digits.
        algorithm: `"random"`, `"bayesian"` (Gaussian process, after two random trials a hyperparameter) or
            `"hyperband"` (factor 3, up to `base.epochs`).
        budget: Integer, epochs of all runs together. The first trial that exceeds it ends the search.
        experiment: String, the store's folder.
        base: `RunConfig` with everything that is not in the space.
        seed: Integer, at least 1, of the proposals: each algorithm has its own stream of them.
        seeds: Training seeds: a trial is a run of each, its score their mean. Empty for `base.seed` alone.
        objective: A name of `OBJECTIVES`; losses are minimized, and take no space in which the loss itself varies.
        **how: `workers, scheduler, client, refresh` of `sweeps.run_all`; none of them changes the proposals.
    Returns:
        DataFrame: one line a trial in order of proposal: `algorithm, search_seed, trial` (from 1), the hyperparameters,
        `run_id` (of the first training seed), `score, epochs` (of a run), `spent` (epochs so far), `best` (score so
        far), `repeated` (proposed before, answered from the store), `status`. A trial with a diverged or failed run has
        no score; the oracle is told the worst one seen. A small space may be used up before the budget is.
    Raises:
        ValueError: If an argument or any point of the space is impossible, before any training.
        OSError: As `sweeps.run_all`.
    Example:
        `run_search({"learning_rate": Range(1e-3, 1.0, log=True), "batch_size": [16, 32, 64]}, "bayesian", 60,
        experiment="scratch", base=RunConfig(epochs=3), seed=1)`
    """
    _check_arguments(algorithm, budget, base, seed, objective, seeds)
    _check_space(space, base, objective)
    trials, left = [], budget
    with contextlib.ExitStack() as stack:
        if not how.get("client"):
            how["client"] = stack.enter_context(sweeps.cluster(how.get("workers"), how.get("scheduler")))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        words = {"desc": f"{algorithm} search {seed}", "unit": "epoch", "disable": sweeps.progress_is_off()}
        bar = stack.enter_context(tqdm(total=budget, **words))
        how["on_row"] = lambda row: bar.update(row["epochs"])
        oracle = _make_oracle(space, algorithm, budget, base, seed, objective, folder)
        while asked := _ask(oracle, space, base, seeds or (base.seed,), left):
            runs = [config for trial in asked for config in trial["runs"]]
            left -= sum(config.epochs for config in runs)
            _score(asked, sweeps.run_all(runs, experiment, **how).set_index("run_id"), objective)
            trials += asked
            _tell(oracle, trials, objective)
            bar.update(budget - left - bar.n)  # what the store had
    return _table(trials, algorithm, seed, objective)


def _make_oracle(space, algorithm, budget, base, seed, objective, folder):
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
    oracle = make(
        objective=Objective(objective, "min" if objective.endswith("loss") else "max"),
        hyperparameters=hyperparameters,
        # Two algorithms of one seed would share their trials; and an oracle draws its k-th number with seed + k, so
        # that the searches of nearby seeds would draw almost the same ones (no upstream issue known).
        seed=random.Random(f"{algorithm} {seed}").randrange(1, 2**32),
        **how,
    )
    oracle.verbose = 0
    oracle._set_project_dir(folder, "oracle")  # it writes its state after every call, and there is no public way
    return oracle


def _ask(oracle, space, base, seeds, left):
    """Return the next trials, at most `BATCH`; none when the space, or the budget's `left` epochs, are used up.

    The trial that would exceed the budget stays with the oracle, untold, and ends the search.
    """
    asked = []
    while len(asked) < BATCH and len(oracle.ongoing_trials) == len(asked):
        with _oracle_at_work():
            trial = oracle.create_trial(f"tuner{len(asked)}")
        if trial.status != "RUNNING":  # it waits for the scores of these, or has nothing left to propose
            break
        found = trial.hyperparameters.values
        found |= {name: v.rounded(found[name]) for name, v in space.items() if isinstance(v, Range)}
        values = {name: found[name] if isinstance(v, Range) else v[found[name]] for name, v in space.items()}
        config = _with(base, values).replace(epochs=found.get("tuner/epochs", base.epochs))
        left -= config.epochs * len(seeds)
        if left >= 0:
            asked.append({"told": trial, "values": values, "runs": [config.replace(seed=seed) for seed in seeds]})
    return asked


def _score(asked, rows, objective):
    for trial in asked:
        mine = rows.loc[[config.run_id for config in trial["runs"]]]
        trial["status"] = next((status for status in mine["status"] if status != "completed"), "completed")
        trial["score"] = float(mine[objective].mean()) if trial["status"] == "completed" else None


def _tell(oracle, trials, objective):
    """Tell the oracle the score of every new trial, and what now is the worst score for all that have none.

    A NaN would break the Gaussian process, and keras-tuner gives up after three failed trials.
    """
    scores = [trial["score"] for trial in trials if trial["score"] is not None]
    worst = (max if objective.endswith("loss") else min)(scores, default=0.0)  # without any, nothing compares with it
    for trial in trials:
        told, score = trial["told"], worst if trial["score"] is None else trial["score"]
        if told.status == "RUNNING":
            told.status = "COMPLETED"
            with _oracle_at_work():
                oracle.update_trial(told.trial_id, {objective: score})
                oracle.end_trial(told)
        told.score = score


def _table(trials, algorithm, seed, objective):
    lines = []
    for number, trial in enumerate(trials, start=1):
        values = {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in trial["values"].items()}
        line = {"algorithm": algorithm, "search_seed": seed, "trial": number, **values}
        line |= {"run_id": trial["runs"][0].run_id, "score": trial["score"], "epochs": trial["runs"][0].epochs}
        lines.append(line | {"spent": sum(config.epochs for config in trial["runs"]), "status": trial["status"]})
    table = pd.DataFrame(lines).astype({"score": float})
    best = table["score"].cummin() if objective.endswith("loss") else table["score"].cummax()
    so_far = {"spent": table["spent"].cumsum(), "best": best.ffill(), "repeated": table["run_id"].duplicated()}
    return table.assign(**so_far, status=table.pop("status"))


def _check_arguments(algorithm, budget, base, seed, objective, seeds=()):
    _expect(isinstance(base, RunConfig), "base to be a RunConfig", base)
    _expect(algorithm in ALGORITHMS, f"algorithm to be one of {', '.join(ALGORITHMS)}", algorithm)
    _expect(objective in OBJECTIVES, f"objective to be one of {', '.join(OBJECTIVES)}", objective)
    whole = [type(number) is int and number >= 1 for number in (seed, budget, *seeds)]
    _expect(whole[0], "seed to be a whole number >= 1 (keras-tuner takes 0 for no seed)", seed)
    _expect(whole[1], "budget to be a whole number of epochs, at least 1", budget)
    _expect(all(whole[2:]) and len(set(seeds)) == len(seeds), "seeds to be whole numbers >= 1 that differ", seeds)
    trial = base.epochs * (len(seeds) or 1)
    _expect(
        budget >= trial, f"a budget of at least one trial, {trial} epochs", budget, "Raise it or lower base.epochs."
    )


def _check_space(space, base, objective=OBJECTIVES[-1]):
    """Raise a ValueError unless every two values of the space make a `RunConfig` that fits its data."""
    form = "a space as a dict of RunConfig field to Range or list of choices"
    _expect(isinstance(space, dict) and space, form, space)
    for name, values in space.items():
        _check_field(name, values)
        same = name not in SCALES or not objective.endswith("loss")
        _expect(same, f"an objective that means the same whatever {name} is", objective, "Take val_score.")
    ends = {name: [v.low, v.high] if isinstance(v, Range) else list(v) for name, v in space.items()}
    first = {name: values[0] for name, values in ends.items()}
    available = data.is_available(base.dataset)  # without its data, a search may still be replayed from its rows
    for one, other in itertools.combinations_with_replacement(ends, 2):
        for pair in itertools.product(ends[one], ends[other]):
            point = dict(zip((one, other), pair, strict=True))
            try:
                config = _with(base, first | point)
                if available:
                    training.check(config)
            except (TypeError, ValueError) as error:
                words = ", ".join(f"{name}={value!r}" for name, value in point.items())
                raise ValueError(
                    f"Expected every point of the space to be a valid run. Received: {words}. {error}"
                ) from None
    for name, values in ends.items():
        distinct = {_with(base, first | {name: value}).run_id for value in values}
        _expect(len(distinct) == len(values), f"choices of {name} that differ", values, "Leave out the repeated one.")


def _check_field(name, values):
    types = {field.name: str(field.type) for field in dataclasses.fields(RunConfig) if field.name not in FIXED}
    field, dot, _ = str(name).partition(".")
    valid = ", ".join(f"{known}.NAME" if "dict" in kind else known for known, kind in types.items())
    _expect(field in types and (not dot or "dict" in types[field]), f"the fields of a space among {valid}", name)
    if isinstance(values, Range):
        _expect(dot or "float" in types[field], f"a list of choices for {name}, which is no real number", values)
    else:
        _expect(isinstance(values, (list, tuple)), f"{name} to be a Range or a list of choices", values)
        _expect(len(values) > 1, f"at least two choices of {name}", values, "What does not vary belongs in base.")


def _expect(fine, expected, received, advice=""):
    if not fine:
        raise ValueError(f"Expected {expected}. Received: {received!r}. {advice}".rstrip())


def _with(base, values):
    """Return `base` with fields, and dotted entries of dict fields, replaced."""
    changes = {}
    for name in sorted(values):  # a dict field comes before its entries
        field, dot, entry = name.partition(".")
        changes[field] = changes.get(field, getattr(base, field)) | {entry: values[name]} if dot else values[name]
    return base.replace(**changes)


@contextlib.contextmanager
def _oracle_at_work():
    """Keep keras-tuner to one BLAS thread, its matrices being small; hold back what no reader can act on."""
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an old way to name a thread (no upstream issue known)
        warnings.simplefilter("ignore", ConvergenceWarning)  # a Gaussian process whose kernel fits best at a bound
        yield
