"""The store: what goes in comes out, whoever else writes and whenever somebody is killed."""

import errno
import fcntl
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cnnkit.lab import store

A, B, C, D, E, F = (letter * 12 for letter in "abcdef")
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
    for run_id, value in zip([C, A, B, F, D, E], EXACT, strict=True):
        stage(run_id, test_loss=value, seed=3, losses=[value, value])
    before = store.read_runs("try"), store.read_history("try")
    store.rebuild("try")
    after = store.read_runs("try"), store.read_history("try")
    for was, now in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(was, now, check_exact=True)
    runs, lines = after
    assert list(runs["run_id"]) == [A, B, C, D, E, F]
    assert runs.set_index("run_id")["test_loss"].to_dict() == dict(zip([C, A, B, F, D, E], EXACT, strict=True))
    assert runs["seed"].dtype == "int64"
    assert list(lines["epoch"]) == [1, 2] * 6


@pytest.mark.parametrize("run_id", ["12e450000000", "000012345678", "123456789012"])
def test_an_id_that_looks_like_a_number_stays_text(run_id):
    stage(run_id, data_sha256="1e9", model_sha256="007", commit="0123456789")
    stage(A)  # lacks these columns
    store.rebuild("try")
    runs = store.read_runs("try").set_index("run_id")
    assert list(runs.loc[run_id, ["data_sha256", "model_sha256", "commit"]]) == ["1e9", "007", "0123456789"]
    assert set(store.read_history("try")["run_id"]) == {run_id, A}


def test_missing_and_infinite_values_keep_their_meaning():
    stage(A, status="diverged", test_loss=None, train_size=None, losses=[np.inf, np.nan])
    stage(B, test_loss=0.5, train_size=100)
    store.rebuild("try")
    runs, lines = store.read_runs("try"), store.read_history("try")
    assert np.isnan(runs["test_loss"][0]) and np.isnan(runs["train_size"][0])
    assert runs["error"][0] == row(A, "diverged")["error"] and pd.isna(runs["error"][1])
    assert np.isinf(lines["train_loss"][0]) and np.isnan(lines["train_loss"][1])


@pytest.mark.parametrize("order", [[A, B, C], [C, A, B]])
@pytest.mark.parametrize("rebuilds", [1, 3])
def test_the_table_does_not_depend_on_who_wrote_when(results_root, order, rebuilds):
    values = {A: {"train_size": None, "loss": 1}, B: {"train_size": 50, "loss": 2.5}, C: {"status": "failed"}}
    for run_id in order:
        stage(run_id, **values[run_id])
        if rebuilds == 3:
            store.rebuild("try")
    store.rebuild("try")
    lines = (results_root / "try" / "runs.csv").read_text().replace('"', "").splitlines()
    assert lines[1:3] == [f"{A},digits,completed,,,1.0", f"{B},digits,completed,,50.0,2.5"]


def test_staged_rows_are_seen_before_a_rebuild(results_root):
    stage(A)
    assert list(store.read_runs("try")["run_id"]) == [A]
    assert not (results_root / "try").exists()
    store.rebuild("try")
    assert staged(results_root) == []
    stage(B)
    assert list(store.read_runs("try")["run_id"]) == [A, B]
    assert list(store.read_history("try")["run_id"]) == [A, B]


@pytest.mark.parametrize("between", [store.rebuild, lambda experiment: None])
def test_a_failed_run_never_replaces_a_finished_one(between):
    stage(A, test_loss=0.5)
    between("try")
    stage(A, status="failed", losses=[])
    store.rebuild("try")
    runs = store.read_runs("try")
    assert list(runs["status"]) == ["completed"] and len(store.read_history("try")) == 1


@pytest.mark.parametrize("between", [store.rebuild, lambda experiment: None])
def test_a_finished_run_replaces_a_failed_and_an_older_one(between):
    stage(A, status="failed", losses=[])
    between("try")
    stage(A, test_loss=0.5, losses=[3, 2, 1])
    between("try")
    stage(A, test_loss=0.4, losses=[3, 2])
    store.rebuild("try")
    assert store.read_runs("try")["test_loss"].tolist() == [0.4]
    assert store.read_history("try")["train_loss"].tolist() == [3, 2]


@pytest.mark.parametrize("between", [store.rebuild, lambda experiment: None])
def test_a_failed_refresh_is_told_and_keeps_the_row_that_was_there(between, capsys):
    stage(A, test_loss=0.5)
    between("try")
    stage(A, status="failed", losses=[], replace=True)
    assert store.rebuild("try") == [A]
    assert list(store.read_runs("try")["status"]) == ["completed"] and len(store.read_history("try")) == 1
    assert re.search(rf"refresh of run {A} failed .*a reason.* stays", capsys.readouterr().err)
    stage(A, status="failed", losses=[])  # no refresh: nobody waits for it
    assert store.rebuild("try") == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("clock", [lambda now: now - 3600e9, lambda now: 0])
def test_the_last_staged_row_counts_whatever_the_clock_says(monkeypatch, clock):
    for loss in range(12):
        stage(A, test_loss=loss)
        before = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda before=before: int(clock(before)))
    assert store.read_runs("try")["test_loss"].tolist() == [11]
    store.rebuild("try")
    assert store.read_runs("try")["test_loss"].tolist() == [11]


def test_an_experiment_of_failed_runs_only_can_be_read():
    stage(A, status="failed", losses=[])
    store.rebuild("try")
    assert len(store.read_runs("try")) == 1
    assert list(store.read_history("try").columns) == ["run_id", "epoch"]


def test_an_unknown_experiment_is_empty_and_reading_creates_nothing(results_root):
    assert store.read_runs("try").empty and store.read_history("try").empty
    store.rebuild("try")
    assert not results_root.exists()


@pytest.mark.parametrize("last", ["history.csv", "runs.csv"])
def test_a_process_killed_between_two_writes_loses_nothing(results_root, monkeypatch, last):
    stage(A)
    store.rebuild("try")
    stage(B)
    write = store.write_atomically

    def killed(path, text):
        if path.name == last:
            (path.parent / f".{path.name}.left{store.TEMPORARY}").write_text("half a ta")
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(store, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        store.rebuild("try")
    monkeypatch.undo()
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(results_root.parent))
    assert list(store.read_runs("try")["run_id"]) == [A, B]
    assert list(store.read_history("try")["run_id"]) == [A, B]
    store.rebuild("try")
    assert sorted(path.name for path in (results_root / "try").iterdir()) == ["history.csv", "runs.csv"]
    assert list(store.read_runs("try")["run_id"]) == [A, B]


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


def test_a_table_that_could_not_be_written_is_told_before_training(results_root):
    results_root.mkdir(parents=True)
    (results_root / "try").write_text("where the folder of the tables should be")
    with pytest.raises(OSError, match="Expected to write .* in .*try. Received: "):
        store.check_writable("try")


def test_a_full_disk_is_one_clear_error_and_the_old_table_stays(results_root, monkeypatch):
    stage(A)
    store.rebuild("try")
    old = (results_root / "try" / "runs.csv").read_text()
    stage(B)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for write in (lambda: store.rebuild("try"), lambda: stage(C), lambda: store.check_writable("try")):
            with pytest.raises(OSError, match=r"Received: No space left on device\. Free some space"):
                write()
    assert (results_root / "try" / "runs.csv").read_text() == old
    left = [path.name for path in results_root.rglob("*") if path.is_file() and path.suffix not in (".lock", ".json")]
    assert sorted(left) == ["history.csv", "runs.csv"]
    store.rebuild("try")
    assert list(store.read_runs("try")["run_id"]) == [A, B]


DAMAGED_RECORDS = {
    "empty": b"",
    "cut off": b'{"row": {"run_id": "abc',
    "zeros": bytes(300),
    "list": b"[]",
    "deep": b"[" * 100_000,
    "other": b'{"name": "x"}',
    "null": b'{"row": null, "history": [], "replace": false}',
    "no id": b'{"row": {"run_id": "abc", "status": "failed"}, "history": [], "replace": false}',
    "no status": b'{"row": {"run_id": "aaaaaaaaaaaa", "status": "done"}, "history": [], "replace": false}',
    "nested": b'{"row": {"run_id": "aaaaaaaaaaaa", "status": "failed", "x": []}, "history": [], "replace": false}',
    "text": b'{"row": {"run_id": "aaaaaaaaaaaa", "status": "failed", "seed": "x"}, "history": [], "replace": false}',
    "half": b'{"row": {"run_id": "aaaaaaaaaaaa", "status": "failed"}, "history": [{"epoch": 1.5}], "replace": false}',
    "epochs": b'{"row": {"run_id": "aaaaaaaaaaaa", "status": "failed"}, "history": [{"epoch": 1}, {"epoch": 1}], '
    b'"replace": false}',
}


@pytest.mark.parametrize("content", DAMAGED_RECORDS.values(), ids=DAMAGED_RECORDS)
@pytest.mark.parametrize("use", [store.read_runs, store.read_history, store.rebuild])
def test_a_damaged_staged_run_is_set_aside_and_stops_nothing(results_root, capsys, content, use):
    stage(B)
    bad = results_root / ".staging" / "try" / f"{A}.1795649565522533549.json"
    bad.write_bytes(content)
    use("try")
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and bad.name in told and "damaged" in told
    assert (bad.parent / "damaged" / bad.name).read_bytes() == content
    store.rebuild("try")
    assert list(store.read_runs("try")["run_id"]) == [B] and capsys.readouterr().err == ""


def test_a_staged_run_of_an_earlier_version_counts_as_older(results_root):
    stage(A, test_loss=1.0)
    (path,) = staged(results_root)
    path.rename(path.with_name(f"{A}.1795649565522533549.json"))
    stage(A, test_loss=2.0)
    assert store.read_runs("try")["test_loss"].tolist() == [2.0]


@pytest.mark.parametrize("values", [{"status": "done"}, {"seed": "three"}, {"model_args": {}}])
def test_a_row_that_no_table_could_take_is_not_staged(results_root, values):
    with pytest.raises(ValueError, match=r"Expected a row of texts and numbers .* Received: "):
        stage(A, **values)
    with pytest.raises(ValueError, match=r"Received: run_id 'short', not \[0-9a-f\]"):
        stage("short")
    assert staged(results_root) == []


@pytest.mark.parametrize("error", ["a\0b", "a\rb", "a\ud800b", "x" * 200_000, 'an "end', "a\n=======\nb", "\ufeff"])
def test_whatever_an_error_says_the_table_can_be_read(error):
    stage(A, status="failed", losses=[], error=error)
    stage(B)
    store.rebuild("try")
    store.rebuild("try")
    runs = store.read_runs("try")
    assert list(runs["run_id"]) == [A, B] and runs["error"][0][:1] == error[:1]


def tables(results_root):
    """Fold in two runs of two epochs, one with an error of two lines, and return the paths of the two tables."""
    stage(A, status="failed", losses=[2, 1], val_loss=0.25)
    stage(B, losses=[4, 3], val_loss=0.5)
    store.rebuild("try")
    return results_root / "try" / "runs.csv", results_root / "try" / "history.csv"


def lines_of(data):
    return data.splitlines(keepends=True)


FAULTS = {  # what to do to the bytes of runs.csv, whose run B stands in line 4, and what is said
    "empty": (lambda data: b"", "line 1: the columns ''"),
    "blank": (lambda data: b"\n\n", "line 1: the columns ''"),
    "no header": (lambda data: b"".join(lines_of(data)[1:]), "line 1: the columns"),
    "semicolons": (lambda data: data.replace(b",", b";"), "line 1: the columns"),
    "an index": (lambda data: b"," + data, "line 1: the columns"),
    "a column twice": (lambda data: data.replace(b"dataset", b"status"), "line 1: the columns"),
    "twice": (lambda data: data + lines_of(data)[3], f"line 5: {B} a second time, after line 4"),
    "cut off": (lambda data: data[:-5], "line 4: 4 values for 5 columns"),
    "cut in a number": (lambda data: data[:-2], "line 4: cut off"),
    "cut in quotes": (lambda data: data[: data.index(b"a reason") + 3], "line 2: unexpected end of data"),
    "a comma too many": (lambda data: data[:-1] + b",\n", "line 4: 6 values for 5 columns"),
    "a merge": (lambda data: data + b"<<<<<<< HEAD\n", "line 5: 1 values for 5 columns: '<<<<<<< HEAD'"),
    "a merge of headers": (lambda data: b"<<<<<<< HEAD\n" + data, "line 1: the columns '<<<<<<< HEAD'"),
    "NUL": (lambda data: data.replace(b"digits", b"dig\0ts"), "line 2: cut off .* or a NUL byte"),
    "Latin-1": (lambda data: data.replace(b"0.5", b"0.\xe4"), "line 4: 'utf-8' codec can't decode byte 0xe4"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), "line 1: 'utf-8' codec"),
    "a run id of Excel": (lambda data: data.replace(B.encode(), b"1.2E+45"), r"line 4: run_id '1\.2E\+45'"),
    "a status": (lambda data: data.replace(b"completed", b"done"), "line 4: status 'done'"),
    "a text": (lambda data: data.replace(b"0.5", b"\x1bhalf"), r"line 4: val_loss '\\x1bhalf', not a number"),
}


@pytest.mark.parametrize("damage, told", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("use", [store.read_runs, store.read_history, store.rebuild])
def test_a_damaged_table_is_refused_with_file_and_line(results_root, damage, told, use):
    path, _ = tables(results_root)
    path.write_bytes(damage(path.read_bytes()))
    stage(C)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"Received: {re.escape(str(path))}, {told}.*git checkout"):
        use("try")
    assert path.read_bytes() == before and len(staged(results_root)) == 1


@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda data: data + lines_of(data)[4], f"line 6: {B} 2 a second time, after line 5"),
        (lambda data: data.replace(b",2,3", b",,3"), "line 5: epoch ''"),
        (lambda data: data.replace(b",2,3", b",2,three"), "line 5: train_loss 'three'"),
        (lambda data: data.replace(b"epoch", b"time"), "line 1: the columns"),
    ],
)
def test_a_damaged_history_is_refused_with_file_and_line(results_root, damage, told):
    _, path = tables(results_root)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"Received: {re.escape(str(path))}, {told}"):
        store.read_runs("try")


def test_a_table_that_a_harmless_program_has_saved_is_read(results_root):
    path, _ = tables(results_root)
    before = store.read_runs("try")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n")  # a byte order mark, an empty line at the end
    pd.testing.assert_frame_equal(store.read_runs("try"), before)


def test_a_table_with_fewer_columns_is_read_and_takes_new_ones(results_root):
    tables(results_root)
    stage(C, scaling="standard", val_score=0.5)
    store.rebuild("try")
    runs = store.read_runs("try").set_index("run_id")
    assert runs.loc[C, "scaling"] == "standard" and runs["val_score"].isna().tolist() == [True, True, False]
    assert runs["val_loss"].tolist()[:2] == [0.25, 0.5]


def test_trials_are_read_as_checked_as_runs(results_root):
    assert store.read_trials("try").empty
    path = results_root / "try" / "trials.csv"
    trials = pd.DataFrame({"trial": [1, 2], "run_id": "123456789012", "score": [0.5, None], "repeated": [False, True]})
    store.write_atomically(path, trials.to_csv(index=False, lineterminator="\n"))
    pd.testing.assert_frame_equal(store.read_trials("try"), trials)
    written = path.read_bytes()
    for damage, told in [
        (lambda data: data[:-3], "line 3: cut off"),
        (lambda data: data + lines_of(data)[2], "line 4: 2 123456789012  True a second time, after line 3"),
        (lambda data: data.replace(b"0.5", b"half"), "line 2: score 'half', not a number"),
        (lambda data: b"", "line 1: the columns ''"),
    ]:
        path.write_bytes(damage(written))
        with pytest.raises(ValueError, match=f"Received: {re.escape(str(path))}, {told}"):
            store.read_trials("try")


NAMES = [
    "../x",
    "/tmp/x",
    "a/b",
    "a\\b",
    "",
    ".",
    "..",
    ".hidden",
    "smoke",
    "Smoke",
    "a b",
    "x\n",
    "é",
    "x" * 101,
    None,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_could_leave_the_folder_is_refused_everywhere(tmp_path, name):
    uses = [
        store.read_runs,
        store.read_history,
        store.read_trials,
        store.rebuild,
        store.check_writable,
        lambda name: stage(A, name),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"Expected an experiment's name.* Received: "):
            use(name)
    assert list(tmp_path.iterdir()) == []


def test_only_what_a_dead_writer_left_is_removed(results_root):
    stage(A)
    folder = results_root / "try"
    folder.mkdir()
    foreign = [folder / name for name in (".runs.csv.swp", ".runs.csv.icloud", ".runs.csv.x7f2", "notes.cnnkit-tmp")]
    for path in foreign:
        path.write_text("not yours")
    code = (
        "import os, signal, sys; from cnnkit.lab import store; os.{} = lambda *_: {}; store.write_atomically({!r}, 'x')"
    )
    waits = "[print('waits', flush=True), sys.stdin.read()]"
    for target in (folder / "trials.csv", results_root / ".staging" / "try" / "x.json"):
        killed = code.format("fsync", "os.kill(os.getpid(), signal.SIGKILL)", str(target))
        assert subprocess.run([sys.executable, "-c", killed]).returncode == -signal.SIGKILL
        assert len(list(target.parent.glob(f".*{store.TEMPORARY}"))) == 1
    living = [sys.executable, "-c", code.format("fsync", waits, str(folder / "alive.csv"))]
    with subprocess.Popen(living, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "waits\n"
        store.rebuild("try")
        store.rebuild("try")  # nothing is staged: what the dead have left goes all the same
        left = {path.name.rsplit(".", 2)[0] for path in results_root.rglob(f".*{store.TEMPORARY}")}
        writer.communicate("")
    assert left == {".alive.csv"} and writer.returncode == 0
    assert (folder / "alive.csv").read_text() == "x" and all(path.exists() for path in foreign)


@pytest.fixture
def read_only(monkeypatch):
    """Let every write below the results folder fail, as on a disk that is mounted read-only."""

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def activate():
        monkeypatch.setattr(os, "open", refuse)  # of files that are made; what is read is opened by io.open
        for name in ("mkdir", "replace", "rename", "unlink"):
            monkeypatch.setattr(Path, name, refuse)

    return activate


def test_a_finished_store_on_a_read_only_disk_can_be_read_and_rebuilt(results_root, read_only, capsys):
    tables(results_root)
    bad = results_root / ".staging" / "try" / f"{C}.1.json"
    bad.write_text("damaged")
    (results_root / "try" / f".runs.csv.1{store.TEMPORARY}").write_text("left")
    read_only()
    store.rebuild("try")
    assert list(store.read_runs("try")["run_id"]) == [A, B] and len(store.read_history("try")) == 4
    assert bad.exists() and str(bad) in capsys.readouterr().err


def test_staged_runs_on_a_read_only_disk_are_read_and_folding_them_in_is_one_clear_error(read_only):
    stage(A)
    read_only()
    assert list(store.read_runs("try")["run_id"]) == [A]
    for write in (store.rebuild, store.check_writable):
        with pytest.raises(OSError, match=r"Expected to write .* Received: Read-only file system"):
            write("try")


def test_a_results_folder_removed_in_the_middle_is_made_again(results_root):
    tables(results_root)
    shutil.rmtree(results_root)
    assert store.read_runs("try").empty and store.read_history("try").empty
    stage(C)
    store.rebuild("try")
    assert list(store.read_runs("try")["run_id"]) == [C]


def test_a_results_folder_removed_while_it_is_written_is_one_clear_error(results_root, monkeypatch):
    stage(A)
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: [shutil.rmtree(results_root), replace(*paths)])
    with pytest.raises(OSError, match=r"Expected to write .* .* Received: No such file or directory"):
        store.rebuild("try")


def test_who_waits_for_a_lock_is_told_for_what_and_goes_on(results_root, monkeypatch, capsys):
    stage(A)
    lock = results_root / ".locks" / "try.lock"
    lock.parent.mkdir()
    code = f"import fcntl, sys; f = open({str(lock)!r}, 'w'); fcntl.flock(f, 2); print(1, flush=True); sys.stdin.read()"
    held = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    held.stdout.readline()
    told = []
    monkeypatch.setattr(store, "PATIENCE", 0.1)
    monkeypatch.setattr(store, "_tell", lambda sentence: [told.append(sentence), held.communicate()])
    store.rebuild("try")
    assert f"Waiting for {lock}: another process holds it" in told[0] and "Ctrl-Z" in told[0]
    assert list(store.read_runs("try")["run_id"]) == [A] and staged(results_root) == []


def test_waiting_for_a_lock_can_be_interrupted(results_root, monkeypatch):
    stage(A)
    lock = results_root / ".locks" / "try.lock"
    lock.parent.mkdir()
    monkeypatch.setattr(store, "PATIENCE", 0.1)
    monkeypatch.setattr(store, "_tell", lambda sentence: signal.raise_signal(signal.SIGINT))
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(KeyboardInterrupt):
            store.rebuild("try")
    store.rebuild("try")
    assert staged(results_root) == []


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
    modules = "cnnkit.lab.store, cnnkit.plots, cnnkit.evidence.claims"
    code = f"import sys, {modules}; print({{'keras', 'tensorflow'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
