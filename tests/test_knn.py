"""Exact nearest neighbours against NumPy and scikit-learn; the rows of blocks in the store, and a tampered one."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from cnnkit import course, data, neighbours
from cnnkit.course.baselines import knn
from cnnkit.lab import store, sweeps
from cnnkit.report import gallery
from cnnkit.report.verify import verify

RANDOM = np.random.default_rng(1)


def pictures(n, pixels, low=0, high=256):
    return RANDOM.integers(low, high, (n, pixels), dtype="uint8")


@pytest.mark.parametrize("metric", neighbours.DISTANCES)
@pytest.mark.parametrize("n, m, pixels", [(3, 5, 1), (60, 70, 300), (2, 9, 3072)])
def test_distances_are_those_of_whole_numbers(metric, n, m, pixels):
    a, b = pictures(n, pixels), pictures(m, pixels)
    difference = np.abs(a[:, None].astype(int) - b)
    expected = (difference if metric == "l1" else difference**2).sum(axis=-1)
    np.testing.assert_array_equal(neighbours.DISTANCES[metric](a, b), expected)


@pytest.mark.parametrize("metric", neighbours.DISTANCES)
def test_black_against_white_overflows_nothing(metric):
    white, black = np.full((2, 3072), 255, "uint8"), np.zeros((1, 3072), "uint8")
    assert (neighbours.DISTANCES[metric](white, black) == 3072 * (255 if metric == "l1" else 255**2)).all()
    assert (neighbours.DISTANCES[metric](white, white) == 0).all()


@pytest.mark.parametrize("metric", neighbours.DISTANCES)
def test_neighbours_come_in_order_of_distance_then_place(metric, monkeypatch):
    monkeypatch.setattr(neighbours, "COLUMNS", 7)  # several parts, the last one shorter than the neighbours asked for
    a, b = pictures(8, 6, high=3), pictures(30, 6, high=3)  # many equal distances
    distances, places = neighbours.nearest(a, b, metric, 5)
    expected = neighbours.DISTANCES[metric](a, b)
    order = np.argsort(expected, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(expected, order, axis=1))


def test_votes_are_scikit_learns():
    digits = data.load_dataset("digits")
    x, y, queries = digits.x_train.reshape(-1, 784), digits.y_train, digits.x_test[:200].reshape(-1, 784)
    for metric in ("l1", "l2"):
        _, places = neighbours.nearest(queries, x, metric, knn.MOST)
        votes = neighbours.vote(y[places], 10)
        for k in (1, 2, 7, 20):
            theirs = KNeighborsClassifier(k, algorithm="brute", metric=metric).fit(x.astype(float), y)
            np.testing.assert_array_equal(votes[:, k - 1], theirs.predict(queries.astype(float)))


def test_equal_votes_go_to_the_lowest_class():
    assert neighbours.vote(np.array([[2, 1, 1, 2, 0, 0]]), 3).tolist() == [[2, 1, 1, 1, 1, 0]]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: neighbours.nearest(pictures(2, 4), pictures(3, 4), "l3", 1),
        lambda: neighbours.nearest(pictures(2, 4), pictures(3, 4), "l1", 4),
        lambda: knn.Block("digits", "l3", "val"),
        lambda: knn.Block("digits", "l1", "train"),
        lambda: knn.Block("digit", "l1", "val"),
    ],
)
def test_impossible_questions_are_refused(ask):
    with pytest.raises(ValueError, match="Expected .*Received: "):
        ask()


def test_a_block_is_its_row_and_back():
    block = knn.Block("mnist", "l2", "test", 3)
    row = pd.DataFrame([block.to_row(), knn.Block("digits", "l1", "val", train_size=9).to_row()]).iloc[0]
    assert knn.Block.from_row(row) == block and knn.Block.from_row(row).run_id == block.run_id
    plan = knn.blocks("full", None)
    assert len({block.run_id for block in plan}) == len(plan) == 2 * (6 + 10) + 2 * (5 + 10)


@pytest.fixture
def store(monkeypatch, tmp_path):
    """The smoke plan of knn on digits alone as if it were the full one, made by a worker and written out."""
    plan = [block for block in knn.blocks("smoke", None) if block.dataset == "digits"]
    small = knn.dataclasses.replace(knn.EXPERIMENT, stages=(lambda profile, runs: plan,))
    monkeypatch.setenv("CNNKIT_PROFILE", "full")
    monkeypatch.setattr(knn, "EXPERIMENT", small)
    monkeypatch.setattr(course, "list_experiments", lambda: ["knn"])
    monkeypatch.setattr(gallery, "list_experiments", lambda: ["knn"])
    monkeypatch.setattr("cnnkit.verify.list_experiments", lambda: ["knn"])
    return small, tmp_path / "results"


def test_rows_are_kept_traced_drawn_and_a_tampered_one_is_found(store, capsys):
    experiment, root = store
    runs, _ = course.run_experiment(experiment)
    assert (runs["status"] == "completed").all() and runs["references"].tolist() == [500, 644, 500, 644]
    test = knn.by_k(runs).query("split == 'test' and metric == 'l2' and k == 1").iloc[0]
    digits = data.load_dataset("digits", train_size=500)
    x, y = np.concatenate([digits.x_train, digits.x_val]), np.concatenate([digits.y_train, digits.y_val])
    model = KNeighborsClassifier(1, algorithm="brute").fit(x.reshape(len(x), -1).astype(float), y)
    assert test["accuracy"] == model.score(digits.x_test.reshape(-1, 784).astype(float), digits.y_test)
    assert test["low"] < test["accuracy"] < test["high"]

    text = gallery.report("knn", runs, None)
    assert "4 runs (4 completed)" in text and "best k on validation" in text
    again, _, missing = course.stored_runs(experiment)
    pd.testing.assert_frame_equal(again, runs)
    assert missing == 0

    gallery.rebuild()
    capsys.readouterr()
    assert verify(sample=1) == 0
    out = capsys.readouterr().out
    assert "knn): bit for bit (exact sums)" in out and "ok    figure knn/digits.png" in out

    table = pd.read_csv(root / "knn" / "runs.csv", dtype={"run_id": str, "commit": str})
    counts = table["correct"].map(json.loads).map(lambda right: [right[0] - 1, *right[1:]])
    table.assign(correct=counts.map(json.dumps)).to_csv(root / "knn" / "runs.csv", index=False, lineterminator="\n")
    gallery.rebuild()  # figures and text now agree with the lie: only counting again can tell
    assert verify(sample=1) == 1
    assert "the same bits were due (exact sums)" in capsys.readouterr().out

    table.assign(correct="[1, 2]").to_csv(root / "knn" / "runs.csv", index=False, lineterminator="\n")
    verify(sample=0)
    assert "correct is [1, 2], not 20 counts of" in capsys.readouterr().out


def test_a_finished_block_is_not_computed_again_and_a_stale_one_refused(monkeypatch):
    block = knn.Block("digits", "l1", "val", train_size=100)
    row = block.compute().row
    store.stage(row, pd.DataFrame(), "knn")
    monkeypatch.setattr(knn.Block, "compute", lambda self: pytest.fail("computed again"))
    assert sweeps.run_all([block], "knn")["correct"].tolist() == [row["correct"]]
    monkeypatch.setattr(knn.Block, "fingerprint", lambda self: {"data_sha256": "0" * 64})
    with pytest.raises(ValueError, match="stale rows, 1 of 1; run .*knn on digits"):
        sweeps.run_all([block], "knn")


def test_published_figures_are_judged_as_printed():
    def right(share):
        return json.dumps([round(1000 * share)] * 20)

    rows = [
        {"run_id": f"{d}{m}{s}", "dataset": d, "metric": m, "split": s, "images": 1000, "correct": right(share)}
        for d, m, share in [("cifar10", "l1", 0.386), ("cifar10", "l2", 0.353), ("mnist", "l2", 0.95)]
        for s in ("val", "test")
    ]
    verdicts = pd.DataFrame(knn.counted(pd.DataFrame(rows), None)).set_index("id")["verdict"]
    assert verdicts.to_dict() == {
        "knn-cifar10-l1-1": "TRUE",
        "knn-cifar10-l2-1": "FALSE",
        "knn-mnist-l2-1": "FALSE",
        "knn-mnist-l2-3": "TRUE",
        "knn-cifar10-seven": "FALSE",
    }
