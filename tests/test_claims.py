"""The protocol, rule by rule, on rows made up for it."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cnnkit.evidence import claims
from cnnkit.evidence.claims import FRESH, Claim

RATES = (0.001, 0.01, 0.1, 1.0, 10.0)
TEXTS = {"id": "a-beats-b", "ledger": 1, "text": "A beats B.", "source": "us", "experiment": "made_up"}
CLAIM = {**TEXTS, "better": {"optimizer": "a"}, "worse": {"optimizer": "b"}, "margin": 0.01}


def make_arm(optimizer, fresh, *, rates=RATES, best=0.1, tuning_seeds=(1,), chosen=None, **columns):
    """Return tuning rows whose validation accuracy is highest at `best`, and fresh rows with these test accuracies."""
    distance = {rate: abs(np.log10(rate / best)) for rate in rates}
    tuning = [(rate, seed, 0.9 - distance[rate] / 10, 0.5) for rate in rates for seed in tuning_seeds]
    confirmed = [(chosen or best, seed, 0.9, accuracy) for seed, accuracy in zip(FRESH, fresh, strict=False)]
    runs = pd.DataFrame(tuning + confirmed, columns=["learning_rate", "seed", "val_accuracy", "test_accuracy"])
    runs = runs.assign(optimizer=optimizer, status="completed", ema=np.nan, **columns)
    return runs.assign(run_id=[f"{optimizer}-{rate}-{seed}" for rate, seed, *_ in tuning + confirmed])


def make_history(runs, losses=(1.0, 0.5, 0.2), same=False):
    """Return epochs of every run; the arms differ in their first loss unless `same`."""
    lines = [
        {"run_id": run.run_id, "epoch": epoch, "val_loss": loss, "seconds": 2.0 * epoch}
        for run in runs.itertuples()
        for epoch, loss in enumerate(losses, start=1)
    ]
    history = pd.DataFrame(lines)
    return history.assign(train_loss=1.0 if same else history["run_id"].factorize()[0])


def decide(a, b, history=None, **changes):
    runs = pd.concat([a, b], ignore_index=True)
    return claims.decide(Claim(**CLAIM | changes), runs, make_history(runs) if history is None else history)


A = (0.95, 0.96, 0.94, 0.95, 0.96)
NOISE = np.array([0.004, -0.003, 0.002, -0.004, 0.001])


@pytest.mark.parametrize(
    ("advantage", "verdict", "why"),
    [
        (0.05, "SUPPORTED", "above the margin"),
        (-0.05, "REFUTED", "below zero"),
        (-0.006, "REFUTED", "below zero"),
        (0.002, "REFUTED", "within the margin"),
        (0.011, "INCONCLUSIVE", "too wide"),
    ],
)
def test_the_interval_and_the_margin_decide(advantage, verdict, why):
    row = decide(make_arm("a", A), make_arm("b", np.array(A) - advantage + NOISE))
    assert (row["verdict"], row["n"], row["unit"]) == (verdict, 5, "test_accuracy")
    assert why in row["reason"]


def test_a_wide_interval_around_zero_is_no_refutation():
    row = decide(make_arm("a", A), make_arm("b", np.array(A) + 20 * NOISE))
    assert row["verdict"] == "INCONCLUSIVE" and row["low"] < -0.01 < 0.01 < row["high"]


def test_the_interval_is_that_of_the_paired_t_test_of_scipy():
    b = np.array(A) - 0.02 + NOISE
    row = decide(make_arm("a", A), make_arm("b", b))
    interval = stats.ttest_rel(A, b).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert row["effect"] == pytest.approx(np.mean(A - b), rel=1e-9)


def test_pairs_are_matched_by_seed_and_not_by_order():
    a, b = make_arm("a", A), make_arm("b", np.array(A) - 0.05)
    assert decide(a, b[::-1])["high"] == pytest.approx(0.05)


def test_a_loss_counts_the_other_way_round():
    a, b = make_arm("a", A), make_arm("b", np.array(A) - 0.05 + NOISE)
    for runs in (a, b):
        runs["test_loss"] = 1 - runs["test_accuracy"]
    assert decide(a, b, metric="test_loss", lower_is_better=True)["verdict"] == "SUPPORTED"
    assert decide(a, b, metric="test_loss", lower_is_better=False)["verdict"] == "REFUTED"


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_a_ratio_is_taken_on_a_log_scale_whichever_way_is_better(lower_is_better):
    good = np.array([2.0, 2.2, 1.8, 2.1, 2.0])
    bad = good * [3.0, 3.1, 2.9, 3.0, 3.2]
    a, b = (good, bad) if lower_is_better else (bad, good)
    row = decide(make_arm("a", a), make_arm("b", b), ratio=True, margin=1.5, lower_is_better=lower_is_better)
    interval = stats.ttest_rel(np.log(bad), np.log(good)).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((np.exp(interval.low), np.exp(interval.high)), rel=1e-9)
    assert row["verdict"] == "SUPPORTED" and row["unit"] == "ratio"


def test_a_ratio_to_nothing_decides_nothing():
    row = decide(make_arm("a", (0.0, 0.5)), make_arm("b", A[:2]), ratio=True, margin=1.5)
    assert row["verdict"] == "INCONCLUSIVE" and "above 0" in row["reason"]


# What the protocol refuses to decide


FINE = make_arm("b", np.array(A) - 0.05)
FAILED = make_arm("a", A)
FAILED.loc[FAILED["seed"] == FRESH[2], "status"] = "failed"
NO_METRIC = make_arm("a", A)
NO_METRIC.loc[NO_METRIC["seed"] == FRESH[2], ["status", "test_accuracy"]] = ["diverged", np.nan]
TWO_SETTINGS = pd.concat([make_arm("a", A), make_arm("a", A).assign(ema=0.9, run_id="x")])


@pytest.mark.parametrize(
    ("a", "why"),
    [
        (make_arm("a", A, best=10.0), "10, is at the edge of its grid"),
        (make_arm("a", A, best=0.001), "at the edge of its grid"),
        (make_arm("a", A, rates=RATES[:4], best=0.01), "4 values of learning_rate tried"),
        (make_arm("a", A[:1]), "1 fresh seed"),
        (make_arm("a", ()), "0 fresh seed"),
        (make_arm("a", A, chosen=0.01), "0 fresh seed"),
        (make_arm("a", A[:4]), "not paired"),
        (make_arm("a", A).query("seed > 100"), "no completed tuning run"),
        (make_arm("a", A).query("seed < 0"), "no completed tuning run"),
        (FAILED, "1 of 5 runs of .* failed"),
        (NO_METRIC, "test_accuracy is missing: 1 runs diverged"),
        (TWO_SETTINGS, "several settings fit the arm"),
    ],
)
def test_what_cannot_be_decided_says_why(a, why):
    row = decide(a, FINE)
    assert row["verdict"] == "INCONCLUSIVE" and np.isnan([row["effect"], row["low"], row["high"]]).all()
    assert pd.Series(row["reason"]).str.contains(why).all(), row["reason"]


def test_no_rows_at_all():
    row = claims.decide(Claim(**CLAIM), pd.DataFrame(), pd.DataFrame())
    assert (row["verdict"], row["reason"]) == ("INCONCLUSIVE", "made_up has no rows yet")


def test_a_rate_at_which_one_tuning_run_diverged_is_not_the_best():
    runs = make_arm("a", (), tuning_seeds=(1, 2))
    runs.loc[(runs["learning_rate"] == 0.1) & (runs["seed"] == 2), ["status", "val_accuracy"]] = ["diverged", 0.99]
    assert claims.best_settings(runs)["learning_rate"] == 0.01


def test_fresh_seeds_do_not_choose_the_rate():
    runs = make_arm("a", A)
    runs.loc[runs["seed"].isin(FRESH), ["learning_rate", "val_accuracy"]] = [1.0, 1.0]
    assert claims.best_settings(runs) == {"learning_rate": 0.1, "tried": 5, "at_edge": False}


def test_an_arm_can_run_at_a_multiple_of_the_others_rate():
    a = make_arm("a", A)
    far = make_arm("a", np.array(A) - 0.05, chosen=10.0).query("seed > 100")
    row = decide(a, far, worse={"optimizer": "a"}, factor=100.0)
    assert row["verdict"] == "SUPPORTED" and row["effect"] == pytest.approx(0.05)


# Arms that are one


def test_the_same_runs_as_both_arms_are_an_error():
    with pytest.raises(ValueError, match="two arms that differ for the claim a-beats-b"):
        decide(make_arm("a", A), FINE, worse={"optimizer": "a"})


def test_identical_histories_are_an_error():
    runs = pd.concat([make_arm("a", A), make_arm("b", A)], ignore_index=True)
    with pytest.raises(ValueError, match="runs a-0.1-101 and b-0.1-101 .seed 101. with one history"):
        claims.decide(Claim(**CLAIM), runs, make_history(runs, same=True))


def test_runs_that_diverge_at_once_may_look_alike():
    runs = pd.concat([make_arm("a", A), make_arm("b", A)], ignore_index=True)
    runs.loc[runs["seed"].isin(FRESH), "status"] = "diverged"
    assert claims.decide(Claim(**CLAIM), runs, make_history(runs, same=True))["verdict"] == "REFUTED"


def test_a_field_that_no_config_has_is_an_error():
    with pytest.raises(ValueError, match="Received: optimiser"):
        decide(make_arm("a", A), FINE, better={"optimiser": "a"})


# Time to a target


def epochs_to_half(a_epochs, b_epochs, **changes):
    """Decide by the epochs after which the loss is 0.5; None for a run of 20 epochs that never gets there."""
    runs = pd.concat([make_arm("a", [0.9] * len(a_epochs)), make_arm("b", [0.9] * len(b_epochs))], ignore_index=True)
    fresh = runs[runs["seed"].isin(FRESH)]
    reached = dict(zip(fresh["run_id"], [*a_epochs, *b_epochs], strict=True))
    lines = [
        {"run_id": run_id, "epoch": epoch, "seconds": 2.0 * epoch, "val_loss": 1.0 if epoch < (first or 99) else 0.4}
        for run_id, first in reached.items()
        for epoch in range(1, 21)
    ]
    history = pd.DataFrame(lines).assign(train_loss=lambda h: h["run_id"].str.len() + h["run_id"].str.startswith("a"))
    settings = {"metric": "epochs", "target": ("val_loss", 0.5), "margin": 1.0}
    return claims.decide(Claim(**CLAIM | settings | changes), runs, history)


def test_epochs_and_seconds_to_a_target():
    row = epochs_to_half([3, 4, 3], [9, 10, 11])
    assert (row["verdict"], row["unit"]) == ("SUPPORTED", "epochs") and row["effect"] == pytest.approx(20 / 3)
    assert epochs_to_half([3, 4, 3], [9, 10, 11], metric="seconds")["effect"] == pytest.approx(40 / 3)
    ratio = epochs_to_half([3, 4, 3], [9, 10, 11], ratio=True, margin=1.5)
    assert ratio["verdict"] == "SUPPORTED" and ratio["effect"] == pytest.approx((990 / 36) ** (1 / 3))


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([3, 4, 3], [18, None, 19], "SUPPORTED"),  # the worse arm took longer still
        ([18, None, 19], [3, 4, 3], "REFUTED"),  # the better arm took longer still
        ([10, None, 11], [20, 20, 20], "INCONCLUSIVE"),  # how much longer, nobody knows
        ([20, 20, 20], [10, 11, None], "INCONCLUSIVE"),
        ([20, 20, 20], [20, 20, None], "INCONCLUSIVE"),  # within the margin, but for the censored one
        ([3, None, 3], [18, None, 19], "INCONCLUSIVE"),
        ([18] * 8, [3, 4, 3, 3, 4, 3, 3, None], "INCONCLUSIVE"),  # below zero, but for the censored one
    ],
)
def test_a_run_that_never_got_there_counts_on_one_side_only(a, b, verdict):
    assert epochs_to_half(a, b)["verdict"] == verdict


def test_a_run_that_never_got_there_counts_with_its_end():
    assert epochs_to_half([3, 4, 3], [18, None, 19])["effect"] == pytest.approx((15 + 16 + 16) / 3)


def test_a_ratio_with_a_censored_run_on_the_losing_side_still_supports():
    assert epochs_to_half([3, 4, 3], [18, None, 19], ratio=True, margin=2.0)["verdict"] == "SUPPORTED"


def test_an_accuracy_is_a_target_from_below():
    runs = pd.concat([make_arm("a", A[:2]), make_arm("b", A[:2])], ignore_index=True)
    history = make_history(runs).assign(val_accuracy=lambda h: h["epoch"] / 4)
    claim = Claim(**CLAIM | {"metric": "epochs", "target": ("val_accuracy", 0.5)})
    assert claims.decide(claim, runs, history)["effect"] == 0


# The table


def test_the_table_is_sorted_and_ids_are_unique():
    rows = [decide(make_arm("a", A), FINE, id=name, ledger=number) for name, number in (("b", 2), ("c", 1), ("a", 2))]
    table = claims.as_table(rows)
    assert table["id"].tolist() == ["c", "a", "b"] and table.columns.tolist() == [*claims.COLUMNS, "reason"]
    with pytest.raises(ValueError, match="Received: c twice"):
        claims.as_table([*rows, rows[1]])


def test_verdicts_need_neither_keras_nor_tensorflow():
    code = "import sys, cnnkit.evidence.claims, cnnkit.plots; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
