"""The protocol's statistics: on rows made up here, whose truth is known."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cnnkit.evidence import claims
from cnnkit.evidence.claims import Claim, Undecided, choose_rate, decide, plan_seeds

CLAIM = Claim("a-beats-b", "a beats b.", better="a", worse="b", source="a paper", margin=0.01)
FRESH = range(101, 109)


def rows(better, worse, **columns):
    """Fresh rows of the arms a and b, by seed."""
    parts = []
    for arm, values in (("a", better), ("b", worse)):
        seeds = list(FRESH)[: len(values)]
        part = pd.DataFrame({"arm": arm, "seed": seeds, "test_accuracy": values, "val_accuracy": values})
        parts.append(part.assign(run_id=[f"{arm}{seed}" for seed in seeds]))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(**({"status": "completed", "majority_share": 0.1, "test_images": 10_000} | columns))


def history(table):
    """One epoch a run, no two alike."""
    lines = {"run_id": table["run_id"], "epoch": 1, "seconds": 1.0, "val_loss": np.arange(len(table)) / 10}
    return pd.DataFrame(lines)


def verdict(better, worse, claim=CLAIM, **columns):
    table = rows(better, worse, **columns)
    return decide(claim, table, history(table))


SPREAD = np.array([-0.004, -0.002, -0.001, 0.0, 0.0, 0.001, 0.002, 0.004])


@pytest.mark.parametrize(
    "effect, expected, reading",
    [
        (0.03, "SUPPORTED", ""),
        (0.0, "REFUTED", "no difference"),
        (-0.03, "REFUTED", "opposite"),
        (-0.0095, "REFUTED", "no better"),
        (0.011, "INCONCLUSIVE", ""),
    ],
)
def test_a_verdict_is_where_the_interval_lies(effect, expected, reading):
    line = verdict(0.9 + effect + SPREAD, np.full(8, 0.9))
    assert (line["verdict"], line["reading"], line["n"]) == (expected, reading, 8)
    low, high = stats.ttest_1samp(effect + SPREAD, 0).confidence_interval()
    np.testing.assert_allclose([line["effect"], line["low"], line["high"]], [effect, low, high])
    assert line["p"] == pytest.approx(stats.ttest_1samp(effect + SPREAD, 0.01).pvalue)
    assert (line["p"] < 0.05) == (expected != "INCONCLUSIVE")


@pytest.mark.parametrize(
    "effect, expected, reading",
    [(0.0, "SUPPORTED", ""), (-0.03, "REFUTED", "opposite"), (-0.0105, "INCONCLUSIVE", "")],
)
def test_below_zero_the_margin_is_how_much_worse_counts_as_no_worse(effect, expected, reading):
    claim = Claim("a-is-as-good", "a is as good as b.", better="a", worse="b", source="a paper", margin=-0.01)
    line = verdict(0.9 + effect + SPREAD, np.full(8, 0.9), claim)
    assert (line["verdict"], line["reading"]) == (expected, reading)


def test_an_open_claim_says_how_many_seeds_would_decide_it():
    line = verdict(0.9 + 0.011 + SPREAD, np.full(8, 0.9))
    half = stats.t.ppf(0.975, line["needed"] - 1) * SPREAD.std(ddof=1) / np.sqrt(line["needed"])
    assert 8 < line["needed"] <= 1000 and half < 0.001
    assert "needed" not in verdict(0.93 + SPREAD, np.full(8, 0.9))


def test_two_looks_decide_at_half_the_error_each():
    table = rows(0.9 + 0.0123 + SPREAD, np.full(8, 0.9))
    once, twice = (decide(CLAIM, table, history(table), looks=looks) for looks in (1, 2))
    assert once["verdict"] == "SUPPORTED" and twice["verdict"] == "INCONCLUSIVE"
    assert twice["p"] == pytest.approx(2 * once["p"]) and twice["looks"] == 2


def test_equal_differences_are_no_certainty():
    line = verdict(np.full(5, 0.912), np.full(5, 0.9), test_images=100)
    assert line["low"] < line["effect"] < line["high"] and line["verdict"] == "INCONCLUSIVE"


def test_a_collapsed_run_is_counted_and_its_pair_left_out():
    better = np.r_[0.93 + SPREAD, 0.93, 0.93, 0.12]
    table = pd.concat([rows(better[:8], np.full(8, 0.9))] * 2, ignore_index=True)  # sixteen pairs, one of them lost
    table["seed"] += np.repeat([0, 8], 16)
    table["run_id"] += np.repeat(["", "x"], 16)
    table.loc[0, ["test_accuracy", "val_accuracy"]] = 0.12
    line = decide(CLAIM, table, history(table))
    assert (line["verdict"], line["n"], line["collapsed"]) == ("SUPPORTED", 15, "1 of 32")


def test_a_claim_that_loses_more_than_one_pair_in_ten_to_collapse_is_open():
    line = verdict(np.r_[0.12, 0.93 + SPREAD[1:]], np.full(8, 0.9))
    assert line["verdict"] == "INCONCLUSIVE" and line["reason"] == "1 of 8 pairs are lost to collapse"
    assert "p" not in line  # it is no part of the book's tests


@pytest.mark.parametrize(
    "accuracy, status, collapsed", [(0.45, "completed", True), (0.55, "completed", False), (0.9, "diverged", True)]
)
def test_collapsed_is_nearer_to_chance_than_to_the_arms_best(accuracy, status, collapsed):
    table = rows([0.9, accuracy], [0.3, 0.3], status="completed")
    table.loc[1, "status"] = status
    assert claims.find_collapsed(table).tolist() == [False, collapsed, False, False]


def test_an_arm_of_which_no_run_leaves_chance_has_collapsed():
    table = rows([0.1, 0.105, 0.098], [0.5, 0.5, 0.5], status="completed")
    assert claims.find_collapsed(table).tolist() == [True] * 3 + [False] * 3


def test_where_collapse_is_the_claim_the_shares_are_compared():
    claim = Claim("b-collapses", "b collapses more often.", "a", "b", "a paper", margin=0.2, metric="collapsed")
    line = verdict(np.full(8, 0.9), np.r_[0.9, np.full(7, 0.1)], claim)
    assert line["verdict"] == "SUPPORTED" and line["effect"] == pytest.approx(7 / 8)
    wilson = [stats.binomtest(count, 8).proportion_ci(method="wilson") for count in (0, 7)]
    assert line["low"] == pytest.approx(7 / 8 - np.hypot(wilson[0].high, 7 / 8 - wilson[1].low))
    assert line["p"] < 0.05
    few = verdict(np.full(8, 0.9), np.r_[np.full(7, 0.9), 0.1], claim)
    assert few["verdict"] == "INCONCLUSIVE" and few["p"] > 0.05


def test_an_interaction_is_what_one_thing_buys_beyond_what_it_buys_beside():
    plain, beside = rows(0.95 + SPREAD, np.full(8, 0.9)), rows(0.93 + SPREAD[::-1], np.full(8, 0.9))
    beside = beside.assign(arm=beside["arm"] + "2", run_id=beside["run_id"] + "2")
    claim = Claim("more", "a buys more here.", "a", "b", "a paper", margin=0.001, beside=("a2", "b2"))
    table = pd.concat([plain, beside], ignore_index=True)
    line = decide(claim, table, history(table))
    np.testing.assert_allclose(line["effect"], 0.02)
    assert line["n"] == 8 and line["low"] == pytest.approx(0.02 - (line["high"] - 0.02))


def test_two_metrics_of_one_run_may_be_compared():
    table = rows(0.9 + SPREAD, np.full(8, 0.9)).assign(raw_test_accuracy=0.85)
    claim = Claim("mean", "…", "a", "a", "a paper", margin=0.01, metric=("test_accuracy", "raw_test_accuracy"))
    line = decide(claim, table, history(table))
    assert line["verdict"] == "SUPPORTED" and line["effect"] == pytest.approx(0.05) and line["unit"] == "test_accuracy"


def test_losses_are_better_when_lower():
    table = rows(np.full(8, 0.9), np.full(8, 0.9)).assign(train_loss=np.r_[0.1 + SPREAD, np.full(8, 0.3)])
    claim = Claim("loss", "…", "a", "b", "a paper", margin=0.05, metric="train_loss", lower_is_better=True)
    line = decide(claim, table, history(table))
    assert line["verdict"] == "SUPPORTED" and line["effect"] == pytest.approx(0.2)


def timed(better, worse, margin, metric="epochs"):
    """The claim that a reaches a loss of 0.5 sooner; None never gets there in 20 epochs. Steps: 10 and 40 an epoch."""
    table, lines = rows(0.9 + SPREAD[: len(better)], 0.9 - SPREAD[: len(worse)]), []
    for run_id, reached in zip(table["run_id"], [*better, *worse], strict=True):
        epochs = np.arange(1, 21)
        loss = np.where(epochs >= (reached or 99), 0.4, 1.0) + len(lines) * 1e-6
        lines.append(pd.DataFrame({"run_id": run_id, "epoch": epochs, "seconds": 1.0 * epochs, "val_loss": loss}))
    claim = Claim("time", "…", "a", "b", "a paper", margin, metric=metric, target=("val_loss", 0.5), ratio=True)
    table = table.assign(train_size=1280, batch_size=np.where(table["arm"] == "a", 128, 32))
    return decide(claim, table, pd.concat(lines, ignore_index=True))


def test_times_to_a_target_are_compared_as_ratios():
    line = timed([2, 2, 3, 2, 2], [8, 8, 12, 8, 9], margin=2.0)
    assert line["verdict"] == "SUPPORTED" and line["effect"] == pytest.approx(4.1, abs=0.1) and line["unit"] == "ratio"


def test_a_large_batch_takes_few_steps_in_many_epochs():
    epochs = timed([8, 8, 9, 8, 8], [4, 4, 4, 4, 5], margin=1.0)
    steps = timed([8, 8, 9, 8, 8], [4, 4, 4, 4, 5], margin=1.0, metric="steps")
    assert (epochs["verdict"], steps["verdict"]) == ("REFUTED", "SUPPORTED")
    assert steps["effect"] == pytest.approx(4 * epochs["effect"])


def test_a_run_that_never_gets_there_decides_on_one_side_only():
    assert timed([2, 2, 3, 2, 2], [None] * 5, margin=2.0)["verdict"] == "SUPPORTED"
    assert timed([None] * 5, [2, 2, 3, 2, 2], margin=1.0)["verdict"] == "REFUTED"
    assert timed([2, 2, None, 2, 2], [18, 18, 19, 18, 18], margin=1.0)["verdict"] == "INCONCLUSIVE"
    assert "both" in timed([None, 2], [None, 3], margin=1.0)["reason"]


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda t: t.iloc[:-1], "not paired"),
        (lambda t: t.iloc[:0], "being measured"),
        (lambda t: t[t["seed"] == 101], "at least two"),
        (lambda t: t.assign(status=["failed"] + ["completed"] * (len(t) - 1)), "1 of 8 runs of a failed"),
        (lambda t: t.assign(run_id=[r.replace("b", "a") for r in t["run_id"]]), "same runs"),
    ],
)
def test_what_cannot_be_decided_says_why(change, reason):
    table = change(rows(0.93 + SPREAD, np.full(8, 0.9)))
    line = decide(CLAIM, table, history(table))
    assert line["verdict"] == "INCONCLUSIVE" and reason in line["reason"]


def test_arms_with_one_history_are_refused():
    table = rows(0.93 + SPREAD, np.full(8, 0.9))
    with pytest.raises(ValueError, match="Expected two arms that differ .* does nothing"):
        decide(CLAIM, table, history(table).assign(val_loss=0.5))


# Rates


def scores(table):
    """Scores by rate and seed; a row a rate."""
    return pd.DataFrame(table, index=[0.1 * 2**k for k in range(len(table))], columns=[1, 2, 3])


def test_a_rate_is_chosen_away_from_the_cliff():
    choice = choose_rate(
        scores([[0.90, 0.90, 0.90], [0.95, 0.96, 0.95], [0.97, 0.96, 0.97], [0.98, 0.93, 0.99], [0.2, 0.3, 0.2]])
    )
    assert choice["learning_rate"] == pytest.approx(0.4)  # its mean, and the worst seed of the near ones
    near = choose_rate(scores([[0.5] * 3, [0.960, 0.961, 0.962], [0.970, 0.955, 0.969], [0.4] * 3, [0.1] * 3]))
    assert near["learning_rate"] == pytest.approx(0.2)  # the mean of 0.4 is higher by less than its error
    assert 0 < near["same_again"] < 1 and not near["at_edge"] and near["tried"] == 5


def test_of_equal_worst_seeds_the_lower_rate_is_taken():
    assert choose_rate(scores([[0.1] * 3, [0.9] * 3, [0.9] * 3, [0.1] * 3, [0.1] * 3]))[
        "learning_rate"
    ] == pytest.approx(0.2)


def test_a_rate_that_diverges_once_is_never_chosen():
    choice = choose_rate(scores([[0.5] * 3, [0.8, 0.81, 0.8], [0.9, 0.95, np.nan], [0.6] * 3, [np.nan] * 3]))
    assert choice["learning_rate"] == pytest.approx(0.2) and not choice["at_edge"]
    with pytest.raises(Undecided, match="at every learning rate"):
        choose_rate(scores([[0.9, 0.9, np.nan]] * 5))


def test_a_best_rate_at_the_edge_is_told():
    assert choose_rate(scores([[0.9] * 3, [0.8] * 3, [0.7] * 3, [0.6] * 3, [0.5] * 3]))["at_edge"]


def test_a_clear_choice_would_be_made_again():
    clear = [[0.5, 0.51, 0.5], [0.6, 0.61, 0.6], [0.9, 0.91, 0.9], [0.6, 0.62, 0.6], [0.1, 0.11, 0.1]]
    assert choose_rate(scores(clear))["same_again"] == 1.0


# Seeds


def test_seeds_are_as_many_as_the_half_width_needs():
    n = plan_seeds(0.003, 0.002)
    width = [stats.t.ppf(0.975, k - 1) * 0.003 / np.sqrt(k) for k in (n - 1, n)]
    assert 5 < n < 20 and width[1] <= 0.002 < width[0]
    assert (plan_seeds(0.0001, 0.002), plan_seeds(0.1, 0.002), plan_seeds(0.1, 0.002, most=10)) == (5, 20, 10)
    assert plan_seeds(0.003, 0.002, error=0.025) > n and plan_seeds(np.nan, 0.002) == 20


def test_flipped_signs_are_counted_exactly():
    assert claims.flip_signs([0.1] * 5, 0) == 2**-5
    d = np.random.default_rng(1).normal(0.01, 0.02, 9)
    exact = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="greater")
    assert claims.flip_signs(d, 0) == pytest.approx(exact.pvalue)


# The book


def test_a_verdict_needs_q_over_the_book():
    lines = [{"id": "x", "ledger": 1, "verdict": "SUPPORTED", "reading": "", "p": 0.04, "reason": "above"}]
    assert claims.as_table(lines)["verdict"].tolist() == ["SUPPORTED"]
    lines += [{"id": f"y{i}", "ledger": 2, "verdict": "INCONCLUSIVE", "p": 0.9, "reason": ""} for i in range(9)]
    lines += [{"id": "sum", "ledger": 3, "verdict": "TRUE", "reason": "computed"}]  # it has no p, and is not counted
    table = claims.as_table(lines)
    assert table["verdict"][0] == "INCONCLUSIVE" and table["q"][0] == pytest.approx(0.4)
    assert table["reason"][0] == "above; but q is above 0.05 over the 10 claims that are tested"
    assert list(table.columns) == claims.COLUMNS and table["verdict"].iloc[-1] == "TRUE"


def test_an_id_is_there_once():
    with pytest.raises(ValueError, match="Expected a claim's id only once. Received: x twice"):
        claims.as_table([{"id": "x", "ledger": 1}] * 2)


def test_statistics_need_no_keras():
    code = "import sys, cnnkit.evidence.claims, cnnkit.plots; print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_verdicts_that_were_only_counted_make_a_table():
    counted = {"id": "knn", "ledger": 59, "verdict": "TRUE", "effect": 0.39}
    table = claims.as_table([counted])
    assert table[["id", "verdict"]].to_numpy().tolist() == [["knn", "TRUE"]] and table["q"].isna().all()
