"""Search: the same proposals whatever happens in between, every trial a line, and bad input refused before training."""

import itertools
import shlex
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cnnkit import course
from cnnkit.__main__ import _settings
from cnnkit.evidence.experiment import run_experiment
from cnnkit.lab import search, store, sweeps
from cnnkit.lab.config import RunConfig
from cnnkit.lab.search import ALGORITHMS, Range, read_space, run_search, tell_command

BASE = RunConfig(model="softmax", train_size=100, epochs=3)
SPACE = {"learning_rate": Range(0.001, 10.0, log=True), "batch_size": [16, 32, 64]}
BUDGETS = {"random": 24, "bayesian": 18, "hyperband": 24}  # a Gaussian process takes seconds a trial after the fourth


def bowl(config):
    """A row at once: best at a learning rate of 0.1, a little better with more epochs, diverged above 1."""
    score = 0.9 - 0.1 * np.log10(config.learning_rate / 0.1) ** 2 + 0.001 * config.epochs
    status = "diverged" if config.learning_rate > 1 else "completed"
    return {"status": status, "val_score": score, "epochs": config.epochs}


@pytest.fixture
def fake(monkeypatch):
    """`sweeps.run_all` without training: `fake.rows` makes a row, `fake.batches` are the lists of runs asked for."""

    def run_all(configs, experiment, **how):
        run_all.batches.append([config.run_id for config in configs])
        distinct = {config.run_id: config for config in configs}
        return pd.DataFrame([{"run_id": run_id, **run_all.rows(config)} for run_id, config in distinct.items()])

    run_all.rows, run_all.batches = bowl, []
    monkeypatch.setattr(sweeps, "run_all", run_all)
    return run_all


@pytest.fixture
def oracles(monkeypatch):
    """The oracles that searches make."""
    made, make = [], search._make_oracle
    monkeypatch.setattr(search, "_make_oracle", lambda *args: made.append(make(*args)) or made[-1])
    return made


def run(algorithm="random", budget=None, space=SPACE, **changes):
    budget = BUDGETS.get(algorithm) if budget is None else budget
    return run_search(space, algorithm, budget, **{"experiment": "test", "base": BASE, "seed": 1} | changes)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_replays_itself_whatever_the_number_of_workers(algorithm, fake):
    first = run(algorithm, workers=1)
    batches, fake.batches[:] = list(fake.batches), []
    pd.testing.assert_frame_equal(run(algorithm, workers=7), first)
    assert fake.batches == batches and len(batches) > 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_table_adds_up(algorithm, fake):
    table = run(algorithm)
    assert (table["algorithm"] == algorithm).all() and (table["search_seed"] == 1).all()
    assert table["trial"].tolist() == list(range(1, len(table) + 1))
    assert table["spent"].tolist() == table["epochs"].cumsum().tolist()
    for line in table.to_dict("records"):
        config = BASE.replace(**{name: line[name] for name in ("learning_rate", "batch_size", "epochs")})
        assert line["run_id"] == config.run_id and line["status"] == bowl(config)["status"]
        if line["status"] == "completed":
            assert line["score"] == bowl(config)["val_score"]
    assert table["best"].tolist() == [table["score"][: trial + 1].max() for trial in range(len(table))]
    assert (table["learning_rate"] == [float(f"{rate:.3g}") for rate in table["learning_rate"]]).all()


def test_bayesian_search_learns_from_its_first_trials(fake):
    before = [run(algorithm, 15)["run_id"].tolist() for algorithm in ("random", "bayesian")]
    fake.rows = lambda config: bowl(config) | {"val_score": -bowl(config)["val_score"]}
    after = [run(algorithm, 15)["run_id"].tolist() for algorithm in ("random", "bayesian")]
    assert after[0] == before[0] and after[1][:4] == before[1][:4] and after[1][4:] != before[1][4:]


def test_hyperband_trains_the_best_of_a_bracket_on(fake):
    table = run("hyperband")
    short, whole = (table[table["epochs"] == epochs] for epochs in (1, 3))
    assert len(short) and table["epochs"].isin([1, 3]).all()
    first = short.iloc[:3]  # a bracket: three trials of one epoch, of which the best gets three
    winner = first.loc[first["score"].idxmax()]
    promoted = whole[whole[list(SPACE)].eq(winner[list(SPACE)]).all(axis=1)]
    assert len(promoted) == 1
    assert (
        not whole[list(SPACE)]
        .apply(tuple, axis=1)
        .isin(first.drop(winner.name)[list(SPACE)].apply(tuple, axis=1))
        .any()
    )


@pytest.mark.parametrize("budget", [3, 4, 23])
@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_a_budget_is_never_exceeded(algorithm, budget, fake):
    table = run(algorithm, budget)
    assert budget - BASE.epochs < table["spent"].iloc[-1] <= budget


def test_searches_of_other_seeds_share_no_value(fake):
    one, other = (run(seed=seed)["learning_rate"] for seed in (1, 1 + len(SPACE)))  # keras-tuner's own would be shifted
    assert not one.isin(other).any()


def test_algorithms_of_one_seed_share_no_value(fake):
    rates = [set(run(algorithm, 15)["learning_rate"]) for algorithm in ALGORITHMS]
    assert len(set.union(*rates)) == sum(map(len, rates))


def test_a_trial_of_several_training_seeds_scores_their_mean(fake):
    noise = {4: 0.0, 5: 0.01, 6: -0.04}
    fake.rows = lambda config: bowl(config) | {"val_score": bowl(config)["val_score"] + noise[config.seed]}
    alone, table = run(budget=24, base=BASE.replace(seed=4)), run(budget=24 * 3, seeds=(4, 5, 6))
    pd.testing.assert_frame_equal(table[["run_id", "status"]], alone[["run_id", "status"]])  # of the first seed
    assert table["score"].dropna().tolist() == pytest.approx((alone["score"].dropna() - 0.01).tolist())
    assert table["spent"].tolist() == (3 * alone["spent"]).tolist()
    fake.rows = lambda config: bowl(config) | {"status": "failed" if config.seed == 6 else "completed"}
    lost = run(budget=24 * 3, seeds=(4, 5, 6))
    assert lost["score"].isna().all() and (lost["status"] == "failed").all()


def test_one_progress_bar_counts_the_epochs_of_a_whole_search(fake, monkeypatch):
    bars = []

    class Bar(search.tqdm):
        def __init__(self, **words):
            super().__init__(**words)
            bars.append(self)

    monkeypatch.setattr(search, "tqdm", Bar)
    monkeypatch.delenv("CNNKIT_PROGRESS")
    assert run(budget=24)["spent"].iloc[-1] == 24
    assert [(bar.n, bar.total, bar.unit) for bar in bars] == [(24, 24, "epoch")]


def test_the_oracle_is_told_the_worst_score_there_is_for_a_trial_without_one(fake, oracles):
    outcomes = itertools.cycle(["failed", "diverged", "failed", "failed", "failed", "completed", "completed"])
    fake.rows = lambda config: bowl(config) | {"status": next(outcomes)}
    table = run(budget=39)
    assert len(table) == 13  # three failures in a row make keras-tuner give up
    assert table["score"].isna().tolist() == (table["status"] != "completed").tolist()
    assert table["best"].isna().tolist() == [True] * 5 + [False] * 8
    told = [trial.score for trial in oracles[0].trials.values() if trial.status == "COMPLETED"]
    assert told == table["score"].fillna(table["score"].min()).tolist()
    assert table["best"].iloc[-1] == table["score"].max()


def test_bayesian_search_survives_divergence_everywhere(fake):
    fake.rows = lambda config: bowl(config) | {"status": "diverged", "val_score": None}
    table = run("bayesian", 15)
    assert len(table) == 5 and table[["score", "best"]].isna().all(axis=None)


def test_repeated_proposals_are_lines_and_cost_their_epochs(fake):
    space = {"learning_rate": [0.01, 0.1], "batch_size": [16, 32]}
    table = run("bayesian", 18, space)
    assert len(table) == 6 and table["repeated"].sum() >= 2 and table["spent"].iloc[-1] == 18
    assert not table.drop_duplicates("run_id")["repeated"].any()
    assert table.groupby("run_id")["score"].nunique().eq(1).all()


def test_random_search_ends_when_the_space_is_used_up(fake):
    table = run(budget=300, space={"learning_rate": [0.01, 0.1], "batch_size": [16, 32]})
    assert len(table) == 4 and not table["repeated"].any()


def test_choices_may_be_none_and_dicts_and_entries_of_dicts(fake):
    space = {
        "augmentation": [None, "shift"],
        "schedule_args": [{}, {"end": 0.1}],
        "optimizer_args.nesterov": [True, False],
    }
    table = run(space=space, base=BASE.replace(schedule="exponential"))
    expected = {
        BASE.replace(schedule="exponential", augmentation=a, schedule_args=s, optimizer_args={"nesterov": n}).run_id
        for a, s, n in itertools.product(*space.values())
    }
    assert set(table["run_id"]) == expected
    assert set(table["schedule_args"]) == {"{}", '{"end": 0.1}'}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {}}, "space as a dict"),
        ({"space": [0.1, 0.2]}, "space as a dict"),
        ({"space": {"batch_size": [16]}}, "batch_size to be a list of at least two choices"),
        ({"space": {"batch_size": [16, 32, 16]}}, "choices of batch_size that differ"),
        ({"space": {"batch_size": [16, 16.0]}}, "choices of batch_size that differ"),
        ({"space": {"batch_size": [16, "many"]}}, "batch_size.*Received: batch_size='many'"),
        ({"space": {"batch_size": [16, 1000]}}, "batch_size of at most 100"),
        ({"space": {"batch_size": 16}}, "batch_size to be a list of at least two choices"),
        ({"space": {"batch_size": Range(16, 64)}}, "batch_size to be a list .* Received: Range"),
        ({"space": {"learning_rate": Range(0.0, 1.0)}}, "learning_rate > 0"),
        ({"space": {"rate": [0.1, 0.2]}}, "fields of a space among scaling, model, model_args, .*Received: 'rate'"),
        ({"space": {"seed": [1, 2]}}, "Received: 'seed'"),
        ({"space": {"learning_rate.x": [1, 2]}}, "Received: 'learning_rate.x'"),
        ({"space": {"model_args.depth": [1, 2]}}, "depth"),
        ({"space": {"optimizer": ["sgd", "adam"], "optimizer_args.momentum": Range(0.1, 0.9)}}, "adam"),
        ({"space": {"model": ["softmax", "alexnet"]}}, "67 pixels a side for alexnet"),
        ({"seed": 0}, "seed.*>= 1"),
        ({"seed": None}, "seed.*>= 1"),
        ({"budget": 0}, "budget to be .*at least 3"),
        ({"budget": 2}, "one trial at least 3"),
        ({"budget": 10.5}, "budget to be whole epochs"),
        ({"algorithm": "grid"}, "random, bayesian, hyperband"),
        ({"seeds": (1, 1)}, "seeds to be whole numbers >= 1 that differ"),
        ({"seeds": (0, 1)}, "seeds to be whole numbers >= 1 that differ"),
        ({"seeds": (1, 2), "budget": 5}, "one trial at least 6"),
        ({"base": {}}, "base to be a RunConfig"),
    ],
)
def test_bad_input_is_refused_before_any_training(changes, message, fake):
    with pytest.raises(ValueError, match=f"^Expected .*{message}"):
        run(**changes)
    assert not fake.batches


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (0.1, float("inf")), (float("nan"), 1), ("1", 2), (True, 2)])
def test_an_empty_range_is_refused(ends):
    with pytest.raises(ValueError, match="Expected numbers low < high"):
        Range(*ends)


def test_a_logarithmic_range_is_above_zero():
    with pytest.raises(ValueError, match="low > 0"):
        Range(0, 1, log=True)


KILLED = """
import os, signal
from cnnkit.lab import store
from tests.test_search import resumable

stage = store.stage


def stage_five(row, *args, **how):
    stage(row, *args, **how)
    if len(store.read_runs("killed")) == 5:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    store.stage = stage_five
    resumable("killed", workers=1)
"""


def resumable(experiment, **how):
    return run_search(SPACE, "hyperband", 18, experiment=experiment, base=BASE, seed=3, **how)


def test_a_killed_search_resumes_to_the_table_of_an_unbroken_one():
    killed = subprocess.run([sys.executable, "-c", KILLED], start_new_session=True)
    survived = store.read_runs("killed")
    assert killed.returncode == -signal.SIGKILL and len(survived) == 5
    with sweeps.cluster(1) as client:
        resumed, unbroken = (resumable(name, client=client) for name in ("killed", "unbroken"))
    pd.testing.assert_frame_equal(resumed, unbroken)
    assert resumed["run_id"].nunique() > 5 and (resumed["status"] == "completed").sum() > 5
    rows, expected = store.read_runs("killed"), store.read_runs("unbroken")
    pd.testing.assert_frame_equal(rows.drop(columns="train_seconds"), expected.drop(columns="train_seconds"))
    kept = rows[rows["run_id"].isin(survived["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, survived)  # to the second: they were not trained again


@pytest.fixture
def stored(monkeypatch):
    """`sweeps.run_all` without training, but with rows in the store."""

    def run_all(configs, experiment, **how):
        for config in configs:
            row = {"run_id": config.run_id, **config.to_row(), **bowl(config), "train_seconds": 1.0}
            history = pd.DataFrame({"epoch": range(1, config.epochs + 1), "val_accuracy": row["val_score"]})
            store.stage(row, history, experiment)
        store.rebuild(experiment)
        runs = store.read_runs(experiment).set_index("run_id", drop=False)
        return runs.loc[list(dict.fromkeys(config.run_id for config in configs))].reset_index(drop=True)

    monkeypatch.setattr(sweeps, "run_all", run_all)


def test_the_experiment_is_read_from_its_tables(stored, results_root, monkeypatch):
    experiment = course.load_experiment("search")
    monkeypatch.setitem(sys.modules[experiment.run.__module__].BUDGET, "smoke", 24)
    assert not experiment.read("smoke").complete
    found = run_experiment(experiment)
    assert found.complete and set(found.history["run_id"]) == set(found.trials["run_id"])
    searches = found.trials.groupby(["algorithm", "search_seed"])
    assert searches["spent"].max().between(22, 24).all()
    table = found.table()
    for line in table.to_dict("records"):
        best = searches["score"].max()[line["algorithm"]]
        assert line["mean"] == pytest.approx(best.mean()) and line["n"] == best.size
    assert set(table["algorithm"]) == set(ALGORITHMS) and table["trials"].sum() == len(found.trials)
    assert set(found.figures()) == {"best_so_far", "settings"}
    path = results_root / "search" / "runs.csv"
    pd.read_csv(path, dtype={"run_id": str}).iloc[1:].to_csv(path, index=False)
    assert not experiment.read("smoke").complete


def test_words_become_a_space_and_what_is_fixed():
    words = {"learning_rate": "1e-3..1", "batch_size": (16, 32), "augmentation": "None,flip", "epochs": 7}
    space, base = read_space(words | {"optimizer_args.momentum": "0..0.9", "dataset": "shapes"})
    assert space["learning_rate"] == Range(0.001, 1.0, log=True)
    assert space["optimizer_args.momentum"] == Range(0, 0.9)
    assert space["batch_size"] == [16, 32] and space["augmentation"] == [None, "flip"]
    assert base == RunConfig(dataset="shapes", epochs=7)


@pytest.mark.parametrize("text", ["1..0.1", "a..b", "0.1..", "1..1"])
def test_a_range_in_words_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="Expected (numbers low < high|learning_rate from a number to a number)"):
        read_space({"learning_rate": text})


@pytest.mark.parametrize("name", ["foo.x", "optimizer_arg.momentum", "learning_rate.x"])
def test_an_entry_of_what_is_no_dict_is_refused(name):
    with pytest.raises(ValueError, match=f"Expected {name.split('.')[0]} to be a dict, for its entry"):
        read_space({name: 0.5})


def test_the_command_of_the_winner_makes_its_run():
    config = BASE.replace(dataset="folder:my photos?size=96", optimizer_args={"momentum": 0.9}, augmentation="flip")
    *_, save, name = words = shlex.split(tell_command(config))
    assert (save, name) == ("--save", "best.keras") and RunConfig(**_settings(words[4:-2])) == config
