"""What a convolutional network is measured against: nearest neighbours and linear layers; and the course as a whole."""

import keras
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from cnnkit import course, data
from cnnkit.course.baselines import knn
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import run_experiment
from cnnkit.lab import recipes


def test_a_linear_layer_of_zeros_loses_nine_and_ln_ten():
    labels, scores = np.eye(10, dtype="float32"), np.zeros((10, 10), "float32")
    losses = {name: make(0.0)(labels, scores) for name, make in recipes.LOSSES.items()}
    losses = {name: float(keras.ops.mean(loss)) for name, loss in losses.items()}
    assert losses == pytest.approx({"crossentropy": np.log(10), "hinge": 9.0})


@pytest.mark.parametrize("metric", knn.METRICS)
def test_neighbours_count_as_scikit_learns_where_no_vote_is_tied(metric):
    dataset = data.load_dataset("digits", train_size=300)
    right = knn.count_right(dataset.x_val, dataset.x_train, dataset.y_val, dataset.y_train, metric)
    flat = {split: getattr(dataset, f"x_{split}").reshape(-1, 784) / 255 for split in ("train", "val")}
    nearest = KNeighborsClassifier(1, metric=knn.METRICS[metric]).fit(flat["train"], dataset.y_train)
    assert right.shape == (20,) and right[0] == (nearest.predict(flat["val"]) == dataset.y_val).sum()


def test_of_tied_votes_the_nearer_wins():
    line = np.array([0, 1, 2, 3] + [50] * 16, dtype="uint8").reshape(-1, 1, 1, 1)
    labels = np.array([1, 0, 0, 1] + [2] * 16)
    right = knn.count_right(np.zeros((1, 1, 1, 1), "uint8"), line, np.array([1]), labels, "l1")
    assert right[:4].tolist() == [1, 1, 0, 1]  # 1; a tie, and 1 is nearer; 0 twice; a tie again


def test_neighbours_are_counted_once_and_published_figures_compared(monkeypatch):
    monkeypatch.setitem(knn.SETS, "smoke", (("digits", 100),))
    found = run_experiment(knn.EXPERIMENT)
    assert found.complete and len(found.trials) == 2 * 2 * 20
    assert found.table()["metric"].tolist().count("L1") >= 1 and list(found.figures()) == ["digits"]
    assert found.verdicts() == []  # nothing is published of digits
    monkeypatch.setattr(knn, "_count", None)
    assert run_experiment(knn.EXPERIMENT).trials.equals(found.trials)


@pytest.mark.parametrize("profile", ["smoke", "full"])
@pytest.mark.parametrize("name", course.list_experiments())
def test_every_experiment_reads_without_rows_and_says_that_it_is_measured_again(name, profile):
    found = course.load_experiment(name).read(profile)
    assert not found.complete and "being measured" in found.answer()
    for verdict in claims.as_table(found.verdicts()).to_dict("records"):
        assert verdict["verdict"] == "INCONCLUSIVE" and verdict["reason"].startswith("being measured")
