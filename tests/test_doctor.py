"""The doctor names what is there, and has one line of advice for each problem."""

import re
from types import SimpleNamespace

import pytest

from cnnkit import data
from cnnkit.lab import speed
from cnnkit.report import doctor


def advice_of(checks):
    return {name: advice for name, _, advice in checks}


def test_a_sound_machine_passes_and_every_dataset_is_named(capsys, monkeypatch):
    monkeypatch.setattr(speed, "images_per_second", lambda model, precision: 100.0)
    assert doctor.report() == 0
    printed = capsys.readouterr().out
    for name in (*data.list_datasets(), *doctor.PACKAGES, "Python", "cores", "bfloat16", "AMX", "GPU", "speed", "disk"):
        assert name in printed


@pytest.mark.parametrize("half, advice", [(150, "1.50 times as fast here: try"), (50, "0.50 times .*: leave")])
def test_half_precision_is_advised_where_it_is_faster(monkeypatch, half, advice):
    seconds = {"float32": 100, "mixed_bfloat16": half}
    monkeypatch.setattr(speed, "images_per_second", lambda model, precision: seconds[precision])
    assert re.search(advice, advice_of(doctor._speed())["half precision"])


def test_speed_is_measured_without_the_epoch_that_traces(monkeypatch):
    clock = iter(range(0, 1000, 100))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(speed, "BATCHES", 2)
    assert speed.images_per_second("softmax", seconds=150) == 2 * 2 * 64 / 200


def test_a_missing_package_is_fatal_and_nothing_is_imported_then(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "PACKAGES", ("keras", "no-such-package"))
    monkeypatch.setattr(doctor, "_hardware", lambda: pytest.fail("asked through a missing package"))
    assert doctor.report() == 1
    assert "no-such-package: install what is tested" in capsys.readouterr().out


def test_another_version_than_the_tested_one_is_said(monkeypatch, tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("keras==2.0.0\n")
    monkeypatch.setattr(doctor, "LOCK", lock)
    assert "tested with 2.0.0" in advice_of(doctor._packages())["keras"]


def test_absent_archives_are_advised_and_present_ones_are_not(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist.npz").touch()
    advice = advice_of(doctor._datasets())
    assert advice["mnist"] == advice["digits"] == ""
    assert "cifar10.npz" in advice["cifar10"]


def test_a_full_or_locked_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(tmp_path))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    advice = advice_of(doctor._disk())
    assert "less than 5 GB" in advice["disk"]
    assert "CNNKIT_RESULTS_DIR" in advice["results"]
