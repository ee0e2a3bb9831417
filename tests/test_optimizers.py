"""Optimizers: whose steps adapt, a network's loss as a function of one vector, and what the experiments declare."""

from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scipy.optimize import minimize

from cnnkit import course
from cnnkit.course.optimizers import facts, momentum, optimizers
from cnnkit.course.optimizers._flat import MOST_WEIGHTS, flat_loss
from cnnkit.evidence import claims

FACTS = {one.id: one for one in facts.FACTS}
IMAGES = np.random.default_rng(1).normal(size=(40, 3, 3, 1))
LABELS = np.arange(40) % 4


def small_network(units=6):
    keras.utils.set_random_seed(1)
    stack = [layers.Flatten(), layers.Dense(units, "tanh", dtype="float64"), layers.Dense(4, dtype="float64")]
    return keras.Sequential([keras.Input((3, 3, 1), dtype="float64"), *stack])


# Facts


def test_row_45_momentum_adds_up_a_geometric_series():
    assert FACTS["steady-momentum"].figure == pytest.approx(sum(0.9**k for k in range(200)), abs=1e-3)
    assert facts.final_step(0.5) == 2


def test_row_47_those_that_divide_by_a_memory_adapt_and_the_others_do_not():
    assert facts.adaptive() == set(facts.MAKERS) - {"sgd", "momentum", "nesterov"}
    assert (FACTS["six-adapt"].figure, FACTS["others-adapt"].figure) == (4, 6)


def test_row_46_ftrl_computes_its_weights_from_what_it_remembers():
    """By hand: z = g - (sqrt(n') - sqrt(n)) w / rate, n' = n + g², w' = -rate z / sqrt(n')."""
    n, g, rate = 0.1, 2**-10, 1e-6
    z = g - (np.sqrt(n + g**2) - np.sqrt(n)) / rate
    assert FACTS["ftrl-keeps-start"].figure == pytest.approx(-rate * z / np.sqrt(n + g**2), abs=1e-3)
    assert FACTS["ftrl-takes-schedules"].figure == 0.5
    kept = facts.places(keras.optimizers.Ftrl(initial_accumulator_value=optimizers.START), 1.0, (0.1, 1e-6))
    assert kept[1] == pytest.approx(1, abs=0.02)  # as the experiment starts it


# A flat vector


def test_a_flat_loss_is_the_networks_and_its_gradient_that_of_a_finite_difference():
    net = small_network()
    function, start = flat_loss(net, IMAGES, LABELS)
    assert np.array_equal(start, np.concatenate([weight.ravel() for weight in net.get_weights()]))
    net.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loss, gradient = function(start)
    assert loss == pytest.approx(net.evaluate(IMAGES, LABELS, verbose=0), rel=1e-6)
    for place in (0, 30, len(start) - 1):
        step = 1e-5 * np.eye(len(start))[place]
        slope = (function(start + step)[0] - function(start - step)[0]) / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_lbfgs_learns_what_it_is_given_and_the_network_keeps_the_last_weights():
    net = small_network(20)
    function, start = flat_loss(net, IMAGES, LABELS)
    found = minimize(function, start, jac=True, method="L-BFGS-B", options={"maxfun": 300})
    function(found.x)
    assert found.fun < 0.01 < function(start)[0]
    function(found.x)
    assert (net.predict(IMAGES, verbose=0).argmax(axis=1) == LABELS).all()


def test_a_network_too_large_for_lbfgs_is_one_error_before_anything_is_read():
    net = keras.Sequential([keras.Input((1000,)), layers.Dense(100, name="dense")], name="wide")
    with pytest.raises(ValueError, match=r"at most 100,000 weights.*Received: wide, 100,100\. Take a smaller network"):
        flat_loss(net, None, None)
    assert MOST_WEIGHTS < net.count_params() == 100_100


# Shares and ranks


def table(**scores):
    """Tuning rows of scores by optimizer: a list a rate, a score a seed."""
    return pd.DataFrame(
        [
            {"optimizer": name, "learning_rate": 0.1 * 2**place, "seed": seed, "val_score": score}
            for name, rates in scores.items()
            for place, rate in enumerate(rates)
            for seed, score in enumerate(rate, start=1)
        ]
    )


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"a": [[1, 1], [1, 1]], "b": [[3, 3], [3, 3]]}, (1, 0, 0)),
        ({"a": [[1, 1], [3, 3]], "b": [[1, 1], [3, 3]]}, (0, 1, 0)),
        ({"a": [[1, 3], [1, 3]], "b": [[1, 3], [1, 3]]}, (0, 0, 1)),
        ({"a": [[0, 2], [2, 4]], "b": [[4, 6], [6, 8]]}, (4 / 6, 1 / 6, 1 / 6)),
    ],
)
def test_shares_of_a_variance_are_the_optimizers_the_rates_and_the_rest(scores, expected):
    assert optimizers.shares(table(**scores)) == pytest.approx(expected)


def test_shares_may_leave_out_rates_far_from_the_best():
    scores = {"a": [[0, 0], [0, 0], [8, 8], [9, 9]], "b": [[5, 5], [4, 4], [0, 0], [0, 0]]}
    near = {"a": [[8, 8], [9, 9]], "b": [[5, 5], [4, 4]]}
    assert optimizers.shares(table(**scores), width=1) == pytest.approx(optimizers.shares(table(**near)))


def test_ranks_are_taken_within_a_seed():
    fresh = pd.DataFrame(
        {"seed": [1, 1, 1, 2, 2, 2], "arm": list("abcabc"), "test_accuracy": [0.5, 0.6, 0.7, 0.90, 0.91, 0.1]}
    )
    found = SimpleNamespace(plans={"mnist": SimpleNamespace(of_role={"fresh": fresh}.get), "mnist_speed": None})
    (ax,) = optimizers.plot_ranks(found).values()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c", "a"]
    assert ax.lines[0].get_xdata().tolist() == [1.5, 2, 2.5] and ax.get_xlabel() == "Rank"


# What is declared


def tuned(part):
    return {arm: grid for arm in part.arms if (grid := part.rates_of(arm))}


def test_each_optimizer_has_six_tries_a_factor_of_two_apart_or_keras_own_rate():
    for name in ("mnist", "cifar10"):
        part = optimizers.EXPERIMENT.full[name]
        grids = tuned(part)
        assert [arm.removesuffix(", tuned") for arm in grids] == list(optimizers.OPTIMIZERS) and len(part.arms) == 18
        for grid in grids.values():
            assert len(grid) == 6 and np.allclose(np.divide(grid[1:], grid[:-1]), 2)
        for arm in set(part.arms) - set(grids):
            fields = part.arms[arm]
            optimizer = optimizers.recipes.OPTIMIZERS[fields["optimizer"]](**fields.get("optimizer_args", {}))
            assert fields["learning_rate"] == pytest.approx(float(optimizer.learning_rate.numpy()))


def test_three_optimizers_are_tuned_once_more_for_speed_in_runs_that_are_there_already():
    for whole, speed in (
        (optimizers.EXPERIMENT.full["mnist"], optimizers.EXPERIMENT.full["mnist_speed"]),
        (optimizers.EXPERIMENT.full["cifar10"], optimizers.EXPERIMENT.full["cifar10_speed"]),
        (momentum.EXPERIMENT.full["final"], momentum.EXPERIMENT.full["speed"]),
    ):
        rows = pd.DataFrame(columns=["run_id"])
        asked, once_more = (set(part.plan(rows, rows).configs) for part in (whole, speed))
        assert once_more and once_more <= asked


@pytest.mark.parametrize("name", ["optimizers", "momentum"])
def test_a_smoke_part_has_the_arms_of_the_full_one(name):
    experiment = course.load_experiment(name)
    full, small = (next(iter(parts.values())) for parts in (experiment.full, experiment.smoke))
    assert list(full.arms) == list(small.arms) and small.base.dataset == "digits" and small.base.train_size == 300


def test_a_target_that_no_arm_reaches_decides_nothing_and_says_so():
    claim = optimizers.EXPERIMENT.full["mnist_speed"].claims[0]
    arms, seeds = claim.arms, range(101, 111)
    rows = [{"arm": arm, "seed": seed, "run_id": f"{arm} {seed}"} for arm in arms for seed in seeds]
    fields = {"status": "completed", "val_accuracy": 0.9, "majority_share": 0.1, "test_images": 1000}
    rows = pd.DataFrame(rows).assign(**fields, train_size=10_000, batch_size=64)
    history = pd.DataFrame(
        [
            {"run_id": run_id, "epoch": epoch, "seconds": epoch, "val_accuracy": 0.8 + place / 1e4}
            for place, run_id in enumerate(rows["run_id"])
            for epoch in (1, 2)
        ]
    )
    verdict = claims.decide(claim, rows, history)
    assert verdict["verdict"] == "INCONCLUSIVE" and "never reached the target (10 and 10)" in verdict["reason"]
