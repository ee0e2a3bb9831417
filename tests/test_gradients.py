"""Chapter 09: the stack's first weights, its facts against formulas, and that its experiments ask what they say."""

import dataclasses

import keras
import numpy as np
import pytest

from cnnkit import course, models
from cnnkit.course.gradients import facts, scaling, shuffling

EXPERIMENTS = ("scaling", "trainability", "batch_norm", "shuffling", "depth")


def stack(**model_args):
    keras.utils.set_random_seed(1)
    return models.create_model("conv_stack", (28, 28, 1), 10, **model_args)


@pytest.mark.parametrize("start", ["normal", "uniform", "orthogonal"])
@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_weights_begin_with_the_deviation_that_gain_says(start, gain):
    network = stack(depth=3, filters=64, start=start, gain=gain)
    for name, inputs in (("conv2", 9 * 64), ("conv3", 9 * 64)):
        kernel = network.get_layer(name).get_weights()[0]
        assert kernel.std() == pytest.approx(gain * np.sqrt(2 / inputs), rel=0.03)
        assert abs(kernel.mean()) < 0.1 * kernel.std()
    if start == "orthogonal":
        flat = kernel.reshape(-1, 64)
        np.testing.assert_allclose(flat.T @ flat, 2 * gain**2 * np.eye(64), atol=1e-4)


def test_a_stack_has_the_layers_that_its_arguments_say():
    plain = stack(depth=5, activation="tanh", start="zeros")
    assert [layer.name for layer in plain.layers if "conv" in layer.name] == [f"conv{k}" for k in range(1, 6)]
    assert not any(plain.get_layer(f"conv{k}").get_weights()[0].any() for k in range(1, 6))
    assert plain.get_layer("activation5").activation is keras.activations.tanh
    assert plain.get_layer("conv5").output.shape == (None, 14, 14, 16)
    normed = stack(depth=2, batch_norm=True, norm_momentum=0.7)
    assert normed.get_layer("norm2").momentum == 0.7 and normed.get_layer("conv2").bias is None
    with pytest.raises(ValueError, match="start of conv_stack out of .*'orthogonal'.* Received: start='he'"):
        stack(start="he")


def test_facts_are_what_formulas_say():
    assert sum((array != 0).sum() for array in facts.trained_from(0.0)) == 10  # a bias a class
    assert facts.slope_of_sigmoids(1) == pytest.approx(0.25**10)
    assert facts.slope_of_sigmoids(8) == pytest.approx(2.0**10)
    for momentum in (0.9, 0.99):
        assert facts.updates_to_forget(momentum) == np.ceil(np.log(0.05) / np.log(momentum))
    assert facts.signal(2) == pytest.approx(1, rel=0.3) and facts.signal(1) == pytest.approx(2.0**-10, rel=0.3)
    verdicts = {one.id: course.fact.check(one)["verdict"] for one in facts.FACTS}
    assert verdicts["glorot-fits-relu"] == "FALSE" and verdicts["sigmoid-bound"] == "CONDITIONAL"
    assert {verdicts[id] for id in ("zeros-learn", "alike-stay-alike", "he-fits-relu", "batch-norm-forgets")} == {
        "TRUE"
    }


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_ask_for_runs_and_have_claims(name):
    experiment = course.load_experiment(name)
    assert course.notebook_of(name) == "09_init_and_gradients"
    parts = experiment.full if isinstance(experiment.full, dict) else {"": experiment.full}
    for comparison in parts.values():
        assert comparison.claims
        for arm in comparison.arms:
            assert arm in comparison.followers or len(comparison.rates_of(arm)) >= 5


def test_raw_pixels_have_rates_below_those_of_standardised_ones_but_above_what_their_size_squared_asks_for():
    """Of standardised pixels the root mean square is 1, of bytes about 84 (MNIST) and 133 (CIFAR-10)."""
    for comparison, size in ((scaling.mnist, 84), (scaling.cifar10, 133)):
        raw, standard = (np.array(comparison.rates_of(f"{name}, own")) for name in ("raw", "standard"))
        assert (standard / raw > 10).all() and (standard / raw < size**2).all()


def test_orders_leave_no_image_out():
    base = shuffling.BASE
    assert base.train_size % base.batch_size == 0
    assert dataclasses.replace(base, shuffle="sorted").run_id != base.run_id
