"""What is committed holds, or its fault is named: the smallest experiment, trained once, then tampered with."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from cnnkit import course, data
from cnnkit.evidence.experiment import run_experiment
from cnnkit.lab import store, sweeps, training
from cnnkit.report import corrections, gallery, reruns
from cnnkit.report import verify as module
from cnnkit.report.verify import verify

HERE = Path(__file__).parent


def train_here(configs, experiment, **_):
    """What `sweeps.run_all` does, in this process."""
    for config in configs:
        run = training.train(config)
        store.stage(run.row, run.history, experiment)
    store.rebuild(experiment)
    return store.read_runs(experiment)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A results folder in which the six runs of tests/experiments were really made."""
    root = tmp_path_factory.mktemp("honest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "__path__", [str(HERE / "experiments")])
        patch.setattr(corrections, "page", lambda name, table: "of the real course's facts\n")
        patch.setenv("CNNKIT_RESULTS_DIR", str(root))
        patch.setenv("CNNKIT_PROFILE", "full")
        patch.setattr(sweeps, "run_all", train_here)
        run_experiment(course.load_experiment("tiny"))
        gallery.rebuild()
    return root


@pytest.fixture
def root(honest, tmp_path, monkeypatch):
    """A copy to tamper with."""
    monkeypatch.setattr(course, "__path__", [str(HERE / "experiments")])
    monkeypatch.setattr(corrections, "page", lambda name, table: "of the real course's facts\n")
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(tmp_path / "results"))
    shutil.copytree(honest, tmp_path / "results")
    return tmp_path / "results"


def change(path, edit):
    """Edit a table as a person would, keeping its format."""
    table = pd.read_csv(path, dtype={"run_id": str, "commit": str})
    table = edit(table)
    path.write_text(table.to_csv(index=False, lineterminator="\n"))
    return table


def faults(capsys, **settings):
    status = verify(**settings)
    lines = capsys.readouterr().out.splitlines()
    assert status == any(line.startswith("FAIL") for line in lines)
    return [line.removeprefix("FAIL  ") for line in lines if line.startswith("FAIL")], lines


def test_an_honest_folder_passes_bit_for_bit(root, capsys):
    """The re-run is made by a worker process, as in earnest."""
    found, lines = faults(capsys, sample=1)
    assert not found
    for part in (
        "tables of tiny: 6 runs (6 asked for) and 12 epochs agree",
        "tiny/accuracy.png: the same",
        "claims.csv: the same",
        "README.md: the same",
        "small/README.md: the same",
        "corrections.md: the same",
    ):
        assert f"ok    {part}" in "\n".join(lines)
    assert re.search(r"ok +re-run of \w+ \(softmax on digits, seed \d+, tiny\): bit for bit", "\n".join(lines))


def test_a_row_that_only_training_can_refute_is_found(root, capsys, monkeypatch):
    monkeypatch.setattr(sweeps, "run_all", train_here)
    runs = change(root / "tiny/runs.csv", lambda runs: runs.assign(test_accuracy=runs["test_accuracy"] + 0.01))
    gallery.rebuild()
    found, _ = faults(capsys, sample=1)
    assert len(found) == 1 and "the same bits were due" in found[0] and "test_accuracy is" in found[0]
    assert any(run_id in found[0] for run_id in runs["run_id"])


def test_a_row_older_than_a_field_of_runs_is_still_the_same(root, capsys, monkeypatch):
    monkeypatch.setattr(sweeps, "run_all", train_here)
    change(root / "tiny/runs.csv", lambda runs: runs.drop(columns="log_training"))
    gallery.rebuild()
    found, lines = faults(capsys, sample=1)
    assert not found and "bit for bit" in "\n".join(lines)


def tampered(column, value):
    return lambda table: table.assign(**{column: table[column].astype(object).where(table.index != 1, value)})


@pytest.mark.parametrize(
    ("table", "edit", "fault"),
    [
        ("runs", tampered("val_score", 0.99), r"row {}: val_score is 0.99, and history.csv says"),
        ("runs", tampered("best_val_accuracy", 0.99), r"row {}: best_val_accuracy is 0.99"),
        ("runs", tampered("best_val_loss", 0.01), r"row {}: best_val_loss is 0.01"),
        ("runs", tampered("train_seconds", 0.001), r"row {}: train_seconds is 0.001"),
        ("runs", tampered("learning_rate", 0.03), r"row {}: its fields are those of run"),
        ("runs", tampered("learning_rate", -1.0), r"row {}: no config has these fields. Expected learning_rate > 0"),
        ("runs", tampered("status", "diverged"), r"row {}: status is diverged, and history.csv says completed"),
        ("runs", tampered("num_params", "many"), r".*num_params 'many', not a number"),
        ("runs", lambda runs: runs.drop(index=1), r"row {}: missing in runs.csv"),
        ("runs", lambda runs: runs[::-1], r"runs.csv is not as the store writes it"),
        ("runs", lambda runs: runs.drop(columns="device"), r"device missing"),
        ("history", lambda lines: lines.drop(index=2), r"row {}: epochs_run is 2, and history.csv says 1"),
        ("history", lambda lines: lines.drop(index=[2, 3]), r"row {}: missing in history.csv"),
        ("history", tampered("epoch", 1), r".*history.csv, line 3: .* a second time"),
    ],
)
def test_a_tampered_table_is_found_and_the_row_named(root, table, edit, fault):
    run_id = pd.read_csv(root / "tiny/runs.csv", dtype=str)["run_id"][1]
    change(root / f"tiny/{table}.csv", edit)
    outcome, text = next(module._checks(root, 5, 1))  # the first check: nothing is drawn or trained yet
    assert outcome == "FAIL" and re.match("tables of tiny: .*" + fault.format(run_id), text), text


def test_rows_are_not_trained_again_before_the_tables_are_mended(root, capsys):
    change(root / "tiny/runs.csv", tampered("val_score", 0.99))
    assert "skip  re-runs: mend the tables first" in faults(capsys, sample=5)[1]


def test_a_painted_figure_is_found(root, capsys):
    path = root / "tiny/curves.png"
    with Image.open(path) as image:
        text, pixels = image.info["cnnkit"], np.array(image)
    pixels[100, 100] = 7
    info = PngImagePlugin.PngInfo()
    info.add_text("cnnkit", text)
    Image.fromarray(pixels).save(path, pnginfo=info)
    assert faults(capsys, sample=0)[0] == ["tiny/curves.png: its pixels are not those that its rows draw"]


def test_figures_of_other_rows_without_origin_missing_or_too_many_are_found(root, capsys):
    Image.fromarray(np.zeros((9, 9, 3), "uint8")).save(root / "tiny/curves.png")
    (root / "tiny/accuracy.png").rename(root / "tiny/stray.png")
    found, _ = faults(capsys, sample=0)
    assert [fault.split(": ")[0] for fault in found] == [f"tiny/{name}.png" for name in ("accuracy", "curves", "stray")]
    assert (
        "missing" in found[0] and "carries no provenance" in found[1] and "no complete experiment draws it" in found[2]
    )


def test_a_changed_verdict_or_gallery_is_found(root, capsys):
    table = root / "claims.csv"
    table.write_text(re.sub(r"(?<=,)(SUPPORTED|REFUTED|INCONCLUSIVE)(?=,)", "PROVED", table.read_text()))
    readme = root / "README.md"
    readme.write_text(readme.read_text().replace("pp", "%"))
    page = root / "corrections.md"
    page.write_text(page.read_text().replace("real", "ideal"))
    found, _ = faults(capsys, sample=0)
    assert [fault.split(":")[0] for fault in found] == ["README.md", "claims.csv", "corrections.md"]
    assert "the first difference is -momentum-is-faster," in found[1]


# Rows from elsewhere


def test_rows_of_few_seeds_from_elsewhere_are_skipped_and_said_so(root, capsys, monkeypatch):
    monkeypatch.setattr(reruns, "FEWEST", 4)
    change(root / "tiny/runs.csv", lambda runs: runs.assign(device="an abacus, 1 thread"))
    gallery.rebuild()
    found, lines = faults(capsys, sample=2)
    assert not found and any(
        "6 rows: from another device or other versions, and under 4 seeds" in line for line in lines
    )


ROW = {
    "run_id": "abc",
    "model": "softmax",
    "dataset": "digits",
    "seed": 101,
    "experiment": "tiny",
    "status": "completed",
}
ROW |= {"data_sha256": "d", "num_params": 9, "device": "abacus", "keras": "3", "backend": "b", "test_accuracy": 0.9}


@pytest.mark.parametrize(
    ("accuracy", "deviation", "changes", "outcome", "words"),
    [
        (0.905, 0.001, {}, "ok", "within the spread (1.00 pp"),
        (0.915, 0.001, {}, "FAIL", "not within the spread"),
        (0.915, 0.005, {}, "ok", "within the spread (2.00 pp, 4 standard deviations over 5 seeds"),
        (0.9, 0.005, {"data_sha256": "e"}, "FAIL", "data_sha256 is d and came out e"),
        (0.1, 0.005, {"status": "diverged"}, "FAIL", "status is completed and came out diverged"),
        (0.9, 0.005, {"status": "failed", "error": "OSError: full"}, "FAIL", "OSError: full"),
    ],
)
def test_a_row_from_elsewhere_must_lie_within_the_spread_of_its_seeds(accuracy, deviation, changes, outcome, words):
    old = ROW | {"deviation": deviation, "seeds": 5}
    new = pd.Series(ROW | {"device": "this machine", "test_accuracy": accuracy} | changes)
    result, text = reruns._compare(old, new, None, None)
    assert result == outcome and words in text


# The sample


def many_rows(seconds, device="CPU, 1 thread"):
    rows = pd.DataFrame({"train_seconds": seconds, "run_id": [f"{i:03}" for i in range(len(seconds))]})
    return rows.assign(experiment="tiny", device=device)


def test_the_sample_keeps_to_the_budget_and_to_its_seed():
    rows = many_rows([200.0] * 20 + [10.0] * 20)
    chosen = reruns._pick(rows, 5, seed=1)
    assert len(chosen) == 5 and chosen["train_seconds"].sum() <= reruns.BUDGET
    assert chosen["run_id"].tolist() == reruns._pick(rows[::-1], 5, seed=1)["run_id"].tolist()
    assert chosen["run_id"].tolist() != reruns._pick(rows, 5, seed=2)["run_id"].tolist()


def test_a_gpus_seconds_count_for_more():
    assert len(reruns._pick(many_rows([5.0] * 9), 5, seed=1)) == 5
    assert reruns._pick(many_rows([5.0] * 9, device="NVIDIA H200"), 5, seed=1).empty


def test_rows_whose_images_are_not_here_are_skipped_and_said_so(root, capsys, monkeypatch):
    monkeypatch.setattr(data, "is_available", lambda name: False)
    found, lines = faults(capsys, sample=2)
    assert not found and any("6 rows on digits: it is not here; CNNKIT_DATA_DIR" in line for line in lines)


def test_a_negative_sample_is_refused():
    with pytest.raises(ValueError, match="Received: sample=-1"):
        verify(sample=-1)


def test_without_rows_nothing_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(course, "__path__", [str(HERE / "experiments")])
    monkeypatch.setattr(corrections, "page", lambda name, table: "of the real course's facts\n")
    gallery.rebuild()
    assert verify() == 0
    assert "there are no rows" in capsys.readouterr().out
    assert store.results_dir("full").exists()
