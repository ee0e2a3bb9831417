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

import keras_tuner
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from cnnkit import data
from cnnkit.lab import sweeps, training
from cnnkit.lab.config import RunConfig

ALGORITHMS = ("random", "bayesian", "hyperband")
OBJECTIVES = ("val_accuracy", "val_loss", "best_val_accuracy", "best_val_loss")  # the test set never picks anything
FIXED = ("dataset", "train_size", "epochs", "seed")  # what makes two scores comparable, and the budget's unit

# Trials asked for before any is told. Not the number of workers, for then another machine would be proposed other
# trials. Four keep four cores busy; with more, Bayesian search would choose too many without each other's scores.
BATCH = 4


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included, equally likely, or equally likely by order of magnitude.

    Args:
        low, high: Floats, low < high.
        log: Boolean; True needs low > 0.
    Raises:
        ValueError: If the range is empty or not of finite numbers.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        if not {type(self.low), type(self.high)} <= {int, float} or not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"Expected numbers low < high. Received: {self}.")
        if self.log and self.low <= 0:
            raise ValueError(f"Expected low > 0 on a logarithmic scale. Received: {self}. Leave out log=True.")


def run_search(
    space,
    algorithm,
    budget,
    *,
    experiment,
    base,
    seed,
    objective="val_accuracy",
    workers=None,
    client=None,
    refresh=False,
):
    """Search a space for the best run, within a budget of epochs; asked again, it goes on where it was stopped.

    Every trial trains from scratch, for `base.epochs`; in Hyperband for as long as its bracket says, up to
    `base.epochs`. Continuing the trials that Hyperband promotes would save it 12 of 87 epochs (at `base.epochs=9`), but
    no `RunConfig` tells such a run, and a schedule would end twice. Epochs are counted as asked for, also where a run
    ended early or the store had it, so that the same budget buys the same trials again.

    Args:
        space: Dict of `RunConfig` field to `Range` or list of choices; `"model_args.dropout_rate"` is an entry of a
            dict field. Proposals of a `Range` have three significant digits.
        algorithm: `"random"`, `"bayesian"` (Gaussian process, after two random trials a hyperparameter) or
            `"hyperband"` (factor 3).
        budget: Integer, epochs of all trials together, at least `base.epochs`. The first trial that exceeds it ends
            the search.
        experiment: String, the store's folder.
        base: `RunConfig` with everything that is not in the space, training seed included.
        seed: Integer, at least 1, of the proposals. Random and Bayesian search start with the same trials.
        objective: A name of `OBJECTIVES`; losses are minimized.
        workers, client, refresh: As in `sweeps.run_all`; none of them changes the proposals.
    Returns:
        DataFrame: one line a trial in order of proposal: `algorithm, search_seed, trial` (from 1), the hyperparameters,
        `run_id, score, epochs, spent` (epochs so far), `best` (score so far), `repeated` (proposed before, answered
        from the store), `status`. A diverged or failed trial has no score; the oracle is told the worst one seen. A
        failed run is trained again in a replay, and if it then succeeds, later proposals may be others. The table is
        short of its budget when random or Hyperband search has proposed all of a small space.
    Raises:
        ValueError: If an argument or any point of the space is impossible, before any training.
        OSError: As `sweeps.run_all`.
    Example:
        `run_search({"learning_rate": Range(1e-3, 1.0, log=True), "batch_size": [16, 32, 64]}, "bayesian", 60,
        experiment="scratch", base=RunConfig(epochs=3), seed=1)`
    """
    _check_arguments(algorithm, budget, base, seed, objective)
    _check_space(space, base)
    trials, left = [], budget
    with contextlib.ExitStack() as stack:
        client = client or stack.enter_context(sweeps.cluster(workers))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        oracle = _make_oracle(space, algorithm, budget, base, seed, objective, folder)
        while asked := _ask(oracle, space, base, left):
            left -= sum(trial["config"].epochs for trial in asked)
            rows = sweeps.run_all([trial["config"] for trial in asked], experiment, client=client, refresh=refresh)
            _score(asked, rows.set_index("run_id"), objective)
            trials += asked
            _tell(oracle, trials, objective)
    return _table(trials, algorithm, seed, objective)


def _make_oracle(space, algorithm, budget, base, seed, objective, folder):
    hyperparameters = keras_tuner.HyperParameters()
    for name, values in space.items():
        if isinstance(values, Range):
            hyperparameters.Float(name, values.low, values.high, sampling="log" if values.log else "linear")
        else:  # by place, because a keras-tuner choice holds neither None nor dicts and turns True into 1
            hyperparameters.Choice(name, list(range(len(values))))
    common = {
        "objective": keras_tuner.Objective(objective, "min" if _is_loss(objective) else "max"),
        "hyperparameters": hyperparameters,
        # The oracle draws its k-th number with seed + k: the searches of nearby seeds would draw almost the same ones.
        "seed": random.Random(seed).randrange(1, 2**32),
    }
    if algorithm == "random":
        oracle = keras_tuner.oracles.RandomSearchOracle(max_trials=budget, **common)
    elif algorithm == "bayesian":  # keras-tuner's three random trials a hyperparameter leave a short search no model
        points = 2 * len(space)
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(max_trials=budget, num_initial_points=points, **common)
    else:  # again and again, until the budget is spent
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=base.epochs, hyperband_iterations=None, **common)
    oracle.verbose = 0
    oracle._set_project_dir(folder, "oracle")  # it writes its state after every call, and there is no public way
    return oracle


def _ask(oracle, space, base, left):
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
        # Three digits: the last bits of a Gaussian process differ between machines, and would make it other runs.
        found |= {name: _rounded(found[name], values) for name, values in space.items() if isinstance(values, Range)}
        values = {name: found[name] if isinstance(v, Range) else v[found[name]] for name, v in space.items()}
        config = _with(base, values).replace(epochs=found.get("tuner/epochs", base.epochs))
        left -= config.epochs
        if left >= 0:
            asked.append({"told": trial, "config": config, "values": values})
    return asked


def _score(asked, rows, objective):
    for trial in asked:
        row = rows.loc[trial["config"].run_id]
        trial["status"] = row["status"]
        trial["score"] = float(row[objective]) if row["status"] == "completed" else None


def _tell(oracle, trials, objective):
    """Tell the oracle the score of every new trial, and what now is the worst score for all that have none.

    A NaN would break the Gaussian process, and keras-tuner gives up after three failed trials.
    """
    scores = [trial["score"] for trial in trials if trial["score"] is not None]
    worst = (max if _is_loss(objective) else min)(scores, default=0.0)  # without any, nothing compares with it
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
        config = trial["config"]
        line = {"algorithm": algorithm, "search_seed": seed, "trial": number, **values, "run_id": config.run_id}
        lines.append(line | {"score": trial["score"], "epochs": config.epochs, "status": trial["status"]})
    table = pd.DataFrame(lines).astype({"score": float})
    best = table["score"].cummin() if _is_loss(objective) else table["score"].cummax()
    so_far = {"spent": table["epochs"].cumsum(), "best": best.ffill(), "repeated": table["run_id"].duplicated()}
    return table.assign(**so_far, status=table.pop("status"))


def _check_arguments(algorithm, budget, base, seed, objective):
    rules = [
        (isinstance(base, RunConfig), "base to be a RunConfig", base),
        (algorithm in ALGORITHMS, f"algorithm to be one of {', '.join(ALGORITHMS)}", algorithm),
        (objective in OBJECTIVES, f"objective to be one of {', '.join(OBJECTIVES)}", objective),
        (type(seed) is int and seed >= 1, "seed to be a whole number >= 1 (keras-tuner takes 0 for no seed)", seed),
        (type(budget) is int and budget >= 1, "budget to be a whole number of epochs, at least 1", budget),
    ]
    for fine, expected, received in rules:
        if not fine:
            raise ValueError(f"Expected {expected}. Received: {received!r}.")
    if budget < base.epochs:
        raise ValueError(
            f"Expected a budget of at least one trial, {base.epochs} epochs. Received: budget={budget}. "
            "Raise it, or lower base.epochs."
        )


def _check_space(space, base):
    """Raise a ValueError unless every two values of the space make a `RunConfig` that fits its data."""
    if not isinstance(space, dict) or not space:
        raise ValueError(
            f"Expected a space as a dict of RunConfig field to Range or list of choices. Received: {space!r}."
        )
    for name, values in space.items():
        _check_field(name, values)
    ends = {name: [v.low, v.high] if isinstance(v, Range) else list(v) for name, v in space.items()}
    first = {name: values[0] for name, values in ends.items()}
    available = data.is_available(base.dataset)  # without its data, a search may still be replayed from its rows
    for one, other in itertools.combinations_with_replacement(ends, 2):
        for pair in itertools.product(ends[one], ends[other]):
            _check_point(base, first | dict(zip((one, other), pair, strict=True)), (one, other), available)
    for name, values in ends.items():
        if len({_with(base, first | {name: value}).run_id for value in values}) < len(values):
            raise ValueError(f"Expected choices of {name} that differ. Received: {values}. Leave out the repeated one.")


def _check_field(name, values):
    types = {field.name: str(field.type) for field in dataclasses.fields(RunConfig)}
    field, dot, _ = str(name).partition(".")
    if field not in types or field in FIXED or (dot and "dict" not in types[field]):
        valid = [f"{f}.NAME" if "dict" in kind else f for f, kind in types.items() if f not in FIXED]
        raise ValueError(f"Expected the fields of a space among {', '.join(valid)}. Received: {name!r}.")
    if isinstance(values, Range):
        if not dot and "float" not in types[field]:
            raise ValueError(f"Expected a list of choices for {name}, which is no real number. Received: {values}.")
    elif not isinstance(values, (list, tuple)):
        raise ValueError(f"Expected {name} to be a Range or a list of choices. Received: {values!r}.")
    elif len(values) < 2:
        raise ValueError(
            f"Expected at least two choices of {name}. Received: {values!r}. What does not vary belongs in base."
        )


def _check_point(base, values, names, available):
    try:
        config = _with(base, values)
        if available:
            training.check(config)
    except (TypeError, ValueError) as error:
        point = ", ".join(f"{name}={values[name]!r}" for name in dict.fromkeys(names))
        raise ValueError(f"Expected every point of the space to be a valid run. Received: {point}. {error}") from None


def _with(base, values):
    """Return `base` with fields, and dotted entries of dict fields, replaced."""
    changes = {}
    for name in sorted(values):  # a dict field comes before its entries
        field, dot, entry = name.partition(".")
        whole = changes.get(field, getattr(base, field))
        changes[field] = whole | {entry: values[name]} if dot else values[name]
    return base.replace(**changes)


def _rounded(value, values):
    return min(max(float(f"{value:.3g}"), values.low), values.high)


def _is_loss(objective):
    return objective.endswith("loss")


@contextlib.contextmanager
def _oracle_at_work():
    """Keep keras-tuner to one BLAS thread and hold back what no reader can act on.

    On matrices this small more threads take three times the processor time. The warnings are of keras-tuner's old way
    to name a thread, and of a Gaussian process whose kernel fits best at a bound.
    """
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
