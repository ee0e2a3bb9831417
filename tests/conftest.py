"""What every test runs with: a results folder of its own, the smoke profile, one TensorFlow thread, no progress bar."""

import os
import sys

import pytest

from cnnkit.lab.startup import import_keras


def pytest_configure():
    os.environ.update(CNNKIT_PROFILE="smoke", CNNKIT_PROGRESS="off")  # for every process that a test starts, too
    import_keras()
    from cnnkit.lab.provenance import use_one_thread

    use_one_thread()


@pytest.fixture(autouse=True)
def results_root(tmp_path, monkeypatch):
    """The folder that `results.results_dir()` names in this test."""
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("CNNKIT_PROFILE", "smoke")
    return tmp_path / "results" / "smoke"


@pytest.fixture(autouse=True)
def no_figure_left():
    """A figure that a test drew does not count in the next."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
