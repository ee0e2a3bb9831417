"""What README.md shows works as it stands there."""

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from test_floors import FILES, FLOORS, part_of, parts_of

from cnnkit import course, data
from cnnkit.evidence.experiment import run_experiment
from cnnkit.lab import store, sweeps, training

README = (Path(__file__).parent.parent / "README.md").read_text()


def between(mark):
    return re.search(rf"<!-- {mark}: .*?-->\n```\w*\n(.*?)```", README, re.DOTALL)[1]


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """The experiment of the README, saved where it says, with runs trained in this process."""
    (tmp_path / "course/mine").mkdir(parents=True)
    (tmp_path / "course/mine/batch.py").write_text(between("experiment"))
    monkeypatch.setattr(course, "__path__", [str(tmp_path / "course")])

    def run_all(configs, experiment, **_):
        for config in configs:
            run = training.train(config, keep_traced=True)
            store.stage(run.row, run.history, experiment)
        store.rebuild(experiment)

    monkeypatch.setattr(sweeps, "run_all", run_all)
    return course.load_experiment("batch")


def test_a_newcomers_experiment_is_forty_lines_and_runs(batch):
    assert len(between("experiment").splitlines()) <= 40
    found = run_experiment(batch)
    assert found.complete and found.table()["batch"].tolist() == ["small", "large"]
    assert list(found.figures()) == ["tuning", "accuracy", "curves"]
    (verdict,) = found.verdicts()
    assert verdict["verdict"] == "INCONCLUSIVE" and "the protocol asks for 5" in verdict["reason"]


def test_the_full_one_tunes_each_arm_and_asks_for_fresh_seeds(batch):
    plan = batch.read("full").plans[""]
    assert len(plan.missing) == 2 * 5 * 3 and {config.batch_size for config in plan.missing} == {16, 256}
    rows = [{"run_id": c.run_id, **c.to_row(), "status": "completed", "train_seconds": 9.0} for c in plan.missing]
    scores = [0.9 - abs(np.log2(c.learning_rate / 0.08)) / 50 + c.seed / 1e4 for c in plan.missing]
    tuned = batch.full.plan(pd.DataFrame(rows).assign(val_score=scores), pd.DataFrame())
    fresh = [config for config in tuned.missing if config.seed > 100]
    assert len(fresh) == 2 * len(tuned.seeds) >= 10 and {config.learning_rate for config in fresh} == {0.08}


@pytest.mark.parametrize("mark, name", [("range", "test"), ("statistics", "seen"), ("schedule", "log")])
def test_a_callback_is_three_lines(mark, name):
    digits = data.load_dataset("digits", train_size=200)
    model = keras.Sequential([keras.Input(digits.input_shape), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {"model": model, "x_train": digits.x_train / np.float32(16), "y_train": digits.y_train}
    assert len(between(mark).splitlines()) == 3
    exec(between(mark), names)
    callback = names[name]
    assert len(callback.curve) > 100 if mark == "range" else len(callback.table) >= 4


def test_the_map_holds_every_part_in_the_order_of_its_imports():
    lines = [line.split(maxsplit=1) for line in between("map").splitlines()]
    assert [name for name, _ in lines] == FLOORS
    for path in FILES:
        if part_of(path) != "__init__":
            assert all(FLOORS.index(name) <= FLOORS.index(part_of(path)) for name in parts_of(path)), path
    listed = {
        name: words.split(":")[0].split() for name, words in lines if name in ("data", "lab", "evidence", "report")
    }
    for name, files in listed.items():
        there = {path.stem for path in FILES if part_of(path) == name} - {"__init__", "preload", "duplicates"}
        assert there == set(files), name
