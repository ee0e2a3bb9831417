"""Chapter 10: the best of several strengths, effects in company, facts against formulas, and what experiments ask."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers, optimizers, regularizers

from cnnkit import course, data, models
from cnnkit.course.lenet import remedies
from cnnkit.course.regularization import _recipe, augmentation, facts, penalties, together, weight_decay
from cnnkit.evidence.experiment import Claim
from cnnkit.lab import recipes

EXPERIMENTS = ("dropout", "penalties", "weight_decay", "augmentation", "endings", "together")
FACTS = {one.id: one for one in facts.FACTS}


# The best of several strengths


def rows_of(plan_of, score):
    """Return made-up rows that complete a comparison: `score(config)` is a run's accuracy everywhere."""
    rows = pd.DataFrame(columns=["run_id"])
    history = pd.DataFrame({"run_id": [], "epoch": [], "seconds": []})
    while missing := plan_of(rows, history).missing:
        new = []
        for config in missing:
            row = {"run_id": config.run_id, **config.to_row(), "status": "completed", "majority_share": 0.1}
            row |= dict.fromkeys(("val_score", "val_accuracy", "test_accuracy", "train_accuracy"), score(config))
            new.append(row | {"test_images": 10_000, "train_seconds": 1.0})
        rows = pd.concat([rows, pd.DataFrame(new)], ignore_index=True)
    return plan_of(rows, history)


def small(*groups):
    arms = {"none, 0": {}} | {f"L2, {value:g}": {"regularization": {"l2": value}} for value in (1e-4, 1e-3, 1e-2)}
    claims = (Claim("best", "It helps", "L2, best", "none, 0", "ours", ledger=51),)
    how = {"tuning_seeds": (1, 2, 3), "seeds": 5, "longer_seeds": 0, "where": "(here)", "margin": 0.01}
    return _recipe.BestOf(
        _recipe.BASE.replace(dataset="halved:digits", train_size=200),
        "penalty, strength",
        arms,
        _recipe.RATES,
        claims,
        groups=groups,
        **how,
    )


def scorer(best):
    def score(config):
        strength = config.regularization.get("l2", 0)
        near = 0.05 if strength == best else 0.0
        wide = 0.001 * (config.learning_rate == 0.02) + 1e-4 * (config.seed * 7 % 5)
        return 0.5 + near + wide * (1 + strength)

    return score


def test_the_best_arm_is_the_strength_that_validates_best_and_costs_no_run():
    plan = rows_of(small("L2").plan, scorer(1e-3))
    assert plan.comparison.followers["L2, best"].arm == "L2, 0.001"
    fresh = plan.of_role("fresh")
    assert set(fresh[fresh["arm"] == "L2, best"]["run_id"]) == set(fresh[fresh["arm"] == "L2, 0.001"]["run_id"])
    assert len(plan.configs) == 4 * (5 * 3 + 5)
    (verdict,) = plan.verdicts()
    assert verdict["verdict"] == "SUPPORTED" and verdict["effect"] == pytest.approx(0.05, abs=0.001)
    assert verdict["conditions"].endswith("best: L2, 0.001") and verdict["text"] == "It helps (here)."


def test_a_best_strength_at_the_edge_of_its_grid_decides_nothing():
    (verdict,) = rows_of(small("L2").plan, scorer(1e-2)).verdicts()
    assert verdict["verdict"] == "INCONCLUSIVE" and "L2 is at the edge of what was tried: L2, 0.01" in verdict["reason"]


def test_a_group_that_no_arm_has_is_one_error():
    with pytest.raises(ValueError, match="groups out of L2, none.* Received: L1"):
        small("L1")


# What is declared


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_ask_for_runs_and_have_claims(name):
    experiment = course.load_experiment(name)
    assert course.notebook_of(name) == "10_regularization"
    parts = experiment.full if isinstance(experiment.full, dict) else {"": experiment.full}
    for comparison in parts.values():
        assert comparison.claims
        for arm in comparison.arms:
            assert arm in comparison.followers or len(comparison.rates_of(arm)) >= 5
    told = {claim.id: 0.1 for comparison in parts.values() for claim in comparison.claims}
    assert len(experiment.answer.format_map(told).split()) <= 20


def test_the_network_has_no_dropout_of_its_own_and_drop_adds_what_it_names():
    shape = data.load_dataset("halved:digits").input_shape
    for fields, expected in ((_recipe.BASE.model_args, 0), (_recipe.drop(dense_dropout=0.5)["model_args"], 1)):
        network = models.create_model("keras_cifar", shape, 10, **fields)
        assert sum(isinstance(layer, layers.Dropout) for layer in network.layers) == expected
    assert models.create_model("keras_cifar", (16, 16, 3), 10, **_recipe.ALONE).count_params() == 52_250


def test_grids_lie_around_the_strengths_at_which_a_penalty_of_the_first_weights_is_half_a_nat():
    keras.utils.set_random_seed(1)
    network = models.create_model("keras_cifar", (16, 16, 3), 10, **_recipe.ALONE)
    kernels = [weight.numpy() for weight in network.trainable_variables if len(weight.shape) > 1]
    for name, sums in (("L1", sum(np.abs(k).sum() for k in kernels)), ("L2", sum((k**2).sum() for k in kernels))):
        (grid,) = penalties.STRENGTHS[name].values()
        assert grid[0] < 0.5 / sums < grid[-1]
    assert all(1.2 < np.median(np.linalg.norm(k.reshape(-1, k.shape[-1]), axis=0)) < 1.6 for k in kernels[:-1])
    rates = [decay for values in weight_decay.RANGES.values() for decay in values]
    assert rates == sorted(rates) and rates[0] == 0


def test_long_and_short_runs_of_a_way_differ_in_their_length_alone():
    configs = augmentation.lengths.configs
    for way in augmentation.WAYS:
        assert configs[f"{way}, 45"].replace(epochs=15).run_id == configs[f"{way}, 15"].run_id


# Effects in company


class Found:
    def __init__(self, score):
        arms = list(together.ARMS)
        fresh = pd.DataFrame([{"arm": arm, "seed": seed} for arm in arms for seed in range(101, 109)])
        fresh["test_accuracy"] = [score(set(arm.split(" + "))) for arm in fresh["arm"]]
        self.plans = {"": self}
        self.of_role = lambda role: fresh.assign(collapsed=False)


def test_simple_effects_tell_what_a_remedy_buys_in_each_company():
    found = Found(lambda some: 0.4 + 0.05 * ("dropout" in some) + 0.04 * ("pictures" in some)
                  - 0.03 * ({"dropout", "pictures"} <= some))  # fmt: skip
    table = together.simple_effects(found).set_index(["effect of", "beside"])["effect"]
    assert len(table) == 12
    assert table["dropout", "none"] == pytest.approx(0.05) and table["dropout", "pictures"] == pytest.approx(0.02)
    assert table["decay", "dropout + pictures"] == pytest.approx(0)
    means = together.main_effects(found).set_index(["effect of", "kind"])["effect"]
    assert means["dropout", "main"] == pytest.approx(0.035)
    assert means["dropout × pictures", "interaction"] == pytest.approx(-0.015)
    assert remedies.corners("ab") == [(), ("a",), ("b",), ("a", "b")]


# Facts


def test_dropout_of_keras_is_that_of_the_sums_that_are_counted():
    sums, chances = facts.dropped_sums([1.0, 2.0], 0.2)
    assert sorted(sums) == pytest.approx([0, 1.25, 2.5, 3.75]) and chances.sum() == pytest.approx(1)
    kept = np.asarray(layers.Dropout(0.2, seed=1)(np.ones((1, 1000)), training=True))
    assert set(np.unique(kept)) == {0, np.float32(1.25)}
    x = np.array([1.0, -2.0, 3.0])
    for rate in (0.1, 0.5, 0.9):
        assert facts.added_variance(x, rate) == pytest.approx(rate / (1 - rate) * (x**2).sum())


def test_penalties_shrink_as_formulas_say_and_descent_hovers_around_zero():
    assert np.array_equal(facts.minimum(facts.SLOPES, lambda w: w**2 / 2), facts.SLOPES / 2)
    assert np.array_equal(facts.soft_threshold(np.array([-1, 0.25, 2]), 0.5), [-0.5, 0, 1.5])
    ends = facts.descend(optimizers.SGD(0.1), facts.DOOMED, facts.DOOMED, regularizers.L1(0.5))
    assert (np.abs(ends) > 0).all() and (np.abs(ends) <= 0.1 * (0.5 + np.abs(facts.DOOMED))).all()


def test_decay_and_l2_part_ways_with_momentum_and_with_adam():
    figures = {id: one.figure for id, one in FACTS.items()}
    assert (figures["decay-is-l2-sgd"], figures["decay-is-l2-adam"]) == (0, 8)
    assert facts.differ(lambda decay: optimizers.SGD(0.125, 0.9, weight_decay=decay)) == 8
    assert figures["decay-through-momentum"] == pytest.approx(1 / (1 - 0.9))
    assert (figures["decay-spares-biases"], figures["crops-2048"], figures["dropout-prediction"]) == (5, 2178, 1)


def test_max_norm_shortens_long_units_alone():
    network = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False)])
    recipes.regularize(network, max_norm=2.0)
    kernel = network.trainable_variables[0]
    kernel.assign(np.array([[3.0, 1.0], [4.0, 0.0]]))
    np.testing.assert_allclose(kernel.constraint(kernel), [[1.2, 1.0], [1.6, 0.0]], rtol=1e-5)
