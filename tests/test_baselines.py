"""The losses and the experiments of notebook 02."""

import keras
import numpy as np
import pandas as pd
import pytest

from cnnkit.course.baselines import linear, sharing
from cnnkit.evidence.claims import MIN_RATES, select
from cnnkit.lab import recipes


def test_a_linear_layer_of_zeros_loses_nine_and_ln_ten():
    labels = np.eye(10, dtype="float32")
    scores = np.zeros((10, 10), "float32")
    assert float(recipes.LOSSES["crossentropy"](0)(labels, scores)) == pytest.approx(np.log(10))
    assert keras.ops.convert_to_numpy(recipes.multiclass_hinge(labels, scores)).tolist() == [9.0] * 10


@pytest.mark.parametrize("experiment", [linear, sharing], ids=["linear", "sharing"])
def test_every_arm_has_enough_rates_and_every_claim_two_arms(experiment):
    tuning = experiment.tune("full", None)
    rates = {}
    for config in tuning:
        rates.setdefault(config.replace(learning_rate=1, seed=1).run_id, set()).add(config.learning_rate)
    assert all(len(tried) >= MIN_RATES for tried in rates.values()) and len(rates) == len(experiment.arms("full"))
    arms = pd.DataFrame([config.to_row() for config in experiment.arms("full")])
    for claim in experiment.EXPERIMENT.claims:
        for side in (claim.better, claim.worse):
            assert len(select(arms, side)) == 1, f"{claim.id}: {side}"
