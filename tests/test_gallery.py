"""What an experiment found, in words and figures: from made-up rows of the smallest experiment, nothing is trained."""

import importlib
import math
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from cnnkit import __main__, course, plots
from cnnkit.course import facts
from cnnkit.evidence import claims
from cnnkit.lab import store
from cnnkit.plots import wording
from cnnkit.report import gallery

HERE = Path(__file__).parent


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The experiment of tests/experiments alone, with an empty results folder."""
    monkeypatch.setattr(course, "__path__", [str(HERE / "experiments")])
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("CNNKIT_PROFILE", "smoke")
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("cnnkit.experiments.tiny")


def make_run(config, accuracy, status="completed"):
    """Return a row and a history as training would write them."""
    rng = np.random.default_rng(int(config.run_id, 16))
    lines = pd.DataFrame(rng.uniform(0.3, 0.6, (config.epochs, 4)), columns=plots.saving.METRICS[:4])
    lines = lines.assign(epoch=range(1, config.epochs + 1), learning_rate=config.learning_rate, seconds=[1.0, 2.5])
    last = lines.iloc[-1].drop(["epoch", "learning_rate", "seconds"]).to_dict()
    row = {
        "run_id": config.run_id,
        **config.to_row(),
        "status": status,
        "error": None,
        **last,
        "test_accuracy": accuracy,
    }
    row |= {"num_params": 7850, "train_seconds": 2.5, "device": "an abacus, 1 thread", "backend": "beads 1.0"}
    return row | {"keras": "3", "cnnkit": "0", "commit": "abc1234"}, lines


def store(tiny, accuracies=(0.80, 0.81, 0.90, 0.92), profile="full", leave_out=0, extra=()):
    """Put the four runs, or fewer, and extra ones into the store of a profile."""
    configs = tiny.plain("full", []) + tiny.heavy("full", [None, None])
    runs = [make_run(config, a) for config, a in zip(configs, accuracies, strict=True)]
    for row, history in [*runs[: len(runs) - leave_out], *extra]:
        store.stage(row, history, "tiny", store.results_dir(profile))
    store.rebuild("tiny", store.results_dir(profile))


def everything(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".md", ".csv", ".png")
    }


def test_a_report_tells_what_was_found_and_where_it_is(tiny, tmp_path):
    store(tiny, profile="smoke")
    text = gallery.report("tiny", store.read_runs("tiny"), store.read_history("tiny"))
    assert "Does momentum teach a linear classifier faster?" in text
    assert "4 runs (4 completed), 10 seconds of training" in text
    assert "80.50 ± 6.35" in text and "Test accuracy (%)" in text  # t(0.975, 1) = 12.706 times 0.5 points
    assert "SUPPORTED " in text and "(momentum-is-faster)" in text and "+10.50 pp [+4.15, +16.85], n = 2" in text
    assert "results/smoke/tiny: runs.csv, history.csv, accuracy.png, curves.png" in text
    assert "too small to conclude from" in text and "--profile full" in text
    assert str(tmp_path) not in text and max(map(len, text.splitlines())) <= 100
    assert sorted(path.name for path in (tmp_path / "results/smoke/tiny").glob("*.png")) == [
        "accuracy.png",
        "curves.png",
    ]
    assert plots.read_provenance(tmp_path / "results/smoke/tiny/curves.png")["runs"] == 4
    assert not plt.get_fignums()


def test_only_smoke_figures_are_marked(tiny, monkeypatch):
    marked = []
    monkeypatch.setattr(plots, "mark_profile", lambda figure, profile: marked.append(profile))
    store(tiny, profile="smoke")
    gallery.report("tiny", store.read_runs("tiny"), store.read_history("tiny"))
    store(tiny)
    gallery.rebuild()
    assert marked == ["smoke", "smoke", "full", "full"]


def test_a_report_survives_failed_runs(tiny):
    store(tiny, profile="smoke")
    runs = store.read_runs("tiny")
    runs.loc[1, ["status", "test_accuracy", "error"]] = ["failed", np.nan, "ValueError: no"]
    text = gallery.report("tiny", runs, store.read_history("tiny"))
    assert "4 runs (3 completed, 1 failed)" in text and "1 failed: ValueError: no" in text
    assert "INCONCLUSIVE" in text and "1 of 2 runs" in text and ".png" not in text


def test_the_gallery_holds_question_figures_table_verdicts_and_cost(tiny, tmp_path):
    store(tiny, accuracies=(0.80, 0.81, 0.9, 0.9101))
    text = gallery.rebuild()
    assert "tiny" in text and "1 SUPPORTED" in text and str(tmp_path) not in text
    readme = (tmp_path / "results/README.md").read_text()
    for part in (
        "Does momentum teach a linear classifier faster?",
        "![Test accuracy (%); for ",
        "(tiny/accuracy.png)",
        "| {} | 80.50 ± 6.35 | 2 |",
        "**SUPPORTED** | Momentum reaches a higher accuracy in two epochs. | +10.00 pp [+9.",
        "`python -m cnnkit sweep tiny --profile full`: 4 runs (4 completed), 10 seconds of training",
        "an abacus, 1 thread",
        "beads 1.0",
        "commit abc1234",
        "340,908 connections",
    ):
        assert part in readme, part
    for path, content in everything(tmp_path / "results").items():
        assert str(tmp_path).encode() not in content, path


def test_the_verdicts_in_the_table_are_those_of_scipy_on_the_rows(tiny, tmp_path):
    from scipy import stats

    store(tiny)
    gallery.rebuild()
    table = pd.read_csv(tmp_path / "results/claims.csv").set_index("id")
    runs = pd.read_csv(tmp_path / "results/tiny/runs.csv").sort_values("seed")
    heavy = runs["optimizer_args"] != "{}"
    test = stats.ttest_rel(runs.loc[heavy, "test_accuracy"], runs.loc[~heavy, "test_accuracy"])
    interval, line = test.confidence_interval(0.95), table.loc["momentum-is-faster"]
    assert (line["low"], line["high"]) == pytest.approx((interval.low, interval.high), rel=1e-8)
    assert table.loc["lenet5-parameters", ["effect", "verdict"]].tolist() == [60_000, "TRUE"]


def test_the_same_rows_give_the_same_bytes_whatever_the_style(tiny, tmp_path):
    store(tiny)
    gallery.rebuild()
    before = everything(tmp_path / "results")
    with plt.style.context("dark_background"):
        gallery.rebuild()
    assert everything(tmp_path / "results") == before and len(before) == 7


def test_rows_of_an_abandoned_grid_do_not_slip_in(tiny, tmp_path):
    store(tiny)
    gallery.rebuild()
    before = everything(tmp_path / "results")
    abandoned = [make_run(tiny.BASE.replace(learning_rate=0.5, seed=seed), 0.1) for seed in claims.FRESH[:2]]
    store(tiny, extra=abandoned)
    gallery.rebuild()
    changed = {path.name for path, content in everything(tmp_path / "results").items() if before[path] != content}
    assert changed == {"runs.csv", "history.csv"}


def test_an_incomplete_experiment_says_so_and_decides_nothing(tiny, tmp_path):
    store(tiny, accuracies=(0.80, 0.81, 0.9, 0.9101), leave_out=1)
    assert "incomplete: 3 of at least 4 runs" in gallery.rebuild()
    line = gallery.claims_table().set_index("id").loc["momentum-is-faster"]
    assert line["verdict"] == "INCONCLUSIVE" and line["reason"] == "incomplete: 3 of at least 4 runs are here"
    assert "**Incomplete: 3 of at least 4 runs are here.**" in (tmp_path / "results/README.md").read_text()
    assert not list((tmp_path / "results").rglob("*.png"))


def test_without_rows_the_gallery_says_so(tiny, tmp_path):
    assert "no rows yet" in gallery.rebuild()
    assert "No rows yet: tiny." in (tmp_path / "results/README.md").read_text()


def test_staged_rows_are_folded_in_first(tiny, tmp_path):
    store(tiny, leave_out=1)
    config = tiny.heavy("full", [None, None])[1]
    store.stage(*make_run(config, 0.92), "tiny", store.results_dir("full"))
    gallery.rebuild()
    assert len(pd.read_csv(tmp_path / "results/tiny/runs.csv")) == 4


def test_the_command_prints_every_claim(tiny, capsys):
    store(tiny)
    assert __main__.main(["claims"]) == 0
    text = capsys.readouterr().out
    assert "TRUE          LeNet-5 has 60,000 trainable parameters." in text and "momentum-is-faster" in text
    assert max(map(len, text.splitlines())) <= 96


# Facts and words


def test_facts_have_the_columns_of_claims():
    assert all(set(facts.check(fact)) == {*claims.COLUMNS, "reason"} for fact in facts.FACTS)


@pytest.mark.parametrize(
    ("holds", "condition", "verdict"),
    [(5, None, "FALSE"), (4, "on paper", "CONDITIONAL"), (5, "on paper", "FALSE"), (lambda n: n < 9, None, "TRUE")],
)
def test_a_fact_is_true_false_or_conditional(holds, condition, verdict):
    row = facts.check(facts.Fact("two", 1, "2 + 2", "us", lambda: 2 + 2, "apples", holds, condition))
    assert (row["verdict"], row["effect"]) == (verdict, 4)
    assert row["reason"] == ("on paper" if verdict == "CONDITIONAL" else "computed")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"unit": "test_accuracy", "effect": -0.0123}, "−1.23 pp [−2.00, +1.00], n = 5, margin 0.1"),
        ({"unit": "train_loss", "effect": 0.5}, "+0.5 nats [−0.02, +0.01], n = 5, margin 0.001"),
        ({"unit": "epochs", "effect": 3.0}, "+3 epochs [−0.02, +0.01], n = 5, margin 0.001"),
        (
            {"unit": "ratio", "effect": 1.5, "low": 1.2, "high": 2.0, "margin": 1.1},
            "1.5 times [1.2, 2], n = 5, margin 1.1",
        ),
        ({"unit": "parameters", "effect": 60_965_224.0, "verdict": "TRUE"}, "60,965,224 parameters"),
        ({"unit": "positions", "effect": 6.25, "verdict": "FALSE"}, "6.25 positions"),
        ({"unit": "ratio", "effect": math.nan}, ""),
    ],
)
def test_an_effect_in_words(line, words):
    whole = {"low": -0.02, "high": 0.01, "n": 5, "margin": 0.001, "verdict": "INCONCLUSIVE"} | line
    assert wording.tell_effect(whole) == words


def test_a_table_in_words():
    table = store.summarise(
        pd.DataFrame({"train_size": [500, 10_000, 10_000], "test_loss": [0.5, 0.25, 0.35]}), "train_size", "test_loss"
    )
    lines = wording.terminal_table(table).splitlines()
    assert lines[0].split("  ")[1].strip() == "Train size (images)" or "size" in lines[0]
    assert lines[2].split() == ["500", "0.5", "1"]
    assert lines[3].split() == ["10,000", "0.3", "±", "0.6353", "2"]
    assert wording.markdown_table(wording.readable(table)).splitlines()[-1] == "| 10,000 | 0.3 ± 0.6353 | 2 |"
