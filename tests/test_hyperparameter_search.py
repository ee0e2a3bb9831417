"""Chapter 13: what is read from trials, the facts against what draws them, and regret from made-up rows."""

import numpy as np
import pandas as pd
import pytest
from keras_tuner import HyperParameters, Objective, oracles

from cnnkit import plots
from cnnkit.course.hyperparameter_search import _reading as reading
from cnnkit.course.hyperparameter_search import facts, regret, search
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import run_experiment
from cnnkit.evidence.fact import check
from cnnkit.lab import store, sweeps
from cnnkit.lab.search import Range

SPACE = {"learning_rate": Range(0.001, 10.0, log=True), "width": Range(0.0, 2.0), "augmentation": [None, "flip"]}
SPACE |= {"batch_size": [16, 32, 64]}


def trials(score, searches=4, count=30):
    """Made-up trials of random searches over SPACE, each with the score that `score` gives for its line."""
    rng, parts = np.random.default_rng(1), []
    for seed in range(1, searches + 1):
        lines = {
            "learning_rate": 10 ** rng.uniform(-3, 1, count),
            "width": rng.uniform(0, 2, count),
            "augmentation": rng.choice([None, "flip"], count),
            "batch_size": rng.choice([16, 32, 64], count),
        }
        known = {"algorithm": "random", "search_seed": seed, "epochs": 3}
        ids = [f"{seed}-{place}" for place in range(count)]
        parts.append(pd.DataFrame(lines | known | {"run_id": ids}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(score=score(table))


def test_a_setting_becomes_numbers_on_the_scale_of_its_range():
    lines = {"learning_rate": [0.001, 0.1, 10.0], "width": [0.0, 0.5, 2.0], "augmentation": [None, "flip", np.nan]}
    numbers = reading.encode(pd.DataFrame(lines | {"batch_size": [16, 64, 32]}), SPACE)
    expected = {"learning_rate": [0, 0.5, 1], "width": [0, 0.25, 1], "augmentation": [0, 1, 0], "batch_size": [0, 2, 1]}
    pd.testing.assert_frame_equal(numbers, pd.DataFrame(expected, dtype=float))


def test_a_forest_finds_what_the_score_was_made_of():
    made = trials(lambda one: 0.8 - 0.1 * np.log10(one["learning_rate"]) ** 2 + 0.02 * one["width"], 3, 40)
    parts = reading.importances(made, SPACE)
    assert len(parts) == 3 * len(SPACE) and (parts["r2"] > 0.7).all() and (parts["oob"] > 0.7).all()
    means = parts.groupby("hyperparameter")["importance"].mean().sort_values(ascending=False)
    assert means.index[0] == "learning_rate" and means.iloc[0] > 0.8
    assert means[["augmentation", "batch_size"]].max() < 0.1
    few = reading.importances(made, SPACE, share=0.5)
    assert few.groupby("hyperparameter")["importance"].mean()["learning_rate"] < means["learning_rate"]
    assert reading.importances(made[made["search_seed"] == 1], SPACE).empty


def test_an_end_where_the_best_of_most_searches_lie_is_flagged_and_no_other():
    made = trials(lambda one: 0.5 + 0.1 * one["width"] - 0.01 * np.log10(one["learning_rate"]) ** 2, searches=12)
    table = reading.edges(made, SPACE).set_index(["hyperparameter", "end"])
    assert set(table.index.get_level_values(0)) == {"learning_rate", "width", "batch_size"}  # flips have no order
    assert table[table["flag"] != ""].index.tolist() == [("width", 2.0)]
    assert table.loc[("width", 2.0), "there"] >= 9 and (table["searches"] == 12).all()


def test_lost_trials_are_counted_by_what_their_runs_say():
    made = trials(lambda one: 0.5, searches=1, count=4)
    runs = pd.DataFrame({"run_id": made["run_id"], "val_accuracy": [0.9, 0.85, 0.3, 0.1], "majority_share": 0.1})
    runs["status"] = ["completed", "completed", "completed", "diverged"]
    assert reading.lost(made, runs).loc["random"].tolist() == [4, 1, 2]


def test_the_expected_best_is_what_draws_give():
    scores = np.random.default_rng(1).normal(size=12)
    expected, rng = reading.expected_best(scores), np.random.default_rng(2)
    assert expected[1] == pytest.approx(scores.mean()) and expected[12] == pytest.approx(scores.max())
    drawn = [rng.choice(scores, 4, replace=False).max() for _ in range(4000)]
    assert expected[4] == pytest.approx(np.mean(drawn), abs=0.03)


def test_facts_are_what_draws_and_grids_give():
    draws = np.random.default_rng(1).normal(size=(20_000, 20)).max(axis=1).mean()
    assert facts.best_of(20) == pytest.approx(draws, abs=0.02) and facts.best_of(1) == pytest.approx(0, abs=1e-9)
    assert facts.trials_for(0.05, 0.95) == 59 and 1 - 0.95**58 < 0.95 <= 1 - 0.95**59
    assert facts.values_tried(256, 8) == 2 and facts.values_tried(255, 8) == 1 and facts.values_tried(27, 3) == 3
    assert [check(one)["verdict"] for one in facts.FACTS] == ["FALSE", "TRUE", "FALSE"]


@pytest.mark.parametrize("most", [3, 9, 12, 27, 81])
def test_brackets_are_those_of_keras_tuner(most):
    hyperparameters = HyperParameters()
    hyperparameters.Float("x", 0, 1)
    oracle = oracles.HyperbandOracle(Objective("x", "max"), max_epochs=most, hyperparameters=hyperparameters)
    theirs = [
        [(oracle._get_size(last, k), oracle._get_epochs(last, k)) for k in range(oracle._get_num_rounds(last))]
        for last in reversed(range(oracle._get_num_brackets()))
    ]
    assert facts.brackets(most) == theirs


def test_the_space_says_of_every_hyperparameter_why_it_is_there():
    assert set(regret.ROLES) >= set(regret.SPACE)
    assert {role for role, _ in regret.ROLES.values()} == {"scientific", "nuisance", "fixed"}
    assert all(regret.ROLES[name][0] != "fixed" for name in regret.SPACE)


def test_the_search_of_before_keeps_its_space_so_that_its_rows_stay_valid():
    assert list(search.SPACE) == ["learning_rate", "optimizer_args.momentum", "batch_size", "schedule"]
    assert search.SPACE["learning_rate"] == Range(0.001, 3.0, log=True) and search.BUDGET["full"] == 540
    assert search.TRAINING_SEEDS["full"] == (1, 2, 3) and search.BASE["full"].epochs == 9


@pytest.fixture
def made_up(monkeypatch):
    """`sweeps.run_all` without training: best at a rate of 0.01 and with flips, a point of noise by config."""

    def run_all(configs, experiment, **how):
        for config in configs:
            level = 0.5 - 0.05 * np.log10(config.learning_rate / 0.01) ** 2 + 0.02 * (config.augmentation is not None)
            level = max(0.1, level + 0.01 * np.random.default_rng(int(config.run_id, 16)).normal())
            row = {"run_id": config.run_id, **config.to_row(), "status": "completed", "val_score": level}
            row |= {"val_accuracy": level, "test_accuracy": level, "majority_share": 0.1, "train_seconds": 1.0}
            history = pd.DataFrame({"epoch": range(1, config.epochs + 1), "val_accuracy": level})
            store.stage(row, history, experiment)
        store.rebuild(experiment)
        runs = store.read_runs(experiment).set_index("run_id", drop=False)
        return runs.loc[list(dict.fromkeys(config.run_id for config in configs))].reset_index(drop=True)

    monkeypatch.setattr(sweeps, "run_all", run_all)


def test_regret_is_read_from_its_tables(made_up, monkeypatch):
    for name, value in (("BUDGET", 15), ("SEARCH_SEEDS", (1, 2, 3)), ("ON_THE_WAY", (101, 102))):
        monkeypatch.setitem(getattr(regret, name), "smoke", value)
    monkeypatch.setitem(regret.FINAL, "smoke", (101, 102, 103))
    assert not regret.EXPERIMENT.read("smoke").complete and regret.EXPERIMENT.read("smoke").verdicts() == []
    found = run_experiment(regret.EXPERIMENT)
    assert found.complete and set(found.trials["run_id"]) == set(found.configs) == set(found.runs["run_id"])
    searched, again = regret.searched(found), found.trials[found.trials["role"] == "again"]
    assert searched.groupby(regret.SEARCH)["spent"].max().eq(15).all()
    assert set(again["seed"]) == {101, 102, 103} and again["epochs"].eq(1).all()
    told = regret.promised(found)
    for line in told.to_dict("records"):
        mine = searched[(searched[regret.SEARCH] == [line["algorithm"], line["search_seed"]]).all(axis=1)]
        assert line["seen"] == mine["score"].max()
        last = again[(again[regret.SEARCH] == [line["algorithm"], line["search_seed"]]).all(axis=1)]
        last = last[last["trial"] == mine.loc[mine["score"].idxmax(), "trial"]]
        assert len(last) == 3 and line["val_score"] == pytest.approx(last["score"].mean())
    winner = found.trials[found.trials["role"] == "winner"]
    best = told.loc[told["val_score"].idxmax()]
    assert (winner[regret.SEARCH] == best[regret.SEARCH].tolist()).all(axis=None) and winner["seed"].tolist() == [151]
    lines = regret.regrets(found)
    assert lines["epochs"].max() == 15 and len(lines[lines["epochs"] == 15]) == 9
    verdicts = claims.as_table(found.verdicts()).set_index("id")
    assert (verdicts["n"] == 3).all() and set(verdicts["ledger"].dropna()) == {74} and (verdicts["verdict"] != "").all()
    assert verdicts.at["best-score-holds", "effect"] == pytest.approx(-told["optimism"].mean())
    assert set(found.table()["algorithm"]) == set(told["algorithm"]) and "random" in found.answer()
    assert set(found.figures()) == {"regret", "promised", "importance", "parallel"}


def test_figures_of_trials_have_a_place_for_none_and_for_scores_without_error():
    made = trials(lambda one: 1.0).assign(early_stopping=[None, 3, 10] * 40, ema=[None, 0.9] * 60)
    names = ["learning_rate", "early_stopping", "ema"]
    figure = plots.plot_trials(made, names)
    assert figure.axes[0].get_yscale() == "linear"
    figure.canvas.draw()
    ticks = [[text.get_text() for text in ax.get_xticklabels()] for ax in figure.axes[-2:]]
    assert ticks == [["3", "10", "none"], ["0.9", "none"]]
    written = [text.get_text() for text in plots.plot_parallel(made, names).texts]
    assert written[2:] == ["3", "10", "none", "0.9", "none"]


def test_lines_of_the_best_are_set_apart_and_every_axis_has_its_ends():
    made = trials(lambda one: 0.8 - 0.1 * np.log10(one["learning_rate"]) ** 2)
    ax = plots.plot_parallel(made, list(SPACE), share=0.1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["others (108)", "best 10% (12)"]
    written = [text.get_text() for text in ax.texts]
    assert {"none", "flip", "16", "64"} <= set(written) and len(written) == 2 + 2 + 2 + 3
    assert ax.get_xticklabels()[0].get_text() == "Learning\nrate"
