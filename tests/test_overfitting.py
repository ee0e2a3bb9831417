"""Chapter 11: the clinic's runs, what its figures count, and that its experiments ask what they say."""

import numpy as np
import pandas as pd
import pytest

from cnnkit import course
from cnnkit.course.overfitting import _clinic, facts, learning_curves, long_training, random_labels, selection
from cnnkit.evidence import claims
from cnnkit.lab import store

EXPERIMENTS = ("learning_curves", "long_training", "random_labels")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras' LearningRateScheduler on NumPy 2
@pytest.mark.parametrize("symptom", _clinic.NAMES)
def test_a_broken_run_of_the_clinic_is_named(symptom):
    _, found = _clinic.examine(_clinic.broken()[symptom])
    assert symptom in found["symptom"].tolist(), found["evidence"].tolist()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras' LearningRateScheduler on NumPy 2
@pytest.mark.parametrize("name", _clinic.sound())
def test_a_sound_run_of_the_clinic_is_not_accused(name):
    _, found = _clinic.examine(_clinic.sound()[name])
    assert found.empty, found["evidence"].tolist()
    assert len(found.attrs["applied"]) >= 10


def test_the_clinic_is_no_experiment_and_the_chapters_experiments_are():
    known = course.list_experiments()
    assert "_clinic" not in known and {*EXPERIMENTS, "selection"} <= set(known)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_ask_for_runs_and_have_claims(name):
    experiment = course.load_experiment(name)
    assert course.notebook_of(name) == "11_overfitting"
    parts = experiment.full if isinstance(experiment.full, dict) else {"": experiment.full}
    for comparison in parts.values():
        assert comparison.claims and all(claim.ledger in (69, 73, 79) for claim in comparison.claims)
        for arm in comparison.arms:
            assert arm in comparison.followers or len(comparison.rates_of(arm)) >= 5
    assert experiment.read("full").gap().startswith("being measured") or experiment.read("full").complete


def test_curves_in_data_and_in_width_share_the_runs_that_are_the_same():
    data, width = learning_curves.cifar10, learning_curves.capacity
    for name, arm in learning_curves.NETWORKS.items():
        assert data.configs[f"{name}, 2000"].run_id == width.configs[arm].run_id
        assert data.rates_of(f"{name}, 2000") == width.rates_of(arm)
    assert all(config.epochs * size >= 12_000 for (_, config) in data.configs.items() for size in [config.train_size])


def test_random_labels_are_no_collapse_where_they_are_learnt():
    """Validation is at chance, as it must be: training tells."""
    rows = pd.DataFrame({"arm": "a", "status": "completed", "majority_share": 0.1, "val_accuracy": 0.1}, index=range(3))
    rows["train_accuracy"] = [1.0, 0.98, 0.105]
    assert claims.find_collapsed(rows.assign(dataset="relabelled:digits")).tolist() == [False, False, True]
    assert claims.find_collapsed(rows.assign(dataset="digits")).tolist() == [True] * 3
    random, true = (random_labels.labels.configs[f"perceptron, {kind}"] for kind in ("random", "true"))
    assert random.replace(dataset=true.dataset).run_id == true.run_id


def test_turning_points_of_two_curves():
    epochs = np.arange(1, 21)
    loss, accuracy = 1 + 0.01 * (epochs - 4) ** 2, np.where(epochs == 12, 0.7, 0.5 + 0.005 * np.minimum(epochs, 12))
    history = pd.DataFrame({"run_id": "a", "epoch": epochs, "val_loss": loss, "val_accuracy": accuracy})
    line = long_training.turning_points(history.sample(frac=1, random_state=0)).iloc[0]
    assert (line["loss turns"], line["accuracy is best"]) == (4, 12)
    assert line["rise"] == pytest.approx(loss[-5:].mean()) and line["fall"] == pytest.approx(0.7 - 0.56)


# Choosing


def trials(right):
    """Made-up trials of settings that have these images right, a Boolean array `(settings, images)`."""
    bits = [np.packbits(line).tobytes().hex() for line in right]
    return pd.DataFrame({"learning_rate": 0.1, "images": right.shape[1], "seconds": 1.0, "right": bits})


def test_what_is_right_survives_the_table(results_root):
    right = np.random.default_rng(1).random((5, 359)) < 0.5
    store.write_atomically(results_root / "selection" / "trials.csv", trials(right).to_csv(index=False))
    np.testing.assert_array_equal(selection.answers(selection.EXPERIMENT.read("smoke")), right)


def test_the_best_on_some_images_is_judged_by_the_others():
    right = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1]], dtype=bool)
    assert selection.choose(right, np.array([0, 1])) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("deviation", [0.0, 0.02])
def test_independent_settings_flatter_as_the_formula_says(results_root, deviation):
    rng = np.random.default_rng(3)
    accuracy = 0.5 + deviation * rng.standard_normal(100)
    right = rng.random((100, 10_000)) < accuracy[:, None]
    table = selection.curves(right).set_index(["images", "tried"])
    assert abs(table.at[(1000, 1), "optimism"]) < 0.003 and abs(table.at[(100, 1), "regret"]) < 0.003
    expected = facts.best_of(10) * 0.5 / np.sqrt(1000)
    if not deviation:
        assert table.at[(1000, 10), "optimism"] == pytest.approx(expected, rel=0.15)
    assert table.at[(1000, 100), "optimism"] == pytest.approx(table.at[(1000, 100), "binomial_optimism"], abs=0.005)
    store.write_atomically(results_root / "selection" / "trials.csv", trials(right).to_csv(index=False))
    found = selection.EXPERIMENT.read("smoke")
    flatters, costs = found.verdicts()
    assert (flatters["ledger"], flatters["n"], costs["ledger"], costs["n"]) == (74, 40, 75, 40)
    if deviation:
        assert flatters["effect"] > 0.005 and costs["effect"] > 0
    else:
        assert (flatters["verdict"], costs["verdict"]) == ("SUPPORTED", "REFUTED")
    assert set(found.figures()) == {"selection"} and "too good by" in found.answer()


def test_settings_are_drawn_once_and_differ():
    full, smoke = (selection.settings(profile) for profile in ("full", "smoke"))
    assert len({config.run_id for config in full}) == 100 and len(smoke) == 6
    assert full[0] == selection.settings("full")[0] and {config.seed for config in full} == {1}


def test_facts_against_formulas():
    assert facts.best_of(1) == pytest.approx(0, abs=1e-9)
    assert facts.best_of(2) == pytest.approx(1 / np.sqrt(np.pi))
    assert facts.best_of(10) == pytest.approx(
        np.random.default_rng(1).normal(size=(50_000, 10)).max(1).mean(), rel=0.01
    )
    assert facts.line_through_parabola(20_000, draws=20) == pytest.approx(1 / 5 - 1 / 9, rel=0.02)  # E x^4 - (E x^2)^2
    verdicts = {one.id: course.fact.check(one)["verdict"] for one in facts.FACTS}
    assert set(verdicts.values()) == {"FALSE"}
    assert facts.moved_by_validation() == 0 and facts.learnt_by_heart() < 0.2
