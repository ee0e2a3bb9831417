"""The store: what goes in comes out, whoever else writes and whenever somebody is killed."""

import errno
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cnnkit.lab import store

EXACT = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e-7]


def row(run_id, status="completed", **values):
    error = None if status == "completed" else "ValueError: a reason, with a comma\nand a line"
    return {"run_id": run_id, "dataset": "digits", "status": status, "error": error, **values}


def history(*losses):
    return pd.DataFrame({"epoch": range(1, len(losses) + 1), "train_loss": losses})


def stage(run_id, experiment="try", *, replace=False, losses=(0.5,), **values):
    store.stage(row(run_id, **values), history(*losses), experiment, replace=replace)


def staged(results_root, experiment="try"):
    return list((results_root / ".staging" / experiment).glob("*.json"))


def test_rows_come_back_exactly_and_sorted():
    for run_id, value in zip(["c0", "a0", "b0", "f0", "d0", "e0"], EXACT, strict=True):
        stage(run_id, test_loss=value, seed=3, losses=[value, value])
    before = store.read_runs("try"), store.read_history("try")
    store.rebuild("try")
    after = store.read_runs("try"), store.read_history("try")
    for was, now in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(was, now, check_exact=True)
    runs, lines = after
    assert list(runs["run_id"]) == ["a0", "b0", "c0", "d0", "e0", "f0"]
    assert runs.set_index("run_id")["test_loss"].to_dict() == dict(
        zip(["c0", "a0", "b0", "f0", "d0", "e0"], EXACT, strict=True)
    )
    assert runs["seed"].dtype == "int64"
    assert list(lines["epoch"]) == [1, 2] * 6


@pytest.mark.parametrize("run_id", ["12e45", "000012345678", "123456789012"])
def test_an_id_that_looks_like_a_number_stays_text(run_id):
    stage(run_id, data_sha256="1e9", model_sha256="007", commit="0123456789")
    stage("another")  # lacks these columns
    store.rebuild("try")
    runs = store.read_runs("try").set_index("run_id")
    assert list(runs.loc[run_id, ["data_sha256", "model_sha256", "commit"]]) == ["1e9", "007", "0123456789"]
    assert set(store.read_history("try")["run_id"]) == {run_id, "another"}


def test_missing_and_infinite_values_keep_their_meaning():
    stage("a", status="diverged", test_loss=None, train_size=None, losses=[np.inf, np.nan])
    stage("b", test_loss=0.5, train_size=100)
    store.rebuild("try")
    runs, lines = store.read_runs("try"), store.read_history("try")
    assert np.isnan(runs["test_loss"][0]) and np.isnan(runs["train_size"][0])
    assert runs["error"][0] == row("a", "diverged")["error"] and pd.isna(runs["error"][1])
    assert np.isinf(lines["train_loss"][0]) and np.isnan(lines["train_loss"][1])


@pytest.mark.parametrize("order", [["a", "b", "c"], ["c", "a", "b"]])
@pytest.mark.parametrize("rebuilds", [1, 3])
def test_the_table_does_not_depend_on_who_wrote_when(results_root, order, rebuilds):
    values = {"a": {"train_size": None, "loss": 1}, "b": {"train_size": 50, "loss": 2.5}, "c": {"status": "failed"}}
    for run_id in order:
        stage(run_id, **values[run_id])
        if rebuilds == 3:
            store.rebuild("try")
    store.rebuild("try")
    lines = (results_root / "try" / "runs.csv").read_text().replace('"', "").splitlines()
    assert lines[1:3] == ["a,digits,completed,,,1.0", "b,digits,completed,,50.0,2.5"]


def test_staged_rows_are_seen_before_a_rebuild(results_root):
    stage("a")
    assert list(store.read_runs("try")["run_id"]) == ["a"]
    assert not (results_root / "try").exists()
    store.rebuild("try")
    assert staged(results_root) == []
    stage("b")
    assert list(store.read_runs("try")["run_id"]) == ["a", "b"]
    assert list(store.read_history("try")["run_id"]) == ["a", "b"]


@pytest.mark.parametrize("between", [store.rebuild, lambda experiment: None])
def test_a_failed_run_never_replaces_a_finished_one(between):
    stage("a", test_loss=0.5)
    between("try")
    stage("a", status="failed", losses=[])
    store.rebuild("try")
    runs = store.read_runs("try")
    assert list(runs["status"]) == ["completed"] and len(store.read_history("try")) == 1


@pytest.mark.parametrize("between", [store.rebuild, lambda experiment: None])
def test_a_finished_run_replaces_a_failed_and_an_older_one(between):
    stage("a", status="failed", losses=[])
    between("try")
    stage("a", test_loss=0.5, losses=[3, 2, 1])
    between("try")
    stage("a", test_loss=0.4, losses=[3, 2])
    store.rebuild("try")
    assert store.read_runs("try")["test_loss"].tolist() == [0.4]
    assert store.read_history("try")["train_loss"].tolist() == [3, 2]


def test_a_failed_refresh_replaces_the_stale_row():
    stage("a", test_loss=0.5)
    store.rebuild("try")
    stage("a", status="failed", losses=[], replace=True)
    store.rebuild("try")
    assert list(store.read_runs("try")["status"]) == ["failed"]
    assert store.read_history("try").empty


def test_an_experiment_of_failed_runs_only_can_be_read():
    stage("a", status="failed", losses=[])
    store.rebuild("try")
    assert len(store.read_runs("try")) == 1
    assert list(store.read_history("try").columns) == ["run_id", "epoch"]


def test_an_unknown_experiment_is_empty_and_reading_creates_nothing(results_root):
    assert store.read_runs("try").empty and store.read_history("try").empty
    store.rebuild("try")
    assert not results_root.exists()


@pytest.mark.parametrize("last", ["history.csv", "runs.csv"])
def test_a_process_killed_between_two_writes_loses_nothing(results_root, monkeypatch, last):
    stage("a")
    store.rebuild("try")
    stage("b")
    write = store.write_atomically

    def killed(path, text):
        if path.name == last:
            (path.parent / f".{path.name}.left").write_text("half a ta")
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(store, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        store.rebuild("try")
    monkeypatch.undo()
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(results_root.parent))
    assert list(store.read_runs("try")["run_id"]) == ["a", "b"]
    assert list(store.read_history("try")["run_id"]) == ["a", "b"]
    store.rebuild("try")
    assert sorted(path.name for path in (results_root / "try").iterdir()) == ["history.csv", "runs.csv"]
    assert list(store.read_runs("try")["run_id"]) == ["a", "b"]


def _write_many(ids, root):
    for run_id in ids:
        store.stage(row(run_id, test_loss=1.0), history(1.0, 0.5), "try", root)
        store.rebuild("try", root)
        assert run_id in set(store.read_runs("try", root)["run_id"])


def test_two_processes_writing_at_once_lose_and_double_nothing(results_root):
    ids = [f"{number:012x}" for number in range(24)]
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(part, results_root)) for part in (ids[:16], ids[8:])]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert list(store.read_runs("try")["run_id"]) == ids
    assert len(store.read_history("try")) == 2 * len(ids)
    assert staged(results_root) == []


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"Expected to write .* Received: Not a directory\. .*CNNKIT_RESULTS_DIR"):
        store.check_writable("try", tmp_path / "file")


def test_a_full_disk_is_one_clear_error_and_the_old_table_stays(results_root, monkeypatch):
    stage("a")
    store.rebuild("try")
    old = (results_root / "try" / "runs.csv").read_text()
    stage("b")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for write in (lambda: store.rebuild("try"), lambda: stage("c"), lambda: store.check_writable("try")):
            with pytest.raises(OSError, match=r"Received: No space left on device\. Free some space"):
                write()
    assert (results_root / "try" / "runs.csv").read_text() == old
    left = [path.name for path in results_root.rglob("*") if path.is_file() and path.suffix not in (".lock", ".json")]
    assert sorted(left) == ["history.csv", "runs.csv"]
    store.rebuild("try")
    assert list(store.read_runs("try")["run_id"]) == ["a", "b"]


def test_the_smoke_profile_has_its_own_folder(tmp_path, monkeypatch):
    assert store.results_dir() == tmp_path / "results" / "smoke"
    monkeypatch.setenv("CNNKIT_PROFILE", "full")
    assert store.results_dir() == tmp_path / "results"
    monkeypatch.setenv("CNNKIT_PROFILE", "quick")
    with pytest.raises(ValueError, match=r"smoke or full\. Received: CNNKIT_PROFILE=quick"):
        store.results_dir()


def test_summarise_agrees_with_scipy():
    generator = np.random.default_rng(1)
    frame = pd.DataFrame({"arm": ["a"] * 5 + ["b"] * 2 + ["c"], "rate": 0.1, "score": generator.normal(size=8)})
    frame.loc[4, "score"] = np.nan
    table = store.summarise(frame, ["arm", "rate"], "score").set_index("arm")
    assert list(table.columns) == ["rate", "mean", "low", "high", "n"]
    assert table["n"].to_dict() == {"a": 4, "b": 2, "c": 1}
    for arm in "ab":
        values = frame.loc[frame["arm"] == arm, "score"].dropna()
        expected = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
        np.testing.assert_allclose(table.loc[arm, ["low", "high"]].astype(float), expected)
        np.testing.assert_allclose(store.student_interval(values), (values.mean(), *expected))
    assert np.isnan(table.loc["c", "low"]) and np.isnan(table.loc["c", "high"])
    assert table.loc["c", "mean"] == frame["score"].iloc[-1]


def test_an_interval_needs_two_values():
    mean, low, high = store.student_interval([0.5])
    assert mean == 0.5 and np.isnan(low) and np.isnan(high)


def test_the_store_and_what_stands_on_it_load_neither_keras_nor_tensorflow():
    code = "import sys, cnnkit.lab.store, cnnkit.plots, cnnkit.evidence.claims; print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
