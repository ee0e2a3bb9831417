"""What an experiment found, on pages and in a terminal: from made-up rows of the smallest experiment."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cnnkit import __main__, course, plots
from cnnkit.lab import store, sweeps
from cnnkit.report import corrections, gallery, reproduce

EXPERIMENTS = Path(__file__).parent / "experiments"


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The experiment of tests/experiments alone, with an empty results folder."""
    monkeypatch.setattr(course, "__path__", [str(EXPERIMENTS)])
    monkeypatch.setattr(corrections, "page", lambda name, table: "of the real course's facts\n")
    monkeypatch.chdir(tmp_path)
    return course.load_experiment("tiny")


def make_run(config, accuracy, status="completed"):
    """Return a row and a history as training would write them."""
    rng = np.random.default_rng(int(config.run_id, 16))
    lines = pd.DataFrame({"epoch": [1, 2], "seconds": [1.0, 2.5], "learning_rate": config.learning_rate})
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        lines[name] = rng.uniform(0.3, 0.6, 2)
    names = [name for name in plots.saving.METRICS if name.endswith(("accuracy", "score"))]
    row = {
        "run_id": config.run_id,
        **config.to_row(),
        "status": status,
        "error": None,
        **dict.fromkeys(names, accuracy),
    }
    row |= {"majority_share": 0.1, "test_images": 359, "num_params": 7850, "train_seconds": 2.5, "keras": "3"}
    row |= {"device": "an abacus, 1 thread", "backend": "beads 1.0", "cnnkit": "0", "commit": "abc1234"}
    return row, lines


ACCURACIES = {("none", 101): 0.80, ("none", 102): 0.81, ("0.9", 101): 0.90, ("0.9", 102): 0.92}


def keep(tiny, profile="full", leave_out=(), extra=()):
    """Put the runs that the experiment asks for, or fewer, and extra ones into the store of a profile."""
    root = store.results_dir(profile)
    for _ in range(2):  # the tuning runs, then the fresh ones
        plan = tiny.read(profile).plans[""]
        for run_id in [config.run_id for config in plan.missing]:
            config = plan.configs[run_id]
            arm = "0.9" if config.optimizer_args else "none"
            if (arm, config.seed) not in leave_out:
                store.stage(*make_run(config, ACCURACIES.get((arm, config.seed), 0.8)), "tiny", root)
        store.rebuild("tiny", root)
    for row, history in extra:
        store.stage(row, history, "tiny", root)
    store.rebuild("tiny", root)


def everything(folder):
    kinds = (".md", ".csv", ".png")
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.suffix in kinds}


def test_a_report_tells_what_was_found_and_where_it_is(tiny, tmp_path):
    keep(tiny, "smoke")
    text = gallery.report(tiny.read("smoke"))
    assert "Does momentum teach a linear classifier faster?" in text
    assert "6 runs (6 completed), 15 seconds of training" in text
    assert "80.50 ± 0.50" in text and "± reaches to the highest run: a range, no 95% interval" in text
    assert "Test accuracy (%), mean ± range" in text
    assert "SUPPORTED " in text and "(momentum-is-faster)" in text and "n = 2" in text
    assert "results/smoke/tiny: history.csv, runs.csv, accuracy.png, curves.png" in text
    assert "too small to conclude from" in text and "--profile full" in text and str(tmp_path) not in text
    drawn = sorted(path.name for path in (tmp_path / "results/smoke/tiny").glob("*.png"))
    assert drawn == ["accuracy.png", "curves.png"] and not plt.get_fignums()
    assert plots.read_provenance(tmp_path / "results/smoke/tiny/curves.png")["runs"] == 6


def test_only_smoke_figures_are_marked(tiny, monkeypatch):
    marked = []
    monkeypatch.setattr(plots, "mark_profile", lambda figure, profile: marked.append(profile))
    for profile in ("smoke", "full"):
        keep(tiny, profile)
        gallery.report(tiny.read(profile))
    assert marked == ["smoke", "smoke", "full", "full"]


def test_a_report_survives_failed_runs(tiny):
    keep(tiny, "smoke", leave_out=[("0.9", 102)])
    (config,) = tiny.read("smoke").missing
    failed = {"run_id": config.run_id, **config.to_row(), "status": "failed", "error": "ValueError: no"}
    store.stage(failed, pd.DataFrame(), "tiny")
    text = gallery.report(tiny.read("smoke"))
    assert "6 runs (5 completed, 1 failed)" in text and "1 failed: ValueError: no" in text
    assert "INCONCLUSIVE" in text and "1 of 2 runs" in text and ".png" not in text


def test_the_pages_hold_question_figures_table_verdicts_and_cost(tiny, tmp_path):
    keep(tiny)
    text = gallery.rebuild()
    assert "tiny" in text and "1 SUPPORTED" in text and str(tmp_path) not in text
    index, chapter = ((tmp_path / "results" / name).read_text() for name in ("README.md", "small/README.md"))
    assert "[tiny](small/README.md#tiny) | Does momentum teach a linear classifier faster? | Best: 0.9, 91.0%" in index
    for part in (
        "![Test accuracy (%)](../tiny/accuracy.png)",
        "| none | 7,850 | 0.002 | 2 | 80.50 ± 0.50 | 2 | 0 of 2 |",
        "**SUPPORTED** | Momentum reaches a higher accuracy in two epochs. | +10.50 pp [",
        "`python -m cnnkit sweep tiny --profile full`: 6 runs (6 completed), 15 seconds of training",
        "an abacus, 1 thread",
        "commit abc1234",
    ):
        assert part in chapter, part
    for path, content in everything(tmp_path / "results").items():
        assert str(tmp_path).encode() not in content, path


def test_the_gallery_begins_with_the_figures_of_what_is_decided(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "SCREEN", {"other": "accuracy", "tiny": "accuracy"})
    keep(tiny, leave_out=[("0.9", 102)])
    picture = "classifier faster?](tiny/accuracy.png)](small/README.md#tiny)<br>Best: 0.9"
    for complete in (False, True):
        gallery.rebuild()
        assert (picture in (tmp_path / "results/README.md").read_text()) == complete
        keep(tiny)
    chapter = (tmp_path / "results/small/README.md").read_text()
    assert "Rows: [history.csv](../tiny/history.csv), [runs.csv](../tiny/runs.csv)" in chapter


def test_every_figure_of_the_gallery_is_one_that_its_experiment_draws():
    for name, stem in gallery.SCREEN.items():
        found = course.findings(name)
        assert not found.complete or (store.results_dir("full") / name / f"{stem}.png").exists(), (name, stem)


def test_the_verdicts_in_the_table_are_those_of_scipy_on_the_rows(tiny, tmp_path):
    keep(tiny)
    gallery.rebuild()
    line = pd.read_csv(tmp_path / "results/claims.csv").set_index("id").loc["momentum-is-faster"]
    better, worse = ([ACCURACIES[arm, seed] for seed in (101, 102)] for arm in ("0.9", "none"))
    test = stats.ttest_rel(better, worse)
    interval = test.confidence_interval(0.95)
    assert (line["low"], line["high"]) == pytest.approx((interval.low, interval.high), rel=1e-8)
    assert line["conditions"].startswith("200 images of digits; softmax; 2 epochs; learning rates 0.002 (0.9)")


def test_the_same_rows_give_the_same_bytes_whatever_the_style(tiny, tmp_path):
    keep(tiny)
    gallery.rebuild()
    before = everything(tmp_path / "results")
    with plt.style.context("dark_background"):
        gallery.rebuild()
    assert everything(tmp_path / "results") == before and len(before) == 9


def test_rows_of_an_abandoned_grid_do_not_slip_in(tiny, tmp_path):
    keep(tiny)
    gallery.rebuild()
    before = everything(tmp_path / "results")
    config = tiny.full.base.replace(learning_rate=0.5)
    keep(tiny, extra=[make_run(config.replace(seed=seed), 0.1) for seed in (101, 102)])
    gallery.rebuild()
    changed = {path.name for path, content in everything(tmp_path / "results").items() if before[path] != content}
    assert changed == {"runs.csv", "history.csv"}


def test_an_incomplete_experiment_says_so_and_decides_nothing(tiny, tmp_path):
    keep(tiny, leave_out=[("0.9", 102)])
    gap = "being measured: 5 of at least 6 runs are here"
    assert gap in gallery.rebuild()
    line = gallery.claims_table().set_index("id").loc["momentum-is-faster"]
    assert line["verdict"] == "INCONCLUSIVE" and line["reason"].startswith(gap) and np.isnan(line["p"])
    assert "**Being measured: 5 of at least 6" in (tmp_path / "results/small/README.md").read_text()
    assert "being measured" in (tmp_path / "results/README.md").read_text()
    assert not list((tmp_path / "results").rglob("*.png"))


def test_what_is_missing_and_what_it_costs_is_said(tiny):
    keep(tiny, leave_out=[("0.9", 102)])
    assert tiny.read("full").gap().endswith("5 of at least 6 runs are here, about 0 core-minutes")


def test_staged_rows_are_folded_in_first(tiny, tmp_path):
    keep(tiny, leave_out=[("0.9", 102)])
    (config,) = tiny.read("full").missing
    store.stage(*make_run(config, 0.92), "tiny", store.results_dir("full"))
    gallery.rebuild()
    assert len(pd.read_csv(tmp_path / "results/tiny/runs.csv")) == 6


def test_a_notebook_says_once_that_an_experiment_is_being_measured_again(tiny, monkeypatch):
    keep(tiny, leave_out=[("0.9", 102)])
    said = []
    monkeypatch.setattr(course, "say", lambda *sentences: said.extend(sentences))
    for speak in (course.show, course.tell, course.show):
        speak(course.findings("tiny"))
    assert len(said) == 1 and said[0].startswith("*tiny: being measured: 5 of at least 6 runs are here")
    assert said[0].endswith("`make sweeps EXPERIMENT=tiny PROFILE=full` trains it.")


def test_the_command_prints_every_claim(tiny, capsys):
    keep(tiny)
    assert __main__.main(["claims"]) == 0
    text = capsys.readouterr().out
    assert "momentum-is-faster" in text and max(map(len, text.splitlines())) <= 96


MARKS = "".join(f"<!-- {name}: written by `make results` -->\n<!-- /{name} -->\n" for name in ("finding", "networks"))


def test_the_front_page_has_a_finding_the_networks_and_a_line_a_notebook(tmp_path):
    (tmp_path / "notebooks/source").mkdir(parents=True)
    (tmp_path / "notebooks/source/02_baselines.py").write_text("# %% [markdown]\n# # 02 · how far?\n")
    (tmp_path / "notebooks/source/03_backprop.py").write_text("# %% [markdown]\n# # 03 · how?\n")
    marks = "<!-- notebooks: written by `make results` -->\n<!-- /notebooks -->\n"
    (tmp_path / "README.md").write_text(f"a\n{MARKS}{marks}b\n")
    gallery.write_front_page(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "*networks: being measured: 0 of" in text and "*sharing: being measured: 0 of" in text
    assert "| 02_baselines (source only) | How far? | being measured: 0 of" in text
    assert "| Slopes multiply on the way back; a sigmoid passes on at most 0.25 of one. |" in text
    with pytest.raises(ValueError, match="Expected the marks of notebooks once"):
        (tmp_path / "README.md").write_text(MARKS)
        gallery.write_front_page(tmp_path)


def test_everything_again_goes_to_a_folder_of_its_own_and_is_compared(tiny, tmp_path, monkeypatch, capsys):
    own = {"CNNKIT_PROFILE": "smoke", "CNNKIT_RESULTS_DIR": str(tmp_path / "results")}
    for name, value in own.items():
        monkeypatch.setenv(name, value)  # which the command sets anew
    keep(tiny)
    before = everything(tmp_path / "results")
    status = reproduce.reproduce(tmp_path / "again", workers=1)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("1 experiments: about 0.0 hours") and said[1].startswith(" 1 of 1  tiny")
    assert said[-1].startswith("Here: ") and f"{status} of 1 verdicts differ" in said[-1]
    trained = pd.read_csv(tmp_path / "again/tiny/runs.csv")
    assert len(trained) == 6 and set(trained["status"]) == {"completed"}
    assert everything(tmp_path / "results") == before
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", own["CNNKIT_RESULTS_DIR"])
    monkeypatch.setattr(sweeps, "_run_missing", lambda *args, **how: pytest.fail("trained twice"))
    assert reproduce.reproduce(tmp_path / "again", workers=1) == status
